/* Operation sweep: removes the snapshots that exports of jobs which have ended left on an endpoint's VMs: a worker was killed, and no
 * further attempt came. Whether a job has ended says the fleet's log, as this worker has read it; snapshots of jobs that live are their
 * own attempts' to remove, and those of jobs this fleet never had may be another fleet's: both are kept, and named in the report. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/builtin.h"
#include "consumer/provider/vsphere/own_snapshots.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { FOUND_MAX = 10000, REPORT_MAX = 500 };

typedef struct found {
    struct found *next;
    hf_moref ref;
    char vm[HF_MAX_PATH + 1];
    char name[128];
} found;

typedef struct sweep {
    hf_run *run;
    hf_reporter reporter;
    hf_vsphere *v;
    found *first, *last;
    uint32_t count, vms;
    int removed, kept, failed;
    json_t *report;
} sweep;

/* ---- looking ------------------------------------------------------------------------------------------------ */
static hf_code note(sweep *s, const hf_vsphere_vm *vm, const hf_vsphere_snapshot *snapshot, hf_err *reterr) {
    if (s->count == FOUND_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "more than %d snapshots to look at: sweep folder by folder (vm_path)",
                       FOUND_MAX);
    found *f = hf_alloc(sizeof *f);
    if (!f)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a list of snapshots");
    f->ref = snapshot->ref;
    snprintf(f->vm, sizeof f->vm, "%s", vm->path[0] ? vm->path : vm->ref.value);
    snprintf(f->name, sizeof f->name, "%s", snapshot->name);
    if (s->last)
        s->last->next = f;
    else
        s->first = f;
    s->last = f;
    s->count++;
    return HF_OK;
}

static hf_code take(void *ctx, const hf_vsphere_vm *vm, hf_err *reterr) {
    sweep *s = ctx;
    hf_str job;
    int32_t attempt;
    hf_code code = HF_OK;
    s->vms++;
    for (uint32_t i = 0; code == HF_OK && i < vm->snapshot_count; i++)
        if (hf_snapshot_name_parse(hf_str_of(vm->snapshots[i].name), &job, &attempt))
            code = note(s, vm, &vm->snapshots[i], reterr);
    return code;
}

/* ---- judging and removing ----------------------------------------------------------------------------------- */
static void tell(sweep *s, const found *f, hf_str job, const char *outcome) {
    if (json_array_size(s->report) < REPORT_MAX)
        json_array_append_new(s->report, json_pack("{s:s, s:s, s:s%, s:s}", "vm", f->vm, "snapshot", f->name, "job",
                                                   job.p, (size_t)job.len, "outcome", outcome));
}

static hf_code judge(sweep *s, const found *f, hf_err *reterr) {
    hf_str job = HF_STR_NONE;
    int32_t attempt = 0;
    hf_err err = {0};
    hf_snapshot_name_parse(hf_str_of(f->name), &job, &attempt);
    hf_code code = s->run->job_ended(s->run->report_ctx, job, &err);
    if (code == HF_E_CONFLICT || code == HF_E_NOT_FOUND) {
        s->kept++;
        tell(s, f, job, code == HF_E_CONFLICT ? "kept: the job has not ended" : "kept: no job of this fleet");
        return HF_OK;
    }
    if (code == HF_OK)
        code = hf_snapshot_remove(s->v, &f->ref, &err);
    if (code == HF_E_CANCELLED || code == HF_E_LEASE_LOST) {
        if (reterr)
            *reterr = err;
        return code;
    }
    s->removed += code == HF_OK;
    s->failed += code != HF_OK;
    if (code != HF_OK)
        hf_report_line(&s->reporter, "warn", "%s: snapshot %s: %s", f->vm, f->name, err.detail);
    tell(s, f, job, code == HF_OK ? "removed" : err.detail);
    return HF_OK;
}

static hf_code judge_all(sweep *s, hf_err *reterr) {
    hf_code code = HF_OK;
    s->reporter.files_total = (int32_t)s->count;
    for (const found *f = s->first; f && code == HF_OK; f = f->next) {
        code = judge(s, f, reterr);
        s->reporter.files_done++;
        hf_report_phase(&s->reporter, "remove");
    }
    if (code == HF_OK && s->failed)
        return hf_fail(reterr, HF_E_BUSY,
                       "%d of %" PRIu32 " snapshots could not be removed; which, and why, is in the job's log",
                       s->failed, s->count);
    return code;
}

/* ---- the operation ---------------------------------------------------------------------------------------------- */
static hf_code make_report(const sweep *s, hf_result *ret, hf_err *reterr) {
    json_t *report =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:O}", "endpoint", hf_vsphere_endpoint(s->v)->name, "vms", (int)s->vms,
                  "found", (int)s->count, "removed", s->removed, "kept", s->kept, "snapshots", s->report);
    hf_auto_free char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    if (text && strlen(text) > HF_MAX_JSON) { /* names can be long: the counts always fit */
        json_array_clear(s->report);
        return make_report(s, ret, reterr);
    }
    ret->report = text ? hf_arena_str(s->run->arena, hf_str_of(text)) : HF_STR_NONE;
    return ret->report.p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the report");
}

static hf_code go(sweep *s, const hf_endpoint *endpoint, hf_result *ret, hf_err *reterr) {
    uint32_t unreadable = 0;
    hf_code code = hf_vsphere_open(endpoint, s->run->cancel, &s->v, reterr);
    if (code == HF_OK)
        code = hf_vsphere_each_vm(s->v, s->run->spec->vm_path, take, s, &unreadable, reterr);
    if (code == HF_OK)
        code = judge_all(s, reterr);
    return code == HF_OK ? make_report(s, ret, reterr) : code;
}

static void done(sweep *s) {
    hf_vsphere_close(s->v);
    for (found *f = s->first, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    json_decref(s->report);
}

hf_code hf_op_sweep(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    sweep s = {.run = run, .reporter = {.run = run, .phase = "look", .current = ""}, .report = json_array()};
    hf_endpoint endpoint;
    hf_result result = {0};
    int64_t start = hf_mono_ns();
    *ret_phase = HF_STR("sweep");
    hf_code code = s.report ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    if (code == HF_OK && !run->job_ended)
        code =
            hf_fail(reterr, HF_E_UNSUPPORTED, "sweep asks the fleet's log which jobs have ended: submit it as a job");
    if (code == HF_OK)
        code = hf_endpoint_find(run->config, run->spec->endpoint, &endpoint, reterr);
    if (code == HF_OK) {
        hf_report_phase(&s.reporter, "look");
        code = go(&s, &endpoint, &result, reterr);
    }
    done(&s);
    result.duration_ms = (hf_mono_ns() - start) / 1000000;
    if (code == HF_OK)
        *ret_result = result;
    return code;
}
