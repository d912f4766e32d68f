/* Disks of a lease as streams, and what came of them against the lease's manifest. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/provider/vsphere/download.h"
#include "consumer/provider/vsphere/export_inside.h"
#include "consumer/provider/vsphere/slots.h"
#include "schemas/base/mem.h"

/* ---- one disk's stream: a download that holds its slots ------------------------------------------------------- */
typedef struct slotted {
    hf_stream base;
    hf_stream *download;
    hf_slots_held slots;
} slotted;

static hf_code slotted_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    return hf_stream_read(((slotted *)stream)->download, to, cap, ret_len, reterr);
}

static void slotted_close(hf_stream *stream) {
    slotted *s = (slotted *)stream;
    hf_stream_close(s->download);
    hf_slots_give(&s->slots);
    free(s);
}

static const hf_stream_class slotted_class = {"vsphere", slotted_read, slotted_close};

static void on_bytes(void *ctx, int64_t bytes) {
    hf_vsphere_export *x = ((hf_vsphere_stream *)ctx)->export;
    int64_t received = atomic_fetch_add(&x->received_bytes, bytes) + bytes;
    int64_t percent = x->total_bytes > 0 ? received * 100 / x->total_bytes : 0;
    hf_lease_keeper_percent(x->keeper, percent > 99 ? 99 : (int)percent);
}

static hf_code why(void *ctx, hf_err *reterr) {
    const hf_vsphere_export *x = ((hf_vsphere_stream *)ctx)->export;
    return hf_lease_keeper_check(x->keeper, reterr);
}

static hf_str host_of(const char *url) {
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return (hf_str){host, (uint32_t)strcspn(host, "/")};
}

static hf_code open_slotted(hf_vsphere_stream *ctx, hf_flow *flow, slotted *s, hf_err *reterr) {
    const hf_vsphere_export *x = ctx->export;
    const hf_lease_file *file = &x->lease.files[ctx->file];
    hf_code code = hf_slots_take(x->opener.config, &x->endpoint, host_of(file->url), flow, &s->slots, reterr);
    if (code == HF_OK)
        code = hf_lease_keeper_check(x->keeper, reterr);
    if (code != HF_OK)
        return code;
    hf_download_options options = {
        .endpoint = &x->endpoint, .file = file, .flow = flow, .on_bytes = on_bytes, .why = why, .ctx = ctx};
    code = hf_download_open(&options, &s->download, reterr);
    if (code == HF_E_NOT_FOUND && reterr) /* a URL that was given out and is not known any more: its lease is over */
        reterr->code = code = HF_E_EXPORT_LEASE_LOST;
    return code;
}

static hf_code open_stream(hf_vm_disk *disk, hf_flow *flow, hf_stream **ret, hf_err *reterr) {
    slotted *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a download");
    s->slots = (hf_slots_held){-1, -1};
    hf_code code = open_slotted(disk->stream_ctx, flow, s, reterr);
    if (code != HF_OK) {
        hf_slots_give(&s->slots);
        free(s);
        return code;
    }
    s->base = (hf_stream){&slotted_class, s->download->size_bytes};
    *ret = &s->base;
    return HF_OK;
}

/* ---- the lease's disks ------------------------------------------------------------------------------------------ */
static hf_vsphere_disk *disk_of(const hf_vsphere_export *x, const hf_lease_file *file) {
    return file->device >= 0 && (uint32_t)file->device < x->vm->disk_count ? &x->vm->disks[file->device] : NULL;
}

static void fill_disk(hf_vsphere_export *x, uint32_t f, uint32_t i, hf_vm_disk *to) {
    const hf_lease_file *file = &x->lease.files[f];
    const hf_vsphere_disk *disk = disk_of(x, file);
    x->streams[i] = (hf_vsphere_stream){.export = x, .file = f};
    memcpy(x->streams[i].sha256, file->sha256, sizeof file->sha256);
    *to = (hf_vm_disk){.probe = {.format = HF_F_VMDK, .detail = "streamOptimized"},
                       .path = hf_str_of(disk ? disk->backing : file->key),
                       .place = disk ? disk->place : (hf_machine_place){.controller = -1},
                       .capacity_bytes = disk                       ? disk->capacity_bytes
                                         : file->capacity_bytes > 0 ? file->capacity_bytes
                                                                    : 0,
                       .stream_bytes = file->size_bytes,
                       .open_stream = open_stream,
                       .stream_ctx = &x->streams[i]};
    to->hash_known = file->sha256[0] != 0;
    if (file->manifest_bytes > 0) /* that one is not a hint */
        to->stream_bytes = file->manifest_bytes;
    to->probe.virtual_bytes = to->capacity_bytes;
    x->total_bytes += to->stream_bytes > 0 ? to->stream_bytes : to->capacity_bytes;
}

/* A copy without one of its disks would pass for the whole. */
static hf_code check_complete(const hf_vsphere_export *x, hf_err *reterr) {
    bool there[HF_MAX_DISKS] = {false};
    uint32_t count = 0;
    for (uint32_t f = 0; f < x->lease.file_count; f++) {
        const hf_vsphere_disk *disk = disk_of(x, &x->lease.files[f]);
        count += x->lease.files[f].disk;
        if (x->lease.files[f].disk && disk)
            there[disk - x->vm->disks] = true;
    }
    for (uint32_t i = 0; count < x->vm->disk_count && i < x->vm->disk_count; i++)
        if (!there[i])
            return hf_fail(reterr, HF_E_SOURCE_INVALID, "%s (%s) is not in the export%s", x->vm->disks[i].label,
                           x->vm->disks[i].backing,
                           x->vm->disks[i].left_out ? ": snapshots leave it out; power the VM off for the export" : "");
    if (count == 0)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VM has no disks to export");
    return count > HF_MAX_DISKS
               ? hf_fail(reterr, HF_E_LIMIT, "%" PRIu32 " disks: at most %d in a job", count, HF_MAX_DISKS)
               : HF_OK;
}

hf_code hf_vsphere_export_disks(hf_vsphere_export *x, hf_vm *vm, hf_err *reterr) {
    hf_code code = check_complete(x, reterr);
    if (code != HF_OK)
        return code;
    vm->disks = hf_alloc(HF_MAX_DISKS * sizeof *vm->disks);
    if (!vm->disks)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the VM's disks");
    for (uint32_t f = 0; f < x->lease.file_count; f++)
        if (x->lease.files[f].disk) {
            fill_disk(x, f, vm->disk_count, &vm->disks[vm->disk_count]);
            vm->disk_count++;
        }
    return HF_OK;
}

/* ---- the manifest --------------------------------------------------------------------------------------------------- */
static hf_code compare(const hf_lease_file *file, const hf_vm_disk *disk, const hf_vm_received *came, hf_err *reterr) {
    const char *before = ((const hf_vsphere_stream *)disk->stream_ctx)->sha256;
    const char *sha256 = before[0] ? before : file->sha256;
    if (file->manifest_bytes > 0 && file->manifest_bytes != came->bytes)
        return hf_fail(reterr, HF_E_VERIFY_FAILED,
                       "%.*s: %" PRId64 " bytes came, and the lease's manifest says %" PRId64, HF_STR_ARG(disk->path),
                       came->bytes, file->manifest_bytes);
    if (sha256[0] && strcasecmp(sha256, came->sha256) != 0)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "%.*s: SHA-256 %s came, and the lease's manifest says %s",
                       HF_STR_ARG(disk->path), came->sha256, sha256);
    if (file->sha1[0] && came->sha1[0] && strcasecmp(file->sha1, came->sha1) != 0)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "%.*s: SHA-1 %s came, and the lease's manifest says %s",
                       HF_STR_ARG(disk->path), came->sha1, file->sha1);
    return HF_OK;
}

/* Hosts fill the manifest in as files are read, so it is asked for last. One that cannot be had is said, and no failure: every stream
 * has been walked to its end. */
hf_code hf_vsphere_export_verify(hf_vm *vm, const hf_vm_received *received, hf_err *reterr) {
    hf_vsphere_export *x = vm->ctx;
    hf_err err = {0};
    hf_code code = hf_lease_manifest(x->v, &x->lease, &err);
    if (code == HF_E_CANCELLED) {
        if (reterr)
            *reterr = err;
        return code;
    }
    if (code != HF_OK)
        hf_vsphere_export_tell(x, "info", "the lease has no manifest to compare with, but what it said before: %s",
                               err.detail);
    code = HF_OK;
    for (uint32_t i = 0; code == HF_OK && i < vm->disk_count; i++)
        code = compare(&x->lease.files[x->streams[i].file], &vm->disks[i], &received[i], reterr);
    return code;
}
