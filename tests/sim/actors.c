/* What all programs do alike: start, remember, read, decide, sleep, die. */
#include <inttypes.h>

#include "tests/sim/sim.h"

void sim_actor_wake(sim_world *w, sim_actor *a, int64_t at_ms) {
    if (!a->up)
        return;
    if (at_ms < a->resume_at)
        at_ms = a->resume_at;
    if (at_ms <= w->now_ms)
        at_ms = w->now_ms + 1;
    if (at_ms >= a->wake_at)
        return;
    a->wake_at = at_ms;
    sim_at(w, at_ms, (sim_event){.kind = SIM_AT_WAKE, .actor = a->index});
}

void sim_actor_news(sim_world *w, sim_actor *a, sim_news news) {
    if (a->inbox_count == SIM_INBOX_MAX) {
        sim_violation(w, "%s has more than %d answers waiting: the simulator's own bound", a->name, SIM_INBOX_MAX);
        return;
    }
    a->inbox[a->inbox_count++] = news;
    sim_actor_wake(w, a, w->now_ms);
}

/* ---- from and to nothing -------------------------------------------------------------------------------- */
static void tell_change(sim_world *w, sim_actor *a, const hf_record *record, hf_verdict verdict, const hf_job *after) {
    if (a->kind == SIM_WORKER)
        sim_worker_change(w, a, record, verdict, after);
    else if (a->kind == SIM_DISPATCHER)
        sim_dispatcher_change(w, a, verdict, after);
}

static void on_change(void *ctx, const hf_change *c) {
    sim_actor *a = ctx;
    int32_t p = c->position.partition;
    a->digest[p] = sim_digest(a->digest[p], c->verdict, c->after);
    if (!a->loading)
        tell_change(a->world, a, c->record, c->verdict, c->after);
}

static void on_limit(void *ctx, const hf_limit_change *c) {
    sim_actor *a = ctx;
    sim_limits_tell(a->world, a, c);
}

static bool on_known_limit(void *ctx, const hf_limit *limit) {
    sim_actor *a = ctx;
    if (a->kind == SIM_WORKER && hf_worker_core_limit_is(a->worker, limit) != HF_OK)
        sim_must(NULL);
    if (a->kind == SIM_DISPATCHER &&
        !hf_freer_limit(a->freer, sim_partition_of(limit->key), limit, sim_now(a->world, a).mono_ms))
        sim_must(NULL);
    return true;
}

static bool on_live(void *ctx, const hf_job *job) {
    sim_actor *a = ctx;
    tell_change(a->world, a, NULL, HF_V_ACCEPTED, job);
    return true;
}

/* Folds the partition's next record. */
static void feed(sim_world *w, sim_actor *a, int partition) {
    const sim_entry *e = &w->log[SIM_EVENTS][partition].entries[a->next[partition]];
    hf_log_record record = {.topic = HF_TOPIC_JOB_EVENTS,
                            .partition = partition,
                            .offset = a->next[partition]++,
                            .timestamp_ms = w->wall_base_ms + e->at_ms,
                            .key = ((const hf_record *)e->record)->job_id,
                            .value = e->bytes};
    hf_err err = {0};
    if (hf_replica_feed(a->memory, &record, &err) != HF_OK)
        sim_violation(w, "%s: %s", a->identity, err.detail);
}

static void feed_limit(sim_world *w, sim_actor *a, int partition) {
    const sim_entry *e = &w->log[SIM_LIMITS][partition].entries[a->limits_next[partition]];
    hf_log_record record = {.topic = HF_TOPIC_LIMITS,
                            .partition = partition,
                            .offset = a->limits_next[partition]++,
                            .timestamp_ms = SIM_WALL_BASE_MS + e->at_ms,
                            .key = ((const hf_limit_event *)e->record)->key,
                            .value = e->bytes};
    hf_err err = {0};
    if (hf_replica_feed(a->memory, &record, &err) != HF_OK)
        sim_violation(w, "%s: %s", a->identity, err.detail);
}

/* Folds what was committed before the last end, and hands the live jobs over, as programs do when they start. */
static void load(sim_world *w, sim_actor *a, const uint32_t *committed, const uint32_t *limits) {
    hf_replica_options o = {.profile = a->kind == SIM_JOURNAL ? HF_PROFILE_FULL : HF_PROFILE_LIVE,
                            .fleet = "sim",
                            .clock = &w->clock,
                            .partitions = SIM_PARTITIONS};
    hf_replica_hooks hooks = {.ctx = a, .on_change = on_change, .on_limit = on_limit};
    hf_err err = {0};
    memset(a->next, 0, sizeof a->next);
    memset(a->limits_next, 0, sizeof a->limits_next);
    a->limits_new = false;
    memset(a->digest, 0, sizeof a->digest);
    if (hf_replica_new(NULL, w->codec, &o, &hooks, &a->memory, &err) != HF_OK)
        sim_must(NULL);
    a->loading = true;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        while (a->next[p] < committed[p])
            feed(w, a, p);
    for (int p = 0; p < SIM_PARTITIONS; p++)
        while (a->limits_next[p] < limits[p])
            feed_limit(w, a, p);
    a->loading = false;
    hf_replica_each_limit(a->memory, on_known_limit, a);
    hf_replica_each_live(a->memory, on_live, a);
}

void sim_actor_start(sim_world *w, sim_actor *a) {
    uint32_t committed[SIM_PARTITIONS], limits[SIM_PARTITIONS];
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        committed[p] =
            (uint32_t)sim_roll(w, (int64_t)a->catch_up[p] + 1); /* catch_up: how far it had read when it ended */
        a->catch_up[p] = w->log[SIM_EVENTS][p].count;
        limits[p] = (uint32_t)sim_roll(w, (int64_t)a->limits_catch_up[p] + 1);
        a->limits_catch_up[p] = w->log[SIM_LIMITS][p].count;
    }
    a->incarnation++;
    a->up = true;
    a->ready = a->draining = false;
    a->wake_at = SIM_NEVER;
    a->resume_at = 0;
    a->lag_ms = 1;
    a->inbox_count = 0;
    a->heartbeats_next = 0;
    memset(a->last_append, 0, sizeof a->last_append);
    snprintf(a->incarnation_name, sizeof a->incarnation_name, "i%" PRIu32, a->incarnation);
    snprintf(a->identity, sizeof a->identity, "%s/%s", a->name, a->incarnation_name);
    SIM_SAY(w, "%s starts, committed %" PRIu32 " and %" PRIu32, a->identity, committed[0], committed[1]);
    if (a->kind == SIM_WORKER)
        sim_worker_start(w, a);
    else if (a->kind == SIM_DISPATCHER)
        sim_dispatcher_start(w, a);
    load(w, a, committed, limits);
    sim_actor_wake(w, a, w->now_ms);
}

void sim_actor_stop(sim_world *w, sim_actor *a) {
    SIM_SAY(w, "%s ends", a->identity);
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        a->catch_up[p] = a->next[p];
        a->limits_catch_up[p] = a->limits_next[p];
    }
    hf_replica_free(a->memory);
    a->memory = NULL;
    sim_worker_stop(a);
    sim_dispatcher_stop(a);
    a->up = false;
    a->wake_at = SIM_NEVER;
    a->incarnation++; /* answers to this one find nobody */
}

/* ---- reading ----------------------------------------------------------------------------------------------- */
static bool is_there(const sim_world *w, const sim_actor *a, const sim_partition *p, uint32_t next) {
    return next < p->count && p->entries[next].at_ms + a->lag_ms <= w->now_ms;
}

static void read_event(sim_world *w, sim_actor *a, int partition) {
    const sim_entry *e = &w->log[SIM_EVENTS][partition].entries[a->next[partition]];
    feed(w, a, partition);
    if (a->digest[partition] != e->digest)
        sim_violation(w, "%s differs from the referee's replica at job-events %d/%" PRIu32, a->identity, partition,
                      a->next[partition] - 1);
}

static void read_heartbeat(sim_world *w, sim_actor *a) {
    const hf_heartbeat *beat = w->log[SIM_HEARTBEATS][0].entries[a->heartbeats_next++].record;
    if (a->kind == SIM_WORKER)
        hf_worker_core_heartbeat(a->worker, beat, sim_now(w, a));
    else
        hf_dispatch_heartbeat(a->dispatch, beat, sim_now(w, a).mono_ms);
}

/* Partitions are read in no order between them, and not always to their end. */
static void read_log(sim_world *w, sim_actor *a) {
    int first = (int)sim_roll(w, SIM_PARTITIONS);
    for (int i = 0; i < SIM_PARTITIONS; i++) {
        int p = (first + i) % SIM_PARTITIONS;
        int64_t budget = sim_storm_chance(w, 200) ? 1 + sim_roll(w, 3) : 1000;
        while (budget-- > 0 && is_there(w, a, &w->log[SIM_EVENTS][p], a->next[p]))
            read_event(w, a, p);
        budget = sim_storm_chance(w, 200) ? sim_roll(w, 3) : 1000;
        while (budget-- > 0 && is_there(w, a, &w->log[SIM_LIMITS][p], a->limits_next[p]))
            feed_limit(w, a, p);
    }
    if (a->limits_new)
        hf_replica_each_live(a->memory, on_live, a);
    a->limits_new = false;
    while (a->kind != SIM_JOURNAL && is_there(w, a, &w->log[SIM_HEARTBEATS][0], a->heartbeats_next))
        read_heartbeat(w, a);
}

static void become_ready(sim_actor *a) {
    if (a->ready)
        return;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        if (a->next[p] < a->catch_up[p] || a->limits_next[p] < a->limits_catch_up[p])
            return;
    a->ready = true;
    if (a->kind == SIM_WORKER)
        hf_worker_core_caught_up(a->worker);
}

static void read_inbox(sim_world *w, sim_actor *a) {
    for (uint32_t i = 0; i < a->inbox_count; i++)
        if (a->kind == SIM_WORKER)
            sim_worker_news(w, a, &a->inbox[i]);
        else if (a->kind == SIM_DISPATCHER)
            sim_dispatcher_news(w, a, &a->inbox[i]);
    a->inbox_count = 0;
}

static int64_t next_record_ms(const sim_world *w, const sim_actor *a) {
    int64_t at = SIM_NEVER;
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        const sim_partition *events = &w->log[SIM_EVENTS][p];
        if (a->next[p] < events->count && events->entries[a->next[p]].at_ms + a->lag_ms < at)
            at = events->entries[a->next[p]].at_ms + a->lag_ms;
        const sim_partition *limits = &w->log[SIM_LIMITS][p];
        if (a->limits_next[p] < limits->count && limits->entries[a->limits_next[p]].at_ms + a->lag_ms < at)
            at = limits->entries[a->limits_next[p]].at_ms + a->lag_ms;
    }
    const sim_partition *beats = &w->log[SIM_HEARTBEATS][0];
    if (a->kind != SIM_JOURNAL && a->heartbeats_next < beats->count &&
        beats->entries[a->heartbeats_next].at_ms + a->lag_ms < at)
        at = beats->entries[a->heartbeats_next].at_ms + a->lag_ms;
    return at;
}

static void draw_lag(sim_world *w, sim_actor *a) {
    if (w->calm)
        a->lag_ms = 1;
    else if (sim_chance(w, 100))
        a->lag_ms = sim_chance(w, 850) ? 1 + sim_roll(w, 10) : sim_roll(w, 8000);
}

/* ---- a turn of the loop ---------------------------------------------------------------------------------------- */
void sim_actor_turn(sim_world *w, sim_actor *a) {
    int64_t wake = SIM_NEVER;
    bool inbox_first = sim_chance(w, 500);
    draw_lag(w, a);
    if (inbox_first)
        read_inbox(w, a);
    read_log(w, a);
    read_inbox(w, a);
    become_ready(a);
    if (a->kind == SIM_WORKER)
        wake = sim_worker_decide(w, a);
    else if (a->kind == SIM_DISPATCHER)
        wake = sim_dispatcher_decide(w, a);
    int64_t record = next_record_ms(w, a);
    if (a->up && (wake != SIM_NEVER || record != SIM_NEVER))
        sim_actor_wake(w, a, record < wake ? record : wake);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */
void sim_actor_compare(sim_world *w, sim_actor *a) {
    for (uint32_t i = 0; i < w->reference.count; i++) {
        const hf_job *expected = w->reference.jobs[i], *job = hf_replica_job(a->memory, expected->id);
        bool wanted = a->kind == SIM_JOURNAL || !hf_state_terminal((hf_state)expected->state);
        if (wanted != (job != NULL) || (job && !hf_type_equal(&HF_TYPE_JOB, job, expected)))
            sim_violation(w, "%s has another idea of job %.*s than the referee's replica", a->identity,
                          HF_STR_ARG(expected->id));
        if (!hf_replica_id_known(a->memory, expected->id))
            sim_violation(w, "%s does not know that there was a job %.*s", a->identity, HF_STR_ARG(expected->id));
    }
}
