/* Extracting. The files are written into a private directory while they are hashed; only when the whole archive was read, every hash
 * agreed and nothing else was wrong are they renamed into place. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "consumer/operation/ova/extract.h"
#include "schemas/base/mem.h"

enum { CLONE_ALIGN = 4096, FLUSH_EVERY = 32 << 20 };

/* ---- a member as it is ---------------------------------------------------------------------------------- */
static bool on_server(int fd) {
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == NFS_SUPER_MAGIC || (uint32_t)fs.f_type == 0xFE534D42 /* SMB2 */);
}

/* Has the file system share the blocks, or the file server copy them. How many bytes it did from the front; the pass hashes them
 * from the archive all the same, and finds out if the archive changed meanwhile. */
static int64_t copy_inside(int from, int to, int64_t base, int64_t len) {
    struct file_clone_range range = {
        .src_fd = from, .src_offset = (uint64_t)base, .src_length = (uint64_t)(len / CLONE_ALIGN * CLONE_ALIGN)};
    if (base % CLONE_ALIGN == 0 && range.src_length > 0 && ioctl(to, FICLONERANGE, &range) == 0)
        return (int64_t)range.src_length;
    int64_t done = 0;
    if (!on_server(from) || !on_server(to))
        return 0; /* on a local disk the bytes just hashed are in memory: writing those is as quick */
    while (done < len) {
        off_t source = base + done, target = done;
        ssize_t n = copy_file_range(from, &source, to, &target, (size_t)(len - done), 0);
        if (n <= 0)
            break;
        done += n;
    }
    return done;
}

static const char *artifact_kind(const hf_appliance *a, const hf_member *m) {
    switch (m->role) {
    case HF_ROLE_OVF: return "ovf";
    case HF_ROLE_MANIFEST: return "manifest";
    case HF_ROLE_FILE: return m->file >= 0 && a->ovf->files[m->file].used ? "disk" : "file";
    case HF_ROLE_CERT:
    case HF_ROLE_OTHER: break;
    }
    return "file";
}

static hf_code begin_member(void *ctx, const hf_member *m, hf_err *reterr) {
    hf_extract *x = ctx;
    x->fd = -1;
    x->written = x->flushed = x->shared = 0;
    if (!x->beside)
        x->work->reporter.current = m->name;
    if (!hf_extract_wants(x, m))
        return HF_OK;
    hf_auto_fd int from = -1;
    hf_code rc = hf_stage_create(x->work->stage.dir_fd, m->name, &x->fd, reterr);
    if (rc != HF_OK || (rc = hf_member_open(x->work->appliance, m, &from, reterr)) != HF_OK)
        return rc;
    x->shared = copy_inside(from, x->fd, m->base, m->size_bytes);
    return HF_OK;
}

static hf_code member_bytes(void *ctx, const hf_member *m, const void *bytes, size_t len, hf_err *reterr) {
    hf_extract *x = ctx;
    (void)m;
    if (x->fd < 0)
        return HF_OK;
    int64_t skip = x->shared > x->written ? x->shared - x->written : 0;
    size_t from = skip < (int64_t)len ? (size_t)skip : len;
    hf_code rc = hf_write_fully(x->fd, (const char *)bytes + from, len - from, x->written + (int64_t)from, reterr);
    if (rc != HF_OK)
        return rc;
    x->written += (int64_t)len;
    atomic_fetch_add_explicit(&x->work->flow.bytes_written, (long long)(len - from), memory_order_relaxed);
    if (x->written - x->flushed >= FLUSH_EVERY) { /* only starts the writing; an error shows at fsync */
        (void)sync_file_range(x->fd, x->flushed, x->written - x->flushed, SYNC_FILE_RANGE_WRITE);
        x->flushed = x->written;
    }
    return HF_OK;
}

static hf_code end_member(void *ctx, const hf_member *m, hf_err *reterr) {
    hf_extract *x = ctx;
    if (x->fd < 0)
        return HF_OK;
    hf_code rc = fsync(x->fd) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "%s", m->name);
    hf_close_p(&x->fd);
    if (rc == HF_OK)
        rc = hf_ova_add_artifact(x->work, m->name, artifact_kind(x->work->appliance, m), m->size_bytes, m->sha256,
                                 reterr);
    if (!x->beside)
        x->work->reporter.files_done++;
    return rc;
}

hf_pass hf_extract_pass(hf_extract *x, hf_flow *flow) {
    return (hf_pass){.flags = HF_PASS_SHA256,
                     .flow = flow,
                     .begin = begin_member,
                     .bytes = member_bytes,
                     .end = end_member,
                     .ctx = x};
}

/* ---- before anything is written -------------------------------------------------------------------------------- */
bool hf_extract_wants(const hf_extract *x, const hf_member *m) {
    if (m->refused || m->role == HF_ROLE_OTHER)
        return false;
    if (!x->sink) /* as it is */
        return true;
    /* Disks become others, so that descriptor, manifest and certificate would say what is not so. */
    return m->role == HF_ROLE_FILE && !(m->file >= 0 && x->work->appliance->ovf->files[m->file].used);
}

static hf_code check_place(hf_extract *x, hf_err *reterr) {
    const hf_appliance *a = x->work->appliance;
    hf_stage *stage = &x->work->stage;
    int64_t needed = 0;
    uint32_t count = 0;
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < a->member_count; i++)
        if (hf_extract_wants(x, &a->members[i])) {
            rc = hf_stage_check_free(stage, a->members[i].name, reterr);
            needed += a->members[i].size_bytes;
            count++;
        }
    if (rc == HF_OK && count > HF_STAGE_ENTRIES_MAX)
        rc = hf_fail(reterr, HF_E_LIMIT, "%" PRIu32 " files, and at most %d are extracted at once: unpack it with tar",
                     count, HF_STAGE_ENTRIES_MAX);
    if (rc == HF_OK && x->sink)
        rc = hf_extract_check_disks(x, &needed, reterr);
    bool check = !json_is_false(json_object_get(x->work->parameters, "space_check"));
    return rc == HF_OK && check ? hf_stage_check_space(stage, needed, reterr) : rc;
}

static hf_code choose_sink(hf_extract *x, hf_str format, hf_err *reterr) {
    if (format.len == 0 || hf_str_eqz(format, "vmdk"))
        return HF_OK;
    x->sink = hf_extract_sink_find(format);
    return x->sink ? HF_OK
                   : hf_fail(reterr, HF_E_UNSUPPORTED,
                             "format %.*s: use one of vmdk (as they are), raw, qcow2, vmdk-sparse, vdi, vhd, vhdx",
                             HF_STR_ARG(format));
}

hf_code hf_ova_extract(hf_ova_work *w, hf_str format, hf_err *reterr) {
    hf_extract x = {.work = w, .fd = -1};
    hf_code rc = choose_sink(&x, format, reterr);
    if (rc != HF_OK || (rc = hf_findings_verdict(&w->findings, reterr)) != HF_OK ||
        (rc = hf_stage_open(w->run, &w->stage, reterr)) != HF_OK || (rc = check_place(&x, reterr)) != HF_OK)
        return rc;
    w->reporter.files_total = (int32_t)w->appliance->member_count;
    hf_report_phase(&w->reporter, "extract");
    if (x.sink)
        rc = hf_extract_disks(&x, reterr);
    else {
        hf_pass pass = hf_extract_pass(&x, &w->flow);
        w->flow.bytes_total = hf_appliance_bytes(w->appliance);
        rc = hf_appliance_pass(w->appliance, &pass, reterr);
    }
    hf_close_p(&x.fd);
    if (rc == HF_OK)
        rc = hf_findings_verdict(&w->findings, reterr); /* what the payloads brought to light */
    if (rc != HF_OK)
        return rc;
    hf_report_phase(&w->reporter, "finalize");
    return hf_ova_publish(w, reterr);
}
