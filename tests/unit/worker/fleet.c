#include "tests/unit/worker/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hf_str operations[] = {HF_STR_INIT("export"), HF_STR_INIT("sleep")};
static const hf_str providers[] = {HF_STR_INIT("local")};

hf_worker_options fleet_options(void) {
    return (hf_worker_options){.worker_id = HF_STR("w1"),
                               .incarnation = HF_STR("inc2"),
                               .hostname = HF_STR("host"),
                               .version = HF_STR("1"),
                               .capabilities = {.nbd = true,
                                                .memory_gb = 8,
                                                .disk_space_gb = 100,
                                                .operations = {operations, 2},
                                                .providers = {providers, 1}},
                               .slots = 2,
                               .claims_max = 64,
                               .lease_ms = 30000,
                               .heartbeat_ms = 5000,
                               .stranger_wait_ms = 500,
                               .ageing_ms = 600000,
                               .retry_base_ms = 2000,
                               .retry_max_ms = 60000,
                               .kill_grace_ms = 5000};
}

void fleet_init(fleet *f, const hf_worker_options *options) {
    *f = (fleet){.now = {1768645800000, 1000000}, .ack_heartbeats = true};
    hf_err err;
    assert_int_equal(hf_worker_core_new(options, f->now, &f->core, &err), HF_OK);
}

void fleet_done(fleet *f) {
    hf_worker_core_free(f->core);
    for (int i = 0; i < f->job_count; i++)
        free(f->jobs[i]);
    for (; f->head < f->tail; f->head++)
        free(f->log[f->head]);
    for (; f->limit_head < f->limit_tail; f->limit_head++)
        free(f->limit_log[f->limit_head]);
    for (int i = 0; i < f->limit_count; i++)
        hf_limit_free(f->limits[i]);
}

static int index_of(fleet *f, hf_str id) {
    for (int i = 0; i < f->job_count; i++)
        if (hf_str_eq(f->jobs[i]->id, id))
            return i;
    return -1;
}

hf_job *fleet_job(fleet *f, const char *id) {
    int i = index_of(f, hf_str_of(id));
    assert_true(i >= 0);
    return f->jobs[i];
}

hf_state fleet_state(fleet *f, const char *id) { return (hf_state)fleet_job(f, id)->state; }

hf_verdict fleet_fold(fleet *f, const hf_record *record) {
    int i = index_of(f, record->job_id);
    hf_job after, *before = i >= 0 ? f->jobs[i] : NULL, *now = before;
    hf_verdict v = hf_fold(before, record, (hf_position){0, f->offset++}, &after, NULL);
    if (v == HF_V_ACCEPTED) {
        now = hf_type_clone(&HF_TYPE_JOB, &after);
        assert_non_null(now);
        if (i < 0) {
            i = f->job_count++;
            assert_true(i < FLEET_JOBS);
        }
        f->jobs[i] = now;
    } else
        f->refused++;
    assert_int_equal(hf_worker_core_change(f->core, record, v, now, f->now), HF_OK);
    if (now != before)
        free(before);
    return v;
}

hf_verdict fleet_event(fleet *f, const char *id, int attempt, const char *by, hf_event event, const void *payload) {
    hf_variant t = {(int32_t)event, payload};
    return fleet_fold(f, &(hf_record){.job_id = hf_str_of(id),
                                      .attempt = attempt,
                                      .at = f->now.wall_ms,
                                      .by = hf_str_of(by),
                                      .transitions = {&t, 1}});
}

void fleet_submit(fleet *f, const char *id, hf_exec_policy policy) { fleet_submit_tagged(f, id, NULL, policy); }

void fleet_submit_tagged(fleet *f, const char *id, const char *tag, hf_exec_policy policy) {
    hf_ev_created created;
    hf_str tags[] = {hf_str_of(tag ? tag : "")};
    hf_type_init(HF_TYPES_EVENT[HF_EV_CREATED], &created);
    created.spec.operation = HF_STR("sleep");
    created.spec.policy = policy;
    created.spec.audit.tags = (hf_list){tags, tag ? 1 : 0};
    created.spec.provider = tag ? HF_STR("local") : created.spec.provider;
    if (!policy.priority)
        created.spec.policy.priority = HF_PRIORITY_DEFAULT;
    hf_variant t[] = {{HF_EV_CREATED, &created},
                      {HF_EV_VALIDATED, &(hf_ev_validated){.warnings = {NULL, 0}}},
                      {HF_EV_QUEUED, &(hf_ev_queued){0}}};
    hf_record record = {.job_id = hf_str_of(id), .at = f->now.wall_ms, .by = HF_STR("test"), .transitions = {t, 3}};
    assert_int_equal(fleet_fold(f, &record), HF_V_ACCEPTED);
}

void fleet_read_log(fleet *f) {
    while (f->head < f->tail) {
        hf_record *record = f->log[f->head];
        hf_worker_core_ack(f->core, f->tags[f->head++], HF_OK, f->now);
        fleet_fold(f, record);
        free(record);
    }
    f->head = f->tail = 0;
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */
static hf_limit **limit_at(fleet *f, hf_str key) {
    int i = 0;
    while (i < f->limit_count && !hf_str_eq(f->limits[i]->key, key))
        i++;
    return &f->limits[i];
}

const hf_limit *fleet_limit_of(const fleet *f, const char *key) {
    for (int i = 0; i < f->limit_count; i++)
        if (hf_str_eqz(f->limits[i]->key, key))
            return f->limits[i];
    return NULL;
}

hf_limit_verdict fleet_limit(fleet *f, const hf_limit_event *event) {
    hf_limit **at = limit_at(f, event->key);
    bool is_new = at == &f->limits[f->limit_count], again = false;
    hf_limit_parts parts = {0};
    hf_grant *freed = NULL;
    uint32_t index = 0;
    int64_t offset = f->limit_offset++;
    hf_limit_verdict v = hf_limit_fold(is_new ? NULL : *at, event, (uint32_t)f->limit_count, &index);
    if (v == HF_LV_ACCEPTED) {
        assert_true(!is_new || f->limit_count < FLEET_LIMITS);
        if (is_new)
            *at = hf_limit_new();
        f->limit_count += is_new;
        assert_true(hf_limit_prepare(*at, event, offset, &parts));
        hf_limit_apply(*at, event, index, &parts, &freed);
        is_new = false;
    }
    hf_limit_change c = {{0, offset}, event, v, is_new ? NULL : *at, freed};
    assert_int_equal(hf_worker_core_limit(f->core, &c, f->now, &again), HF_OK);
    free(freed);
    for (int i = 0; again && i < f->job_count; i++)
        assert_int_equal(hf_worker_core_change(f->core, NULL, HF_V_ACCEPTED, f->jobs[i], f->now), HF_OK);
    return v;
}

hf_limit_verdict fleet_limit_set(fleet *f, const char *key, int32_t max) {
    return fleet_limit(
        f, &(hf_limit_event){
               .key = hf_str_of(key), .kind = HF_LIMIT_SET, .at = f->now.wall_ms, .by = HF_STR("test"), .max = max});
}

hf_limit_verdict fleet_limit_taken(fleet *f, const char *key, const char *id, int attempt, const char *by) {
    return fleet_limit(f, &(hf_limit_event){.key = hf_str_of(key),
                                            .kind = HF_LIMIT_TAKEN,
                                            .at = f->now.wall_ms,
                                            .by = hf_str_of(by),
                                            .job_id = hf_str_of(id),
                                            .attempt = attempt,
                                            .ttl_ms = 60000});
}

hf_limit_verdict fleet_limit_freed(fleet *f, const char *key, int64_t grant, int attempt, const char *by) {
    const hf_limit *limit = fleet_limit_of(f, key);
    const hf_grant *g = limit ? hf_limit_grant(limit, grant) : NULL;
    char id[64];
    snprintf(id, sizeof id, "%.*s", g ? (int)g->job_id.len : 1, g ? g->job_id.p : "-");
    return fleet_limit(f, &(hf_limit_event){.key = hf_str_of(key),
                                            .kind = HF_LIMIT_FREED,
                                            .at = f->now.wall_ms,
                                            .by = hf_str_of(by),
                                            .job_id = hf_str_of(id),
                                            .attempt = attempt,
                                            .grant = grant});
}

void fleet_read_limits(fleet *f) {
    while (f->limit_head < f->limit_tail) {
        hf_limit_event *event = f->limit_log[f->limit_head];
        hf_worker_core_ack(f->core, f->limit_tags[f->limit_head++], HF_OK, f->now);
        fleet_limit(f, event);
        free(event);
    }
    f->limit_head = f->limit_tail = 0;
}

static void take(fleet *f, const hf_action *a) {
    if (a->kind == HF_ACT_HEARTBEAT) {
        f->heartbeats++;
        f->last = *a->heartbeat;
        hf_worker_core_ack(f->core, a->tag, f->ack_heartbeats ? HF_OK : HF_E_LOG_NOT_ACKED, f->now);
    } else if (a->kind == HF_ACT_PROPOSE) {
        f->proposals++;
        f->tags[f->tail] = a->tag;
        f->log[f->tail++] = hf_type_clone(&HF_TYPE_RECORD, a->record);
    } else if (a->kind == HF_ACT_GRANT) {
        assert_true(f->limit_tail < 1024);
        f->limit_tags[f->limit_tail] = a->tag;
        f->limit_log[f->limit_tail++] = hf_type_clone(&HF_TYPE_LIMIT_EVENT, a->limit);
    } else {
        assert_true(f->act_count < 1024);
        f->acts[f->act_count].kind = a->kind;
        f->acts[f->act_count].slot = a->slot;
        f->acts[f->act_count].attempt = a->attempt;
        f->acts[f->act_count].reason = a->reason;
        f->acts[f->act_count].serial = a->serial;
        f->acts[f->act_count].bandwidth = a->bandwidth;
        f->acts[f->act_count].code = a->code;
        snprintf(f->acts[f->act_count++].id, 64, "%.*s", HF_STR_ARG(a->job_id));
        if (a->kind == HF_ACT_RECALL) /* our runners begin only the first */
            hf_worker_core_returned(f->core, a->slot, a->job_id, a->attempt, f->now);
    }
}

void fleet_run(fleet *f) {
    for (int rounds = 0;; rounds++) {
        hf_action actions[FLEET_ACTIONS];
        size_t count;
        hf_err err;
        assert_true(rounds < 1000);
        assert_int_equal(hf_worker_core_step(f->core, f->now, actions, FLEET_ACTIONS, &count, &err), HF_OK);
        for (size_t i = 0; i < count; i++)
            take(f, &actions[i]);
        bool news = (!f->hold && f->head < f->tail) || (!f->hold_limits && f->limit_head < f->limit_tail);
        if (!f->hold_limits)
            fleet_read_limits(f);
        if (!f->hold)
            fleet_read_log(f);
        if (!count && !news)
            return;
    }
}

void fleet_pass(fleet *f, int64_t ms) {
    while (ms > 0) {
        int64_t step = ms < 50 ? ms : 50;
        ms -= step;
        f->now.wall_ms += step;
        f->now.mono_ms += step;
        fleet_run(f);
    }
}

int fleet_find(const fleet *f, hf_action_kind kind, const char *id) {
    for (int i = f->act_count; i-- > 0;)
        if (f->acts[i].kind == kind && !strcmp(f->acts[i].id, id))
            return i;
    return -1;
}

int fleet_slot(const fleet *f, const char *id) {
    int i = fleet_find(f, HF_ACT_START, id);
    return i < 0 ? -1 : f->acts[i].slot;
}

void fleet_finish(fleet *f, const char *id, hf_code code) {
    int i = fleet_find(f, HF_ACT_START, id);
    assert_true(i >= 0);
    hf_outcome outcome = {.code = code, .message = HF_STR("it went so")};
    hf_worker_core_done(f->core, f->acts[i].slot, hf_str_of(id), f->acts[i].attempt, &outcome, f->now);
    fleet_run(f);
}

void fleet_peer(fleet *f, const char *id, int slots, int busy) {
    hf_heartbeat hb = {.worker_id = hf_str_of(id),
                       .incarnation = HF_STR("x"),
                       .at = f->now.wall_ms,
                       .slots = slots,
                       .slots_busy = busy,
                       .interval_ms = 5000,
                       .lease_ms = 30000,
                       .state = HF_W_ACTIVE,
                       .capabilities = {.nbd = true,
                                        .memory_gb = 8,
                                        .disk_space_gb = 100,
                                        .operations = {operations, 2},
                                        .providers = {providers, 1}}};
    hf_worker_core_heartbeat(f->core, &hb, f->now);
}
