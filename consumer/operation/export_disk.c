/* Formats of one file a disk: vmdk, raw, and the images of export_image.c. */
#include <errno.h>
#include <sys/stat.h>

#include "consumer/operation/export.h"
#include "schemas/base/mem.h"

typedef hf_export_write_one write_one;

static hf_code write_vmdk(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    hf_out out;
    char other[HF_DIGEST_HEX_MAX];
    hf_code rc = hf_out_init(&out, fd, 0, HF_DIGEST_NONE, &x->flow, reterr);
    if (rc == HF_OK && (rc = hf_export_stream_vmdk(x, i, &out, reterr)) == HF_OK &&
        (rc = hf_out_end(&out, x->disks[i].sha256, other, reterr)) == HF_OK)
        rc = hf_export_check_end(x, fd, 0, out.len, reterr);
    hf_out_done(&out);
    return rc;
}

static hf_code adopt_whole(hf_export *x, uint32_t i, int fd, const hf_checkpoint_disk *whole, hf_err *reterr) {
    char other[HF_DIGEST_HEX_MAX];
    hf_out out;
    hf_code rc = hf_out_init(&out, fd, 0, HF_DIGEST_NONE, &x->flow, reterr);
    if (rc == HF_OK && (rc = hf_out_adopt(&out, whole->file_bytes, whole->sha256, reterr)) == HF_OK &&
        (rc = hf_out_end(&out, x->disks[i].sha256, other, reterr)) == HF_OK)
        hf_resume_count(x, i);
    hf_out_done(&out);
    return rc;
}

static hf_code write_raw(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    hf_sink *sink = NULL;
    const hf_checkpoint_disk *whole = hf_resume_whole(x, i);
    const hf_sink_mark *mark = hf_resume_mark(x, i);
    int64_t size = x->vm.disks[i].source->size_bytes;
    if (whole)
        return adopt_whole(x, i, fd, whole, reterr);
    hf_code rc = mark ? hf_sink_raw_resume(fd, size, &x->flow, mark, &sink, reterr)
                      : hf_sink_raw_new(fd, size, &x->flow, &sink, reterr);
    if (rc == HF_OK && (rc = hf_export_run_disk(x, i, fd, sink, reterr)) == HF_OK)
        rc = hf_sink_raw_sha256(sink, x->disks[i].sha256, reterr);
    hf_sink_free(sink);
    return rc;
}

typedef struct writing {
    hf_export *x;
    write_one write;
} writing;

static hf_code write_file(void *ctx, uint32_t i, hf_err *reterr) {
    const writing *w = ctx;
    hf_export *x = w->x;
    bool anew = x->streams.on && !hf_export_streams_kept(x);
    hf_export_disk *disk = &x->disks[i];
    struct stat st;
    hf_auto_fd int fd = -1;
    hf_code rc = hf_resume_file(x, x->stage.dir_fd, disk->file_name, i, &fd, reterr);
    if (rc == HF_OK)
        rc = anew ? hf_export_stream_code(x, i, fd, w->write, reterr) : w->write(x, i, fd, reterr);
    if (rc != HF_OK)
        return rc;
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", disk->file_name);
    disk->file_bytes = st.st_size;
    return hf_export_seal(x, fd, st.st_size, disk->sha256[0] ? NULL : disk->sha256, reterr);
}

static hf_code write_all(hf_export *x, write_one write, hf_err *reterr) {
    writing w = {x, write};
    hf_code rc = hf_export_each_disk(x, write_file, &w, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < x->vm.disk_count; i++)
        rc = hf_export_add(x, x->disks[i].file_name, "disk", x->disks[i].file_bytes, x->disks[i].sha256, reterr);
    return rc;
}

hf_code hf_export_write_vmdk(hf_export *x, hf_err *reterr) { return write_all(x, write_vmdk, reterr); }
hf_code hf_export_write_qcow2(hf_export *x, hf_err *reterr) { return write_all(x, hf_export_image_qcow2, reterr); }
hf_code hf_export_write_raw(hf_export *x, hf_err *reterr) { return write_all(x, write_raw, reterr); }
hf_code hf_export_write_vdi(hf_export *x, hf_err *reterr) { return write_all(x, hf_export_image_vdi, reterr); }
hf_code hf_export_write_vhd(hf_export *x, hf_err *reterr) { return write_all(x, hf_export_image_vhd, reterr); }
hf_code hf_export_write_vhdx(hf_export *x, hf_err *reterr) { return write_all(x, hf_export_image_vhdx, reterr); }
hf_code hf_export_write_vmdk_sparse(hf_export *x, hf_err *reterr) {
    return write_all(x, hf_export_image_vmdk_sparse, reterr);
}
