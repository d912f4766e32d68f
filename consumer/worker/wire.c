/* Records out: proposals, heartbeats, progress. Records in: what the replica folded, heartbeats, controls. */
#include "consumer/worker/peers.h"
#include "consumer/worker/shell.h"
#include "schemas/base/fault.h"
#include "schemas/base/log.h"
#include "schemas/job/control.h"

/* ---- out ------------------------------------------------------------------------------------------------------ */
static hf_code produce(hf_shell *s, hf_topic topic, hf_str key, hf_schema schema, const void *record, uint64_t tag,
                       hf_err *reterr) {
    hf_buf_clear(&s->out);
    hf_code code = hf_encode(s->codec, schema, record, &s->out, reterr);
    if (!code)
        code =
            hf_klog_produce(s->log, topic, -1, key, hf_buf_str(&s->out), hf_schema_name(schema), NULL, 0, tag, reterr);
    if (!code)
        s->produced++;
    return code;
}

/* A full queue is no news; anything else is told, at most once a second. */
static void complain(hf_shell *s, const char *event, const hf_err *err, hf_str job_id) {
    int64_t now = s->now.mono_ms;
    if (err->code == HF_E_LOG_QUEUE_FULL || now - s->complained_ms < 1000)
        return;
    s->complained_ms = now;
    HF_LOG_ERR(WARN, event, err, {"job", HF_V_STR(job_id)});
}

void hf_shell_propose(hf_shell *s, const hf_action *a) {
    hf_err err;
    hf_code code = produce(s, HF_TOPIC_JOB_EVENTS, a->record->job_id, HF_SCHEMA_RECORD, a->record, a->tag, &err);
    if (code) { /* it goes out again a little later */
        hf_worker_core_ack(s->core, a->tag, code, s->now);
        complain(s, "proposal-held-back", &err, a->record->job_id);
        return;
    }
    if (hf_record_event(a->record, a->record->transitions.count - 1) == HF_EV_COMPLETED)
        hf_fault_point("worker-after-complete-produced");
}

void hf_shell_limit(hf_shell *s, const hf_action *a) {
    hf_err err;
    hf_code code = produce(s, HF_TOPIC_LIMITS, a->limit->key, HF_SCHEMA_LIMIT, a->limit, a->tag, &err);
    if (!code)
        return;
    hf_worker_core_ack(s->core, a->tag, code, s->now);
    complain(s, "grant-held-back", &err, a->limit->job_id);
}

void hf_shell_heartbeat(hf_shell *s, uint64_t tag, const hf_heartbeat *heartbeat) {
    hf_err err;
    hf_code code = produce(s, HF_TOPIC_WORKERS, heartbeat->worker_id, HF_SCHEMA_HEARTBEAT, heartbeat, tag, &err);
    if (!code)
        return;
    hf_worker_core_ack(s->core, tag, code, s->now);
    complain(s, "heartbeat-held-back", &err, HF_STR_NONE);
}

/* Progress is for people to look at: told now and then, dropped when there is no room. Log lines are told all; the runner
 * bounds them. */
void hf_shell_progress(void *ctx, int32_t slot, const hf_progress *progress) {
    hf_shell *s = ctx;
    if (!hf_worker_core_owns(s->core, slot, progress->job_id, progress->attempt))
        return;
    if (progress->phase.len)
        hf_worker_core_phase(s->core, slot, progress->job_id, progress->attempt, progress->phase);
    int64_t now = s->now.mono_ms;
    if (!progress->level.len) {
        if (now - s->progress_at_ms[slot] < HF_PROGRESS_MS - 10) /* the runner keeps the time too */
            return;
        s->progress_at_ms[slot] = now;
    }
    hf_progress told = *progress;
    told.worker = hf_worker_core_identity(s->core);
    hf_err err;
    if (hf_klog_in_flight(s->log) > 50000 ||
        produce(s, HF_TOPIC_PROGRESS, told.job_id, HF_SCHEMA_PROGRESS, &told, 1ULL << HF_PROGRESS_TAG_BIT, &err))
        s->progress_dropped++;
}

void hf_shell_announce(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str text) {
    hf_shell *s = ctx;
    hf_code code = hf_worker_core_announce(s->core, slot, job_id, attempt, serial, text);
    if (code)
        hf_runners_announced(s->runners, slot, job_id, attempt, serial, code);
}

void hf_shell_ask(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str asked) {
    hf_shell *s = ctx;
    hf_replica *replica = hf_follow_replica(s->follow);
    const hf_job *job = hf_replica_job(replica, asked);
    hf_code code = job && !hf_state_terminal((hf_state)job->state) ? HF_E_CONFLICT
                   : hf_replica_id_known(replica, asked)           ? HF_OK
                                                                   : HF_E_NOT_FOUND;
    hf_runners_announced(s->runners, slot, job_id, attempt, serial, code);
}

void hf_shell_on_report(void *ctx, uint64_t tag, const hf_report *report) {
    hf_shell *s = ctx;
    if (tag >> HF_PROGRESS_TAG_BIT & 1 && !(tag >> 63))
        return;
    hf_worker_core_ack(s->core, tag, report->error, s->now);
    if (report->error) {
        hf_err err;
        hf_fail(&err, report->error, "%s/%d: %s", hf_topic_suffix(report->topic), report->partition,
                report->detail ? report->detail : "");
        complain(s, "not-acknowledged", &err, HF_STR_NONE);
    }
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */
static bool is_own(const hf_shell *s, const hf_change *c, hf_event event) {
    return c->verdict == HF_V_ACCEPTED && hf_record_event(c->record, c->record->transitions.count - 1) == event &&
           hf_str_eq(c->record->by, hf_worker_core_identity(s->core));
}

void hf_shell_on_change(void *ctx, const hf_change *c) {
    hf_shell *s = ctx;
    if (!c->record || s->failed)
        return;
    hf_code code = hf_worker_core_change(s->core, c->record, c->verdict, c->after, s->now);
    if (code)
        hf_shell_fail(s, hf_fail(&s->err, code, "job %.*s", HF_STR_ARG(c->record->job_id)));
    if (is_own(s, c, HF_EV_ASSIGNED))
        hf_fault_point("worker-after-claim");
    if (is_own(s, c, HF_EV_COMPLETED))
        hf_fault_point("worker-after-complete-read");
}

void hf_shell_on_limit(void *ctx, const hf_limit_change *c) {
    hf_shell *s = ctx;
    bool again = false;
    if (s->failed)
        return;
    hf_code code = hf_worker_core_limit(s->core, c, s->now, &again);
    if (code)
        hf_shell_fail(s, hf_fail(&s->err, code, "limit %.*s", HF_STR_ARG(c->event->key)));
    s->limits_new |= again;
    if (s->caught_up && c->verdict == HF_LV_ACCEPTED && c->event->kind == HF_LIMIT_SET)
        HF_LOG(INFO, "limit", {"limit", HF_V_STR(c->event->key)}, {"max", HF_V_INT(c->event->max)},
               {"by", HF_V_STR(c->event->by)}, {"reason", HF_V_STR(c->event->reason)});
}

/* A stop is for the process that ran when it was given: one that was started since must be able to. */
static bool stops_me(const hf_shell *s, const hf_control *c) {
    return c->action == HF_CONTROL_STOP &&
           (c->incarnation.len ? hf_str_eqz(c->incarnation, s->incarnation) : s->caught_up && c->at >= s->started_ms);
}

static void obey(hf_shell *s) {
    bool give_back = s->told == HF_CONTROL_DRAIN, quiet = give_back || s->told == HF_CONTROL_QUIET;
    hf_worker_core_quiet(s->core, s->fleet_quiet || quiet, give_back, s->now);
}

static void on_worker_control(hf_shell *s, const hf_control *c) {
    s->told = c->action == HF_CONTROL_PAUSE ? HF_CONTROL_QUIET : c->action;
    obey(s);
    if (stops_me(s, c) && s->stops_asked == 0)
        hf_shell_stop(s);
}

static void on_control(hf_shell *s, int32_t scope, hf_str name, const hf_control *c) {
    bool paused = c->action != HF_CONTROL_RESUME, obeyed = true;
    if (scope == HF_SCOPE_INTAKE || (scope == HF_SCOPE_WORKER && !hf_str_eqz(name, s->id)))
        return;
    if (scope == HF_SCOPE_OPERATION)
        obeyed = hf_worker_core_pause_operation(s->core, name, paused);
    else if (scope == HF_SCOPE_PROVIDER)
        obeyed = hf_worker_core_pause_provider(s->core, name, paused);
    else if (scope == HF_SCOPE_FLEET) {
        s->fleet_quiet = paused;
        obey(s);
    } else
        on_worker_control(s, c);
    if (!obeyed)
        HF_LOG(WARN, "control-not-obeyed", {"scope", HF_V_Z(hf_control_scope_name(scope))}, {"name", HF_V_STR(name)},
               {"limit", HF_V_INT(HF_PAUSED_MAX)}, {"remedy", HF_V_Z("resume others, or pause the claims of all")});
    else if (s->caught_up || paused)
        HF_LOG(INFO, "control", {"scope", HF_V_Z(hf_control_scope_name(scope))}, {"name", HF_V_STR(name)},
               {"action", HF_V_Z(hf_control_action_name(c->action))}, {"by", HF_V_STR(c->by)},
               {"reason", HF_V_STR(c->reason)});
}

/* A tombstone takes a control back; what it was for is not known any more, so it is resumed for all it can have meant. */
static void on_control_gone(hf_shell *s, hf_str key) {
    hf_str name;
    unsigned scopes = hf_control_scopes_of(key, &name);
    for (int32_t scope = 0; scope < HF_CONTROL_SCOPES; scope++)
        if (scopes & 1u << scope)
            on_control(s, scope, name, &(hf_control){.scope = scope, .action = HF_CONTROL_RESUME});
}

void hf_shell_on_record(void *ctx, const hf_log_record *record) {
    hf_shell *s = ctx;
    hf_err err;
    hf_heartbeat heartbeat;
    hf_control control;
    hf_str name;
    int32_t scope = 0;
    hf_code code = HF_OK;
    hf_arena_reset(&s->in_arena);
    if (record->topic == HF_TOPIC_CONTROLS && !record->value.p)
        on_control_gone(s, record->key);
    else if (record->topic == HF_TOPIC_CONTROLS) {
        code = hf_decode(s->codec, HF_SCHEMA_CONTROL, record->value, &s->in_arena, &control, &err);
        if (!code && !hf_control_target(record->key, &control, &scope, &name))
            code = hf_fail(&err, HF_E_INVALID, "the key %.*s names no target", HF_STR_ARG(record->key));
        if (!code)
            on_control(s, scope, name, &control);
    } else if (record->topic == HF_TOPIC_WORKERS && record->value.p) {
        code = hf_decode(s->codec, HF_SCHEMA_HEARTBEAT, record->value, &s->in_arena, &heartbeat, &err);
        if (!code)
            hf_worker_core_heartbeat(s->core, &heartbeat, s->now);
    }
    if (code)
        HF_LOG_ERR(WARN, "record-unreadable", &err, {"topic", HF_V_Z(hf_topic_suffix(record->topic))},
                   {"offset", HF_V_INT(record->offset)});
}
