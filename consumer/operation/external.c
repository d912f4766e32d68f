/* Runs a declared program: one poll loop feeds stdin, reads stdout line by line, keeps the tail of stderr, and watches
 * the clock and the cancel flag. */
#include "consumer/operation/external.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "consumer/operation/child.h"
#include "consumer/operation/external_private.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { TICK_MS = 50, TAIL_BYTES = 256, READ_BYTES = 16 * 1024, DRAIN_MS = 1000 };

typedef struct session {
    hf_run *run;
    const hf_external *program;
    hf_child child;
    hf_external_talk talk;
    const char *spec;
    size_t spec_len, spec_sent;
    int dir_fd;
    int64_t limit;       /* the bandwidth it was told of; -1: of none */
    int64_t deadline_ns; /* 0: none */
    int64_t output_bytes;
    size_t line_len;
    size_t tail_len;
    char tail[TAIL_BYTES + 1];
    char line[HF_EXTERNAL_LINE_MAX];
} session;

static void feed(session *s) {
    ssize_t n = write(s->child.in, s->spec + s->spec_sent, s->spec_len - s->spec_sent);
    if (n > 0)
        s->spec_sent += (size_t)n;
    if (s->spec_sent == s->spec_len ||
        (n < 0 && errno != EAGAIN && errno != EINTR)) /* EPIPE: it does not want to know */
        hf_close_p(&s->child.in);
}

static hf_code take_stdout(session *s, const char *bytes, size_t len, hf_err *reterr) {
    if ((s->output_bytes += (int64_t)len) > HF_EXTERNAL_OUTPUT_MAX)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program wrote more than %d MiB", HF_EXTERNAL_OUTPUT_MAX >> 20);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (s->line_len == sizeof s->line)
                return hf_fail(reterr, HF_E_PROTOCOL, "the program wrote a line longer than %d KiB",
                               HF_EXTERNAL_LINE_MAX >> 10);
            s->line[s->line_len++] = bytes[i];
            continue;
        }
        hf_code rc = s->line_len ? hf_external_line(&s->talk, (hf_str){s->line, (uint32_t)s->line_len}, reterr) : HF_OK;
        s->line_len = 0;
        if (rc != HF_OK)
            return rc;
    }
    return HF_OK;
}

/* Keeps the last TAIL_BYTES; control characters as spaces. */
static hf_code take_stderr(session *s, const char *bytes, size_t len, hf_err *reterr) {
    if ((s->output_bytes += (int64_t)len) > HF_EXTERNAL_OUTPUT_MAX)
        return hf_fail(reterr, HF_E_PROTOCOL, "the program wrote more than %d MiB", HF_EXTERNAL_OUTPUT_MAX >> 20);
    for (size_t i = len > TAIL_BYTES ? len - TAIL_BYTES : 0; i < len; i++) {
        if (s->tail_len == TAIL_BYTES)
            memmove(s->tail, s->tail + 1, --s->tail_len);
        unsigned char c = (unsigned char)bytes[i];
        s->tail[s->tail_len++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    return HF_OK;
}

/* What there is on *fd; closes it at its end. */
static hf_code drain(session *s, int *fd, hf_code (*take)(session *, const char *, size_t, hf_err *), hf_err *reterr) {
    char block[READ_BYTES];
    ssize_t n = read(*fd, block, sizeof block);
    if (n > 0)
        return take(s, block, (size_t)n, reterr);
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        hf_close_p(fd);
    return HF_OK;
}

static hf_code pump(session *s, int wait_ms, hf_err *reterr) {
    struct pollfd fds[3] = {{.fd = s->child.in, .events = POLLOUT},
                            {.fd = s->child.out, .events = POLLIN},
                            {.fd = s->child.err, .events = POLLIN}};
    if (poll(fds, 3, wait_ms) <= 0)
        return HF_OK;
    hf_code rc = HF_OK;
    if (fds[0].revents && s->child.in >= 0)
        feed(s);
    if (fds[2].revents && s->child.err >= 0)
        rc = drain(s, &s->child.err, take_stderr, reterr);
    if (rc == HF_OK && fds[1].revents && s->child.out >= 0)
        rc = drain(s, &s->child.out, take_stdout, reterr);
    return rc;
}

static hf_code check_limits(const session *s, hf_err *reterr) {
    if (s->run->cancel && atomic_load(s->run->cancel))
        return hf_fail(reterr, HF_E_CANCELLED, "cancelled on request");
    if (s->deadline_ns && hf_mono_ns() > s->deadline_ns)
        return hf_fail(reterr, HF_E_TIMEOUT,
                       "the program did not end within its timeout of %.1f s (worker.operations.%s.timeout)",
                       (double)s->program->timeout_ms / 1000, s->program->name);
    return HF_OK;
}

/* A file that cannot be written now is tried again at the next look. */
static void tell_limit(session *s) {
    int64_t now =
        s->run->bandwidth_limit ? atomic_load(s->run->bandwidth_limit) : s->run->spec->options.bandwidth_limit;
    if (now != s->limit && hf_external_tell_limit(s->dir_fd, now))
        s->limit = now;
}

/* Until the program has ended, or did something it may not. */
static hf_code converse(session *s, hf_err *reterr) {
    hf_code rc = HF_OK;
    bool ended = false;
    while (rc == HF_OK && !ended) {
        bool open = s->child.in >= 0 || s->child.out >= 0 || s->child.err >= 0;
        rc = pump(s, open ? TICK_MS : 0, reterr);
        ended = hf_child_ended(&s->child);
        if (!open && !ended)
            poll(NULL, 0, TICK_MS);
        tell_limit(s);
        if (rc == HF_OK && !ended)
            rc = check_limits(s, reterr);
    }
    int64_t until =
        hf_mono_ns() + DRAIN_MS * 1000000LL; /* what is still in the pipes; a grandchild may hold them open */
    if (rc == HF_OK)
        hf_child_signal(&s->child, SIGKILL);
    while (rc == HF_OK && (s->child.out >= 0 || s->child.err >= 0) && hf_mono_ns() < until)
        rc = pump(s, TICK_MS, reterr);
    if (rc == HF_OK && s->line_len > 0) /* a last line without its newline */
        rc = hf_external_line(&s->talk, (hf_str){s->line, (uint32_t)s->line_len}, reterr);
    return rc;
}

/* SIGTERM first, so that it can clean up; hf_child_finish then kills what is left. */
static void ask_to_end(session *s) {
    int64_t until = hf_mono_ns() + hf_config_int(s->run->config, HF_C_WORKER_KILL_GRACE) * 1000000;
    hf_child_signal(&s->child, SIGTERM);
    while (!hf_child_ended(&s->child) && hf_mono_ns() < until) {
        char block[READ_BYTES]; /* a full pipe must not keep it from ending */
        if (s->child.out >= 0)
            (void)!read(s->child.out, block, sizeof block);
        if (s->child.err >= 0)
            (void)!read(s->child.err, block, sizeof block);
        poll(NULL, 0, TICK_MS / 5);
    }
}

static hf_code run_session(session *s, const hf_child_options *options, hf_str *ret_phase, hf_err *reterr) {
    tell_limit(s);
    hf_code rc = hf_child_start(options, &s->child, reterr);
    if (rc != HF_OK)
        return rc;
    if (s->program->timeout_ms)
        s->deadline_ns = hf_mono_ns() + s->program->timeout_ms * 1000000;
    if ((rc = converse(s, reterr)) != HF_OK)
        ask_to_end(s);
    int status = hf_child_finish(&s->child);
    s->tail[s->tail_len] = 0;
    if (s->talk.phase_text[0]) {
        hf_str phase = hf_arena_str(s->run->arena, hf_str_of(s->talk.phase_text));
        *ret_phase = phase.p ? phase : *ret_phase;
    }
    if (rc != HF_OK)
        return rc;
    return hf_external_judge(&s->talk, status, s->tail, ret_phase, reterr);
}

/* argv and envp in the run's arena. */
static hf_code make_options(const hf_run *run, const hf_external *program, const hf_stage *stage, hf_child_options *ret,
                            hf_err *reterr) {
    hf_arena *arena = run->arena;
    size_t argc = json_array_size(program->command), envc = json_object_size(program->environment), n = 0;
    char **argv = hf_arena_alloc(arena, (argc + 1) * sizeof *argv),
         **envp = hf_arena_alloc(arena, (envc + 9) * sizeof *envp);
    if (!argv || !envp)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the program's command line");
    bool fine = true;
    for (size_t i = 0; i < argc; i++)
        fine &=
            (argv[i] = hf_arena_printf(arena, "%s", json_string_value(json_array_get(program->command, i)))) != NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")) !=
            NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "LANG=C.UTF-8")) != NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "HOME=%s/%s", stage->out_path, stage->dir_name)) != NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "TMPDIR=%s/%s", stage->out_path, stage->dir_name)) != NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "HF_JOB_ID=%.*s", HF_STR_ARG(run->job_id))) != NULL;
    fine &= (envp[n++] = hf_arena_printf(arena, "HF_BANDWIDTH_FILE=%s/%s/" HF_EXTERNAL_LIMIT_FILE, stage->out_path,
                                         stage->dir_name)) != NULL;
    union {
        const json_t *given;
        json_t *walk;
    } e = {.given = program->environment};
    const char *key;
    json_t *value;
    json_object_foreach(e.walk, key, value)
        fine &= (envp[n++] = hf_arena_printf(arena, "%s=%s", key, json_string_value(value))) != NULL;
    *ret = (hf_child_options){.argv = argv, .envp = envp, .cwd_fd = stage->dir_fd};
    return fine ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the program's command line");
}

static hf_code run_in_stage(hf_run *run, const hf_external *program, hf_stage *stage, hf_result *ret_result,
                            hf_str *ret_phase, hf_err *reterr) {
    hf_child_options options;
    hf_auto_free char *spec = hf_external_job_spec(run, stage, reterr);
    hf_auto_free session *s = hf_alloc(sizeof *s);
    if (!spec)
        return reterr ? reterr->code : HF_E_INTERNAL;
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a session with a program");
    *s = (session){.run = run,
                   .program = program,
                   .child = {.in = -1, .out = -1, .err = -1},
                   .talk = {.run = run},
                   .dir_fd = stage->dir_fd,
                   .limit = -1,
                   .spec = spec,
                   .spec_len = strlen(spec)};
    hf_code rc = make_options(run, program, stage, &options, reterr);
    *ret_phase = HF_STR("run");
    if (rc == HF_OK && (rc = run_session(s, &options, ret_phase, reterr)) == HF_OK) {
        *ret_phase = HF_STR("finalize");
        rc = hf_external_outputs(&s->talk, stage, ret_result, reterr);
    }
    json_decref(s->talk.result);
    return rc;
}

hf_code hf_external_run(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_external program;
    hf_stage stage;
    int64_t start = hf_mono_ns();
    *ret_phase = HF_STR("prepare");
    hf_code rc = hf_external_find(run->config, run->spec->operation, &program, reterr);
    if (rc != HF_OK || (rc = hf_stage_open(run, &stage, reterr)) != HF_OK)
        return rc;
    signal(SIGPIPE, SIG_IGN); /* a program that closes stdin early is its own business */
    rc = run_in_stage(run, &program, &stage, ret_result, ret_phase, reterr);
    hf_stage_close(&stage);
    if (rc != HF_OK)
        return hf_context(reterr, "operation %s", program.name);
    ret_result->duration_ms = (hf_mono_ns() - start) / 1000000;
    return HF_OK;
}
