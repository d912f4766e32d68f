/* What goes wrong, and how it stops. */
#include "tests/sim/sim.h"

static void crash(sim_world *w, sim_actor *a) {
    if (!a->up)
        return;
    w->counts.crashes++;
    sim_actor_stop(w, a);
    sim_at(w, w->now_ms + 100 + sim_roll(w, 60000), (sim_event){.kind = SIM_AT_RESTART, .actor = a->index});
    if (a->kind == SIM_DISPATCHER) /* the group notices later */
        sim_at(w, w->now_ms + sim_roll(w, 10000), (sim_event){.kind = SIM_AT_REBALANCE});
}

/* Past the lease more often than not. What it was about to do it does when it wakes. */
static void put_to_sleep(sim_world *w, sim_actor *a) {
    if (!a->up)
        return;
    w->counts.pauses++;
    a->resume_at = w->now_ms + sim_roll(w, 90000);
    a->whole_machine_sleeps = sim_chance(w, 500);
    a->wake_at = SIM_NEVER;
    SIM_SAY(w, "%s sleeps until %lld%s", a->identity, (long long)a->resume_at,
            a->whole_machine_sleeps ? ", its runners too" : "");
    sim_actor_wake(w, a, a->resume_at);
}

static void drain(sim_world *w, sim_actor *a) {
    if (!a->up || a->kind != SIM_WORKER || a->draining)
        return;
    SIM_SAY(w, "%s drains", a->identity);
    a->draining = true;
    hf_worker_core_drain(a->worker, sim_roll(w, 20000), sim_now(w, a));
    sim_actor_wake(w, a, w->now_ms);
}

/* Claims of all paused or resumed, or one worker told to be quiet, to drain and stay, or to work again. */
static void control(sim_world *w, sim_actor *a) {
    w->counts.controls++;
    if (a->kind == SIM_WORKER) {
        int64_t told = sim_roll(w, 3);
        a->quiet = told > 0;
        a->gives_back = told > 1;
    } else
        w->paused = !w->paused;
    SIM_SAY(w, "claims %s; %s %s", w->paused ? "paused" : "free", a->name,
            a->gives_back ? "is to drain"
            : a->quiet    ? "is to be quiet"
                          : "may work");
    for (int i = 0; i < w->actor_count; i++) {
        sim_worker_obey(w, &w->actors[i]);
        if (w->actors[i].worker)
            sim_actor_wake(w, &w->actors[i], w->now_ms);
    }
}

void sim_fault(sim_world *w) {
    sim_actor *a = &w->actors[sim_roll(w, w->actor_count)];
    int64_t kind = sim_roll(w, 100);
    if (w->calm)
        return;
    if (w->timetable_count && sim_chance(w, 150))
        sim_clock_jumps(w, &w->actors[sim_roll(w, w->actor_count)]);
    if (kind < 35)
        crash(w, a);
    else if (kind < 75)
        put_to_sleep(w, a);
    else if (kind < 83)
        drain(w, a);
    else if (kind < 92)
        control(w, a);
    else
        sim_rebalance(w);
    sim_at(w, w->now_ms + 200 + sim_roll(w, 20000), (sim_event){.kind = SIM_AT_FAULT});
}

/* From here on nothing is lost, late or killed: everything must come to its end. */
void sim_begin_calm(sim_world *w) {
    SIM_SAY(w, "calm");
    w->calm = true;
    w->paused = false;
    for (int i = 0; i < w->actor_count; i++) {
        sim_actor *a = &w->actors[i];
        a->resume_at = 0;
        a->lag_ms = 1;
        if (a->skew_ms < -2000 || a->skew_ms > 2000)
            a->skew_ms = sim_roll(w, 4000) - 2000;
        a->whole_machine_sleeps = a->quiet = a->gives_back = false;
        sim_worker_obey(w, a);
        if (!a->up) {
            sim_actor_start(w, a);
        } else {
            a->wake_at = SIM_NEVER;
            sim_actor_wake(w, a, w->now_ms);
        }
    }
    sim_rebalance(w);
}
