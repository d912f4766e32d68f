/* Operation inspect: what each disk image is, as a JSON report in the result, and as a file where the job has an output_dir. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <sys/stat.h>

#include "consumer/operation/inspect.h"

#include "consumer/operation/guest/inspect.h"
#include "consumer/operation/stage.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

/* ---- a disk --------------------------------------------------------------------------------------------------------- */
static hf_code no_memory(hf_err *reterr) { return hf_fail(reterr, HF_E_NO_MEMORY, "the report"); }

static hf_code read_fd(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    return hf_read_fully(*(int *)ctx, to, len, offset, reterr);
}

static json_t *head_of(const hf_vm_disk *d) {
    const hf_source *s = d->source;
    struct stat st = {0};
    if (s)
        fstat(s->fd, &st);
    json_t *head = json_pack("{s:s%, s:s, s:s, s:I}", "path", d->path.p, (size_t)d->path.len, "format",
                             hf_format_name(d->probe.format), "variant", d->probe.detail, "virtual_bytes",
                             (json_int_t)(s ? s->size_bytes : d->capacity_bytes));
    json_t *sizes = s ? json_pack("{s:I, s:I, s:I}", "allocated_bytes", (json_int_t)s->allocated_bytes, "file_bytes",
                                  (json_int_t)s->id.size_bytes, "file_disk_bytes", (json_int_t)st.st_blocks * 512)
                      : json_pack("{s:s}", "contents", "not read: the disk comes as a stream");
    bool fine = head && sizes && json_object_update(head, sizes) == 0;
    if (fine && d->probe.cluster_bytes)
        fine = json_object_set_new(head, "cluster_bytes", json_integer(d->probe.cluster_bytes)) == 0;
    if (fine && d->probe.compression && d->probe.compression[0])
        fine = json_object_set_new(head, "compression", json_string(d->probe.compression)) == 0;
    json_decref(sizes);
    if (fine)
        return head;
    json_decref(head);
    return NULL;
}

static hf_code put_header(json_t *to, const hf_vm_disk *d, hf_err *reterr) {
    hf_auto_free hf_qcow2_info *info = hf_alloc(sizeof *info);
    int fd = d->source->fd;
    if (!info)
        return no_memory(reterr);
    hf_code rc = hf_qcow2_read_info(read_fd, &fd, d->source->id.size_bytes, info, reterr);
    return rc == HF_OK ? hf_inspect_qcow2(to, info, reterr) : rc;
}

static hf_code put_all(const hf_inspect *x, json_t *to, const hf_vm_disk *d, hf_err *reterr) {
    hf_code rc = d->probe.format == HF_F_QCOW2 ? put_header(to, d, reterr) : HF_OK;
    if (rc != HF_OK || (rc = hf_inspect_layout(to, d->source, reterr)) != HF_OK)
        return rc;
    json_t *check = hf_inspect_check(x, &d->probe, d->source->fd, d->source->id.size_bytes, reterr);
    if (!check)
        return reterr ? reterr->code : HF_E_INTERNAL;
    if (json_is_null(check))
        return HF_OK;
    return json_object_set_new(to, "check", check) == 0 ? HF_OK : no_memory(reterr);
}

json_t *hf_inspect_disk(const hf_inspect *x, const hf_vm_disk *d, hf_err *reterr) {
    json_t *report = head_of(d);
    hf_code rc = !report ? no_memory(reterr) : d->source ? put_all(x, report, d, reterr) : HF_OK;
    if (rc == HF_OK)
        return report;
    json_decref(report);
    hf_context(reterr, "%.*s", HF_STR_ARG(d->path));
    return NULL;
}

/* ---- all disks ---------------------------------------------------------------------------------------------------------- */
/* The disks the job names: given, or vm_path alone. */
static hf_list named_disks(const hf_spec *spec, hf_disk *one) {
    *one = (hf_disk){.path = spec->vm_path};
    return spec->disks.count > 0 ? spec->disks : (hf_list){one, 1};
}

/* Reports of images that stand on others, at their places in `to`; the rest of the disks in *ret_rest, at most as many. */
static hf_code report_overlays(const hf_inspect *x, hf_list disks, json_t *to, hf_disk *rest, uint32_t *ret_rest,
                               hf_err *reterr) {
    const hf_disk *all = disks.items;
    *ret_rest = 0;
    for (uint32_t i = 0; i < disks.count; i++) {
        json_t *report = NULL;
        hf_code rc = x->allow_chain ? hf_inspect_overlay(x, &all[i], &report, reterr) : HF_OK;
        if (rc != HF_OK)
            return hf_context(reterr, "%.*s", HF_STR_ARG(all[i].path));
        if (!report)
            rest[(*ret_rest)++] = all[i];
        if (json_array_append_new(to, report ? report : json_null()) != 0)
            return no_memory(reterr);
    }
    return HF_OK;
}

/* The reports of the VM's disks, at the places that are still empty. */
static hf_code report_disks(const hf_inspect *x, const hf_vm *vm, json_t *to, hf_err *reterr) {
    size_t at = 0;
    for (uint32_t i = 0; i < vm->disk_count; i++) {
        json_t *report = hf_inspect_disk(x, &vm->disks[i], reterr);
        if (!report)
            return reterr ? reterr->code : HF_E_INTERNAL;
        while (at < json_array_size(to) && !json_is_null(json_array_get(to, at)))
            at++;
        if ((at < json_array_size(to) ? json_array_set_new(to, at, report) : json_array_append_new(to, report)) != 0)
            return no_memory(reterr);
    }
    return HF_OK;
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

/* ---- the job --------------------------------------------------------------------------------------------------------------- */
/* Where the whole does not go into a result: each list cut to its first few. The file has all. */
static char *shortened(json_t *report) {
    enum { KEPT = 4 };
    static const char *const lists[] = {"partitions", "snapshots", "problems", "backing_chain"};
    size_t i;
    json_t *disk;
    json_array_foreach(json_object_get(report, "disks"), i, disk)
        for (size_t k = 0; k < HF_ARRAY_LEN(lists); k++) {
            json_t *list = json_object_get(disk, lists[k]);
            while (json_array_size(list) > KEPT)
                json_array_remove(list, json_array_size(list) - 1);
        }
    json_object_set_new(report, "shortened", json_true());
    return json_dumps(report, JSON_COMPACT);
}

static hf_code fill_result(hf_run *run, json_t *report, const char *stem, hf_result *result, hf_err *reterr) {
    hf_auto_free char *text = json_dumps(report, JSON_COMPACT), *brief = NULL;
    if (!text)
        return no_memory(reterr);
    hf_code rc = run->spec->output_dir.len > 0 ? put_file(run, stem, hf_str_of(text), result, reterr) : HF_OK;
    if (rc != HF_OK)
        return rc;
    if (strlen(text) > HF_MAX_JSON)
        brief = shortened(report);
    const char *kept = brief ? brief : text;
    if (strlen(kept) > HF_MAX_JSON)
        return hf_fail(reterr, HF_E_LIMIT, "the report has %zu bytes and may have %d: inspect fewer disks at once",
                       strlen(kept), HF_MAX_JSON);
    result->report = hf_arena_str(run->arena, hf_str_of(kept));
    result->vm_name = hf_arena_str(run->arena, hf_str_of(stem));
    return result->report.p && result->vm_name.p ? HF_OK : no_memory(reterr);
}

static hf_code read_parameters(hf_inspect *x, hf_err *reterr) {
    json_t *parameters = hf_run_parameters(x->run, reterr);
    if (!parameters)
        return reterr ? reterr->code : HF_E_INVALID;
    const json_t *check = json_object_get(parameters, "check"),
                 *chain = json_object_get(parameters, "allow_backing_chain"),
                 *seconds = json_object_get(parameters, "check_seconds"), *guest = json_object_get(parameters, "guest");
    x->guest = json_is_true(guest);
    json_int_t n = seconds ? json_integer_value(seconds) : 120;
    x->allow_chain = json_is_true(chain);
    x->check_seconds = json_is_false(check) ? 0 : (int32_t)(n & INT32_MAX);
    hf_code rc = HF_OK;
    if ((check && !json_is_boolean(check)) || (chain && !json_is_boolean(chain)))
        rc = hf_fail(reterr, HF_E_INVALID, "parameters.check and allow_backing_chain must be true or false");
    else if (guest && !json_is_boolean(guest))
        rc = hf_fail(reterr, HF_E_INVALID, "parameters.guest must be true or false");
    else if (n < 1 || n > 3600)
        rc = hf_fail(reterr, HF_E_INVALID, "parameters.check_seconds must be a whole number from 1 to 3600");
    json_decref(parameters);
    return rc;
}

/* Opens what is left of the disks when the overlays were told apart, and tells them, too. */
static hf_code report_all(const hf_inspect *x, hf_vm *vm, json_t *list, hf_err *reterr) {
    hf_spec spec = *x->run->spec;
    hf_disk one;
    hf_disk rest[HF_MAX_DISKS];
    uint32_t count = 0;
    if (hf_str_eqz(spec.provider, "vsphere"))
        return hf_fail(reterr, HF_E_UNSUPPORTED, "inspect reads disk images: export the VM, or discover it");
    if (x->allow_chain) {
        hf_list disks = named_disks(&spec, &one);
        if (disks.count > HF_MAX_DISKS)
            return hf_fail(reterr, HF_E_LIMIT, "%" PRIu32 " disks: at most %d in a job", disks.count, HF_MAX_DISKS);
        hf_code rc = report_overlays(x, disks, list, rest, &count, reterr);
        if (rc != HF_OK || count == 0)
            return rc;
        spec.disks = (hf_list){rest, count};
    }
    hf_code rc = hf_vm_open(&spec, x->opener, x->flow, vm, reterr);
    return rc == HF_OK ? report_disks(x, vm, list, reterr) : rc;
}

/* The guest's description, as the report's "guest". */
static hf_code report_guest(const hf_inspect *x, json_t *to, hf_result *result, hf_err *reterr) {
    hf_result inside = {0};
    hf_str phase;
    hf_code rc = hf_guest_inspect(x->run, &inside, &phase, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "parameters.guest");
    json_t *all = json_loadb(inside.report.p, inside.report.len, 0, NULL),
           *guest = json_incref(json_object_get(all, "guest"));
    if (guest && json_object_set(guest, "findings", json_object_get(all, "findings")) != 0)
        rc = no_memory(reterr);
    json_decref(all);
    result->os_type = inside.os_type;
    return rc == HF_OK && json_object_set_new(to, "guest", guest) != 0 ? no_memory(reterr) : rc;
}

static hf_code inspect(hf_inspect *x, hf_vm *vm, hf_result *result, hf_err *reterr) {
    json_t *list = json_array(), *report = json_pack("{s:o}", "disks", list);
    hf_code rc = report ? read_parameters(x, reterr) : no_memory(reterr);
    if (rc == HF_OK && (rc = report_all(x, vm, list, reterr)) == HF_OK) {
        if (vm->note[0] && json_object_set_new(report, "note", hf_inspect_text(vm->note)) != 0)
            rc = no_memory(reterr);
        const char *stem = vm->machine.name[0] ? vm->machine.name : "disks";
        if (rc == HF_OK && x->guest)
            rc = report_guest(x, report, result, reterr);
        rc = rc == HF_OK ? fill_result(x->run, report, stem, result, reterr) : rc;
    }
    json_decref(report);
    return rc;
}

hf_code hf_op_inspect(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_reporter reporter = {.run = run, .phase = "prepare", .current = ""};
    hf_flow flow;
    hf_vm vm = {0};
    hf_result result = {0};
    int64_t start = hf_mono_ns();
    hf_opener opener = hf_run_opener(run);
    hf_inspect x = {.run = run, .opener = &opener, .flow = &flow};
    hf_reporter_flow(&reporter, &flow);
    *ret_phase = HF_STR("inspect");
    hf_report_phase(&reporter, "inspect");
    hf_code rc = inspect(&x, &vm, &result, reterr);
    vm.ended_well = rc == HF_OK;
    hf_vm_close(&vm);
    hf_flow_done(&flow);
    result.duration_ms = (hf_mono_ns() - start) / 1000000;
    if (rc == HF_OK)
        *ret_result = result;
    return rc;
}
