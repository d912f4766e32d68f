/* Facts from the log: the index of claimable jobs, and own attempts followed through their read-back. */
#include "consumer/worker/core.h"

#include <stdio.h>

enum { GRANT_TTL_MIN_MS = 10000 };

/* ---- making ------------------------------------------------------------------------------------------------ */
static hf_code check(const hf_worker_options *o, hf_err *reterr) {
    if (!hf_id_valid(o->worker_id) || !hf_id_valid(o->incarnation))
        return hf_fail(reterr, HF_E_INVALID, "worker id \"%.*s\" or its incarnation is not an id",
                       HF_STR_ARG(o->worker_id));
    if (o->slots < 1 || o->slots > HF_SLOTS_MAX)
        return hf_fail(reterr, HF_E_INVALID, "worker.slots must be 1 to %d, not %d", HF_SLOTS_MAX, o->slots);
    if (o->claims_max < 1 || o->claims_max > HF_CLAIMS_MAX)
        return hf_fail(reterr, HF_E_INVALID, "worker.claims_max must be 1 to %d, not %d", HF_CLAIMS_MAX, o->claims_max);
    if (o->heartbeat_ms < 1 || o->heartbeat_ms > o->lease_ms / 3)
        return hf_fail(reterr, HF_E_INVALID,
                       "worker.heartbeat_interval (%lld ms) must be at most a third of worker.lease (%lld ms)",
                       (long long)o->heartbeat_ms, (long long)o->lease_ms);
    return HF_OK;
}

static bool make_parts(hf_worker_core *core, const hf_worker_options *o) {
    core->capabilities = hf_type_clone(&HF_TYPE_CAPABILITIES, &o->capabilities);
    core->held_cap = (uint32_t)o->claims_max + HF_HELD_SPARE;
    core->held = hf_alloc(core->held_cap * sizeof *core->held);
    if (!core->capabilities || !core->held)
        return false;
    for (uint32_t i = core->held_cap; i-- > 0; core->free = &core->held[i])
        core->held[i].dirty_next = core->free;
    return true;
}

hf_code hf_worker_core_new(const hf_worker_options *o, hf_now now, hf_worker_core **ret, hf_err *reterr) {
    hf_code code = check(o, reterr);
    if (code)
        return code;
    hf_worker_core *core = hf_alloc(sizeof *core);
    if (!core)
        return hf_fail(reterr, HF_E_NO_MEMORY, "worker");
    core->o = *o;
    if (core->o.quick_ms <= 0)
        core->o.quick_ms = 25;
    if (core->o.grant_ttl_ms <= 0)
        core->o.grant_ttl_ms = 2 * o->lease_ms > GRANT_TTL_MIN_MS ? 2 * o->lease_ms : GRANT_TTL_MIN_MS;
    int len = snprintf(core->identity_text, sizeof core->identity_text, "%.*s/%.*s", HF_STR_ARG(o->worker_id),
                       HF_STR_ARG(o->incarnation));
    core->identity = (hf_str){core->identity_text, (uint32_t)len};
    core->id_prefix = (hf_str){core->identity_text, o->worker_id.len + 1};
    core->o.worker_id = (hf_str){core->identity_text, o->worker_id.len};
    core->o.incarnation = (hf_str){core->identity_text + o->worker_id.len + 1, o->incarnation.len};
    hf_arena_init(&core->arena, 16u << 20);
    hf_peers_init(&core->peers, core->o.worker_id, &o->capabilities);
    core->walked_generation = core->peers.generation;
    core->duration_us = -1;
    core->round_trip_us = 3000;
    core->started_at_ms = now.wall_ms;
    core->heartbeat_at = now.mono_ms;
    core->expire_at = now.mono_ms;
    core->renewed_ms = INT64_MIN;
    core->drain_deadline_ms = INT64_MAX;
    if (!make_parts(core, o)) {
        hf_worker_core_free(core);
        return hf_fail(reterr, HF_E_NO_MEMORY, "worker");
    }
    core->o.capabilities = *core->capabilities;
    *ret = core;
    return HF_OK;
}

void hf_worker_core_free(hf_worker_core *core) {
    if (!core)
        return;
    for (uint32_t i = 0; core->held && i < core->held_cap; i++) {
        free(core->held[i].phase);
        free(core->held[i].announcement);
        free(core->held[i].result);
        free(core->held[i].error);
        free(core->held[i].limits);
    }
    free(core->held);
    free(core->capabilities);
    hf_qjobs_done(&core->jobs);
    hf_wlimits_done(core);
    hf_peers_done(&core->peers);
    hf_arena_done(&core->arena);
    free(core);
}

hf_str hf_worker_core_identity(const hf_worker_core *core) { return core->identity; }

/* ---- the index --------------------------------------------------------------------------------------------- */
static void put(hf_worker_core *core, hf_qjob *job, hf_qheap_id heap, int64_t order) {
    if (!hf_qjobs_put(&core->jobs, job, heap, order))
        core->broken = true;
}

void hf_core_judge(hf_worker_core *core, hf_qjob *job, hf_now now) {
    job->generation = core->peers.generation;
    int64_t ripe_at = job->seen_ms + core->o.stranger_wait_ms;
    if (job->again_ms > now.mono_ms)
        put(core, job, HF_HEAP_FRESH, job->again_ms);
    else if (job->limits && hf_limits_park(core, job))
        return;
    else if (hf_peers_paused(&core->peers, job->operation, job->provider)) {
        hf_limits_taken(core, job);
        put(core, job, HF_HEAP_PAUSED, job->urgency);
    } else if (hf_peers_prefer_me(&core->peers, job->kind, job->hash))
        put(core, job, HF_HEAP_READY, job->urgency);
    else if (ripe_at <= now.mono_ms)
        put(core, job, HF_HEAP_RIPE, job->urgency);
    else
        put(core, job, HF_HEAP_FRESH, ripe_at);
}

bool hf_core_index(hf_worker_core *core, hf_qjob *job, hf_now now) {
    hf_limits_taken(core, job);
    if (!job->held && !job->queued) {
        hf_limits_forget(core, job);
        hf_qjobs_drop(&core->jobs, job);
        return false;
    }
    if (job->held)
        hf_qjobs_take(&core->jobs, job);
    else if (job->not_before > now.wall_ms)
        put(core, job, HF_HEAP_WAITING, job->not_before);
    else
        hf_core_judge(core, job, now);
    return true;
}

/* ---- own attempts ------------------------------------------------------------------------------------------- */
static void note_policy(hf_held *held, const hf_job *job) {
    held->cancel_requested = job->cancel_requested;
    held->started = job->state == HF_S_RUNNING || job->state == HF_S_PROGRESSING;
    held->attempts_left = hf_job_attempts_left(job);
    held->attempts_used = job->attempt - job->released;
    held->timeout_s = job->spec->policy.timeout_seconds;
    held->idempotent = job->spec->policy.idempotent;
    int64_t bandwidth = hf_job_bandwidth(job);
    held->limit_new = held->state == HF_HELD_IN_SLOT && (held->limit_new || bandwidth != held->bandwidth);
    held->bandwidth = bandwidth;
}

static void follow_mine(hf_worker_core *core, hf_held *held, const hf_job *job, hf_now now) {
    note_policy(held, job);
    if (held->state == HF_HELD_CLAIMING) { /* however often it was proposed: it is ours */
        if (held->pending >= 0)
            core->in_flight--;
        held->pending = -1;
        held->resend = false;
        held->accepted_ms = now.mono_ms;
        held->release |= held->ungranted || hf_grants_late(core, held, now); /* nobody relies on its grants any more */
        hf_held_claimed(core, held, false);
    }
    hf_held_touch(core, held);
}

/* The log moved on without this attempt. Like what follows: false when the job is not in the index any more. */
static bool follow_lost(hf_worker_core *core, hf_held *held, bool by_us, hf_now now) {
    if (held->state == HF_HELD_CLAIMING && held->pending >= 0 && !held->resend)
        return true; /* our claim is under way: its read-back settles it */
    if (held->state == HF_HELD_CLAIMING)
        core->claims_lost++;
    else if (by_us)
        core->done++;
    else if (held->state != HF_HELD_GIVING)
        core->fenced++;
    if (held->state == HF_HELD_IN_SLOT) {
        held->state = HF_HELD_FENCED;
        hf_held_touch(core, held); /* who waits for an announcement is told */
    } else if (held->state != HF_HELD_FENCED)
        return hf_held_end(core, held, now);
    return true;
}

/* Is that record the proposal of ours that is under way? Then it is not any more. */
static bool read_back(hf_worker_core *core, hf_held *held, const hf_record *record, hf_now now) {
    if (held->pending < 0 || record->attempt != held->attempt || record->transitions.count == 0 ||
        (int)hf_record_event(record, 0) != held->pending || !hf_str_eq(record->by, core->identity))
        return false;
    if (held->pending == HF_EV_ASSIGNED) {
        double us = (double)(now.mono_ms - held->sent_ms) * 1000;
        core->round_trip_us += ((us < 500 ? 500 : us) - core->round_trip_us) / 16;
    }
    held->pending = -1;
    held->resend = false;
    core->in_flight--;
    return true;
}

static bool refused(hf_worker_core *core, hf_held *held, hf_now now) {
    if (++held->refusals >= HF_REFUSALS_MAX && held->state != HF_HELD_IN_SLOT && held->state != HF_HELD_FENCED)
        return hf_held_end(core, held, now); /* nothing we may say: the lease settles it */
    hf_held_touch(core, held);
    return true;
}

/* ---- a job as the log has it now ------------------------------------------------------------------------------ */
static void note_queued(hf_worker_core *core, hf_qjob *job, const hf_job *after, hf_now now) {
    bool queued = after && after->state == HF_S_QUEUED && !after->cancel_requested && !after->deleted;
    if (queued && !job->queued)
        job->seen_ms = now.mono_ms;
    job->queued = queued;
    job->own = false;
    if (!after)
        return;
    if (core->limits.by_key && after->spec)
        hf_limits_match(core, job, after->spec);
    job->attempt = after->attempt;
    job->not_before = after->not_before;
    job->created = hf_position_key(after->created);
    job->urgency = hf_job_priority(after) * core->o.ageing_ms + after->created_at;
}

static void note_orphan(hf_worker_core *core, hf_qjob *job, const hf_job *after) {
    job->own = hf_str_eq(after->worker, core->identity) && after->state == HF_S_ASSIGNED;
    put(core, job, HF_HEAP_ORPHANS, 0);
}

static bool same_worker_id(const hf_worker_core *core, const hf_job *after) {
    return after && hf_state_has_attempt((hf_state)after->state) && hf_str_starts(after->worker, core->id_prefix);
}

static bool settle_held(hf_worker_core *core, hf_held *held, bool own, hf_verdict verdict, const hf_job *after,
                        bool mine, hf_now now) {
    if (held->state == HF_HELD_TAKING) {
        bool open = after && after->state == HF_S_QUEUED && after->attempt == held->attempt - 1 && held->job->queued;
        return open ? true : hf_held_end(core, held, now);
    }
    bool still_ours = mine && after->attempt == held->attempt && held->state != HF_HELD_FENCED;
    if (held->state == HF_HELD_GIVING) {
        bool given = !after || after->attempt != held->attempt || !hf_state_has_attempt((hf_state)after->state);
        return given || own ? hf_held_end(core, held, now) : true;
    }
    if (!still_ours)
        return follow_lost(core, held, own && verdict == HF_V_ACCEPTED && held->state == HF_HELD_ENDED, now);
    if (own && verdict != HF_V_ACCEPTED)
        return refused(core, held, now);
    follow_mine(core, held, after, now);
    return true;
}

static hf_qjob *entry_for(hf_worker_core *core, const hf_job *after, bool orphan) {
    bool queued = after->state == HF_S_QUEUED && !after->cancel_requested;
    if (!queued && !orphan)
        return NULL;
    int kind = after->spec ? hf_peers_kind(&core->peers, after->spec) : -1;
    if (kind < 0 && !orphan)
        return NULL;
    hf_qjob *job = hf_qjobs_add(&core->jobs, after->id);
    if (!job)
        core->broken = true;
    else {
        job->kind = (uint16_t)(kind < 0 ? 0 : kind);
        job->operation = after->spec ? hf_peers_name(after->spec->operation) : 0;
        job->provider = after->spec ? hf_peers_name(after->spec->provider) : 0;
    }
    return job;
}

hf_code hf_worker_core_change(hf_worker_core *core, const hf_record *record, hf_verdict verdict, const hf_job *after,
                              hf_now now) {
    hf_str id = after ? after->id : record ? record->job_id : HF_STR_NONE;
    bool orphan = same_worker_id(core, after);
    hf_qjob *job = hf_qjobs_find(&core->jobs, id);
    if (!job && after)
        job = entry_for(core, after, orphan);
    if (!job)
        return core->broken ? HF_E_NO_MEMORY : HF_OK;
    hf_held *held = hf_held_of(core, job);
    bool mine = orphan && hf_str_eq(after->worker, core->identity);
    bool own = held && record && read_back(core, held, record, now);
    if (held && record)
        hf_held_announcement_read(core, held, record, verdict);
    bool ran_here = held != NULL && held->state != HF_HELD_CLAIMING && held->state != HF_HELD_TAKING;
    note_queued(core, job, after, now);
    bool there = held ? settle_held(core, held, own, verdict, after, mine, now) : hf_core_index(core, job, now);
    if (orphan && (!mine || !ran_here) && !(there && job->held)) { /* ours by name, but nothing here runs it */
        job = there ? job : entry_for(core, after, true);
        if (job) {
            note_queued(core, job, after, now);
            note_orphan(core, job, after);
        }
    }
    return core->broken ? HF_E_NO_MEMORY : HF_OK;
}

/* ---- the other facts --------------------------------------------------------------------------------------------- */
void hf_worker_core_heartbeat(hf_worker_core *core, const hf_heartbeat *heartbeat, hf_now now) {
    hf_peers_heartbeat(&core->peers, heartbeat, now.wall_ms, now.mono_ms);
}

void hf_worker_core_caught_up(hf_worker_core *core) { core->caught_up = true; }
bool hf_worker_core_pause_operation(hf_worker_core *core, hf_str operation, bool paused) {
    return hf_peers_pause(&core->peers, false, operation, paused);
}
bool hf_worker_core_pause_provider(hf_worker_core *core, hf_str provider, bool paused) {
    return hf_peers_pause(&core->peers, true, provider, paused);
}

void hf_worker_core_quiet(hf_worker_core *core, bool quiet, bool give_back, hf_now now) {
    give_back = give_back && quiet;
    if (core->quiet == quiet && core->giving_back == give_back)
        return;
    core->quiet = quiet;
    core->giving_back = give_back;
    core->heartbeat_at = now.mono_ms; /* say so at once */
    for (hf_held *held = core->claimed; give_back && held; held = held->next)
        hf_held_touch(core, held);
}

void hf_worker_core_drain(hf_worker_core *core, int64_t timeout_ms, hf_now now) {
    if (core->draining)
        return;
    core->draining = true;
    core->drain_deadline_ms = now.mono_ms + timeout_ms;
    core->heartbeat_at = now.mono_ms; /* say so at once */
    for (hf_held *held = core->claimed; held; held = held->next)
        hf_held_touch(core, held);
    for (uint32_t i = 0; core->limits.by_key && i < core->held_cap; i++)
        if (core->held[i].state == HF_HELD_TAKING)
            hf_held_touch(core, &core->held[i]);
}

static void ack_heartbeat(hf_worker_core *core, uint32_t serial, hf_code code, hf_now now) {
    uint32_t i = serial % HF_HEARTBEATS_IN_FLIGHT;
    if (core->heartbeats[i].serial != serial)
        return;
    if (code != HF_OK) {
        int64_t again = now.mono_ms + HF_RESEND_MS;
        core->heartbeat_at = core->heartbeat_at < again ? core->heartbeat_at : again;
    } else if (core->heartbeats[i].sent_ms > core->renewed_ms)
        core->renewed_ms = core->heartbeats[i].sent_ms;
}

void hf_worker_core_ack(hf_worker_core *core, uint64_t tag, hf_code code, hf_now now) {
    if (tag >> 63) {
        ack_heartbeat(core, (uint32_t)tag, code, now);
        return;
    }
    if (tag >> HF_LIMIT_TAG_BIT & 1) {
        if (code != HF_OK)
            hf_grants_ack(core, (uint32_t)tag, now);
        return;
    }
    uint64_t i = tag >> 32;
    if (code == HF_OK || i >= core->held_cap)
        return; /* an acknowledged proposal is read back */
    hf_held *held = &core->held[i];
    if (held->state == HF_HELD_FREE || held->pending < 0 || held->serial != (uint32_t)tag)
        return;
    held->resend = true;
    if (!core->resends)
        core->resend_at = now.mono_ms + HF_RESEND_MS;
    core->resends = true;
}
