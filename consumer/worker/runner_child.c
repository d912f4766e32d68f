/* The runner: one thread works through the jobs it was given, the main thread listens, so that a cancel is heard
 * whatever a provider's library does. Results of quick jobs are collected and leave in one write. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "consumer/operation/operation.h"
#include "consumer/worker/frame.h"
#include "consumer/worker/runner.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum {
    OUT_FLUSH = 16 * 1024, /* bytes of results that are worth a write of their own */
    OUT_MAX = 4 * 1024 * 1024,
    HOLD_MS = 2, /* results wait no longer for company */
    PROGRESS_MS = 250,
    LINES_BURST = 200,
    LINES_A_SECOND = 20, /* log lines of one job */
    ANNOUNCE_MS = 60000, /* an announcement that is not on record by then never will be, for this attempt */
    ARENA_MAX = 256 * 1024 * 1024,
};

typedef struct task {
    struct task *prev, *next;
    hf_frame_head head;
    uint32_t id_len, body_len;
    char bytes[]; /* id, body */
} task;

typedef struct child {
    const hf_runner_child_options *o;
    hf_roots roots;
    pthread_mutex_t lock; /* queue, running */
    pthread_cond_t more;
    task *queue, *running;
    atomic_bool cancel;
    atomic_llong bandwidth;
    pthread_mutex_t out_lock; /* out, and writing it; taken after `lock`, never before */
    hf_buf out;
    int64_t progress_at_ms, lines_at_ms;
    double lines; /* how many more may be told now */
    uint64_t lines_dropped;
    char phase[HF_ID_MAX_BYTES + 1];
    pthread_cond_t answered; /* an announcement was, or the job was cancelled */
    uint32_t announced;      /* serial of the last announcement; the answer to it is in announced_code */
    bool waiting;
    bool ending; /* SIGTERM came: no other job is begun */
    hf_code announced_code;
} child;

static int parent_pid, term_pipe[2] = {-1, -1};

static hf_str task_id(const task *t) { return (hf_str){t->bytes, t->id_len}; }

/* ---- out ---------------------------------------------------------------------------------------------------- */
static void flush_locked(child *c) {
    for (size_t at = 0; at < c->out.len;) {
        ssize_t n = send(c->o->fd, c->out.data + at, c->out.len - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            _exit(0); /* the worker is gone */
        at += (size_t)n;
    }
    hf_buf_clear(&c->out);
}

static void flush(child *c) {
    pthread_mutex_lock(&c->out_lock);
    flush_locked(c);
    pthread_mutex_unlock(&c->out_lock);
}

static hf_code say(child *c, hf_frame_kind kind, hf_frame_head head, hf_str id, hf_schema schema, const void *record,
                   hf_err *reterr) {
    pthread_mutex_lock(&c->out_lock);
    if (c->out.len > OUT_MAX / 2)
        flush_locked(c);
    hf_code code = hf_frame_put(&c->out, kind, head, id, schema, record, reterr);
    if (c->out.len >= OUT_FLUSH || kind == HF_FRAME_PROGRESS || kind == HF_FRAME_ANNOUNCE || kind == HF_FRAME_ASK ||
        kind == HF_FRAME_HELLO)
        flush_locked(c);
    pthread_mutex_unlock(&c->out_lock);
    return code;
}

/* ---- one job -------------------------------------------------------------------------------------------------- */
static bool may_tell_line(child *c, int64_t now_ms) {
    c->lines += (double)(now_ms - c->lines_at_ms) * LINES_A_SECOND / 1000;
    c->lines = c->lines > LINES_BURST ? LINES_BURST : c->lines;
    c->lines_at_ms = now_ms;
    if (c->lines < 1) {
        c->lines_dropped++;
        return false;
    }
    c->lines--;
    return true;
}

static bool may_tell_progress(child *c, const hf_progress *p, int64_t now_ms) {
    bool phase_new = p->phase.len && !hf_str_eqz(p->phase, c->phase);
    if (!phase_new && now_ms - c->progress_at_ms < PROGRESS_MS)
        return false;
    if (phase_new)
        snprintf(c->phase, sizeof c->phase, "%.*s", HF_STR_ARG(p->phase));
    c->progress_at_ms = now_ms;
    return true;
}

static hf_str clip(hf_str s, uint32_t max) { return s.len <= max ? s : (hf_str){s.p, max}; }

static void report(void *ctx, const hf_progress *progress) {
    child *c = ctx;
    int64_t now_ms = hf_mono_ms(hf_clock_system());
    pthread_mutex_lock(&c->lock);
    bool tell = progress->level.len ? may_tell_line(c, now_ms) : may_tell_progress(c, progress, now_ms);
    uint64_t dropped = progress->level.len && tell ? c->lines_dropped : 0;
    c->lines_dropped -= dropped;
    const task *t = c->running;
    pthread_mutex_unlock(&c->lock);
    if (!tell || !t)
        return;
    hf_progress p = *progress;
    char text[512];
    p.at = hf_wall_ms(hf_clock_system());
    p.message = clip(p.message, 4000);
    p.current = clip(p.current, HF_MAX_PATH);
    p.phase = clip(p.phase, HF_ID_MAX_BYTES);
    if (dropped) {
        snprintf(text, sizeof text, "(%llu lines left out) %.*s", (unsigned long long)dropped,
                 (int)(p.message.len < 400 ? p.message.len : 400), p.message.p ? p.message.p : "");
        p.message = hf_str_of(text);
    }
    hf_err err;
    say(c, HF_FRAME_PROGRESS, (hf_frame_head){.attempt = t->head.attempt}, task_id(t), HF_SCHEMA_PROGRESS, &p, &err);
}

/* ---- announcements: asked by the job's threads, answered by the listening one ---------------------------------------- */
static hf_code wait_answer(child *c, uint32_t serial, hf_err *reterr) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ANNOUNCE_MS / 1000;
    int err = 0;
    pthread_mutex_lock(&c->lock);
    while (c->waiting && !atomic_load(&c->cancel) && err == 0)
        err = pthread_cond_timedwait(&c->answered, &c->lock, &end);
    hf_code code = !c->waiting ? c->announced_code : err ? HF_E_TIMEOUT : HF_E_CANCELLED;
    c->waiting = false;
    pthread_mutex_unlock(&c->lock);
    if (code == HF_E_LEASE_LOST)
        return hf_fail(reterr, code, "the log has given this job to another attempt");
    if (code == HF_E_TIMEOUT)
        return hf_fail(reterr, code, "announcement %u was not on record within %d s: is Kafka there?", serial,
                       ANNOUNCE_MS / 1000);
    if (code == HF_E_CANCELLED)
        return hf_fail(reterr, code, "cancelled on request");
    return code ? hf_fail(reterr, code, "the worker says no: %s", hf_code_name(code)) : HF_OK;
}

static hf_code ask(child *c, hf_frame_kind kind, hf_str text, hf_err *reterr) {
    if (!text.len || text.len > HF_ID_MAX_BYTES)
        return hf_fail(reterr, HF_E_LIMIT, "an announcement or question of %u bytes: 1 to %d", text.len,
                       HF_ID_MAX_BYTES);
    pthread_mutex_lock(&c->lock);
    const task *t = c->running;
    bool busy = c->waiting || !t;
    uint32_t serial = busy ? 0 : ++c->announced;
    c->waiting = c->waiting || !busy;
    pthread_mutex_unlock(&c->lock);
    if (busy)
        return hf_fail(reterr, HF_E_BUSY, "another announcement or question of this job is under way");
    hf_frame_head head = {.attempt = t->head.attempt, .serial = serial};
    hf_progress p = {.phase = text};
    hf_code code = say(c, kind, head, task_id(t), HF_SCHEMA_PROGRESS, &p, reterr);
    if (code == HF_OK)
        return wait_answer(c, serial, reterr);
    pthread_mutex_lock(&c->lock);
    c->waiting = false;
    pthread_mutex_unlock(&c->lock);
    return code;
}

static hf_code announce(void *ctx, hf_str text, hf_err *reterr) { return ask(ctx, HF_FRAME_ANNOUNCE, text, reterr); }
static hf_code job_ended(void *ctx, hf_str job_id, hf_err *reterr) { return ask(ctx, HF_FRAME_ASK, job_id, reterr); }

/* Under the lock. */
static void on_announced(child *c, const hf_frame *frame) {
    if (!c->waiting || frame->head.serial != c->announced)
        return; /* one that waited long enough */
    c->waiting = false;
    c->announced_code =
        frame->head.code >= 0 && frame->head.code < HF_CODE_COUNT ? (hf_code)frame->head.code : HF_E_INTERNAL;
    pthread_cond_broadcast(&c->answered);
}

static hf_code run(child *c, const task *t, hf_arena *arena, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_submission job;
    hf_code code =
        hf_decode_body(HF_SCHEMA_SUBMISSION, (hf_str){t->bytes + t->id_len, t->body_len}, arena, &job, reterr);
    if (code)
        return code;
    job.spec.options.bandwidth_limit =
        t->head.bandwidth; /* what it is now: for operations that run as programs of their own */
    hf_run r = {.job_id = task_id(t),
                .attempt = t->head.attempt,
                .spec = &job.spec,
                .config = c->o->config,
                .roots = &c->roots,
                .threads = t->head.threads,
                .arena = arena,
                .cancel = &c->cancel,
                .bandwidth_limit = &c->bandwidth,
                .report = report,
                .announce = announce,
                .job_ended = job_ended,
                .report_ctx = c};
    return hf_operation_run(&r, ret_result, ret_phase, reterr);
}

/* A result over the bounds of a record is a failure that says so; that message always fits. */
static void tell_end(child *c, const task *t, hf_code code, const hf_result *result, hf_str phase, hf_err *err,
                     int64_t us) {
    hf_frame_head head = {.attempt = t->head.attempt, .code = (int32_t)code, .duration_us = us};
    static const hf_result none;
    hf_ev_completed completed = {.result = code == HF_OK && result ? *result : none};
    hf_ev_failed failed = {.error = {.code = hf_str_of(hf_code_name(code)),
                                     .message = hf_str_of(err->detail),
                                     .phase = clip(phase, HF_ID_MAX_BYTES)}};
    hf_variant end = code == HF_OK ? (hf_variant){HF_EV_COMPLETED, &completed} : (hf_variant){HF_EV_FAILED, &failed};
    hf_record record = {.job_id = task_id(t), .attempt = t->head.attempt, .transitions = {&end, 1}};
    if (say(c, HF_FRAME_DONE, head, task_id(t), HF_SCHEMA_RECORD, &record, err) && code == HF_OK) {
        hf_context(err, "the result");
        tell_end(c, t, err->code, NULL, HF_STR("result"), err, us);
    }
}

static void run_and_tell(child *c, const task *t, hf_arena *arena) {
    hf_result result;
    hf_type_init(&HF_TYPE_RESULT, &result);
    hf_str phase = HF_STR_NONE;
    hf_err err = {0};
    int64_t began = hf_mono_ns();
    hf_code code = run(c, t, arena, &result, &phase, &err);
    int64_t us = (hf_mono_ns() - began) / 1000;
    if (result.duration_ms == 0)
        result.duration_ms = us / 1000;
    tell_end(c, t, code, &result, phase, &err, us > 0 ? us : 1);
    hf_arena_reset(arena);
}

/* The next job; what was finished leaves before this thread waits. */
static task *next_task(child *c, task *done) {
    pthread_mutex_lock(&c->lock);
    c->running = NULL;
    free(done);
    if (!c->queue || c->ending) {
        pthread_mutex_unlock(&c->lock);
        flush(c);
        pthread_mutex_lock(&c->lock);
    }
    if (c->ending)
        _exit(128 + SIGTERM);
    while (!c->queue)
        pthread_cond_wait(&c->more, &c->lock);
    task *t = c->running = c->queue;
    DL_DELETE(c->queue, t);
    atomic_store(&c->cancel, false);
    atomic_store(&c->bandwidth, t->head.bandwidth);
    c->progress_at_ms = INT64_MIN / 2;
    c->lines = LINES_BURST;
    c->lines_dropped = 0;
    c->phase[0] = 0;
    pthread_mutex_unlock(&c->lock);
    return t;
}

static void *work(void *ctx) {
    child *c = ctx;
    hf_arena arena;
    hf_arena_init(&arena, ARENA_MAX);
    for (task *t = NULL;;) {
        t = next_task(c, t);
        run_and_tell(c, t, &arena);
    }
    return NULL;
}

/* ---- what the worker says ------------------------------------------------------------------------------------------ */
static bool is(const task *t, const hf_frame *frame) {
    return t && t->head.attempt == frame->head.attempt && hf_str_eq(task_id(t), frame->job_id);
}

static void on_job(child *c, const hf_frame *frame) {
    task *t = hf_alloc(sizeof *t + frame->job_id.len + frame->body.len);
    hf_err err;
    if (!t) { /* not begun: the worker gives it to somebody else */
        say(c, HF_FRAME_RETURNED, (hf_frame_head){.attempt = frame->head.attempt}, frame->job_id, HF_SCHEMA_COUNT, NULL,
            &err);
        flush(c);
        return;
    }
    t->head = frame->head;
    t->id_len = frame->job_id.len;
    t->body_len = frame->body.len;
    memcpy(t->bytes, frame->job_id.p, t->id_len);
    memcpy(t->bytes + t->id_len, frame->body.p, t->body_len);
    DL_APPEND(c->queue, t);
}

static bool recall(child *c, const hf_frame *frame) {
    task *t = NULL;
    DL_FOREACH(c->queue, t)
    if (is(t, frame)) {
        DL_DELETE(c->queue, t);
        free(t);
        return true;
    }
    return false; /* it began, or has ended */
}

/* Of the job that runs, or of one behind it. */
static void on_limit(child *c, const hf_frame *frame) {
    task *t = NULL;
    if (is(c->running, frame))
        atomic_store(&c->bandwidth, frame->head.bandwidth);
    DL_FOREACH(c->queue, t)
    if (is(t, frame))
        t->head.bandwidth = frame->head.bandwidth;
}

static void on_frame(child *c, const hf_frame *frame) {
    hf_err err;
    bool returned = false;
    pthread_mutex_lock(&c->lock);
    if (frame->kind == HF_FRAME_JOB)
        on_job(c, frame);
    else if (frame->kind == HF_FRAME_RECALL)
        returned = recall(c, frame);
    else if (frame->kind == HF_FRAME_CANCEL && is(c->running, frame)) {
        atomic_store(&c->cancel, true);
        pthread_cond_broadcast(&c->answered);
    } else if (frame->kind == HF_FRAME_ANNOUNCED && is(c->running, frame))
        on_announced(c, frame);
    else if (frame->kind == HF_FRAME_LIMIT)
        on_limit(c, frame);
    pthread_mutex_unlock(&c->lock);
    if (returned) {
        say(c, HF_FRAME_RETURNED, (hf_frame_head){.attempt = frame->head.attempt}, frame->job_id, HF_SCHEMA_COUNT, NULL,
            &err);
        flush(c);
    }
}

static int take_frames(child *c, hf_buf *in) {
    size_t at = 0;
    hf_frame frame;
    hf_err err;
    hf_code code = HF_OK;
    while (!(code = hf_frame_take(in, &at, &frame, &err)))
        on_frame(c, &frame);
    hf_frame_drop(in, at);
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->more);
    pthread_mutex_unlock(&c->lock);
    return code == HF_E_NOT_FOUND ? 0 : hf_code_exit_status(code);
}

/* Results that wait for company leave after HOLD_MS even while a job runs. */
static int wait_ms(child *c) {
    pthread_mutex_lock(&c->lock);
    bool busy = c->queue != NULL;
    pthread_mutex_unlock(&c->lock);
    if (pthread_mutex_trylock(&c->out_lock))
        return HOLD_MS;
    busy |= c->out.len > 0;
    pthread_mutex_unlock(&c->out_lock);
    return busy ? HOLD_MS : -1;
}

static void flush_if_free(child *c) {
    if (pthread_mutex_trylock(&c->out_lock))
        return;
    flush_locked(c);
    pthread_mutex_unlock(&c->out_lock);
}

/* Nothing runs: it ends at once. */
static void end_soon(child *c) {
    pthread_mutex_lock(&c->lock);
    c->ending = true;
    atomic_store(&c->cancel, true);
    pthread_cond_broadcast(&c->answered);
    bool idle = !c->running;
    pthread_mutex_unlock(&c->lock);
    if (!idle)
        return;
    flush(c);
    _exit(128 + SIGTERM);
}

static int listen_to_worker(child *c) {
    hf_buf in;
    hf_buf_init(&in, HF_FRAME_IN_MAX);
    for (;;) {
        struct pollfd p[2] = {{.fd = c->o->fd, .events = POLLIN}, {.fd = term_pipe[0], .events = POLLIN}};
        int n = poll(p, c->ending ? 1 : 2, wait_ms(c));
        if (n == 0)
            flush_if_free(c);
        if (n > 0 && p[1].revents)
            end_soon(c);
        if (n <= 0 || !p[0].revents)
            continue;
        long got = hf_frame_read(c->o->fd, &in);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return 0; /* the worker closed it, or died */
        int status = got > 0 ? take_frames(c, &in) : 0;
        if (status)
            return status;
    }
}

/* ---- beginning ---------------------------------------------------------------------------------------------------------- */
/* Only the worker's SIGTERM counts: a service manager that signals the whole group means the worker, which drains.
 * The first one cancels what runs, which may hold things elsewhere (leases, snapshots, sessions) that it has to give back; the runner
 * ends when that is done, or by the worker's SIGKILL. */
static void on_term(int number, siginfo_t *info, void *context) {
    (void)context, (void)number;
    int saved = errno;
    if (info->si_pid == parent_pid && write(term_pipe[1], "", 1) < 0)
        _exit(128 + SIGTERM);
    errno = saved;
}

static void set_signals(void) {
    struct sigaction term = {.sa_sigaction = on_term, .sa_flags = SA_SIGINFO | SA_RESTART},
                     ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

/* When memory is short the kernel shall take a runner, not the worker that would tell about it. */
static void offer_to_oom_killer(void) {
    hf_auto_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "500\n", 4) < 0)
        return; /* not allowed: so be it */
}

int hf_runner_main(const hf_runner_child_options *options) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != options->parent) /* it died before the line above */
        return 0;
    parent_pid = options->parent;
    fcntl(options->fd, F_SETFD, FD_CLOEXEC);
    if (pipe2(term_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return hf_code_exit_status(HF_E_IO);
    set_signals();
    offer_to_oom_killer();
    static child c = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .out_lock = PTHREAD_MUTEX_INITIALIZER};
    c.o = options;
    hf_buf_init(&c.out, OUT_MAX);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c.answered, &monotonic);
    pthread_condattr_destroy(&monotonic);
    hf_err err;
    pthread_t worker;
    hf_code code = hf_roots_open(options->config, options->any_root, &c.roots, &err);
    if (!code && pthread_create(&worker, NULL, work, &c))
        code = hf_fail(&err, HF_E_NO_MEMORY, "the runner's thread");
    if (!code)
        code = say(&c, HF_FRAME_HELLO, (hf_frame_head){0}, HF_STR_NONE, HF_SCHEMA_COUNT, NULL, &err);
    if (code) {
        HF_LOG_ERR(ERROR, "runner-failed", &err, {"pid", HF_V_INT(getpid())});
        return hf_code_exit_status(code);
    }
    int status = listen_to_worker(&c);
    _exit(status); /* the other thread may be in the middle of anything */
}
