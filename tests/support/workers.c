#include "tests/support/workers.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "schemas/base/clock.h"

static void sure(hf_code code, const hf_err *err) {
    if (code)
        fail_msg("%s: %s", hf_code_name(err->code), err->detail);
}

/* ---- watching --------------------------------------------------------------------------------------------------- */
static hf_test_job *find(hf_test_watch *w, hf_str id) {
    for (int i = 0; i < w->job_count; i++)
        if (hf_str_eqz(id, w->jobs[i].id))
            return &w->jobs[i];
    return NULL;
}

static hf_test_job *find_or_add(hf_test_watch *w, hf_str id) {
    static int last; /* jobs come mostly in turn */
    if (last < w->job_count && hf_str_eqz(id, w->jobs[last].id))
        return &w->jobs[last];
    hf_test_job *job = find(w, id);
    if (!job) {
        assert_true(w->job_count < HF_TEST_JOBS);
        job = &w->jobs[w->job_count++];
        snprintf(job->id, sizeof job->id, "%.*s", HF_STR_ARG(id));
    }
    last = (int)(job - w->jobs);
    return job;
}

static void on_change(void *ctx, const hf_change *c) {
    hf_test_watch *w = ctx;
    if (!c->record || c->verdict != HF_V_ACCEPTED) {
        w->refused++;
        return;
    }
    w->accepted++;
    hf_test_job *job = find_or_add(w, c->record->job_id);
    for (uint32_t i = 0; i < c->record->transitions.count; i++) {
        job->starts += hf_record_event(c->record, i) == HF_EV_STARTED;
        job->ends += hf_record_event(c->record, i) == HF_EV_COMPLETED;
    }
    job->state = (hf_state)c->after->state;
    job->attempt = c->after->attempt;
    job->released = c->after->released;
    job->not_before = c->after->not_before;
    if (job->state == HF_S_RETRYING)
        job->retrying_at = hf_wall_ms(hf_clock_system());
    snprintf(job->error, sizeof job->error, "%.*s", HF_STR_ARG(c->after->error ? c->after->error->code : HF_STR_NONE));
    snprintf(job->worker, sizeof job->worker, "%.*s", HF_STR_ARG(c->after->worker));
    snprintf(job->phase, sizeof job->phase, "%.*s", HF_STR_ARG(c->after->phase));
}

void hf_test_watch_begin(hf_test_watch *w, const char *bootstrap, const char *fleet) {
    hf_err err;
    memset(w, 0, sizeof *w);
    w->bootstrap = bootstrap;
    snprintf(w->fleet, sizeof w->fleet, "%s", fleet);
    hf_test_dir_make("workers", w->dir);
    w->config = hf_test_config(bootstrap, fleet);
    sure(hf_codec_new(NULL, NULL, &w->codec, &err), &err);
    sure(hf_klog_open(w->config, "test@here/1", true, 20000, &w->log, &err), &err);
    hf_follow_options options = {.replica = {.profile = HF_PROFILE_LIVE, .fleet = w->fleet},
                                 .hooks = {.ctx = w, .on_change = on_change},
                                 .topics = 1u << HF_TOPIC_JOB_EVENTS,
                                 .commit_interval_ms = 1000};
    sure(hf_follow_open(w->log, w->codec, NULL, NULL, &options, &w->follow, &err), &err);
}

void hf_test_watch_end(hf_test_watch *w) {
    for (int n = 0; n < HF_TEST_WORKERS; n++)
        if (w->pids[n] > 0) {
            kill(w->pids[n], SIGKILL);
            hf_test_worker_wait(w, n);
        }
    hf_follow_close(w->follow);
    hf_klog_close(w->log);
    hf_codec_free(w->codec);
    hf_config_free(w->config);
    hf_test_dir_remove(w->dir);
}

/* ---- producing --------------------------------------------------------------------------------------------------- */
static void produce(hf_test_watch *w, const hf_record *record) {
    hf_buf out;
    hf_err err;
    hf_buf_init(&out, HF_MAX_RECORD);
    sure(hf_encode(w->codec, HF_SCHEMA_RECORD, record, &out, &err), &err);
    sure(hf_klog_produce(w->log, HF_TOPIC_JOB_EVENTS, -1, record->job_id, hf_buf_str(&out), "JobEvent", NULL, 0, 0,
                         &err),
         &err);
    hf_buf_done(&out);
}

static void propose(hf_test_watch *w, const char *id, int attempt, hf_event event, const void *payload) {
    hf_variant t = {(int32_t)event, payload};
    produce(w, &(hf_record){.job_id = hf_str_of(id),
                            .attempt = attempt,
                            .at = hf_wall_ms(hf_clock_system()),
                            .by = HF_STR("test"),
                            .transitions = {&t, 1}});
}

void hf_test_job_submit_as(hf_test_watch *w, const char *id, const char *operation, const char *parameters,
                           hf_exec_policy policy) {
    hf_ev_created created;
    hf_type_init(HF_TYPES_EVENT[HF_EV_CREATED], &created);
    created.spec.operation = hf_str_of(operation);
    created.spec.name = hf_str_of(id);
    created.spec.parameters = hf_str_of(parameters);
    created.spec.policy = policy;
    hf_variant t[] = {{HF_EV_CREATED, &created},
                      {HF_EV_VALIDATED, &(hf_ev_validated){.warnings = {NULL, 0}}},
                      {HF_EV_QUEUED, &(hf_ev_queued){0}}};
    produce(w, &(hf_record){.job_id = hf_str_of(id),
                            .at = hf_wall_ms(hf_clock_system()),
                            .by = HF_STR("test"),
                            .transitions = {t, 3}});
}

void hf_test_job_submit(hf_test_watch *w, const char *id, const char *parameters, hf_exec_policy policy) {
    hf_test_job_submit_as(w, id, "sleep", parameters, policy);
}

void hf_test_job_cancel(hf_test_watch *w, const char *id) {
    propose(w, id, 0, HF_EV_CANCEL_REQUESTED, &(hf_ev_cancel_requested){HF_STR("enough")});
}

const hf_test_job *hf_test_job_of(const hf_test_watch *w, const char *id) {
    for (int i = 0; i < w->job_count; i++)
        if (!strcmp(id, w->jobs[i].id))
            return &w->jobs[i];
    return NULL;
}

hf_state hf_test_job_state(const hf_test_watch *w, const char *id) {
    const hf_test_job *job = hf_test_job_of(w, id);
    return job ? job->state : HF_S_NONE;
}

int hf_test_watch_count(const hf_test_watch *w, hf_state state) {
    int n = 0;
    for (int i = 0; i < w->job_count; i++)
        n += w->jobs[i].state == state;
    return n;
}

static void queue_retries(hf_test_watch *w) { /* a dispatcher would */
    int64_t now = hf_wall_ms(hf_clock_system());
    for (int i = 0; i < w->job_count; i++) {
        hf_test_job *job = &w->jobs[i];
        if (job->state == HF_S_RETRYING && job->retrying_at && job->not_before <= now) {
            job->retrying_at = 0;
            propose(w, job->id, job->attempt, HF_EV_QUEUED, &(hf_ev_queued){0});
        }
    }
}

static void turn(hf_test_watch *w) {
    size_t fed = 1;
    hf_err err;
    struct pollfd p = {hf_follow_fd(w->follow), POLLIN, 0};
    poll(&p, 1, 10);
    while (fed)
        sure(hf_follow_step(w->follow, 1000, &fed, &err), &err);
    hf_klog_poll_reports(w->log, 0);
    queue_retries(w);
}

void hf_test_watch_for(hf_test_watch *w, int ms) {
    for (int64_t end = hf_mono_ms(hf_clock_system()) + ms; hf_mono_ms(hf_clock_system()) < end;)
        turn(w);
}

void hf_test_watch_until(hf_test_watch *w, const char *what, bool (*condition)(const hf_test_watch *, const void *),
                         const void *arg, int seconds) {
    for (int64_t end = hf_mono_ms(hf_clock_system()) + seconds * 1000; !condition(w, arg);) {
        if (hf_mono_ms(hf_clock_system()) > end) {
            char command[HF_TEST_PATH + 64];
            snprintf(command, sizeof command, "tail -n 15 %s/*.log >&2", w->dir);
            if (system(command))
                print_error("(no logs)\n");
            fail_msg("%d s went by without: %s (%d completed, %d failed, %d queued, %d assigned, %d refused)", seconds,
                     what, hf_test_watch_count(w, HF_S_COMPLETED), hf_test_watch_count(w, HF_S_FAILED),
                     hf_test_watch_count(w, HF_S_QUEUED), hf_test_watch_count(w, HF_S_ASSIGNED), w->refused);
        }
        turn(w);
    }
}

/* ---- workers -------------------------------------------------------------------------------------------------------- */
void hf_test_worker_start(hf_test_watch *w, int n, const char *const *settings, const char *kill_at) {
    char text[8][HF_TEST_PATH + 128];
    char *argv[64];
    int argc = 0, texts = 0;
    snprintf(text[texts++], sizeof *text, "%s/bin/hyperworker", HF_BINARIES);
    snprintf(text[texts++], sizeof *text, "kafka.bootstrap.servers=%s", w->bootstrap);
    snprintf(text[texts++], sizeof *text, "fleet=%s", w->fleet);
    snprintf(text[texts++], sizeof *text, "state_dir=%s", w->dir);
    snprintf(text[texts++], sizeof *text, "worker.id=w%d", n);
    snprintf(text[texts++], sizeof *text, "worker.sleep_operation=true");
    static char set[] = "--set";
    argv[argc++] = text[0];
    for (int i = 1; i < texts; i++)
        argv[argc++] = set, argv[argc++] = text[i];
    char copies[24][256];
    for (int i = 0; settings && settings[i] && i < 24; i++) {
        snprintf(copies[i], sizeof copies[i], "%s", settings[i]);
        argv[argc++] = set, argv[argc++] = copies[i];
    }
    argv[argc] = NULL;
    snprintf(w->log_path[n], sizeof w->log_path[n], "%s/w%d.log", w->dir, n);
    w->pids[n] = fork();
    assert_true(w->pids[n] >= 0);
    if (w->pids[n] > 0)
        return;
    int out = open(w->log_path[n], O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(out, 1), dup2(out, 2);
    if (kill_at)
        setenv("HF_KILL_AT", kill_at, 1);
    execv(argv[0], argv);
    _exit(127);
}

void hf_test_worker_signal(hf_test_watch *w, int n, int signal_number) {
    assert_int_equal(kill(w->pids[n], signal_number), 0);
}

static int ended_as(hf_test_watch *w, int n, int options) {
    int status = 0;
    if (waitpid(w->pids[n], &status, options) != w->pids[n])
        return -1000;
    w->pids[n] = 0;
    return w->ended_as[n] = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int hf_test_worker_wait(hf_test_watch *w, int n) { return ended_as(w, n, 0); }
bool hf_test_worker_ended(hf_test_watch *w, int n) { return w->pids[n] == 0 || ended_as(w, n, WNOHANG) != -1000; }

int hf_test_worker_said(hf_test_watch *w, int n, const char *wanted) {
    FILE *f = fopen(w->log_path[n], "re");
    char *line = NULL;
    size_t size = 0;
    int count = 0;
    while (f && getline(&line, &size, f) > 0)
        count += strstr(line, wanted) != NULL;
    free(line);
    if (f)
        fclose(f);
    return count;
}
