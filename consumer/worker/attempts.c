/* Held attempts, and what the runners say about them. */
#include "consumer/worker/core.h"

/* ---- holding ------------------------------------------------------------------------------------------------ */
hf_held *hf_held_new(hf_worker_core *core, hf_qjob *job, hf_held_state state, int32_t attempt) {
    hf_held *held = core->free;
    if (!held)
        return NULL;
    core->free = held->dirty_next;
    *held =
        (hf_held){.job = job, .state = state, .attempt = attempt, .slot = -1, .pending = -1, .serial = held->serial};
    core->held_count++;
    job->held = (uint16_t)(held - core->held + 1);
    return held;
}

static void forget(hf_held *held) {
    hf_held_announcement_drop(held);
    free(held->phase);
    free(held->result);
    free(held->error);
    held->phase = NULL;
    held->result = NULL;
    held->error = NULL;
}

static void recycle(hf_worker_core *core, hf_held *held) {
    held->dirty_next = core->free;
    core->free = held;
}

bool hf_held_end(hf_worker_core *core, hf_held *held, hf_now now) {
    hf_qjob *job = held->job;
    hf_held_unlist(core, held, now);
    if (held->limits)
        hf_grants_release(core, held);
    if (held->pending >= 0)
        core->in_flight--;
    held->pending = -1;
    held->resend = false;
    held->state = HF_HELD_FREE;
    held->job = NULL;
    forget(held);
    core->held_count--;
    if (!held->dirty) /* else when it is popped */
        recycle(core, held);
    job->held = 0;
    return hf_core_index(core, job, now);
}

void hf_held_claimed(hf_worker_core *core, hf_held *held, bool first) {
    held->state = HF_HELD_CLAIMED;
    held->slot = -1;
    held->recalled = false;
    held->stopped = HF_STOP_NONE;
    if (first)
        DL_PREPEND(core->claimed, held);
    else
        DL_APPEND(core->claimed, held);
    core->claimed_count++;
}

static void unlink_from(hf_held **list, hf_held *held) {
    DL_DELETE(*list, held); /* NOLINT(clang-analyzer-core.NullDereference): in a list `prev` is never NULL */
}

static void slot_without(hf_worker_core *core, hf_slot *slot, hf_held *held, hf_now now) {
    bool head = slot->jobs == held;
    unlink_from(&slot->jobs, held);
    if (--slot->count == 0)
        core->slots_busy--;
    if (head) {
        slot->stopping = HF_STOP_NONE;
        slot->head_since_ms = now.mono_ms;
    }
}

void hf_held_unlist(hf_worker_core *core, hf_held *held, hf_now now) {
    if (held->slot >= 0) {
        hf_held_announcement_drop(held); /* who waited for it waits no more */
        slot_without(core, &core->slots[held->slot], held, now);
    } else if (held->state == HF_HELD_CLAIMED) {
        unlink_from(&core->claimed, held);
        core->claimed_count--;
    }
    held->slot = -1;
}

/* ---- those to look at ------------------------------------------------------------------------------------------ */
void hf_held_touch(hf_worker_core *core, hf_held *held) {
    if (held->dirty)
        return;
    held->dirty = true;
    held->dirty_next = NULL;
    if (core->dirty)
        core->dirty_last->dirty_next = held;
    else
        core->dirty = held;
    core->dirty_last = held;
}

hf_held *hf_held_pop_dirty(hf_worker_core *core) {
    while (core->dirty) {
        hf_held *held = core->dirty;
        core->dirty = held->dirty_next;
        held->dirty = false;
        if (held->state != HF_HELD_FREE)
            return held;
        recycle(core, held);
    }
    return NULL;
}

/* ---- runner events ------------------------------------------------------------------------------------------------ */
static hf_held *in_slot(const hf_worker_core *core, int32_t slot, hf_str id, int32_t attempt) {
    if (slot < 0 || slot >= core->o.slots)
        return NULL;
    for (hf_held *held = core->slots[slot].jobs; held; held = held->next)
        if (held->attempt == attempt && hf_str_eq(hf_qjob_id(held->job), id))
            return held;
    return NULL;
}

void hf_worker_core_slot_usable(hf_worker_core *core, int32_t slot, bool usable) {
    if (slot >= 0 && slot < core->o.slots)
        core->slots[slot].unusable = !usable;
}

void hf_worker_core_phase(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, hf_str phase) {
    hf_held *held = in_slot(core, slot, job_id, attempt);
    if (!held || !phase.len || phase.len > HF_ID_MAX_BYTES || (held->phase && hf_str_eqz(phase, held->phase)))
        return;
    char *copy = hf_strndup(phase.p, phase.len);
    if (!copy)
        return; /* a phase that is not told harms nobody */
    free(held->phase);
    held->phase = copy;
    held->phase_new = true;
    hf_held_touch(core, held);
}

/* ---- announcements ------------------------------------------------------------------------------------------------- */
void hf_held_announcement_drop(hf_held *held) {
    free(held->announcement);
    held->announcement = NULL;
    held->announcement_settled = false;
    held->announcement_refusals = 0;
}

hf_code hf_worker_core_announce(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial,
                                hf_str text) {
    hf_held *held = in_slot(core, slot, job_id, attempt);
    if (!held || held->state != HF_HELD_IN_SLOT)
        return HF_E_LEASE_LOST;
    if (!text.len || text.len > HF_ID_MAX_BYTES)
        return HF_E_LIMIT;
    char *copy = hf_strndup(text.p, text.len);
    if (!copy)
        return HF_E_NO_MEMORY;
    hf_held_announcement_drop(held);
    held->announcement = copy;
    held->announcement_serial = serial;
    hf_held_touch(core, held);
    return HF_OK;
}

static bool says(const hf_record *record, const char *phase) {
    for (uint32_t i = 0; i < record->transitions.count; i++) {
        const hf_variant *t = HF_LIST_AT(record->transitions, hf_variant, i);
        if (t->branch == HF_EV_PROGRESSING && hf_str_eqz(((const hf_ev_progressing *)t->record)->phase, phase))
            return true;
    }
    return false;
}

/* Whichever of its copies it is: what was not acknowledged may be in the log all the same. A refusal alone means little (the copy that
 * also said Started comes second), so it is said again a few times. */
void hf_held_announcement_read(hf_worker_core *core, hf_held *held, const hf_record *record, hf_verdict verdict) {
    if (!held->announcement || held->announcement_settled || record->attempt != held->attempt ||
        !hf_str_eq(record->by, core->identity) || !says(record, held->announcement))
        return;
    if (verdict != HF_V_ACCEPTED && ++held->announcement_refusals < HF_REFUSALS_MAX)
        return;
    held->announcement_settled = true;
    held->announcement_code = verdict == HF_V_ACCEPTED ? HF_OK : HF_E_LEASE_LOST;
    hf_held_touch(core, held);
}

static void measure(hf_worker_core *core, const hf_held *held, int64_t duration_us, hf_now now) {
    if (held->stopped)
        return;
    double us =
        duration_us > 0 ? (double)duration_us : (double)(now.mono_ms - core->slots[held->slot].head_since_ms) * 1000;
    core->duration_us = core->duration_us < 0 ? us : core->duration_us + (us - core->duration_us) / 16;
}

/* Keeps how it ended. Without memory for the result the attempt counts as failed for that reason. */
static void keep_outcome(hf_held *held, const hf_outcome *outcome) {
    static const hf_result nothing;
    held->code = outcome->code;
    if (outcome->code == HF_OK) {
        held->result = hf_type_clone(&HF_TYPE_RESULT, outcome->result ? outcome->result : &nothing);
        if (!held->result)
            held->code = HF_E_NO_MEMORY;
        return;
    }
    hf_job_error error = {.code = hf_str_of(hf_code_name(outcome->code)),
                          .message = outcome->message,
                          .phase = outcome->phase,
                          .details = outcome->details};
    if (!error.message.len)
        error.message = hf_str_of(hf_code_sentence(outcome->code));
    held->error = hf_type_clone(&HF_TYPE_JOB_ERROR, &error);
}

static void ended(hf_worker_core *core, hf_held *held, const hf_outcome *outcome, hf_now now) {
    measure(core, held, outcome->duration_us, now);
    if (held->state == HF_HELD_FENCED) {
        hf_held_end(core, held, now);
        return;
    }
    hf_held_unlist(core, held, now);
    held->state = HF_HELD_ENDED;
    held->ran = true;
    keep_outcome(held, outcome);
    hf_held_touch(core, held);
}

void hf_worker_core_done(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, const hf_outcome *outcome,
                         hf_now now) {
    hf_held *held = in_slot(core, slot, job_id, attempt);
    if (held)
        ended(core, held, outcome, now);
}

static void returned(hf_worker_core *core, hf_held *held, hf_now now) {
    if (held->state == HF_HELD_FENCED) {
        hf_held_end(core, held, now);
        return;
    }
    hf_held_unlist(core, held, now);
    hf_held_claimed(core, held, true);
    hf_held_touch(core, held);
}

void hf_worker_core_returned(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, hf_now now) {
    hf_held *held = in_slot(core, slot, job_id, attempt);
    if (held)
        returned(core, held, now);
}

void hf_worker_core_crashed(hf_worker_core *core, int32_t slot, hf_str message, hf_now now) {
    if (slot < 0 || slot >= core->o.slots || !core->slots[slot].jobs)
        return;
    hf_held *head = core->slots[slot].jobs;
    while (head->next) /* the last first, so that they wait in their old order */
        returned(core, head->prev, now);
    if (!head->stopped)
        core->crashes++;
    ended(core, head, &(hf_outcome){.code = HF_E_RUNNER_CRASHED, .message = message, .phase = hf_str_of(head->phase)},
          now);
}

bool hf_worker_core_owns(const hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt) {
    const hf_held *held = in_slot(core, slot, job_id, attempt);
    return held && held->state == HF_HELD_IN_SLOT;
}
