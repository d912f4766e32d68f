/* An image's format is what the job says, else what its header says; a header without a magic is raw only where the file's
 * name or the job says so. What the header says must agree with the job, and is checked before any tool sees the image. */
#include "consumer/provider/local.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "consumer/pipeline/out.h"
#include "consumer/provider/path.h"
#include "schemas/base/mem.h"

static hf_str extension_of(hf_str path) {
    for (uint32_t i = path.len; i > 0 && path.p[i - 1] != '/'; i--)
        if (path.p[i - 1] == '.')
            return (hf_str){path.p + i, path.len - i};
    return HF_STR_NONE;
}

static hf_code check_format(const hf_disk *disk, hf_probe *probe, hf_err *reterr) {
    hf_format wanted;
    if (disk->format.len > 0) {
        if (!hf_format_parse(disk->format, &wanted))
            return hf_fail(reterr, HF_E_UNSUPPORTED, "image format %.*s: use one of raw, qcow2, vmdk, vdi, vhd, vhdx",
                           HF_STR_ARG(disk->format));
        if (wanted != probe->format)
            return hf_fail(
                reterr, HF_E_SOURCE_INVALID,
                "the job says format %s, and the image's header says %s: correct the job or leave format out",
                hf_format_name(wanted),
                probe->format == HF_F_RAW ? "none of those known" : hf_format_name(probe->format));
        return HF_OK;
    }
    if (probe->format != HF_F_RAW)
        return HF_OK;
    hf_str extension = extension_of(disk->path);
    if (extension.len > 0 && hf_format_parse(extension, &wanted) && wanted == HF_F_RAW)
        return HF_OK;
    return hf_fail(
        reterr, HF_E_SOURCE_INVALID,
        "the image has no header of a known format: if it is a raw disk, say \"format\": \"raw\" in the job's disks");
}

static bool is_hex64(hf_str s) {
    if (s.len != 64)
        return false;
    for (uint32_t i = 0; i < s.len; i++)
        if (!strchr("0123456789abcdefABCDEF", s.p[i]))
            return false;
    return true;
}

static hf_code check_sum(int fd, int64_t size, const hf_disk *disk, const hf_flow *flow, hf_err *reterr) {
    hf_str want = disk->checksum;
    if (want.len > 7 && strncasecmp(want.p, "sha256:", 7) == 0)
        want = (hf_str){want.p + 7, want.len - 7};
    if (!is_hex64(want))
        return hf_fail(reterr, HF_E_UNSUPPORTED, "checksum %.*s: give \"sha256:\" and 64 hex digits",
                       HF_STR_ARG(disk->checksum));
    char hex[HF_DIGEST_HEX_MAX];
    hf_code rc = hf_hash_file(fd, size, flow, hex, reterr);
    if (rc == HF_OK && strncasecmp(hex, want.p, 64) != 0)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the image's SHA-256 is %s, and the job says %.*s", hex,
                       HF_STR_ARG(want));
    return rc;
}

static hf_code check_promises(int fd, const hf_disk *disk, const hf_source_id *id, const hf_flow *flow,
                              hf_err *reterr) {
    if (disk->size_bytes > 0 && disk->size_bytes != id->size_bytes)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the image file has %" PRId64 " bytes, and the job says %" PRId64,
                       id->size_bytes, disk->size_bytes);
    return disk->checksum.len > 0 ? check_sum(fd, id->size_bytes, disk, flow, reterr) : HF_OK;
}

/* The flat extent beside a VMDK descriptor: a raw disk. */
static hf_code open_flat(const hf_disk *disk, const hf_opener *opener, hf_vm_disk *ret, hf_err *reterr) {
    char path[HF_MAX_PATH + 256];
    uint32_t dir = disk->path.len;
    while (dir > 0 && disk->path.p[dir - 1] != '/')
        dir--;
    int n = snprintf(path, sizeof path, "%.*s%s", (int)dir, disk->path.p, ret->probe.flat_name);
    if (n < 0 || (size_t)n >= sizeof path)
        return hf_fail(reterr, HF_E_LIMIT, "the path of extent %s is longer than %d bytes", ret->probe.flat_name,
                       HF_MAX_PATH);
    hf_auto_fd int fd = -1;
    hf_code rc = opener->open(opener->ctx, hf_str_of(path), &fd, reterr);
    if (rc == HF_OK)
        rc = hf_source_open_raw(fd, &ret->source, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "extent %s", ret->probe.flat_name);
    if (ret->source->size_bytes < ret->probe.virtual_bytes)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK's extent %s has %" PRId64 " bytes of %" PRId64,
                       ret->probe.flat_name, ret->source->size_bytes, ret->probe.virtual_bytes);
    ret->source->size_bytes = ret->probe.virtual_bytes;
    return HF_OK;
}

static hf_code open_disk(const hf_disk *named, const hf_opener *opener, const hf_flow *flow, hf_vm_disk *ret,
                         hf_err *reterr) {
    hf_auto_fd int fd = -1;
    hf_source_id id = {0};
    char path[HF_MAX_PATH + 1];
    ret->path = named->path;
    ret->place.controller = -1;
    hf_code rc = hf_path_plain(named->path, path, reterr);
    if (rc != HF_OK)
        return rc;
    hf_disk plain = *named, *disk = &plain;
    disk->path = hf_str_of(path);
    if ((rc = opener->open(opener->ctx, disk->path, &fd, reterr)) != HF_OK)
        return rc;
    if ((rc = hf_source_identify(fd, &id, reterr)) != HF_OK)
        return rc;
    hf_format wanted;
    if (hf_format_parse(disk->format, &wanted) && wanted == HF_F_RAW)
        ret->probe =
            (hf_probe){.format = HF_F_RAW, .detail = "", .virtual_bytes = id.size_bytes}; /* whatever it looks like */
    else if ((rc = hf_probe_fd(fd, id.size_bytes, &ret->probe, reterr)) != HF_OK ||
             (rc = check_format(disk, &ret->probe, reterr)) != HF_OK)
        return rc;
    if ((rc = check_promises(fd, disk, &id, flow, reterr)) != HF_OK)
        return rc;
    if (ret->probe.flat)
        return open_flat(disk, opener, ret, reterr);
    return hf_source_open(fd, hf_format_name(ret->probe.format), &ret->source, reterr);
}

/* "web-01.qcow2" -> "web-01": what the VM is called when the job has no name. */
static void name_from_path(hf_str named, char *name, size_t size) {
    char plain[HF_MAX_PATH + 1];
    if (hf_path_plain(named, plain, NULL) != HF_OK)
        return;
    hf_str path = hf_str_of(plain);
    uint32_t from = path.len;
    while (from > 0 && path.p[from - 1] != '/')
        from--;
    hf_str extension = extension_of(path);
    uint32_t end = extension.len && extension.p - path.p > from + 1 ? (uint32_t)(extension.p - path.p) - 1 : path.len;
    snprintf(name, size, "%.*s", (int)(end - from), path.p + from);
}

hf_code hf_local_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr) {
    const hf_disk one = {.path = spec->vm_path};
    const hf_disk *disks = spec->disks.count > 0 ? spec->disks.items : &one;
    uint32_t count = spec->disks.count > 0 ? spec->disks.count : 1;
    if (count > HF_MAX_DISKS)
        return hf_fail(reterr, HF_E_LIMIT, "%" PRIu32 " disks: at most %d in a job", count, HF_MAX_DISKS);
    hf_vm vm = {.disks = hf_alloc(count * sizeof *vm.disks), .disk_count = count, .provider = "local"};
    if (!vm.disks)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%" PRIu32 " disks", count);
    for (uint32_t i = 0; i < count; i++)
        if (open_disk(&disks[i], opener, flow, &vm.disks[i], reterr) != HF_OK) {
            hf_vm_close(&vm);
            return hf_context(reterr, "%.*s", HF_STR_ARG(disks[i].path));
        }
    name_from_path(spec->vm_path.len ? spec->vm_path : disks[0].path, vm.machine.name, sizeof vm.machine.name);
    *ret = vm;
    return HF_OK;
}
