/* The worker's core in each situation of a job's life, against the real fold. */
#include <stdio.h>
#include <string.h>

#include "schemas/job/control.h"
#include "tests/unit/worker/fleet.h"

#define ME "w1/inc2"
static const hf_exec_policy EASY = {.retry_count = 2, .timeout_seconds = 600, .idempotent = true, .priority = 5};
static const hf_exec_policy ONCE = {.retry_count = 0, .timeout_seconds = 600, .idempotent = true, .priority = 5};

static fleet *begin(fleet *f) {
    hf_worker_options o = fleet_options();
    fleet_init(f, &o);
    hf_worker_core_caught_up(f->core);
    fleet_run(f);
    return f;
}

static void cancel_request(fleet *f, const char *id) {
    fleet_event(f, id, 0, "ctl", HF_EV_CANCEL_REQUESTED, &(hf_ev_cancel_requested){HF_STR("enough")});
    fleet_run(f);
}

static void starts_only_after_read_back_and_ends_in_one_record(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    fleet_submit(&f, "a", EASY);
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

static void claims_nothing_before_it_caught_up_or_without_a_lease(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    fleet_init(&f, &o);
    f.ack_heartbeats = false;
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    hf_worker_core_caught_up(f.core);
    fleet_pass(&f, 1000);
    assert_int_equal(f.proposals, 0);
    assert_true(f.heartbeats > 1); /* tried again sooner than its interval */
    f.ack_heartbeats = true;
    fleet_pass(&f, 500);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RUNNING);
    fleet_done(&f);
}

static void a_long_job_is_started_and_its_phases_are_told_once(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    fleet_pass(&f, 100);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RUNNING);
    for (int i = 0; i < 3; i++)
        hf_worker_core_phase(f.core, fleet_slot(&f, "a"), HF_STR("a"), 1, HF_STR("copy"));
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_PROGRESSING);
    assert_int_equal(f.proposals, 3);
    hf_worker_core_phase(f.core, fleet_slot(&f, "a"), HF_STR("a"), 1, HF_STR("hash"));
    fleet_run(&f);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->phase, "hash"));
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

static void the_most_urgent_goes_first_and_age_counts(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    hf_worker_core_quiet(f.core, true, false, f.now);
    fleet_submit(&f, "old-low", (hf_exec_policy){.priority = 6, .idempotent = true});
    fleet_pass(&f, 601000); /* a step of priority and a second */
    fleet_submit(&f, "young", (hf_exec_policy){.priority = 5, .idempotent = true});
    fleet_submit(&f, "urgent", (hf_exec_policy){.priority = 1, .idempotent = true});
    hf_worker_core_quiet(f.core, false, false, f.now);
    fleet_run(&f);
    assert_int_equal(f.tail, 2);
    assert_true(hf_str_eqz(f.log[0]->job_id, "urgent"));
    assert_true(hf_str_eqz(f.log[1]->job_id, "old-low"));
    fleet_done(&f);
}

static void a_job_it_cannot_run_is_left_alone(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    hf_ev_created created;
    hf_type_init(HF_TYPES_EVENT[HF_EV_CREATED], &created);
    const struct {
        const char *id, *operation;
        hf_needs needs;
        bool ok;
    } rows[] = {{"unknown", "repair", {0}, false},
                {"lvm", "export", {.lvm = true}, false},
                {"nbd", "export", {.nbd = true}, true},
                {"big", "export", {.min_memory_gb = 9}, false},
                {"wide", "export", {.min_disk_space_gb = 101}, false},
                {"fits", "export", {.min_disk_space_gb = 100}, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        created.spec.operation = hf_str_of(rows[i].operation);
        created.spec.needs = rows[i].needs;
        created.spec.provider = HF_STR("local");
        created.spec.vm_path = HF_STR("/a.raw");
        hf_variant t[] = {{HF_EV_CREATED, &created},
                          {HF_EV_VALIDATED, &(hf_ev_validated){.warnings = {NULL, 0}}},
                          {HF_EV_QUEUED, &(hf_ev_queued){0}}};
        fleet_fold(&f,
                   &(hf_record){
                       .job_id = hf_str_of(rows[i].id), .at = f.now.wall_ms, .by = HF_STR("t"), .transitions = {t, 3}});
        fleet_run(&f);
        assert_int_equal(fleet_state(&f, rows[i].id), rows[i].ok ? HF_S_ASSIGNED : HF_S_QUEUED);
    }
    fleet_done(&f);
}

static void retries_back_off_and_end_after_the_last(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    for (int attempt = 1; attempt <= 3; attempt++) {
        fleet_finish(&f, "a", HF_E_UNREACHABLE);
        if (attempt == 3)
            break;
        hf_job *job = fleet_job(&f, "a");
        int64_t base = 2000 << (attempt - 1), wait = job->not_before - f.now.wall_ms;
        assert_int_equal(job->state, HF_S_RETRYING);
        assert_true(wait >= base / 2 && wait <= base);
        fleet_event(&f, "a", attempt, "dispatch", HF_EV_QUEUED, &(hf_ev_queued){job->not_before});
        fleet_run(&f);
        assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED); /* waits */
        fleet_pass(&f, wait + 50);
        assert_int_not_equal(fleet_state(&f, "a"), HF_S_QUEUED);
    }
    assert_int_equal(fleet_state(&f, "a"), HF_S_FAILED);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->error->code, "unreachable"));
    fleet_done(&f);
}

static void what_is_never_retried(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "rejected", EASY);
    fleet_run(&f);
    fleet_finish(&f, "rejected", HF_E_SOURCE_INVALID);
    assert_int_equal(fleet_state(&f, "rejected"), HF_S_FAILED);
    fleet_submit(&f, "once", (hf_exec_policy){.retry_count = 3, .idempotent = false, .priority = 5});
    fleet_run(&f);
    fleet_finish(&f, "once", HF_E_UNREACHABLE);
    assert_int_equal(fleet_state(&f, "once"), HF_S_FAILED);
    fleet_done(&f);
}

static void a_timeout_stops_the_runner_and_is_the_error(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", (hf_exec_policy){.retry_count = 0, .timeout_seconds = 60, .idempotent = true, .priority = 5});
    fleet_pass(&f, 59900);
    assert_int_equal(fleet_find(&f, HF_ACT_STOP, "a"), -1);
    fleet_pass(&f, 300);
    int i = fleet_find(&f, HF_ACT_STOP, "a");
    assert_true(i >= 0);
    assert_int_equal(f.acts[i].reason, HF_STOP_TIMEOUT);
    fleet_finish(&f, "a", HF_E_CANCELLED);
    assert_int_equal(fleet_state(&f, "a"), HF_S_FAILED);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->error->code, "timeout"));
    fleet_done(&f);
}

static void cancel_in_each_state(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "run1", EASY);
    fleet_submit(&f, "run2", EASY);
    fleet_pass(&f, 100);
    cancel_request(&f, "run1"); /* while it runs */
    assert_int_equal(f.acts[fleet_find(&f, HF_ACT_STOP, "run1")].reason, HF_STOP_CANCEL);
    fleet_finish(&f, "run1", HF_E_CANCELLED);
    assert_int_equal(fleet_state(&f, "run1"), HF_S_CANCELLED);
    cancel_request(&f, "run2"); /* too late: it was done first */
    fleet_finish(&f, "run2", HF_OK);
    assert_int_equal(fleet_state(&f, "run2"), HF_S_COMPLETED);
    hf_worker_core_slot_usable(f.core, 0, false);
    hf_worker_core_slot_usable(f.core, 1, false);
    fleet_submit(&f, "claimed", EASY); /* claimed, not started */
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "claimed"), HF_S_ASSIGNED);
    cancel_request(&f, "claimed");
    assert_int_equal(fleet_state(&f, "claimed"), HF_S_CANCELLED);
    f.hold = true;
    fleet_submit(&f, "claiming", EASY); /* the claim is under way */
    fleet_run(&f);
    cancel_request(&f, "claiming");
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "claiming"), HF_S_CANCELLED);
    assert_true(hf_worker_core_idle(f.core));
    fleet_done(&f);
}

static void a_lost_claim_is_forgotten(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    fleet_event(&f, "a", 1, "w2/x", HF_EV_ASSIGNED, &(hf_ev_assigned){HF_STR("w2/x"), 30000});
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(f.refused, 1);
    assert_int_equal(fleet_find(&f, HF_ACT_START, "a"), -1);
    assert_true(hf_worker_core_idle(f.core));
    fleet_done(&f);
}

static void fenced_work_is_stopped_and_its_result_thrown_away(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", EASY);
    fleet_pass(&f, 100);
    fleet_event(&f, "a", 1, "dispatch", HF_EV_LEASE_EXPIRED, &(hf_ev_lease_expired){HF_STR("silent"), 0});
    fleet_event(&f, "a", 1, "dispatch", HF_EV_QUEUED, &(hf_ev_queued){0});
    fleet_run(&f);
    int proposals = f.proposals;
    assert_int_equal(f.acts[fleet_find(&f, HF_ACT_STOP, "a")].reason, HF_STOP_FENCED);
    assert_false(hf_worker_core_owns(f.core, fleet_slot(&f, "a"), HF_STR("a"), 1));
    assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED); /* not claimed while the old attempt is in a slot */
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED); /* and then it is */
    assert_int_equal(f.proposals, proposals + 1);
    assert_int_equal(fleet_job(&f, "a")->attempt, 2);
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

static void a_worker_that_cannot_renew_stops_its_jobs_in_time(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", EASY);
    fleet_pass(&f, 5100);
    f.ack_heartbeats = false;
    fleet_pass(&f, 14000);
    assert_int_equal(fleet_find(&f, HF_ACT_STOP, "a"), -1);
    fleet_pass(&f, 7000);
    assert_int_equal(f.acts[fleet_find(&f, HF_ACT_STOP, "a")].reason, HF_STOP_LEASE);
    fleet_submit(&f, "b", EASY);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "b"), HF_S_QUEUED);
    fleet_finish(&f, "a", HF_E_CANCELLED);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RETRYING);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->error->code, "lease-lost"));
    f.ack_heartbeats = true;
    fleet_pass(&f, 5000);
    assert_int_equal(fleet_state(&f, "b"), HF_S_RUNNING);
    fleet_done(&f);
}

static void a_paused_worker_does_not_start_what_it_claimed(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    f.now.mono_ms += 60000; /* it slept */
    f.now.wall_ms += 60000;
    f.ack_heartbeats = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(fleet_find(&f, HF_ACT_START, "a"), -1);
    fleet_done(&f);
}

static void jobs_of_an_earlier_incarnation_are_given_free(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    fleet_init(&f, &o);
    fleet_submit(&f, "a", EASY);
    fleet_submit(&f, "b", ONCE);
    fleet_submit(&f, "other", EASY);
    fleet_event(&f, "a", 1, "w1/inc1", HF_EV_ASSIGNED, &(hf_ev_assigned){HF_STR("w1/inc1"), 30000});
    fleet_event(&f, "b", 1, "w1/inc1", HF_EV_ASSIGNED, &(hf_ev_assigned){HF_STR("w1/inc1"), 30000});
    fleet_event(&f, "b", 1, "w1/inc1", HF_EV_STARTED, &(hf_ev_started){HF_STR_NONE});
    fleet_event(&f, "other", 1, "w11/inc1", HF_EV_ASSIGNED, &(hf_ev_assigned){HF_STR("w11/inc1"), 30000});
    fleet_run(&f);
    assert_int_equal(f.proposals, 0);
    hf_worker_core_caught_up(f.core);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RETRYING);
    assert_int_equal(fleet_state(&f, "b"), HF_S_FAILED);
    assert_int_equal(fleet_state(&f, "other"), HF_S_ASSIGNED);
    assert_true(hf_worker_core_idle(f.core));
    assert_int_equal(f.refused, 0);
    fleet_done(&f);
}

static void drain_releases_finishes_and_gives_back(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "quick", EASY);
    fleet_submit(&f, "long", EASY);
    fleet_run(&f);
    hf_worker_core_slot_usable(f.core, 0, false);
    hf_worker_core_slot_usable(f.core, 1, false);
    fleet_pass(&f, 100);
    fleet_finish(&f, "quick", HF_OK);
    fleet_submit(&f, "claimed", EASY);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "claimed"), HF_S_ASSIGNED);
    hf_worker_core_drain(f.core, 10000, f.now);
    fleet_submit(&f, "late", EASY);
    fleet_pass(&f, 9000);
    assert_int_equal(fleet_state(&f, "claimed"), HF_S_QUEUED);
    assert_int_equal(fleet_job(&f, "claimed")->released, 1);
    assert_int_equal(fleet_state(&f, "late"), HF_S_QUEUED);
    assert_int_equal(f.last.state, HF_W_DRAINING);
    assert_int_equal(fleet_find(&f, HF_ACT_STOP, "long"), -1);
    fleet_pass(&f, 1100);
    assert_int_equal(f.acts[fleet_find(&f, HF_ACT_STOP, "long")].reason, HF_STOP_DRAIN);
    assert_false(hf_worker_core_idle(f.core));
    fleet_finish(&f, "long", HF_E_CANCELLED);
    assert_int_equal(fleet_state(&f, "long"), HF_S_RETRYING);
    assert_true(hf_str_eqz(fleet_job(&f, "long")->error->code, "worker-drain"));
    assert_true(hf_worker_core_idle(f.core));
    fleet_done(&f);
}

static void an_unacknowledged_proposal_goes_out_again(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    hf_worker_core_ack(f.core, f.tags[0], HF_E_LOG_NOT_ACKED, f.now);
    fleet_pass(&f, 200);
    assert_int_equal(f.tail, 2); /* both copies may be in the log */
    f.hold = false;
    fleet_read_log(&f);
    fleet_run(&f);
    assert_int_equal(f.refused, 1);
    assert_true(fleet_find(&f, HF_ACT_START, "a") >= 0);
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    assert_true(hf_worker_core_idle(f.core));
    fleet_done(&f);
}

static void a_claim_given_up_but_in_the_log_all_the_same_is_released(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    hf_worker_core_ack(f.core, f.tags[0], HF_E_LOG_NOT_ACKED, f.now);
    hf_worker_core_drain(f.core, 1000, f.now);
    fleet_pass(&f, 200);
    assert_true(hf_worker_core_idle(f.core));
    f.hold = false;
    fleet_read_log(&f); /* it was written after all */
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED);
    assert_int_equal(fleet_job(&f, "a")->released, 1);
    fleet_done(&f);
}

static void a_crash_costs_one_job_not_those_behind_it(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    o.slots = 1;
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    fleet_submit(&f, "warm", EASY);
    fleet_run(&f);
    hf_outcome quick = {.code = HF_OK, .duration_us = 10};
    hf_worker_core_done(f.core, 0, HF_STR("warm"), 1, &quick, f.now);
    fleet_run(&f); /* jobs are known to be short now */
    fleet_submit(&f, "a", EASY);
    fleet_submit(&f, "b", EASY);
    fleet_submit(&f, "c", EASY);
    fleet_run(&f);
    assert_true(fleet_find(&f, HF_ACT_START, "c") >= 0);
    hf_worker_core_crashed(f.core, 0, HF_STR("signal 11"), f.now);
    hf_worker_core_slot_usable(f.core, 0, false);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_RETRYING);
    assert_true(hf_str_eqz(fleet_job(&f, "a")->error->code, "runner-crashed"));
    assert_int_equal(fleet_state(&f, "b"), HF_S_ASSIGNED);
    f.act_count = 0;
    hf_worker_core_slot_usable(f.core, 0, true);
    fleet_run(&f);
    assert_true(fleet_find(&f, HF_ACT_START, "b") >= 0 &&
                fleet_find(&f, HF_ACT_START, "b") < fleet_find(&f, HF_ACT_START, "c"));
    fleet_done(&f);
}

static void jobs_behind_a_long_one_are_recalled(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    o.slots = 1;
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    fleet_submit(&f, "warm", EASY);
    fleet_run(&f);
    hf_worker_core_done(f.core, 0, HF_STR("warm"), 1, &(hf_outcome){.code = HF_OK, .duration_us = 10}, f.now);
    fleet_run(&f);
    fleet_submit(&f, "long", EASY);
    fleet_submit(&f, "b", EASY);
    fleet_run(&f);
    fleet_peer(&f, "w2", 2, 0); /* somebody idles */
    fleet_pass(&f, 100);
    assert_true(fleet_find(&f, HF_ACT_RECALL, "b") >= 0);
    fleet_pass(&f, 2000);
    assert_int_equal(fleet_state(&f, "long"), HF_S_RUNNING);
    assert_int_equal(fleet_state(&f, "b"), HF_S_QUEUED); /* released, for the other one */
    fleet_done(&f);
}

static void a_strangers_job_is_left_for_a_while(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_peer(&f, "w2", 2, 0);
    char id[32];
    int at_once = 0, later = 0;
    hf_worker_options o = fleet_options();
    for (int i = 0; i < 40; i++) { /* one after the other, so that slots are free */
        snprintf(id, sizeof id, "job-%d", i);
        fleet_submit(&f, id, EASY);
        fleet_run(&f);
        at_once += fleet_state(&f, id) == HF_S_ASSIGNED;
        fleet_pass(&f, o.stranger_wait_ms);
        later += fleet_state(&f, id) != HF_S_QUEUED;
        fleet_finish(&f, id, HF_OK);
    }
    assert_in_range(at_once, 8, 32);
    assert_int_equal(later, 40);
    fleet_done(&f);
}

static void a_dead_workers_jobs_become_own(void **state) {
    fleet f;
    (void)state;
    hf_worker_options o = fleet_options();
    o.stranger_wait_ms = 600000;
    o.slots = 64;
    fleet_init(&f, &o);
    hf_worker_core_caught_up(f.core);
    fleet_peer(&f, "w2", 2, 0);
    char id[32];
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        fleet_submit(&f, id, EASY);
    }
    fleet_run(&f);
    assert_in_range(f.proposals, 8, 32);
    fleet_pass(&f, 36000); /* its lease runs out */
    for (int i = 0; i < 40; i++) {
        snprintf(id, sizeof id, "job-%d", i);
        assert_int_equal(fleet_state(&f, id), HF_S_RUNNING);
    }
    fleet_done(&f);
}

static void claims_follow_how_short_jobs_are(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    hf_worker_stats stats;
    hf_worker_core_stats(f.core, f.now, &stats);
    assert_int_equal(stats.claims_target, 2); /* nothing known: no more than the slots */
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    hf_worker_core_done(f.core, fleet_slot(&f, "a"), HF_STR("a"), 1, &(hf_outcome){.code = HF_OK, .duration_us = 20},
                        f.now);
    fleet_run(&f);
    hf_worker_core_stats(f.core, f.now, &stats);
    assert_int_equal(stats.claims_target, 64);
    for (int i = 0; i < 60; i++) {
        char id[32];
        snprintf(id, sizeof id, "long-%d", i);
        fleet_submit(&f, id, EASY);
    }
    f.hold = true;
    fleet_run(&f);
    assert_int_equal(f.tail, 60);
    f.hold = false;
    fleet_read_log(&f);
    fleet_pass(&f, 3000); /* they turn out long: nobody idles, so they stay, but no more are claimed */
    hf_worker_core_stats(f.core, f.now, &stats);
    assert_int_equal(stats.claims_target, 2);
    assert_int_equal(stats.held, 60);
    fleet_peer(&f, "w2", 2, 0);
    fleet_pass(&f, 3000);
    hf_worker_core_stats(f.core, f.now, &stats);
    assert_int_equal(stats.held, 2);
    fleet_done(&f);
}

static void paused_work_waits(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    hf_worker_core_pause_operation(f.core, HF_STR("sleep"), true);
    fleet_submit(&f, "a", EASY);
    fleet_pass(&f, 2000);
    assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED);
    hf_worker_core_pause_operation(f.core, HF_STR("export"), true); /* another one does not matter */
    hf_worker_core_pause_operation(f.core, HF_STR("sleep"), false);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED);
    hf_worker_core_quiet(f.core, true, false, f.now);
    fleet_submit(&f, "b", EASY);
    fleet_pass(&f, 6000);
    assert_int_equal(fleet_state(&f, "b"), HF_S_QUEUED);
    assert_int_equal(f.last.state, HF_W_QUIET);
    fleet_finish(&f, "a", HF_OK); /* what it held is finished */
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    hf_worker_core_quiet(f.core, false, false, f.now);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "b"), HF_S_ASSIGNED);
    fleet_done(&f);
}

static void a_paused_provider_is_left_alone(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    assert_true(hf_worker_core_pause_provider(f.core, HF_STR("local"), true));
    hf_ev_created created;
    hf_type_init(HF_TYPES_EVENT[HF_EV_CREATED], &created);
    created.spec.operation = HF_STR("sleep");
    for (int i = 0; i < 2; i++) {
        created.spec.provider = i ? HF_STR("local") : HF_STR("vsphere");
        hf_variant t[] = {{HF_EV_CREATED, &created},
                          {HF_EV_VALIDATED, &(hf_ev_validated){.warnings = {NULL, 0}}},
                          {HF_EV_QUEUED, &(hf_ev_queued){0}}};
        hf_record record = {
            .job_id = i ? HF_STR("l") : HF_STR("v"), .at = f.now.wall_ms, .by = HF_STR("test"), .transitions = {t, 3}};
        assert_int_equal(fleet_fold(&f, &record), HF_V_ACCEPTED);
    }
    fleet_pass(&f, 6000);
    assert_int_equal(fleet_state(&f, "l"), HF_S_QUEUED);
    assert_int_not_equal(fleet_state(&f, "v"), HF_S_QUEUED);
    assert_true(hf_worker_core_pause_provider(f.core, HF_STR("local"), false));
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "l"), HF_S_ASSIGNED);
    fleet_done(&f);
}

static void more_names_than_it_keeps_are_refused(void **state) {
    fleet f;
    char name[16];
    (void)state;
    begin(&f);
    for (int i = 0; i < HF_CONTROL_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "op-%d", i);
        assert_true(hf_worker_core_pause_operation(f.core, hf_str_of(name), true));
    }
    assert_false(hf_worker_core_pause_operation(f.core, HF_STR("sleep"), true));
    assert_true(hf_worker_core_pause_operation(f.core, HF_STR("op-0"), true)); /* it is already */
    assert_true(hf_worker_core_pause_operation(f.core, HF_STR("op-0"), false));
    assert_true(hf_worker_core_pause_operation(f.core, HF_STR("sleep"), true));
    fleet_done(&f);
}

static void a_draining_worker_gives_back_what_it_has_not_started(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    hf_worker_core_slot_usable(f.core, 0, false);
    hf_worker_core_slot_usable(f.core, 1, false);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED);
    hf_worker_core_quiet(f.core, true, true, f.now);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED);
    assert_int_equal(fleet_job(&f, "a")->released, 1);
    assert_int_equal(f.last.state, HF_W_DRAINING);
    fleet_pass(&f, 6000);
    assert_int_equal(fleet_state(&f, "a"), HF_S_QUEUED); /* it stays, and takes nothing */
    hf_worker_core_slot_usable(f.core, 0, true);
    hf_worker_core_quiet(f.core, false, false, f.now);
    fleet_run(&f);
    assert_int_equal(fleet_state(&f, "a"), HF_S_ASSIGNED);
    assert_int_equal(f.last.state, HF_W_ACTIVE);
    fleet_finish(&f, "a", HF_OK);
    assert_int_equal(fleet_state(&f, "a"), HF_S_COMPLETED);
    fleet_done(&f);
}

static void a_new_priority_is_the_order_of_claims(void **state) {
    fleet f;
    (void)state;
    begin(&f)->hold = true;
    hf_worker_core_quiet(f.core, true, false, f.now);
    fleet_submit(&f, "first", EASY);
    fleet_pass(&f, 1000);
    fleet_submit(&f, "second", EASY);
    hf_ev_adjusted up = {.priority = 1, .bandwidth_limit = -1};
    assert_int_equal(fleet_event(&f, "second", 0, "ana", HF_EV_ADJUSTED, &up), HF_V_ACCEPTED);
    hf_worker_core_quiet(f.core, false, false, f.now);
    fleet_run(&f);
    assert_int_equal(f.tail, 2);
    assert_true(hf_str_eqz(f.log[0]->job_id, "second"));
    fleet_done(&f);
}

static void a_new_bandwidth_is_told_to_the_runner_once(void **state) {
    fleet f;
    (void)state;
    begin(&f);
    fleet_submit(&f, "a", EASY);
    fleet_run(&f);
    fleet_pass(&f, 100);
    hf_ev_adjusted slow = {.bandwidth_limit = 1000}, other = {.priority = 2, .bandwidth_limit = -1},
                   free = {.bandwidth_limit = 0};
    assert_int_equal(fleet_find(&f, HF_ACT_LIMIT, "a"), -1);
    assert_int_equal(fleet_event(&f, "a", 1, "ana", HF_EV_ADJUSTED, &slow), HF_V_ACCEPTED);
    fleet_run(&f);
    int told = fleet_find(&f, HF_ACT_LIMIT, "a"), before = f.act_count;
    assert_true(told >= 0);
    assert_int_equal(f.acts[told].bandwidth, 1000);
    assert_int_equal(f.acts[told].attempt, 1);
    assert_int_equal(fleet_event(&f, "a", 1, "ana", HF_EV_ADJUSTED, &other), HF_V_ACCEPTED);
    fleet_run(&f);
    assert_int_equal(f.act_count, before);
    assert_int_equal(fleet_event(&f, "a", 1, "ana", HF_EV_ADJUSTED, &free), HF_V_ACCEPTED);
    fleet_run(&f);
    told = fleet_find(&f, HF_ACT_LIMIT, "a");
    assert_int_equal(f.acts[told].bandwidth, 0);
    assert_int_equal(f.act_count, before + 1);
    fleet_done(&f);
}

static void options_out_of_bounds_are_named(void **state) {
    (void)state;
    hf_worker_core *core = NULL;
    hf_err err;
    hf_worker_options o = fleet_options();
    o.heartbeat_ms = 10001;
    assert_int_equal(hf_worker_core_new(&o, (hf_now){0}, &core, &err), HF_E_INVALID);
    assert_non_null(strstr(err.detail, "heartbeat_interval"));
    o = fleet_options();
    o.claims_max = 9000;
    assert_int_equal(hf_worker_core_new(&o, (hf_now){0}, &core, &err), HF_E_INVALID);
    o = fleet_options();
    o.worker_id = HF_STR("a/b");
    assert_int_equal(hf_worker_core_new(&o, (hf_now){0}, &core, &err), HF_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_only_after_read_back_and_ends_in_one_record),
        cmocka_unit_test(claims_nothing_before_it_caught_up_or_without_a_lease),
        cmocka_unit_test(a_long_job_is_started_and_its_phases_are_told_once),
        cmocka_unit_test(the_most_urgent_goes_first_and_age_counts),
        cmocka_unit_test(a_job_it_cannot_run_is_left_alone),
        cmocka_unit_test(retries_back_off_and_end_after_the_last),
        cmocka_unit_test(what_is_never_retried),
        cmocka_unit_test(a_timeout_stops_the_runner_and_is_the_error),
        cmocka_unit_test(cancel_in_each_state),
        cmocka_unit_test(a_lost_claim_is_forgotten),
        cmocka_unit_test(fenced_work_is_stopped_and_its_result_thrown_away),
        cmocka_unit_test(a_worker_that_cannot_renew_stops_its_jobs_in_time),
        cmocka_unit_test(a_paused_worker_does_not_start_what_it_claimed),
        cmocka_unit_test(jobs_of_an_earlier_incarnation_are_given_free),
        cmocka_unit_test(drain_releases_finishes_and_gives_back),
        cmocka_unit_test(an_unacknowledged_proposal_goes_out_again),
        cmocka_unit_test(a_claim_given_up_but_in_the_log_all_the_same_is_released),
        cmocka_unit_test(a_crash_costs_one_job_not_those_behind_it),
        cmocka_unit_test(jobs_behind_a_long_one_are_recalled),
        cmocka_unit_test(a_strangers_job_is_left_for_a_while),
        cmocka_unit_test(a_dead_workers_jobs_become_own),
        cmocka_unit_test(claims_follow_how_short_jobs_are),
        cmocka_unit_test(paused_work_waits),
        cmocka_unit_test(a_paused_provider_is_left_alone),
        cmocka_unit_test(more_names_than_it_keeps_are_refused),
        cmocka_unit_test(a_draining_worker_gives_back_what_it_has_not_started),
        cmocka_unit_test(a_new_priority_is_the_order_of_claims),
        cmocka_unit_test(a_new_bandwidth_is_told_to_the_runner_once),
        cmocka_unit_test(options_out_of_bounds_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
