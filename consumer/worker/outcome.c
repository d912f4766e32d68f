/* What to propose for a held attempt: one proposal at a time. */
#include "consumer/worker/core.h"

static hf_record *record_of(hf_worker_core *core, const hf_held *held, hf_now now) {
    hf_str id = hf_arena_str(&core->arena, hf_qjob_id(held->job));
    return id.p ? hf_propose(&core->arena, id, held->attempt, now.wall_ms, core->identity) : NULL;
}

/* A NULL is carried along, so that a chain of calls is checked once, at its end. */
static hf_record *with(hf_worker_core *core, hf_record *record, hf_event event, const void *payload) {
    void *to = record ? hf_propose_add(&core->arena, record, event) : NULL;
    if (!to)
        return NULL;
    memcpy(to, payload, HF_TYPES_EVENT[event]->size_bytes);
    return record;
}

static hf_record *one(hf_worker_core *core, const hf_held *held, hf_now now, hf_event event, const void *payload) {
    return with(core, record_of(core, held, now), event, payload);
}

static hf_record *with_started(hf_worker_core *core, const hf_held *held, hf_record *record) {
    char *runner = hf_arena_printf(&core->arena, "slot %d", held->ran_in);
    return runner ? with(core, record, HF_EV_STARTED, &(hf_ev_started){hf_str_of(runner)}) : NULL;
}

static hf_record *with_text(hf_worker_core *core, hf_record *record, const char *text) {
    hf_str phase = hf_arena_str(&core->arena, hf_str_of(text));
    return phase.p ? with(core, record, HF_EV_PROGRESSING, &(hf_ev_progressing){phase}) : NULL;
}

/* ---- the end of an attempt ------------------------------------------------------------------------------------ */
/* base x 2^n, at most max, of which a part between a half and the whole; the part follows from job and attempt. */
static int64_t retry_at(const hf_worker_core *core, const hf_held *held, hf_now now) {
    int64_t wait = core->o.retry_base_ms;
    for (int32_t n = 1; n < held->attempts_used && wait < core->o.retry_max_ms; n++)
        wait *= 2;
    if (wait > core->o.retry_max_ms)
        wait = core->o.retry_max_ms;
    uint64_t draw = hf_worker_mix(held->job->hash ^ (uint64_t)(uint32_t)held->attempt * 0x9e3779b97f4a7c15ULL);
    return now.wall_ms + wait / 2 + (int64_t)(draw % ((uint64_t)(wait - wait / 2) + 1));
}

/* The error of an attempt that was stopped is why it was stopped, whatever the runner made of it. */
static hf_job_error error_of(const hf_held *held) {
    static const struct {
        const char *code, *message;
    } of_stop[] = {[HF_STOP_TIMEOUT] = {"timeout", "The attempt ran longer than timeout_seconds of its policy."},
                   [HF_STOP_DRAIN] = {"worker-drain", "The worker was shut down before the job was done."},
                   [HF_STOP_LEASE] = {"lease-lost", "The worker could not renew its lease in time."}};
    hf_job_error error = held->error ? *held->error
                                     : (hf_job_error){.code = hf_str_of(hf_code_name(held->code)),
                                                      .message = hf_str_of(hf_code_sentence(held->code))};
    if (held->stopped == HF_STOP_TIMEOUT || held->stopped == HF_STOP_DRAIN || held->stopped == HF_STOP_LEASE) {
        error.code = hf_str_of(of_stop[held->stopped].code);
        error.message = hf_str_of(of_stop[held->stopped].message);
    }
    return error;
}

static bool may_retry(const hf_held *held) {
    bool worth = hf_code_policy(held->code) == HF_POLICY_RETRY ||
                 (held->stopped != HF_STOP_NONE && held->stopped != HF_STOP_CANCEL);
    return worth && held->attempts_left > 0 && (held->idempotent || !held->ran) && held->refusals == 0;
}

static hf_record *propose_end(hf_worker_core *core, hf_held *held, hf_now now) {
    hf_job_error error = error_of(held);
    bool succeeded = held->code == HF_OK, drained = held->stopped == HF_STOP_DRAIN && !succeeded;
    if (drained && !held->started && held->idempotent) /* nothing of it is on record: it costs no attempt */
        return one(core, held, now, HF_EV_RELEASED, &(hf_ev_released){HF_STR("drain")});
    hf_record *record = record_of(core, held, now);
    if (!held->started)
        record = with_started(core, held, record);
    if (succeeded)
        return with(core, record, HF_EV_COMPLETED, &(hf_ev_completed){*held->result});
    if (held->cancel_requested)
        return with(core, record, HF_EV_CANCELLED, &(hf_ev_cancelled){HF_STR("cancelled while it ran")});
    if (may_retry(held)) {
        int64_t at = drained ? now.wall_ms : retry_at(core, held, now);
        return with(core, record, HF_EV_RETRY_SCHEDULED, &(hf_ev_retry_scheduled){error, at});
    }
    return with(core, record, HF_EV_FAILED, &(hf_ev_failed){error});
}

static bool announces(const hf_held *held) { return held->announcement && !held->announcement_settled; }

/* ---- before its end ---------------------------------------------------------------------------------------------- */
static hf_record *propose_running(hf_worker_core *core, hf_held *held, hf_now now) {
    hf_record *record = record_of(core, held, now);
    if (!held->started)
        record = with_started(core, held, record);
    if (held->phase_new)
        record = with_text(core, record, held->phase);
    if (announces(held)) /* behind the phase: it is what happens next */
        record = with_text(core, record, held->announcement);
    held->phase_new = held->phase_new && !record;
    held->ran = true;
    return record;
}

static hf_record *propose_claimed(hf_worker_core *core, const hf_held *held, hf_now now) {
    if (held->cancel_requested)
        return one(core, held, now, HF_EV_CANCELLED, &(hf_ev_cancelled){HF_STR("cancelled before it started")});
    return one(core, held, now, HF_EV_RELEASED,
               &(hf_ev_released){core->draining || core->giving_back ? HF_STR("drain")
                                 : held->ungranted                   ? HF_STR("a grant of a limit was lost")
                                                                     : HF_STR("another worker is idle")});
}

static hf_record *propose_giving(hf_worker_core *core, const hf_held *held, hf_now now) {
    if (held->job->own)
        return one(core, held, now, HF_EV_RELEASED, &(hf_ev_released){HF_STR("claimed twice")});
    return one(core, held, now, HF_EV_LEASE_EXPIRED,
               &(hf_ev_lease_expired){HF_STR("the worker was started anew"), now.wall_ms});
}

static bool nothing_to_say(const hf_worker_core *core, const hf_held *held, hf_now now) {
    const hf_slot *slot = held->slot >= 0 ? &core->slots[held->slot] : NULL;
    switch (held->state) {
    case HF_HELD_CLAIMED: return !held->cancel_requested && !core->draining && !core->giving_back && !held->release;
    case HF_HELD_IN_SLOT:
        if (slot && slot->jobs == held && announces(held))
            return false;
        return !slot || slot->jobs != held || now.mono_ms - slot->head_since_ms < core->o.quick_ms ||
               (held->started && !held->phase_new);
    case HF_HELD_FREE:
    case HF_HELD_TAKING:
    case HF_HELD_FENCED: return true;
    case HF_HELD_CLAIMING:
    case HF_HELD_ENDED:
    case HF_HELD_GIVING: return false;
    }
    return true;
}

const hf_record *hf_held_propose(hf_worker_core *core, hf_held *held, hf_now now, bool *ret_no_memory) {
    if (held->pending >= 0 || nothing_to_say(core, held, now))
        return NULL;
    const hf_record *record = NULL;
    if (held->state == HF_HELD_CLAIMING)
        record = one(core, held, now, HF_EV_ASSIGNED, &(hf_ev_assigned){core->identity, core->o.lease_ms});
    else if (held->state == HF_HELD_CLAIMED)
        record = propose_claimed(core, held, now);
    else if (held->state == HF_HELD_IN_SLOT)
        record = propose_running(core, held, now);
    else if (held->state == HF_HELD_ENDED)
        record = propose_end(core, held, now);
    else
        record = propose_giving(core, held, now);
    if (!record) {
        *ret_no_memory = true;
        return NULL;
    }
    held->pending = (int)hf_record_event(record, 0);
    held->serial = ++core->serial;
    held->sent_ms = now.mono_ms;
    core->in_flight++;
    return record;
}
