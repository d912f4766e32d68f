/* What a dispatcher proposes, and when: one small story a test, on a clock that the test owns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "producer/dispatch/decide.h"
#include "schemas/base/mem.h"

enum { GRACE = 5000, STAND_IN = 5000, HALF_WAY = 2000, REPEAT = 5000, LEASE = 30000, T0 = 1000000 };

typedef struct world {
    hf_dispatch *d;
    hf_arena arena;
    int64_t wall, mono;
    hf_record due[64];
    size_t count;
    hf_spec spec;
} world;

static void owns_all(world *w, bool yes) {
    uint64_t bits[16];
    memset(bits, yes ? 0xff : 0, sizeof bits);
    hf_dispatch_owned(w->d, bits, 16);
}

static int setup(void **state) {
    world *w = hf_alloc(sizeof *w);
    hf_dispatch_options o = {HF_STR("me"), GRACE, STAND_IN, HALF_WAY, REPEAT};
    w->d = hf_dispatch_new(&o);
    hf_arena_init(&w->arena, 16 << 20);
    hf_type_init(&HF_TYPE_SPEC, &w->spec);
    w->spec.name = HF_STR("n");
    w->spec.operation = HF_STR("export");
    w->spec.provider = HF_STR("local");
    w->spec.vm_path = HF_STR("/a.raw");
    w->spec.output_dir = HF_STR("/out");
    w->spec.format = HF_STR("ova");
    w->wall = 1700000000000;
    w->mono = T0;
    owns_all(w, true);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    hf_dispatch_free(w->d);
    hf_arena_done(&w->arena);
    free(w);
    return 0;
}

static hf_job job_in(world *w, hf_state state, int32_t attempt) {
    return (hf_job){.id = HF_STR("job-1"),
                    .state = state,
                    .attempt = attempt,
                    .lease_ms = LEASE,
                    .worker = HF_STR("w/1"),
                    .spec = &w->spec};
}

static void tell(world *w, const hf_job *job) { assert_int_equal(hf_dispatch_job(w->d, job, w->wall, w->mono), HF_OK); }

/* Moves time on in steps of at most a second, as a running program would, and keeps the last answer. */
static void pass(world *w, int64_t ms) {
    while (ms > 0 && w->count == 0) {
        int64_t step = ms < 1000 ? ms : 1000;
        w->wall += step;
        w->mono += step;
        ms -= step;
        hf_arena_reset(&w->arena);
        w->count = hf_dispatch_due(w->d, w->wall, w->mono, &w->arena, w->due, HF_ARRAY_LEN(w->due));
    }
}

static void expect_nothing_for(world *w, int64_t ms) {
    pass(w, ms);
    assert_int_equal(w->count, 0);
}

static void expect(world *w, int64_t within_ms, hf_event event, int32_t attempt) {
    pass(w, within_ms);
    assert_int_equal(w->count, 1);
    assert_string_equal(hf_event_name(hf_record_event(&w->due[0], 0)), hf_event_name(event));
    assert_int_equal(w->due[0].attempt, attempt);
    assert_true(hf_str_eqz(w->due[0].by, "me"));
    w->count = 0;
}

static void beat(world *w, int32_t attempt) {
    hf_attempt_ref ref = {HF_STR("job-1"), attempt};
    hf_heartbeat b = {.running = {&ref, 1}};
    hf_dispatch_heartbeat(w->d, &b, w->mono);
}

static void a_queued_job_costs_nothing(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_QUEUED, 0);
    tell(w, &job);
    assert_int_equal(hf_dispatch_watched(w->d), 0);
    assert_true(hf_dispatch_next_ms(w->d) == INT64_MAX);
}

static void a_silent_workers_lease_expires_once_it_is_over(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RUNNING, 3);
    tell(w, &job);
    expect_nothing_for(w, LEASE + GRACE - 1);
    expect(w, 2, HF_EV_LEASE_EXPIRED, 3);
}

static void heartbeats_keep_a_lease_and_only_of_that_attempt(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RUNNING, 3);
    tell(w, &job);
    for (int i = 0; i < 20; i++) {
        expect_nothing_for(w, 10000);
        beat(w, 3);
    }
    for (int i = 0; i < 3; i++) {
        expect_nothing_for(w, 10000);
        beat(w, 2); /* an attempt that is over */
    }
    expect(w, LEASE + GRACE, HF_EV_LEASE_EXPIRED, 3);
}

static void a_proposal_without_effect_is_repeated(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    tell(w, &job);
    expect(w, 1000, HF_EV_QUEUED, 1);
    expect_nothing_for(w, REPEAT - 1000);
    expect(w, 2000, HF_EV_QUEUED, 1);
}

static void a_retry_waits_for_its_time(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    job.not_before = w->wall + 90000;
    tell(w, &job);
    expect_nothing_for(w, 89000);
    expect(w, 2000, HF_EV_QUEUED, 1);
}

static void a_retry_sees_the_wall_clock_jump(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    job.not_before = w->wall + 3600000;
    tell(w, &job);
    w->wall += 3600000; /* the clock was set: the monotonic one did not move */
    expect(w, 61000, HF_EV_QUEUED, 1);
}

static void who_does_not_own_the_partition_stands_by(void **state) {
    world *w = *state;
    owns_all(w, false);
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    tell(w, &job);
    expect_nothing_for(w, STAND_IN - 1);
    expect(w, 1000, HF_EV_QUEUED, 1);
}

static void ownership_that_comes_later_is_acted_on_at_once(void **state) {
    world *w = *state;
    owns_all(w, false);
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    tell(w, &job);
    expect_nothing_for(w, 2000);
    owns_all(w, true);
    expect(w, 1000, HF_EV_QUEUED, 1);
}

static void half_way_jobs_are_finished_by_the_rules_of_intake(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_CREATED, 0);
    tell(w, &job);
    expect_nothing_for(w, HALF_WAY - 1);
    pass(w, 1000);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->due[0].transitions.count, 2);
    assert_int_equal(hf_record_event(&w->due[0], 0), HF_EV_VALIDATED);
    assert_int_equal(hf_record_event(&w->due[0], 1), HF_EV_QUEUED);
    w->count = 0;
    hf_job validated = job_in(w, HF_S_VALIDATED, 0);
    tell(w, &validated);
    expect(w, HALF_WAY, HF_EV_QUEUED, 0);
}

static void a_half_way_job_that_is_not_sound_is_rejected(void **state) {
    world *w = *state;
    w->spec.policy.priority = 77;
    hf_job job = job_in(w, HF_S_CREATED, 0);
    tell(w, &job);
    pass(w, HALF_WAY + 1000);
    assert_int_equal(w->count, 1);
    assert_int_equal(hf_record_event(&w->due[0], 0), HF_EV_REJECTED);
    const hf_ev_rejected *no = HF_LIST_AT(w->due[0].transitions, hf_variant, 0)->record;
    assert_true(no->errors.count >= 1);
}

static void a_cancel_is_carried_out_where_no_attempt_runs(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_QUEUED, 2);
    job.cancel_requested = true;
    tell(w, &job);
    expect(w, 1000, HF_EV_CANCELLED, 2);
    hf_job running = job_in(w, HF_S_RUNNING, 3);
    running.cancel_requested = true;
    tell(w, &running);
    expect_nothing_for(w, LEASE); /* the worker's to do, while it lives */
    expect(w, GRACE + 1000, HF_EV_LEASE_EXPIRED, 3);
}

static void a_job_that_ended_is_forgotten(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RUNNING, 1), done = job_in(w, HF_S_COMPLETED, 1);
    tell(w, &job);
    tell(w, &done);
    assert_int_equal(hf_dispatch_watched(w->d), 0);
    expect_nothing_for(w, 100000);
}

static void a_dispatcher_that_slept_hears_heartbeats_first(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RUNNING, 1);
    tell(w, &job);
    expect_nothing_for(w, 1000);
    w->mono += 10 * LEASE; /* suspended: the heartbeats it missed are still unread */
    w->wall += 10 * LEASE;
    expect_nothing_for(w, GRACE - 1000);
    beat(w, 1);
    expect_nothing_for(w, LEASE);
}

/* Called when the object wants it, and a little late each time, as on a busy machine. */
static void a_dispatcher_that_wakes_late_each_time_expires_leases_all_the_same(void **state) {
    world *w = *state;
    static const int64_t graces[] = {0, 1000, GRACE}, lates[] = {0, 1, 3, 200};
    for (size_t g = 0; g < HF_ARRAY_LEN(graces); g++)
        for (size_t l = 0; l < HF_ARRAY_LEN(lates); l++) {
            hf_dispatch_options o = {HF_STR("me"), graces[g], STAND_IN, HALF_WAY, REPEAT};
            hf_dispatch_free(w->d);
            w->d = hf_dispatch_new(&o);
            owns_all(w, true);
            hf_job job = job_in(w, HF_S_RUNNING, 1);
            tell(w, &job);
            int64_t from = w->mono, limit = from + LEASE + 2 * graces[g] + 1000;
            w->count = 0;
            while (w->count == 0 && w->mono <= limit) {
                int64_t next = hf_dispatch_next_ms(w->d);
                w->mono = (next > w->mono ? next : w->mono) + lates[l];
                hf_arena_reset(&w->arena);
                w->count = hf_dispatch_due(w->d, w->wall, w->mono, &w->arena, w->due, HF_ARRAY_LEN(w->due));
            }
            if (w->count != 1 || w->mono < from + LEASE + graces[g] || w->mono > limit)
                fail_msg("grace %d, late by %d: %zu proposals after %d ms", (int)graces[g], (int)lates[l], w->count,
                         (int)(w->mono - from));
        }
}

static void many_jobs_come_due_in_bounded_bites(void **state) {
    world *w = *state;
    char id[32];
    for (int i = 0; i < 1000; i++) {
        hf_job job = job_in(w, HF_S_RETRYING, 1);
        snprintf(id, sizeof id, "job-%d", i);
        job.id = hf_str_of(id);
        tell(w, &job);
    }
    size_t all = 0, n;
    w->mono += 1;
    do {
        hf_arena_reset(&w->arena);
        n = hf_dispatch_due(w->d, w->wall, w->mono, &w->arena, w->due, HF_ARRAY_LEN(w->due));
        assert_true(n <= HF_ARRAY_LEN(w->due));
        all += n;
    } while (n);
    assert_int_equal(all, 1000);
}

static void short_memory_loses_no_job(void **state) {
    world *w = *state;
    hf_job job = job_in(w, HF_S_RETRYING, 1);
    for (uint64_t n = 1; n < 4; n++) {
        hf_alloc_fail_after(n);
        hf_code code = hf_dispatch_job(w->d, &job, w->wall, w->mono);
        hf_alloc_fail_after(0);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
    }
    tell(w, &job);
    expect(w, 1000, HF_EV_QUEUED, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_queued_job_costs_nothing),
        TEST(a_silent_workers_lease_expires_once_it_is_over),
        TEST(heartbeats_keep_a_lease_and_only_of_that_attempt),
        TEST(a_proposal_without_effect_is_repeated),
        TEST(a_retry_waits_for_its_time),
        TEST(a_retry_sees_the_wall_clock_jump),
        TEST(who_does_not_own_the_partition_stands_by),
        TEST(ownership_that_comes_later_is_acted_on_at_once),
        TEST(half_way_jobs_are_finished_by_the_rules_of_intake),
        TEST(a_half_way_job_that_is_not_sound_is_rejected),
        TEST(a_cancel_is_carried_out_where_no_attempt_runs),
        TEST(a_job_that_ended_is_forgotten),
        TEST(a_dispatcher_that_slept_hears_heartbeats_first),
        TEST(a_dispatcher_that_wakes_late_each_time_expires_leases_all_the_same),
        TEST(many_jobs_come_due_in_bounded_bites),
        TEST(short_memory_loses_no_job),
    };
    return cmocka_run_group_tests_name("dispatch/decide", tests, NULL, NULL);
}
