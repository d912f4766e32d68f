/* The log when things break: a broker that is killed, a truncated log, topics with wrong settings. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/faults.h"
#include "schemas/base/clock.h"
#include "tests/support/kafka.h"
#include "tests/support/traffic.h"

enum { OPEN_MS = 20000, WAIT_MS = 60000, RECORDS = 200000, PER_SECOND = 5000 };

static hf_test_kafka kafka;

static hf_code try_open(const char *fleet, const char *setting, hf_klog **ret, hf_err *err) {
    hf_config *config = hf_test_config(kafka.bootstrap, fleet);
    if (setting)
        hf_test_config_set(config, setting);
    hf_code code = hf_klog_open(config, "test@here/1", true, OPEN_MS, ret, err);
    hf_config_free(config);
    return code;
}

static hf_klog *open_fleet(const char *fleet, const char *setting) {
    hf_err err = {0};
    hf_klog *log = NULL;
    if (try_open(fleet, setting, &log, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
    return log;
}

static void kill_and_restart(void) {
    hf_test_kafka_signal(&kafka, 1, "KILL");
    usleep(300000);
    hf_test_kafka_restart(&kafka, 1);
}

static void a_killed_broker_loses_nothing_acknowledged(void **state) {
    (void)state;
    hf_klog *log = open_fleet("kill", NULL);
    hf_traffic t;
    hf_traffic_init(&t, log, HF_TOPIC_JOB_EVENTS, RECORDS);
    hf_traffic_while(&t, PER_SECOND, kill_and_restart);
    hf_traffic_settle(&t, WAIT_MS);
    uint64_t read = hf_traffic_check(&t);
    print_message("%llu sent, %llu acknowledged, %llu in the log\n", (unsigned long long)t.sent,
                  (unsigned long long)t.acked_count, (unsigned long long)read);
    assert_true(t.acked_count > 1000);
    assert_int_equal(hf_klog_health(log, NULL), HF_OK);
    hf_klog_close(log);
    hf_traffic_done(&t);
}

static void while_the_broker_is_away_health_says_so(void **state) {
    (void)state;
    hf_err err = {0};
    hf_klog *log = open_fleet("health", NULL), *other = open_fleet("health", NULL);
    hf_group *g;
    hf_batch batch = {0};
    assert_int_equal(hf_klog_produce(other, HF_TOPIC_SUBMISSIONS, 0, HF_STR_NONE, HF_STR("a"), "T", NULL, 0, 0, &err),
                     HF_OK);
    assert_int_equal(hf_klog_flush(other, WAIT_MS, &err), HF_OK);
    assert_int_equal(hf_group_open(other, HF_TOPIC_SUBMISSIONS, "intake", &g, &err), HF_OK);
    while (!batch.count)
        assert_int_equal(hf_group_poll(g, 10, 100, &batch, &err), HF_OK);
    hf_group_done(g, 0, 1);
    hf_batch_release(&batch);
    assert_int_equal(hf_klog_health(log, &err), HF_OK);
    hf_test_kafka_signal(&kafka, 1, "KILL");
    int64_t until = hf_mono_ms(hf_clock_system()) + 20000;
    while (hf_klog_health(log, &err) == HF_OK && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(hf_klog_health(log, &err), HF_E_LOG_UNREACHABLE);
    assert_non_null(strstr(err.detail, kafka.bootstrap));
    int64_t begin = hf_mono_ms(hf_clock_system()); /* leaving needs no broker, and has its bound */
    assert_int_equal(hf_klog_produce(other, HF_TOPIC_SUBMISSIONS, 0, HF_STR_NONE, HF_STR("b"), "T", NULL, 0, 0, &err),
                     HF_OK);
    hf_group_close(g);
    hf_klog_close(other);
    assert_true(hf_mono_ms(hf_clock_system()) - begin < 40000);
    hf_test_kafka_restart(&kafka, 1);
    until = hf_mono_ms(hf_clock_system()) + 20000;
    while (hf_klog_health(log, &err) != HF_OK && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(hf_klog_health(log, &err), HF_OK);
    hf_klog_close(log);
}

static void a_truncated_log_fails_loudly_at_open_and_later(void **state) {
    (void)state;
    enum { COUNT = 2000, CUT = 100 };
    hf_klog *log = open_fleet("cut", "topics.partitions=1");
    hf_traffic t;
    hf_traffic_init(&t, log, HF_TOPIC_JOB_EVENTS, COUNT);
    hf_err err = {0};
    hf_follower *f = NULL;
    while (t.sent < COUNT)
        hf_traffic_send(&t);
    hf_traffic_settle(&t, WAIT_MS);
    assert_int_equal(hf_klog_delete_before(log, HF_TOPIC_JOB_EVENTS, 0, CUT, &err), HF_OK);

    const hf_follow_from old = {HF_TOPIC_JOB_EVENTS, 0, CUT - 1}, good = {HF_TOPIC_JOB_EVENTS, 0, CUT};
    assert_int_equal(hf_follower_open(log, &old, 1, &f, &err), HF_E_LOG_TRUNCATED);
    assert_non_null(
        strstr(err.detail, "hyperfleet.cut.job-events [0]: offset 99 is wanted next, but the first one kept is 100"));
    assert_non_null(strstr(err.detail, "restore from a snapshot"));

    assert_int_equal(hf_follower_open(log, &good, 1, &f, &err), HF_OK);
    hf_batch batch;
    assert_int_equal(hf_follower_poll(f, 1, WAIT_MS, &batch, &err), HF_OK);
    assert_int_equal(batch.records[0].offset, CUT);
    hf_batch_release(&batch);
    hf_follower_close(f);

    /* Deleted between opening and reading: the follower's own fetch meets it. */
    hf_group *g;
    assert_int_equal(hf_group_open(log, HF_TOPIC_JOB_EVENTS, "late", &g, &err), HF_OK);
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    do
        assert_int_equal(hf_group_poll(g, 10, 100, &batch, &err), HF_OK);
    while (!batch.count && hf_mono_ms(hf_clock_system()) < until);
    assert_int_equal(batch.records[0].offset, CUT); /* no commit yet: from the beginning that there is */
    hf_group_done(g, 0, batch.records[0].offset + 1);
    hf_batch_release(&batch);
    hf_group_close(g);
    assert_int_equal(hf_klog_delete_before(log, HF_TOPIC_JOB_EVENTS, 0, COUNT - 1, &err), HF_OK);
    assert_int_equal(hf_group_open(log, HF_TOPIC_JOB_EVENTS, "late", &g, &err), HF_OK);
    hf_code code = HF_OK;
    while (!code && hf_mono_ms(hf_clock_system()) < until) {
        code = hf_group_poll(g, 10, 100, &batch, &err);
        assert_int_equal(batch.count, 0);
    }
    assert_int_equal(code, HF_E_LOG_TRUNCATED);
    assert_non_null(strstr(err.detail, "offset 101 is wanted next, but the first one kept is 1999"));
    hf_group_close(g);
    hf_klog_close(log);
    hf_traffic_done(&t);
}

static void a_follower_meets_a_truncation_while_it_follows(void **state) {
    (void)state;
    /* small queues, so that most of the log is still on the broker when it is cut */
    enum { COUNT = 100000 };
    hf_klog *log = open_fleet("cut2", "topics.partitions=1"), *slow;
    hf_traffic t;
    hf_traffic_init(&t, log, HF_TOPIC_JOB_EVENTS, COUNT);
    hf_err err = {0};
    hf_follower *f = NULL;
    hf_batch batch;
    while (t.sent < COUNT)
        hf_traffic_send(&t);
    hf_traffic_settle(&t, WAIT_MS);
    hf_config *config = hf_test_config(kafka.bootstrap, "cut2");
    hf_test_config_set(config, "kafka.queued.min.messages=1");
    hf_test_config_set(config, "kafka.fetch.message.max.bytes=10000");
    assert_int_equal(hf_klog_open(config, "slow@here/1", true, OPEN_MS, &slow, &err), HF_OK);
    hf_config_free(config);
    const hf_follow_from begin = {HF_TOPIC_JOB_EVENTS, 0, 0};
    assert_int_equal(hf_follower_open(slow, &begin, 1, &f, &err), HF_OK);
    assert_int_equal(hf_follower_poll(f, 1, WAIT_MS, &batch, &err), HF_OK);
    hf_batch_release(&batch);
    assert_int_equal(hf_klog_delete_before(log, HF_TOPIC_JOB_EVENTS, 0, COUNT - 1, &err), HF_OK);
    int64_t next = 1, until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    hf_code code = HF_OK;
    while (!code && hf_mono_ms(hf_clock_system()) < until) {
        code = hf_follower_poll(f, 1000, 100, &batch, &err);
        for (size_t i = 0; i < batch.count; i++)
            assert_int_equal(batch.records[i].offset, next++); /* whole up to the cut, never a jump */
        hf_batch_release(&batch);
    }
    assert_int_equal(code, HF_E_LOG_TRUNCATED);
    char says[160];
    snprintf(says, sizeof says,
             "hyperfleet.cut2.job-events [0]: offset %lld is wanted next, but the first one kept is 99999",
             (long long)next);
    assert_non_null(strstr(err.detail, says));
    assert_int_equal(hf_follower_poll(f, 1000, 0, &batch, &err), HF_E_LOG_TRUNCATED); /* for good */
    hf_follower_close(f);
    hf_klog_close(slow);
    hf_klog_close(log);
    hf_traffic_done(&t);
}

/* A changed setting takes some milliseconds to be described as changed. */
static void opens_soon_with(hf_code want, hf_err *err) {
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    hf_code code;
    do {
        hf_klog *log = NULL;
        *err = (hf_err){0};
        code = try_open("spoilt", NULL, &log, err);
        hf_klog_close(log);
    } while (code != want && hf_mono_ms(hf_clock_system()) < until);
    assert_int_equal(code, want);
}

static void a_topic_that_could_lose_data_is_refused(void **state) {
    (void)state;
    hf_err err = {0};
    hf_klog *log = open_fleet("spoilt", NULL);
    assert_int_equal(hf_klog_spoil_topic(log, HF_TOPIC_JOB_EVENTS, "retention.ms", "3600000", &err), HF_OK);
    opens_soon_with(HF_E_TOPIC_MISMATCH, &err);
    assert_non_null(strstr(err.detail, "topic hyperfleet.spoilt.job-events has retention.ms=3600000, wanted -1"));
    assert_non_null(strstr(err.detail, "kafka-configs --bootstrap-server"));
    assert_int_equal(hf_klog_spoil_topic(log, HF_TOPIC_JOB_EVENTS, "retention.ms", "-1", &err), HF_OK);
    opens_soon_with(HF_OK, &err);
    assert_int_equal(hf_klog_spoil_topic(log, HF_TOPIC_SCHEDULES, "cleanup.policy", "delete", &err), HF_OK);
    opens_soon_with(HF_E_TOPIC_MISMATCH, &err);
    assert_non_null(strstr(err.detail, "topic hyperfleet.spoilt.schedules has cleanup.policy=delete, wanted compact"));
    assert_int_equal(hf_klog_spoil_topic(log, HF_TOPIC_SCHEDULES, "cleanup.policy", "compact", &err), HF_OK);
    opens_soon_with(HF_OK, &err);
    hf_klog_close(log);
}

static int up(void **state) {
    (void)state;
    hf_test_kafka_up(&kafka, 1);
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
        cmocka_unit_test(a_killed_broker_loses_nothing_acknowledged),
        cmocka_unit_test(while_the_broker_is_away_health_says_so),
        cmocka_unit_test(a_truncated_log_fails_loudly_at_open_and_later),
        cmocka_unit_test(a_follower_meets_a_truncation_while_it_follows),
        cmocka_unit_test(a_topic_that_could_lose_data_is_refused),
    };
    return cmocka_run_group_tests(tests, up, down);
}
