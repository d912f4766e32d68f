/* One schedule from its seed to its end. */
#include <inttypes.h>

#include "tests/sim/sim.h"

enum { STEPS_MAX = 40000, CALM_MS_MAX = 1200 * 1000 };

static void cast(sim_world *w, sim_kind kind, int count, char letter) {
    for (int i = 1; i <= count; i++) {
        sim_actor *a = &w->actors[w->actor_count];
        *a = (sim_actor){.kind = kind, .index = w->actor_count++, .world = w, .skew_ms = sim_roll(w, 4000) - 2000};
        snprintf(a->name, sizeof a->name, "%c%d", letter, i);
    }
}

static void reset(sim_world *w, uint64_t seed) {
    for (int t = 0; t < SIM_TOPICS; t++)
        for (int p = 0; p < SIM_PARTITIONS; p++)
            w->log[t][p].count = 0;
    hf_arena_reset(&w->arena);
    hf_arena_reset(&w->scratch);
    sim_replica_clear(&w->reference);
    memset(w->models, 0, sizeof w->models);
    memset(w->limits, 0, sizeof w->limits);
    memset(w->group_committed, 0, sizeof w->group_committed);
    memset(w->group_done, 0, sizeof w->group_done);
    w->seed = w->random = seed;
    w->calm = w->paused = false;
    w->now_ms = 0;
    w->steps = w->seq = 0;
    w->event_count = 0;
    w->actor_count = w->in_flight = w->submitted = 0;
    w->model_count = w->group_generation = 0;
    w->violation[0] = 0;
    w->wall_base_ms = SIM_WALL_BASE_MS;
}

static void set_up(sim_world *w) {
    cast(w, SIM_WORKER, 1 + (int)sim_roll(w, 3), 'w');
    cast(w, SIM_DISPATCHER, 1 + (int)sim_roll(w, 2), 'd');
    cast(w, SIM_JOURNAL, 1 + (int)sim_roll(w, 2), 'j');
    w->storm_ms = 20000 + sim_roll(w, 160000);
    w->submissions_left = 3 + (int)sim_roll(w, 4);
    w->cancels_left = (int)sim_roll(w, 3);
    w->deletes_left = (int)sim_roll(w, 2);
    sim_timetables_draw(w);
    w->adjusts_left = (int)sim_roll(w, 5);
    w->limited = sim_chance(w, 700);
    w->limit_changes_left = 2 + (int)sim_roll(w, 4);
    for (int i = 0; i < w->actor_count; i++)
        sim_actor_start(w, &w->actors[i]);
    sim_rebalance(w);
    sim_limits_client(w);
    sim_limits_client(w);
    sim_at(w, 0, (sim_event){.kind = SIM_AT_CLIENT});
    sim_at(w, sim_roll(w, 20000), (sim_event){.kind = SIM_AT_FAULT});
    sim_at(w, w->storm_ms, (sim_event){.kind = SIM_AT_CALM});
}

static void happen(sim_world *w, const sim_event *e) {
    sim_actor *a = &w->actors[e->actor];
    switch (e->kind) {
    case SIM_AT_WAKE:
        if (!a->up || e->at_ms != a->wake_at)
            return; /* it was told another time since */
        a->wake_at = SIM_NEVER;
        sim_actor_turn(w, a);
        break;
    case SIM_AT_APPEND: sim_append(w, e->message); break;
    case SIM_AT_ANSWER:
        if (a->up && a->incarnation == e->incarnation)
            sim_actor_news(w, a, (sim_news){.kind = SIM_NEWS_ACK, .tag = e->message->tag, .code = e->message->answer});
        break;
    case SIM_AT_RUNNER:
        if (a->up && a->incarnation == e->incarnation)
            sim_worker_runner(w, a, e->slot, e->serial);
        break;
    case SIM_AT_RESTART:
        if (!a->up) {
            w->counts.restarts++;
            sim_actor_start(w, a);
            if (a->kind == SIM_DISPATCHER)
                sim_rebalance(w);
        }
        break;
    case SIM_AT_CLIENT: sim_client(w); break;
    case SIM_AT_FAULT: sim_fault(w); break;
    case SIM_AT_REBALANCE: sim_rebalance(w); break;
    case SIM_AT_CALM: sim_begin_calm(w); break;
    }
    w->steps++;
}

static void tell_what_is_left(sim_world *w) {
    for (uint32_t i = 0; i < w->model_count; i++)
        if (!w->models[i].ended) {
            const hf_job *job = sim_replica_job(&w->reference, w->models[i].id);
            sim_violation(w, "job %.*s is still %s, %lld s of calm and %" PRIu64 " steps on",
                          HF_STR_ARG(w->models[i].id), job ? hf_state_name((hf_state)job->state) : "not created",
                          (long long)(w->now_ms - w->storm_ms) / 1000, w->steps);
        }
    sim_violation(w, "not settled after %lld s of calm and %" PRIu64 " steps",
                  (long long)(w->now_ms - w->storm_ms) / 1000, w->steps);
}

static int64_t wall_ms(void *self) {
    return ((const sim_world *)self)->wall_base_ms + ((const sim_world *)self)->now_ms;
}
static int64_t mono_ms(void *self) { return ((const sim_world *)self)->now_ms; }

static void tear_down(sim_world *w) {
    bool verbose = w->verbose;
    w->verbose = false;
    for (int i = 0; i < w->actor_count; i++) {
        if (w->actors[i].worker)
            for (int s = 0; s < SIM_SLOTS; s++)
                w->actors[i].slots[s].count = 0;
        sim_actor_stop(w, &w->actors[i]);
    }
    sim_replica_clear(&w->reference);
    w->verbose = verbose;
}

bool sim_schedule(sim_world *w, uint64_t seed) {
    sim_event e;
    reset(w, seed);
    w->clock = (hf_clock){wall_ms, mono_ms, w};
    set_up(w);
    while (!w->violation[0] && !(w->submissions_left == 0 && sim_timetables_over(w) && sim_referee_settled(w))) {
        if (!sim_next(w, &e) || w->steps > STEPS_MAX || w->now_ms > w->storm_ms + CALM_MS_MAX) {
            tell_what_is_left(w);
            break;
        }
        happen(w, &e);
    }
    sim_referee_final(w);
    sim_timetables_final(w);
    for (int i = 0; i < w->actor_count && !w->violation[0]; i++)
        sim_actor_compare(w, &w->actors[i]);
    memcpy(w->end_digest, w->reference.digest, sizeof w->end_digest);
    tear_down(w);
    return !w->violation[0];
}
