/* A trial delivery: `hyperhook test` as a child, on a thread of its own, for as long as the webhook's time-out allows and not longer. The
 * request sleeps meanwhile. What is secret goes through a pipe, never onto a command line. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "journal/http/webhooks.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { OUTPUT_MAX = 64 * 1024, STEP_MS = 100, START_MS = 10000, ENV_MAX = 256 };

typedef struct trial {
    hf_request *request;
    hf_write *write; /* its item's bytes are the outcome, as text */
    char *input;
    int64_t deadline_ms;
    pid_t pid;
    int in, out; /* -1: closed */
    char output[OUTPUT_MAX];
    size_t sent, got;
} trial;

/* ---- the child --------------------------------------------------------------------------------------------- */
static hf_code find_program(char path[PATH_MAX], hf_err *reterr) {
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 16);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash)
        strcpy(slash + 1, "hyperhook");
    return slash && access(path, X_OK) == 0
               ? HF_OK
               : hf_fail(reterr, HF_E_NOT_BUILT,
                         "hyperhook is not beside this sidecar's program, and it makes the trial: install it there");
}

/* What decides where a delivery may go is the sidecar's own configuration, as variables: a proxy may hold a password. */
typedef struct environment {
    char *of[ENV_MAX + 1], text[8][1200];
    size_t count, own;
} environment;

static void set_variable(environment *e, const char *name, const char *value) {
    if (e->own == HF_ARRAY_LEN(e->text))
        return;
    snprintf(e->text[e->own], sizeof e->text[0], "%s=%s", name, value);
    e->of[e->count++] = e->text[e->own++];
}

static void make_environment(const hf_config *config, environment *e) {
    extern char **environ;
    for (char **at = environ; *at && e->count < ENV_MAX - HF_ARRAY_LEN(e->text); at++)
        if (strncmp(*at, "HF_", 3) != 0)
            e->of[e->count++] = *at;
    set_variable(e, "HF_FLEET", hf_config_str(config, HF_C_FLEET));
    set_variable(e, "HF_WEBHOOK_ALLOW_PRIVATE", hf_config_bool(config, HF_C_WEBHOOK_ALLOW_PRIVATE) ? "true" : "false");
    if (*hf_config_str(config, HF_C_WEBHOOK_CA))
        set_variable(e, "HF_WEBHOOK_CA_FILE", hf_config_str(config, HF_C_WEBHOOK_CA));
    if (*hf_config_str(config, HF_C_WEBHOOK_PROXY))
        set_variable(e, "HF_WEBHOOK_PROXY", hf_config_str(config, HF_C_WEBHOOK_PROXY));
}

static int spawn_with(trial *t, const char *path, int in, int out) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    char name[] = "hyperhook", command[] = "test";
    char *const argv[] = {name, command, NULL};
    environment *e = hf_alloc(sizeof *e);
    if (!e)
        return ENOMEM;
    make_environment(t->request->http->options.config, e);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int err = posix_spawn(&t->pid, path, &files, &attributes, argv, e->of);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    free(e);
    return err;
}

static hf_code start(trial *t, hf_err *reterr) {
    char path[PATH_MAX];
    int in[2], out[2];
    hf_code code = find_program(path, reterr);
    if (code)
        return code;
    if (pipe2(in, O_CLOEXEC) != 0)
        return hf_fail_errno(reterr, errno, "a pipe to hyperhook");
    if (pipe2(out, O_CLOEXEC) != 0) {
        code = hf_fail_errno(reterr, errno, "a pipe to hyperhook");
        close(in[0]);
        close(in[1]);
        return code;
    }
    int err = spawn_with(t, path, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    t->in = in[1];
    t->out = out[0];
    fcntl(t->in, F_SETFL, O_NONBLOCK);
    fcntl(t->out, F_SETFL, O_NONBLOCK);
    return err ? hf_fail_errno(reterr, err, "cannot run %s", path) : HF_OK;
}

/* ---- talking to it ----------------------------------------------------------------------------------------- */
static void shut(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void feed(trial *t) {
    size_t len = strlen(t->input);
    ssize_t n = write(t->in, t->input + t->sent, len - t->sent);
    if (n > 0)
        t->sent += (size_t)n;
    if (t->sent == len || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&t->in);
}

static void take(trial *t) {
    ssize_t n = read(t->out, t->output + t->got, sizeof t->output - t->got);
    if (n > 0)
        t->got += (size_t)n;
    if (n == 0 || t->got == sizeof t->output || (n < 0 && errno != EAGAIN && errno != EINTR))
        shut(&t->out);
}

/* True: it closed its output in time. */
static bool talk(trial *t) {
    hf_http *http = t->request->http;
    while (t->out >= 0 && hf_mono_ms(http->clock) < t->deadline_ms && !atomic_load(&http->stopping)) {
        struct pollfd fds[] = {{t->out, POLLIN, 0}, {t->in, POLLOUT, 0}};
        if (poll(fds, 2, STEP_MS) <= 0)
            continue;
        if (fds[1].revents)
            feed(t);
        if (fds[0].revents)
            take(t);
    }
    return t->out < 0;
}

/* It is given a moment to end by itself; then it is ended. */
static void reap(trial *t, bool in_time) {
    int status;
    shut(&t->in);
    shut(&t->out);
    for (int i = 0; in_time && i < 20; i++) {
        if (waitpid(t->pid, &status, WNOHANG) != 0)
            return;
        poll(NULL, 0, STEP_MS / 2);
    }
    kill(t->pid, SIGKILL);
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR) {}
}

static hf_code run(trial *t, hf_err *reterr) {
    hf_code code = start(t, reterr);
    if (code) {
        shut(&t->in);
        shut(&t->out);
        return code;
    }
    bool in_time = talk(t);
    reap(t, in_time);
    if (!in_time)
        return hf_fail(reterr, HF_E_TIMEOUT, "hyperhook did not tell what came of the trial in time");
    json_t *outcome = hf_json_parse((hf_str){t->output, (uint32_t)t->got}, OUTPUT_MAX, NULL);
    char *text = json_is_object(outcome) ? json_dumps(outcome, 0) : NULL;
    json_decref(outcome);
    if (!text)
        return hf_fail(reterr, HF_E_TOOL_FAILED, "hyperhook ended without an outcome; the sidecar's log says why");
    t->write->items[0].bytes = text;
    return HF_OK;
}

static void *run_on(void *arg) {
    trial *t = arg;
    hf_http *http = t->request->http;
    struct MHD_Connection *connection = t->request->connection;
    hf_err err = {0};
    hf_code code = run(t, &err);
    hf_write_settle(&t->write->items[0], code, err.detail);
    free(t->input);
    free(t);
    MHD_resume_connection(connection);
    atomic_fetch_sub(&http->trials, 1);
    return NULL;
}

void hf_webhook_trials_end(hf_http *http) {
    while (atomic_load(&http->trials) > 0)
        poll(NULL, 0, STEP_MS / 10);
}

/* ---- the request ------------------------------------------------------------------------------------------- */
static void answer(hf_request *r, hf_write *w) {
    hf_err err;
    const hf_write_item *item = &w->items[0];
    if (item->code != HF_OK || !item->bytes) {
        hf_fail(&err, item->code ? item->code : HF_E_TOOL_FAILED, "%s", item->error);
        hf_reply_err(r, &err);
        return;
    }
    json_t *o = json_loads(item->bytes, 0, NULL);
    json_object_set_new(o, "timestamp", hf_json_now());
    hf_reply_json(r, 200, o);
}

static trial *trial_of(hf_request *r, const hf_webhook *webhook, const hf_webhook_secret *secret) {
    trial *t = hf_alloc(sizeof *t);
    hf_webhook bounded = *webhook;
    if (bounded.timeout_ms > HF_TRIAL_MAX_MS)
        bounded.timeout_ms = HF_TRIAL_MAX_MS;
    json_t *json = hf_webhook_json_whole(&bounded, secret);
    if (t) {
        t->request = r;
        t->in = t->out = -1;
        t->input = json ? json_dumps(json, 0) : NULL;
        t->deadline_ms = hf_mono_ms(r->http->clock) + bounded.timeout_ms + START_MS;
        t->write = hf_write_new(r, 1, answer);
    }
    json_decref(json);
    if (t && t->input && t->write)
        return t;
    if (t)
        free(t->input);
    free(t);
    return NULL;
}

void hf_webhook_try(hf_request *r, const hf_webhook *webhook, const hf_webhook_secret *secret) {
    pthread_t thread;
    pthread_attr_t attributes;
    if (atomic_load(&r->http->stopping) || atomic_fetch_add(&r->http->trials, 1) >= HF_TRIALS_MAX) {
        atomic_fetch_sub(&r->http->trials, 1);
        hf_reply_error(r, 503, "%d trials are under way already; try again in a moment", HF_TRIALS_MAX);
        return;
    }
    trial *t = trial_of(r, webhook, secret);
    if (!t) {
        atomic_fetch_sub(&r->http->trials, 1);
        hf_reply_error(r, 503, "no memory for the request");
        return;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    MHD_suspend_connection(r->connection); /* before the thread can resume it */
    if (pthread_create(&thread, &attributes, run_on, t) != 0) {
        hf_write_settle(&t->write->items[0], HF_E_BUSY, "no thread for the trial; try again in a moment");
        free(t->input);
        free(t);
        atomic_fetch_sub(&r->http->trials, 1);
        MHD_resume_connection(r->connection);
    }
    pthread_attr_destroy(&attributes);
}
