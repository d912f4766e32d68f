#include "producer/dispatch/dispatcher.h"

#include <poll.h>
#include <stdio.h>

#include "journal/log/klog.h"
#include "journal/log/registry_codec.h"
#include "journal/replica/follow.h"
#include "producer/dispatch/decide.h"
#include "producer/dispatch/grants.h"
#include "producer/dispatch/intake_stage.h"
#include "producer/dispatch/limit_list.h"
#include "producer/dispatch/states.h"
#include "producer/dispatch/states_catchup.h"
#include "producer/schedule/keeper.h"
#include "schemas/base/fault.h"
#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/base/ready.h"
#include "schemas/job/control.h"

enum {
    FEED_MAX = 8192,  /* records folded per turn */
    GRANTS_MAX = 256, /* grants freed per turn */
    DUE_MAX = 512,    /* proposals per turn */
    ARENA_BYTES = 16 << 20,
    BULK_IN_FLIGHT = 128, /* as many unacknowledged records mean load: let requests fill */
    IDLE_MS = 1000,
    CATCHUP_MS = 10, /* between steps of catching up with job-states */
    STOP_MS = 5000,
    SETTLE_AGAIN_MS = 5000, /* after limits of the configuration were not acknowledged */
    OWNED_WORDS = 16,
    FOLD_VERSION_LAYOUT = 2,
};

#define TAG_LIMITS (UINT64_C(1) << 60)

typedef struct dispatcher {
    const hf_config *config;
    const hf_clock *clock;
    hf_klog *log;
    hf_registry_link *registry;
    hf_codec *codec;
    hf_follow *follow;
    hf_dispatch *core;
    hf_freer *freer;       /* of grants of limits */
    int32_t partitions;    /* of limits */
    hf_limit_list *limits; /* of the configuration; NULL: it says nothing of them */
    int64_t settle_ms;     /* monotonic: when to make the topic agree with them; INT64_MAX: it does */
    hf_intake_stage *intake;
    hf_keeper *keeper;   /* schedules */
    hf_states *states;   /* NULL: not published */
    hf_catchup *catchup; /* of states */
    hf_arena arena;
    hf_buf out;
    char me[256];
    uint64_t owned[OWNED_WORDS];
    bool ready, paused /* intake, by a control */;
    int retry_ms;   /* longest sleep of the loop */
    hf_code failed; /* set inside a hook, looked at after the step */
    hf_err err;
} dispatcher;

static int64_t mono(const dispatcher *d) { return hf_mono_ms(d->clock); }

/* ---- hooks of the replica ------------------------------------------------------------------------------ */
static void fail_later(dispatcher *d, hf_code code) {
    if (d->failed == HF_OK)
        d->failed = code;
}

static bool owned(const dispatcher *d, int32_t partition) {
    return partition >= 0 && partition < OWNED_WORDS * 64 && (d->owned[partition / 64] >> (partition % 64) & 1);
}

static void publish_state(dispatcher *d, const hf_job *job) {
    if (!d->states || !hf_states_is_open(d->states, job->last.partition))
        return;
    hf_code code = hf_states_changed(d->states, job, job->last.partition, &d->err);
    if (code != HF_OK)
        fail_later(d, code);
}

static void on_change(void *ctx, const hf_change *c) {
    dispatcher *d = ctx;
    if (c->verdict != HF_V_ACCEPTED || c->unreadable || !c->after)
        return;
    hf_code code = hf_dispatch_job(d->core, c->after, hf_wall_ms(d->clock), mono(d));
    if (code != HF_OK)
        fail_later(d, hf_fail(&d->err, code, "watching job %.*s", HF_STR_ARG(c->after->id)));
    hf_freer_job(d->freer, c->after, mono(d));
    publish_state(d, c->after);
    hf_keeper_change(d->keeper, hf_follow_replica(d->follow), c);
}

/* Intake alone is the dispatchers' to pause; claims are the workers'. */
static void on_control(dispatcher *d, const hf_log_record *r) {
    hf_control control = {.action = HF_CONTROL_RESUME, .scope = HF_SCOPE_INTAKE};
    hf_err err;
    hf_str name;
    int32_t scope = HF_SCOPE_INTAKE;
    hf_arena_reset(&d->arena);
    if (!r->value.p) {
        if (!hf_str_eqz(r->key, "intake"))
            return;
    } else if (hf_decode(d->codec, HF_SCHEMA_CONTROL, r->value, &d->arena, &control, &err) != HF_OK) {
        HF_LOG_ERR(WARN, "control-unreadable", &err, {"offset", HF_V_INT(r->offset)});
        return;
    } else if (!hf_control_target(r->key, &control, &scope, &name) || scope != HF_SCOPE_INTAKE)
        return;
    d->paused = control.action != HF_CONTROL_RESUME;
    if (!d->ready)
        return; /* begins with what the last of them says */
    hf_intake_stage_pause(d->intake, d->paused);
    HF_LOG(INFO, "intake", {"paused", HF_V_BOOL(d->paused)}, {"by", HF_V_STR(control.by)},
           {"reason", HF_V_STR(control.reason)});
}

static void on_limit(void *ctx, const hf_limit_change *c) {
    dispatcher *d = ctx;
    if (d->ready && c->verdict != HF_LV_ACCEPTED && c->event->kind == HF_LIMIT_SET)
        HF_LOG(WARN, "limit-refused", {"limit", HF_V_STR(c->event->key)}, {"by", HF_V_STR(c->event->by)},
               {"why", HF_V_Z(hf_limit_verdict_sentence(c->verdict))});
    if (!hf_freer_change(d->freer, c, mono(d)))
        fail_later(d, hf_fail(&d->err, HF_E_NO_MEMORY, "watching limit %.*s", HF_STR_ARG(c->event->key)));
}

static bool watch_limit(void *ctx, const hf_limit *limit) {
    dispatcher *d = ctx;
    int32_t partition = hf_klog_partition_of(limit->key, d->partitions);
    if (!hf_freer_limit(d->freer, partition, limit, mono(d)))
        fail_later(d, hf_fail(&d->err, HF_E_NO_MEMORY, "watching limit %.*s", HF_STR_ARG(limit->key)));
    return d->failed == HF_OK;
}

static const hf_job *look_at_job(void *ctx, hf_str id, bool *ret_ended) {
    dispatcher *d = ctx;
    hf_replica *replica = hf_follow_replica(d->follow);
    const hf_job *job = hf_replica_job(replica, id);
    *ret_ended = !job && hf_replica_id_known(replica, id);
    return job;
}

static void on_record(void *ctx, const hf_log_record *r) {
    dispatcher *d = ctx;
    if (r->topic == HF_TOPIC_CONTROLS) {
        on_control(d, r);
        return;
    }
    if (r->topic == HF_TOPIC_SCHEDULES) {
        hf_code code = hf_keeper_record(d->keeper, hf_follow_replica(d->follow), r, &d->err);
        if (code != HF_OK)
            fail_later(d, code);
        return;
    }
    if (r->topic != HF_TOPIC_WORKERS || !r->value.p)
        return;
    hf_heartbeat beat;
    hf_err err;
    hf_arena_reset(&d->arena);
    if (hf_decode(d->codec, HF_SCHEMA_HEARTBEAT, r->value, &d->arena, &beat, &err) == HF_OK)
        hf_dispatch_heartbeat(d->core, &beat, mono(d));
    else
        HF_LOG_ERR(WARN, "heartbeat-unreadable", &err, {"offset", HF_V_INT(r->offset)});
}

static bool watch_live(void *ctx, const hf_job *job) {
    dispatcher *d = ctx;
    hf_code code = hf_dispatch_job(d->core, job, hf_wall_ms(d->clock), mono(d));
    if (code != HF_OK)
        fail_later(d, hf_fail(&d->err, code, "watching job %.*s", HF_STR_ARG(job->id)));
    return d->failed == HF_OK;
}

static void limit_reported(dispatcher *d, const hf_report *report) {
    if (report->error == HF_OK)
        return;
    HF_LOG(WARN, "limit-not-acknowledged", {"error", HF_V_Z(hf_code_name(report->error))},
           {"detail", HF_V_Z(report->detail)});
    d->settle_ms = mono(d) + SETTLE_AGAIN_MS;
}

static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    dispatcher *d = ctx;
    if (hf_intake_stage_tag(tag))
        hf_intake_stage_report(d->intake, tag, report);
    else if (hf_states_tag(tag))
        hf_states_report(d->states, tag, report);
    else if (hf_keeper_tag(tag))
        hf_keeper_report(d->keeper, tag, report);
    else if (tag == TAG_LIMITS)
        limit_reported(d, report);
    else if (report->error != HF_OK) /* a decision: decide.h repeats it while it is still due */
        HF_LOG(WARN, "decision-not-acknowledged", {"error", HF_V_Z(hf_code_name(report->error))},
               {"detail", HF_V_Z(report->detail)});
}

/* ---- one turn of the loop --------------------------------------------------------------------------- */
static hf_code propose_due(dispatcher *d, hf_err *reterr) {
    static hf_record due[DUE_MAX];
    hf_arena_reset(&d->arena);
    size_t n = hf_dispatch_due(d->core, hf_wall_ms(d->clock), mono(d), &d->arena, due, DUE_MAX);
    for (size_t i = 0; i < n; i++) {
        hf_buf_clear(&d->out);
        hf_code code = hf_encode(d->codec, HF_SCHEMA_RECORD, &due[i], &d->out, reterr);
        if (code == HF_OK)
            code = hf_klog_produce(d->log, HF_TOPIC_JOB_EVENTS, -1, due[i].job_id, hf_buf_str(&d->out), "JobEvent",
                                   NULL, 0, 0, reterr);
        if (code == HF_E_LOG_QUEUE_FULL)
            return HF_OK; /* decide.h repeats what had no effect */
        if (code != HF_OK)
            return code;
        HF_LOG(INFO, "proposed", {"job", HF_V_STR(due[i].job_id)},
               {"event", HF_V_Z(hf_event_name(hf_record_event(&due[i], 0)))}, {"attempt", HF_V_INT(due[i].attempt)});
        hf_fault_point("dispatch-after-propose");
    }
    return HF_OK;
}

static hf_code free_grants(dispatcher *d, hf_err *reterr) {
    static hf_limit_event due[GRANTS_MAX];
    hf_arena_reset(&d->arena);
    size_t n = hf_freer_due(d->freer, hf_wall_ms(d->clock), mono(d), look_at_job, d, &d->arena, due, GRANTS_MAX);
    for (size_t i = 0; i < n; i++) {
        hf_buf_clear(&d->out);
        hf_code code = hf_encode(d->codec, HF_SCHEMA_LIMIT, &due[i], &d->out, reterr);
        if (code == HF_OK)
            code = hf_klog_produce(d->log, HF_TOPIC_LIMITS, -1, due[i].key, hf_buf_str(&d->out), "LimitEvent", NULL, 0,
                                   0, reterr);
        if (code == HF_E_LOG_QUEUE_FULL)
            return HF_OK; /* it is still due, and comes again */
        if (code != HF_OK)
            return code;
        HF_LOG(INFO, "grant-freed", {"limit", HF_V_STR(due[i].key)}, {"job", HF_V_STR(due[i].job_id)},
               {"attempt", HF_V_INT(due[i].attempt)}, {"reason", HF_V_STR(due[i].reason)});
    }
    return HF_OK;
}

/* ---- limits of the configuration ----------------------------------------------------------------------- */
static hf_code publish_limit(void *ctx, hf_limit_event *set, hf_err *reterr) {
    dispatcher *d = ctx;
    set->at = hf_wall_ms(d->clock);
    hf_buf_clear(&d->out);
    hf_code code = hf_encode(d->codec, HF_SCHEMA_LIMIT, set, &d->out, reterr);
    if (code == HF_OK)
        code = hf_klog_produce(d->log, HF_TOPIC_LIMITS, -1, set->key, hf_buf_str(&d->out), "LimitEvent", NULL, 0,
                               TAG_LIMITS, reterr);
    if (code == HF_OK)
        HF_LOG(INFO, "limit-of-configuration", {"limit", HF_V_STR(set->key)}, {"max", HF_V_INT(set->max)});
    return code;
}

typedef struct settling {
    dispatcher *d;
    hf_code code;
    hf_err *err;
} settling;

static bool settle_limit(void *ctx, const hf_limit *limit) {
    settling *s = ctx;
    s->code = hf_limit_list_seen(s->d->limits, limit, publish_limit, s->d, s->err);
    return s->code == HF_OK;
}

/* What could not be produced now, or is not acknowledged, differs still when it is looked at again. */
static hf_code settle_limits(dispatcher *d, hf_err *reterr) {
    settling s = {d, HF_OK, reterr};
    d->settle_ms = INT64_MAX;
    hf_limit_list_begin(d->limits);
    hf_replica_each_limit(hf_follow_replica(d->follow), settle_limit, &s);
    if (s.code == HF_OK)
        s.code = hf_limit_list_rest(d->limits, publish_limit, d, reterr);
    if (s.code != HF_OK)
        d->settle_ms = mono(d) + SETTLE_AGAIN_MS;
    return s.code == HF_E_LOG_QUEUE_FULL ? HF_OK : s.code;
}

static void take_ownership(dispatcher *d) {
    uint64_t before[OWNED_WORDS];
    memcpy(before, d->owned, sizeof before);
    if (!hf_intake_stage_owned(d->intake, d->owned, OWNED_WORDS))
        return;
    hf_dispatch_owned(d->core, d->owned, OWNED_WORDS);
    hf_freer_owned(d->freer, d->owned, OWNED_WORDS);
    hf_keeper_owned(d->keeper, d->owned, OWNED_WORDS);
    for (int32_t p = 0; d->catchup && p < OWNED_WORDS * 64; p++) {
        bool had = before[p / 64] >> (p % 64) & 1, has = owned(d, p);
        if (had != has)
            hf_catchup_want(d->catchup, p, has);
    }
}

static void become_ready(dispatcher *d) {
    if (d->ready || !hf_follow_caught_up(d->follow))
        return;
    d->ready = true;
    hf_intake_stage_pause(d->intake, d->paused);
    HF_LOG(INFO, "ready", {"watched", HF_V_INT(hf_dispatch_watched(d->core))},
           {"schedules", HF_V_INT(hf_keeper_count(d->keeper))}, {"by", HF_V_Z(d->me)},
           {"intake_paused", HF_V_BOOL(d->paused)});
    hf_ready_notify();
}

/* May schedules make jobs now? Whatever keeps new jobs out belongs here: their catch-up windows say what comes of the runs
 * that were due meanwhile. */
static bool may_tick(const dispatcher *d) { return d->ready && !d->paused; }

static hf_code turn(dispatcher *d, bool *ret_more, hf_err *reterr) {
    size_t fed = 0;
    bool intake_more = false, ticks_more = false;
    hf_klog_poll_reports(d->log, 0);
    hf_code code = HF_OK;
    if (!d->states || hf_states_waiting(d->states) + FEED_MAX < HF_STATES_MAX)
        code = hf_follow_step(d->follow, FEED_MAX, &fed, reterr);
    if (code == HF_OK && d->failed != HF_OK) {
        *reterr = d->err;
        return d->failed;
    }
    become_ready(d);
    if (code == HF_OK)
        code = hf_intake_stage_step(d->intake, d->clock, &intake_more, reterr);
    if (code != HF_OK)
        return code;
    take_ownership(d);
    if (d->ready && fed < FEED_MAX && hf_dispatch_next_ms(d->core) <= mono(d))
        code = propose_due(d, reterr);
    if (code == HF_OK && d->ready && fed < FEED_MAX && hf_freer_next_ms(d->freer) <= mono(d))
        code = free_grants(d, reterr);
    if (code == HF_OK && d->ready && fed < FEED_MAX && d->settle_ms <= mono(d))
        code = settle_limits(d, reterr);
    if (code == HF_OK && may_tick(d) && fed < FEED_MAX && hf_keeper_idle_ms(d->keeper) == 0)
        code = hf_keeper_step(d->keeper, &ticks_more, reterr);
    bool catching_up = d->ready && d->catchup && hf_catchup_step(d->catchup);
    d->retry_ms = catching_up ? CATCHUP_MS : IDLE_MS;
    if (d->states)
        hf_states_flush(d->states, mono(d), false);
    hf_klog_bulk(d->log, hf_klog_in_flight(d->log) > BULK_IN_FLIGHT);
    *ret_more = fed == FEED_MAX || intake_more || ticks_more;
    return code;
}

static int wait_ms(const dispatcher *d) {
    int64_t now = mono(d), until = now + d->retry_ms;
    int follow_ms = hf_follow_timeout_ms(d->follow);
    if (follow_ms >= 0 && now + follow_ms < until)
        until = now + follow_ms;
    if (d->ready && hf_dispatch_next_ms(d->core) < until)
        until = hf_dispatch_next_ms(d->core);
    if (d->ready && hf_freer_next_ms(d->freer) < until)
        until = hf_freer_next_ms(d->freer);
    if (d->ready && d->settle_ms < until)
        until = d->settle_ms;
    if (d->states && hf_states_next_ms(d->states) < until)
        until = hf_states_next_ms(d->states);
    if (may_tick(d) && hf_keeper_idle_ms(d->keeper) < until - now)
        until = now + hf_keeper_idle_ms(d->keeper);
    return until > now ? (int)(until - now) : 0;
}

static hf_code loop(dispatcher *d, const volatile sig_atomic_t *stop, hf_err *reterr) {
    while (!*stop) {
        bool more = false;
        hf_code code = turn(d, &more, reterr);
        if (code != HF_OK && hf_code_policy(code) != HF_POLICY_RETRY)
            return code;
        if (code != HF_OK)
            HF_LOG_ERR(WARN, "turn", reterr, {"policy", HF_V_Z("retry")});
        struct pollfd fds[] = {{hf_klog_report_fd(d->log), POLLIN, 0},
                               {hf_follow_fd(d->follow), POLLIN, 0},
                               {hf_intake_stage_fd(d->intake), POLLIN, 0}};
        poll(fds, HF_ARRAY_LEN(fds), code != HF_OK ? 100 : more ? 0 : wait_ms(d));
    }
    return HF_OK;
}

/* ---- beginning and end ---------------------------------------------------------------------------------- */
static hf_code open_follow(dispatcher *d, const char *id, hf_err *reterr) {
    char dir[1200], host[128];
    snprintf(dir, sizeof dir, "%s/dispatch-%s", hf_config_str(d->config, HF_C_STATE_DIR),
             *id ? id : hf_host_name(host, sizeof host));
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code != HF_OK)
        return code;
    hf_store_options store = {.kind = "dispatch",
                              .fleet = hf_config_str(d->config, HF_C_FLEET),
                              .max_readers = 16,
                              .map_bytes = 64 << 20,
                              .map_max_bytes = (size_t)hf_config_int(d->config, HF_C_JOURNAL_MAP_MAX),
                              .version = HF_FOLD_VERSION * 1000 + FOLD_VERSION_LAYOUT};
    hf_follow_options follow = {
        .replica = {.profile = HF_PROFILE_LIVE, .fleet = store.fleet, .clock = d->clock},
        .hooks = {.ctx = d, .on_change = on_change, .on_limit = on_limit, .on_record = on_record},
        .topics = 1u << HF_TOPIC_JOB_EVENTS | 1u << HF_TOPIC_WORKERS | 1u << HF_TOPIC_SCHEDULES |
                  1u << HF_TOPIC_CONTROLS | 1u << HF_TOPIC_LIMITS,
        .commit_interval_ms = 1000};
    code = hf_follow_open(d->log, d->codec, dir, &store, &follow, &d->follow, reterr);
    if (code == HF_OK)
        code = hf_klog_partitions(d->log, HF_TOPIC_LIMITS, &d->partitions, reterr);
    if (code == HF_OK) {
        hf_replica_each_limit(hf_follow_replica(d->follow), watch_limit, d);
        hf_replica_each_live(hf_follow_replica(d->follow), watch_live, d);
    }
    return code;
}

static hf_code open_all(dispatcher *d, const char *id, hf_err *reterr) {
    char incarnation[HF_UUID_BYTES];
    hf_producer_name("hyperdispatch", hf_id_new(d->clock, hf_random_system(), incarnation), d->me, sizeof d->me);
    hf_arena_init(&d->arena, ARENA_BYTES);
    hf_buf_init(&d->out, HF_MAX_RECORD);
    hf_dispatch_options core = {.me = hf_str_of(d->me),
                                .lease_grace_ms = hf_config_int(d->config, HF_C_DISPATCH_LEASE_GRACE),
                                .stand_in_ms = 5000,
                                .half_way_ms = 2000,
                                .repeat_ms = 5000};
    d->core = hf_dispatch_new(&core);
    hf_freer_options freer = {.me = core.me,
                              .patience_ms = 1000,
                              .stand_in_ms = core.stand_in_ms,
                              .repeat_ms = core.repeat_ms,
                              .grace_ms = core.lease_grace_ms};
    d->freer = hf_freer_new(&freer);
    if (!d->core || !d->freer)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    hf_code code = hf_limit_list_read(d->config, &d->limits, reterr);
    d->settle_ms = d->limits ? 0 : INT64_MAX;
    if (code == HF_OK)
        code = hf_registry_codec(d->config, HF_REGISTRY_WRITES_ALL, NULL, &d->registry, &d->codec, reterr);
    if (code == HF_OK)
        code = hf_klog_open(d->config, d->me, true, 30000, &d->log, reterr);
    if (code != HF_OK)
        return code;
    hf_klog_on_report(d->log, on_report, d);
    if (hf_config_bool(d->config, HF_C_DISPATCH_STATES) && !(d->states = hf_states_new(d->log, d->codec)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    code = hf_keeper_new(d->config, d->log, d->codec, d->clock, hf_str_of(d->me), &d->keeper, reterr);
    if (code == HF_OK)
        code = open_follow(d, id, reterr);
    if (code == HF_OK && d->states &&
        !(d->catchup =
              hf_catchup_new(d->log, d->codec, hf_follow_replica(d->follow), hf_follow_store(d->follow), d->states)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    if (code == HF_OK)
        code = hf_intake_stage_open(d->log, d->codec, hf_str_of(d->me), &d->intake, reterr);
    return code;
}

static void finish(dispatcher *d) {
    int64_t until = mono(d) + STOP_MS;
    if (d->states)
        hf_states_flush(d->states, mono(d), true);
    while (d->log && d->intake && hf_klog_in_flight(d->log) > 0 && mono(d) < until)
        hf_klog_poll_reports(d->log, 50);
}

static void close_all(dispatcher *d) {
    hf_catchup_free(d->catchup);
    hf_follow_close(d->follow);
    hf_intake_stage_close(d->intake);
    hf_klog_close(d->log);
    hf_states_free(d->states);
    hf_keeper_free(d->keeper);
    hf_dispatch_free(d->core);
    hf_freer_free(d->freer);
    hf_limit_list_free(d->limits);
    hf_codec_free(d->codec);
    hf_registry_link_free(d->registry);
    hf_arena_done(&d->arena);
    hf_buf_done(&d->out);
}

hf_code hf_dispatcher_run(const hf_dispatcher_options *options, hf_err *reterr) {
    dispatcher *d = hf_alloc(sizeof *d);
    if (!d)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    d->config = options->config;
    d->clock = hf_clock_system();
    hf_code code = open_all(d, options->id, reterr);
    if (code == HF_OK)
        code = loop(d, options->stop, reterr);
    finish(d);
    close_all(d);
    free(d);
    return code;
}
