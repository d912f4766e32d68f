/* A dispatcher: the real decisions, and intake from submissions as a member of a group that shares them out. */
#include "schemas/job/intake.h"
#include "tests/sim/sim.h"

enum { DUE_MAX = 16 };
#define INTAKE_TAG ((uint64_t)1 << 63)

void sim_dispatcher_start(sim_world *w, sim_actor *a) {
    hf_dispatch_options o = {.me = hf_str_of(a->identity),
                             .lease_grace_ms = 10000,
                             .stand_in_ms = 5000,
                             .half_way_ms = 10000,
                             .repeat_ms = 5000};
    a->dispatch = sim_must(hf_dispatch_new(&o));
    sim_ticker_start(w, a);
    hf_freer_options freer = {
        .me = o.me, .patience_ms = 1000, .stand_in_ms = 5000, .repeat_ms = 5000, .grace_ms = 10000};
    a->freer = sim_must(hf_freer_new(&freer));
    a->owned = 0;
    a->group_generation = 0;
}

void sim_dispatcher_stop(sim_actor *a) {
    hf_dispatch_free(a->dispatch);
    hf_ticker_free(a->ticker);
    a->dispatch = NULL;
    a->ticker = NULL;
    hf_freer_free(a->freer);
    a->freer = NULL;
}

void sim_dispatcher_change(sim_world *w, sim_actor *a, hf_verdict verdict, const hf_job *after) {
    hf_now now = sim_now(w, a);
    if (verdict == HF_V_ACCEPTED && after && hf_dispatch_job(a->dispatch, after, now.wall_ms, now.mono_ms) != HF_OK)
        sim_must(NULL);
    if (verdict == HF_V_ACCEPTED)
        sim_ticker_change(a, after);
    if (verdict == HF_V_ACCEPTED && after)
        hf_freer_job(a->freer, after, now.mono_ms);
}

void sim_dispatcher_limit(sim_world *w, sim_actor *a, const hf_limit_change *c) {
    if (!hf_freer_change(a->freer, c, sim_now(w, a).mono_ms))
        sim_must(NULL);
}

static const hf_job *look(void *ctx, hf_str id, bool *ret_ended) {
    sim_actor *a = ctx;
    const hf_job *job = hf_replica_job(a->memory, id);
    *ret_ended = !job && hf_replica_id_known(a->memory, id);
    return job;
}

/* When to be woken for the next. */
static int64_t free_grants(sim_world *w, sim_actor *a, hf_now now) {
    hf_limit_event due[DUE_MAX];
    hf_arena_reset(&w->scratch);
    size_t n = hf_freer_due(a->freer, now.wall_ms, now.mono_ms, look, a, &w->scratch, due, DUE_MAX);
    for (size_t i = 0; i < n; i++)
        sim_send(w, a, SIM_LIMITS, sim_partition_of(due[i].key), &due[i], 0);
    int64_t wake = hf_freer_next_ms(a->freer);
    return wake == INT64_MAX ? SIM_NEVER : wake - 1;
}

/* ---- the group ---------------------------------------------------------------------------------------------- */
void sim_rebalance(sim_world *w) {
    int members[SIM_ACTORS_MAX], count = 0;
    for (int i = 0; i < w->actor_count; i++)
        if (w->actors[i].kind == SIM_DISPATCHER && w->actors[i].up)
            members[count++] = i;
    w->group_generation++;
    for (int p = 0; p < SIM_PARTITIONS; p++) {
        w->group_owner[p] = count ? members[sim_roll(w, count)] : -1;
        w->group_done[p] = 0; /* the new owner begins behind what was committed */
        if (w->group_owner[p] >= 0)
            sim_actor_wake(w, &w->actors[w->group_owner[p]], w->now_ms);
    }
    SIM_SAY(w, "submissions belong to %d and %d", w->group_owner[0], w->group_owner[1]);
}

static void learn_group(sim_world *w, sim_actor *a) {
    if (a->group_generation == w->group_generation)
        return;
    a->group_generation = w->group_generation;
    a->owned = 0;
    for (int p = 0; p < SIM_PARTITIONS; p++)
        if (w->group_owner[p] == a->index) {
            a->owned |= (uint64_t)1 << p;
            a->taken[p] = w->group_committed[p];
        }
    hf_dispatch_owned(a->dispatch, &a->owned, 1);
    hf_ticker_owned(a->ticker, &a->owned, 1);
    hf_freer_owned(a->freer, &a->owned, 1);
}

/* ---- intake -------------------------------------------------------------------------------------------------- */
static uint64_t tag_of(const sim_actor *a, int partition, uint32_t offset) {
    return INTAKE_TAG | (uint64_t)a->group_generation << 40 | (uint64_t)(unsigned)partition << 32 | offset;
}

static void take(sim_world *w, sim_actor *a, int partition, uint32_t offset) {
    hf_record record;
    hf_err err = {0};
    hf_submission submission = *(const hf_submission *)w->log[SIM_SUBMISSIONS][partition].entries[offset].record;
    hf_arena_reset(&w->scratch);
    hf_str id = sim_submission_id(w, partition, offset);
    if (hf_intake(&submission, id, HF_STR("submissions"), hf_str_of(a->identity), sim_now(w, a).wall_ms, &w->scratch,
                  &record, NULL, &err) != HF_OK)
        sim_violation(w, "intake: %s", err.detail);
    else
        sim_send(w, a, SIM_EVENTS, sim_partition_of(id), &record, tag_of(a, partition, offset));
}

static void note_done(sim_world *w, int partition, uint32_t offset) {
    w->group_done[partition] |= (uint64_t)1 << offset;
    while (w->group_done[partition] >> w->group_committed[partition] & 1)
        w->group_committed[partition]++;
}

/* A decision that was not acknowledged is repeated by the core itself while it is due. */
void sim_dispatcher_news(sim_world *w, sim_actor *a, const sim_news *n) {
    int partition = (int)(n->tag >> 32 & 0xff);
    uint32_t offset = (uint32_t)n->tag;
    if (!(n->tag & INTAKE_TAG) || n->tag != tag_of(a, partition, offset) ||
        w->group_generation != a->group_generation || offset < w->group_committed[partition])
        return; /* of a generation that is over: the new owner does it again */
    if (n->code == HF_OK)
        note_done(w, partition, offset);
    else
        take(w, a, partition, offset);
}

static void take_what_is_there(sim_world *w, sim_actor *a) {
    for (int p = 0; p < SIM_PARTITIONS; p++)
        while (a->owned >> p & 1 && a->taken[p] < w->log[SIM_SUBMISSIONS][p].count)
            take(w, a, p, a->taken[p]++);
}

int64_t sim_dispatcher_decide(sim_world *w, sim_actor *a) {
    hf_record due[DUE_MAX];
    hf_now now = sim_now(w, a);
    learn_group(w, a);
    take_what_is_there(w, a);
    if (!a->ready)
        return SIM_NEVER;
    hf_arena_reset(&w->scratch);
    size_t n = hf_dispatch_due(a->dispatch, now.wall_ms, now.mono_ms, &w->scratch, due, DUE_MAX);
    for (size_t i = 0; i < n; i++)
        sim_send(w, a, SIM_EVENTS, sim_partition_of(due[i].job_id), &due[i], 0);
    int64_t wake = hf_dispatch_next_ms(a->dispatch), tick = sim_ticker_decide(w, a), grants = free_grants(w, a, now);
    wake = n == DUE_MAX ? w->now_ms : wake == INT64_MAX ? SIM_NEVER : wake - 1;
    wake = grants < wake ? grants : wake;
    return tick < wake ? tick : wake;
}
