/* TLS and SASL go through as kafka.* settings; what is wrong with them is said, without the password. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/klog.h"
#include "tests/support/kafka.h"

enum { OPEN_MS = 20000, REFUSED_MS = 4000 };

static hf_test_kafka kafka;
static hf_err err;

static void set(hf_config *config, const char *key, const char *value) {
    char text[2 * HF_TEST_PATH];
    snprintf(text, sizeof text, "%s=\"%s\"", key, value);
    hf_test_config_set(config, text);
}

static hf_code open_as(const char *password, const char *ca, int timeout_ms, hf_klog **ret) {
    char value[HF_TEST_PATH];
    hf_config *config = hf_test_config(hf_test_kafka_env(&kafka, "KAFKA_BOOTSTRAP_SASL_SSL", value), "secure");
    set(config, "kafka.security.protocol", "SASL_SSL");
    set(config, "kafka.sasl.mechanism", "PLAIN");
    set(config, "kafka.sasl.username", hf_test_kafka_env(&kafka, "KAFKA_USER", value));
    set(config, "kafka.sasl.password", password ? password : hf_test_kafka_env(&kafka, "KAFKA_PASSWORD", value));
    if (ca)
        set(config, "kafka.ssl.ca.location", ca);
    err = (hf_err){0};
    hf_code code = hf_klog_open(config, "test@here/1", true, timeout_ms, ret, &err);
    hf_config_free(config);
    return code;
}

static void records_pass_through_tls_and_sasl(void **state) {
    (void)state;
    char ca[HF_TEST_PATH];
    hf_klog *log = NULL;
    hf_follower *f;
    hf_batch batch;
    if (open_as(NULL, hf_test_kafka_env(&kafka, "KAFKA_CA", ca), OPEN_MS, &log))
        fail_msg("%s", err.detail);
    assert_int_equal(hf_klog_produce(log, HF_TOPIC_JOB_EVENTS, 0, HF_STR("k"), HF_STR("v"), "T", NULL, 0, 0, &err),
                     HF_OK);
    assert_int_equal(hf_klog_flush(log, OPEN_MS, &err), HF_OK);
    const hf_follow_from from = {HF_TOPIC_JOB_EVENTS, 0, 0};
    assert_int_equal(hf_follower_open(log, &from, 1, &f, &err), HF_OK);
    assert_int_equal(hf_follower_poll(f, 10, OPEN_MS, &batch, &err), HF_OK);
    assert_int_equal(batch.count, 1);
    hf_batch_release(&batch);
    hf_follower_close(f);
    hf_klog_close(log);
}

static void a_wrong_password_is_refused_and_not_said(void **state) {
    (void)state;
    char ca[HF_TEST_PATH];
    hf_klog *log = NULL;
    assert_int_equal(open_as("not-hunter2", hf_test_kafka_env(&kafka, "KAFKA_CA", ca), OPEN_MS, &log),
                     HF_E_UNAUTHORIZED);
    assert_non_null(strstr(err.detail, "uthentication"));
    assert_null(strstr(err.detail, "hunter2"));
}

static void a_broker_whose_certificate_nobody_vouches_for_is_refused(void **state) {
    (void)state;
    hf_klog *log = NULL;
    hf_code code = open_as(NULL, NULL, REFUSED_MS, &log);
    assert_true(code == HF_E_UNAUTHORIZED || code == HF_E_LOG_UNREACHABLE);
    if (!strstr(err.detail, "certificate"))
        fail_msg("%s", err.detail);
}

static int up(void **state) {
    (void)state;
    hf_test_kafka_up_secure(&kafka);
    return 0;
}
static int down(void **state) {
    (void)state;
    hf_test_kafka_down(&kafka);
    return 0;
}

int main(void) {
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_pass_through_tls_and_sasl),
        cmocka_unit_test(a_wrong_password_is_refused_and_not_said),
        cmocka_unit_test(a_broker_whose_certificate_nobody_vouches_for_is_refused),
    };
    return cmocka_run_group_tests(tests, up, down);
}
