/* Which topic settings are refused, and which kafka.* settings. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/inside.h"

static hf_err err;

static hf_code check(hf_topic topic, int32_t partitions, int32_t replication, const char *const *pairs) {
    hf_topic_settings s;
    hf_topic_settings_init(&s);
    s.partitions = partitions;
    s.replication = replication;
    for (; pairs && *pairs; pairs += 2)
        hf_topic_settings_put(&s, pairs[0], pairs[1]);
    err = (hf_err){0};
    return hf_topic_settings_check(topic, "hyperfleet.x.t", "broker:9092", &s, &err);
}

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
static void says(const char *text) {
    if (!strstr(err.detail, text))
        fail_msg("\"%s\" is not in: %s", text, err.detail);
}

static void a_topic_that_loses_nothing_is_accepted(void **state) {
    (void)state;
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1,
                           SETTINGS("cleanup.policy", "delete", "retention.ms", "-1", "retention.bytes", "-1",
                                    "min.insync.replicas", "1")),
                     HF_OK);
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 400, 3,
                           SETTINGS("cleanup.policy", "delete", "retention.ms", "-1", "retention.bytes", "-1",
                                    "min.insync.replicas", "2", "unclean.leader.election.enable", "false")),
                     HF_OK);
    assert_int_equal(
        check(HF_TOPIC_SUBMISSIONS, 1, 1,
              SETTINGS("cleanup.policy", "delete", "retention.ms", "999999999999", "retention.bytes", "-1")),
        HF_OK);
    assert_int_equal(check(HF_TOPIC_WORKERS, 1, 1,
                           SETTINGS("cleanup.policy", "delete", "retention.ms", "1000", "retention.bytes", "5")),
                     HF_OK);
    assert_int_equal(check(HF_TOPIC_SCHEDULES, 1, 1,
                           SETTINGS("cleanup.policy", "compact", "retention.ms", "1000", "retention.bytes", "5")),
                     HF_OK);
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1, NULL), HF_OK); /* a broker that does not tell */
}

static void what_could_lose_a_record_is_refused_by_name(void **state) {
    (void)state;
    assert_int_equal(
        check(HF_TOPIC_JOB_EVENTS, 4, 1, SETTINGS("cleanup.policy", "delete", "retention.ms", "604800000")),
        HF_E_TOPIC_MISMATCH);
    says("topic hyperfleet.x.t has retention.ms=604800000, wanted -1");
    says("kafka-configs --bootstrap-server broker:9092 --alter --topic hyperfleet.x.t --add-config retention.ms=-1");
    assert_int_equal(
        check(HF_TOPIC_SUBMISSIONS, 4, 1, SETTINGS("cleanup.policy", "delete", "retention.ms", "604799999")),
        HF_E_TOPIC_MISMATCH);
    says("wanted 604800000");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1, SETTINGS("cleanup.policy", "compact")), HF_E_TOPIC_MISMATCH);
    says("cleanup.policy=compact, wanted delete");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1, SETTINGS("cleanup.policy", "compact,delete")),
                     HF_E_TOPIC_MISMATCH);
    assert_int_equal(check(HF_TOPIC_SCHEDULES, 1, 1, SETTINGS("cleanup.policy", "compact,delete")),
                     HF_E_TOPIC_MISMATCH);
    says("wanted compact");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1, SETTINGS("retention.ms", "-1", "retention.bytes", "1073741824")),
                     HF_E_TOPIC_MISMATCH);
    says("retention.bytes=1073741824, wanted -1");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 3, SETTINGS("min.insync.replicas", "1")), HF_E_TOPIC_MISMATCH);
    says("min.insync.replicas=1, wanted 2");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 1, SETTINGS("min.insync.replicas", "2")), HF_E_TOPIC_MISMATCH);
    says("min.insync.replicas=2, wanted 1");
    assert_int_equal(check(HF_TOPIC_JOB_EVENTS, 4, 2,
                           SETTINGS("min.insync.replicas", "1", "unclean.leader.election.enable", "true")),
                     HF_E_TOPIC_MISMATCH);
    says("unclean.leader.election.enable");
    assert_int_equal(check(HF_TOPIC_CONTROLS, 3, 1, NULL), HF_E_TOPIC_MISMATCH);
    says("has 3 partitions, wanted 1");
}

static hf_code refuse(const char *name, const char *value, int version) {
    json_t *kafka = json_object();
    json_object_set_new(kafka, name, json_string(value));
    err = (hf_err){0};
    hf_code code = hf_conf_check(kafka, version, &err);
    json_decref(kafka);
    return code;
}

enum { V_2_0_2 = 0x020002ff, V_2_6_1 = 0x020601ff };

static void promises_cannot_be_set_away(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"acks", "1"},
        {"acks", "0"},
        {"request.required.acks", "1"},
        {"enable.idempotence", "false"},
        {"enable.auto.commit", "true"},
        {"auto.offset.reset", "latest"},
        {"partitioner", "consistent"},
        {"group.id", "x"},
        {"transactional.id", "x"},
        {"plugin.library.paths", "/tmp/x.so"},
        {"enable.partition.eof", "false"},
        {"test.mock.num.brokers", "3"},
        {"partition.assignment.strategy", "range"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(refuse(bad[i][0], bad[i][1], V_2_6_1), HF_E_CONFIG);
        says(bad[i][0]);
    }
    assert_int_equal(refuse("acks", "all", V_2_0_2), HF_OK);
    assert_int_equal(refuse("acks", "-1", V_2_0_2), HF_OK);
    assert_int_equal(refuse("enable.idempotence", "true", V_2_0_2), HF_OK);
    assert_int_equal(refuse("compression.codec", "lz4", V_2_0_2), HF_OK);
}

static void scram_is_refused_where_it_cannot_work(void **state) {
    (void)state;
    assert_int_equal(refuse("sasl.mechanism", "SCRAM-SHA-512", V_2_0_2), HF_E_CONFIG);
    says("librdkafka 2.0.2 builds a wrong SCRAM nonce (mended in 2.6.1)");
    assert_int_equal(refuse("sasl.mechanisms", "scram-sha-256", 0x020600ff), HF_E_CONFIG);
    assert_int_equal(refuse("sasl.mechanism", "SCRAM-SHA-512", V_2_6_1), HF_OK);
    assert_int_equal(refuse("sasl.mechanism", "PLAIN", V_2_0_2), HF_OK);
}

static hf_code open_with(const char *assignment) {
    hf_klog *log = NULL;
    hf_config *config = hf_config_new();
    assert_int_equal(hf_config_set(config, "kafka.bootstrap.servers=\"127.0.0.1:9\"", &err), HF_OK);
    assert_int_equal(hf_config_set(config, assignment, &err), HF_OK);
    err = (hf_err){0};
    hf_code code = hf_klog_open(config, "t@h/1", true, 300, &log, &err);
    hf_config_free(config);
    return code;
}

static void opening_says_what_is_wrong(void **state) {
    (void)state;
    assert_int_equal(open_with("kafka.no.such.thing=1"), HF_E_CONFIG);
    says("kafka.no.such.thing: librdkafka");
    assert_int_equal(open_with("kafka.security.protocol=nonsense"), HF_E_CONFIG);
    says("kafka.security.protocol");
    assert_int_equal(open_with("fleet=x"), HF_E_LOG_UNREACHABLE);
    says("127.0.0.1:9");
    says("kafka.bootstrap.servers");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_that_loses_nothing_is_accepted),
        cmocka_unit_test(what_could_lose_a_record_is_refused_by_name),
        cmocka_unit_test(promises_cannot_be_set_away),
        cmocka_unit_test(scram_is_refused_where_it_cannot_work),
        cmocka_unit_test(opening_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
