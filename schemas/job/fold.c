#include "schemas/job/fold.h"

/* ---- the table of transitions.def, as data ----------------------------------------------------- */
#define F(state) (1u << HF_S_##state)
#define F_NONE 0u
#define F_TERMINAL (F(COMPLETED) | F(FAILED) | F(CANCELLED))
#define F_LIVE (((1u << HF_STATE_COUNT) - 1) & ~F_TERMINAL)
enum { G_ATTEMPT = 1, G_NEXT = 2, G_WORKER = 4, G_WORKER_IF = 8, G_BUDGET = 16, G_ASKED = 32 };
enum { TO_SAME = -2, TO_RETRY_OR_FAIL = -3 };
#define TO_CREATED HF_S_CREATED
#define TO_VALIDATED HF_S_VALIDATED
#define TO_QUEUED HF_S_QUEUED
#define TO_ASSIGNED HF_S_ASSIGNED
#define TO_RUNNING HF_S_RUNNING
#define TO_PROGRESSING HF_S_PROGRESSING
#define TO_RETRYING HF_S_RETRYING
#define TO_COMPLETED HF_S_COMPLETED
#define TO_FAILED HF_S_FAILED
#define TO_CANCELLED HF_S_CANCELLED

static const struct rule {
    uint32_t from;
    int to;
    unsigned guards;
} rules[HF_EVENT_COUNT] = {
#define HF_EVENT(id, name, from_, to_, guards_, sentence) [HF_EV_##id] = {from_, TO_##to_, guards_},
#include "schemas/job/transitions.def"
#undef HF_EVENT
};

/* tests/sim compiles this file again with one rule broken, to see that it would notice. */
#ifndef HF_FOLD_MUTATION
#define HF_FOLD_MUTATION 0
#endif
enum {
    STALE_ATTEMPTS_ARE_REFUSED = HF_FOLD_MUTATION != 1,
    OTHER_WORKERS_ARE_REFUSED = HF_FOLD_MUTATION != 2,
    AN_END_IS_FINAL = HF_FOLD_MUTATION != 3
};

/* ---- may it happen? ----------------------------------------------------------------------------- */
static hf_verdict check_attempt(unsigned guards, const hf_job *job, const hf_record *r) {
    if (!(guards & (G_ATTEMPT | G_NEXT)))
        return HF_V_ACCEPTED;
    int32_t expected = job->attempt + (guards & G_NEXT ? 1 : 0);
    if (r->attempt < expected && STALE_ATTEMPTS_ARE_REFUSED)
        return HF_V_STALE_ATTEMPT;
    return r->attempt > expected ? HF_V_FUTURE_ATTEMPT : HF_V_ACCEPTED;
}

static hf_verdict check(hf_event event, const hf_job *job, const hf_record *r) {
    const struct rule *rule = &rules[event];
    hf_state state = (hf_state)job->state;
    if (job->deleted)
        return HF_V_DELETED;
    bool ended = hf_state_terminal(state);
    if (ended && !(rule->from & F_TERMINAL) && AN_END_IS_FINAL)
        return HF_V_TERMINAL;
    hf_verdict v = check_attempt(rule->guards, job, r);
    if (v != HF_V_ACCEPTED)
        return v;
    if (!(rule->from & (1u << state)) && (AN_END_IS_FINAL || !ended))
        return HF_V_WRONG_STATE;
    bool same_worker = hf_str_eq(r->by, job->worker);
    if ((rule->guards & G_WORKER || (rule->guards & G_WORKER_IF && hf_state_has_attempt(state))) && !same_worker &&
        OTHER_WORKERS_ARE_REFUSED)
        return HF_V_WRONG_WORKER;
    if (rule->guards & G_BUDGET && hf_job_attempts_left(job) <= 0)
        return HF_V_NO_ATTEMPTS_LEFT;
    if (rule->guards & G_ASKED && !job->cancel_requested)
        return HF_V_NOT_REQUESTED;
    return HF_V_ACCEPTED;
}

/* ---- what it does ------------------------------------------------------------------------------- */
static void end(hf_job *job, int64_t at) {
    job->finished_at = at;
    job->not_before = 0;
}

static hf_state next_state(hf_event event, const hf_job *job) {
    int to = rules[event].to;
    if (to == TO_SAME)
        return (hf_state)job->state;
    if (to == TO_RETRY_OR_FAIL)
        return hf_job_attempts_left(job) > 0 ? HF_S_RETRYING : HF_S_FAILED;
    return (hf_state)to;
}

static const hf_job_error LEASE_ERROR = {.code = HF_STR_INIT("worker-lost"),
                                         .message = HF_STR_INIT("The worker stopped renewing its lease."),
                                         .phase = HF_STR_INIT("lease")};

/* What is out of range changes nothing. */
static void adjust(hf_job *job, const hf_ev_adjusted *to) {
    if (to->priority >= HF_PRIORITY_HIGHEST && to->priority <= HF_PRIORITY_LOWEST)
        job->priority = to->priority;
    if (to->bandwidth_limit >= 0)
        job->bandwidth_limit = to->bandwidth_limit;
}

static void apply(hf_event event, const void *payload, const hf_record *r, hf_job *job) {
    job->state = next_state(event, job);
    switch (event) {
    case HF_EV_CREATED:
        job->id = r->job_id;
        job->created_at = r->at;
        job->spec = &((const hf_ev_created *)payload)->spec;
        break;
    case HF_EV_REJECTED:
        job->error = &((const hf_ev_rejected *)payload)->error;
        end(job, r->at);
        break;
    case HF_EV_QUEUED:
        job->queued_at = r->at;
        job->not_before = ((const hf_ev_queued *)payload)->not_before;
        break;
    case HF_EV_ASSIGNED:
        job->attempt = r->attempt;
        job->assigned_at = r->at;
        job->not_before = 0;
        job->started_at = 0;
        job->phase = HF_STR_NONE;
        job->worker = ((const hf_ev_assigned *)payload)->worker;
        job->lease_ms = ((const hf_ev_assigned *)payload)->lease_ms;
        break;
    case HF_EV_STARTED: job->started_at = r->at; break;
    case HF_EV_PROGRESSING: job->phase = ((const hf_ev_progressing *)payload)->phase; break;
    case HF_EV_COMPLETED:
        job->result = &((const hf_ev_completed *)payload)->result;
        job->error = NULL;
        end(job, r->at);
        break;
    case HF_EV_RETRY_SCHEDULED:
        job->error = &((const hf_ev_retry_scheduled *)payload)->error;
        job->not_before = ((const hf_ev_retry_scheduled *)payload)->not_before;
        break;
    case HF_EV_FAILED:
        job->error = &((const hf_ev_failed *)payload)->error;
        end(job, r->at);
        break;
    case HF_EV_LEASE_EXPIRED:
        job->error = &LEASE_ERROR;
        job->not_before = ((const hf_ev_lease_expired *)payload)->not_before;
        if (job->state == HF_S_FAILED)
            end(job, r->at);
        break;
    case HF_EV_CANCEL_REQUESTED:
        if (!job->cancel_requested) { /* the first who asked is on record */
            job->cancel_requested = true;
            job->cancel_by = r->by;
            job->cancel_reason = ((const hf_ev_cancel_requested *)payload)->reason;
        }
        break;
    case HF_EV_CANCELLED: end(job, r->at); break;
    case HF_EV_RELEASED:
        job->released++;
        job->queued_at = r->at;
        break;
    case HF_EV_DELETED: job->deleted = true; break;
    case HF_EV_ADJUSTED: adjust(job, payload); break;
    case HF_EV_VALIDATED:
    case HF_EVENT_COUNT: break;
    }
    job->updated_at = r->at;
}

/* ---- a record, all or nothing ------------------------------------------------------------------- */
/* What is wrong with the record whatever the job: in the order of verdicts.def. */
static hf_verdict check_record(const hf_job *before, const hf_record *r, uint32_t *ret_at) {
    if (r->transitions.count == 0)
        return HF_V_EMPTY;
    for (uint32_t i = 0; i < r->transitions.count; i++)
        if ((unsigned)HF_LIST_AT(r->transitions, hf_variant, i)->branch >= HF_EVENT_COUNT) {
            *ret_at = i;
            return HF_V_UNKNOWN_EVENT;
        }
    if (before ? !hf_str_eq(before->id, r->job_id) : !hf_id_valid(r->job_id))
        return HF_V_INVALID_ID;
    return HF_V_ACCEPTED;
}

static hf_verdict step(const hf_variant *transition, const hf_record *r, bool exists, hf_job *job) {
    hf_event event = (hf_event)transition->branch;
    if (event == HF_EV_CREATED && exists)
        return HF_V_JOB_EXISTS;
    if (event != HF_EV_CREATED) {
        hf_verdict v = exists ? check(event, job, r) : HF_V_NO_SUCH_JOB;
        if (v != HF_V_ACCEPTED)
            return v;
    }
    apply(event, transition->record, r, job);
    return HF_V_ACCEPTED;
}

hf_verdict hf_fold(const hf_job *before, const hf_record *record, hf_position position, hf_job *after,
                   uint32_t *ret_refused) {
    uint32_t at = 0;
    hf_verdict v = check_record(before, record, &at);
    hf_job job = before ? *before : (hf_job){.state = HF_S_NONE, .created = position, .bandwidth_limit = -1};
    for (; v == HF_V_ACCEPTED && at < record->transitions.count; at++) {
        v = step(HF_LIST_AT(record->transitions, hf_variant, at), record, before || at > 0, &job);
        if (v != HF_V_ACCEPTED)
            break;
    }
    if (v != HF_V_ACCEPTED) {
        if (ret_refused)
            *ret_refused = at;
        return v;
    }
    job.last = position;
    *after = job;
    return HF_V_ACCEPTED;
}
