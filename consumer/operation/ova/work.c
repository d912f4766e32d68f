/* What the OVA operations share: opening the input, the list of outputs, publishing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "consumer/operation/ova/ova.h"
#include "consumer/provider/path.h"
#include "schemas/base/mem.h"

hf_code hf_ova_begin(hf_ova_work *w, hf_run *run, hf_err *reterr) {
    *w = (hf_ova_work){.run = run, .hash_outputs = true, .stage = {.out_fd = -1, .dir_fd = -1}};
    w->reporter = (hf_reporter){.run = run, .phase = "prepare", .current = ""};
    hf_reporter_flow(&w->reporter, &w->flow);
    hf_findings_init(&w->findings);
    pthread_mutex_init(&w->lock, NULL);
    hf_report_phase(&w->reporter, "prepare");
    w->parameters = hf_run_parameters(run, reterr);
    return w->parameters ? HF_OK : reterr ? reterr->code : HF_E_INVALID;
}

void hf_ova_end(hf_ova_work *w) {
    hf_stage_close(&w->stage);
    hf_appliance_free(w->appliance);
    hf_findings_done(&w->findings);
    hf_flow_done(&w->flow);
    pthread_mutex_destroy(&w->lock);
    json_decref(w->parameters);
    json_decref(w->outputs);
}

/* The directory a path's last part lies in; *ret_name is that part. */
static hf_code open_parent(hf_ova_work *w, const char **ret_name, int *ret_fd, hf_err *reterr) {
    char *slash = strrchr(w->path, '/');
    *ret_name = slash ? slash + 1 : w->path;
    hf_str parent = slash == w->path ? HF_STR("/") : (hf_str){w->path, slash ? (uint32_t)(slash - w->path) : 0};
    return hf_roots_open_dir(w->run->roots, parent, false, ret_fd, reterr);
}

static bool is_descriptor(const char *path) {
    size_t n = strlen(path);
    return n > 4 && strcasecmp(path + n - 4, ".ovf") == 0;
}

static hf_code open_descriptor(hf_ova_work *w, hf_err *reterr) {
    hf_auto_fd int dir_fd = -1;
    const char *name;
    hf_code rc = open_parent(w, &name, &dir_fd, reterr);
    if (rc == HF_OK)
        rc = hf_appliance_open_dir(dir_fd, name, &w->findings, &w->appliance, reterr);
    return rc;
}

hf_code hf_ova_open(hf_ova_work *w, hf_err *reterr) {
    struct stat st;
    hf_auto_fd int fd = -1;
    hf_code rc = hf_path_plain(w->run->spec->vm_path, w->path, reterr);
    for (size_t n = strlen(w->path); rc == HF_OK && n > 1 && w->path[n - 1] == '/'; n--)
        w->path[n - 1] = 0;
    if (rc != HF_OK ||
        (rc = hf_roots_open_file(w->run->roots, hf_str_of(w->path), O_RDONLY | O_NONBLOCK, 0, &fd, reterr)) != HF_OK)
        return rc;
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", w->path);
    if (S_ISDIR(st.st_mode))
        rc = hf_appliance_open_dir(fd, NULL, &w->findings, &w->appliance, reterr);
    else if (is_descriptor(w->path))
        rc = open_descriptor(w, reterr);
    else
        rc = hf_appliance_open_archive(fd, &w->findings, &w->appliance, reterr);
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", w->path);
}

hf_code hf_ova_validate(hf_ova_work *w, unsigned flags, hf_err *reterr) {
    hf_report_phase(&w->reporter, "validate");
    w->flow.bytes_total = hf_appliance_bytes(w->appliance);
    w->reporter.files_total = (int32_t)w->appliance->member_count;
    hf_code rc = hf_appliance_pass(w->appliance, &(hf_pass){.flags = flags, .flow = &w->flow}, reterr);
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", w->path);
}

/* ---- outputs ----------------------------------------------------------------------------------------------- */
static hf_code add_artifact(hf_ova_work *w, const char *name, const char *kind, int64_t size_bytes, const char *sha256,
                            hf_err *reterr) {
    if (w->artifact_count == HF_STAGE_ENTRIES_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "more than %d files: unpack this archive with tar", HF_STAGE_ENTRIES_MAX);
    const char *dir = strcmp(w->stage.out_path, "/") == 0 ? "" : w->stage.out_path;
    hf_str path = hf_str_of(hf_arena_printf(w->run->arena, "%s/%s", dir, name));
    hf_str sum = hf_arena_str(w->run->arena, hf_str_of(sha256));
    if (!path.p || !sum.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of artifacts");
    w->artifacts[w->artifact_count++] =
        (hf_artifact){.path = path, .kind = hf_str_of(kind), .size_bytes = size_bytes, .sha256 = sum};
    return HF_OK;
}

hf_code hf_ova_add_artifact(hf_ova_work *w, const char *name, const char *kind, int64_t size_bytes, const char *sha256,
                            hf_err *reterr) {
    pthread_mutex_lock(&w->lock);
    hf_code rc = add_artifact(w, name, kind, size_bytes, sha256, reterr);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

hf_code hf_ova_publish(hf_ova_work *w, hf_err *reterr) {
    const char *names[HF_STAGE_ENTRIES_MAX];
    for (uint32_t i = 0; i < w->artifact_count; i++)
        names[i] = strrchr(w->artifacts[i].path.p, '/') + 1;
    hf_code rc = w->ready ? w->ready(w, reterr) : HF_OK;
    if (rc == HF_OK)
        rc = hf_flow_check(&w->flow, reterr); /* the last moment at which a cancel leaves nothing */
    return rc == HF_OK ? hf_stage_publish(&w->stage, names, w->artifact_count, reterr) : rc;
}
