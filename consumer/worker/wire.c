/* Records out: proposals, heartbeats, progress. Records in: what the replica folded, heartbeats, controls. */
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

static void on_control(hf_shell *s, hf_str key, const hf_control *c) {
    bool resume = c->action == HF_CONTROL_RESUME;
    if (c->scope == HF_SCOPE_OPERATION) {
        hf_worker_core_pause_operation(s->core, key, !resume);
        return;
    }
    if (c->scope == HF_SCOPE_FLEET)
        s->fleet_quiet = !resume;
    else if (hf_str_eqz(key, s->id))
        s->worker_quiet = !resume;
    else
        return;
    hf_worker_core_quiet(s->core, s->fleet_quiet || s->worker_quiet);
    HF_LOG(INFO, "control", {"key", HF_V_STR(key)}, {"resume", HF_V_BOOL(resume)}, {"by", HF_V_STR(c->by)},
           {"reason", HF_V_STR(c->reason)});
    if (c->action == HF_CONTROL_STOP && s->caught_up &&
        s->stops_asked == 0) /* one of the past was for those of the past */
        hf_shell_stop(s);
}

/* A tombstone takes a control back; what it was for is not known any more, so it is resumed for all it can have meant. */
static void on_control_gone(hf_shell *s, hf_str key) {
    for (int scope = HF_SCOPE_FLEET; scope <= HF_SCOPE_WORKER; scope++)
        on_control(s, key, &(hf_control){.scope = scope, .action = HF_CONTROL_RESUME});
}

void hf_shell_on_record(void *ctx, const hf_log_record *record) {
    hf_shell *s = ctx;
    hf_err err;
    hf_heartbeat heartbeat;
    hf_control control;
    hf_code code = HF_OK;
    hf_arena_reset(&s->in_arena);
    if (record->topic == HF_TOPIC_CONTROLS && !record->value.p)
        on_control_gone(s, record->key);
    else if (record->topic == HF_TOPIC_CONTROLS) {
        code = hf_decode(s->codec, HF_SCHEMA_CONTROL, record->value, &s->in_arena, &control, &err);
        if (!code)
            on_control(s, record->key, &control);
    } else if (record->topic == HF_TOPIC_WORKERS && record->value.p) {
        code = hf_decode(s->codec, HF_SCHEMA_HEARTBEAT, record->value, &s->in_arena, &heartbeat, &err);
        if (!code)
            hf_worker_core_heartbeat(s->core, &heartbeat, s->now);
    }
    if (code)
        HF_LOG_ERR(WARN, "record-unreadable", &err, {"topic", HF_V_Z(hf_topic_suffix(record->topic))},
                   {"offset", HF_V_INT(record->offset)});
}
