/* An attempt that the log gave away while its proposal waited to be sent again is not sent again: found by tests/sim. */
#include <stdlib.h>

#include "tests/unit/worker/fleet.h"

static void an_attempt_that_ended_is_not_sent_again(void **state) {
    (void)state;
    fleet f;
    hf_worker_options options = fleet_options();
    hf_worker_stats stats;
    fleet_init(&f, &options);
    hf_worker_core_caught_up(f.core);
    fleet_run(&f);
    fleet_submit(&f, "job-1", (hf_exec_policy){.retry_count = 2, .timeout_seconds = 600, .idempotent = true});
    fleet_run(&f);
    f.hold = true;
    fleet_finish(&f, "job-1", HF_OK);
    assert_int_equal(f.tail - f.head, 1); /* its end is under way, and lost */
    hf_worker_core_ack(f.core, f.tags[f.head], HF_E_LOG_NOT_ACKED, f.now);
    free(f.log[f.head++]);
    static const hf_ev_lease_expired expired = {.reason = HF_STR_INIT("silent")};
    assert_int_equal(fleet_event(&f, "job-1", 1, "dispatcher", HF_EV_LEASE_EXPIRED, &expired), HF_V_ACCEPTED);
    fleet_pass(&f, 300);
    assert_int_equal(f.tail - f.head, 0);
    hf_worker_core_stats(f.core, f.now, &stats);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.proposals_in_flight, 0);
    fleet_done(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_attempt_that_ended_is_not_sent_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
