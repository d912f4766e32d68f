/* The worker's core in each situation of a job's life, against the real fold. */
#include <string.h>

#include "tests/unit/worker/fleet.h"

#define ME "w1/inc2"

static void starts_only_after_read_back_and_ends_in_one_record(void **state) {
    (void)state;
    fleet f;
    hf_worker_options o = fleet_options();
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    f.hold = true;
    fleet_submit(&f, "a", (hf_exec_policy){.idempotent = true});
    fleet_run(&f);
    assert_int_equal(f.proposals, 1);
    assert_int_equal(fleet_find(&f, HF_ACT_START, "a"), -1);
    fleet_read_log(&f);
    f.hold = false;
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED);
    assert_true(fleet_find(&f, HF_ACT_START, "a") >= 0);
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    assert_int_equal(f.proposals, 2); /* Assigned; Started with Completed */
    assert_true(fleet_job(&f, "a")->started_at > 0);
    assert_true(hf_worker_core_idle(f.core));
    fleet_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(starts_only_after_read_back_and_ends_in_one_record)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
