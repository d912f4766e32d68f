/* Announcements: what an attempt wants on record before it does it. */
#include <stdlib.h>

#include "tests/unit/worker/fleet.h"

static const hf_exec_policy EASY = {.retry_count = 2, .timeout_seconds = 600, .idempotent = true, .priority = 5};

/* A job that runs in a slot, its start on record. */
static void begin_running(fleet *f) {
    hf_worker_options o = fleet_options();
    fleet_init(f, &o);
    hf_worker_core_caught_up(f->core);
    fleet_run(f);
    fleet_submit(f, "a", EASY);
    fleet_run(f);
    fleet_pass(f, 100);
    assert_int_equal(fleet_state(f, "a"), HF_S_RUNNING);
}

static hf_code announce(fleet *f, uint32_t serial) {
    return hf_worker_core_announce(f->core, fleet_slot(f, "a"), HF_STR("a"), 1, serial, HF_STR("snapshot"));
}

/* What the runner was told of that announcement; -1: nothing yet. */
static int told(const fleet *f, uint32_t serial) {
    for (int i = f->act_count; i-- > 0;)
        if (f->acts[i].kind == HF_ACT_ANNOUNCED && f->acts[i].serial == serial)
            return (int)f->acts[i].code;
    return -1;
}

static void it_is_answered_only_when_the_fold_accepted_it(void **state) {
    fleet f;
    (void)state;
    begin_running(&f);
    f.hold = true;
    assert_int_equal(announce(&f, 7), HF_OK);
    fleet_pass(&f, 500);
    assert_int_equal(f.tail, 1); /* proposed once */
    assert_int_equal(told(&f, 7), -1);
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(told(&f, 7), HF_OK);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->phase, "snapshot"));
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

static void it_does_not_wait_for_a_job_to_be_long(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    fleet_run(&f);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED);
    assert_int_equal(announce(&f, 1), HF_OK);
    fleet_run(&f);
    assert_int_equal(told(&f, 1), HF_OK); /* with its start, in one record */
    assert_int_equal(fleet_state(&f, "a"), HF_S_PROGRESSING);
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

static void one_that_was_not_acknowledged_goes_out_again(void **state) {
    fleet f;
    (void)state;
    begin_running(&f);
    f.hold = true;
    assert_int_equal(announce(&f, 1), HF_OK);
    fleet_run(&f);
    hf_worker_core_ack(f.core, f.tags[0], HF_E_LOG_NOT_ACKED, f.now);
    fleet_pass(&f, 200);
    assert_int_equal(f.tail, 2);
    free(f.log[0]); /* the first never reached the log */
    f.log[0] = f.log[1];
    f.tags[0] = f.tags[1];
    f.tail = 1;
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(told(&f, 1), HF_OK);
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

/* The start was not acknowledged and is in the log all the same: the copy that also carries the announcement is refused as a second
 * start, and the announcement is said again by itself. */
static void a_refusal_of_its_record_alone_does_not_end_it(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    fleet_run(&f);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    f.hold = true;
    fleet_pass(&f, 100); /* Started is proposed */
    assert_int_equal(f.tail, 1);
    hf_worker_core_ack(f.core, f.tags[0], HF_E_LOG_NOT_ACKED, f.now);
    assert_int_equal(announce(&f, 1), HF_OK);
    fleet_pass(&f, 200); /* Started and the announcement */
    assert_int_equal(f.tail, 2);
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(f.refused, 1);
    assert_int_equal(told(&f, 1), HF_OK);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->phase, "snapshot"));
    fleet_done(&f);
}

static void a_fenced_attempt_is_told_that_it_lost_the_lease(void **state) {
    fleet f;
    (void)state;
    begin_running(&f);
    f.hold = true;
    assert_int_equal(announce(&f, 1), HF_OK);
    fleet_run(&f);
    fleet_event(&f, "a", 1, "dispatch", HF_EV_LEASE_EXPIRED, &(hf_ev_lease_expired){HF_STR("silent"), 0});
    f.hold = false;
    fleet_run(&f);
    assert_int_equal(told(&f, 1), HF_E_LEASE_LOST);
    assert_int_equal(f.acts[fleet_find(&f, HF_ACT_STOP, "a")].reason, HF_STOP_FENCED);
    fleet_read_log(&f); /* its own proposal comes too late */
    fleet_run(&f);
    assert_int_equal(f.refused, 1);
    assert_int_equal(announce(&f, 2), HF_E_LEASE_LOST);
    fleet_done(&f);
}

static void a_newer_one_takes_its_place_and_an_end_drops_it(void **state) {
    fleet f;
    (void)state;
    begin_running(&f);
    f.hold = true;
    assert_int_equal(announce(&f, 1), HF_OK);
    fleet_run(&f);
    assert_int_equal(announce(&f, 2), HF_OK);
    int i = fleet_find(&f, HF_ACT_START, "a");
    hf_outcome outcome = {.code = HF_E_TIMEOUT, .message = HF_STR("nobody answered")};
    hf_worker_core_done(f.core, f.acts[i].slot, HF_STR("a"), 1, &outcome, f.now);
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(told(&f, 1), -1);
    assert_int_equal(told(&f, 2), -1);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RETRYING);
    fleet_done(&f);
}

static void what_no_record_can_hold_is_refused_at_once(void **state) {
    fleet f;
    char text[HF_ID_MAX_BYTES + 2] = {0};
    (void)state;
    begin_running(&f);
    memset(text, 'x', HF_ID_MAX_BYTES + 1);
    int slot = fleet_slot(&f, "a");
    assert_int_equal(hf_worker_core_announce(f.core, slot, HF_STR("a"), 1, 1, hf_str_of(text)), HF_E_LIMIT);
    assert_int_equal(hf_worker_core_announce(f.core, slot, HF_STR("a"), 1, 1, HF_STR_NONE), HF_E_LIMIT);
    assert_int_equal(hf_worker_core_announce(f.core, slot, HF_STR("a"), 2, 1, HF_STR("x")), HF_E_LEASE_LOST);
    assert_int_equal(hf_worker_core_announce(f.core, 99, HF_STR("a"), 1, 1, HF_STR("x")), HF_E_LEASE_LOST);
    fleet_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_answered_only_when_the_fold_accepted_it),
        cmocka_unit_test(it_does_not_wait_for_a_job_to_be_long),
        cmocka_unit_test(one_that_was_not_acknowledged_goes_out_again),
        cmocka_unit_test(a_refusal_of_its_record_alone_does_not_end_it),
        cmocka_unit_test(a_fenced_attempt_is_told_that_it_lost_the_lease),
        cmocka_unit_test(a_newer_one_takes_its_place_and_an_end_drops_it),
        cmocka_unit_test(what_no_record_can_hold_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
