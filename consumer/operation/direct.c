#include "consumer/operation/direct.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { ARENA_MAX = 16 << 20 };

static atomic_bool cancelled;
static void on_signal(int signal_number) {
    (void)signal_number;
    atomic_store(&cancelled, true);
}

static void print_progress(void *ctx, const hf_progress *p) {
    bool terminal = *(const bool *)ctx;
    if (p->level.len)
        fprintf(stderr, "%.*s: %.*s\n", HF_STR_ARG(p->level), HF_STR_ARG(p->message));
    else if (p->percent < 0)
        fprintf(stderr, "%s%.*s%s\n", terminal ? "\r\033[K" : "", HF_STR_ARG(p->phase), p->message.len ? " …" : "");
    else
        fprintf(stderr,
                terminal ? "\r\033[K%.*s %5.1f%% %.0f MB/s, %lld s left" : "%.*s %5.1f%% %.0f MB/s, %lld s left\n",
                HF_STR_ARG(p->phase), p->percent, p->bytes_per_second / 1e6, (long long)p->eta_seconds);
}

/* There is no record without a fleet: the line on the terminal is all there is. */
static hf_code print_announcement(void *ctx, hf_str text, hf_err *reterr) {
    (void)ctx;
    if (atomic_load(&cancelled))
        return hf_fail(reterr, HF_E_CANCELLED, "cancelled on request");
    fprintf(stderr, "%.*s\n", HF_STR_ARG(text));
    return HF_OK;
}

static void print_outcome(hf_code rc, const hf_result *result, hf_str phase, const hf_err *err) {
    json_t *out;
    if (rc == HF_OK)
        out = hf_json_of(&HF_TYPE_RESULT, result, 0);
    else
        out = json_pack("{s:{s:s, s:s, s:s%}}", "error", "code", hf_code_name(rc), "message", err->detail, "phase",
                        phase.p ? phase.p : "", (size_t)phase.len);
    hf_auto_free char *text = out ? json_dumps(out, JSON_INDENT(2)) : NULL;
    json_decref(out);
    printf("%s\n", text ? text : "{}");
    if (rc != HF_OK)
        fprintf(stderr, "%s: %s\n", hf_code_name(rc), err->detail);
}

int hf_operation_run_direct(hf_str job_id, int32_t attempt, const hf_spec *spec, const hf_config *config,
                            const hf_roots *roots, int threads) {
    hf_arena arena;
    hf_arena_init(&arena, ARENA_MAX);
    bool terminal = isatty(STDERR_FILENO) == 1;
    atomic_llong limit = spec->options.bandwidth_limit;
    hf_run run = {.job_id = job_id,
                  .attempt = attempt,
                  .spec = spec,
                  .config = config,
                  .roots = roots,
                  .threads = threads > 0 ? threads : (int)sysconf(_SC_NPROCESSORS_ONLN),
                  .arena = &arena,
                  .cancel = &cancelled,
                  .bandwidth_limit = &limit,
                  .report = print_progress,
                  .announce = print_announcement,
                  .report_ctx = &terminal};
    struct sigaction act = {.sa_handler = on_signal}, old_int, old_term;
    sigaction(SIGINT, &act, &old_int);
    sigaction(SIGTERM, &act, &old_term);
    hf_result result = {0};
    hf_str phase = HF_STR_NONE;
    hf_err err = {0};
    hf_code rc = hf_operation_run(&run, &result, &phase, &err);
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    if (terminal)
        fputs("\r\033[K", stderr);
    print_outcome(rc, &result, phase, &err);
    hf_arena_done(&arena);
    return rc == HF_OK ? 0 : hf_code_exit_status(rc);
}
