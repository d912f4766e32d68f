/* The embedded broker: our own client against it in one process, refill, faults, and its bounds. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/faults.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { WAIT_MS = 10000, TAGS = 20000, ALL_TOPICS = HF_TOPIC_COUNT };
static char names[ALL_TOPICS][64];

static hf_broker *start(void) {
    hf_broker_topic topics[ALL_TOPICS];
    hf_broker *broker = NULL;
    hf_err err = {0};
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        snprintf(names[t], sizeof names[t], "hyperfleet.dev.%s", hf_topic_suffix((hf_topic)t));
        topics[t] = (hf_broker_topic){names[t], t == HF_TOPIC_WORKERS ? 1 : 2};
    }
    topics[HF_TOPIC_SCHEDULES].partitions = topics[HF_TOPIC_CONTROLS].partitions = 1;
    topics[HF_TOPIC_WEBHOOKS].partitions = 1;
    if (hf_broker_start("127.0.0.1:0", topics, HF_TOPIC_COUNT, &broker, &err))
        fail_msg("%s", err.detail);
    return broker;
}

static hf_klog *open_log_with(const hf_broker *broker, const char *setting) {
    char text[128];
    hf_err err = {0};
    hf_klog *log = NULL;
    hf_config *config = hf_config_new();
    snprintf(text, sizeof text, "kafka.bootstrap.servers=\"%s\"", hf_broker_address(broker));
    const char *const sets[] = {text, "fleet=dev", "kafka.fetch.wait.max.ms=10", "kafka.session.timeout.ms=4000",
                                setting};
    for (size_t i = 0; i < 5; i++)
        if (sets[i] && hf_config_set(config, sets[i], &err))
            fail_msg("%s", err.detail);
    if (hf_klog_open(config, "test@here/1", true, WAIT_MS, &log, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
    hf_config_free(config);
    return log;
}
static hf_klog *open_log(const hf_broker *broker) { return open_log_with(broker, NULL); }

typedef struct reports {
    uint32_t count, acked, of_tag[TAGS];
    hf_code last_error;
} reports;
static void take_report(void *ctx, uint64_t tag, const hf_report *report) {
    reports *r = ctx;
    r->count++;
    r->of_tag[tag]++;
    if (report->error)
        r->last_error = report->error;
    else
        r->acked++;
}

static hf_code try_produce(hf_klog *log, hf_topic topic, uint64_t n, hf_err *err) {
    char key[24], value[24];
    snprintf(key, sizeof key, "k%llu", (unsigned long long)(n % 10));
    snprintf(value, sizeof value, "v%llu", (unsigned long long)n);
    return hf_klog_produce(log, topic, -1, hf_str_of(key), hf_str_of(value), "T", NULL, 0, n, err);
}
static void produce(hf_klog *log, hf_topic topic, uint64_t n) {
    hf_err err = {0};
    if (try_produce(log, topic, n, &err))
        fail_msg("%s", err.detail);
}

/* Reads both partitions from their beginnings; calls each with every record. */
static uint32_t read_all(hf_klog *log, hf_topic topic, uint32_t want, void (*each)(void *ctx, const hf_log_record *),
                         void *ctx) {
    const hf_follow_from from[2] = {{topic, 0, -2}, {topic, 1, -2}};
    hf_follower *f;
    hf_err err = {0};
    uint32_t seen = 0;
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    if (hf_follower_open(log, from, 2, &f, &err))
        fail_msg("%s", err.detail);
    while ((seen < want || !hf_follower_caught_up(f)) && hf_mono_ms(hf_clock_system()) < until) {
        hf_batch batch;
        if (hf_follower_poll(f, 1000, 50, &batch, &err))
            fail_msg("%s", err.detail);
        for (size_t i = 0; i < batch.count; i++, seen++)
            if (each)
                each(ctx, &batch.records[i]);
        hf_batch_release(&batch);
    }
    assert_true(hf_follower_caught_up(f));
    hf_follower_close(f);
    return seen;
}

static void what_is_produced_is_read_back(void **state) {
    (void)state;
    hf_broker *broker = start();
    hf_klog *log = open_log(broker);
    reports r = {0};
    hf_klog_on_report(log, take_report, &r);
    for (uint64_t i = 0; i < 500; i++)
        produce(log, HF_TOPIC_JOB_EVENTS, i);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r.acked, 500);
    assert_int_equal(read_all(log, HF_TOPIC_JOB_EVENTS, 500, NULL, NULL), 500);
    int64_t low, high, sum = 0;
    for (int32_t p = 0; p < 2; p++) {
        assert_int_equal(hf_klog_watermarks(log, HF_TOPIC_JOB_EVENTS, p, WAIT_MS, &low, &high, NULL), HF_OK);
        assert_int_equal(low, 0);
        sum += high;
    }
    assert_int_equal(sum, 500);
    hf_klog_close(log);
    hf_broker_stop(broker);
}

static void a_group_begins_at_the_beginning_and_goes_on_where_it_was(void **state) {
    (void)state;
    hf_broker *broker = start();
    hf_klog *log = open_log(broker);
    uint32_t first = 0, second = 0;
    for (uint64_t i = 0; i < 100; i++)
        produce(log, HF_TOPIC_SUBMISSIONS, i);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    for (int round = 0; round < 2; round++) {
        hf_group *g;
        hf_err err = {0};
        uint32_t *seen = round ? &second : &first;
        assert_int_equal(hf_group_open(log, HF_TOPIC_SUBMISSIONS, "intake", &g, NULL), HF_OK);
        int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
        while (*seen < (round ? 1U : 100U) && hf_mono_ms(hf_clock_system()) < until) {
            hf_batch batch;
            if (hf_group_poll(g, 30, 50, &batch, &err))
                fail_msg("%s", err.detail);
            for (size_t i = 0; i < batch.count; i++)
                hf_group_done(g, batch.records[i].partition, batch.records[i].offset + 1);
            *seen += (uint32_t)batch.count;
            hf_batch_release(&batch);
            hf_group_commit(g, NULL);
        }
        hf_group_done(g, 0, 1000000); /* past what was given out: ignored */
        hf_group_close(g);
        if (!round) {
            produce(log, HF_TOPIC_SUBMISSIONS, 100);
            assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
        }
    }
    assert_int_equal(first, 100);
    assert_int_equal(second, 1); /* the closing committed all 100 */
    hf_klog_close(log);
    hf_broker_stop(broker);
}

static void every_call_gets_one_report_across_a_fatal_error(void **state) {
    (void)state;
    hf_broker *broker = start();
    hf_klog *log = open_log(broker);
    reports *r = calloc(1, sizeof *r);
    hf_klog_on_report(log, take_report, r);
    hf_broker_set_delay(broker, 100); /* so that records are under way when it happens */
    uint32_t taken = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        hf_err err = {0};
        hf_klog_bulk(log, i % 2);
        if (i % 1000 == 500)
            assert_true(hf_klog_fail_producer(log, "asked for by the test"));
        hf_code code = try_produce(log, HF_TOPIC_JOB_EVENTS, i, &err);
        assert_true(code == HF_OK || code == HF_E_LOG_FATAL);
        taken += code == HF_OK;
        if (code)
            hf_klog_poll_reports(log, 10);
    }
    hf_broker_set_delay(broker, 0);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r->count, taken);
    assert_true(r->acked < taken);
    assert_int_equal(r->last_error, HF_E_LOG_NOT_ACKED);
    for (size_t i = 0; i < TAGS; i++)
        assert_true(r->of_tag[i] <= 1);
    produce(log, HF_TOPIC_JOB_EVENTS, TAGS - 1); /* the new producer works */
    uint32_t acked = r->acked;
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r->acked, acked + 1);
    hf_klog_close(log);
    hf_broker_stop(broker);
    free(r);
}

static void a_full_queue_is_an_error_and_what_is_left_at_the_end_is_reported(void **state) {
    (void)state;
    hf_broker *broker = start();
    hf_klog *log = open_log_with(broker, "kafka.message.timeout.ms=60000");
    static uint32_t count, failed;
    count = failed = 0;
    reports *r = calloc(1, sizeof *r);
    hf_klog_on_report(log, take_report, r);
    hf_broker_set_down(broker, true);
    hf_err err = {0};
    hf_code code = HF_OK;
    for (count = 0; !code && count < 200000; count++)
        code = hf_klog_produce(log, HF_TOPIC_JOB_EVENTS, 0, HF_STR("k"), HF_STR("v"), "T", NULL, 0, count % TAGS, &err);
    assert_int_equal(code, HF_E_LOG_QUEUE_FULL);
    assert_int_equal(count - 1, 100000);
    assert_int_equal(hf_klog_in_flight(log), 100000);
    assert_int_equal(hf_klog_flush(log, 50, &err), HF_E_TIMEOUT);
    hf_klog_close(log);
    assert_int_equal(r->count, 100000);
    assert_int_equal(r->acked, 0);
    for (size_t i = 0; i < TAGS; i++)
        assert_int_equal(r->of_tag[i], 100000 / TAGS);
    hf_broker_stop(broker);
    free(r);
}

static void errors_of_the_broker_are_ridden_out_or_reported(void **state) {
    (void)state;
    hf_broker *broker = start();
    hf_klog *log = open_log(broker);
    reports r = {0};
    hf_klog_on_report(log, take_report, &r);
    hf_broker_push_errors(broker, HF_API_PRODUCE, HF_KAFKA_NOT_LEADER, 2);
    for (uint64_t i = 0; i < 20; i++)
        produce(log, HF_TOPIC_JOB_EVENTS, i);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r.acked, 20);
    hf_broker_push_errors(broker, HF_API_PRODUCE, HF_KAFKA_TOPIC_AUTHORIZATION_FAILED, 1);
    produce(log, HF_TOPIC_JOB_EVENTS, 20);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(r.last_error, HF_E_PERMISSION);
    hf_err err = {0};
    static char large[HF_MAX_RECORD + 1];
    assert_int_equal(
        hf_klog_produce(log, HF_TOPIC_PROGRESS, -1, HF_STR_NONE, (hf_str){large, sizeof large}, "T", NULL, 0, 1, &err),
        HF_E_LIMIT);
    hf_broker_set_down(broker, true);
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    while (hf_klog_health(log, &err) == HF_OK && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(hf_klog_health(log, &err), HF_E_LOG_UNREACHABLE);
    hf_broker_set_down(broker, false);
    while (hf_klog_health(log, &err) != HF_OK && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(hf_klog_health(log, &err), HF_OK);
    hf_klog_close(log);
    hf_broker_stop(broker);
}

/* A copy of the log, as a journal has one. */
typedef struct copy {
    uint32_t count;
    struct {
        int32_t partition;
        int64_t offset, timestamp_ms;
        char key[24], value[24];
        bool tombstone;
        uint32_t headers;
    } records[600];
} copy;

static void take_copy(void *ctx, const hf_log_record *r) {
    copy *c = ctx;
    assert_true(c->count < 600);
    c->records[c->count].partition = r->partition;
    c->records[c->count].offset = r->offset;
    c->records[c->count].timestamp_ms = r->timestamp_ms;
    c->records[c->count].tombstone = !r->value.p;
    c->records[c->count].headers = r->header_count;
    snprintf(c->records[c->count].key, 24, "%.*s", HF_STR_ARG(r->key));
    snprintf(c->records[c->count].value, 24, "%.*s", HF_STR_ARG(r->value));
    c->count++;
}

static int by_place(const void *a, const void *b) {
    const int32_t *p = a, *q = b; /* partition is first; offsets of one partition are in order already */
    return *p < *q ? -1 : *p > *q;
}

static void refill_keeps_every_offset(void **state) {
    (void)state;
    static copy before, after;
    before.count = after.count = 0;
    hf_broker *broker = start();
    hf_klog *log = open_log(broker);
    for (uint64_t i = 0; i < 300; i++)
        produce(log, HF_TOPIC_JOB_EVENTS, i);
    assert_int_equal(hf_klog_produce(log, HF_TOPIC_JOB_EVENTS, -1, HF_STR("k1"), HF_STR_NONE, "T", NULL, 0, 300, NULL),
                     HF_OK);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    assert_int_equal(read_all(log, HF_TOPIC_JOB_EVENTS, 301, take_copy, &before), 301);
    hf_klog_close(log);
    hf_broker_stop(broker);

    broker = start();
    hf_err err = {0};
    const hf_header headers[2] = {{HF_STR("hf-type"), HF_STR("T")}, {HF_STR("hf-producer"), HF_STR("test@here/1")}};
    for (uint32_t i = 0; i < before.count; i++) {
        int64_t offset = -1;
        hf_log_record r = {.topic = HF_TOPIC_JOB_EVENTS,
                           .partition = before.records[i].partition,
                           .offset = before.records[i].offset,
                           .timestamp_ms = before.records[i].timestamp_ms,
                           .key = hf_str_of(before.records[i].key),
                           .header_count = 2};
        memcpy(r.headers, headers, sizeof headers);
        if (!before.records[i].tombstone)
            r.value = hf_str_of(before.records[i].value);
        if (hf_broker_refill(broker, names[HF_TOPIC_JOB_EVENTS], &r, &offset, &err))
            fail_msg("%s", err.detail);
        assert_int_equal(offset, before.records[i].offset);
        r.offset += 2; /* a gap in the copy must not be closed silently */
        assert_int_equal(hf_broker_refill(broker, names[HF_TOPIC_JOB_EVENTS], &r, &offset, &err), HF_E_CONFLICT);
    }
    assert_int_equal(hf_broker_refill_done(broker, WAIT_MS, &err), HF_OK);
    log = open_log(broker);
    assert_int_equal(read_all(log, HF_TOPIC_JOB_EVENTS, 301, take_copy, &after), 301);
    qsort(before.records, before.count, sizeof *before.records, by_place);
    qsort(after.records, after.count, sizeof *after.records, by_place);
    for (uint32_t i = 0; i < 301; i++)
        assert_memory_equal(&before.records[i], &after.records[i], sizeof before.records[i]);
    hf_klog_close(log);
    hf_broker_stop(broker);
}

static _Atomic int near, dropped;
static void on_limit(void *ctx, const hf_broker_limit *limit) {
    (void)ctx;
    assert_string_equal(limit->topic, "hyperfleet.dev.progress");
    if (limit->dropped)
        dropped++;
    else
        near++;
}

static void reaching_the_bound_is_told_and_a_late_reader_gets_an_error(void **state) {
    (void)state;
    static char large[400000];
    near = dropped = 0;
    hf_broker *broker = start();
    hf_broker_on_limit(broker, on_limit, NULL);
    hf_klog *log = open_log(broker);
    const hf_follow_from begin = {HF_TOPIC_PROGRESS, 1, 0};
    hf_follower *f;
    hf_err err = {0};
    assert_int_equal(hf_follower_open(log, &begin, 1, &f, NULL), HF_OK); /* open, but it does not read in time */
    hf_group *g;
    hf_batch batch = {0};
    assert_int_equal(hf_group_open(log, HF_TOPIC_PROGRESS, "sleepy", &g, NULL), HF_OK);
    assert_int_equal(hf_klog_produce(log, HF_TOPIC_PROGRESS, 1, HF_STR_NONE, HF_STR("first"), "T", NULL, 0, 0, NULL),
                     HF_OK);
    int64_t until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    while (!batch.count && hf_mono_ms(hf_clock_system()) < until)
        assert_int_equal(hf_group_poll(g, 10, 100, &batch, &err), HF_OK);
    assert_int_equal(batch.count, 1);
    hf_batch_release(&batch);
    hf_group_done(g, 1, 1);
    hf_group_close(g);
    for (uint64_t i = 0; i < 11; i++)
        assert_int_equal(hf_klog_produce(log, HF_TOPIC_PROGRESS, 1, HF_STR_NONE, (hf_str){large, sizeof large}, "T",
                                         NULL, 0, 0, NULL),
                         HF_OK);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    while (!near && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(near, 1);
    assert_false(hf_broker_limit_reached(broker));
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(hf_klog_produce(log, HF_TOPIC_PROGRESS, 1, HF_STR_NONE, (hf_str){large, sizeof large}, "T",
                                         NULL, 0, 0, NULL),
                         HF_OK);
    assert_int_equal(hf_klog_flush(log, WAIT_MS, NULL), HF_OK);
    while (!dropped && hf_mono_ms(hf_clock_system()) < until)
        usleep(20000);
    assert_int_equal(dropped, 1);
    assert_true(hf_broker_limit_reached(broker));
    hf_follower *late;
    assert_int_equal(hf_follower_open(log, &begin, 1, &late, &err), HF_E_LOG_TRUNCATED);
    assert_non_null(
        strstr(err.detail, "hyperfleet.dev.progress [1]: offset 0 is wanted next, but the first one kept is"));
    assert_int_equal(hf_group_open(log, HF_TOPIC_PROGRESS, "sleepy", &g, NULL), HF_OK);
    hf_code code = HF_OK;
    until = hf_mono_ms(hf_clock_system()) + WAIT_MS;
    while (!code && hf_mono_ms(hf_clock_system()) < until) {
        code = hf_group_poll(g, 10, 100, &batch, &err);
        assert_int_equal(batch.count, 0);
    }
    assert_int_equal(code, HF_E_LOG_TRUNCATED);
    assert_non_null(strstr(err.detail, "--reset-offsets"));
    hf_group_close(g);
    hf_follower_close(f);
    hf_klog_close(log);
    hf_broker_stop(broker);
}

/* One record there and back, with the Nth allocation failing: an error or success, never a crash or a lost record. */
static hf_code there_and_back(const hf_config *config, uint64_t fail_at) {
    hf_klog *log = NULL;
    hf_follower *f = NULL;
    hf_group *g = NULL;
    hf_batch batch = {0};
    const hf_follow_from from = {HF_TOPIC_JOB_EVENTS, 0, -2};
    static reports r;
    r = (reports){0};
    hf_alloc_fail_after(fail_at);
    hf_code code = hf_klog_open(config, "t@h/1", false, WAIT_MS, &log, NULL);
    if (!code) {
        hf_klog_on_report(log, take_report, &r);
        code = hf_klog_produce(log, HF_TOPIC_JOB_EVENTS, 0, HF_STR("k"), HF_STR("v"), "T", NULL, 0, 1, NULL);
    }
    uint32_t sent = log && !code;
    if (!code)
        code = hf_klog_flush(log, WAIT_MS, NULL);
    if (!code)
        code = hf_follower_open(log, &from, 1, &f, NULL);
    if (!code && fail_at % 8 == 1) /* closing it takes seconds here: the embedded broker is slow to let members in */
        code = hf_group_open(log, HF_TOPIC_SUBMISSIONS, "g", &g, NULL);
    int64_t next = 0;
    for (int i = 0; !code && i < 100 && next == 0; i++) {
        code = hf_follower_poll(f, 100000, 100, &batch, NULL);
        if (code == HF_E_NO_MEMORY) /* try again: the records were not lost with it */
            code = hf_follower_poll(f, 100000, 100, &batch, NULL);
        for (size_t n = 0; n < batch.count; n++)
            assert_int_equal(batch.records[n].offset, next++);
        hf_batch_release(&batch);
    }
    hf_alloc_fail_after(0);
    assert_true(code || next > 0);
    hf_group_close(g);
    hf_follower_close(f);
    hf_klog_close(log);
    assert_int_equal(r.count, sent);
    return code;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    char text[128];
    hf_broker *broker = start();
    hf_config *config = hf_config_new();
    snprintf(text, sizeof text, "kafka.bootstrap.servers=\"%s\"", hf_broker_address(broker));
    hf_config_set(config, text, NULL);
    hf_config_set(config, "fleet=dev", NULL);
    hf_config_set(config, "kafka.fetch.wait.max.ms=10", NULL);
    hf_config_set(config, "kafka.session.timeout.ms=4000", NULL);
    uint64_t failed = 0, n = 1;
    for (int clean = 0; clean < 2 && n < 200; n++) { /* two clean runs in a row: past the last allocation */
        hf_code code = there_and_back(config, n);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        failed += code != HF_OK;
        clean = code ? 0 : clean + 1;
    }
    assert_true(failed >= 15);
    assert_true(n < 200);
    hf_config_free(config);
    hf_broker_stop(broker);
}

static void only_a_free_loopback_address_is_taken(void **state) {
    (void)state;
    hf_broker *broker = start(), *second = NULL;
    hf_err err = {0};
    const hf_broker_topic topic = {"t", 1};
    assert_int_equal(hf_broker_start(hf_broker_address(broker), &topic, 1, &second, &err), HF_E_BUSY);
    assert_int_equal(hf_broker_start("0.0.0.0:0", &topic, 1, &second, &err), HF_E_INVALID);
    assert_non_null(strstr(err.detail, "loopback"));
    assert_int_equal(hf_broker_start("127.0.0.1", &topic, 1, &second, &err), HF_E_INVALID);
    hf_broker_stop(broker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_produced_is_read_back),
        cmocka_unit_test(a_group_begins_at_the_beginning_and_goes_on_where_it_was),
        cmocka_unit_test(every_call_gets_one_report_across_a_fatal_error),
        cmocka_unit_test(a_full_queue_is_an_error_and_what_is_left_at_the_end_is_reported),
        cmocka_unit_test(errors_of_the_broker_are_ridden_out_or_reported),
        cmocka_unit_test(refill_keeps_every_offset),
        cmocka_unit_test(reaching_the_bound_is_told_and_a_late_reader_gets_an_error),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(only_a_free_loopback_address_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
