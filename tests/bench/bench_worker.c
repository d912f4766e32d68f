// LIBS: hf_support hf_replica
/* A worker alone on a real Kafka: JOBS jobs of no work are on the log, queued, when it starts; the clock runs from the first
 * Assigned that is read to the last Completed.
 *
 *   bench_worker [JOBS] [KEY=VALUE]...      settings of the worker besides
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/base/clock.h"
#include "tests/support/workers.h"

typedef struct tally {
    int64_t records, completed, first_ns, last_ns;
} tally;

static void load(hf_test_watch *w, int64_t jobs) {
    char id[HF_UUID_BYTES];
    hf_klog_bulk(w->log, true);
    for (int64_t i = 0; i < jobs; i++) {
        while (hf_klog_in_flight(w->log) > 50000)
            hf_klog_poll_reports(w->log, 10);
        hf_test_job_submit(w, hf_id_new(hf_clock_system(), hf_random_system(), id), "",
                           (hf_exec_policy){.idempotent = true, .priority = 5, .timeout_seconds = 600});
    }
    hf_err err;
    if (hf_klog_flush(w->log, 60000, &err))
        fail_msg("%s", err.detail);
}

static void count(hf_test_watch *w, const hf_batch *batch, hf_arena *arena, tally *t) {
    for (size_t i = 0; i < batch->count; i++) {
        hf_record record;
        hf_err err;
        hf_arena_reset(arena);
        if (hf_decode(w->codec, HF_SCHEMA_RECORD, batch->records[i].value, arena, &record, &err))
            fail_msg("%s", err.detail);
        hf_event last = hf_record_event(&record, record.transitions.count - 1);
        t->records++;
        t->completed += last == HF_EV_COMPLETED;
        if (last == HF_EV_ASSIGNED && !t->first_ns)
            t->first_ns = hf_mono_ns();
    }
    t->last_ns = hf_mono_ns();
}

static void cpu_of(int pid, const char *who) {
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    const char *at = strrchr(text, ')');
    unsigned long user = 0, sys = 0;
    long kids_user = 0, kids_sys = 0;
    if (at && sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user, &sys, &kids_user,
                     &kids_sys) == 4)
        printf("  cpu %-10s %.2f s\n", who, (double)(user + sys) / 100);
}

static void run(int64_t jobs, char **settings) {
    hf_test_kafka kafka;
    hf_test_kafka_up(&kafka, 1);
    hf_test_watch *w = calloc(1, sizeof *w);
    hf_test_watch_begin(w, kafka.bootstrap, "bench");
    int64_t began = hf_mono_ns();
    load(w, jobs);
    printf("loaded %lld jobs, %.0f/s\n", (long long)jobs, (double)jobs / ((double)(hf_mono_ns() - began) / 1e9));
    const char *all[16] = {"worker.runner_jobs=1000000"};
    for (int i = 0; settings[i] && i < 14; i++)
        all[i + 1] = settings[i];
    hf_follow_from from[4];
    for (int p = 0; p < 4; p++)
        from[p] = (hf_follow_from){HF_TOPIC_JOB_EVENTS, p, -2};
    hf_follower *follower = NULL;
    hf_err err;
    if (hf_follower_open(w->log, from, 4, &follower, &err))
        fail_msg("%s", err.detail);
    hf_test_worker_start(w, 0, all, NULL);
    hf_arena arena;
    tally t = {0};
    hf_arena_init(&arena, 1u << 20);
    while (t.completed < jobs && !hf_test_worker_ended(w, 0)) {
        hf_batch batch;
        if (hf_follower_poll(follower, 10000, 100, &batch, &err))
            fail_msg("%s", err.detail);
        count(w, &batch, &arena, &t);
        hf_batch_release(&batch);
    }
    double s = (double)(t.last_ns - t.first_ns) / 1e9;
    printf("%.0f jobs/s: %lld jobs in %.2f s, %.2f records a job\n", (double)jobs / s, (long long)t.completed, s,
           (double)t.records / (double)jobs);
    cpu_of(w->pids[0], "worker");
    char command[128];
    snprintf(command, sizeof command, "pgrep -P %d", w->pids[0]);
    FILE *children = popen(command, "re");
    for (int pid = 0; children && fscanf(children, "%d", &pid) == 1;)
        cpu_of(pid, "runner");
    if (children)
        pclose(children);
    hf_follower_close(follower);
    hf_test_worker_signal(w, 0, SIGTERM);
    printf("  ended with %d\n", hf_test_worker_wait(w, 0));
    hf_arena_done(&arena);
    hf_test_watch_end(w);
    free(w);
    hf_test_kafka_down(&kafka);
}

int main(int argc, char **argv) {
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    setvbuf(stdout, NULL, _IOLBF, 0);
    run(argc > 1 ? atoll(argv[1]) : 100000, argv + (argc > 1 ? 2 : 1));
    return 0;
}
