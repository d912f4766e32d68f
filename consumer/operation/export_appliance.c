/* Formats ova and ovf: the disks as streamOptimized VMDKs, with descriptor and manifest; in one archive or one directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "consumer/operation/export.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/clock.h"
#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

hf_code hf_export_stream_vmdk(hf_export *x, uint32_t i, hf_out *out, hf_err *reterr) {
    if (x->streams.on)
        return hf_export_stream_keep(x, i, out, reterr);
    hf_sink *sink = NULL;
    const hf_checkpoint_disk *whole = hf_resume_whole(x, i);
    const hf_sink_mark *mark = hf_resume_mark(x, i);
    int64_t size = x->vm.disks[i].source->size_bytes;
    const char *name = x->disks[i].file_name;
    hf_code rc;
    if (whole) {
        if ((rc = hf_out_adopt(out, whole->file_bytes, whole->sha256, reterr)) == HF_OK)
            hf_resume_count(x, i);
        return rc;
    }
    rc = mark ? hf_sink_vmdk_resume(out, x->codec, size, name, mark, &sink, reterr)
              : hf_sink_vmdk_new(out, x->codec, size, name, &sink, reterr);
    if (rc == HF_OK)
        rc = hf_export_run_disk(x, i, out->fd, sink, reterr);
    hf_sink_free(sink);
    return rc;
}

/* ---- ova ------------------------------------------------------------------------------------------- */
static hf_code ova_disk(hf_export *x, hf_ova *ova, int fd, uint32_t i, hf_err *reterr) {
    hf_out *out = NULL;
    hf_code rc = hf_ova_disk_begin(ova, &out, reterr);
    if (rc != HF_OK || (rc = hf_export_stream_vmdk(x, i, out, reterr)) != HF_OK ||
        (rc = hf_ova_disk_end(ova, reterr)) != HF_OK)
        return rc;
    x->disks[i].file_bytes = hf_ova_disk_bytes(ova, i);
    snprintf(x->disks[i].sha256, sizeof x->disks[i].sha256, "%s", hf_ova_disk_sha256(ova, i));
    return hf_export_check_end(x, fd, hf_ova_disk_base(ova, i), x->disks[i].file_bytes, reterr);
}

static hf_code ova_body(hf_export *x, hf_ova *ova, int fd, int64_t *ret_bytes, hf_err *reterr) {
    hf_ovf_disk disks[HF_MAX_DISKS];
    hf_ovf ovf;
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < x->vm.disk_count; i++)
        rc = ova_disk(x, ova, fd, i, reterr);
    if (rc != HF_OK)
        return rc;
    int64_t began = hf_mono_ns();
    hf_export_ovf(x, disks, &ovf);
    rc = hf_ova_finish(ova, &ovf, ret_bytes, reterr);
    x->ovf_seconds = (double)(hf_mono_ns() - began) * 1e-9;
    return rc;
}

hf_code hf_export_write_ova(hf_export *x, hf_err *reterr) {
    char ovf_name[HF_TAR_NAME_ROOM], mf_name[HF_TAR_NAME_ROOM], sha256[HF_DIGEST_HEX_MAX];
    hf_ovf_disk disks[HF_MAX_DISKS];
    hf_ovf plan;
    hf_ova *ova = NULL;
    int64_t bytes = 0;
    snprintf(ovf_name, sizeof ovf_name, "%s.ovf", x->file_name);
    snprintf(mf_name, sizeof mf_name, "%s.mf", x->file_name);
    hf_export_ovf(x, disks, &plan);
    for (uint32_t i = 0; i < plan.disk_count; i++) { /* the longest they can print */
        disks[i].file_bytes = disks[i].populated_bytes = INT64_MAX;
        if (x->streams.on) /* known when it has come */
            disks[i].capacity_bytes = HF_VMDK_CAPACITY_MAX;
    }
    hf_auto_fd int fd = -1;
    hf_code rc = hf_resume_file(x, x->stage.dir_fd, x->entries[0], 0, &fd, reterr);
    if (rc == HF_OK && (rc = hf_ova_new(fd, ovf_name, mf_name, &plan, x->manifest, &x->flow, &ova, reterr)) == HF_OK)
        rc = ova_body(x, ova, fd, &bytes, reterr);
    hf_ova_free(ova);
    if (rc != HF_OK)
        return rc;
    hf_report_phase(&x->reporter, "finalize");
    if ((rc = hf_export_seal(x, fd, bytes, sha256, reterr)) != HF_OK)
        return rc;
    return hf_export_add(x, x->entries[0], "ova", bytes, sha256, reterr);
}

/* ---- ovf: a directory ---------------------------------------------------------------------------------- */
typedef struct ovf_dir {
    hf_export *x;
    int fd;
} ovf_dir;

static hf_code ovf_disk(void *ctx, uint32_t i, hf_err *reterr) {
    const ovf_dir *dir = ctx;
    hf_export *x = dir->x;
    hf_export_disk *disk = &x->disks[i];
    hf_out out;
    hf_auto_fd int fd = -1;
    hf_code rc = hf_resume_file(x, dir->fd, disk->file_name, i, &fd, reterr);
    if (rc != HF_OK || (rc = hf_out_init(&out, fd, 0, x->manifest, &x->flow, reterr)) != HF_OK)
        return rc;
    if ((rc = hf_export_stream_vmdk(x, i, &out, reterr)) == HF_OK &&
        (rc = hf_out_end(&out, disk->sha256, disk->manifest_hex, reterr)) == HF_OK &&
        (rc = hf_export_check_end(x, fd, 0, out.len, reterr)) == HF_OK)
        rc = hf_export_seal(x, fd, out.len, NULL, reterr);
    disk->file_bytes = out.len;
    hf_out_done(&out);
    return rc;
}

/* The disk among the artifacts, and its line of the manifest. */
static hf_code ovf_list_disk(hf_export *x, uint32_t i, hf_buf *manifest, hf_err *reterr) {
    const hf_export_disk *disk = &x->disks[i];
    char path[2 * HF_TAR_NAME_ROOM + 1];
    snprintf(path, sizeof path, "%s/%s", x->entries[0], disk->file_name);
    hf_code rc = hf_export_add(x, path, "disk", disk->file_bytes, disk->sha256, reterr);
    if (rc != HF_OK)
        return rc;
    return hf_manifest_add(manifest, x->manifest, disk->file_name,
                           disk->manifest_hex[0] ? disk->manifest_hex : disk->sha256, reterr);
}

/* A small text file in the directory, durable, and its artifact. */
static hf_code put_text(hf_export *x, int dir_fd, const char *suffix, const char *kind, const hf_buf *text,
                        hf_err *reterr) {
    char name[HF_TAR_NAME_ROOM], path[2 * HF_TAR_NAME_ROOM + 1], sha256[HF_DIGEST_HEX_MAX];
    snprintf(name, sizeof name, "%s%s", x->file_name, suffix);
    snprintf(path, sizeof path, "%s/%s", x->entries[0], name);
    hf_auto_fd int fd = -1;
    hf_code rc = hf_resume_file(x, dir_fd, name, UINT32_MAX, &fd, reterr);
    if (rc != HF_OK || (rc = hf_write_fully(fd, text->data, text->len, 0, reterr)) != HF_OK ||
        (rc = hf_export_seal(x, fd, (int64_t)text->len, NULL, reterr)) != HF_OK ||
        (rc = hf_digest_bytes(HF_DIGEST_SHA256, text->data, text->len, sha256, reterr)) != HF_OK)
        return rc;
    return hf_export_add(x, path, kind, (int64_t)text->len, sha256, reterr);
}

static hf_code ovf_texts(hf_export *x, int dir_fd, hf_buf *descriptor, hf_buf *disk_lines, hf_err *reterr) {
    hf_ovf_disk disks[HF_MAX_DISKS];
    hf_ovf ovf;
    char name[HF_TAR_NAME_ROOM], hex[HF_DIGEST_HEX_MAX];
    hf_buf manifest;
    hf_buf_init(&manifest, HF_OVF_MAX_BYTES);
    hf_export_ovf(x, disks, &ovf);
    snprintf(name, sizeof name, "%s.ovf", x->file_name);
    hf_code rc = hf_ovf_write(&ovf, descriptor, reterr);
    if (rc == HF_OK && (rc = hf_digest_bytes(x->manifest, descriptor->data, descriptor->len, hex, reterr)) == HF_OK &&
        (rc = hf_manifest_add(&manifest, x->manifest, name, hex, reterr)) == HF_OK &&
        !hf_buf_put(&manifest, disk_lines->data, disk_lines->len))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "the manifest");
    if (rc == HF_OK && (rc = put_text(x, dir_fd, ".ovf", "ovf", descriptor, reterr)) == HF_OK)
        rc = put_text(x, dir_fd, ".mf", "manifest", &manifest, reterr);
    hf_buf_done(&manifest);
    return rc;
}

hf_code hf_export_write_ovf(hf_export *x, hf_err *reterr) {
    hf_buf descriptor, disk_lines;
    if (mkdirat(x->stage.dir_fd, x->entries[0], 0777) != 0 && (errno != EEXIST || !x->resume.going))
        return hf_fail_errno(reterr, errno, "making the directory %s", x->entries[0]);
    hf_auto_fd int dir_fd = openat(x->stage.dir_fd, x->entries[0], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return hf_fail_errno(reterr, errno, "opening the directory %s", x->entries[0]);
    hf_buf_init(&descriptor, HF_OVF_MAX_BYTES);
    hf_buf_init(&disk_lines, HF_OVF_MAX_BYTES);
    ovf_dir dir = {x, dir_fd};
    hf_code rc = hf_export_each_disk(x, ovf_disk, &dir, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < x->vm.disk_count; i++)
        rc = ovf_list_disk(x, i, &disk_lines, reterr);
    hf_report_phase(&x->reporter, "finalize");
    int64_t began = hf_mono_ns();
    if (rc == HF_OK)
        rc = ovf_texts(x, dir_fd, &descriptor, &disk_lines, reterr);
    x->ovf_seconds = (double)(hf_mono_ns() - began) * 1e-9;
    if (rc == HF_OK && hf_fsync(dir_fd) != 0)
        rc = hf_fail_errno(reterr, errno, "making the directory %s durable", x->entries[0]);
    hf_buf_done(&descriptor);
    hf_buf_done(&disk_lines);
    return rc;
}
