/* The operations ova-create, ova-extract and ova-validate, as a worker runs them. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "consumer/operation/ova/ova.h"
#include "consumer/provider/path.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { REPORT_ITEMS_MAX = 512 };

/* The report, with as many findings and members as fit a result. */
static hf_str report_text(const hf_ova_work *w) {
    for (uint32_t limit = REPORT_ITEMS_MAX; limit > 0; limit /= 2) {
        json_t *report = hf_ova_report(w, limit);
        hf_auto_free char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
        json_decref(report);
        if (text && strlen(text) <= HF_MAX_JSON)
            return hf_arena_str(w->run->arena, hf_str_of(text));
    }
    return HF_STR_NONE;
}

/* Before anything is in place, so that a lack of memory leaves nothing behind. */
static hf_code fill_result(hf_ova_work *w, hf_err *reterr) {
    hf_arena *arena = w->run->arena;
    hf_result *ret = w->result;
    hf_artifact *artifacts = hf_arena_alloc(arena, (w->artifact_count + 1) * sizeof *artifacts);
    const hf_machine *machine = w->appliance->ovf ? &w->appliance->ovf->machine : NULL;
    *ret = (hf_result){.bytes_read = atomic_load(&w->flow.bytes_read),
                       .bytes_written = atomic_load(&w->flow.bytes_written),
                       .vm_name = hf_arena_str(arena, hf_str_of(machine ? machine->name : "")),
                       .os_type = hf_arena_str(arena, hf_str_of(machine ? machine->os_type : "")),
                       .report = report_text(w)};
    if (!artifacts || !ret->report.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the job's result");
    memcpy(artifacts, w->artifacts, w->artifact_count * sizeof *artifacts);
    ret->artifacts = (hf_list){artifacts, w->artifact_count};
    w->result = NULL;
    return HF_OK;
}

typedef hf_code (*action)(hf_ova_work *work, hf_err *reterr);

static hf_code run_action(hf_run *run, action act, const char *phase, hf_result *ret_result, hf_str *ret_phase,
                          hf_err *reterr) {
    hf_ova_work *w = hf_alloc(sizeof *w);
    hf_result result = {0};
    int64_t start = hf_mono_ns();
    *ret_phase = HF_STR("prepare");
    if (!w)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an OVA operation");
    hf_code rc = hf_ova_begin(w, run, reterr);
    w->ready = fill_result;
    w->result = &result;
    if (rc == HF_OK && (rc = hf_ova_open(w, reterr)) == HF_OK) {
        *ret_phase = hf_str_of(phase);
        if ((rc = act(w, reterr)) == HF_OK && w->result) /* nothing was published */
            rc = fill_result(w, reterr);
    }
    hf_ova_end(w);
    free(w);
    result.duration_ms = (hf_mono_ns() - start) / 1000000;
    if (rc == HF_OK)
        *ret_result = result;
    return rc;
}

/* parameters.fail_on: what findings fail the job; without it the job completes, and its report tells. */
static hf_code judge(const hf_ova_work *w, hf_err *reterr) {
    const json_t *value = json_object_get(w->parameters, "fail_on");
    const char *fail_on = value ? json_string_value(value) : "none";
    if (!fail_on || (strcmp(fail_on, "none") != 0 && strcmp(fail_on, "error") != 0 && strcmp(fail_on, "warning") != 0))
        return hf_fail(reterr, HF_E_INVALID, "parameters.fail_on: use one of none, error, warning");
    if (strcmp(fail_on, "none") == 0)
        return HF_OK;
    hf_code rc = hf_findings_verdict(&w->findings, reterr);
    uint32_t warnings = w->findings.by_severity[HF_SEVERITY_WARNING];
    if (rc == HF_OK && strcmp(fail_on, "warning") == 0 && warnings > 0)
        rc =
            hf_fail(reterr, HF_E_SOURCE_INVALID, "%u warnings; validate without fail_on to have them listed", warnings);
    return rc;
}

static hf_code validate(hf_ova_work *w, hf_err *reterr) {
    unsigned flags = json_is_true(json_object_get(w->parameters, "deep")) ? HF_PASS_DEEP : 0;
    hf_code rc = hf_ova_validate(w, flags, reterr);
    return rc == HF_OK ? judge(w, reterr) : rc;
}

static hf_code extract(hf_ova_work *w, hf_err *reterr) { return hf_ova_extract(w, w->run->spec->format, reterr); }
static hf_code pack(hf_ova_work *w, hf_err *reterr) { return hf_ova_pack(w, w->run->spec->name, reterr); }

hf_code hf_op_ova_validate(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return run_action(run, validate, "validate", ret_result, ret_phase, reterr);
}

hf_code hf_op_ova_extract(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return run_action(run, extract, "extract", ret_result, ret_phase, reterr);
}

bool hf_ova_packs(const hf_run *run) {
    char path[HF_MAX_PATH + 1];
    struct stat st;
    hf_auto_fd int fd = -1;
    if (run->spec->disks.count > 0 || hf_path_plain(run->spec->vm_path, path, NULL) != HF_OK)
        return false;
    size_t n = strlen(path);
    if (n > 4 && strcasecmp(path + n - 4, ".ovf") == 0)
        return true;
    return hf_roots_open_file(run->roots, hf_str_of(path), O_RDONLY | O_NONBLOCK, 0, &fd, NULL) == HF_OK &&
           fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A descriptor or directory is packed as it is; anything else is an image, and exported. */
hf_code hf_op_ova_create(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    if (hf_ova_packs(run))
        return run_action(run, pack, "pack", ret_result, ret_phase, reterr);
    hf_spec spec = *run->spec;
    hf_run as_export = *run;
    spec.format = HF_STR("ova");
    as_export.spec = &spec;
    return hf_op_export(&as_export, ret_result, ret_phase, reterr);
}
