#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "consumer/operation/external.h"
#include "consumer/provider/vsphere/endpoint.h"
#include "consumer/worker/capabilities.h"
#include "consumer/worker/shell.h"
#include "schemas/base/fault.h"
#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/base/ready.h"
#include "schemas/job/fold.h"

enum {
    OPEN_MS = 30000,
    OPEN_STEP_MS = 2000,
    LIVE_COMMIT_MS = 1000,
    LAYOUT_VERSION = 2,
    BULK_FROM = 32,    /* records produced in one turn: many small ones are under way */
    BULK_REST_MS = 50, /* so long without that many: they are not */
    DRAIN_SLACK_MS = 10000,
    RUNNER_MIN_AGE_MS = 10000,
};

void hf_shell_fail(hf_shell *s, hf_code code) {
    if (!s->failed)
        s->failed = code;
}

/* ---- signals ------------------------------------------------------------------------------------------------------- */
static sigset_t our_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void hf_worker_block_signals(void) {
    sigset_t set = our_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

void hf_shell_stop(hf_shell *s) {
    hf_shell_tick(s);
    hf_now now = s->now;
    if (++s->stops_asked > 1 || !s->core) {
        s->stop_now = true;
        return;
    }
    int64_t timeout = hf_config_int(s->config, HF_C_WORKER_DRAIN);
    s->drain_end_ms = now.mono_ms + timeout + 2 * hf_config_int(s->config, HF_C_WORKER_KILL_GRACE) + DRAIN_SLACK_MS;
    hf_worker_core_drain(s->core, timeout, now);
    HF_LOG(INFO, "draining", {"timeout_ms", HF_V_INT(timeout)});
}

static void read_signals(hf_shell *s) {
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGHUP)
            hf_shell_stop(s);
}

/* ---- from the runners ------------------------------------------------------------------------------------------------- */
static void on_usable(void *ctx, int32_t slot, bool usable) {
    hf_shell *s = ctx;
    hf_worker_core_slot_usable(s->core, slot, usable);
}

static void on_done(void *ctx, int32_t slot, hf_str id, int32_t attempt, const hf_outcome *outcome) {
    hf_shell *s = ctx;
    hf_worker_core_done(s->core, slot, id, attempt, outcome, s->now);
    if (outcome->code)
        HF_LOG(WARN, "job-failed", {"job", HF_V_STR(id)}, {"attempt", HF_V_INT(attempt)},
               {"error", HF_V_Z(hf_code_name(outcome->code))}, {"phase", HF_V_STR(outcome->phase)},
               {"detail", HF_V_STR(outcome->message)});
    else
        HF_LOG(DEBUG, "job-done", {"job", HF_V_STR(id)}, {"attempt", HF_V_INT(attempt)},
               {"us", HF_V_INT(outcome->duration_us)});
}

static void on_returned(void *ctx, int32_t slot, hf_str id, int32_t attempt) {
    hf_shell *s = ctx;
    hf_worker_core_returned(s->core, slot, id, attempt, s->now);
}

static void on_crashed(void *ctx, int32_t slot, const char *message) {
    hf_shell *s = ctx;
    HF_LOG(WARN, "runner-gone", {"slot", HF_V_INT(slot)}, {"detail", HF_V_Z(message)});
    hf_worker_core_crashed(s->core, slot, hf_str_of(message), s->now);
}

/* ---- what the core wants -------------------------------------------------------------------------------------------------- */
static void start_job(hf_shell *s, const hf_action *a) {
    const hf_job *job = hf_replica_job(hf_follow_replica(s->follow), a->job_id);
    hf_now now = s->now;
    hf_err err;
    hf_fault_point("worker-before-start");
    if (!job || job->attempt != a->attempt) {
        hf_outcome outcome = {.code = HF_E_INTERNAL,
                              .message = HF_STR("the replica does not know the job that was claimed")};
        hf_worker_core_done(s->core, a->slot, a->job_id, a->attempt, &outcome, now);
        return;
    }
    hf_code code = hf_runners_give(s->runners, a->slot, job, &err);
    if (code == HF_OK)
        return;
    if (code == HF_E_BUSY || code == HF_E_LIMIT) {
        hf_worker_core_returned(s->core, a->slot, a->job_id, a->attempt, now);
        return;
    }
    hf_outcome outcome = {.code = code, .message = hf_str_of(err.detail), .phase = HF_STR("start")};
    hf_worker_core_done(s->core, a->slot, a->job_id, a->attempt, &outcome, now);
}

static void perform(hf_shell *s, const hf_action *a) {
    switch (a->kind) {
    case HF_ACT_PROPOSE: hf_shell_propose(s, a); break;
    case HF_ACT_GRANT: hf_shell_limit(s, a); break;
    case HF_ACT_HEARTBEAT: hf_shell_heartbeat(s, a->tag, a->heartbeat); break;
    case HF_ACT_START: start_job(s, a); break;
    case HF_ACT_ANNOUNCED: hf_runners_announced(s->runners, a->slot, a->job_id, a->attempt, a->serial, a->code); break;
    case HF_ACT_LIMIT:
        HF_LOG(INFO, "limit-changed", {"job", HF_V_STR(a->job_id)}, {"attempt", HF_V_INT(a->attempt)},
               {"bytes_per_second", HF_V_INT(a->bandwidth)});
        hf_runners_limit(s->runners, a->slot, a->job_id, a->attempt, a->bandwidth);
        break;
    case HF_ACT_RECALL: hf_runners_recall(s->runners, a->slot, a->job_id, a->attempt); break;
    case HF_ACT_STOP:
        HF_LOG(INFO, "stopping-job", {"job", HF_V_STR(a->job_id)}, {"attempt", HF_V_INT(a->attempt)},
               {"reason", HF_V_INT(a->reason)});
        hf_runners_stop(s->runners, a->slot, a->job_id, a->attempt, a->grace_ms, s->now.mono_ms);
        break;
    }
}

static void pump(hf_shell *s) {
    hf_action actions[HF_SHELL_ACTIONS];
    size_t count = HF_SHELL_ACTIONS;
    while (count == HF_SHELL_ACTIONS && !s->failed) {
        hf_shell_tick(s); /* nothing is started on a lease that ran out while this process was stopped */
        hf_code code = hf_worker_core_step(s->core, s->now, actions, HF_SHELL_ACTIONS, &count, &s->err);
        if (code)
            hf_shell_fail(s, code);
        for (size_t i = 0; i < count && !s->failed; i++)
            perform(s, &actions[i]);
    }
    hf_runners_flush(s->runners);
}

/* ---- one turn --------------------------------------------------------------------------------------------------------------- */
/* Requests to Kafka fill up under load and leave at once when it is quiet. */
static void choose_bulk(hf_shell *s) {
    int64_t now = s->now.mono_ms;
    if (s->produced >= BULK_FROM)
        s->quiet_since_ms = now;
    bool bulk = now - s->quiet_since_ms < BULK_REST_MS;
    s->produced = 0;
    if (bulk != s->bulk)
        hf_klog_bulk(s->log, s->bulk = bulk);
}

static void catch_up(hf_shell *s) {
    if (s->caught_up || !hf_follow_caught_up(s->follow))
        return;
    s->caught_up = true;
    hf_worker_core_caught_up(s->core);
    hf_worker_stats stats;
    hf_worker_core_stats(s->core, s->now, &stats);
    HF_LOG(INFO, "caught-up", {"queued", HF_V_INT(stats.queued)}, {"workers", HF_V_INT(stats.live_workers)});
    hf_ready_notify();
}

static bool known_job(void *ctx, const hf_job *job) {
    hf_shell *s = ctx;
    hf_code code = hf_worker_core_change(s->core, NULL, HF_V_ACCEPTED, job, s->now);
    if (code)
        hf_shell_fail(s, hf_fail(&s->err, code, "job %.*s", HF_STR_ARG(job->id)));
    return code == HF_OK;
}

static bool known_limit(void *ctx, const hf_limit *limit) {
    hf_shell *s = ctx;
    hf_code code = hf_worker_core_limit_is(s->core, limit);
    if (code)
        hf_shell_fail(s, hf_fail(&s->err, code, "limit %.*s", HF_STR_ARG(limit->key)));
    return code == HF_OK;
}

/* A limit of a new key is rare; it costs one look at every job that lives. */
static void match_anew(hf_shell *s) {
    if (!s->limits_new)
        return;
    s->limits_new = false;
    hf_replica_each_live(hf_follow_replica(s->follow), known_job, s);
}

static hf_code follow(hf_shell *s, bool *ret_more, hf_err *reterr) {
    size_t fed = 0;
    hf_code code = hf_follow_step(s->follow, HF_SHELL_STEP_RECORDS, &fed, reterr);
    *ret_more = fed == HF_SHELL_STEP_RECORDS;
    match_anew(s);
    return code;
}

static hf_code turn(hf_shell *s, bool *ret_more, hf_err *reterr) {
    hf_shell_tick(s);
    read_signals(s);
    hf_code code = follow(s, ret_more, reterr);
    if (code && hf_code_policy(code) != HF_POLICY_RETRY)
        return code;
    hf_shell_tick(s);
    catch_up(s);
    hf_klog_poll_reports(s->log, 0);
    hf_runners_step(s->runners, s->now.mono_ms);
    pump(s);
    choose_bulk(s);
    if (s->failed) {
        *reterr = s->err;
        return s->failed;
    }
    if (code)
        HF_LOG_ERR(WARN, "follow", reterr, {"then", HF_V_Z("tried again")});
    return code;
}

static int earlier(int a, int b) { return a < 0 ? b : b < 0 ? a : a < b ? a : b; }

static int until(const hf_shell *s, int64_t wake_ms) {
    int64_t left = wake_ms == INT64_MAX ? -1 : wake_ms - s->now.mono_ms;
    return wake_ms == INT64_MAX ? -1 : left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void wait(hf_shell *s) {
    struct pollfd fds[] = {{s->signal_fd, POLLIN, 0},
                           {hf_follow_fd(s->follow), POLLIN, 0},
                           {hf_klog_report_fd(s->log), POLLIN, 0},
                           {hf_runners_fd(s->runners), POLLIN, 0}};
    hf_shell_tick(s);
    int timeout = hf_follow_timeout_ms(s->follow);
    timeout = earlier(timeout, until(s, hf_worker_core_wake_ms(s->core, s->now)));
    timeout = earlier(timeout, until(s, hf_runners_wake_ms(s->runners)));
    if (s->bulk)
        timeout = earlier(timeout, BULK_REST_MS);
    if (s->stops_asked)
        timeout = earlier(timeout, until(s, s->drain_end_ms));
    poll(fds, HF_ARRAY_LEN(fds), timeout);
}

static bool finished(const hf_shell *s) {
    if (s->stop_now)
        return true;
    return s->stops_asked && (hf_worker_core_idle(s->core) || s->now.mono_ms >= s->drain_end_ms);
}

static hf_code loop(hf_shell *s, hf_err *reterr) {
    while (!finished(s)) {
        bool more = false;
        hf_code code = turn(s, &more, reterr);
        if (code && hf_code_policy(code) != HF_POLICY_RETRY)
            return code;
        if (s->failed)
            return s->failed;
        if (code)
            poll(NULL, 0, 100);
        else if (!more && !finished(s))
            wait(s);
    }
    hf_worker_stats stats;
    hf_worker_core_stats(s->core, s->now, &stats);
    HF_LOG(INFO, "stopped", {"done", HF_V_INT(stats.done)}, {"left", HF_V_INT(stats.held)},
           {"claims_lost", HF_V_INT(stats.claims_lost)});
    if (stats.held)
        return hf_fail(
            reterr, HF_E_BUSY,
            "%u jobs were left: they are given to others when the lease ends, or when this worker starts again",
            stats.held);
    return HF_OK;
}

/* ---- beginning and end ---------------------------------------------------------------------------------------------------------- */
static hf_code open_log(hf_shell *s, hf_err *reterr) {
    hf_code code = HF_E_LOG_UNREACHABLE;
    for (int64_t end = s->now.mono_ms + OPEN_MS;
         code == HF_E_LOG_UNREACHABLE && s->now.mono_ms < end && !s->stop_now;) {
        code = hf_klog_open(s->config, s->producer, true, OPEN_STEP_MS, &s->log, reterr);
        hf_shell_tick(s);
        read_signals(s);
    }
    if (!code)
        hf_klog_on_report(s->log, hf_shell_on_report, s);
    return code;
}

static hf_code make_core(hf_shell *s, hf_err *reterr) {
    hf_capabilities capabilities;
    hf_code code = hf_capabilities_probe(s->config, NULL, &s->probe_arena, &capabilities, reterr);
    if (code)
        return code;
    hf_worker_options o = {.worker_id = hf_str_of(s->id),
                           .incarnation = hf_str_of(s->incarnation),
                           .hostname = hf_str_of(s->host),
                           .version = HF_STR(HF_VERSION),
                           .capabilities = capabilities,
                           .slots = (int32_t)hf_config_int(s->config, HF_C_WORKER_SLOTS),
                           .claims_max = (int32_t)hf_config_int(s->config, HF_C_WORKER_CLAIMS),
                           .lease_ms = hf_config_int(s->config, HF_C_WORKER_LEASE),
                           .heartbeat_ms = hf_config_int(s->config, HF_C_WORKER_HEARTBEAT),
                           .stranger_wait_ms = hf_config_int(s->config, HF_C_WORKER_STRANGER),
                           .ageing_ms = hf_config_int(s->config, HF_C_WORKER_AGEING),
                           .retry_base_ms = hf_config_int(s->config, HF_C_WORKER_RETRY_BASE),
                           .retry_max_ms = hf_config_int(s->config, HF_C_WORKER_RETRY_MAX),
                           .kill_grace_ms = hf_config_int(s->config, HF_C_WORKER_KILL_GRACE)};
    code = hf_worker_core_new(&o, s->now, &s->core, reterr);
    if (code)
        return code;
    hf_runner_options runner = {.count = o.slots,
                                .arguments = s->o->runner_arguments,
                                .threads = hf_runner_threads(capabilities.cpus, o.slots),
                                .runner_jobs = hf_config_int(s->config, HF_C_WORKER_RUNNER_JOBS),
                                .min_age_ms = RUNNER_MIN_AGE_MS};
    hf_runner_hooks hooks = {.ctx = s,
                             .on_usable = on_usable,
                             .on_progress = hf_shell_progress,
                             .on_announce = hf_shell_announce,
                             .on_ask = hf_shell_ask,
                             .on_done = on_done,
                             .on_returned = on_returned,
                             .on_crashed = on_crashed};
    for (int32_t i = 0; i < o.slots; i++)
        hf_worker_core_slot_usable(s->core, i, false);
    HF_LOG(INFO, "starting", {"worker", HF_V_Z(s->id)}, {"incarnation", HF_V_Z(s->incarnation)},
           {"slots", HF_V_INT(o.slots)}, {"threads_a_job", HF_V_INT(runner.threads)},
           {"mode", HF_V_STR(capabilities.execution_mode)}, {"level", HF_V_STR(capabilities.level)});
    return hf_runners_new(&runner, &hooks, &s->runners, reterr);
}

static hf_code open_follow(hf_shell *s, hf_err *reterr) {
    char dir[2048];
    snprintf(dir, sizeof dir, "%s/worker-%s", hf_config_str(s->config, HF_C_STATE_DIR), s->id);
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code)
        return code;
    const char *fleet = hf_config_str(s->config, HF_C_FLEET);
    hf_store_options store = {.kind = "worker",
                              .fleet = fleet,
                              .max_readers = 8,
                              .map_bytes = 64u << 20,
                              .map_max_bytes = (size_t)hf_config_int(s->config, HF_C_JOURNAL_MAP_MAX),
                              .version = HF_FOLD_VERSION * 1000 + LAYOUT_VERSION};
    hf_follow_options options = {.replica = {.profile = HF_PROFILE_LIVE, .fleet = fleet, .clock = s->clock},
                                 .hooks = {.ctx = s,
                                           .on_change = hf_shell_on_change,
                                           .on_limit = hf_shell_on_limit,
                                           .on_record = hf_shell_on_record},
                                 .topics = 1u << HF_TOPIC_JOB_EVENTS | 1u << HF_TOPIC_WORKERS |
                                           1u << HF_TOPIC_CONTROLS | 1u << HF_TOPIC_LIMITS,
                                 .commit_interval_ms = LIVE_COMMIT_MS};
    code = hf_follow_open(s->log, s->codec, dir, &store, &options, &s->follow, reterr);
    if (code)
        return code;
    hf_replica_each_limit(hf_follow_replica(s->follow), known_limit, s);
    hf_replica_each_live(hf_follow_replica(s->follow), known_job, s);
    if (s->failed)
        *reterr = s->err;
    return s->failed;
}

static hf_code open_all(hf_shell *s, hf_err *reterr) {
    hf_arena_init(&s->in_arena, 4 * HF_MAX_RECORD);
    hf_arena_init(&s->probe_arena, 1u << 20);
    hf_buf_init(&s->out, HF_MAX_RECORD);
    sigset_t signals = our_signals();
    s->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (s->signal_fd < 0)
        return hf_fail_errno(reterr, errno, "signalfd");
    hf_host_name(s->host, sizeof s->host);
    hf_id_new(s->clock, hf_random_system(), s->incarnation);
    hf_producer_name("hyperworker", s->incarnation, s->producer, sizeof s->producer);
    hf_code code = hf_worker_id(s->config, s->id, reterr);
    if (!code)
        code = hf_external_check(s->config, reterr);
    if (!code)
        code = hf_endpoints_check(s->config, reterr);
    if (!code)
        code = hf_registry_codec(s->config, HF_REGISTRY_WRITES_ALL, NULL, &s->registry, &s->codec, reterr);
    if (!code)
        code = make_core(s, reterr);
    if (!code)
        code = open_log(s, reterr);
    return code ? code : open_follow(s, reterr);
}

static void say_goodbye(hf_shell *s) {
    hf_heartbeat last;
    hf_err err;
    hf_shell_tick(s);
    hf_worker_core_farewell(s->core, s->now, &last);
    hf_shell_heartbeat(s, 1ULL << HF_PROGRESS_TAG_BIT, &last);
    if (hf_klog_flush(s->log, s->stop_now ? 500 : 5000, &err))
        HF_LOG_ERR(WARN, "flush", &err, {"worker", HF_V_Z(s->id)});
    hf_klog_poll_reports(s->log, 0);
}

static void close_all(hf_shell *s) {
    hf_runners_free(s->runners); /* first: nothing may run on when nobody watches the lease */
    if (s->follow && s->log)
        say_goodbye(s);
    hf_follow_close(s->follow);
    hf_klog_close(s->log);
    hf_worker_core_free(s->core);
    hf_codec_free(s->codec);
    hf_registry_link_free(s->registry);
    hf_buf_done(&s->out);
    hf_arena_done(&s->in_arena);
    hf_arena_done(&s->probe_arena);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
}

hf_code hf_worker_run(const hf_worker_run_options *options, hf_err *reterr) {
    hf_shell *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    s->o = options;
    s->config = options->config;
    s->clock = hf_clock_system();
    hf_shell_tick(s);
    s->started_ms = s->now.wall_ms;
    s->signal_fd = -1;
    s->quiet_since_ms = INT64_MIN / 2;
    hf_code code = open_all(s, reterr);
    if (!code)
        code = loop(s, reterr);
    close_all(s);
    free(s);
    return code;
}
