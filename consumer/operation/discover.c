/* Operation discover: the VMs of an endpoint, all or those below an inventory path. Each is a line of the artifact
 * NAME.vms.jsonl as it comes; the result's report has the counts, and as many VMs as fit. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/builtin.h"
#include "consumer/operation/stage.h"
#include "consumer/pipeline/out.h"
#include "consumer/provider/vsphere/inventory.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { LINES_FLUSH = 256 * 1024, LINE_ROOM = 256 * 1024, REPORT_HEAD = 4096, PROGRESS_EVERY = 50 };

typedef struct discovery {
    hf_run *run;
    hf_reporter reporter;
    hf_stage stage;
    int fd; /* of the artifact; -1 where the job has no output_dir */
    hf_out out;
    hf_buf lines;
    json_t *vms; /* of the report */
    size_t report_bytes;
    uint32_t total, powers[HF_POWER_SUSPENDED + 1], unreadable;
} discovery;

/* ---- one VM --------------------------------------------------------------------------------------------------- */
static json_t *disks_of(const hf_vsphere_vm *vm) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < vm->disk_count; i++) {
        const hf_vsphere_disk *d = &vm->disks[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "label", d->label, "size_bytes",
                                              (json_int_t)d->capacity_bytes, "file", d->backing));
    }
    return list;
}

static json_t *snapshots_of(const hf_vsphere_vm *vm) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < vm->snapshot_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "name", vm->snapshots[i].name, "moref",
                                              vm->snapshots[i].ref.value, "depth", (int)vm->snapshots[i].depth));
    return list;
}

static json_t *networks_of(const hf_machine *m) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->nic_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "network", m->nics[i].network, "mac", m->nics[i].mac));
    return list;
}

static int64_t disk_bytes(const hf_vsphere_vm *vm) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < vm->disk_count; i++)
        sum += vm->disks[i].capacity_bytes;
    return sum;
}

static json_t *brief(const hf_vsphere_vm *vm) {
    const hf_machine *m = &vm->machine;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I}", "name", m->name, "path", vm->path, "moref",
                     vm->ref.value, "power_state", hf_power_name(vm->power), "guest_os", m->os_name, "cpus",
                     (int)m->cpus, "memory_mb", (int)m->memory_mb, "disk_bytes", (json_int_t)disk_bytes(vm));
}

static json_t *in_full(const hf_vsphere_vm *vm) {
    const hf_machine *m = &vm->machine;
    json_t *full = brief(vm);
    json_t *more = json_pack("{s:s, s:s, s:s, s:b, s:s, s:o, s:o, s:o, s:i}", "guest_id", m->os_type, "host", vm->host,
                             "uuid", vm->uuid, "template", vm->is_template, "firmware",
                             m->firmware == HF_FIRMWARE_EFI ? "efi" : "bios", "disks", disks_of(vm), "networks",
                             networks_of(m), "snapshots", snapshots_of(vm), "snapshot_count", (int)vm->snapshots_total);
    bool good = full && more && json_object_update(full, more) == 0;
    json_decref(more);
    if (good)
        return full;
    json_decref(full);
    return NULL;
}

/* ---- the artifact ----------------------------------------------------------------------------------------------- */
static hf_code flush_lines(discovery *d, hf_err *reterr) {
    if (d->fd < 0 || d->lines.len == 0)
        return HF_OK;
    hf_code code = hf_out_append(&d->out, d->lines.data, d->lines.len, reterr);
    hf_buf_clear(&d->lines);
    return code;
}

static hf_code put_line(discovery *d, const hf_vsphere_vm *vm, hf_err *reterr) {
    if (d->fd < 0)
        return HF_OK;
    json_t *json = in_full(vm);
    hf_auto_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text || !hf_buf_puts(&d->lines, text) || !hf_buf_put(&d->lines, "\n", 1))
        return hf_fail(reterr, HF_E_NO_MEMORY, "VM %s", vm->machine.name);
    return d->lines.len > LINES_FLUSH ? flush_lines(d, reterr) : HF_OK;
}

static hf_code put_brief(discovery *d, const hf_vsphere_vm *vm, hf_err *reterr) {
    json_t *json = d->report_bytes < HF_MAX_JSON ? brief(vm) : NULL;
    if (!json && d->report_bytes < HF_MAX_JSON)
        return hf_fail(reterr, HF_E_NO_MEMORY, "VM %s", vm->machine.name);
    size_t bytes = json ? json_dumpb(json, NULL, 0, JSON_COMPACT) + 1 : 0;
    if (json && d->report_bytes + bytes <= HF_MAX_JSON) {
        d->report_bytes += bytes;
        json_array_append_new(d->vms, json);
        return HF_OK;
    }
    json_decref(json);
    d->report_bytes = HF_MAX_JSON; /* the first that does not fit is the end: no gaps */
    return HF_OK;
}

static hf_code take(void *ctx, const hf_vsphere_vm *vm, hf_err *reterr) {
    discovery *d = ctx;
    d->total++;
    d->powers[vm->power]++;
    d->reporter.files_done = (int32_t)d->total;
    hf_code code = put_line(d, vm, reterr);
    if (!code)
        code = put_brief(d, vm, reterr);
    if (d->total % PROGRESS_EVERY == 0)
        hf_report_phase(&d->reporter, "discover");
    return code;
}

/* ---- the report --------------------------------------------------------------------------------------------------- */
static hf_code make_report(discovery *d, const hf_vsphere *v, hf_result *ret, hf_err *reterr) {
    const hf_vsphere_content *about = hf_vsphere_about(v);
    json_t *powers = json_object();
    for (size_t p = 0; p < HF_ARRAY_LEN(d->powers); p++)
        if (d->powers[p] || p == HF_POWER_OFF || p == HF_POWER_ON)
            json_object_set_new(powers, hf_power_name((hf_power)p), json_integer((json_int_t)d->powers[p]));
    uint32_t listed = (uint32_t)json_array_size(d->vms);
    json_t *report =
        json_pack("{s:s, s:s, s:s, s:s, s:s%, s:i, s:i, s:o, s:i, s:O}", "provider", "vsphere", "endpoint",
                  hf_vsphere_endpoint(v)->name, "server", about->full_name, "api_version", about->api_version, "below",
                  d->run->spec->vm_path.p ? d->run->spec->vm_path.p : "", (size_t)d->run->spec->vm_path.len, "total",
                  (int)d->total, "unreadable", (int)d->unreadable, "power_states", powers, "left_out",
                  (int)(d->total - listed), "vms", d->vms);
    hf_auto_free char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    ret->report = text ? hf_arena_str(d->run->arena, hf_str_of(text)) : HF_STR_NONE;
    if (!ret->report.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    if (ret->report.len > HF_MAX_JSON)
        return hf_fail(reterr, HF_E_LIMIT, "the report has %u bytes and may have %d", ret->report.len, HF_MAX_JSON);
    return HF_OK;
}

static hf_code publish(discovery *d, const char *file, hf_result *ret, hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX], other[HF_DIGEST_HEX_MAX];
    const char *names[1] = {file};
    hf_code code = flush_lines(d, reterr);
    if (code || (code = hf_out_end(&d->out, hex, other, reterr)))
        return code;
    if (fsync(d->fd) != 0)
        return hf_fail_errno(reterr, errno, "%s", file);
    hf_artifact *artifact = hf_arena_alloc(d->run->arena, sizeof *artifact);
    char *path = hf_arena_printf(d->run->arena, "%s/%s", d->stage.out_path, file);
    hf_str sum = hf_arena_str(d->run->arena, hf_str_of(hex));
    if (!artifact || !path || !sum.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the result");
    if ((code = hf_stage_publish(&d->stage, names, 1, reterr)))
        return code;
    *artifact = (hf_artifact){hf_str_of(path), HF_STR("report"), d->out.len, sum};
    ret->artifacts = (hf_list){artifact, 1};
    ret->bytes_written = d->out.len;
    return HF_OK;
}

/* ---- the operation ------------------------------------------------------------------------------------------------- */
static hf_code look(discovery *d, hf_vsphere *v, hf_result *ret, hf_err *reterr) {
    char name[81], file[128];
    const hf_spec *spec = d->run->spec;
    hf_file_name(spec->name.len ? spec->name : hf_str_of(hf_vsphere_endpoint(v)->name), name);
    snprintf(file, sizeof file, "%s.vms.jsonl", name);
    hf_code code = HF_OK;
    if (spec->output_dir.len) {
        if ((code = hf_stage_check_free(&d->stage, file, reterr)) ||
            (code = hf_stage_create(d->stage.dir_fd, file, &d->fd, reterr)) ||
            (code = hf_out_init(&d->out, d->fd, 0, HF_DIGEST_NONE, NULL, reterr)))
            return code;
    }
    hf_report_phase(&d->reporter, "discover");
    code = hf_vsphere_each_vm(v, spec->vm_path, take, d, &d->unreadable, reterr);
    if (!code)
        code = make_report(d, v, ret, reterr);
    return code || d->fd < 0 ? code : publish(d, file, ret, reterr);
}

static hf_code check_source(const hf_spec *spec, hf_err *reterr) {
    if (spec->provider.len == 0 || hf_str_eqz(spec->provider, "vsphere"))
        return HF_OK;
    return hf_fail(reterr, HF_E_UNSUPPORTED, "discover: provider %.*s has no inventory; vsphere has",
                   HF_STR_ARG(spec->provider));
}

static hf_code run_in_stage(discovery *d, const hf_endpoint *endpoint, hf_result *ret, hf_err *reterr) {
    hf_vsphere *v = NULL;
    hf_code code = hf_vsphere_open(endpoint, d->run->cancel, &v, reterr);
    if (!code)
        code = look(d, v, ret, reterr);
    hf_vsphere_close(v);
    return code;
}

static hf_code with_stage(discovery *d, const hf_endpoint *endpoint, hf_result *ret, hf_err *reterr) {
    bool has_output = d->run->spec->output_dir.len > 0;
    hf_code code = has_output ? hf_stage_open(d->run, &d->stage, reterr) : HF_OK;
    if (code)
        return code;
    code = run_in_stage(d, endpoint, ret, reterr);
    hf_close_p(&d->fd);
    if (has_output)
        hf_stage_close(&d->stage);
    return code;
}

hf_code hf_op_discover(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    discovery d = {.run = run, .fd = -1, .reporter = {.run = run, .phase = "connect", .current = ""}};
    hf_result result = {0};
    hf_endpoint endpoint;
    int64_t start = hf_mono_ns();
    *ret_phase = HF_STR("discover");
    hf_report_phase(&d.reporter, "connect");
    hf_code code = check_source(run->spec, reterr);
    if (!code)
        code = hf_endpoint_find(run->config, run->spec->endpoint, &endpoint, reterr);
    if (code)
        return code;
    hf_buf_init(&d.lines, LINES_FLUSH + LINE_ROOM);
    d.vms = json_array();
    d.report_bytes = REPORT_HEAD + run->spec->vm_path.len * 6;
    code = d.vms ? with_stage(&d, &endpoint, &result, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "discover");
    if (!code) {
        result.duration_ms = (hf_mono_ns() - start) / 1000000;
        *ret_result = result;
    }
    hf_out_done(&d.out);
    json_decref(d.vms);
    hf_buf_done(&d.lines);
    return code;
}
