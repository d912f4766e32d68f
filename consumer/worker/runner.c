#include "consumer/worker/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/worker/frame.h"
#include "schemas/base/mem.h"

enum {
    OUT_MAX = 16 * 1024 * 1024, /* bytes waiting for one runner */
    READS_A_STEP = 4,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    HEALTHY_MS = 1000, /* one that lived so long may be started anew at once */
    ARGUMENTS_MAX = 256,
    RUNNER_FD = 3,
};

typedef enum state { DOWN, STARTING, READY, LEAVING } state;

typedef struct stop {
    char id[HF_ID_MAX_BYTES + 1];
    int32_t attempt;
    int stage; /* 0: none; 1: asked; 2: SIGTERM; 3: SIGKILL */
    int64_t due_ms, grace_ms;
} stop;

typedef struct runner {
    int32_t slot;
    state state;
    pid_t pid;
    int fd, pidfd;
    hf_buf in, out;
    size_t out_at;
    bool writable_wanted;
    int32_t in_flight;
    int64_t given, born_ms, start_at_ms, backoff_ms;
    stop stop;
    char broke[HF_ERR_DETAIL_BYTES]; /* why it was killed, or "" */
} runner;

struct hf_runners {
    hf_runner_options o;
    hf_runner_hooks hooks;
    int epoll_fd;
    hf_arena arena;
    runner list[];
};

/* ---- starting ------------------------------------------------------------------------------------------------- */
static void watch(hf_runners *rs, int fd, uint64_t tag, uint32_t events, int how) {
    struct epoll_event e = {.events = events, .data.u64 = tag};
    epoll_ctl(rs->epoll_fd, how, fd, &e);
}
static uint64_t tag_of(const runner *r, bool process) { return (uint64_t)(uint32_t)r->slot << 1 | (process ? 1 : 0); }

static int spawn(const hf_runners *rs, int fd, pid_t *ret_pid) {
    char fd_text[16], pid_text[16];
    char *argv[ARGUMENTS_MAX + 8] = {__extension__(char[]){"hyperworker"}, __extension__(char[]){"--runner"}, fd_text,
                                     pid_text};
    size_t n = 4;
    for (char *const *a = rs->o.arguments; a && *a && n < ARGUMENTS_MAX + 4; a++)
        argv[n++] = *a;
    snprintf(fd_text, sizeof fd_text, "%d", RUNNER_FD);
    snprintf(pid_text, sizeof pid_text, "%d", (int)getpid());
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 2, 1); /* stdout is nobody's: what a library prints belongs to the log */
    posix_spawn_file_actions_adddup2(&files, fd, RUNNER_FD);
    posix_spawn_file_actions_addclosefrom_np(&files, RUNNER_FD + 1);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0); /* a terminal's Ctrl-C is the worker's to act on */
    int err = posix_spawn(ret_pid, rs->o.program ? rs->o.program : "/proc/self/exe", &files, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return err;
}

static void start_failed(hf_runners *rs, runner *r, int err, int64_t mono_ms) {
    char message[256];
    snprintf(message, sizeof message, "a runner could not be started: %s", strerror(err));
    r->backoff_ms =
        r->backoff_ms ? (r->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : r->backoff_ms * 2) : BACKOFF_FIRST_MS;
    r->start_at_ms = mono_ms + r->backoff_ms;
    rs->hooks.on_crashed(rs->hooks.ctx, r->slot, message);
}

static void start(hf_runners *rs, runner *r, int64_t mono_ms) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        start_failed(rs, r, errno, mono_ms);
        return;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    int err = spawn(rs, pair[1], &r->pid);
    close(pair[1]);
    if (err) {
        close(pair[0]);
        start_failed(rs, r, err, mono_ms);
        return;
    }
    r->fd = pair[0];
    r->pidfd = pidfd_open(r->pid, 0);
    r->state = STARTING;
    r->born_ms = mono_ms;
    r->given = r->in_flight = 0;
    r->out_at = 0;
    r->writable_wanted = false;
    r->stop.stage = 0;
    r->broke[0] = 0;
    hf_buf_clear(&r->in);
    hf_buf_clear(&r->out);
    watch(rs, r->fd, tag_of(r, false), EPOLLIN, EPOLL_CTL_ADD);
    if (r->pidfd >= 0)
        watch(rs, r->pidfd, tag_of(r, true), EPOLLIN, EPOLL_CTL_ADD);
}

/* ---- ending ----------------------------------------------------------------------------------------------------- */
static void signal_group(const runner *r, int signal_number) {
    if (kill(-r->pid, signal_number) < 0) /* its helpers too; the group may not be there yet */
        kill(r->pid, signal_number);
}

static void break_off(runner *r, const char *why) {
    if (!r->broke[0])
        snprintf(r->broke, sizeof r->broke, "%s", why);
    signal_group(r, SIGKILL);
}

static void tell_end(int status, const runner *r, char *text, size_t size) {
    if (r->broke[0])
        snprintf(text, size, "runner %d was killed: %s", (int)r->pid, r->broke);
    else if (r->stop.stage >= 2)
        snprintf(text, size, "runner %d was killed: it did not stop when asked", (int)r->pid);
    else if (WIFSIGNALED(status))
        snprintf(text, size, "runner %d ended by signal %d (%s)", (int)r->pid, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "runner %d ended with status %d", (int)r->pid, WEXITSTATUS(status));
}

static void gone(hf_runners *rs, runner *r, int status, int64_t mono_ms) {
    char text[HF_ERR_DETAIL_BYTES];
    bool expected = r->state == LEAVING && r->in_flight == 0, was_ready = r->state == READY;
    tell_end(status, r, text, sizeof text);
    kill(-r->pid, SIGKILL); /* helpers it left behind */
    close(r->fd);
    if (r->pidfd >= 0)
        close(r->pidfd);
    bool healthy = r->state != STARTING && mono_ms - r->born_ms >= HEALTHY_MS;
    r->backoff_ms = expected || healthy ? 0 : r->backoff_ms ? r->backoff_ms * 2 : BACKOFF_FIRST_MS;
    if (r->backoff_ms > BACKOFF_MAX_MS)
        r->backoff_ms = BACKOFF_MAX_MS;
    r->start_at_ms = mono_ms + r->backoff_ms;
    r->fd = r->pidfd = -1;
    r->pid = 0;
    r->state = DOWN;
    if (was_ready)
        rs->hooks.on_usable(rs->hooks.ctx, r->slot, false);
    if (!expected)
        rs->hooks.on_crashed(rs->hooks.ctx, r->slot, text);
}

/* ---- what it says --------------------------------------------------------------------------------------------------- */
static void finished_one(runner *r, const hf_frame *frame) {
    if (r->in_flight > 0)
        r->in_flight--;
    if (r->stop.stage && r->stop.attempt == frame->head.attempt && hf_str_eqz(frame->job_id, r->stop.id))
        r->stop.stage = r->stop.stage > 1 ? r->stop.stage : 0; /* past SIGTERM it is as good as dead */
}

static hf_code on_done(hf_runners *rs, runner *r, const hf_frame *frame, hf_err *reterr) {
    hf_record record;
    hf_code code = hf_decode_body(HF_SCHEMA_RECORD, frame->body, &rs->arena, &record, reterr);
    if (code)
        return code;
    if (record.transitions.count != 1)
        return hf_fail(reterr, HF_E_PROTOCOL, "a result of %u transitions", record.transitions.count);
    const hf_variant *end = HF_LIST_AT(record.transitions, hf_variant, 0);
    hf_outcome outcome = {.code = (hf_code)frame->head.code, .duration_us = frame->head.duration_us};
    if (end->branch == HF_EV_COMPLETED && outcome.code == HF_OK)
        outcome.result = &((const hf_ev_completed *)end->record)->result;
    else if (end->branch == HF_EV_FAILED && outcome.code > HF_OK && outcome.code < HF_CODE_COUNT) {
        const hf_job_error *error = &((const hf_ev_failed *)end->record)->error;
        outcome.message = error->message;
        outcome.phase = error->phase;
        outcome.details = error->details;
    } else
        return hf_fail(reterr, HF_E_PROTOCOL, "a result that is neither success nor failure");
    finished_one(r, frame);
    rs->hooks.on_done(rs->hooks.ctx, r->slot, frame->job_id, frame->head.attempt, &outcome);
    return HF_OK;
}

static hf_code on_progress(hf_runners *rs, const runner *r, const hf_frame *frame, hf_err *reterr) {
    hf_progress progress;
    hf_code code = hf_decode_body(HF_SCHEMA_PROGRESS, frame->body, &rs->arena, &progress, reterr);
    if (code)
        return code;
    progress.job_id = frame->job_id;
    progress.attempt = frame->head.attempt;
    rs->hooks.on_progress(rs->hooks.ctx, r->slot, &progress);
    return HF_OK;
}

static hf_code on_announce(hf_runners *rs, const runner *r, const hf_frame *frame, hf_err *reterr) {
    hf_progress said;
    hf_code code = hf_decode_body(HF_SCHEMA_PROGRESS, frame->body, &rs->arena, &said, reterr);
    if (code)
        return code;
    (frame->kind == HF_FRAME_ASK ? rs->hooks.on_ask : rs->hooks.on_announce)(
        rs->hooks.ctx, r->slot, frame->job_id, frame->head.attempt, frame->head.serial, said.phase);
    return HF_OK;
}

static hf_code on_frame(hf_runners *rs, runner *r, const hf_frame *frame, hf_err *reterr) {
    hf_arena_reset(&rs->arena);
    switch (frame->kind) {
    case HF_FRAME_HELLO:
        if (r->state == STARTING) {
            r->state = READY;
            rs->hooks.on_usable(rs->hooks.ctx, r->slot, true);
        }
        return HF_OK;
    case HF_FRAME_PROGRESS: return on_progress(rs, r, frame, reterr);
    case HF_FRAME_ASK:
    case HF_FRAME_ANNOUNCE: return on_announce(rs, r, frame, reterr);
    case HF_FRAME_DONE: return on_done(rs, r, frame, reterr);
    case HF_FRAME_RETURNED:
        finished_one(r, frame);
        rs->hooks.on_returned(rs->hooks.ctx, r->slot, frame->job_id, frame->head.attempt);
        return HF_OK;
    case HF_FRAME_JOB:
    case HF_FRAME_RECALL:
    case HF_FRAME_CANCEL:
    case HF_FRAME_LIMIT:
    case HF_FRAME_ANNOUNCED: break;
    }
    return hf_fail(reterr, HF_E_PROTOCOL, "a message of kind %d", (int)frame->kind);
}

static void take_frames(hf_runners *rs, runner *r) {
    size_t at = 0;
    hf_frame frame;
    hf_err err;
    hf_code code = HF_OK;
    while (!(code = hf_frame_take(&r->in, &at, &frame, &err)))
        if ((code = on_frame(rs, r, &frame, &err)))
            break;
    if (code != HF_E_NOT_FOUND) {
        break_off(r, err.detail);
        at = r->in.len;
    }
    hf_frame_drop(&r->in, at);
}

/* False when nothing more will come. */
static bool read_some(hf_runners *rs, runner *r, int reads) {
    for (int i = 0; i < reads; i++) {
        long n = hf_frame_read(r->fd, &r->in);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0)
            return false;
        take_frames(rs, r);
        if (r->broke[0])
            return false;
    }
    return true;
}

/* ---- out ------------------------------------------------------------------------------------------------------------------ */
static void want_writable(hf_runners *rs, runner *r, bool want) {
    if (r->writable_wanted == want)
        return;
    r->writable_wanted = want;
    watch(rs, r->fd, tag_of(r, false), want ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static void flush(hf_runners *rs, runner *r) {
    while (r->fd >= 0 && r->out_at < r->out.len) {
        ssize_t n = send(r->fd, r->out.data + r->out_at, r->out.len - r->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            if (errno == EAGAIN)
                want_writable(rs, r, true);
            return; /* any other error: its end comes through the pidfd */
        }
        r->out_at += (size_t)n;
    }
    if (r->fd < 0 || r->out_at == 0)
        return;
    hf_buf_clear(&r->out);
    r->out_at = 0;
    want_writable(rs, r, false);
}

static void say(hf_runners *rs, int32_t slot, hf_frame_kind kind, hf_str id, hf_frame_head head) {
    if (slot < 0 || slot >= rs->o.count || rs->list[slot].fd < 0)
        return;
    hf_err err;
    if (hf_frame_put(&rs->list[slot].out, kind, head, id, HF_SCHEMA_COUNT, NULL, &err))
        break_off(&rs->list[slot], "it does not read what it is told");
}

hf_code hf_runners_give(hf_runners *rs, int32_t slot, const hf_job *job, hf_err *reterr) {
    runner *r = slot >= 0 && slot < rs->o.count ? &rs->list[slot] : NULL;
    if (!r || r->state != READY)
        return hf_fail(reterr, HF_E_BUSY, "the runner of slot %d is not ready", slot);
    hf_submission body = {.job_id = job->id, .submitted_at = job->created_at, .spec = *job->spec};
    hf_frame_head head = {.attempt = job->attempt, .threads = rs->o.threads, .bandwidth = hf_job_bandwidth(job)};
    hf_code code = hf_frame_put(&r->out, HF_FRAME_JOB, head, job->id, HF_SCHEMA_SUBMISSION, &body, reterr);
    if (code)
        return code;
    r->in_flight++;
    if (++r->given >= rs->o.runner_jobs)
        r->start_at_ms = r->born_ms + rs->o.min_age_ms; /* when it may be replaced */
    return HF_OK;
}

void hf_runners_recall(hf_runners *rs, int32_t slot, hf_str id, int32_t attempt) {
    say(rs, slot, HF_FRAME_RECALL, id, (hf_frame_head){.attempt = attempt});
}

void hf_runners_limit(hf_runners *rs, int32_t slot, hf_str id, int32_t attempt, int64_t bytes_per_second) {
    say(rs, slot, HF_FRAME_LIMIT, id, (hf_frame_head){.attempt = attempt, .bandwidth = bytes_per_second});
}

void hf_runners_announced(hf_runners *rs, int32_t slot, hf_str id, int32_t attempt, uint32_t serial, hf_code code) {
    say(rs, slot, HF_FRAME_ANNOUNCED, id, (hf_frame_head){.attempt = attempt, .serial = serial, .code = (int32_t)code});
}

void hf_runners_stop(hf_runners *rs, int32_t slot, hf_str id, int32_t attempt, int64_t grace_ms, int64_t mono_ms) {
    if (slot < 0 || slot >= rs->o.count || rs->list[slot].fd < 0 || id.len > HF_ID_MAX_BYTES)
        return;
    runner *r = &rs->list[slot];
    say(rs, slot, HF_FRAME_CANCEL, id, (hf_frame_head){.attempt = attempt});
    r->stop = (stop){.attempt = attempt, .stage = 1, .due_ms = mono_ms + grace_ms, .grace_ms = grace_ms};
    memcpy(r->stop.id, id.p, id.len);
}

void hf_runners_flush(hf_runners *rs) {
    for (int32_t i = 0; i < rs->o.count; i++)
        if (rs->list[i].out.len)
            flush(rs, &rs->list[i]);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------- */
static bool used_up(const hf_runners *rs, const runner *r) { return r->given >= rs->o.runner_jobs; }

static void escalate(runner *r, int64_t mono_ms) {
    if (!r->stop.stage || r->stop.stage > 2 || mono_ms < r->stop.due_ms)
        return;
    signal_group(r, r->stop.stage == 1 ? SIGTERM : SIGKILL);
    r->stop.stage++;
    r->stop.due_ms = mono_ms + r->stop.grace_ms;
}

static void retire(hf_runners *rs, runner *r) {
    r->state = LEAVING;
    rs->hooks.on_usable(rs->hooks.ctx, r->slot, false);
    shutdown(r->fd, SHUT_WR); /* it reads the end, and leaves */
}

static void tend(hf_runners *rs, runner *r, int64_t mono_ms) {
    if (r->state == DOWN && mono_ms >= r->start_at_ms)
        start(rs, r, mono_ms);
    else if (r->state != DOWN)
        escalate(r, mono_ms);
    if (r->state == READY && r->in_flight == 0 && r->out.len == 0 && used_up(rs, r) && mono_ms >= r->start_at_ms)
        retire(rs, r);
}

static void reap(hf_runners *rs, runner *r, int64_t mono_ms) {
    int status = 0;
    if (r->pid <= 0 || waitpid(r->pid, &status, WNOHANG) != r->pid)
        return;
    while (!r->broke[0] && r->in_flight && read_some(rs, r, 1) && errno != EAGAIN) /* its last words */
        ;
    gone(rs, r, status, mono_ms);
}

void hf_runners_step(hf_runners *rs, int64_t mono_ms) {
    struct epoll_event events[64];
    int n = epoll_wait(rs->epoll_fd, events, 64, 0);
    for (int i = 0; i < n; i++) {
        runner *r = &rs->list[events[i].data.u64 >> 1];
        if (r->fd < 0)
            continue;
        if (events[i].data.u64 & 1)
            reap(rs, r, mono_ms);
        else {
            if (events[i].events & EPOLLOUT)
                flush(rs, r);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !read_some(rs, r, READS_A_STEP)) {
                if (r->state != LEAVING)
                    signal_group(r, SIGKILL); /* it is ending already, with a status of its own, or useless */
                epoll_ctl(rs->epoll_fd, EPOLL_CTL_DEL, r->fd, NULL); /* the pidfd tells the rest */
            }
        }
    }
    for (int32_t i = 0; i < rs->o.count; i++)
        tend(rs, &rs->list[i], mono_ms);
    hf_runners_flush(rs);
}

int64_t hf_runners_wake_ms(const hf_runners *rs) {
    int64_t wake = INT64_MAX;
    for (int32_t i = 0; i < rs->o.count; i++) {
        const runner *r = &rs->list[i];
        if (r->state == DOWN || (r->state == READY && used_up(rs, r) && r->in_flight == 0))
            wake = r->start_at_ms < wake ? r->start_at_ms : wake;
        if (r->stop.stage && r->stop.stage <= 2 && r->stop.due_ms < wake)
            wake = r->stop.due_ms;
    }
    return wake;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------------ */
hf_code hf_runners_new(const hf_runner_options *options, const hf_runner_hooks *hooks, hf_runners **ret,
                       hf_err *reterr) {
    hf_runners *rs = hf_alloc(sizeof *rs + (size_t)options->count * sizeof *rs->list);
    if (!rs)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%d runners", options->count);
    rs->o = *options;
    rs->hooks = *hooks;
    hf_arena_init(&rs->arena, 4 * HF_FRAME_MAX);
    rs->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int32_t i = 0; i < options->count; i++) {
        rs->list[i] = (runner){.slot = i, .fd = -1, .pidfd = -1};
        hf_buf_init(&rs->list[i].in, HF_FRAME_IN_MAX);
        hf_buf_init(&rs->list[i].out, OUT_MAX);
    }
    if (rs->epoll_fd < 0) {
        int err = errno;
        hf_runners_free(rs);
        return hf_fail_errno(reterr, err, "epoll");
    }
    *ret = rs;
    return HF_OK;
}

void hf_runners_free(hf_runners *rs) {
    if (!rs)
        return;
    for (int32_t i = 0; i < rs->o.count; i++)
        if (rs->list[i].pid > 0)
            signal_group(&rs->list[i], SIGKILL);
    for (int32_t i = 0; i < rs->o.count; i++) {
        runner *r = &rs->list[i];
        if (r->pid > 0)
            waitpid(r->pid, NULL, 0);
        if (r->fd >= 0)
            close(r->fd);
        if (r->pidfd >= 0)
            close(r->pidfd);
        hf_buf_done(&r->in);
        hf_buf_done(&r->out);
    }
    if (rs->epoll_fd >= 0)
        close(rs->epoll_fd);
    hf_arena_done(&rs->arena);
    free(rs);
}

int hf_runners_fd(const hf_runners *rs) { return rs->epoll_fd; }
int hf_runners_pid(const hf_runners *rs, int32_t slot) {
    return slot >= 0 && slot < rs->o.count ? (int)rs->list[slot].pid : 0;
}
