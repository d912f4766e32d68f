/* Schedules in the simulated fleet: the real ticker in every dispatcher, clocks that jump in the storm, nights on which clocks are set.
 * And the referee's rules for them, said without the ticker, the cron of schemas/cron and the fold:
 *
 *   - one job a nominal time, and only at times the schedule has: on the grid of @every and of minutes by arithmetic, on the nights
 *     by a table written by hand
 *   - `skip` and `buffer_one`: no run is created while another has been on the log for longer than a dispatcher can be behind it and
 *     a record on its way (60 s in a storm, 2 s in a calm)
 *   - in a calm, no run past max_runs, and none missed: every nominal time has its job soon, but where the policy had a reason
 *   - every replica has the same idea of each schedule's runs as the referee counted */
#include <inttypes.h>

#include "schemas/base/mem.h"
#include "tests/sim/sim.h"

enum {
    STORM_BLIND_MS = 60000, /* a replica's lag 8 s, a record's delay 20 s, and records read a few at a time */
    CALM_BLIND_MS = 2000,
    SETTLING_MS = 60000, /* of calm, before anything is owed */
    SOON_MS = 15000,     /* clocks 2 s apart, a stand-in's wait, a delivery */
    TAIL_MS = 240000,    /* of calm with schedules in it */
};

/* Nights: the zone, what the schedule says, and an instant it is due at, or must not be, though clocks show its time. */
static const struct night {
    const char *zone, *text;
    hf_dst_policy policy;
    int64_t at_s;
    bool due;
} nights[] = {
    {"Europe/Berlin", "30 2 * * *", HF_DST_VIXIE, INT64_C(1774746000), true},   /* 2:00 became 3:00: at once */
    {"Europe/Berlin", "30 2 * * *", HF_DST_ROBFIG, INT64_C(1774746000), false}, /* skipped */
    {"Europe/Berlin", "30 2 * * *", HF_DST_VIXIE, INT64_C(1792888200), true},   /* the first 2:30 */
    {"Europe/Berlin", "30 2 * * *", HF_DST_VIXIE, INT64_C(1792891800), false},  /* the second */
    {"Europe/Berlin", "30 2 * * *", HF_DST_ROBFIG, INT64_C(1792891800), true},
    {"America/New_York", "30 2 * * *", HF_DST_VIXIE, INT64_C(1772953200), true},
    {"America/New_York", "15 1 * * *", HF_DST_VIXIE, INT64_C(1793510100), true},  /* 1 November, the first 1:15 */
    {"America/New_York", "15 1 * * *", HF_DST_VIXIE, INT64_C(1793513700), false}, /* the second */
    {"Australia/Lord_Howe", "45 1 * * *", HF_DST_VIXIE, INT64_C(1775313900), true},
    {"Australia/Lord_Howe", "45 1 * * *", HF_DST_VIXIE, INT64_C(1775315700), false}, /* half an hour later */
};

/* ---- what there is ------------------------------------------------------------------------------------------ */
static void draw_every(sim_world *w, sim_timetable *t) {
    t->every_ms = (20 + sim_roll(w, 40)) * 1000;
    t->schedule.schedule = hf_str_of(hf_arena_printf(&w->arena, "@every %llds", (long long)t->every_ms / 1000));
}

static void draw_night(sim_world *w, sim_timetable *t) {
    const struct night *n = &nights[w->night];
    t->schedule.schedule = hf_str_of(n->text);
    t->schedule.time_zone = hf_str_of(n->zone);
    t->schedule.dst_policy = (int32_t)n->policy;
    t->night_ms = n->at_s * 1000;
    t->night_is_due = n->due;
}

static void draw_one(sim_world *w, sim_timetable *t, int index) {
    hf_type_init(&HF_TYPE_SCHEDULE, &t->schedule);
    hf_schedule *s = &t->schedule;
    s->schedule_id = hf_str_of(hf_arena_printf(&w->arena, "t%d", index));
    s->overlap = (int32_t)sim_roll(w, 3);
    s->job_template.operation = HF_STR("sleep");
    s->job_template.policy.retry_count = (int32_t)sim_roll(w, 2);
    s->created_at = s->updated_at = w->wall_base_ms - 1 - sim_roll(w, 5000);
    s->end_at = w->wall_base_ms + w->storm_ms + TAIL_MS;
    if (index == 0 && w->night >= 0)
        draw_night(w, t);
    else if (sim_chance(w, 300))
        s->schedule = HF_STR("* * * * *");
    else
        draw_every(w, t);
    s->max_runs = sim_chance(w, 250) && !t->night_ms ? 2 + sim_roll(w, 4) : 0;
    s->jitter_ms = sim_chance(w, 250) ? 10000 : 0;
    t->delay_ms = hf_due_delay_ms(s->schedule_id, s->jitter_ms);
}

void sim_timetables_draw(sim_world *w) {
    w->timetable_count = w->triggered = 0;
    w->night = -1;
    if (w->seed % 4 != 0)
        return;
    if (w->seed % 8 == 0) { /* the night's instant comes in the storm, or in the calm */
        w->night = (int)sim_roll(w, (int64_t)(sizeof nights / sizeof *nights));
        w->wall_base_ms = nights[w->night].at_s * 1000 - sim_roll(w, w->storm_ms + TAIL_MS - SOON_MS);
    }
    w->timetable_count = 1 + (int)sim_roll(w, SIM_TIMETABLES_MAX);
    memset(w->timetables, 0, sizeof w->timetables);
    for (int i = 0; i < w->timetable_count; i++)
        draw_one(w, &w->timetables[i], i);
}

static sim_timetable *timetable_of(sim_world *w, hf_str origin) {
    hf_str id;
    for (int i = 0; i < w->timetable_count; i++)
        if (hf_origin_schedule(origin, &id) && hf_str_eq(id, w->timetables[i].schedule.schedule_id))
            return &w->timetables[i];
    return NULL;
}

/* ---- dispatchers -------------------------------------------------------------------------------------------- */
void sim_ticker_start(sim_world *w, sim_actor *a) {
    a->ticker = sim_must(
        hf_ticker_new(&(hf_ticker_options){.me = hf_str_of(a->identity), .stand_in_ms = 5000, .repeat_ms = 5000}));
    a->schedules_read = false;
    (void)w;
}

static void put_all(sim_world *w, sim_actor *a) {
    for (int i = 0; i < w->timetable_count; i++) {
        const hf_schedule *s = &w->timetables[i].schedule;
        hf_schedule_runs runs;
        hf_err err = {0};
        if (!hf_replica_schedule_runs(a->memory, s->schedule_id, &runs))
            sim_must(NULL);
        if (hf_ticker_put(a->ticker, s, sim_partition_of(s->schedule_id), &runs, &err) != HF_OK)
            sim_violation(w, "%s: schedule %.*s: %s", a->identity, HF_STR_ARG(s->schedule_id), err.detail);
    }
    a->schedules_read = true;
}

void sim_ticker_change(sim_actor *a, const hf_job *after) {
    hf_str id;
    hf_schedule_runs runs;
    if (after && after->spec && hf_origin_schedule(after->spec->origin, &id) &&
        hf_replica_schedule_runs(a->memory, id, &runs))
        hf_ticker_runs(a->ticker, id, &runs);
}

int64_t sim_ticker_decide(sim_world *w, sim_actor *a) {
    enum { DUE_MAX = 8 };
    hf_record due[DUE_MAX];
    hf_now now = sim_now(w, a);
    if (!a->schedules_read)
        put_all(w, a);
    hf_arena_reset(&w->scratch);
    size_t n = hf_ticker_due(a->ticker, now.wall_ms, now.mono_ms, &w->scratch, due, DUE_MAX);
    for (size_t i = 0; i < n; i++)
        sim_send(w, a, SIM_EVENTS, sim_partition_of(due[i].job_id), &due[i], 0);
    w->counts.ticks += n;
    int64_t idle = hf_ticker_idle_ms(a->ticker, now.wall_ms);
    return n == DUE_MAX ? w->now_ms : idle == INT64_MAX ? SIM_NEVER : w->now_ms + idle;
}

/* Somebody sets a dispatcher's clock: by hours, by minutes, forward or back. The calm finds all clocks right to 2 s. */
void sim_clock_jumps(sim_world *w, sim_actor *a) {
    if (a->kind != SIM_DISPATCHER || w->timetable_count == 0)
        return;
    int64_t most = sim_chance(w, 300) ? INT64_C(7200000) : 180000;
    a->skew_ms = sim_roll(w, 2 * most) - most;
    w->counts.jumps++;
    SIM_SAY(w, "%s: its clock is %lld ms ahead now", a->identity, (long long)a->skew_ms);
    sim_actor_wake(w, a, w->now_ms);
}

/* Somebody does not want to wait for the next time. */
void sim_trigger(sim_world *w) {
    if (w->timetable_count == 0)
        return;
    const sim_timetable *t = &w->timetables[sim_roll(w, w->timetable_count)];
    hf_submission s;
    hf_record record;
    hf_arena_reset(&w->scratch);
    hf_type_init(&HF_TYPE_SUBMISSION, &s);
    s.spec = t->schedule.job_template;
    s.spec.origin = hf_str_of(hf_arena_printf(&w->scratch, "schedule:%.*s", HF_STR_ARG(t->schedule.schedule_id)));
    s.spec.scheduled_for = sim_chance(w, 200) ? w->wall_base_ms + w->now_ms : 0; /* a lie: it must move nothing */
    char id[32];
    snprintf(id, sizeof id, "trigger-%d", w->triggered++);
    w->counts.triggers++;
    if (hf_intake(&s, hf_str_of(id), HF_STR_NONE, HF_STR("sidecar"), w->wall_base_ms + w->now_ms, &w->scratch, &record,
                  NULL, NULL) != HF_OK)
        sim_must(NULL);
    sim_send(w, NULL, SIM_EVENTS, sim_partition_of(record.job_id), &record, 0);
}

/* ---- the referee ----------------------------------------------------------------------------------------------- */
static bool is_trigger(hf_str job_id) { return hf_str_starts(job_id, HF_STR("trigger-")); }

static bool has_time(const sim_timetable *t, int64_t nominal) {
    if (nominal <= t->schedule.created_at || nominal > t->schedule.end_at)
        return false;
    if (t->night_ms)
        return t->night_is_due && nominal == t->night_ms;
    if (!t->every_ms)
        return nominal % 60000 == 0;
    return (nominal - t->schedule.created_at / 1000 * 1000) % t->every_ms == 0;
}

static void wrong(sim_world *w, const sim_timetable *t, hf_str job, const char *what) {
    sim_violation(w, "schedule %.*s (%.*s): run %.*s %s", HF_STR_ARG(t->schedule.schedule_id),
                  HF_STR_ARG(t->schedule.schedule), HF_STR_ARG(job), what);
}

static void judge_overlap(sim_world *w, const sim_timetable *t, hf_str job) {
    int64_t blind = w->calm && w->now_ms > w->storm_ms + SETTLING_MS ? CALM_BLIND_MS : STORM_BLIND_MS;
    for (uint32_t i = 0; i < t->run_count && t->schedule.overlap != HF_OVERLAP_ALLOW; i++)
        if (t->runs[i].ended_ms < 0 && w->now_ms - t->runs[i].at_ms > blind)
            wrong(w, t, job, "was made while another was alive");
}

void sim_timetables_created(sim_world *w, const hf_record *r, const hf_spec *spec) {
    sim_timetable *t = timetable_of(w, spec->origin);
    if (!t)
        return;
    bool tick = !is_trigger(r->job_id);
    if (t->run_count == SIM_RUNS_MAX) {
        sim_violation(w, "more than %d runs of one schedule: the simulator's own bound", SIM_RUNS_MAX);
        return;
    }
    if (tick) {
        for (uint32_t i = 0; i < t->run_count; i++)
            if (t->runs[i].nominal_ms == spec->scheduled_for)
                wrong(w, t, r->job_id, "is the second of its nominal time");
        if (!has_time(t, spec->scheduled_for))
            wrong(w, t, r->job_id, "is at a time that the schedule does not have");
        judge_overlap(w, t, r->job_id);
        bool long_known = t->run_count && w->now_ms - t->runs[t->run_count - 1].at_ms > CALM_BLIND_MS;
        if (t->schedule.max_runs && (int64_t)t->run_count >= t->schedule.max_runs && long_known && w->calm &&
            w->now_ms > w->storm_ms + SETTLING_MS)
            wrong(w, t, r->job_id, "is one more than max_runs");
    }
    t->runs[t->run_count++] = (sim_scheduled){.job = hf_arena_str(&w->arena, r->job_id),
                                              .nominal_ms = tick ? spec->scheduled_for : 0,
                                              .at_ms = w->now_ms,
                                              .ended_ms = -1};
}

void sim_timetables_ended(sim_world *w, hf_str job) {
    for (int i = 0; i < w->timetable_count; i++)
        for (uint32_t k = 0; k < w->timetables[i].run_count; k++)
            if (hf_str_eq(w->timetables[i].runs[k].job, job))
                w->timetables[i].runs[k].ended_ms = w->now_ms;
}

bool sim_timetables_over(const sim_world *w) {
    return w->timetable_count == 0 || w->now_ms > w->storm_ms + TAIL_MS + 2 * SOON_MS;
}

/* Was there a reason to pass by what was due at that time (ms of the world)? */
static bool excused(const sim_timetable *t, int64_t due_ms) {
    if (t->schedule.max_runs && (int64_t)t->run_count >= t->schedule.max_runs)
        return true;
    for (uint32_t i = 0; i < t->run_count && t->schedule.overlap != HF_OVERLAP_ALLOW; i++)
        if (t->runs[i].at_ms < due_ms + SOON_MS && (t->runs[i].ended_ms < 0 || t->runs[i].ended_ms > due_ms - SOON_MS))
            return true;
    return false;
}

static void check_missed(sim_world *w, const sim_timetable *t) {
    for (int64_t s = (w->wall_base_ms + w->storm_ms + SETTLING_MS) / 1000; s <= t->schedule.end_at / 1000; s++) {
        bool there = false;
        int64_t due_ms = s * 1000 + t->delay_ms - w->wall_base_ms;
        if (!has_time(t, s * 1000) || excused(t, due_ms))
            continue;
        for (uint32_t i = 0; i < t->run_count; i++)
            there = there || (t->runs[i].nominal_ms == s * 1000 && t->runs[i].at_ms < due_ms + SOON_MS);
        if (!there)
            sim_violation(w, "schedule %.*s (%.*s) missed %" PRId64 " in a calm", HF_STR_ARG(t->schedule.schedule_id),
                          HF_STR_ARG(t->schedule.schedule), s);
        w->counts.owed++;
    }
}

static void check_replica(sim_world *w, sim_actor *a, const sim_timetable *t) {
    hf_schedule_runs is;
    int64_t alive = 0, nominal = 0;
    for (uint32_t i = 0; i < t->run_count; i++) {
        alive += t->runs[i].ended_ms < 0;
        nominal = t->runs[i].nominal_ms > nominal ? t->runs[i].nominal_ms : nominal;
    }
    if (!hf_replica_schedule_runs(a->memory, t->schedule.schedule_id, &is) || is.count != t->run_count ||
        is.alive != alive || is.nominal != nominal)
        sim_violation(w, "%s has another idea of the runs of schedule %.*s than the referee", a->identity,
                      HF_STR_ARG(t->schedule.schedule_id));
}

void sim_timetables_final(sim_world *w) {
    for (int i = 0; i < w->timetable_count && !w->violation[0]; i++) {
        check_missed(w, &w->timetables[i]);
        for (int a = 0; a < w->actor_count; a++)
            check_replica(w, &w->actors[a], &w->timetables[i]);
    }
}
