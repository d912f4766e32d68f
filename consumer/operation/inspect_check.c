/* The format's own check. streamOptimized VMDKs are walked by us; the others are qemu-img's to judge: run on the descriptor that was
 * opened and probed, never on a path, in a process bounded in time, memory and output. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "consumer/operation/child.h"
#include "consumer/operation/inspect.h"
#include "consumer/pipeline/vmdk_walk.h"
#include "schemas/base/buf.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { TICK_MS = 50, OUTPUT_MAX = 64 * 1024, WORDS_MAX = 512, BLOCK = 256 * 1024 };
static const int64_t memory_max = 4LL << 30; /* a hostile image must not make the tool take the host's memory */

/* qemu-img check's exit statuses (its manual page). */
enum { CHECK_CLEAN = 0, CHECK_FAILED = 1, CHECK_CORRUPT = 2, CHECK_LEAKS = 3, CHECK_UNSUPPORTED = 63 };

static json_t *verdict(const char *tool, const char *result, const char *detail, hf_err *reterr) {
    json_t *said = json_pack("{s:s, s:s}", "tool", tool, "result", result);
    if (said && *detail && json_object_set_new(said, "detail", hf_inspect_text(detail)) != 0) {
        json_decref(said);
        said = NULL;
    }
    if (!said)
        hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return said;
}

/* ---- qemu-img ------------------------------------------------------------------------------------------------------- */
typedef struct talk {
    hf_child child;
    hf_buf out, err;
    int64_t deadline_ns;
    bool late, long_winded;
} talk;

/* What there is on *fd; closes it at its end. Past `keep` bytes what comes is dropped, unless too_much says to stop. */
static void drain(int *fd, hf_buf *to, bool *too_much) {
    char block[4096];
    ssize_t n = read(*fd, block, sizeof block);
    if (n > 0 && !hf_buf_put(to, block, (size_t)n) && too_much)
        *too_much = true;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        hf_close_p(fd);
}

static void pump(talk *t) {
    struct pollfd fds[2] = {{.fd = t->child.out, .events = POLLIN}, {.fd = t->child.err, .events = POLLIN}};
    if (poll(fds, 2, TICK_MS) <= 0)
        return;
    if (fds[0].revents && t->child.out >= 0)
        drain(&t->child.out, &t->out, &t->long_winded);
    if (fds[1].revents && t->child.err >= 0)
        drain(&t->child.err, &t->err, NULL);
}

/* Until it has ended and said all, or may not go on. */
static hf_code listen_to(talk *t, const hf_flow *flow, hf_err *reterr) {
    while (t->child.out >= 0 || t->child.err >= 0 || !hf_child_ended(&t->child)) {
        hf_code rc = hf_flow_check(flow, reterr);
        if (rc != HF_OK)
            return rc;
        t->late = hf_mono_ns() > t->deadline_ns;
        if (t->late || t->long_winded)
            return HF_OK;
        pump(t);
    }
    return HF_OK;
}

/* Copies the numbers qemu-img gave: {"allocated-clusters": 3} as {"allocated_clusters": 3}. */
static json_t *with_numbers(json_t *said, const talk *t, hf_err *reterr) {
    static const char *const names[] = {"check-errors",        "corruptions",        "leaks",
                                        "total-clusters",      "allocated-clusters", "fragmented-clusters",
                                        "compressed-clusters", "image-end-offset"};
    json_t *json = said ? hf_json_parse(hf_buf_str(&t->out), OUTPUT_MAX, NULL) : NULL;
    bool fine = said != NULL;
    for (size_t i = 0; json && i < HF_ARRAY_LEN(names); i++) {
        const json_t *value = json_object_get(json, names[i]);
        char key[32];
        snprintf(key, sizeof key, "%s", names[i]);
        for (char *c = key; *c; c++)
            *c = *c == '-' ? '_' : *c;
        if (json_is_integer(value))
            fine &= json_object_set_new(said, key, json_integer(json_integer_value(value))) == 0;
    }
    json_decref(json);
    if (fine)
        return said;
    json_decref(said);
    hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return NULL;
}

static json_t *judge(talk *t, int status, int32_t seconds, hf_err *reterr) {
    static const char tool[] = "qemu-img check";
    char words[WORDS_MAX + 1];
    hf_str err = hf_buf_str(&t->err);
    snprintf(words, sizeof words, "%.*s", HF_STR_ARG(err));
    for (char *c = words; *c; c++)
        *c = (unsigned char)*c < 0x20 ? ' ' : *c;
    if (t->late) {
        snprintf(words, sizeof words, "not done within %" PRId32 " s (parameters.check_seconds)", seconds);
        return verdict(tool, "timed out", words, reterr);
    }
    if (t->long_winded)
        return verdict(tool, "failed", "it said more than 64 KiB", reterr);
    switch (WIFEXITED(status) ? WEXITSTATUS(status) : CHECK_FAILED) {
    case CHECK_CLEAN: return with_numbers(verdict(tool, "ok", "", reterr), t, reterr);
    case CHECK_CORRUPT: return with_numbers(verdict(tool, "corrupt", words, reterr), t, reterr);
    case CHECK_LEAKS: return with_numbers(verdict(tool, "leaks", words, reterr), t, reterr);
    case CHECK_UNSUPPORTED: return verdict(tool, "unsupported", "", reterr);
    default: return verdict(tool, "failed", words, reterr);
    }
}

static json_t *run_qemu_img(const hf_inspect *x, hf_format format, int fd, hf_err *reterr) {
    char name[16];
    snprintf(name, sizeof name, "%s", hf_format_qemu(format));
    char *argv[] = {(char[]){"qemu-img"},  (char[]){"check"},
                    (char[]){"-U"},        (char[]){"--output=json"},
                    (char[]){"-f"},        name,
                    (char[]){HF_CHILD_FD}, NULL};
    char *envp[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LANG=C.UTF-8"}, NULL};
    hf_auto_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    hf_child_options options = {.argv = argv, .envp = envp, .cwd_fd = root, .pass_fd = &fd, .memory_bytes = memory_max};
    talk t = {.child = {.in = -1, .out = -1, .err = -1},
              .deadline_ns = hf_mono_ns() + (int64_t)x->check_seconds * 1000000000};
    hf_err failed = {0};
    if (root < 0 || hf_child_start(&options, &t.child, &failed) != HF_OK)
        return verdict("qemu-img check", "not run", failed.detail, reterr);
    hf_close_p(&t.child.in);
    hf_buf_init(&t.out, OUTPUT_MAX);
    hf_buf_init(&t.err, WORDS_MAX);
    hf_code rc = listen_to(&t, x->flow, reterr);
    int status = hf_child_finish(&t.child);
    json_t *said = rc == HF_OK ? judge(&t, status, x->check_seconds, reterr) : NULL;
    hf_buf_done(&t.out);
    hf_buf_done(&t.err);
    return said;
}

/* ---- streams ---------------------------------------------------------------------------------------------------------- */
/* *ret_walked: how far; an error of the file itself, or a cancel, is an error of the job. */
static hf_code feed(const hf_inspect *x, hf_vmdk_walk *walk, int fd, int64_t size, bool *ret_faulty, hf_err *reterr) {
    int64_t deadline = hf_mono_ns() + (int64_t)x->check_seconds * 1000000000;
    hf_auto_free uint8_t *block = hf_alloc(BLOCK);
    if (!block)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a block of a VMDK");
    for (int64_t at = 0; at < size;) {
        size_t n = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        hf_code rc = hf_flow_check(x->flow, reterr);
        if (rc != HF_OK || (rc = hf_read_fully(fd, block, n, at, reterr)) != HF_OK)
            return rc;
        if (hf_mono_ns() > deadline)
            return hf_fail(reterr, HF_E_TIMEOUT, "not done within %" PRId32 " s (parameters.check_seconds)",
                           x->check_seconds);
        if ((rc = hf_vmdk_walk_feed(walk, block, n, reterr)) != HF_OK) {
            *ret_faulty = rc != HF_E_NO_MEMORY;
            return rc;
        }
        at += (int64_t)n;
    }
    return HF_OK;
}

static json_t *walk_stream(const hf_inspect *x, int fd, int64_t size, hf_err *reterr) {
    static const char tool[] = "stream walk";
    hf_vmdk_walk *walk = NULL;
    hf_vmdk_summary summary;
    hf_err fault = {0};
    bool faulty = false;
    hf_code rc = hf_vmdk_walk_new(NULL, NULL, &walk, &fault);
    if (rc == HF_OK && (rc = feed(x, walk, fd, size, &faulty, &fault)) == HF_OK) {
        rc = hf_vmdk_walk_end(walk, &summary, &fault);
        faulty = rc != HF_OK;
    }
    hf_vmdk_walk_free(walk);
    if (faulty)
        return verdict(tool, rc == HF_E_LIMIT || rc == HF_E_UNSUPPORTED ? "unsupported" : "corrupt", fault.detail,
                       reterr);
    if (rc == HF_E_TIMEOUT)
        return verdict(tool, "timed out", fault.detail, reterr);
    if (rc != HF_OK) {
        if (reterr)
            *reterr = fault;
        return NULL;
    }
    json_t *said = json_pack("{s:s, s:s, s:I, s:I, s:I}", "tool", tool, "result", "ok", "grains",
                             (json_int_t)summary.grains, "populated_bytes", (json_int_t)summary.populated_bytes,
                             "padding_bytes", (json_int_t)summary.padding_bytes);
    if (!said)
        hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return said;
}

json_t *hf_inspect_check(const hf_inspect *x, const hf_probe *probe, int fd, int64_t size_bytes, hf_err *reterr) {
    if (x->check_seconds == 0 || probe->format == HF_F_RAW || probe->flat)
        return json_null();
    if (probe->format == HF_F_VMDK && strcmp(probe->detail, "streamOptimized") == 0)
        return walk_stream(x, fd, size_bytes, reterr);
    return run_qemu_img(x, probe->format, fd, reterr);
}
