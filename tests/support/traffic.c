#include "tests/support/traffic.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "schemas/base/clock.h"

enum { KEYS = 100, PARTITIONS_MAX = 64, WAIT_MS = 30000 };

static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    hf_traffic *t = ctx;
    assert_true(tag < t->sent);
    t->reports[tag]++;
    t->acked[tag] = report->error == HF_OK;
    t->offsets[tag] = report->offset;
    t->partitions[tag] = report->partition;
    if (t->acked[tag])
        t->acked_count++;
    else
        t->failed_count++;
}

void hf_traffic_init(hf_traffic *t, hf_klog *log, hf_topic topic, uint64_t max) {
    *t = (hf_traffic){.log = log, .topic = topic, .max = max};
    t->reports = calloc(max, sizeof *t->reports);
    t->acked = calloc(max, sizeof *t->acked);
    t->offsets = calloc(max, sizeof *t->offsets);
    t->partitions = calloc(max, sizeof *t->partitions);
    assert_true(t->reports && t->acked && t->offsets && t->partitions);
    hf_klog_on_report(log, on_report, t);
}

void hf_traffic_done(hf_traffic *t) {
    free(t->reports);
    free(t->acked);
    free(t->offsets);
    free(t->partitions);
}

void hf_traffic_send(hf_traffic *t) {
    char key[24], value[24];
    hf_err err = {0};
    hf_code code;
    assert_true(t->sent < t->max);
    snprintf(key, sizeof key, "key-%u", (unsigned)(t->sent % KEYS));
    snprintf(value, sizeof value, "%llu", (unsigned long long)t->sent);
    t->sent++; /* before: its report may come at once */
    do {
        code =
            hf_klog_produce(t->log, t->topic, -1, hf_str_of(key), hf_str_of(value), "Test", NULL, 0, t->sent - 1, &err);
        hf_klog_poll_reports(t->log, code ? 10 : 0);
    } while (code == HF_E_LOG_QUEUE_FULL || code == HF_E_LOG_FATAL);
    if (code)
        fail_msg("record %llu: %s", (unsigned long long)t->sent - 1, err.detail);
}

void hf_traffic_run(hf_traffic *t, int per_second, int duration_ms) {
    int64_t begin = hf_mono_ms(hf_clock_system()), now = begin;
    uint64_t already = t->sent;
    for (; now - begin < duration_ms; now = hf_mono_ms(hf_clock_system())) {
        uint64_t due = already + (uint64_t)(now - begin) * (uint64_t)per_second / 1000;
        while (t->sent < due)
            hf_traffic_send(t);
        hf_klog_poll_reports(t->log, 1);
    }
}

typedef struct harm {
    pthread_t thread;
    _Atomic bool over;
    void (*does)(void);
} harm;

static void *do_harm(void *arg) {
    harm *h = arg;
    h->does();
    atomic_store(&h->over, true);
    return NULL;
}

void hf_traffic_while(hf_traffic *t, int per_second, void (*does)(void)) {
    harm h = {.does = does};
    hf_traffic_run(t, per_second, 300);
    assert_int_equal(pthread_create(&h.thread, NULL, do_harm, &h), 0);
    while (!atomic_load(&h.over))
        hf_traffic_run(t, per_second, 50);
    pthread_join(h.thread, NULL);
    hf_traffic_run(t, per_second, 500);
}

void hf_traffic_settle(hf_traffic *t, int timeout_ms) {
    hf_err err = {0};
    if (hf_klog_flush(t->log, timeout_ms, &err))
        fail_msg("%s", err.detail);
    for (uint64_t i = 0; i < t->sent; i++)
        if (t->reports[i] != 1)
            fail_msg("record %llu got %d reports", (unsigned long long)i, t->reports[i]);
}

static hf_follower *open_all(const hf_traffic *t, int64_t *ret_end) {
    hf_follow_from from[PARTITIONS_MAX];
    hf_follower *f;
    hf_err err = {0};
    int32_t count;
    int64_t low, high;
    if (hf_klog_partitions(t->log, t->topic, &count, &err))
        fail_msg("%s", err.detail);
    *ret_end = 0;
    for (int32_t p = 0; p < count; p++) {
        from[p] = (hf_follow_from){t->topic, p, 0};
        if (hf_klog_watermarks(t->log, t->topic, p, WAIT_MS, &low, &high, &err))
            fail_msg("%s", err.detail);
        *ret_end += high;
    }
    if (hf_follower_open(t->log, from, (size_t)count, &f, &err))
        fail_msg("%s", err.detail);
    return f;
}

static void check_record(const hf_traffic *t, const hf_log_record *r, bool *seen, int64_t *last_of_key) {
    uint64_t n = strtoull(r->value.p, NULL, 10);
    assert_true(n < t->sent);
    if (seen[n])
        fail_msg("record %llu stands in the log twice", (unsigned long long)n);
    seen[n] = true;
    if ((int64_t)n < last_of_key[n % KEYS])
        fail_msg("record %llu stands behind a later one of its key", (unsigned long long)n);
    last_of_key[n % KEYS] = (int64_t)n;
    if (t->acked[n] && (t->offsets[n] != r->offset || t->partitions[n] != r->partition))
        fail_msg("record %llu was acknowledged at [%d] %lld and stands at [%d] %lld", (unsigned long long)n,
                 t->partitions[n], (long long)t->offsets[n], r->partition, (long long)r->offset);
}

uint64_t hf_traffic_check(const hf_traffic *t) {
    bool *seen = calloc(t->max, sizeof *seen);
    int64_t last_of_key[KEYS], end = 0, until = hf_mono_ms(hf_clock_system()) + WAIT_MS, read = 0;
    memset(last_of_key, 0xff, sizeof last_of_key);
    hf_follower *f = open_all(t, &end);
    while (read < end && hf_mono_ms(hf_clock_system()) < until) {
        hf_batch batch;
        hf_err err = {0};
        if (hf_follower_poll(f, 1000, 100, &batch, &err))
            fail_msg("%s", err.detail);
        for (size_t i = 0; i < batch.count; i++, read++)
            check_record(t, &batch.records[i], seen, last_of_key);
        hf_batch_release(&batch);
    }
    assert_int_equal(read, end);
    for (uint64_t i = 0; i < t->sent; i++)
        if (t->acked[i] && !seen[i])
            fail_msg("record %llu was acknowledged and is not in the log", (unsigned long long)i);
    hf_follower_close(f);
    free(seen);
    return (uint64_t)read;
}
