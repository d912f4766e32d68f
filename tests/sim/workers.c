/* A worker: the real core, and runners that take their time, fail, hang, crash and publish. */
#include "tests/sim/sim.h"

enum { ACTIONS_MAX = 64 };

static const hf_str operations[] = {HF_STR_INIT("sleep")};

void sim_worker_start(sim_world *w, sim_actor *a) {
    hf_err err = {0};
    hf_worker_options o = {.worker_id = hf_str_of(a->name),
                           .incarnation = hf_str_of(a->incarnation_name),
                           .hostname = HF_STR("sim"),
                           .version = HF_STR("1"),
                           .capabilities = {.operations = {operations, 1}, .memory_gb = 8, .disk_space_gb = 100},
                           .slots = SIM_SLOTS,
                           .claims_max = 8,
                           .lease_ms = 30000,
                           .heartbeat_ms = 10000,
                           .stranger_wait_ms = 500,
                           .ageing_ms = 600000,
                           .retry_base_ms = 2000,
                           .retry_max_ms = 20000,
                           .kill_grace_ms = 5000,
                           .quick_ms = 25};
    if (hf_worker_core_new(&o, sim_now(w, a), &a->worker, &err) != HF_OK)
        sim_violation(w, "%s: %s", a->identity, err.detail);
    memset(a->slots, 0, sizeof a->slots);
    sim_worker_obey(w, a);
}

void sim_worker_obey(sim_world *w, sim_actor *a) {
    if (a->worker)
        hf_worker_core_quiet(a->worker, w->paused || a->quiet, a->gives_back, sim_now(w, a));
}

void sim_worker_stop(sim_actor *a) {
    hf_worker_core_free(a->worker);
    a->worker = NULL;
}

void sim_worker_change(sim_world *w, sim_actor *a, const hf_record *record, hf_verdict verdict, const hf_job *after) {
    if (hf_worker_core_change(a->worker, record, verdict, after, sim_now(w, a)) != HF_OK)
        sim_must(NULL);
}

void sim_worker_limit(sim_world *w, sim_actor *a, const hf_limit_change *c) {
    bool again = false;
    if (hf_worker_core_limit(a->worker, c, sim_now(w, a), &again) != HF_OK)
        sim_must(NULL);
    a->limits_new |= again;
}

static void announced(sim_world *w, sim_actor *a, const hf_action *act);

static void announce(sim_world *w, sim_actor *a, const sim_news *n) {
    hf_code code = hf_worker_core_announce(a->worker, n->slot, n->job_id, n->attempt, n->serial, HF_STR("snapshot"));
    if (code != HF_OK)
        announced(w, a,
                  &(hf_action){
                      .slot = n->slot, .job_id = n->job_id, .attempt = n->attempt, .serial = n->serial, .code = code});
}

void sim_worker_news(sim_world *w, sim_actor *a, const sim_news *n) {
    char marker[96];
    snprintf(marker, sizeof marker, "%d %s", n->attempt, a->identity);
    hf_result result = {.vm_name = hf_str_of(marker)};
    hf_outcome outcome = {
        .code = n->code, .message = HF_STR("as the seed has it"), .phase = HF_STR("sim"), .result = &result};
    switch (n->kind) {
    case SIM_NEWS_ACK: hf_worker_core_ack(a->worker, n->tag, n->code, sim_now(w, a)); break;
    case SIM_NEWS_DONE: hf_worker_core_done(a->worker, n->slot, n->job_id, n->attempt, &outcome, sim_now(w, a)); break;
    case SIM_NEWS_CRASHED: hf_worker_core_crashed(a->worker, n->slot, HF_STR("killed"), sim_now(w, a)); break;
    case SIM_NEWS_RETURNED: hf_worker_core_returned(a->worker, n->slot, n->job_id, n->attempt, sim_now(w, a)); break;
    case SIM_NEWS_ANNOUNCE: announce(w, a, n); break;
    case SIM_NEWS_PHASE: hf_worker_core_phase(a->worker, n->slot, n->job_id, n->attempt, HF_STR("copy")); break;
    }
}

/* ---- runners ---------------------------------------------------------------------------------------------- */
static void runner_at(sim_world *w, sim_actor *a, int slot, int64_t in_ms) {
    sim_event e = {.kind = SIM_AT_RUNNER,
                   .actor = a->index,
                   .incarnation = a->incarnation,
                   .slot = slot,
                   .serial = ++a->slots[slot].serial};
    sim_at(w, w->now_ms + in_ms, e);
}

static hf_code draw_outcome(sim_world *w) {
    int64_t n = w->calm ? 0 : sim_roll(w, 100);
    return n < 70 ? HF_OK : n < 85 ? HF_E_IO : n < 92 ? HF_E_RUNNER_CRASHED : HF_E_SOURCE_INVALID;
}

/* What it does must be on record first; without an answer it gives up. */
static void begin_announced(sim_world *w, sim_actor *a, int slot, int64_t duration_ms) {
    sim_slot *s = &a->slots[slot];
    runner_at(w, a, slot, 60000);
    s->announcement = s->serial;
    s->duration_ms = duration_ms;
    sim_actor_news(w, a,
                   (sim_news){.kind = SIM_NEWS_ANNOUNCE,
                              .slot = slot,
                              .job_id = s->runs[0].job_id,
                              .attempt = s->runs[0].attempt,
                              .serial = s->serial});
}

static void begin(sim_world *w, sim_actor *a, int slot) {
    sim_slot *s = &a->slots[slot];
    if (s->count == 0)
        return;
    int64_t kind = w->calm ? 0 : sim_roll(w, 10);
    int64_t duration = kind < 5 ? 1 + sim_roll(w, 40) : kind < 8 ? sim_roll(w, 5000) : sim_roll(w, 90000);
    s->outcome = draw_outcome(w);
    s->hangs = sim_storm_chance(w, 40);
    w->counts.runs++;
    if (sim_chance(w, 300))
        sim_actor_news(
            w, a,
            (sim_news){
                .kind = SIM_NEWS_PHASE, .slot = slot, .job_id = s->runs[0].job_id, .attempt = s->runs[0].attempt});
    s->announcement = 0;
    if (sim_chance(w, 200))
        begin_announced(w, a, slot, duration);
    else
        runner_at(w, a, slot, duration);
}

/* The runner may do what it announced: it must be on record, whoever holds the job by now. */
static void announced(sim_world *w, sim_actor *a, const hf_action *act) {
    sim_slot *s = &a->slots[act->slot];
    if (s->announcement != act->serial || s->count == 0 || s->runs[0].attempt != act->attempt ||
        !hf_str_eq(s->runs[0].job_id, act->job_id))
        return; /* it waited long enough, or was stopped */
    s->announcement = 0;
    if (act->code == HF_OK && act->attempt < 64 && !(sim_referee_model(w, act->job_id)->announced >> act->attempt & 1))
        sim_violation(w, "%s tells %.*s #%d that its announcement is on record, and it is not", a->identity,
                      HF_STR_ARG(act->job_id), act->attempt);
    w->counts.announced += act->code == HF_OK;
    if (act->code != HF_OK)
        s->outcome = act->code;
    runner_at(w, a, act->slot, act->code == HF_OK ? s->duration_ms : 0);
}

/* RENAME_NOREPLACE; only a newer attempt replaces what an older one left. */
static hf_code publish(sim_world *w, const sim_run *run) {
    sim_model *m = sim_referee_model(w, run->job_id);
    if (m->published > run->attempt)
        return HF_E_CONFLICT;
    m->published = run->attempt;
    return HF_OK;
}

static void shift(sim_slot *s) { memmove(&s->runs[0], &s->runs[1], (size_t)--s->count * sizeof s->runs[0]); }

/* What runs ends now: published before anybody is told, and told whether or not the program sleeps. */
void sim_worker_runner(sim_world *w, sim_actor *a, int slot, uint32_t serial) {
    sim_slot *s = &a->slots[slot];
    if (s->serial != serial || s->count == 0)
        return;
    if (a->whole_machine_sleeps && w->now_ms < a->resume_at) {
        runner_at(w, a, slot, a->resume_at - w->now_ms);
        return;
    }
    if (s->hangs && !w->calm) {
        runner_at(w, a, slot, 20000);
        return;
    }
    sim_run run = s->runs[0];
    if (s->announcement) /* nobody answered */
        s->outcome = HF_E_TIMEOUT;
    s->announcement = 0;
    hf_code code = s->outcome == HF_OK ? publish(w, &run) : s->outcome;
    SIM_SAY(w, "%s slot %d: %.*s #%d ends, %s", a->identity, slot, HF_STR_ARG(run.job_id), run.attempt,
            hf_code_name(code));
    sim_news news = {.kind = SIM_NEWS_DONE, .slot = slot, .job_id = run.job_id, .attempt = run.attempt, .code = code};
    if (code == HF_E_RUNNER_CRASHED) { /* those behind it come back, too */
        news.kind = SIM_NEWS_CRASHED;
        s->count = 0;
    } else {
        shift(s);
    }
    sim_actor_news(w, a, news);
    begin(w, a, slot);
}

static void start(sim_world *w, sim_actor *a, const hf_action *act) {
    sim_slot *s = &a->slots[act->slot];
    const hf_job *job = hf_replica_job(a->memory, act->job_id);
    if (!job || !hf_state_has_attempt((hf_state)job->state) || job->attempt != act->attempt ||
        !hf_str_eqz(job->worker, a->identity))
        sim_violation(w, "%s starts %.*s #%d, which it has not read to be its own", a->identity,
                      HF_STR_ARG(act->job_id), act->attempt);
    sim_limits_start(w, a, act->job_id, act->attempt);
    if (s->count == SIM_SLOT_DEPTH) {
        sim_violation(w, "%s gives a runner more than %d jobs", a->identity, SIM_SLOT_DEPTH);
        return;
    }
    s->runs[s->count++] = (sim_run){hf_arena_str(&w->arena, act->job_id), act->attempt, hf_job_bandwidth(job)};
    if (s->count == 1)
        begin(w, a, act->slot);
}

static int place_of(const sim_slot *s, const hf_action *act) {
    for (int i = 0; i < s->count; i++)
        if (s->runs[i].attempt == act->attempt && hf_str_eq(s->runs[i].job_id, act->job_id))
            return i;
    return -1;
}

static void recall(sim_world *w, sim_actor *a, const hf_action *act) {
    sim_slot *s = &a->slots[act->slot];
    int i = place_of(s, act);
    if (i < 1) /* it began: done() will tell */
        return;
    sim_run run = s->runs[i];
    memmove(&s->runs[i], &s->runs[i + 1], (size_t)(--s->count - i) * sizeof run);
    sim_actor_news(
        w, a, (sim_news){.kind = SIM_NEWS_RETURNED, .slot = act->slot, .job_id = run.job_id, .attempt = run.attempt});
}

static void stop(sim_world *w, sim_actor *a, const hf_action *act) {
    sim_slot *s = &a->slots[act->slot];
    if (place_of(s, act) != 0)
        return;
    if (!s->hangs && sim_chance(w, 200))
        return; /* it is about to end by itself */
    s->outcome = s->hangs || sim_chance(w, 200) ? HF_E_RUNNER_CRASHED : HF_E_CANCELLED;
    s->hangs = false;
    s->announcement = 0;
    runner_at(w, a, act->slot, s->outcome == HF_E_CANCELLED ? sim_roll(w, act->grace_ms + 1) : 2 * act->grace_ms);
}

/* ---- deciding ------------------------------------------------------------------------------------------------ */
/* A worker that has read that its attempt is over never says that it completed. */
static void check_proposal(sim_world *w, const sim_actor *a, const hf_record *r) {
    const hf_job *job = hf_replica_job(a->memory, r->job_id);
    hf_event last = hf_record_event(r, r->transitions.count - 1);
    if (last == HF_EV_ASSIGNED)
        sim_limits_claim(w, a, r);
    if (last == HF_EV_COMPLETED && (!job || !hf_state_has_attempt((hf_state)job->state) || job->attempt != r->attempt ||
                                    !hf_str_eqz(job->worker, a->identity)))
        sim_violation(w, "%s completes %.*s #%d, of which it has read that it is over", a->identity,
                      HF_STR_ARG(r->job_id), r->attempt);
}

static void limit(sim_world *w, sim_actor *a, const hf_action *act) {
    int i = place_of(&a->slots[act->slot], act);
    if (i >= 0)
        a->slots[act->slot].runs[i].bandwidth = act->bandwidth;
    w->counts.limits++;
}

/* Whoever has nothing more to do has told its runners what the log says of their jobs. */
static void check_limits(sim_world *w, sim_actor *a) {
    for (int slot = 0; slot < SIM_SLOTS; slot++)
        for (int i = 0; i < a->slots[slot].count; i++) {
            const sim_run *run = &a->slots[slot].runs[i];
            const hf_job *job = hf_replica_job(a->memory, run->job_id);
            bool own = job && hf_state_has_attempt((hf_state)job->state) && job->attempt == run->attempt &&
                       hf_str_eqz(job->worker, a->identity);
            if (own && hf_worker_core_owns(a->worker, slot, run->job_id, run->attempt) &&
                hf_job_bandwidth(job) != run->bandwidth)
                sim_violation(w, "%s runs %.*s #%d at %lld bytes/s, but the log says %lld", a->identity,
                              HF_STR_ARG(run->job_id), run->attempt, (long long)run->bandwidth,
                              (long long)hf_job_bandwidth(job));
        }
}

static void act(sim_world *w, sim_actor *a, const hf_action *action) {
    switch (action->kind) {
    case HF_ACT_PROPOSE:
        check_proposal(w, a, action->record);
        sim_send(w, a, SIM_EVENTS, sim_partition_of(action->record->job_id), action->record, action->tag);
        break;
    case HF_ACT_GRANT:
        sim_send(w, a, SIM_LIMITS, sim_partition_of(action->limit->key), action->limit, action->tag);
        break;
    case HF_ACT_HEARTBEAT: sim_send(w, a, SIM_HEARTBEATS, 0, action->heartbeat, action->tag); break;
    case HF_ACT_START: start(w, a, action); break;
    case HF_ACT_ANNOUNCED: announced(w, a, action); break;
    case HF_ACT_LIMIT: limit(w, a, action); break;
    case HF_ACT_RECALL: recall(w, a, action); break;
    case HF_ACT_STOP: stop(w, a, action); break;
    }
}

int64_t sim_worker_decide(sim_world *w, sim_actor *a) {
    hf_action actions[ACTIONS_MAX];
    size_t count;
    hf_err err = {0};
    do {
        if (hf_worker_core_step(a->worker, sim_now(w, a), actions, ACTIONS_MAX, &count, &err) != HF_OK)
            sim_must(NULL);
        for (size_t i = 0; i < count; i++)
            act(w, a, &actions[i]);
    } while (count == ACTIONS_MAX);
    check_limits(w, a);
    if (a->draining && hf_worker_core_idle(a->worker)) {
        sim_actor_stop(w, a);
        sim_at(w, w->now_ms + sim_roll(w, 5000), (sim_event){.kind = SIM_AT_RESTART, .actor = a->index});
        return SIM_NEVER;
    }
    int64_t wake = hf_worker_core_wake_ms(a->worker, sim_now(w, a));
    return wake == INT64_MAX ? SIM_NEVER : wake - 1; /* sim_now's monotonic time is one ahead: 0 means never there */
}
