/* The referee: what must hold whatever happens, said a second time and without the fold.
 *
 *   - of one job at most one attempt is held, and nothing of an attempt that is over is ever accepted
 *   - only the worker that holds an attempt speaks for it
 *   - nothing but Deleted follows an end, and there is one end
 *   - the result on record is that of the attempt that completed, and that attempt's output lies in place
 *   - a runner that is told that its announcement is on record finds it there (workers.c asks)
 *   - schedules: timetables.c
 *   - no limit of concurrency is exceeded (limits.c)
 *   - everything submitted comes to an end once the storm is over
 *   - priority and bandwidth are what was last said of them, and runners are told (workers.c looks)
 *   - all replicas agree at every offset (actors.c compares the digests) */
#include <inttypes.h>

#include "tests/sim/sim.h"

sim_model *sim_referee_model(sim_world *w, hf_str id) {
    for (uint32_t i = 0; i < w->model_count; i++)
        if (hf_str_eq(w->models[i].id, id))
            return &w->models[i];
    if (w->model_count == SIM_JOBS_MAX) {
        sim_violation(w, "more than %d jobs in one schedule: the simulator's own bound", SIM_JOBS_MAX);
        return &w->models[0];
    }
    sim_model *m = &w->models[w->model_count++];
    *m = (sim_model){.id = hf_arena_str(&w->arena, id)};
    return m;
}

/* ---- one accepted transition ---------------------------------------------------------------------------- */
static void wrong(sim_world *w, const sim_model *m, const hf_record *r, hf_event event, const char *what) {
    sim_violation(w, "job %.*s: accepted %s of attempt %d by %.*s, but %s (attempt %d%s, worker %.*s)",
                  HF_STR_ARG(m->id), hf_event_name(event), r->attempt, HF_STR_ARG(r->by), what, m->attempt,
                  m->held ? ", held" : "", HF_STR_ARG(m->worker));
}

static void must_be_current(sim_world *w, const sim_model *m, const hf_record *r, hf_event event) {
    if (r->attempt != m->attempt)
        wrong(w, m, r, event, "that attempt is not the current one");
}

static void must_hold(sim_world *w, const sim_model *m, const hf_record *r, hf_event event) {
    must_be_current(w, m, r, event);
    if (!m->held)
        wrong(w, m, r, event, "nobody holds the job");
    else if (!hf_str_eq(r->by, m->worker))
        wrong(w, m, r, event, "another worker holds it");
}

static void ends(sim_world *w, sim_model *m) {
    sim_timetables_ended(w, m->id);
    m->held = m->started = false;
    m->ended = true;
    m->ends++;
}

static void gives_up(sim_model *m) { m->held = m->started = false; }

/* The runners write "attempt worker" as the name of what they exported. */
static void check_result(sim_world *w, const sim_model *m, const hf_record *r, const hf_ev_completed *e) {
    char expected[96];
    snprintf(expected, sizeof expected, "%d %.*s", r->attempt, HF_STR_ARG(r->by));
    if (!hf_str_eqz(e->result.vm_name, expected))
        wrong(w, m, r, HF_EV_COMPLETED, "the result is another attempt's");
    if (m->published != r->attempt)
        wrong(w, m, r, HF_EV_COMPLETED, "its output does not lie in place");
}

static void judge_start(sim_world *w, sim_model *m, const hf_record *r) {
    must_hold(w, m, r, HF_EV_STARTED);
    if (m->started)
        wrong(w, m, r, HF_EV_STARTED, "an attempt is running already");
    m->started = true;
}

static void judge_claim(sim_world *w, sim_model *m, const hf_record *r, const hf_ev_assigned *e) {
    if (m->held)
        wrong(w, m, r, HF_EV_ASSIGNED, "an attempt is held already");
    if (r->attempt != m->attempt + 1)
        wrong(w, m, r, HF_EV_ASSIGNED, "it is not the next attempt");
    m->held = true;
    m->attempt = r->attempt;
    m->worker = e->worker;
}

/* The last that was said of each counts; what says nothing of one leaves it. */
static void judge_adjustment(sim_model *m, const hf_ev_adjusted *e) {
    if (e->priority >= 1 && e->priority <= 10)
        m->priority = e->priority;
    if (e->bandwidth_limit >= 0)
        m->bandwidth = e->bandwidth_limit;
}

static void judge_one(sim_world *w, sim_model *m, const hf_record *r, hf_event event, const void *payload) {
    if (m->ended && event != HF_EV_DELETED)
        wrong(w, m, r, event, "the job had ended");
    if (event != HF_EV_CREATED && !m->exists)
        wrong(w, m, r, event, "the job was never created");
    switch (event) {
    case HF_EV_CREATED:
        if (m->exists)
            wrong(w, m, r, event, "the job exists");
        m->exists = true;
        sim_timetables_created(w, r, &((const hf_ev_created *)payload)->spec);
        m->priority = ((const hf_ev_created *)payload)->spec.policy.priority;
        m->bandwidth = ((const hf_ev_created *)payload)->spec.options.bandwidth_limit;
        break;
    case HF_EV_ASSIGNED: judge_claim(w, m, r, payload); break;
    case HF_EV_STARTED: judge_start(w, m, r); break;
    case HF_EV_PROGRESSING:
        must_hold(w, m, r, event);
        if (hf_str_eqz(((const hf_ev_progressing *)payload)->phase, "snapshot") && r->attempt < 64)
            m->announced |= 1ull << r->attempt;
        break;
    case HF_EV_COMPLETED:
        must_hold(w, m, r, event);
        check_result(w, m, r, payload);
        ends(w, m);
        break;
    case HF_EV_RETRY_SCHEDULED:
    case HF_EV_RELEASED:
        must_hold(w, m, r, event);
        gives_up(m);
        break;
    case HF_EV_FAILED:
        if (m->held)
            must_hold(w, m, r, event);
        must_be_current(w, m, r, event);
        ends(w, m);
        break;
    case HF_EV_LEASE_EXPIRED:
        must_be_current(w, m, r, event);
        if (!m->held)
            wrong(w, m, r, event, "nobody holds the job");
        gives_up(m);
        break;
    case HF_EV_QUEUED:
        must_be_current(w, m, r, event);
        if (m->held)
            wrong(w, m, r, event, "an attempt is held");
        break;
    case HF_EV_CANCEL_REQUESTED: m->cancel_asked = true; break;
    case HF_EV_CANCELLED:
        must_be_current(w, m, r, event);
        if (!m->cancel_asked)
            wrong(w, m, r, event, "nobody asked");
        ends(w, m);
        break;
    case HF_EV_REJECTED: ends(w, m); break;
    case HF_EV_DELETED:
        if (!m->ended)
            wrong(w, m, r, event, "the job has not ended");
        m->deleted = true;
        break;
    case HF_EV_ADJUSTED: judge_adjustment(m, payload); break;
    case HF_EV_VALIDATED:
    case HF_EVENT_COUNT: break;
    }
}

/* ---- a record ------------------------------------------------------------------------------------------------ */
static void say(sim_world *w, int partition, const hf_record *r, hf_verdict verdict, const hf_job *after) {
    if (!w->verbose)
        return;
    printf("%9lld  log %d/%" PRIu32 "  %.*s #%d by %.*s:", (long long)w->now_ms, partition,
           w->reference.next[partition] - 1, HF_STR_ARG(r->job_id), r->attempt, HF_STR_ARG(r->by));
    for (uint32_t i = 0; i < r->transitions.count; i++)
        printf(" %s", hf_event_name(hf_record_event(r, i)));
    printf(" -> %s%s%s\n", hf_verdict_name(verdict), after ? ", " : "",
           after ? hf_state_name((hf_state)after->state) : "");
}

/* The fold and the referee have the same idea of the job. An expired lease of the last attempt ends it. */
static void compare(sim_world *w, sim_model *m, const hf_job *after) {
    bool ended = hf_state_terminal((hf_state)after->state);
    if (ended && !m->ended && !m->held)
        ends(w, m);
    if (ended != m->ended || hf_state_has_attempt((hf_state)after->state) != m->held || after->attempt != m->attempt)
        sim_violation(w, "job %.*s is %s, attempt %d, by the fold; %s%s, attempt %d, by the referee", HF_STR_ARG(m->id),
                      hf_state_name((hf_state)after->state), after->attempt, m->held ? "held" : "not held",
                      m->ended ? ", ended" : "", m->attempt);
    if (hf_job_priority(after) != m->priority || hf_job_bandwidth(after) != m->bandwidth)
        sim_violation(w, "job %.*s has priority %d and %lld bytes/s by the fold; %d and %lld by the referee",
                      HF_STR_ARG(m->id), hf_job_priority(after), (long long)hf_job_bandwidth(after), m->priority,
                      (long long)m->bandwidth);
}

uint64_t sim_referee_judge(sim_world *w, int partition, const hf_record *r) {
    const hf_job *after;
    hf_verdict verdict = sim_replica_feed(&w->reference, partition, r, &after);
    say(w, partition, r, verdict, after);
    w->verdicts[verdict]++;
    if (verdict != HF_V_ACCEPTED)
        return w->reference.digest[partition];
    w->counts.accepted++;
    sim_model *m = sim_referee_model(w, r->job_id);
    for (uint32_t i = 0; i < r->transitions.count; i++) {
        w->happened[hf_record_event(r, i)]++;
        judge_one(w, m, r, hf_record_event(r, i), HF_LIST_AT(r->transitions, hf_variant, i)->record);
    }
    compare(w, m, after);
    return w->reference.digest[partition];
}

/* ---- the end --------------------------------------------------------------------------------------------------- */
static bool all_read(const sim_world *w) {
    for (int i = 0; i < w->actor_count; i++)
        for (int p = 0; p < SIM_PARTITIONS; p++)
            if (!w->actors[i].up || w->actors[i].next[p] < w->log[SIM_EVENTS][p].count ||
                w->actors[i].limits_next[p] < w->log[SIM_LIMITS][p].count)
                return false;
    return true;
}

bool sim_referee_settled(const sim_world *w) {
    if (!w->calm || w->in_flight || !all_read(w))
        return false;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        if (w->group_committed[p] < w->log[SIM_SUBMISSIONS][p].count)
            return false;
    for (uint32_t i = 0; i < w->model_count; i++)
        if (!w->models[i].ended)
            return false;
    return sim_limits_free(w);
}

void sim_referee_final(sim_world *w) {
    for (uint32_t i = 0; i < w->model_count; i++) {
        const sim_model *m = &w->models[i];
        if (!m->exists)
            sim_violation(w, "job %.*s was submitted and never created", HF_STR_ARG(m->id));
        else if (m->ends != 1)
            sim_violation(w, "job %.*s ended %" PRIu32 " times", HF_STR_ARG(m->id), m->ends);
    }
}
