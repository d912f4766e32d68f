/* Limits as one worker meets them: a grant is asked for, read back, refused, late, of a job that is gone meanwhile; and whatever
 * becomes of it, it is given back. */
#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "tests/unit/worker/fleet.h"

static const hf_exec_policy any = {.timeout_seconds = 3600};
#define LAB "tag/lab"

static int open_fleet(void **state) {
    fleet *f = calloc(1, sizeof *f);
    hf_worker_options o = fleet_options();
    fleet_init(f, &o);
    hf_worker_core_caught_up(f->core);
    assert_int_equal(fleet_limit_set(f, LAB, 1), HF_LV_ACCEPTED);
    fleet_run(f);
    *state = f;
    return 0;
}

static int close_fleet(void **state) {
    fleet_done(*state);
    free(*state);
    return 0;
}

static uint32_t held(const fleet *f, const char *key) { return fleet_limit_of(f, key)->held; }

/* A job whose grant is asked for and not read back: the worker is TAKING. */
static void taking(fleet *f, const char *id) {
    f->hold_limits = true;
    fleet_submit_tagged(f, id, "lab", any);
    fleet_run(f);
    assert_int_equal(f->limit_tail, 1);
    assert_int_equal(f->limit_log[0]->kind, HF_LIMIT_TAKEN);
    assert_int_equal(f->proposals, 0);
}

/* Nothing is claimed, and no grant stays behind. */
static void expect_given_up(fleet *f) {
    f->hold_limits = false;
    fleet_pass(f, 500);
    assert_int_equal(f->proposals, 0);
    assert_int_equal(held(f, LAB), 0);
}

static void a_job_is_claimed_once_its_grant_was_read_back(void **state) {
    fleet *f = *state;
    taking(f, "a");
    fleet_pass(f, 5000);
    assert_int_equal(f->proposals, 0); /* however long it takes */
    f->hold_limits = false;
    fleet_run(f);
    assert_int_equal(held(f, LAB), 1);
    assert_true(fleet_slot(f, "a") >= 0);
    fleet_finish(f, "a", HF_OK);
    fleet_run(f);
    assert_int_equal(fleet_state(f, "a"), HF_S_COMPLETED);
    assert_int_equal(held(f, LAB), 0);
}

static void a_job_that_is_refused_a_grant_waits_for_one(void **state) {
    fleet *f = *state;
    taking(f, "a");
    assert_int_equal(fleet_limit_taken(f, LAB, "theirs", 1, "w9/x"), HF_LV_ACCEPTED); /* first in the log */
    int64_t grant = f->limit_offset - 1;
    f->hold_limits = false;
    fleet_pass(f, 20000);
    assert_int_equal(f->proposals, 0);
    hf_worker_stats stats;
    hf_worker_core_stats(f->core, f->now, &stats);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.queued, 1);
    fleet_submit(f, "free", any); /* goes past it */
    fleet_run(f);
    assert_true(fleet_slot(f, "free") >= 0);
    assert_int_equal(fleet_slot(f, "a"), -1);
    assert_int_equal(fleet_limit_freed(f, LAB, grant, 1, "w9/x"), HF_LV_ACCEPTED);
    fleet_run(f);
    assert_true(fleet_slot(f, "a") >= 0);
    assert_int_equal(held(f, LAB), 1);
}

static void a_grant_that_comes_too_late_is_given_back_and_asked_for_anew(void **state) {
    fleet *f = *state;
    taking(f, "a");
    fleet_pass(f, 30000 + 1000); /* past half of its life, which is two leases */
    fleet_read_limits(f);        /* with the heartbeats' lease held all the time */
    fleet_run(f);
    assert_int_equal(f->proposals, 0);
    f->hold_limits = false;
    fleet_run(f);
    assert_true(fleet_slot(f, "a") >= 0);
    assert_int_equal(held(f, LAB), 1);
    fleet_finish(f, "a", HF_OK);
    fleet_run(f);
    assert_int_equal(held(f, LAB), 0);
}

static void a_claim_that_comes_too_late_is_given_back_unstarted(void **state) {
    fleet *f = *state;
    f->hold = true;
    fleet_submit_tagged(f, "a", "lab", any);
    fleet_run(f);
    assert_int_equal(held(f, LAB), 1);
    assert_int_equal(f->proposals, 1);
    fleet_pass(f, 31000);
    assert_int_equal(fleet_slot(f, "a"), -1);
    fleet_read_log(f); /* accepted, but nobody need believe in its grant any more */
    fleet_run(f);
    assert_int_equal(f->tail, 1);
    assert_int_equal(hf_record_event(f->log[0], 0), HF_EV_RELEASED);
    assert_int_equal(fleet_slot(f, "a"), -1);
    fleet_read_log(f);
    f->hold = false;
    fleet_run(f);
    assert_true(fleet_slot(f, "a") >= 0); /* with a grant of its own */
    assert_int_equal(held(f, LAB), 1);
}

static void a_job_that_is_cancelled_meanwhile_is_not_claimed(void **state) {
    fleet *f = *state;
    taking(f, "a");
    hf_ev_cancel_requested cancel = {.reason = HF_STR("by test")};
    assert_int_equal(fleet_event(f, "a", 0, "ctl", HF_EV_CANCEL_REQUESTED, &cancel), HF_V_ACCEPTED);
    expect_given_up(f);
}

static void a_job_that_another_worker_takes_meanwhile_is_not_claimed(void **state) {
    fleet *f = *state;
    taking(f, "a");
    hf_ev_assigned theirs = {.worker = HF_STR("w9/x"), .lease_ms = 30000};
    assert_int_equal(fleet_event(f, "a", 1, "w9/x", HF_EV_ASSIGNED, &theirs), HF_V_ACCEPTED);
    expect_given_up(f);
}

static void a_worker_that_is_drained_meanwhile_gives_back(void **state) {
    fleet *f = *state;
    taking(f, "a");
    hf_worker_core_drain(f->core, 10000, f->now);
    fleet_run(f);
    assert_false(hf_worker_core_idle(f->core)); /* what it asked for may be granted yet */
    expect_given_up(f);
    assert_true(hf_worker_core_idle(f->core));
}

static void a_worker_that_lost_its_lease_meanwhile_claims_nothing(void **state) {
    fleet *f = *state;
    taking(f, "a");
    f->ack_heartbeats = false;
    fleet_pass(f, 31000);
    expect_given_up(f);
    f->ack_heartbeats = true;
    fleet_pass(f, 6000);
    assert_true(fleet_slot(f, "a") >= 0); /* it is back */
}

static void a_limit_that_is_taken_away_meanwhile_is_not_waited_for(void **state) {
    fleet *f = *state;
    taking(f, "a");
    assert_int_equal(fleet_limit_set(f, LAB, -1), HF_LV_ACCEPTED);
    f->hold_limits = false;
    fleet_run(f);
    assert_true(fleet_slot(f, "a") >= 0);
}

static void a_limit_that_is_set_meanwhile_wants_its_grant_too(void **state) {
    fleet *f = *state;
    taking(f, "a");
    assert_int_equal(fleet_limit_set(f, "provider/local", 1), HF_LV_ACCEPTED);
    f->hold_limits = false;
    fleet_pass(f, 1000);
    assert_true(fleet_slot(f, "a") >= 0);
    assert_int_equal(held(f, LAB), 1);
    assert_int_equal(held(f, "provider/local"), 1);
    fleet_finish(f, "a", HF_OK);
    fleet_run(f);
    assert_int_equal(held(f, LAB) + held(f, "provider/local"), 0);
}

static void who_is_refused_the_second_gives_back_the_first(void **state) {
    fleet *f = *state;
    assert_int_equal(fleet_limit_set(f, "provider/local", 1), HF_LV_ACCEPTED);
    taking(f, "a"); /* of provider/local, which comes first */
    assert_true(hf_str_eqz(f->limit_log[0]->key, "provider/local"));
    assert_int_equal(fleet_limit_taken(f, LAB, "theirs", 1, "w9/x"), HF_LV_ACCEPTED);
    f->hold_limits = false;
    fleet_pass(f, 1000);
    assert_int_equal(f->proposals, 0);
    assert_int_equal(held(f, "provider/local"), 0);
    fleet_submit(f, "other", any); /* nobody waits while holding */
    fleet_run(f);
    assert_true(fleet_slot(f, "other") >= 0);
}

static void a_grant_that_others_free_stops_its_attempt(void **state) {
    fleet *f = *state;
    fleet_submit_tagged(f, "a", "lab", any);
    fleet_run(f);
    assert_true(fleet_slot(f, "a") >= 0);
    assert_int_equal(fleet_limit_freed(f, LAB, f->limit_offset - 1, 1, "hyperdispatch@h/1"), HF_LV_ACCEPTED);
    fleet_run(f);
    assert_true(fleet_find(f, HF_ACT_STOP, "a") >= 0 || fleet_find(f, HF_ACT_RECALL, "a") >= 0);
}

static void a_grant_that_was_not_acknowledged_is_asked_for_again_and_held_once(void **state) {
    fleet *f = *state;
    taking(f, "a");
    hf_worker_core_ack(f->core, f->limit_tags[0], HF_E_LOG_NOT_ACKED, f->now);
    fleet_pass(f, 200);
    assert_int_equal(f->limit_tail, 2); /* both come into the log */
    f->hold_limits = false;
    fleet_pass(f, 500);
    assert_int_equal(held(f, LAB), 1);
    assert_true(fleet_slot(f, "a") >= 0);
    fleet_finish(f, "a", HF_OK);
    fleet_run(f);
    assert_int_equal(held(f, LAB), 0);
}

static void grants_of_an_earlier_self_are_freed(void **state) {
    fleet *f = *state;
    assert_int_equal(fleet_limit_taken(f, LAB, "b", 1, "w1/inc2"), HF_LV_ACCEPTED); /* nothing here knows of it */
    fleet_run(f);
    assert_int_equal(held(f, LAB), 0);
}

static void short_memory_never_leaves_a_grant_behind_or_crashes(void **state) {
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        fleet *f = calloc(1, sizeof *f);
        hf_worker_options o = fleet_options();
        hf_action actions[FLEET_ACTIONS];
        size_t count = 0;
        hf_err err;
        fleet_init(f, &o);
        hf_worker_core_caught_up(f->core);
        fleet_limit_set(f, LAB, 1);
        fleet_submit_tagged(f, "a", "lab", any);
        hf_worker_core_step(f->core, f->now, actions, 1, &count, &err); /* its first heartbeat */
        if (count)
            hf_worker_core_ack(f->core, actions[0].tag, HF_OK, f->now);
        hf_alloc_fail_after(n);
        hf_code code = hf_worker_core_step(f->core, f->now, actions, FLEET_ACTIONS, &count, &err);
        hf_alloc_fail_after(0);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        fleet_done(f);
        free(f);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_fleet, close_fleet)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_job_is_claimed_once_its_grant_was_read_back),
        TEST(a_job_that_is_refused_a_grant_waits_for_one),
        TEST(a_grant_that_comes_too_late_is_given_back_and_asked_for_anew),
        TEST(a_claim_that_comes_too_late_is_given_back_unstarted),
        TEST(a_job_that_is_cancelled_meanwhile_is_not_claimed),
        TEST(a_job_that_another_worker_takes_meanwhile_is_not_claimed),
        TEST(a_worker_that_is_drained_meanwhile_gives_back),
        TEST(a_worker_that_lost_its_lease_meanwhile_claims_nothing),
        TEST(a_limit_that_is_taken_away_meanwhile_is_not_waited_for),
        TEST(a_limit_that_is_set_meanwhile_wants_its_grant_too),
        TEST(who_is_refused_the_second_gives_back_the_first),
        TEST(a_grant_that_others_free_stops_its_attempt),
        TEST(a_grant_that_was_not_acknowledged_is_asked_for_again_and_held_once),
        TEST(grants_of_an_earlier_self_are_freed),
        cmocka_unit_test(short_memory_never_leaves_a_grant_behind_or_crashes),
    };
    return cmocka_run_group_tests_name("worker/limits", tests, NULL, NULL);
}
