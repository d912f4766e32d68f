#include "producer/ctl/dev/fleet.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "producer/ctl/dev/refill.h"
#include "schemas/base/clock.h"
#include "schemas/base/host.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"

enum {
    START_MS = 120000,  /* for all to be ready; a sanitised build on a busy machine needs some of it */
    START_FAILURES = 3, /* deaths of one program before it was ever ready */
    STOP_MS = 10000,    /* beyond worker.drain_timeout */
    SETTLE_MS = 5000,   /* for the journal to take what the others said last */
    TICK_MS = 200,
};

static int64_t now(void) { return hf_mono_ms(hf_clock_system()); }

/* ---- making the children -------------------------------------------------------------------------------- */
/* The sidecar's real address: the one to use again when the journal is restarted. */
static void on_note(void *ctx, const char *name, const char *value) {
    hf_dev *dev = ctx;
    hf_child *journal = &dev->children[HF_DEV_JOURNAL];
    char *text = NULL;
    if (strcmp(name, "HTTP") != 0 || asprintf(&text, "http.listen=%s", value) < 0)
        return;
    snprintf(dev->http, sizeof dev->http, "%s", value);
    for (int i = 0; i < journal->argc; i++)
        if (strncmp(journal->argv[i], "http.listen=", 12) == 0) {
            free(journal->argv[i]);
            journal->argv[i] = HF_TAKE(text);
        }
    free(text);
}

static hf_code set(hf_child *child, const char *key, const char *value, hf_err *reterr) {
    hf_code code = hf_child_arg(child, reterr, "--set");
    return code ? code : hf_child_arg(child, reterr, "%s=%s", key, value);
}

/* What a trial fleet wants, then what the user said, then what must be so. */
static hf_code add_settings(hf_dev *dev, hf_child *child, hf_err *reterr) {
    static const char *const soft[][2] = {{"dev", "true"},
                                          {"worker.sleep_operation", "true"},
                                          {"kafka.fetch.wait.max.ms", "10"},
                                          {"worker.drain_timeout", "5s"},
                                          {"webhook.allow_private", "true"}}; /* receivers are on this machine, too */
    const char *const hard[][2] = {
        {"fleet", "dev"}, {"kafka.bootstrap.servers", dev->kafka}, {"state_dir", dev->state.dir}};
    const char *config = hf_args_get(&dev->ctl->args, HF_OPT_CONFIG);
    hf_code code = HF_OK;
    if (config && !(code = hf_child_arg(child, reterr, "--config")))
        code = hf_child_arg(child, reterr, "%s", config);
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(soft); i++)
        code = set(child, soft[i][0], soft[i][1], reterr);
    if (!code && *dev->secrets_file)
        code = set(child, "webhook.secrets_file", dev->secrets_file, reterr);
    size_t cursor = 0;
    for (const char *given; !code && (given = hf_args_next(&dev->ctl->args, HF_OPT_SET, &cursor));)
        if (!(code = hf_child_arg(child, reterr, "--set")))
            code = hf_child_arg(child, reterr, "%s", given);
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(hard); i++)
        code = set(child, hard[i][0], hard[i][1], reterr);
    return code;
}

static hf_code make_child(hf_dev *dev, const char *name, const char *program, hf_err *reterr) {
    hf_child *child = &dev->children[dev->child_count];
    hf_code code = hf_child_init(child, name, program, dev->state.log_dir, reterr);
    dev->child_count++;
    child->on_note = on_note;
    child->ctx = dev;
    return code ? code : add_settings(dev, child, reterr);
}

hf_code hf_dev_make_children(hf_dev *dev, long workers, hf_err *reterr) {
    dev->children = hf_alloc((size_t)(HF_DEV_WORKER + workers) * sizeof *dev->children);
    if (!dev->children)
        return hf_fail(reterr, HF_E_NO_MEMORY, "children");
    hf_code code = make_child(dev, "hyperjournal", "hyperjournal", reterr);
    if (!code)
        code = set(&dev->children[HF_DEV_JOURNAL], "http.listen", dev->http, reterr);
    if (!code)
        code = make_child(dev, "hyperhook", "hyperhook", reterr);
    if (!code)
        code = make_child(dev, "hyperdispatch", "hyperdispatch", reterr);
    for (long i = 1; !code && i <= workers; i++) {
        char name[32], id[32];
        snprintf(name, sizeof name, "hyperworker-%ld", i);
        snprintf(id, sizeof id, "worker-%ld", i);
        code = make_child(dev, name, "hyperworker", reterr);
        if (!code)
            code = set(&dev->children[dev->child_count - 1], "worker.id", id, reterr);
    }
    return code;
}

/* ---- one turn --------------------------------------------------------------------------------------------- */
static void take_signals(hf_dev *dev) {
    struct signalfd_siginfo info;
    while (read(dev->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD)
            dev->signals++;
}

static void wait_for_news(hf_dev *dev, int timeout_ms) {
    struct pollfd fds[1 + 2 * (HF_DEV_WORKER + HF_DEV_WORKERS_MAX)] = {{dev->signal_fd, POLLIN, 0}};
    nfds_t n = 1;
    for (size_t i = 0; i < dev->child_count; i++) {
        fds[n++] = (struct pollfd){dev->children[i].out_fd, POLLIN, 0};
        fds[n++] = (struct pollfd){dev->children[i].ready_fd, POLLIN, 0};
    }
    poll(fds, n, timeout_ms);
    take_signals(dev);
    for (size_t i = 0; i < dev->child_count; i++)
        hf_child_read(&dev->children[i], now());
}

static void say_death(const hf_child *child) {
    char text[128];
    fprintf(stderr, "hyperctl dev: %s ended (%s); it is started again in %.1f s\n", child->name,
            hf_child_end_text(child, text, sizeof text), (double)(child->restart_at_ms - now()) / 1000);
}

static void restart_due(hf_dev *dev, hf_child *child) {
    hf_err err;
    if (child->state != HF_CHILD_WAITING || child->restart_at_ms > now())
        return;
    if (hf_child_start(child, now(), &err)) {
        fprintf(stderr, "hyperctl dev: %s\n", err.detail);
        child->restart_at_ms = now() + HF_CHILD_BACKOFF_MAX_MS;
        return;
    }
    fprintf(stderr, "hyperctl dev: %s runs again, pid %d\n", child->name, (int)child->pid);
    if (dev->published && hf_dev_publish(dev, &err))
        fprintf(stderr, "hyperctl dev: %s\n", err.detail);
}

/* ---- starting ----------------------------------------------------------------------------------------------- */
static hf_code start_failed(const hf_child *child, hf_err *reterr) {
    char text[128];
    return hf_fail(reterr, HF_E_TOOL_FAILED, "%s ended (%s) before it was ready: %.200s. Its log is %.150s",
                   child->name, hf_child_end_text(child, text, sizeof text),
                   *child->last_error ? child->last_error : "it said nothing", child->log_path);
}

/* Trying again mends no usage and no configuration. */
static bool is_hopeless(const hf_child *child) {
    int status = WIFEXITED(child->exit_status) ? WEXITSTATUS(child->exit_status) : 0;
    return child->failures >= START_FAILURES || status == hf_code_exit_status(HF_E_USAGE) ||
           status == hf_code_exit_status(HF_E_CONFIG) || status == 127;
}

static hf_code tend_starting(hf_dev *dev, size_t *ret_ready, hf_err *reterr) {
    *ret_ready = 0;
    for (size_t i = 0; i < dev->child_count; i++) {
        hf_child *child = &dev->children[i];
        if (hf_child_reap(child, now())) {
            if (is_hopeless(child))
                return start_failed(child, reterr);
            say_death(child);
        }
        restart_due(dev, child);
        *ret_ready += child->state == HF_CHILD_READY;
    }
    return HF_OK;
}

static hf_code too_slow(const hf_dev *dev, hf_err *reterr) {
    for (size_t i = 0; i < dev->child_count; i++)
        if (dev->children[i].state != HF_CHILD_READY)
            return hf_fail(reterr, HF_E_TIMEOUT, "%s was not ready within %d s; its log is %.300s",
                           dev->children[i].name, START_MS / 1000, dev->children[i].log_path);
    return HF_OK;
}

hf_code hf_dev_start(hf_dev *dev, hf_err *reterr) {
    hf_code code = HF_OK;
    size_t ready = 0;
    for (size_t i = 0; !code && i < dev->child_count; i++)
        code = hf_child_start(&dev->children[i], now(), reterr);
    for (int64_t until = now() + START_MS; !code && ready < dev->child_count;
         code = code ? code : tend_starting(dev, &ready, reterr)) {
        wait_for_news(dev, TICK_MS);
        if (dev->signals)
            return hf_fail(reterr, HF_E_CANCELLED, "interrupted while starting");
        if (now() > until)
            code = too_slow(dev, reterr);
    }
    return code;
}

/* ---- running -------------------------------------------------------------------------------------------------- */
static int next_timeout(const hf_dev *dev) {
    int64_t until = now() + 1000;
    for (size_t i = 0; i < dev->child_count; i++)
        if (dev->children[i].state == HF_CHILD_WAITING && dev->children[i].restart_at_ms < until)
            until = dev->children[i].restart_at_ms;
    return until > now() ? (int)(until - now()) : 0;
}

void hf_dev_run(hf_dev *dev) {
    while (!dev->signals) {
        wait_for_news(dev, next_timeout(dev));
        for (size_t i = 0; i < dev->child_count; i++) {
            if (hf_child_reap(&dev->children[i], now()))
                say_death(&dev->children[i]);
            if (!dev->signals)
                restart_due(dev, &dev->children[i]);
        }
    }
}

/* ---- stopping --------------------------------------------------------------------------------------------------- */
static bool any_runs(const hf_dev *dev, size_t from, size_t to) {
    for (size_t i = from; i < to; i++)
        if (dev->children[i].pid > 0)
            return true;
    return false;
}

/* Asks children from..to to end, and kills those that have not when the time is over or a second signal comes. */
static void end_some(hf_dev *dev, size_t from, size_t to, int64_t wait_ms) {
    int signals = dev->signals;
    bool killed = false;
    for (size_t i = from; i < to; i++)
        hf_child_signal(&dev->children[i], SIGTERM);
    for (int64_t until = now() + wait_ms; any_runs(dev, from, to);) {
        wait_for_news(dev, TICK_MS);
        for (size_t i = 0; i < dev->child_count; i++)
            if (hf_child_reap(&dev->children[i], now()))
                dev->children[i].state = HF_CHILD_STOPPED;
        if (killed || (now() < until && dev->signals == signals))
            continue;
        killed = true;
        for (size_t i = from; i < to; i++)
            if (dev->children[i].pid > 0) {
                fprintf(stderr, "hyperctl dev: %s did not end in time and is killed\n", dev->children[i].name);
                hf_child_signal(&dev->children[i], SIGKILL);
            }
    }
}

/* Our own connection to our own broker, to see how far the journal is. */
static hf_code connect_to_broker(const hf_dev *dev, hf_klog **ret, hf_err *reterr) {
    char set[400], incarnation[HF_UUID_BYTES], name[256];
    snprintf(set, sizeof set, "kafka.bootstrap.servers='%s'", dev->kafka);
    hf_code code = hf_config_set(dev->ctl->config, set, reterr);
    if (!code)
        code = hf_config_set(dev->ctl->config, "fleet=dev", reterr);
    hf_producer_name("hyperctl", hf_id_new(hf_clock_system(), hf_random_system(), incarnation), name, sizeof name);
    return code ? code : hf_klog_open(dev->ctl->config, name, false, SETTLE_MS, ret, reterr);
}

/* What the broker acknowledged must be in the journal before both are gone: the journal's copy is the durable one. */
static void settle(hf_dev *dev) {
    hf_err err = {0};
    hf_klog *log = NULL;
    const hf_child *journal = &dev->children[HF_DEV_JOURNAL];
    if (journal->state != HF_CHILD_READY)
        return;
    int64_t lag = -1, until = now() + SETTLE_MS;
    hf_code code = connect_to_broker(dev, &log, &err);
    while (log && journal->pid > 0) {
        code = hf_dev_journal_lag(log, dev->journal_dir, &lag, &err);
        if ((!code && lag == 0) || code == HF_E_NOT_FOUND || now() > until)
            break;
        wait_for_news(dev, 20);
        hf_child_reap(&dev->children[HF_DEV_JOURNAL], now());
    }
    hf_klog_close(log);
    if (lag > 0)
        fprintf(stderr, "hyperctl dev: the journal lacks %" PRId64 " records of the broker; they end with it\n", lag);
    else if (code)
        fprintf(stderr, "hyperctl dev: could not see whether the journal has all: %s\n", err.detail);
}

void hf_dev_stop(hf_dev *dev) {
    int64_t drain = hf_config_int(dev->ctl->config, HF_C_WORKER_DRAIN);
    if (dev->child_count == 0)
        return;
    end_some(dev, HF_DEV_HOOK, dev->child_count, drain + STOP_MS);
    settle(dev);
    end_some(dev, HF_DEV_JOURNAL, HF_DEV_JOURNAL + 1, STOP_MS);
}
