/* Operations export and convert: prepare (open, check, reserve), export (one pass through every disk), finalize (durable,
 * verified, renamed into place). */
#include "consumer/operation/export.h"

#include <errno.h>
#include <inttypes.h>
#include <libxml/xmlstring.h>
#include <stdio.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static const hf_export_format formats[] = {
    {"ova", ".ova", false, hf_export_write_ova},   {"ovf", "", false, hf_export_write_ovf},
    {"vmdk", ".vmdk", true, hf_export_write_vmdk}, {"qcow2", ".qcow2", true, hf_export_write_qcow2},
    {"raw", ".raw", true, hf_export_write_raw},    {"vmdk-sparse", ".vmdk", true, hf_export_write_vmdk_sparse},
    {"vdi", ".vdi", true, hf_export_write_vdi},    {"vhd", ".vhd", true, hf_export_write_vhd},
    {"vhdx", ".vhdx", true, hf_export_write_vhdx},
};

/* ---- what the writers share ---------------------------------------------------------------------- */
hf_code hf_export_run_disk(hf_export *x, uint32_t i, int fd, hf_sink *sink, hf_err *reterr) {
    hf_source *source = x->vm.disks[i].source;
    if (x->streams.on)
        return hf_export_stream_run(x, i, sink, reterr);
    int64_t began = hf_mono_ns();
    x->reporter.current = x->disks[i].file_name;
    x->resume.fd = fd;
    hf_code rc = hf_resume_run(x, i, sink, reterr);
    /* A source that changed explains whatever else went wrong with it. */
    hf_err changed = {0};
    if (rc != HF_E_CANCELLED && rc != HF_E_NO_SPACE && hf_source_unchanged(source, &changed) == HF_E_SOURCE_CHANGED) {
        rc = changed.code;
        if (reterr)
            *reterr = changed;
    }
    if (rc != HF_OK)
        return hf_context(reterr, "%.*s", HF_STR_ARG(x->vm.disks[i].path));
    x->disks[i].populated_bytes = hf_pipeline_populated(x->pipeline);
    x->disks[i].seconds = (double)(hf_mono_ns() - began) * 1e-9;
    x->reporter.files_done++;
    return HF_OK;
}

hf_code hf_export_add(hf_export *x, const char *path, const char *kind, int64_t size_bytes, const char *sha256,
                      hf_err *reterr) {
    hf_str full = hf_str_of(
        hf_arena_printf(x->run->arena, "%s/%s", strcmp(x->stage.out_path, "/") == 0 ? "" : x->stage.out_path, path));
    hf_str hash = hf_arena_str(x->run->arena, hf_str_of(sha256));
    if (!full.p || !hash.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of artifacts");
    x->artifacts[x->artifact_count++] =
        (hf_artifact){.path = full, .kind = hf_str_of(kind), .size_bytes = size_bytes, .sha256 = hash};
    return HF_OK;
}

hf_code hf_export_seal(const hf_export *x, int fd, int64_t size_bytes, char *sha256, hf_err *reterr) {
    hf_aside *sync = NULL;
    hf_code rc = hf_aside_fsync(fd, &sync, reterr);
    if (rc == HF_OK && sha256)
        rc = hf_hash_file(fd, size_bytes, &x->flow, sha256, reterr);
    if (rc == HF_OK)
        rc = hf_aside_wait(&sync, &x->flow, reterr);
    if (rc == HF_OK)
        hf_cache_drop(fd, size_bytes);
    hf_aside_leave(&sync);
    return rc;
}

/* ---- prepare: what is asked for ------------------------------------------------------------------------ */
static hf_code choose_format(hf_export *x, const char *otherwise, hf_err *reterr) {
    hf_str wanted = x->run->spec->format.len ? x->run->spec->format : hf_str_of(otherwise);
    if (hf_str_eqz(wanted, "ovf") && x->run->spec->options.create_ova)
        wanted = HF_STR("ova");
    for (size_t i = 0; i < HF_ARRAY_LEN(formats); i++)
        if (hf_str_eqz(wanted, formats[i].name)) {
            x->format = &formats[i];
            return HF_OK;
        }
    return hf_fail(reterr, HF_E_UNSUPPORTED,
                   "output format %.*s: use one of ova, ovf, vmdk, vmdk-sparse, qcow2, raw, vdi, vhd, vhdx",
                   HF_STR_ARG(wanted));
}

static hf_code choose_codec(hf_export *x, hf_err *reterr) {
    const hf_options *o = &x->run->spec->options;
    x->codec = !o->compress   ? hf_codec_find(HF_STR("none"))
               : o->codec.len ? hf_codec_find(o->codec)
                              : hf_codec_for_level(o->compress_level);
    if (!x->codec)
        return hf_fail(reterr, HF_E_INVALID, "options.codec %.*s: use one of fast, balanced, small, none",
                       HF_STR_ARG(o->codec));
    static const struct {
        const char *name;
        hf_digest_kind kind;
    } kinds[] = {
        {"", HF_DIGEST_SHA256}, {"sha256", HF_DIGEST_SHA256}, {"sha1", HF_DIGEST_SHA1}, {"sha512", HF_DIGEST_SHA512}};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (hf_str_eqz(o->manifest, kinds[i].name)) {
            x->manifest = kinds[i].kind;
            return HF_OK;
        }
    return hf_fail(reterr, HF_E_INVALID, "options.manifest %.*s: use one of sha256, sha1, sha512",
                   HF_STR_ARG(o->manifest));
}

static hf_code read_parameters(hf_export *x, hf_err *reterr) {
    json_t *parameters = hf_run_parameters(x->run, reterr);
    if (!parameters)
        return reterr ? reterr->code : HF_E_INVALID;
    x->space_check = !json_is_false(json_object_get(parameters, "space_check"));
    hf_code rc = hf_export_inspect_guest(x, parameters, reterr);
    if (rc == HF_OK)
        rc = hf_export_choose_hardware(x, parameters, reterr);
    json_decref(parameters);
    return rc;
}

/* The VM's name as XML text: what is not UTF-8 or is a control character does not go in. */
static void choose_names(hf_export *x) {
    hf_str given = x->run->spec->name.len ? x->run->spec->name : hf_str_of(x->vm.machine.name);
    hf_file_name(given, x->file_name);
    snprintf(x->vm_name, sizeof x->vm_name, "%.*s", HF_STR_ARG(given));
    for (char *c = x->vm_name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    if (!xmlCheckUTF8((const unsigned char *)x->vm_name))
        snprintf(x->vm_name, sizeof x->vm_name, "%s", x->file_name);
    const char *suffix = x->format->entry_per_disk ? x->format->suffix : ".vmdk";
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        if (x->format->entry_per_disk && x->vm.disk_count == 1)
            snprintf(x->disks[i].file_name, sizeof x->disks[i].file_name, "%s%s", x->file_name, suffix);
        else
            snprintf(x->disks[i].file_name, sizeof x->disks[i].file_name, "%s-disk%" PRIu32 "%s", x->file_name, i + 1,
                     suffix);
        if (x->format->entry_per_disk)
            memcpy(x->entries[x->entry_count++], x->disks[i].file_name, sizeof x->entries[0]);
    }
    if (!x->format->entry_per_disk)
        snprintf(x->entries[x->entry_count++], sizeof x->entries[0], "%s%s", x->file_name, x->format->suffix);
}

static hf_code check_place(hf_export *x, hf_err *reterr) {
    int64_t needed = 0;
    if (x->streams.on)
        hf_export_streams_sizes(x, &x->flow.bytes_total, &needed);
    for (uint32_t i = 0; !x->streams.on && i < x->vm.disk_count; i++) {
        const hf_source *s = x->vm.disks[i].source;
        /* Data that does not compress grows by its markers and padding; tables are a thousandth. */
        needed += s->allocated_bytes + s->allocated_bytes / 64 + (1 << 20);
    }
    for (uint32_t i = 0; i < x->entry_count; i++) {
        hf_code rc = hf_stage_check_free(&x->stage, x->entries[i], reterr);
        if (rc != HF_OK)
            return rc;
    }
    return x->space_check ? hf_stage_check_space(&x->stage, needed - x->resume.from_bytes, reterr) : HF_OK;
}

static hf_code open_vm(hf_export *x, hf_err *reterr) {
    hf_opener opener = hf_run_opener(x->run);
    return x->open ? x->open(x->open_ctx, &x->vm, reterr) : hf_vm_open(x->run->spec, &opener, &x->flow, &x->vm, reterr);
}

static hf_code prepare(hf_export *x, const char *default_format, hf_err *reterr) {
    hf_report_phase(&x->reporter, "prepare");
    hf_code rc = choose_format(x, default_format, reterr);
    if (rc != HF_OK || (rc = choose_codec(x, reterr)) != HF_OK || (rc = open_vm(x, reterr)) != HF_OK ||
        (rc = hf_export_streams_begin(x, reterr)) != HF_OK || (rc = read_parameters(x, reterr)) != HF_OK)
        return rc;
    choose_names(x);
    x->reporter.files_total = (int32_t)x->vm.disk_count;
    if (x->streams.on) {
        rc = hf_stage_open(x->run, &x->stage, reterr);
        return rc == HF_OK ? check_place(x, reterr) : rc;
    }
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        x->flow.bytes_total += x->vm.disks[i].source->allocated_bytes;
    if ((rc = hf_stage_open_or_adopt(x->run, &x->stage, reterr)) != HF_OK ||
        (rc = hf_resume_begin(x, reterr)) != HF_OK || (rc = check_place(x, reterr)) != HF_OK)
        return rc;
    return hf_pipeline_new(x->run->threads, &x->flow, &x->pipeline, reterr);
}

/* ---- finalize ------------------------------------------------------------------------------------------------ */
static hf_code publish(hf_export *x, hf_err *reterr) {
    const char *names[HF_MAX_DISKS];
    for (uint32_t i = 0; i < x->entry_count; i++)
        names[i] = x->entries[i];
    hf_code rc = hf_flow_check(&x->flow, reterr); /* the last moment at which a cancel leaves nothing */
    return rc == HF_OK ? hf_stage_publish(&x->stage, names, x->entry_count, reterr) : rc;
}

/* What was made of each disk, for whoever reads the result. */
static char *report_text(const hf_export *x) {
    json_t *disks = json_array();
    for (uint32_t i = 0; i < x->vm.disk_count; i++) {
        const hf_vm_disk *d = &x->vm.disks[i];
        json_array_append_new(disks, json_pack("{s:s%, s:s, s:s, s:I, s:I, s:I, s:s, s:f}", "source", d->path.p,
                                               (size_t)d->path.len, "source_format", hf_format_name(d->probe.format),
                                               "file", x->disks[i].file_name, "capacity_bytes",
                                               (json_int_t)(d->source ? d->source->size_bytes : d->capacity_bytes),
                                               "populated_bytes", (json_int_t)x->disks[i].populated_bytes, "file_bytes",
                                               (json_int_t)x->disks[i].file_bytes, "sha256", x->disks[i].sha256,
                                               "seconds", x->disks[i].seconds));
    }
    json_t *report = json_pack("{s:s, s:s, s:I, s:f, s:o}", "format", x->format->name, "codec",
                               hf_export_streams_kept(x) ? "as it came" : x->codec->name, "resumed_from_bytes",
                               (json_int_t)x->resume.from_bytes, "ovf_seconds", x->ovf_seconds, "disks", disks);
    if (report && x->guest)
        json_object_set(report, "guest", x->guest);
    if (report && x->vm.note[0])
        json_object_set_new(report, "source", json_string(x->vm.note));
    char *text = report ? json_dumps(report, JSON_COMPACT) : NULL;
    json_decref(report);
    return text;
}

static hf_code fill_result(hf_export *x, hf_result *ret, hf_err *reterr) {
    hf_arena *arena = x->run->arena;
    hf_artifact *artifacts = hf_arena_alloc(arena, x->artifact_count * sizeof *artifacts);
    hf_auto_free char *report = report_text(x);
    hf_str kept = report && strlen(report) <= HF_MAX_JSON ? hf_arena_str(arena, hf_str_of(report)) : HF_STR_NONE;
    hf_str vm_name = hf_arena_str(arena, hf_str_of(x->vm_name)),
           os_type = hf_arena_str(arena, hf_str_of(x->machine.os_type));
    if (!artifacts || !vm_name.p || !os_type.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the job's result");
    memcpy(artifacts, x->artifacts, x->artifact_count * sizeof *artifacts);
    *ret = (hf_result){.artifacts = {artifacts, x->artifact_count},
                       .bytes_read = atomic_load(&x->flow.bytes_read),
                       .bytes_written = atomic_load(&x->flow.bytes_written),
                       .vm_name = vm_name,
                       .os_type = os_type,
                       .report = kept};
    return HF_OK;
}

static hf_code run_all(hf_export *x, const char *default_format, hf_result *ret, hf_str *ret_phase, hf_err *reterr) {
    *ret_phase = HF_STR("prepare");
    hf_code rc = prepare(x, default_format, reterr);
    if (rc != HF_OK)
        return rc;
    *ret_phase = HF_STR("export");
    hf_report_phase(&x->reporter, "export");
    rc = x->format->write(x, reterr);
    if (rc == HF_E_VERIFY_FAILED && x->resume.going && reterr) { /* what was there is not what it should be */
        hf_err why = *reterr;
        hf_report_phase(&x->reporter, "export");
        if ((rc = hf_resume_start_over(x, why.detail, reterr)) == HF_OK)
            rc = x->format->write(x, reterr);
    }
    if (rc == HF_OK)
        rc = hf_export_streams_verify(x, reterr);
    if (rc != HF_OK)
        return rc;
    *ret_phase = HF_STR("finalize");
    if ((rc = fill_result(x, ret, reterr)) != HF_OK) /* before anything is in place */
        return rc;
    rc = publish(x, reterr);
    x->vm.ended_well = rc == HF_OK;
    return rc;
}

hf_code hf_export_opened(hf_run *run, const char *default_format, hf_export_opener open, void *open_ctx,
                         hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    hf_export *x = hf_alloc(sizeof *x);
    if (!x)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an export");
    int64_t start = hf_mono_ns();
    hf_result result = {0};
    x->run = run;
    x->open = open;
    x->open_ctx = open_ctx;
    x->stage = (hf_stage){.out_fd = -1, .dir_fd = -1};
    hf_resume_init(&x->resume);
    x->reporter = (hf_reporter){.run = run, .phase = "prepare", .current = ""};
    hf_reporter_flow(&x->reporter, &x->flow);
    hf_code rc = run_all(x, default_format, &result, ret_phase, reterr);
    hf_pipeline_free(x->pipeline);
    hf_resume_done(&x->resume);
    hf_stage_close(&x->stage);
    hf_vm_close(&x->vm);
    hf_export_streams_done(x);
    hf_flow_done(&x->flow);
    json_decref(x->guest);
    free(x);
    result.duration_ms = (hf_mono_ns() - start) / 1000000;
    if (rc == HF_OK)
        *ret_result = result;
    return rc;
}

hf_code hf_op_export(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_export_opened(run, "ova", NULL, NULL, ret_result, ret_phase, reterr);
}

hf_code hf_op_convert(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_export_opened(run, "qcow2", NULL, NULL, ret_result, ret_phase, reterr);
}
