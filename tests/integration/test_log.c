/* The log on a real Kafka: produce, acknowledge, follow, share out. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/klog.h"
#include "schemas/base/clock.h"
#include "tests/support/kafka.h"

enum { OPEN_MS = 20000, WAIT_MS = 20000 };

static hf_test_kafka kafka;

static hf_klog *open_fleet(const char *fleet) {
    hf_err err = {0};
    hf_klog *log = NULL;
    hf_config *config = hf_test_config(kafka.bootstrap, fleet);
    if (hf_klog_open(config, "test@here/1", true, OPEN_MS, &log, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
    hf_config_free(config);
    return log;
}

enum { TAGS = 20000 };
typedef struct reports {
    uint32_t count, failed, of_tag[TAGS];
    int64_t offset_of_tag[TAGS];
    int32_t partition_of_tag[TAGS];
} reports;

static void take_report(void *ctx, uint64_t tag, const hf_report *report) {
    reports *r = ctx;
    assert_true(tag < TAGS);
    r->count++;
    r->failed += report->error != HF_OK;
    r->of_tag[tag]++;
    r->offset_of_tag[tag] = report->offset;
    r->partition_of_tag[tag] = report->partition;
}

static reports *reports_on(hf_klog *log) {
    reports *r = calloc(1, sizeof *r);
    hf_klog_on_report(log, take_report, r);
    return r;
}

static void produce(hf_klog *log, hf_topic topic, uint64_t n, uint64_t tag) {
    char key[32], value[32];
    hf_err err = {0};
    snprintf(key, sizeof key, "job-%llu", (unsigned long long)(n % 100));
    snprintf(value, sizeof value, "value-%llu", (unsigned long long)n);
    const hf_header header = {HF_STR("traceparent"), HF_STR("00-abc-def-01")};
    if (hf_klog_produce(log, topic, -1, hf_str_of(key), hf_str_of(value), "JobEvent", &header, 1, tag, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
}

static hf_follower *follow(hf_klog *log, hf_topic topic, int64_t offset) {
    hf_follow_from from[16];
    int32_t count;
    hf_err err = {0};
    hf_follower *f;
    assert_int_equal(hf_klog_partitions(log, topic, &count, NULL), HF_OK);
    for (int32_t p = 0; p < count; p++)
        from[p] = (hf_follow_from){topic, p, offset};
    if (hf_follower_open(log, from, (size_t)count, &f, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
    return f;
}

/* The number behind "value "; a record's value ends without a NUL. */
static int64_t number_in(hf_str value) {
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)(value.len - 6 < 31 ? value.len - 6 : 31), value.p + 6);
    return strtoll(text, NULL, 10);
}

static void acknowledged_records_come_back_in_order(void **state) {
    (void)state;
    enum { COUNT = 10000 };
    hf_klog *log = open_fleet("order");
    reports *r = reports_on(log);
    for (uint64_t i = 0; i < COUNT; i++) {
        hf_klog_bulk(log, i / 1000 % 2); /* switching producers must not reorder a key's records */
        produce(log, HF_TOPIC_JOB_EVENTS, i, i);
        hf_klog_poll_reports(log, 0);
    }
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r->count, COUNT);
    assert_int_equal(r->failed, 0);
    assert_int_equal(hf_klog_in_flight(log), 0);

    hf_follower *f = follow(log, HF_TOPIC_JOB_EVENTS, -2);
    assert_false(hf_follower_caught_up(f));
    int64_t next[4] = {0}, last_of_key[100];
    memset(last_of_key, 0xff, sizeof last_of_key);
    uint32_t seen = 0;
    while (seen < COUNT) {
        hf_batch batch;
        assert_int_equal(hf_follower_poll(f, 777, WAIT_MS, &batch, NULL), HF_OK);
        assert_true(batch.count > 0);
        for (size_t i = 0; i < batch.count; i++, seen++) {
            const hf_log_record *rec = &batch.records[i];
            assert_int_equal(rec->topic, HF_TOPIC_JOB_EVENTS);
            assert_int_equal(rec->offset, next[rec->partition]++);
            assert_int_equal(rec->partition, hf_klog_partition_of(rec->key, 4));
            assert_int_equal(rec->header_count, 3);
            assert_true(hf_str_eqz(rec->headers[0].name, "hf-type") && hf_str_eqz(rec->headers[0].value, "JobEvent"));
            assert_true(hf_str_eqz(rec->headers[1].value, "test@here/1"));
            assert_true(hf_str_eqz(rec->headers[2].name, "traceparent"));
            assert_true(llabs(rec->timestamp_ms - hf_wall_ms(hf_clock_system())) < 60000);
            int64_t n = number_in(rec->value);
            assert_true(n > last_of_key[n % 100]);
            last_of_key[n % 100] = n;
            assert_int_equal(r->offset_of_tag[n], rec->offset);
            assert_int_equal(r->partition_of_tag[n], rec->partition);
            assert_int_equal(r->of_tag[n], 1);
        }
        hf_batch_release(&batch);
    }
    assert_true(hf_follower_caught_up(f));
    for (int32_t p = 0; p < 4; p++)
        assert_int_equal(hf_follower_lag(f, HF_TOPIC_JOB_EVENTS, p), 0);
    hf_follower_close(f);
    hf_klog_close(log);
    free(r);
}

static void a_record_written_while_following_arrives(void **state) {
    (void)state;
    hf_klog *log = open_fleet("live");
    reports *r = reports_on(log);
    hf_follower *f = follow(log, HF_TOPIC_JOB_EVENTS, 0);
    assert_true(hf_follower_caught_up(f)); /* empty: nothing to catch up with */
    hf_batch batch;
    for (uint64_t i = 0; i < 50; i++) {
        if (i == 20 || i == 40)
            hf_follower_replay_mode(f, i == 20); /* reopening neither loses nor repeats a record */
        produce(log, HF_TOPIC_JOB_EVENTS, i, i);
        char want[32];
        snprintf(want, sizeof want, "value-%d", (int)i);
        assert_int_equal(hf_follower_poll(f, 100, WAIT_MS, &batch, NULL), HF_OK);
        assert_int_equal(batch.count, 1);
        assert_true(hf_str_eqz(batch.records[0].value, want));
        hf_batch_release(&batch);
        hf_klog_poll_reports(log, 0);
    }
    assert_int_equal(hf_follower_poll(f, 100, 0, &batch, NULL), HF_OK);
    assert_int_equal(batch.count, 0);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r->count, 50);
    assert_int_equal(hf_klog_health(log, NULL), HF_OK);
    hf_follower_close(f);
    hf_klog_close(log);
    free(r);
}

static void an_offset_past_the_end_is_refused_at_open(void **state) {
    (void)state;
    hf_klog *log = open_fleet("past");
    hf_err err = {0};
    hf_follower *f = NULL;
    const hf_follow_from from = {HF_TOPIC_JOB_EVENTS, 0, 17};
    assert_int_equal(hf_follower_open(log, &from, 1, &f, &err), HF_E_LOG_TRUNCATED);
    assert_non_null(strstr(err.detail, "hyperfleet.past.job-events [0]: offset 17 is wanted next"));
    hf_klog_close(log);
}

/* Gathers from a group until `*seen` reached `want` or the time is over. */
static void gather(hf_group *g, uint32_t *of_tag, uint32_t *seen, uint32_t want, int timeout_ms) {
    int64_t until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    while (*seen < want && hf_mono_ms(hf_clock_system()) < until) {
        hf_batch batch;
        hf_err err = {0};
        if (hf_group_poll(g, 500, 20, &batch, &err))
            fail_msg("%s: %s", hf_code_name(err.code), err.detail);
        for (size_t i = 0; i < batch.count; i++) {
            const hf_log_record *rec = &batch.records[i];
            *seen += of_tag[number_in(rec->value)]++ == 0;
            hf_group_done(g, rec->partition, rec->offset + 1);
        }
        hf_batch_release(&batch);
        hf_group_commit(g, NULL);
    }
}

static int owned(hf_group *g) {
    int n = 0;
    for (int32_t p = 0; p < 4; p++)
        n += hf_group_owns(g, p);
    return n;
}

static void two_members_share_and_take_over(void **state) {
    (void)state;
    hf_klog *log = open_fleet("group"), *log2 = open_fleet("group");
    reports *r = reports_on(log);
    hf_group *a, *b;
    uint32_t *of_tag = calloc(TAGS, sizeof *of_tag), seen = 0;
    assert_int_equal(hf_group_open(log, HF_TOPIC_SUBMISSIONS, "intake", &a, NULL), HF_OK);
    for (uint64_t i = 0; i < 1000; i++) /* before the group exists: it begins at the beginning */
        produce(log, HF_TOPIC_SUBMISSIONS, i, i);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    gather(a, of_tag, &seen, 1000, WAIT_MS);
    assert_int_equal(seen, 1000);
    assert_int_equal(owned(a), 4);

    uint64_t generation = hf_group_generation(a);
    assert_int_equal(hf_group_open(log2, HF_TOPIC_SUBMISSIONS, "intake", &b, NULL), HF_OK);
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    while ((owned(a) != 2 || owned(b) != 2) && hf_mono_ms(hf_clock_system()) < until) {
        gather(a, of_tag, &seen, 1001, 20);
        gather(b, of_tag, &seen, 1001, 20);
    }
    assert_int_equal(owned(a), 2);
    assert_int_equal(owned(b), 2);
    assert_true(hf_group_generation(a) > generation);
    for (int i = 0; i < 1000; i++) /* what was done and committed is not given to the new owner */
        assert_int_equal(of_tag[i], 1);

    hf_group_close(a); /* its share passes to b */
    for (uint64_t i = 1000; i < 2000; i++)
        produce(log, HF_TOPIC_SUBMISSIONS, i, i);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    gather(b, of_tag, &seen, 2000, WAIT_MS);
    assert_int_equal(seen, 2000);
    assert_int_equal(owned(b), 4);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(of_tag[i], 1);
    hf_group_close(b);
    hf_klog_close(log2);
    hf_klog_close(log);
    free(of_tag);
    free(r);
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
        cmocka_unit_test(acknowledged_records_come_back_in_order),
        cmocka_unit_test(a_record_written_while_following_arrives),
        cmocka_unit_test(an_offset_past_the_end_is_refused_at_open),
        cmocka_unit_test(two_members_share_and_take_over),
    };
    return cmocka_run_group_tests(tests, up, down);
}
