/* What to do now: lease, timers, proposals, claims, starts, heartbeats. */
#include "consumer/worker/core.h"

typedef struct step {
    hf_worker_core *core;
    hf_now now;
    hf_action *actions;
    size_t max, count;
} step;

static bool full(const step *s) { return s->count == s->max || s->core->broken; }

static void act(step *s, hf_action action) { s->actions[s->count++] = action; }

static void act_on(step *s, hf_action_kind kind, const hf_held *held, hf_stop_reason reason, int64_t grace_ms) {
    hf_str id = hf_arena_str(&s->core->arena, hf_qjob_id(held->job));
    if (!id.p)
        s->core->broken = true;
    else
        act(s, (hf_action){.kind = kind,
                           .slot = held->slot,
                           .job_id = id,
                           .attempt = held->attempt,
                           .reason = reason,
                           .grace_ms = grace_ms});
}

/* ---- lease ------------------------------------------------------------------------------------------------------ */
static int64_t lease_end(const hf_worker_core *core) { /* a third is left to stop what runs */
    return core->renewed_ms == INT64_MIN ? INT64_MIN : core->renewed_ms + core->o.lease_ms - core->o.lease_ms / 3;
}
bool hf_core_lease_held(const hf_worker_core *core, hf_now now) { return now.mono_ms < lease_end(core); }

/* ---- slots -------------------------------------------------------------------------------------------------------- */
static hf_stop_reason why_stop(const hf_worker_core *core, const hf_slot *slot, hf_now now) {
    const hf_held *head = slot->jobs;
    int64_t age_ms = now.mono_ms - slot->head_since_ms;
    if (head->state == HF_HELD_FENCED)
        return HF_STOP_FENCED;
    if (head->cancel_requested)
        return HF_STOP_CANCEL;
    if (!hf_core_lease_held(core, now))
        return HF_STOP_LEASE;
    if (head->ungranted)
        return HF_STOP_LEASE;
    if (head->timeout_s > 0 && age_ms >= (int64_t)head->timeout_s * 1000)
        return HF_STOP_TIMEOUT;
    return now.mono_ms >= core->drain_deadline_ms ? HF_STOP_DRAIN : HF_STOP_NONE;
}

static void stop_head(step *s, hf_slot *slot) {
    hf_stop_reason reason = slot->stopping ? HF_STOP_NONE : why_stop(s->core, slot, s->now);
    if (!reason || full(s))
        return;
    int64_t grace = s->core->o.kill_grace_ms, lease_part = s->core->o.lease_ms / 9;
    slot->stopping = slot->jobs->stopped = reason;
    act_on(s, HF_ACT_STOP, slot->jobs, reason, reason == HF_STOP_LEASE && grace > lease_part ? lease_part : grace);
}

/* Jobs behind one that takes long, or that need not run any more, come back from the runner. */
static void recall_rest(step *s, hf_slot *slot) {
    bool all = s->now.mono_ms - slot->head_since_ms >= s->core->o.quick_ms || s->core->draining ||
               s->core->giving_back || slot->stopping;
    for (hf_held *held = slot->jobs->next; held && !full(s); held = held->next) {
        if (held->recalled || !(all || held->cancel_requested || held->state == HF_HELD_FENCED || held->ungranted))
            continue;
        held->recalled = true;
        act_on(s, HF_ACT_RECALL, held, HF_STOP_NONE, 0);
    }
}

static void tend_slots(step *s) {
    hf_worker_core *core = s->core;
    for (int32_t i = 0; i < core->o.slots && core->slots_busy && !full(s); i++) {
        hf_slot *slot = &core->slots[i];
        if (!slot->jobs)
            continue;
        stop_head(s, slot);
        if (slot->count > 1)
            recall_rest(s, slot);
        hf_held *head = slot->jobs;
        if (head->state == HF_HELD_IN_SLOT && !head->started && head->pending < 0 &&
            s->now.mono_ms - slot->head_since_ms >= core->o.quick_ms)
            hf_held_touch(core, head);
    }
}

/* ---- claims --------------------------------------------------------------------------------------------------------- */
/* How long a job takes: the mean, or, when every slot is busy with longer ones, the youngest of those. */
static double duration_now(const hf_worker_core *core, hf_now now) {
    int64_t youngest = INT64_MAX;
    for (int32_t i = 0; i < core->o.slots; i++) {
        if (!core->slots[i].jobs)
            return core->duration_us;
        int64_t age = now.mono_ms - core->slots[i].head_since_ms;
        youngest = age < youngest ? age : youngest;
    }
    double us = (double)youngest * 1000;
    return us > core->duration_us ? us : core->duration_us;
}

int32_t hf_core_claims_target(const hf_worker_core *core, hf_now now) {
    double slots = core->o.slots, target = slots, us = duration_now(core, now);
    if (core->duration_us >= 0) { /* twice what a round trip's worth of jobs is: some are always on their way */
        double ahead = 2 * core->round_trip_us / (us < 10 ? 10 : us);
        target = slots * (1 + (ahead < 0.05 ? 0 : ahead)) + 0.5;
    }
    return target > core->o.claims_max ? core->o.claims_max : (int32_t)target;
}

/* The most urgent job to claim: an own one, unless a stranger's is two steps more urgent. */
static hf_qjob *candidate(hf_worker_core *core, hf_now now) {
    for (;;) {
        hf_qjob *own = hf_qjobs_top(&core->jobs, HF_HEAP_READY), *other = hf_qjobs_top(&core->jobs, HF_HEAP_RIPE);
        bool take_other = other && (!own || other->urgency + 2 * core->o.ageing_ms < own->urgency);
        hf_qjob *job = take_other ? other : own;
        bool judged = !job || job->generation == core->peers.generation || core->broken;
        if (judged && (!job || !job->limits || !hf_limits_park(core, job)))
            return job;
        if (!judged)
            hf_core_judge(core, job, now);
    }
}

/* False: there is nothing to propose for it yet, or it is gone. */
static bool take_grants(step *s, hf_held *held) {
    switch (hf_grants_next(s->core, held, s->now)) {
    case HF_TAKE_ALL: held->state = HF_HELD_CLAIMING; return true;
    case HF_TAKE_GIVE_UP: hf_held_end(s->core, held, s->now); return false;
    case HF_TAKE_WAIT: return false;
    }
    return false;
}

static void propose_held(step *s, hf_held *held) {
    bool no_memory = false;
    if (held->state == HF_HELD_TAKING && !take_grants(s, held))
        return;
    if (held->state == HF_HELD_CLAIMING && held->ungranted && held->pending < 0) {
        hf_held_end(s->core, held, s->now);
        return;
    }
    const hf_record *record = hf_held_propose(s->core, held, s->now, &no_memory);
    if (no_memory)
        s->core->broken = true;
    if (record)
        act(s, (hf_action){.kind = HF_ACT_PROPOSE,
                           .tag = (uint64_t)(held - s->core->held) << 32 | held->serial,
                           .record = record});
}

/* What came of an announcement; one of an attempt that is not ours any more is settled by that. */
static void answer_announcement(step *s, hf_held *held) {
    bool fenced = held->state == HF_HELD_FENCED;
    if (!held->announcement || !(held->announcement_settled || fenced))
        return;
    act_on(s, HF_ACT_ANNOUNCED, held, HF_STOP_NONE, 0);
    if (s->core->broken)
        return;
    s->actions[s->count - 1].serial = held->announcement_serial;
    s->actions[s->count - 1].code = held->announcement_settled ? held->announcement_code : HF_E_LEASE_LOST;
    hf_held_announcement_drop(held);
}

/* Its bandwidth was changed after it was given to its runner. */
static void tell_limit(step *s, hf_held *held) {
    if (!held->limit_new || held->state != HF_HELD_IN_SLOT)
        return;
    act_on(s, HF_ACT_LIMIT, held, HF_STOP_NONE, 0);
    if (s->core->broken)
        return;
    s->actions[s->count - 1].bandwidth = held->bandwidth;
    held->limit_new = false;
}

static void tend_dirty(step *s) {
    for (hf_held *held = NULL; !full(s) && (held = hf_held_pop_dirty(s->core));) {
        answer_announcement(s, held);
        if (!full(s))
            tell_limit(s, held);
        if (full(s))
            hf_held_touch(s->core, held);
        else
            propose_held(s, held);
    }
}

static void claim(step *s) {
    hf_worker_core *core = s->core;
    if (!core->caught_up || core->quiet || core->draining || !hf_core_lease_held(core, s->now))
        return;
    int64_t want = (int64_t)hf_core_claims_target(core, s->now) - core->held_count;
    for (; want > 0 && !full(s); want--) {
        hf_qjob *job = candidate(core, s->now);
        hf_held *held =
            job ? hf_held_new(core, job, job->limits ? HF_HELD_TAKING : HF_HELD_CLAIMING, job->attempt + 1) : NULL;
        if (!held)
            return;
        hf_qjobs_take(&core->jobs, job);
        hf_limits_taken(core, job);
        if (job->limits && !hf_grants_begin(core, held, s->now))
            return;
        propose_held(s, held);
    }
}

static void tell_limits(step *s) {
    uint64_t tag = 0;
    const hf_limit_event *event;
    while (!full(s) && (event = hf_grants_pop(s->core, s->now, &tag)))
        act(s, (hf_action){.kind = HF_ACT_GRANT, .tag = tag, .limit = event});
}

static void give_orphans_free(step *s) {
    hf_worker_core *core = s->core;
    hf_qjob *job = NULL;
    while (core->caught_up && !full(s) && (job = hf_qjobs_top(&core->jobs, HF_HEAP_ORPHANS))) {
        hf_held *held = hf_held_new(core, job, HF_HELD_GIVING, job->attempt);
        if (!held)
            return;
        hf_qjobs_take(&core->jobs, job);
        propose_held(s, held);
    }
}

/* Claimed ahead, but jobs turned out long and another worker has room: let it have them. */
static void release_excess(step *s) {
    hf_worker_core *core = s->core;
    if (!core->claimed || s->now.mono_ms < core->release_check_at)
        return;
    core->release_check_at = s->now.mono_ms + HF_RELEASE_CHECK_MS;
    int64_t excess = (int64_t)core->held_count - hf_core_claims_target(core, s->now);
    hf_held *held = NULL;
    DL_FOREACH(core->claimed, held) {
        if (excess <= 0)
            return;
        if (held->release || s->now.mono_ms - held->accepted_ms < HF_RELEASE_AFTER_MS ||
            !hf_peers_other_idle(&core->peers, held->job->kind))
            continue;
        held->release = true;
        hf_held_touch(core, held);
        excess--;
    }
}

/* ---- starts ----------------------------------------------------------------------------------------------------------- */
static uint32_t slot_depth(const hf_worker_core *core) { /* about 5 ms of work */
    if (core->duration_us < 0 || core->duration_us > 2500)
        return 1;
    double depth = 5000 / (core->duration_us < 10 ? 10 : core->duration_us);
    return depth > HF_SLOT_DEPTH_MAX ? HF_SLOT_DEPTH_MAX : (uint32_t)depth;
}

static hf_held *next_to_start(const hf_worker_core *core) {
    for (hf_held *held = core->claimed; held; held = held->next)
        if (held->pending < 0 && !held->cancel_requested && !held->release)
            return held;
    return NULL;
}

static bool takes_more(const hf_worker_core *core, const hf_slot *slot, uint32_t depth, hf_now now) {
    if (slot->unusable || slot->stopping || slot->count >= depth)
        return false;
    return slot->count == 0 || now.mono_ms - slot->head_since_ms < core->o.quick_ms;
}

static void start_in(step *s, int32_t i, hf_held *held) {
    hf_worker_core *core = s->core;
    hf_slot *slot = &core->slots[i];
    hf_held_unlist(core, held, s->now);
    held->state = HF_HELD_IN_SLOT;
    held->slot = held->ran_in = i;
    held->limit_new = false; /* START brings it */
    if (slot->count++ == 0) {
        slot->head_since_ms = s->now.mono_ms;
        core->slots_busy++;
    }
    DL_APPEND(slot->jobs, held);
    act_on(s, HF_ACT_START, held, HF_STOP_NONE, 0);
}

static void start(step *s) {
    hf_worker_core *core = s->core;
    if (core->draining || core->giving_back || !hf_core_lease_held(core, s->now))
        return;
    uint32_t depth = slot_depth(core);
    for (uint32_t level = 1; level <= depth && core->claimed && !full(s); level++)
        for (int32_t i = 0; i < core->o.slots && !full(s); i++) {
            if (!takes_more(core, &core->slots[i], level, s->now))
                continue;
            hf_held *held = next_to_start(core);
            if (!held)
                return;
            start_in(s, i, held);
        }
}

/* ---- time goes by --------------------------------------------------------------------------------------------------------- */
static void ripen(hf_worker_core *core, hf_now now) {
    hf_qjob *job = NULL;
    while ((job = hf_qjobs_top(&core->jobs, HF_HEAP_WAITING)) && job->order <= now.wall_ms && !core->broken)
        hf_core_judge(core, job, now);
    while ((job = hf_qjobs_top(&core->jobs, HF_HEAP_FRESH)) && job->order <= now.mono_ms && !core->broken)
        hf_core_judge(core, job, now);
}

/* The set of live workers changed: some of the jobs have another preferred worker now. */
static void walk(hf_worker_core *core, hf_now now) {
    if (core->walked_generation != core->peers.generation) {
        core->walked_generation = core->peers.generation;
        hf_qjobs_walk_begin(&core->jobs);
    }
    hf_qjob *job = NULL;
    for (int n = 0; n < HF_WALK_STEP && core->jobs.walk && (job = hf_qjobs_walk_next(&core->jobs)); n++)
        if (job->heap <= HF_HEAP_RIPE || job->heap == HF_HEAP_PAUSED)
            if (job->generation != core->peers.generation)
                hf_core_judge(core, job, now);
}

static void resend_one(hf_worker_core *core, hf_held *held, hf_now now) {
    bool phased = held->pending == HF_EV_STARTED || held->pending == HF_EV_PROGRESSING;
    held->resend = false;
    held->pending = -1;
    held->phase_new |= held->phase && phased;
    core->in_flight--;
    if (held->state == HF_HELD_CLAIMING &&
        (!held->job->queued || held->job->attempt != held->attempt - 1 || core->draining || !hf_grants_match(held)))
        hf_held_end(core, held, now); /* should it be in the log after all, it is given back when it is read */
    else
        hf_held_touch(core, held);
}

static void resend(hf_worker_core *core, hf_now now) {
    if (!core->resends || now.mono_ms < core->resend_at)
        return;
    core->resends = false;
    for (uint32_t i = 0; i < core->held_cap; i++)
        if (core->held[i].resend)
            resend_one(core, &core->held[i], now);
}

static void expire(hf_worker_core *core, hf_now now) {
    if (now.mono_ms < core->expire_at)
        return;
    core->expire_at = now.mono_ms + core->o.heartbeat_ms;
    hf_peers_expire(&core->peers, now.mono_ms);
}

/* ---- heartbeat -------------------------------------------------------------------------------------------------------------- */
static bool list_running(hf_worker_core *core, hf_list *ret) {
    hf_attempt_ref *refs = hf_arena_alloc(&core->arena, (core->held_count + 1) * sizeof *refs);
    uint32_t n = 0;
    for (uint32_t i = 0; refs && i < core->held_cap && n < HF_CLAIMS_MAX; i++) {
        const hf_held *held = &core->held[i];
        if (held->state != HF_HELD_CLAIMED && held->state != HF_HELD_IN_SLOT && held->state != HF_HELD_ENDED)
            continue;
        refs[n] = (hf_attempt_ref){hf_arena_str(&core->arena, hf_qjob_id(held->job)), held->attempt};
        if (!refs[n++].job_id.p)
            return false;
    }
    *ret = (hf_list){refs, n};
    return refs != NULL;
}

void hf_worker_core_farewell(const hf_worker_core *core, hf_now now, hf_heartbeat *ret) {
    *ret = (hf_heartbeat){.worker_id = core->o.worker_id,
                          .incarnation = core->o.incarnation,
                          .hostname = core->o.hostname,
                          .version = core->o.version,
                          .at = now.wall_ms,
                          .started_at = core->started_at_ms,
                          .slots = core->o.slots,
                          .slots_busy = core->slots_busy,
                          .interval_ms = core->o.heartbeat_ms,
                          .lease_ms = core->o.lease_ms,
                          .capabilities = core->o.capabilities,
                          .runner_restarts = core->crashes,
                          .jobs_done = core->done,
                          .state = HF_W_STOPPED};
}

static void beat(step *s) {
    hf_worker_core *core = s->core;
    if (s->now.mono_ms < core->heartbeat_at || full(s))
        return;
    core->heartbeat_at = s->now.mono_ms + core->o.heartbeat_ms;
    hf_heartbeat *hb = &core->heartbeat;
    hf_worker_core_farewell(core, s->now, hb);
    hb->state = core->draining || core->giving_back ? HF_W_DRAINING : core->quiet ? HF_W_QUIET : HF_W_ACTIVE;
    if (!list_running(core, &hb->running)) {
        core->broken = true;
        return;
    }
    uint32_t serial = ++core->heartbeat_serial;
    core->heartbeats[serial % HF_HEARTBEATS_IN_FLIGHT].serial = serial;
    core->heartbeats[serial % HF_HEARTBEATS_IN_FLIGHT].sent_ms = s->now.mono_ms;
    act(s, (hf_action){.kind = HF_ACT_HEARTBEAT, .tag = 1ULL << 63 | serial, .heartbeat = hb});
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------ */
hf_code hf_worker_core_step(hf_worker_core *core, hf_now now, hf_action *actions, size_t max, size_t *ret_count,
                            hf_err *reterr) {
    step s = {core, now, actions, max, 0};
    hf_arena_reset(&core->arena);
    beat(&s);
    expire(core, now);
    resend(core, now);
    hf_grants_resend(core, now);
    hf_limits_offer(core, now);
    ripen(core, now);
    walk(core, now);
    tend_slots(&s);
    start(&s);
    tend_dirty(&s);
    give_orphans_free(&s);
    release_excess(&s);
    claim(&s);
    tell_limits(&s);
    *ret_count = s.count;
    return core->broken ? hf_fail(reterr, HF_E_NO_MEMORY, "worker, %u jobs indexed", hf_qjobs_count(&core->jobs))
                        : HF_OK;
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t slot_wake(const hf_worker_core *core, const hf_slot *slot, hf_now now) {
    int64_t wake = INT64_MAX, since = slot->head_since_ms;
    if (!slot->jobs)
        return wake;
    if (since + core->o.quick_ms > now.mono_ms)
        wake = since + core->o.quick_ms;
    if (slot->stopping)
        return wake;
    if (slot->jobs->timeout_s > 0)
        wake = earlier(wake, since + (int64_t)slot->jobs->timeout_s * 1000);
    wake = earlier(wake, core->drain_deadline_ms);
    return earlier(wake, lease_end(core));
}

int64_t hf_worker_core_wake_ms(const hf_worker_core *core, hf_now now) {
    const hf_qjob *waiting = hf_qjobs_top(&core->jobs, HF_HEAP_WAITING),
                  *fresh = hf_qjobs_top(&core->jobs, HF_HEAP_FRESH);
    int64_t wake = earlier(core->heartbeat_at, core->expire_at);
    if (core->dirty || core->limits.due || core->limits.offers || core->jobs.walk ||
        core->walked_generation != core->peers.generation)
        return now.mono_ms;
    if (waiting)
        wake = earlier(wake, now.mono_ms + (waiting->order - now.wall_ms));
    if (fresh)
        wake = earlier(wake, fresh->order);
    if (core->resends)
        wake = earlier(wake, core->resend_at);
    if (core->limits.resends)
        wake = earlier(wake, core->limits.resend_at);
    if (core->claimed)
        wake = earlier(wake, core->release_check_at);
    for (int32_t i = 0; i < core->o.slots && core->slots_busy; i++)
        wake = earlier(wake, slot_wake(core, &core->slots[i], now));
    return wake;
}

void hf_worker_core_stats(const hf_worker_core *core, hf_now now, hf_worker_stats *ret) {
    const hf_qheap *h = core->jobs.heaps;
    *ret = (hf_worker_stats){.queued = h[HF_HEAP_READY].count + h[HF_HEAP_FRESH].count + h[HF_HEAP_RIPE].count +
                                       h[HF_HEAP_WAITING].count + h[HF_HEAP_PAUSED].count + hf_limits_parked(core),
                             .held = core->held_count,
                             .proposals_in_flight = core->in_flight,
                             .slots_busy = core->slots_busy,
                             .claims_target = hf_core_claims_target(core, now),
                             .live_workers = core->peers.live + 1,
                             .done = core->done,
                             .claims_lost = core->claims_lost,
                             .fenced = core->fenced,
                             .runner_crashes = core->crashes,
                             .lease_held = hf_core_lease_held(core, now),
                             .draining = core->draining};
}

bool hf_worker_core_idle(const hf_worker_core *core) {
    return core->held_count == 0 && core->in_flight == 0 && core->limits.grants == 0;
}
