/* Metrics of the fleet: what waits and for how long, workers and what they offer, partitions. */
#include <inttypes.h>
#include <stdio.h>

#include "journal/http/metrics.h"
#include "journal/replica/controls.h"

enum { ARENA_BYTES = 4 << 20 };

/* ---- the queue --------------------------------------------------------------------------------------------------- */
/* The first row of each kind that has any: as many seeks as there are kinds waiting, however many jobs. */
static hf_code read_waits(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_code rc = hf_cursor_open(read, http->tables.of[HF_TB_BY_WAIT], &cursor, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < HF_OPERATIONS * HF_PRIORITIES; i++) {
        uint32_t operation = i / HF_PRIORITIES, priority = i % HF_PRIORITIES;
        char first[HF_BY_WAIT_BYTES];
        hf_str key = hf_by_wait_key(operation, priority, 0, 0, first), value;
        to->queued_since[operation][priority] = INT64_MAX;
        if (!hf_counter_get(&to->counters, HF_N_JOBS_QUEUED, operation, priority, 0))
            continue;
        rc = hf_cursor_move(cursor, HF_SEEK, &key, &value, reterr);
        if (rc == HF_OK && key.len == HF_BY_WAIT_BYTES && memcmp(key.p, first, 2) == 0)
            to->queued_since[operation][priority] = hf_by_wait_since(key);
        rc = rc == HF_E_NOT_FOUND ? HF_OK : rc;
    }
    hf_cursor_close(cursor);
    return rc;
}

void hf_metrics_put_oldest_wait(hf_metrics_page *p, const char *family) {
    char labels[128], operation_text[32], priority_text[32];
    for (uint32_t o = 0; o < HF_OPERATIONS; o++)
        for (uint32_t i = 0; i < HF_PRIORITIES; i++) {
            int64_t since = p->facts->queued_since[o][i], now = p->facts->now_ms;
            if (since == INT64_MAX)
                continue;
            snprintf(labels, sizeof labels, "operation=\"%s\",priority=\"%s\"",
                     hf_dim_label(HF_D_OPERATION, o, operation_text), hf_dim_label(HF_D_PRIORITY, i, priority_text));
            hf_metrics_float(p, family, "", labels, now > since ? (double)(now - since) / 1000 : 0);
        }
}

/* ---- workers ------------------------------------------------------------------------------------------------------ */
static void count_offers(hf_metrics_facts *to, const hf_capabilities *c) {
    uint32_t operations = 0, met = hf_counters_met(c);
    for (uint32_t i = 0; i < c->operations.count; i++)
        operations |= 1u << hf_counters_operation(*HF_LIST_AT(c->operations, hf_str, i));
    for (uint32_t i = 0; i < HF_OPERATIONS; i++)
        to->offering[i] += operations >> i & 1;
    for (uint32_t i = 0; i < HF_REQUIREMENTS; i++)
        to->with[i] += met >> i & 1;
}

static void count_slots(hf_metrics_facts *to, const hf_heartbeat *b) {
    int64_t rest = b->slots > b->slots_busy ? b->slots - b->slots_busy : 0;
    to->slots_busy += b->slots_busy;
    *(b->state == HF_W_ACTIVE ? &to->slots_free : &to->slots_closed) += rest;
}

static void count_worker(hf_metrics_facts *to, const hf_heartbeat *b) {
    bool known = b->state >= HF_W_ACTIVE && b->state <= HF_W_STOPPED;
    bool heard = to->now_ms - b->at < b->lease_ms + b->interval_ms;
    int state = b->state == HF_W_STOPPED ? HF_W_STOPPED : heard && known ? b->state : HF_WORKER_LOST;
    to->workers[state]++;
    if (state < HF_W_STOPPED)
        count_slots(to, b);
    if (state == HF_W_ACTIVE)
        count_offers(to, &b->capabilities);
    size_t at = to->worker_count < HF_METRICS_WORKERS ? to->worker_count : HF_METRICS_WORKERS;
    hf_metrics_worker *w = &to->worker[at];
    snprintf(w->id, sizeof w->id, "%.*s", HF_STR_ARG(at < HF_METRICS_WORKERS ? b->worker_id : HF_STR("other")));
    w->restarts += b->runner_restarts;
    w->jobs += b->jobs_done;
    if (to->worker_count <= HF_METRICS_WORKERS)
        to->worker_count++;
}

static hf_code read_workers(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_arena arena;
    hf_str key, value;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code rc = hf_cursor_open(read, http->tables.of[HF_TB_WORKERS], &cursor, reterr);
    hf_move move = HF_FIRST;
    for (size_t n = 0; rc == HF_OK && n < HF_METRICS_WORKERS_READ; n++, move = HF_NEXT) {
        hf_heartbeat beat;
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc == HF_OK)
            rc = hf_decode_body(HF_SCHEMA_HEARTBEAT, value, &arena, &beat, reterr);
        if (rc == HF_OK)
            count_worker(to, &beat);
        hf_arena_reset(&arena);
    }
    hf_cursor_close(cursor);
    hf_arena_done(&arena);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- controls ------------------------------------------------------------------------------------------------------ */
static bool count_control(void *ctx, const hf_control *c) {
    hf_metrics_facts *to = ctx;
    if (c->action != HF_CONTROL_STOP)
        to->paused[c->scope]++;
    return true;
}

static hf_code read_controls(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code rc = hf_query_controls(read, &http->tables, &arena, count_control, to, reterr);
    hf_arena_done(&arena);
    return rc;
}

static void one_label(hf_metrics_page *p, const char *family, const char *name, const char *value, int64_t number) {
    char labels[HF_ID_MAX_BYTES + 32];
    snprintf(labels, sizeof labels, "%s=\"%s\"", name, value);
    hf_metrics_int(p, family, "", labels, number);
}

void hf_metrics_put_workers(hf_metrics_page *p, const char *family) {
    static const char *const names[HF_WORKER_STATES] = {"active", "quiet", "draining", "stopped", "lost"};
    for (int i = 0; i < HF_WORKER_STATES; i++)
        one_label(p, family, "state", names[i], p->facts->workers[i]);
}

void hf_metrics_put_paused(hf_metrics_page *p, const char *family) {
    for (int32_t i = 0; i < HF_CONTROL_SCOPES; i++)
        one_label(p, family, "what", i == HF_SCOPE_FLEET ? "claims" : hf_control_scope_name(i), p->facts->paused[i]);
}

void hf_metrics_put_worker_slots(hf_metrics_page *p, const char *family) {
    one_label(p, family, "state", "busy", p->facts->slots_busy);
    one_label(p, family, "state", "free", p->facts->slots_free);
    one_label(p, family, "state", "closed", p->facts->slots_closed);
}

/* With its zeros: what nobody offers is what an alert asks for. */
void hf_metrics_put_workers_for(hf_metrics_page *p, const char *family) {
    char text[32];
    for (uint32_t i = 0; i < HF_OPERATIONS; i++)
        one_label(p, family, "operation", hf_dim_label(HF_D_OPERATION, i, text), p->facts->offering[i]);
}

void hf_metrics_put_workers_with(hf_metrics_page *p, const char *family) {
    char text[32];
    for (uint32_t i = 0; i < HF_REQUIREMENTS; i++)
        one_label(p, family, "requirement", hf_dim_label(HF_D_REQUIREMENT, i, text), p->facts->with[i]);
}

void hf_metrics_put_runner_restarts(hf_metrics_page *p, const char *family) {
    for (size_t i = 0; i < p->facts->worker_count; i++)
        one_label(p, family, "worker", p->facts->worker[i].id, p->facts->worker[i].restarts);
}

void hf_metrics_put_worker_jobs(hf_metrics_page *p, const char *family) {
    for (size_t i = 0; i < p->facts->worker_count; i++)
        one_label(p, family, "worker", p->facts->worker[i].id, p->facts->worker[i].jobs);
}

hf_code hf_metrics_read_fleet(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_code rc = read_waits(http, read, to, reterr);
    if (rc == HF_OK)
        rc = read_controls(http, read, to, reterr);
    if (rc == HF_OK)
        rc = hf_metrics_read_limits(http, read, to, reterr);
    if (rc == HF_OK)
        rc = hf_metrics_read_webhooks(http, read, to, reterr);
    return rc == HF_OK ? read_workers(http, read, to, reterr) : rc;
}

/* ---- partitions ------------------------------------------------------------------------------------------------------ */
/* Of each partition, where it is known (>= 0); past the cap their sum. */
static void put_partitions(hf_metrics_page *p, const char *family, bool lag) {
    char labels[96];
    int64_t others = 0;
    size_t shown = 0;
    for (size_t i = 0; i < p->facts->lag_count; i++) {
        const hf_lag *at = &p->facts->lags[i];
        int64_t value = lag ? at->lag : at->next;
        if (value < 0)
            continue;
        if (shown++ >= HF_METRICS_PARTITIONS) {
            others += value;
            continue;
        }
        snprintf(labels, sizeof labels, "topic=\"%s\",partition=\"%" PRId32 "\"", hf_topic_suffix(at->topic),
                 at->partition);
        hf_metrics_int(p, family, "", labels, value);
    }
    if (shown > HF_METRICS_PARTITIONS)
        hf_metrics_int(p, family, "", "topic=\"other\",partition=\"other\"", others);
}

void hf_metrics_put_next_offset(hf_metrics_page *p, const char *family) { put_partitions(p, family, false); }
void hf_metrics_put_lag(hf_metrics_page *p, const char *family) { put_partitions(p, family, true); }
