/* The table of operations, and what the built-in ones share. */
#include "consumer/operation/operation.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "consumer/operation/builtin.h"
#include "consumer/operation/external.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

static const hf_operation operations[] = {
#define HF_OPERATION(name, function, needs, summary) {name, summary, function, needs},
#include "consumer/operation/operations.def"
#undef HF_OPERATION
    {NULL, NULL, NULL, NULL}};

const hf_operation *hf_operations(void) { return operations; }

const hf_operation *hf_operation_find(hf_str name) {
    for (const hf_operation *o = operations; o->name; o++)
        if (hf_str_eqz(name, o->name))
            return o;
    return NULL;
}

bool hf_operation_offered(const hf_config *config, const hf_operation *operation) {
    return operation->run != hf_op_sleep || hf_config_bool(config, HF_C_WORKER_SLEEP) ||
           hf_config_bool(config, HF_C_DEV);
}

hf_code hf_operation_run(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_str name = run->spec->operation.len ? run->spec->operation : HF_STR("export");
    const hf_operation *operation = hf_operation_find(name);
    *ret_phase = HF_STR("prepare");
    if (operation && hf_operation_offered(run->config, operation))
        return operation->run(run, ret_result, ret_phase, reterr);
    if (!operation && hf_external_has(run->config, name))
        return hf_external_run(run, ret_result, ret_phase, reterr);
    return hf_fail(reterr, HF_E_OPERATION_UNKNOWN,
                   "operation %.*s: this worker offers it neither built in nor in worker.operations", HF_STR_ARG(name));
}

static hf_code open_allowed(void *ctx, hf_str path, int *ret_fd, hf_err *reterr) {
    /* O_NONBLOCK: a FIFO must not hang the worker; it is refused later, by its type. */
    return hf_roots_open_file(ctx, path, O_RDONLY | O_NONBLOCK, 0, ret_fd, reterr);
}

static hf_code announce(void *job, hf_str text, hf_err *reterr) {
    const hf_run *run = job;
    return run->announce ? run->announce(run->report_ctx, text, reterr) : HF_OK;
}

static void tell(void *job, const char *level, const char *text) {
    const hf_run *run = job;
    hf_progress line = {.percent = -1, .eta_seconds = -1, .level = hf_str_of(level), .message = hf_str_of(text)};
    if (run->report)
        run->report(run->report_ctx, &line);
}

hf_opener hf_run_opener(const hf_run *run) {
    union {
        const hf_roots *roots;
        const hf_run *run;
        void *ctx; /* only read */
    } roots = {.roots = run->roots}, job = {.run = run};
    return (hf_opener){.open = open_allowed,
                       .ctx = roots.ctx,
                       .config = run->config,
                       .job_id = run->job_id,
                       .attempt = run->attempt,
                       .announce = announce,
                       .tell = tell,
                       .job = job.ctx};
}

static void report(hf_reporter *r, const hf_flow_progress *p) {
    if (!r->run->report)
        return;
    hf_progress progress = {.phase = hf_str_of(r->phase),
                            .percent =
                                p && p->bytes_total > 0 ? 100.0 * (double)p->bytes_done / (double)p->bytes_total : -1,
                            .bytes_done = p ? p->bytes_done : 0,
                            .bytes_total = p ? p->bytes_total : 0,
                            .bytes_per_second = p ? p->bytes_per_second : 0,
                            .eta_seconds = p ? p->eta_seconds : -1,
                            .files_done = r->files_done,
                            .files_total = r->files_total,
                            .current = hf_str_of(r->current)};
    char details[160];
    if (p && r->disk > 0) {
        int64_t done = p->bytes_done - r->disk_from;
        done = done < 0 ? 0 : done > r->disk_total ? r->disk_total : done;
        snprintf(details, sizeof details,
                 "{\"disk\": %" PRId32 ", \"disks\": %" PRId32 ", \"disk_bytes_done\": %" PRId64
                 ", \"disk_bytes_total\": %" PRId64 "}",
                 r->disk, r->files_total, done, r->disk_total);
        progress.details = hf_str_of(details);
    }
    r->run->report(r->run->report_ctx, &progress);
}

static void on_flow(void *ctx, const hf_flow_progress *p) { report(ctx, p); }

void hf_reporter_flow(hf_reporter *reporter, hf_flow *ret_flow) {
    hf_run *run = reporter->run;
    int64_t asked = run->spec->options.bandwidth_limit;
    atomic_llong *limit = run->bandwidth_limit ? run->bandwidth_limit : &reporter->own_limit;
    if (!run->bandwidth_limit) /* else whoever runs it sets it */
        atomic_store(limit, asked);
    hf_flow_init(ret_flow);
    ret_flow->cancel = run->cancel;
    ret_flow->bandwidth_limit = limit;
    ret_flow->progress = on_flow;
    ret_flow->progress_ctx = reporter;
}

void hf_report_phase(hf_reporter *reporter, const char *phase) {
    reporter->phase = phase;
    report(reporter, NULL);
}

void hf_report_line(hf_reporter *reporter, const char *level, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hf_progress line = {.phase = hf_str_of(reporter->phase),
                        .percent = -1,
                        .eta_seconds = -1,
                        .message = hf_str_of(text),
                        .level = hf_str_of(level)};
    if (reporter->run->report)
        reporter->run->report(reporter->run->report_ctx, &line);
}

json_t *hf_run_parameters(const hf_run *run, hf_err *reterr) {
    if (run->spec->parameters.len == 0)
        return json_object();
    json_t *json = hf_json_parse(run->spec->parameters, HF_MAX_JSON, reterr);
    if (json && !json_is_object(json)) {
        json_decref(json);
        hf_fail(reterr, HF_E_INVALID, "parameters must be a JSON object");
        return NULL;
    }
    return json;
}

void hf_file_name(hf_str text, char name[81]) {
    size_t n = 0;
    for (uint32_t i = 0; i < text.len && n < 80; i++) {
        char c = text.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                     c == '_' || c == '-';
        if (!plain)
            c = '-';
        if ((c == '-' && (n == 0 || name[n - 1] == '-')) || (c == '.' && n == 0))
            continue; /* no leading dot or dash, no rows of dashes */
        name[n++] = c;
    }
    while (n > 0 && (name[n - 1] == '-' || name[n - 1] == '.'))
        n--;
    if (n == 0) {
        memcpy(name, "vm", 2);
        n = 2;
    }
    name[n] = 0;
}
