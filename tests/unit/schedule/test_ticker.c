/* The ticker: which nominal times become jobs, when, and by whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "producer/schedule/ticker.h"
#include "schemas/base/mem.h"

/* Friday, 2026-01-16 00:00:00 UTC; all times below are seconds from it. */
#define DAY0 INT64_C(1768521600000)
enum { STAND_IN_MS = 5000, REPEAT_MS = 5000, ARENA = 1 << 20, FIRED_MAX = 256 };

/* ---- a dispatcher alone: what it proposes is on record at once, and its job lives for `takes_s` -------------------- */
typedef struct {
    hf_ticker *t;
    hf_arena arena;
    hf_schedule s;
    hf_schedule_runs runs;
    int64_t wall, mono; /* ms */
    int64_t ends;       /* wall ms at which the job alive ends */
    int64_t takes_s;
    bool deaf; /* nothing proposed comes back */
    int64_t fired[FIRED_MAX], at[FIRED_MAX];
    size_t n;
    int64_t made[FIRED_MAX]; /* nominal times that have a job */
    size_t jobs;
} rig;

static const hf_ticker_options options = {
    .me = {"dispatch@test", 13}, .stand_in_ms = STAND_IN_MS, .repeat_ms = REPEAT_MS};

static void own(rig *r, bool is) { hf_ticker_owned(r->t, &(uint64_t){is ? 1 : 0}, 1); }

static void put(rig *r) {
    hf_err e = {0};
    if (hf_ticker_put(r->t, &r->s, 0, &r->runs, &e) != HF_OK)
        fail_msg("%s", e.detail);
}

static void start(rig *r) {
    hf_ticker_free(r->t);
    r->t = hf_ticker_new(&options);
    assert_non_null(r->t);
    own(r, true);
    put(r);
}

static void begin(rig *r, const char *text, hf_overlap overlap) {
    *r = (rig){.wall = DAY0, .mono = 1000000, .takes_s = 1, .runs = {.outcome = HF_S_NONE}};
    hf_arena_init(&r->arena, ARENA);
    hf_type_init(&HF_TYPE_SCHEDULE, &r->s);
    r->s.schedule_id = HF_STR("s");
    r->s.schedule = hf_str_of(text);
    r->s.created_at = r->s.updated_at = DAY0;
    r->s.overlap = (int32_t)overlap;
    r->s.job_template.operation = HF_STR("sweep");
    start(r);
}

static void done(rig *r) {
    hf_ticker_free(r->t);
    hf_arena_done(&r->arena);
}

static void tell(rig *r) { hf_ticker_runs(r->t, r->s.schedule_id, &r->runs); }

static void on_record(rig *r, int64_t nominal) {
    for (size_t i = 0; nominal && i < r->jobs; i++)
        if (r->made[i] == nominal)
            return; /* the fold has it already */
    assert_true(r->jobs < FIRED_MAX);
    r->made[r->jobs++] = nominal;
    r->runs.count++;
    r->runs.alive++;
    if (nominal > r->runs.nominal)
        r->runs.nominal = nominal;
    r->ends = r->wall + r->takes_s * 1000;
    tell(r);
}

static void turn(rig *r) {
    hf_record due[8];
    if (r->runs.alive && r->wall >= r->ends) {
        r->runs.alive = 0;
        r->runs.ended_at = r->ends;
        tell(r);
    }
    for (size_t n = 8; n == 8;) {
        hf_arena_reset(&r->arena);
        n = hf_ticker_due(r->t, r->wall, r->mono, &r->arena, due, 8);
        for (size_t i = 0; i < n; i++) {
            const hf_ev_created *created = HF_LIST_AT(due[i].transitions, hf_variant, 0)->record;
            char id[HF_UUID_BYTES];
            assert_true(hf_str_eqz(created->spec.origin, "schedule:s"));
            assert_true(
                hf_str_eqz(due[i].job_id, hf_id_from_schedule(r->s.schedule_id, created->spec.scheduled_for, id)));
            assert_true(r->n < FIRED_MAX);
            r->fired[r->n] = (created->spec.scheduled_for - DAY0) / 1000;
            r->at[r->n++] = (r->wall - DAY0) / 1000;
            if (!r->deaf)
                on_record(r, created->spec.scheduled_for);
        }
    }
}

/* Goes on until `s` seconds from DAY0, calling as the main loop would: when it is due, and once a second. */
static void run_to(rig *r, int64_t s) {
    while (r->wall < DAY0 + s * 1000) {
        r->wall += 1000;
        r->mono += 1000;
        turn(r);
    }
}
/* Nobody is there until then. */
static void sleep_to(rig *r, int64_t s) {
    r->mono += DAY0 + s * 1000 - r->wall;
    r->wall = DAY0 + s * 1000;
    if (r->runs.alive && r->wall >= r->ends) {
        r->runs.alive = 0;
        r->runs.ended_at = r->ends;
    }
}

static void assert_fired(const rig *r, const char *wanted) {
    char text[4096];
    int at = 0;
    text[0] = 0;
    for (size_t i = 0; i < r->n; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%lld@%lld", i ? " " : "", (long long)r->fired[i],
                       (long long)r->at[i]);
    assert_string_equal(text, wanted);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */
static void each_nominal_time_is_one_job_at_its_time(void **state) {
    (void)state;
    rig r;
    begin(&r, "*/5 * * * *", HF_OVERLAP_SKIP);
    run_to(&r, 1000);
    assert_fired(&r, "300@300 600@600 900@900");
    done(&r);
    begin(&r, "@every 7s", HF_OVERLAP_SKIP);
    run_to(&r, 22);
    assert_fired(&r, "7@7 14@14 21@21");
    assert_int_equal(hf_ticker_idle_ms(r.t, r.wall), 6000);
    done(&r);
}

typedef struct {
    const char *name;
    hf_overlap overlap;
    int64_t takes_s, until_s;
    const char *fired;
} overlap_case;

static void overlap_is_as_the_policy_says(void **state) {
    (void)state;
    static const overlap_case cases[] = {
        {"skip", HF_OVERLAP_SKIP, 150, 500, "60@60 240@240 420@420"},
        {"buffer", HF_OVERLAP_BUFFER_ONE, 150, 500, "60@60 180@210 360@360"},
        {"allow", HF_OVERLAP_ALLOW, 150, 250, "60@60 120@120 180@180 240@240"},
        {"short", HF_OVERLAP_SKIP, 59, 250, "60@60 120@120 180@180 240@240"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        begin(&r, "* * * * *", cases[i].overlap);
        r.takes_s = cases[i].takes_s;
        run_to(&r, cases[i].until_s);
        assert_fired(&r, cases[i].fired);
        done(&r);
    }
}

typedef struct {
    const char *text;
    hf_overlap overlap;
    int64_t window_s, takes_s, asleep_s, until_s;
    const char *fired;
} missed_case;

/* Runs for 100 s, is gone until asleep_s, and starts again with what the log says. */
static void missed_runs_are_made_up_for_once(void **state) {
    (void)state;
    static const missed_case cases[] = {
        {"* * * * *", HF_OVERLAP_ALLOW, 3600, 1, 630, 700, "60@60 600@631 660@660"},
        {"* * * * *", HF_OVERLAP_ALLOW, 0, 1, 615, 700, "60@60 600@616 660@660"}, /* no later than "on time" */
        {"* * * * *", HF_OVERLAP_ALLOW, 0, 1, 639, 700, "60@60 660@660"},
        {"0 * * * *", HF_OVERLAP_ALLOW, 3600, 1, 7000, 7300, "3600@7001 7200@7200"},
        {"0 * * * *", HF_OVERLAP_ALLOW, 600, 1, 7000, 7300, "7200@7200"},
        {"@every 10s", HF_OVERLAP_ALLOW, 3600, 1, 632, 650,
         "10@10 20@20 30@30 40@40 50@50 60@60 70@70 80@80 90@90 100@100 630@633 640@640 650@650"},
        /* what was skipped is not made up for after a restart; what was due since the end is */
        {"* * * * *", HF_OVERLAP_SKIP, 3600, 565, 630, 650, "60@60"},
        {"* * * * *", HF_OVERLAP_SKIP, 3600, 530, 630, 650, "60@60 600@631"},
        {"* * * * *", HF_OVERLAP_BUFFER_ONE, 3600, 565, 630, 650, "60@60 600@631"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        begin(&r, cases[i].text, cases[i].overlap);
        r.s.catchup_window_ms = cases[i].window_s * 1000;
        r.takes_s = cases[i].takes_s;
        put(&r);
        run_to(&r, 100);
        sleep_to(&r, cases[i].asleep_s);
        r.takes_s = 1;
        start(&r);
        run_to(&r, cases[i].until_s);
        assert_fired(&r, cases[i].fired);
        done(&r);
    }
}

static void clocks_that_jump_repeat_nothing(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_ALLOW);
    run_to(&r, 130);
    r.wall += 3600 * 1000; /* forward by an hour: one run for all of it */
    turn(&r);
    assert_fired(&r, "60@60 120@120 3720@3730");
    r.wall -= 3600 * 1000; /* and back: times that have a job are proposed in vain at most, those that have none run */
    r.n = 0;
    run_to(&r, 310);
    assert_fired(&r, "180@180 240@240 300@300");
    assert_int_equal(r.runs.count, 6);
    r.n = 0;
    r.wall -= 600 * 1000; /* to before it was made: what has a job is proposed, and refused */
    run_to(&r, 130);
    assert_fired(&r, "60@60 120@120");
    assert_int_equal(r.runs.count, 6);
    done(&r);
}

static void a_log_ahead_of_our_clock_does_not_hold_up_the_future(void **state) {
    (void)state;
    rig r;
    begin(&r, "0 * * * *", HF_OVERLAP_SKIP);
    r.runs.nominal = DAY0 + INT64_C(365) * 86400 * 1000; /* somebody's clock was a year ahead */
    r.runs.ended_at = r.runs.nominal + 5000;
    start(&r);
    run_to(&r, 7300);
    assert_fired(&r, "3600@3600 7200@7200");
    done(&r);
}

static void a_stand_in_waits_for_the_owner(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_SKIP);
    own(&r, false);
    run_to(&r, 62);
    assert_int_equal(r.n, 0);
    on_record(&r, DAY0 + 60000); /* the owner's */
    run_to(&r, 100);
    assert_int_equal(r.n, 0);
    run_to(&r, 130); /* the owner is dead */
    assert_fired(&r, "120@125");
    run_to(&r, 182);
    own(&r, true); /* and we are the owner */
    run_to(&r, 190);
    assert_fired(&r, "120@125 180@183");
    done(&r);
}

static void a_stand_in_leaves_the_owner_its_time_after_a_buffered_runs_wait(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_BUFFER_ONE);
    own(&r, false);
    r.takes_s = 100;
    run_to(&r, 61);
    on_record(&r, DAY0 + 60000); /* until 161 */
    run_to(&r, 165);
    assert_int_equal(r.n, 0);
    run_to(&r, 167);
    assert_fired(&r, "120@166");
    done(&r);
}

static void what_does_not_come_back_is_said_again(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_SKIP);
    r.deaf = true;
    run_to(&r, 71);
    assert_fired(&r, "60@60 60@65 60@70");
    on_record(&r, DAY0 + 60000);
    r.deaf = false;
    run_to(&r, 121);
    assert_fired(&r, "60@60 60@65 60@70 120@120");
    done(&r);
}

static void what_never_comes_back_does_not_block_the_schedule(void **state) {
    (void)state;
    rig r;
    begin(&r, "0 * * * *", HF_OVERLAP_SKIP);
    r.deaf = true; /* somebody's job has the id */
    run_to(&r, 7000);
    assert_int_equal(r.n, 12);
    r.deaf = false;
    run_to(&r, 7201);
    assert_int_equal(r.n, 13);
    assert_int_equal(r.fired[12], 7200);
    done(&r);
}

static void a_proposal_that_cannot_be_written_is_given_up(void **state) {
    (void)state;
    rig r;
    hf_record due;
    begin(&r, "* * * * *", HF_OVERLAP_SKIP);
    r.deaf = true;
    r.wall += 60000;
    r.mono += 60000;
    assert_int_equal(hf_ticker_due(r.t, r.wall, r.mono, &r.arena, &due, 1), 1);
    hf_ticker_give_up(r.t, &due);
    run_to(&r, 125);
    assert_fired(&r, "120@120 120@125");
    done(&r);
}

static void pause_change_dates_and_number_are_heeded(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_ALLOW);
    run_to(&r, 70);
    r.s.enabled = false;
    r.s.updated_at = r.wall;
    put(&r);
    run_to(&r, 250);
    r.s.enabled = true; /* what was due in between is not made up for */
    r.s.updated_at = r.wall;
    put(&r);
    run_to(&r, 310);
    assert_fired(&r, "60@60 300@300");
    r.n = 0;
    r.s.schedule = HF_STR("*/2 * * * *"); /* what the new text would have said before is none of its business */
    r.s.updated_at = r.wall;
    put(&r);
    run_to(&r, 500);
    assert_fired(&r, "360@360 480@480");
    r.n = 0;
    r.s.schedule = HF_STR("* * * * *");
    r.s.start_at = DAY0 + 600000;
    r.s.end_at = DAY0 + 720000;
    r.s.updated_at = r.wall;
    put(&r);
    run_to(&r, 1000);
    assert_fired(&r, "600@600 660@660 720@720");
    r.n = 0;
    r.s.start_at = r.s.end_at = 0;
    r.s.max_runs = r.runs.count + 3;
    r.s.updated_at = r.wall;
    put(&r);
    run_to(&r, 1030);
    on_record(&r, 0); /* a trigger is a run, too */
    run_to(&r, 1400);
    assert_fired(&r, "1020@1020 1080@1080");
    r.n = 0;
    r.s.max_runs = 0;
    r.s.updated_at = r.wall;
    put(&r);
    hf_ticker_drop(r.t, r.s.schedule_id);
    run_to(&r, 1600);
    assert_int_equal(r.n, 0);
    assert_int_equal(hf_ticker_idle_ms(r.t, r.wall), INT64_MAX);
    done(&r);
}

static void triggers_overlap_like_runs_and_settle_no_time(void **state) {
    (void)state;
    rig r;
    begin(&r, "* * * * *", HF_OVERLAP_SKIP);
    r.takes_s = 20;
    run_to(&r, 50);
    on_record(&r, 0);
    run_to(&r, 125);
    assert_fired(&r, "120@120");
    done(&r);
}

static void jitter_is_the_same_for_each_run_and_settles_nothing_before_its_time(void **state) {
    (void)state;
    rig r;
    begin(&r, "*/10 * * * *", HF_OVERLAP_SKIP);
    r.s.jitter_ms = 300000;
    int64_t delay = hf_due_delay_ms(r.s.schedule_id, r.s.jitter_ms) / 1000 + 1; /* the rig's clock ticks in seconds */
    assert_in_range(delay, 3, 299);
    put(&r);
    run_to(&r, 600 + delay / 2);
    r.s.updated_at = r.wall; /* changed between the nominal time and its run: it runs */
    put(&r);
    run_to(&r, 1700);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "600@%lld 1200@%lld", 600 + (long long)delay, 1200 + (long long)delay);
    assert_fired(&r, wanted);
    done(&r);
}

static void nights_on_which_clocks_are_set_are_as_the_zone_says(void **state) {
    (void)state;
    static const struct {
        const char *zone, *text;
        int64_t night; /* midnight UTC, ms */
        const char *fired;
    } cases[] = {
        /* 2026-03-29 01:00 UTC: 2:00 becomes 3:00; 2:30 runs at once after the gap, once */
        {"Europe/Berlin", "30 2 * * *", INT64_C(1774742400000), "3600 88200"},
        /* 2026-10-25 01:00 UTC: 3:00 becomes 2:00; 2:30 comes twice and runs once */
        {"Europe/Berlin", "30 2 * * *", INT64_C(1792886400000), "1800 91800"},
        /* 2026-03-08 07:00 UTC */
        {"America/New_York", "30 2 * * *", INT64_C(1772928000000), "25200 109800"},
        /* 2026-04-04 15:00 UTC: half an hour back, 2:00 becomes 1:30 */
        {"Australia/Lord_Howe", "45 1 * * *", INT64_C(1775260800000), "53100 141300"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r;
        begin(&r, cases[i].text, HF_OVERLAP_SKIP);
        r.s.time_zone = hf_str_of(cases[i].zone);
        r.s.created_at = r.s.updated_at = cases[i].night;
        r.wall = cases[i].night;
        start(&r);
        char text[256] = "";
        for (int64_t s = 0; s < 2 * 86400; s += 60) {
            r.wall += 60000;
            r.mono += 60000;
            size_t had = r.n;
            turn(&r);
            for (; had < r.n; had++)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", *text ? " " : "",
                         (long long)(r.fired[had] + DAY0 / 1000 - cases[i].night / 1000));
        }
        if (strcmp(text, cases[i].fired) != 0)
            fail_msg("%s %s: ran at %s, not %s", cases[i].zone, cases[i].text, text, cases[i].fired);
        done(&r);
    }
}

static void what_is_no_schedule_is_refused_and_takes_the_older_one_with_it(void **state) {
    (void)state;
    rig r;
    hf_err e;
    begin(&r, "* * * * *", HF_OVERLAP_SKIP);
    r.s.schedule = HF_STR("61 * * * *");
    assert_int_equal(hf_ticker_put(r.t, &r.s, 0, &r.runs, &e), HF_E_INVALID);
    assert_int_equal(hf_ticker_count(r.t), 0);
    r.s.schedule = HF_STR("1 * * * *");
    r.s.time_zone = HF_STR("Europe/Atlantis");
    assert_int_equal(hf_ticker_put(r.t, &r.s, 0, &r.runs, &e), HF_E_NOT_FOUND);
    r.s.time_zone = HF_STR_NONE;
    r.s.jitter_ms = -1;
    assert_int_equal(hf_ticker_put(r.t, &r.s, 0, &r.runs, &e), HF_E_INVALID);
    r.s.jitter_ms = 0;
    r.s.schedule_id = HF_STR("../x");
    assert_int_equal(hf_ticker_put(r.t, &r.s, 0, &r.runs, &e), HF_E_INVALID);
    assert_int_equal(hf_ticker_count(r.t), 0);
    r.s.schedule_id = HF_STR("s");
    put(&r);
    assert_int_equal(hf_ticker_count(r.t), 1);
    run_to(&r, 61);
    done(&r);
}

static void what_is_due_comes_in_order_and_the_rest_stays(void **state) {
    (void)state;
    hf_ticker *t = hf_ticker_new(&options);
    hf_arena arena;
    hf_schedule s;
    hf_schedule_runs runs = {.outcome = HF_S_NONE};
    char id[32];
    enum { N = 1000 };
    hf_record *due = calloc(N, sizeof *due);
    hf_arena_init(&arena, 64 << 20);
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.job_template.operation = HF_STR("sweep");
    s.created_at = s.updated_at = DAY0;
    for (int i = 0; i < N; i++) { /* minute i % 50 of each hour */
        char text[32];
        snprintf(id, sizeof id, "s%d", i);
        snprintf(text, sizeof text, "%d * * * *", i % 50);
        s.schedule_id = hf_str_of(id);
        s.schedule = hf_str_of(text);
        assert_int_equal(hf_ticker_put(t, &s, 0, &runs, NULL), HF_OK);
    }
    hf_ticker_owned(t, &(uint64_t){1}, 1);
    assert_int_equal(hf_ticker_due(t, DAY0 + 30000, 30000, &arena, due, N), 0);
    assert_int_equal(hf_ticker_idle_ms(t, DAY0 + 30000), 30000);
    assert_int_equal(hf_ticker_due(t, DAY0 + 60000, 60000, &arena, due, 7), 7);
    assert_int_equal(hf_ticker_due(t, DAY0 + 60000, 60000, &arena, due, N), N / 50 - 7);
    for (int i = 0; i < N; i += 50) { /* taken away, in any order */
        snprintf(id, sizeof id, "s%d", (i * 7 + 1) % N);
        hf_ticker_drop(t, hf_str_of(id));
    }
    hf_ticker_free(t);
    hf_arena_done(&arena);
    free(due);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_nominal_time_is_one_job_at_its_time),
        cmocka_unit_test(overlap_is_as_the_policy_says),
        cmocka_unit_test(missed_runs_are_made_up_for_once),
        cmocka_unit_test(clocks_that_jump_repeat_nothing),
        cmocka_unit_test(a_log_ahead_of_our_clock_does_not_hold_up_the_future),
        cmocka_unit_test(a_stand_in_waits_for_the_owner),
        cmocka_unit_test(a_stand_in_leaves_the_owner_its_time_after_a_buffered_runs_wait),
        cmocka_unit_test(what_does_not_come_back_is_said_again),
        cmocka_unit_test(what_never_comes_back_does_not_block_the_schedule),
        cmocka_unit_test(a_proposal_that_cannot_be_written_is_given_up),
        cmocka_unit_test(pause_change_dates_and_number_are_heeded),
        cmocka_unit_test(triggers_overlap_like_runs_and_settle_no_time),
        cmocka_unit_test(jitter_is_the_same_for_each_run_and_settles_nothing_before_its_time),
        cmocka_unit_test(nights_on_which_clocks_are_set_are_as_the_zone_says),
        cmocka_unit_test(what_is_no_schedule_is_refused_and_takes_the_older_one_with_it),
        cmocka_unit_test(what_is_due_comes_in_order_and_the_rest_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
