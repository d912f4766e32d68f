// LIBS: hf_job
/* Transitions a second of the fold in memory, for the life of a job as it is on the log: (Created, Validated, Queued),
 * (Assigned), (Started, Completed); each accepted state is cloned, as a replica keeps it, and the older one freed.
 * One core, no I/O; measured in the thread's own time, so that neighbours on the machine count less.
 * Usage: bench_fold [jobs]; prints one line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "schemas/base/mem.h"
#include "schemas/job/fold.h"
#include "schemas/job/intake.h"

enum { ROUNDS = 5, TRANSITIONS = 6 };

static hf_ev_assigned assigned = {.worker = HF_STR_INIT("worker-1/0190c0de"), .lease_ms = 30000};
static hf_ev_started started = {.runner = HF_STR_INIT("runner-3")};
static hf_artifact artifact = {
    .path = HF_STR_INIT("/exports/web-01/web-01.ova"), .kind = HF_STR_INIT("ova"), .size_bytes = 1 << 30};
static hf_ev_completed completed = {.result = {.bytes_read = 1 << 30, .bytes_written = 1 << 29, .duration_ms = 1500}};
static hf_variant claim[] = {{HF_EV_ASSIGNED, &assigned}},
                  finish[] = {{HF_EV_STARTED, &started}, {HF_EV_COMPLETED, &completed}};

static hf_job *keep(hf_job *before, const hf_record *record, int64_t offset) {
    hf_job after;
    if (hf_fold(before, record, (hf_position){0, offset}, &after, NULL) != HF_V_ACCEPTED)
        abort();
    hf_job *kept = hf_type_clone(&HF_TYPE_JOB, &after);
    if (!kept)
        abort();
    free(before);
    return kept;
}

static int64_t thread_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void live(const hf_record *created, int64_t offset) {
    hf_record claimed = {
        .job_id = created->job_id, .attempt = 1, .at = 2, .by = assigned.worker, .transitions = {claim, 1}};
    hf_record finished = claimed;
    finished.transitions = (hf_list){finish, 2};
    hf_job *job = keep(NULL, created, offset);
    job = keep(job, &claimed, offset + 1);
    job = keep(job, &finished, offset + 2);
    if (job->state != HF_S_COMPLETED)
        abort();
    free(job);
}

int main(int argc, char **argv) {
    long jobs = argc > 1 ? strtol(argv[1], NULL, 10) : 200000;
    double best = 0;
    hf_arena arena;
    hf_record created;
    hf_submission submission;
    hf_arena_init(&arena, 1 << 20);
    hf_type_init(&HF_TYPE_SUBMISSION, &submission);
    submission.spec.vm_path = HF_STR("/images/web-01.qcow2");
    submission.spec.output_dir = HF_STR("/exports/web-01");
    completed.result.artifacts = (hf_list){&artifact, 1};
    if (jobs < 1 ||
        hf_intake(&submission, HF_STR("01900000-0000-7000-8000-000000000001"), HF_STR("hyperfleet.dev.submissions/0/1"),
                  HF_STR("hyperdispatch@host/1"), 1, &arena, &created, NULL, NULL) != HF_OK)
        return 1;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t from = thread_ns();
        for (long i = 0; i < jobs; i++)
            live(&created, i * 3);
        double seconds = (double)(thread_ns() - from) / 1e9, rate = (double)jobs * TRANSITIONS / seconds;
        best = rate > best ? rate : best;
    }
    printf(
        "fold: %.2f M transitions/s in memory, one core (best of %d rounds of %ld jobs, 3 records and 6 transitions each)\n",
        best / 1e6, ROUNDS, jobs);
    hf_arena_done(&arena);
    return 0;
}
