/* Workers on a real Kafka: each job runs once, whoever is killed when. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/base/clock.h"
#include "tests/support/workers.h"

static hf_test_kafka kafka;
static hf_test_watch *w;
static const hf_exec_policy EASY = {.retry_count = 3, .timeout_seconds = 600, .idempotent = true, .priority = 5};
static const hf_exec_policy ONCE = {.retry_count = 0, .timeout_seconds = 600, .idempotent = true, .priority = 5};

/* One fleet a test, on the one broker. */
static int begin(void **state) {
    static int fleets;
    char fleet[32];
    (void)state;
    w = calloc(1, sizeof *w);
    snprintf(fleet, sizeof fleet, "w%d", ++fleets);
    hf_test_watch_begin(w, kafka.bootstrap, fleet);
    return 0;
}
static int end(void **state) {
    (void)state;
    hf_test_watch_end(w);
    free(w);
    return 0;
}

static bool all_completed(const hf_test_watch *watch, const void *count) {
    return hf_test_watch_count(watch, HF_S_COMPLETED) == *(const int *)count;
}
typedef struct wanted {
    const char *id;
    hf_state state;
} wanted;
static bool is_state(const hf_test_watch *watch, const void *arg) {
    const wanted *want = arg;
    return hf_test_job_state(watch, want->id) == want->state;
}
static void until(const char *id, hf_state state) { hf_test_watch_until(w, id, is_state, &(wanted){id, state}, 40); }
static bool has_ended(const hf_test_watch *watch, const void *n) {
    (void)watch;
    return hf_test_worker_ended(w, *(const int *)n);
}

static void two_workers_race_and_each_job_runs_once(void **state) {
    enum { JOBS = 1000 };
    (void)state;
    const char *settings[] = {"log.level=debug", "worker.slots=2", NULL};
    hf_test_worker_start(w, 0, settings, NULL);
    hf_test_worker_start(w, 1, settings, NULL);
    char id[32];
    for (int i = 0; i < JOBS; i++) {
        snprintf(id, sizeof id, "race-%d", i);
        hf_test_job_submit(w, id, "{\"ms\": 1}", ONCE);
    }
    hf_test_watch_until(w, "all completed", all_completed, &(int){JOBS}, 60);
    int shares[2] = {0, 0};
    for (int i = 0; i < w->job_count; i++) {
        assert_int_equal(w->jobs[i].ends, 1);
        assert_int_equal(w->jobs[i].starts, 1);
        assert_int_equal(w->jobs[i].attempt - w->jobs[i].released, 1);
        shares[w->jobs[i].worker[1] - '0']++;
    }
    hf_test_worker_signal(w, 0, SIGTERM);
    hf_test_worker_signal(w, 1, SIGTERM);
    assert_int_equal(hf_test_worker_wait(w, 0), 0);
    assert_int_equal(hf_test_worker_wait(w, 1), 0);
    /* what the runners did, not what the record says: a line for each run */
    assert_int_equal(hf_test_worker_said(w, 0, "event=job-done") + hf_test_worker_said(w, 1, "event=job-done"), JOBS);
    assert_int_equal(hf_test_worker_said(w, 0, "event=job-done"), shares[0]);
    print_message("shares %d and %d; %d proposals refused\n", shares[0], shares[1], w->refused);
    assert_true(shares[0] > 0 && shares[1] > 0);
}

static void a_worker_killed_anywhere_loses_no_job(void **state) {
    static const char *const points[] = {"worker-after-claim:5", "worker-before-start:5",
                                         "worker-after-complete-produced:5", "worker-after-complete-read:5"};
    (void)state;
    char id[64];
    int jobs = 0;
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=2", NULL}, points[p]);
        for (int i = 0; i < 20; i++, jobs++) {
            snprintf(id, sizeof id, "kill-%zu-%d", p, i);
            hf_test_job_submit(w, id, "{\"ms\": 1}", EASY);
        }
        hf_test_watch_until(w, points[p], has_ended, &(int){0}, 40);
        assert_int_equal(w->ended_as[0], -SIGKILL);
        hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=2", NULL},
                             NULL); /* the same id: given free at once */
        hf_test_watch_until(w, "all completed after a kill", all_completed, &jobs, 40);
        hf_test_worker_signal(w, 0, SIGTERM);
        assert_int_equal(hf_test_worker_wait(w, 0), 0);
    }
    for (int i = 0; i < w->job_count; i++)
        assert_int_equal(w->jobs[i].ends, 1);
}

static void a_killed_runner_costs_its_job_an_attempt(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=1", "worker.retry_base=100ms", NULL}, NULL);
    hf_test_job_submit(w, "long", "{\"ms\": 1500}", EASY);
    until("long", HF_S_RUNNING);
    char command[128];
    snprintf(command, sizeof command, "kill -9 $(pgrep -P %d)", w->pids[0]);
    assert_int_equal(system(command), 0);
    until("long", HF_S_COMPLETED);
    assert_int_equal(hf_test_job_of(w, "long")->attempt, 2);
    assert_false(hf_test_worker_ended(w, 0));
}

static void cancel_before_and_while_it_runs(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=1", NULL}, NULL);
    hf_test_job_submit(w, "runs", "{\"ms\": 60000}", EASY);
    until("runs", HF_S_RUNNING);
    hf_test_job_submit(w, "waits", "{\"ms\": 10}", EASY);
    hf_test_job_cancel(w, "waits"); /* queued: not claimed any more, whoever cancels ends it */
    hf_test_job_cancel(w, "runs");
    until("runs", HF_S_CANCELLED);
    hf_test_job_submit(w, "after", "{\"ms\": 1}", EASY);
    until("after", HF_S_COMPLETED);
    assert_int_equal(hf_test_job_state(w, "waits"), HF_S_QUEUED);
    assert_int_equal(hf_test_job_of(w, "runs")->attempt, 1);
}

static void drain_finishes_releases_and_gives_back(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=2", "worker.drain_timeout=1500ms", NULL}, NULL);
    hf_test_job_submit(w, "short", "{\"ms\": 800}", EASY);
    hf_test_job_submit(w, "long", "{\"ms\": 60000}", EASY);
    hf_test_job_submit(w, "unstarted", "{\"ms\": 1}", EASY);
    until("short", HF_S_RUNNING);
    until("long", HF_S_RUNNING);
    hf_test_worker_signal(w, 0, SIGTERM);
    hf_test_watch_until(w, "its end", has_ended, &(int){0}, 20);
    assert_int_equal(w->ended_as[0], 0);
    hf_test_watch_for(w, 300);
    assert_int_equal(hf_test_job_state(w, "short"), HF_S_COMPLETED);
    const hf_test_job *given = hf_test_job_of(w, "long");
    assert_true(given->state == HF_S_QUEUED || given->state == HF_S_RETRYING);
    assert_string_equal(given->error, "worker-drain");
    assert_int_equal(hf_test_job_state(w, "unstarted"), HF_S_QUEUED);
}

static void retries_back_off_until_they_are_spent(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=1", "worker.retry_base=200ms", NULL}, NULL);
    int64_t began = hf_mono_ms(hf_clock_system());
    hf_test_job_submit(w, "bad", "{\"ms\": 1, \"fail\": \"no luck\"}",
                       (hf_exec_policy){.retry_count = 2, .timeout_seconds = 60, .idempotent = true, .priority = 5});
    until("bad", HF_S_FAILED);
    assert_int_equal(hf_test_job_of(w, "bad")->attempt, 3);
    assert_string_equal(hf_test_job_of(w, "bad")->error, "tool-failed");
    assert_true(hf_mono_ms(hf_clock_system()) - began >= 100 + 200); /* half of each wait at least */
    hf_test_job_submit(w, "wrong", "{\"ms\": -1}", EASY);            /* refused: another try would not help */
    until("wrong", HF_S_FAILED);
    assert_int_equal(hf_test_job_of(w, "wrong")->attempt, 1);
}

static void a_timeout_ends_an_attempt(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=1", NULL}, NULL);
    hf_test_job_submit(w, "slow", "{\"ms\": 60000}",
                       (hf_exec_policy){.retry_count = 0, .timeout_seconds = 2, .idempotent = true, .priority = 5});
    until("slow", HF_S_FAILED);
    assert_string_equal(hf_test_job_of(w, "slow")->error, "timeout");
}

static void a_second_worker_of_one_id_is_refused(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, NULL, NULL);
    hf_test_job_submit(w, "first", "{\"ms\": 1}", EASY);
    until("first", HF_S_COMPLETED);
    hf_test_worker_start(w, 1, (const char *const[]){"worker.id=w0", NULL}, NULL);
    assert_int_equal(hf_test_worker_wait(w, 1), 75);
    assert_int_equal(hf_test_worker_said(w, 1, "store-in-use"), 1);
    hf_test_job_submit(w, "second", "{\"ms\": 1}", EASY); /* the first was not disturbed */
    until("second", HF_S_COMPLETED);
}

static void a_broker_that_restarts_is_waited_for(void **state) {
    (void)state;
    hf_test_worker_start(w, 0, (const char *const[]){"worker.slots=2", NULL}, NULL);
    hf_test_job_submit(w, "before", "{\"ms\": 1}", EASY);
    hf_test_job_submit(w, "through", "{\"ms\": 4000}", EASY);
    until("before", HF_S_COMPLETED);
    until("through", HF_S_RUNNING);
    hf_test_kafka_signal(&kafka, 1, "KILL");
    hf_test_kafka_restart(&kafka, 1);
    hf_test_job_submit(w, "after", "{\"ms\": 1}", EASY);
    until("through", HF_S_COMPLETED);
    until("after", HF_S_COMPLETED);
    assert_int_equal(hf_test_job_of(w, "through")->attempt, 1);
}

int main(void) {
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    hf_test_kafka_up(&kafka, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(two_workers_race_and_each_job_runs_once),
        TEST(a_worker_killed_anywhere_loses_no_job),
        TEST(a_killed_runner_costs_its_job_an_attempt),
        TEST(cancel_before_and_while_it_runs),
        TEST(drain_finishes_releases_and_gives_back),
        TEST(retries_back_off_until_they_are_spent),
        TEST(a_timeout_ends_an_attempt),
        TEST(a_second_worker_of_one_id_is_refused),
        TEST(a_broker_that_restarts_is_waited_for),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    hf_test_kafka_down(&kafka);
    return failed;
}
