/* Operation inspect: what each disk image is, as a JSON report in the result, and as a file where the job has an output_dir. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/builtin.h"
#include "consumer/operation/partition.h"
#include "consumer/operation/stage.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static json_t *disk_report(const hf_vm_disk *d, hf_err *reterr) {
    const hf_source *s = d->source;
    json_t *report = hf_partitions_report(d->source, reterr);
    if (!report)
        return NULL;
    json_t *head = json_pack("{s:s%, s:s, s:s, s:I, s:I, s:I, s:i}", "path", d->path.p, (size_t)d->path.len, "format",
                             hf_format_name(d->probe.format), "variant", d->probe.detail, "virtual_bytes",
                             (json_int_t)s->size_bytes, "allocated_bytes", (json_int_t)s->allocated_bytes, "file_bytes",
                             (json_int_t)s->id.size_bytes, "snapshots", (int)d->probe.snapshots);
    if (!head) {
        json_decref(report);
        hf_fail(reterr, HF_E_NO_MEMORY, "the report");
        return NULL;
    }
    json_object_update(head, report);
    json_decref(report);
    return head;
}

static char *vm_report(const hf_vm *vm, hf_err *reterr) {
    json_t *disks = json_array();
    for (uint32_t i = 0; i < vm->disk_count; i++) {
        json_t *disk = disk_report(&vm->disks[i], reterr);
        if (!disk) {
            json_decref(disks);
            hf_context(reterr, "%.*s", HF_STR_ARG(vm->disks[i].path));
            return NULL;
        }
        json_array_append_new(disks, disk);
    }
    json_t *report = json_pack("{s:o}", "disks", disks);
    char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    if (!text)
        hf_fail(reterr, HF_E_NO_MEMORY, "the report");
    return text;
}

/* A fresh file in the private directory, durable. */
static hf_code write_durably(const hf_stage *stage, const char *name, hf_str text, hf_err *reterr) {
    hf_auto_fd int fd = -1;
    hf_code rc = hf_stage_create(stage->dir_fd, name, &fd, reterr);
    if (rc != HF_OK || (rc = hf_write_fully(fd, text.p, text.len, 0, reterr)) != HF_OK)
        return rc;
    return fsync(fd) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "%s", name);
}

static hf_code publish_report(hf_run *run, hf_stage *stage, const char *name, hf_str text, hf_result *result,
                              hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX];
    const char *names[1] = {name};
    hf_code rc = write_durably(stage, name, text, reterr);
    if (rc != HF_OK || (rc = hf_digest_bytes(HF_DIGEST_SHA256, text.p, text.len, hex, reterr)) != HF_OK)
        return rc;
    hf_artifact *artifact = hf_arena_alloc(run->arena, sizeof *artifact);
    char *path = hf_arena_printf(run->arena, "%s/%s", stage->out_path, name);
    hf_str sum = hf_arena_str(run->arena, hf_str_of(hex));
    if (!artifact || !path || !sum.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the result");
    if ((rc = hf_stage_publish(stage, names, 1, reterr)) != HF_OK)
        return rc;
    *artifact = (hf_artifact){
        .path = hf_str_of(path), .kind = HF_STR("report"), .size_bytes = (int64_t)text.len, .sha256 = sum};
    result->artifacts = (hf_list){artifact, 1};
    result->bytes_written = artifact->size_bytes;
    return HF_OK;
}

/* The report as a file of output_dir, and its artifact. */
static hf_code put_file(hf_run *run, const char *stem, hf_str text, hf_result *result, hf_err *reterr) {
    char name[81], file[128];
    hf_stage stage;
    hf_file_name(run->spec->name.len ? run->spec->name : hf_str_of(stem), name);
    snprintf(file, sizeof file, "%s.inspect.json", name);
    hf_code rc = hf_stage_open(run, &stage, reterr);
    if (rc != HF_OK)
        return rc;
    rc = publish_report(run, &stage, file, text, result, reterr);
    hf_stage_close(&stage);
    return rc;
}

hf_code hf_op_inspect(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_reporter reporter = {.run = run, .phase = "prepare", .current = ""};
    hf_flow flow;
    hf_vm vm = {0};
    hf_result result = {0};
    int64_t start = hf_mono_ns();
    hf_opener opener = hf_run_opener(run);
    hf_reporter_flow(&reporter, &flow);
    *ret_phase = HF_STR("inspect");
    hf_report_phase(&reporter, "inspect");
    hf_code rc = hf_str_eqz(run->spec->provider, "vsphere")
                     ? hf_fail(reterr, HF_E_UNSUPPORTED, "inspect reads disk images: export the VM, or discover it")
                     : hf_vm_open(run->spec, &opener, &flow, &vm, reterr);
    hf_auto_free char *text = rc == HF_OK ? vm_report(&vm, reterr) : NULL;
    if (rc == HF_OK && !text)
        rc = reterr ? reterr->code : HF_E_INTERNAL;
    else if (text && strlen(text) > HF_MAX_JSON)
        rc = hf_fail(reterr, HF_E_LIMIT, "the report has %zu bytes and may have %d: inspect fewer disks at once",
                     strlen(text), HF_MAX_JSON);
    if (rc == HF_OK && run->spec->output_dir.len > 0)
        rc = put_file(run, vm.machine.name, hf_str_of(text), &result, reterr);
    if (rc == HF_OK) {
        result.report = hf_arena_str(run->arena, hf_str_of(text));
        result.vm_name = hf_arena_str(run->arena, hf_str_of(vm.machine.name));
        result.duration_ms = (hf_mono_ns() - start) / 1000000;
        *ret_result = result;
    }
    hf_vm_close(&vm);
    hf_flow_done(&flow);
    return rc;
}
