/* Which grants a dispatcher frees, and when: grants that are held, jobs as the test says they are, time by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "producer/dispatch/grants.h"
#include "schemas/base/mem.h"

enum { PATIENCE = 1000, STAND_IN = 5000, REPEAT = 5000, GRACE = 5000, TTL = 60000, GRANTS = 600 };

typedef struct world {
    hf_freer *freer;
    hf_arena arena;
    hf_limit *limit;
    int64_t mono, offset;
    hf_limit_event due[GRANTS];
    size_t count;
    hf_job job; /* the one there is; id empty: none */
    bool ended; /* what the replica says of any other */
} world;

static const hf_job *look(void *ctx, hf_str id, bool *ret_ended) {
    world *w = ctx;
    bool it = hf_str_eq(id, w->job.id);
    *ret_ended = !it && w->ended;
    return it ? &w->job : NULL;
}

static void owns_all(world *w, bool yes) {
    uint64_t bits[16];
    memset(bits, yes ? 0xff : 0, sizeof bits);
    hf_freer_owned(w->freer, bits, 16);
}

static hf_limit_verdict fold(world *w, const hf_limit_event *event) {
    uint32_t index = 0;
    hf_limit_parts parts = {0};
    hf_grant *freed = NULL;
    hf_limit_verdict v = hf_limit_fold(w->limit->set ? w->limit : NULL, event, 0, &index);
    int64_t offset = w->offset++;
    if (v == HF_LV_ACCEPTED) {
        assert_true(hf_limit_prepare(w->limit, event, offset, &parts));
        hf_limit_apply(w->limit, event, index, &parts, &freed);
    }
    hf_limit_change c = {{3, offset}, event, v, w->limit, freed};
    assert_true(hf_freer_change(w->freer, &c, w->mono));
    free(freed);
    return v;
}

static int open_world(void **state) {
    world *w = hf_alloc(sizeof *w);
    hf_freer_options o = {HF_STR("me"), PATIENCE, STAND_IN, REPEAT, GRACE};
    w->freer = hf_freer_new(&o);
    w->limit = hf_limit_new();
    w->mono = 1000000;
    hf_arena_init(&w->arena, 1 << 20);
    owns_all(w, true);
    hf_limit_event set = {.key = HF_STR("tag/lab"), .kind = HF_LIMIT_SET, .by = HF_STR("t"), .max = GRANTS};
    assert_int_equal(fold(w, &set), HF_LV_ACCEPTED);
    *state = w;
    return 0;
}

static int close_world(void **state) {
    world *w = *state;
    hf_freer_free(w->freer);
    hf_limit_free(w->limit);
    hf_arena_done(&w->arena);
    free(w);
    return 0;
}

/* Its offset. */
static int64_t take(world *w, const char *id, int attempt) {
    hf_limit_event e = {.key = HF_STR("tag/lab"),
                        .kind = HF_LIMIT_TAKEN,
                        .by = HF_STR("w1/x"),
                        .job_id = hf_str_of(id),
                        .attempt = attempt,
                        .ttl_ms = TTL};
    assert_int_equal(fold(w, &e), HF_LV_ACCEPTED);
    return w->offset - 1;
}

static void job_is(world *w, const char *id, hf_state state, int attempt) {
    w->job = (hf_job){.id = hf_str_of(id), .state = (int32_t)state, .attempt = attempt};
    hf_freer_job(w->freer, &w->job, w->mono);
}

/* As a program would: called when it asks for it, and `late` ms late each time; ends with the first answer. */
static void pass_late(world *w, int64_t ms, int64_t late) {
    int64_t end = w->mono + ms;
    for (w->count = 0; w->mono < end && w->count == 0;) {
        int64_t next = hf_freer_next_ms(w->freer);
        next = next > w->mono ? next : w->mono + 1;
        w->mono = next > end - late ? end : next + late;
        hf_arena_reset(&w->arena);
        w->count = hf_freer_due(w->freer, 1, w->mono, look, w, &w->arena, w->due, GRANTS);
    }
}

static void expect_nothing_for(world *w, int64_t ms) {
    pass_late(w, ms, 0);
    assert_int_equal(w->count, 0);
}

static void expect_freed(world *w, int64_t within_ms, const char *id, int64_t grant) {
    pass_late(w, within_ms, 0);
    assert_int_equal(w->count, 1);
    assert_true(hf_str_eqz(w->due[0].job_id, id) && hf_str_eqz(w->due[0].by, "me") && w->due[0].reason.len > 0);
    assert_int_equal(w->due[0].kind, HF_LIMIT_FREED);
    assert_int_equal(w->due[0].grant, grant);
    assert_int_equal(fold(w, &w->due[0]), HF_LV_ACCEPTED);
}

static void a_grant_of_an_attempt_that_runs_is_left_alone(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_RUNNING, 1);
    take(w, "a", 1);
    expect_nothing_for(w, 3600000);
}

static void a_job_that_ended_frees_its_grant_after_a_moment(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_RUNNING, 1);
    int64_t grant = take(w, "a", 1);
    expect_nothing_for(w, 100000);
    w->job.id = HF_STR("other"); /* ended: the replica knows no more than that it was */
    w->ended = true;
    hf_job after = {.id = HF_STR("a"), .state = HF_S_COMPLETED, .attempt = 1};
    hf_freer_job(w->freer, &after, w->mono);
    expect_nothing_for(w, PATIENCE - 1); /* its worker does so itself, as a rule */
    expect_freed(w, 1000, "a", grant);
    expect_nothing_for(w, 3600000);
    assert_true(hf_freer_next_ms(w->freer) == INT64_MAX);
}

/* What LeaseExpired makes of a job, whichever it is. */
static void a_lost_workers_grant_is_freed_once_its_lease_has_ended(void **state) {
    world *w = *state;
    static const hf_state after[] = {HF_S_RETRYING, HF_S_FAILED, HF_S_QUEUED};
    for (size_t i = 0; i < HF_ARRAY_LEN(after); i++) {
        job_is(w, "a", HF_S_PROGRESSING, 1);
        int64_t grant = take(w, "a", 1);
        expect_nothing_for(w, 100000);
        job_is(w, "a", after[i], 1);
        expect_freed(w, PATIENCE + 1000, "a", grant);
    }
}

static void a_grant_of_an_earlier_attempt_is_freed_and_the_later_ones_kept(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_RUNNING, 1);
    int64_t first = take(w, "a", 1);
    take(w, "a", 2);
    job_is(w, "a", HF_S_RETRYING, 1);
    job_is(w, "a", HF_S_ASSIGNED, 2);
    expect_freed(w, PATIENCE + 1000, "a", first);
    expect_nothing_for(w, 3600000);
}

static void a_grant_whose_attempt_never_came_is_freed_after_its_ttl(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_QUEUED, 0);
    int64_t grant = take(w, "a", 1);
    expect_nothing_for(w, TTL - 1);
    expect_freed(w, GRACE + 1000, "a", grant);
}

static void a_dispatcher_that_wakes_late_each_time_frees_all_the_same(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_QUEUED, 0);
    for (int64_t late = 0; late < 50; late += 7) {
        take(w, "a", 1);
        pass_late(w, TTL + 2 * GRACE, late);
        assert_int_equal(w->count, 1);
        assert_int_equal(fold(w, &w->due[0]), HF_LV_ACCEPTED);
    }
}

static void a_dispatcher_that_slept_reads_first_what_was_said(void **state) {
    world *w = *state;
    job_is(w, "a", HF_S_QUEUED, 0);
    take(w, "a", 1);
    expect_nothing_for(w, 1000);
    w->mono += 10 * TTL;
    expect_nothing_for(w, GRACE - 1000);
    job_is(w, "a", HF_S_ASSIGNED, 1); /* said while it slept */
    expect_nothing_for(w, 3600000);
}

static void who_does_not_own_the_partition_stands_by(void **state) {
    world *w = *state;
    owns_all(w, false);
    w->ended = true;
    int64_t grant = take(w, "a", 1);
    expect_nothing_for(w, PATIENCE + STAND_IN - 1);
    expect_freed(w, 2000, "a", grant);
}

static void a_proposal_without_effect_is_repeated(void **state) {
    world *w = *state;
    w->ended = true;
    int64_t grant = take(w, "a", 1);
    pass_late(w, PATIENCE + 1000, 0);
    assert_int_equal(w->count, 1);
    expect_nothing_for(w, REPEAT - 1);
    expect_freed(w, 1000, "a", grant);
}

static void what_a_limit_held_at_start_is_watched_too(void **state) {
    world *w = *state;
    w->ended = true;
    int64_t grant = take(w, "a", 1);
    hf_freer_options o = {HF_STR("me"), PATIENCE, STAND_IN, REPEAT, GRACE};
    hf_freer_free(w->freer);
    w->freer = hf_freer_new(&o);
    owns_all(w, true);
    assert_true(hf_freer_limit(w->freer, 3, w->limit, w->mono));
    assert_true(hf_freer_limit(w->freer, 3, w->limit, w->mono)); /* once */
    expect_freed(w, PATIENCE + 1000, "a", grant);
}

/* More than fit a turn, and a limit at its bound: all come, none twice. */
static void many_grants_are_freed_in_bounded_bites(void **state) {
    world *w = *state;
    char id[32];
    w->ended = true;
    for (int i = 0; i < GRANTS; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        take(w, id, 1);
    }
    hf_limit_event more = {.key = HF_STR("tag/lab"),
                           .kind = HF_LIMIT_TAKEN,
                           .by = HF_STR("w"),
                           .job_id = HF_STR("more"),
                           .attempt = 1,
                           .ttl_ms = TTL};
    assert_int_equal(fold(w, &more), HF_LV_FULL);
    w->mono += PATIENCE;
    size_t all = 0, n = 0;
    do {
        hf_arena_reset(&w->arena);
        n = hf_freer_due(w->freer, 1, w->mono, look, w, &w->arena, w->due, 100);
        assert_true(n <= 100);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(fold(w, &w->due[i]), HF_LV_ACCEPTED);
        all += n;
    } while (n);
    assert_int_equal(all, GRANTS);
    assert_int_equal(w->limit->held, 0);
    take(w, "after", 1);
}

static void short_memory_loses_no_grant(void **state) {
    world *w = *state;
    w->ended = true;
    int64_t grant = take(w, "a", 1);
    hf_freer_options o = {HF_STR("me"), PATIENCE, STAND_IN, REPEAT, GRACE};
    hf_freer_free(w->freer);
    w->freer = hf_freer_new(&o);
    owns_all(w, true);
    hf_alloc_fail_after(1);
    assert_false(hf_freer_limit(w->freer, 3, w->limit, w->mono));
    hf_alloc_fail_after(0);
    assert_true(hf_freer_limit(w->freer, 3, w->limit, w->mono));
    expect_freed(w, 1000, "a", grant);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_grant_of_an_attempt_that_runs_is_left_alone),
        TEST(a_job_that_ended_frees_its_grant_after_a_moment),
        TEST(a_lost_workers_grant_is_freed_once_its_lease_has_ended),
        TEST(a_grant_of_an_earlier_attempt_is_freed_and_the_later_ones_kept),
        TEST(a_grant_whose_attempt_never_came_is_freed_after_its_ttl),
        TEST(a_dispatcher_that_wakes_late_each_time_frees_all_the_same),
        TEST(a_dispatcher_that_slept_reads_first_what_was_said),
        TEST(who_does_not_own_the_partition_stands_by),
        TEST(a_proposal_without_effect_is_repeated),
        TEST(what_a_limit_held_at_start_is_watched_too),
        TEST(many_grants_are_freed_in_bounded_bites),
        TEST(short_memory_loses_no_grant),
    };
    return cmocka_run_group_tests_name("dispatch/grants", tests, NULL, NULL);
}
