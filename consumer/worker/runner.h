/* Runners, the worker's side: one child process a slot, kept from job to job.
 *
 * Jobs, cancels and progress travel over a socketpair (frame.h). A runner that crashes, hangs or babbles stops its own job
 * and nothing else: nothing here blocks, at most a bounded amount is read from one runner at a time, and a runner is replaced when
 * it dies, breaks the protocol, is killed, or has run `runner_jobs` jobs (no sooner than min_age_ms, so that
 * replacing costs little where jobs take microseconds). One that dies again and again is started anew ever more slowly, up to
 * once in 10 s. The kernel kills runners when the worker dies (PR_SET_PDEATHSIG).
 * Threads: everything from the thread that called hf_runners_new, which must live as long as the runners. */
#pragma once
#include "consumer/worker/decide.h"
#include "schemas/base/config.h"

typedef struct hf_runners hf_runners;
typedef struct hf_runner_hooks {
    void *ctx;
    void (*on_usable)(void *ctx, int32_t slot, bool usable);
    void (*on_progress)(void *ctx, int32_t slot, const hf_progress *progress); /* job_id and attempt filled in */
    /* It waits for hf_runners_announced with that serial before it goes on. */
    void (*on_announce)(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str text);
    /* It waits for hf_runners_announced, whose code says whether the job `asked` has ended (hf_run's job_ended). */
    void (*on_ask)(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str asked);
    void (*on_done)(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, const hf_outcome *outcome);
    void (*on_returned)(void *ctx, int32_t slot, hf_str job_id, int32_t attempt);
    void (*on_crashed)(void *ctx, int32_t slot, const char *message);
} hf_runner_hooks;

typedef struct hf_runner_options {
    int32_t count;
    const char *program;    /* NULL: /proc/self/exe */
    char *const *arguments; /* behind "--runner FD PID"; NULL-terminated; must outlive the runners */
    int32_t threads;        /* a job may use */
    int64_t runner_jobs, min_age_ms;
} hf_runner_options;

/* How many threads each of `slots` jobs at once may use: together no more than there are CPUs, but each one. */
static inline int32_t hf_runner_threads(int32_t cpus, int32_t slots) {
    return slots > 0 && cpus / slots > 0 ? cpus / slots : 1;
}

/* No runner is started yet: the first hf_runners_step does. */
hf_code hf_runners_new(const hf_runner_options *options, const hf_runner_hooks *hooks, hf_runners **ret,
                       hf_err *reterr);
/* Kills what is left and waits for it. */
void hf_runners_free(hf_runners *runners);
int hf_runners_fd(const hf_runners *runners); /* readable when there is something to do */
/* Reads what runners said (calling the hooks), starts those that are missing, escalates stops. Never blocks. */
void hf_runners_step(hf_runners *runners, int64_t mono_ms);
int64_t hf_runners_wake_ms(const hf_runners *runners); /* monotonic; INT64_MAX: never */
/* Queues a job; BUSY when the runner is not usable or has too much waiting. Sent by hf_runners_flush. */
hf_code hf_runners_give(hf_runners *runners, int32_t slot, const hf_job *job, hf_err *reterr);
void hf_runners_recall(hf_runners *runners, int32_t slot, hf_str job_id, int32_t attempt);
/* Cancel by message now, SIGTERM after grace_ms, SIGKILL after twice that, unless the job ends before. */
void hf_runners_stop(hf_runners *runners, int32_t slot, hf_str job_id, int32_t attempt, int64_t grace_ms,
                     int64_t mono_ms);
void hf_runners_limit(hf_runners *runners, int32_t slot, hf_str job_id, int32_t attempt, int64_t bytes_per_second);
/* What came of an announcement, or the answer to a question. */
void hf_runners_announced(hf_runners *runners, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial,
                          hf_code code);
void hf_runners_flush(hf_runners *runners);
/* Process id of a slot's runner, 0 for none: for logs and tests. */
int hf_runners_pid(const hf_runners *runners, int32_t slot);

/* ---- the child's side (runner_child.c) ------------------------------------------------------------------- */
typedef struct hf_runner_child_options {
    int fd;
    int parent; /* process id of the worker */
    const hf_config *config;
    bool any_root;
} hf_runner_child_options;
/* Runs jobs until the worker closes the socket. The exit status. */
int hf_runner_main(const hf_runner_child_options *options);
