/* Real workers on a real Kafka, watched through the log, for tests that need no dispatcher: jobs are produced as intake would
 * have, retries are queued here. Failures end the test. */
#pragma once
#include "journal/replica/follow.h"
#include "tests/support/kafka.h"

enum { HF_TEST_JOBS = 4096, HF_TEST_WORKERS = 4 };

typedef struct hf_test_job {
    char id[64];
    hf_state state;
    int attempt, released, starts, ends; /* ends: accepted Completed */
    char error[64], worker[192], phase[64];
    int64_t not_before, retrying_at;
} hf_test_job;

typedef struct hf_test_watch {
    hf_config *config;
    hf_klog *log;
    hf_codec *codec;
    hf_follow *follow;
    hf_test_job jobs[HF_TEST_JOBS];
    int job_count, refused, accepted;
    char dir[HF_TEST_PATH];
    const char *bootstrap;
    char fleet[64];
    int pids[HF_TEST_WORKERS], ended_as[HF_TEST_WORKERS]; /* exit status, or -signal */
    char log_path[HF_TEST_WORKERS][HF_TEST_PATH + 64];
} hf_test_watch;

void hf_test_watch_begin(hf_test_watch *w, const char *bootstrap, const char *fleet);
/* Kills what still runs. */
void hf_test_watch_end(hf_test_watch *w);

/* Starts build/…/bin/hyperworker as number n; settings: NULL-terminated "key=value"s. kill_at NULL or a fault point. */
void hf_test_worker_start(hf_test_watch *w, int n, const char *const *settings, const char *kill_at);
void hf_test_worker_signal(hf_test_watch *w, int n, int signal_number);
/* Waits for its end; the exit status, or -signal. */
int hf_test_worker_wait(hf_test_watch *w, int n);
bool hf_test_worker_ended(hf_test_watch *w, int n);
/* How often that text stands in its log. */
int hf_test_worker_said(hf_test_watch *w, int n, const char *text);

/* A queued job of operation sleep. */
void hf_test_job_submit(hf_test_watch *w, const char *id, const char *parameters, hf_exec_policy policy);
void hf_test_job_submit_as(hf_test_watch *w, const char *id, const char *operation, const char *parameters,
                           hf_exec_policy policy);
void hf_test_job_cancel(hf_test_watch *w, const char *id);
const hf_test_job *hf_test_job_of(const hf_test_watch *w, const char *id);
hf_state hf_test_job_state(const hf_test_watch *w, const char *id); /* HF_S_NONE before it is read */
/* Follows the log, queues due retries; for ms. */
void hf_test_watch_for(hf_test_watch *w, int ms);
/* Until `condition(w, arg)`; fails by name after seconds. */
void hf_test_watch_until(hf_test_watch *w, const char *what, bool (*condition)(const hf_test_watch *, const void *),
                         const void *arg, int seconds);
int hf_test_watch_count(const hf_test_watch *w, hf_state state);
