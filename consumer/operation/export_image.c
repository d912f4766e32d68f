/* Formats of one file a disk whose tables stand at the front and are known last: qcow2, and those of other hypervisors. Their
 * hashes are read back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "consumer/operation/export.h"
#include "consumer/pipeline/probe.h"

/* What was written is read as what it should be, and the disk in it has the source's size. */
static hf_code check_image(const hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    hf_format wanted;
    hf_probe probe;
    struct stat st;
    int64_t size = (x->vm.disks[i].source->size_bytes + 511) / 512 * 512;
    if (!hf_format_parse(hf_str_of(x->format->suffix + 1), &wanted))
        return hf_fail(reterr, HF_E_INTERNAL, "no image has the suffix %s", x->format->suffix);
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", x->disks[i].file_name);
    hf_code rc = hf_probe_fd(fd, st.st_size, &probe, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "what was just written");
    if (probe.format != wanted || (probe.virtual_bytes >= 0 && probe.virtual_bytes != size))
        return hf_fail(reterr, HF_E_VERIFY_FAILED,
                       "what was written reads as %s of %" PRId64 " bytes and not as %s of %" PRId64,
                       hf_format_name(probe.format), probe.virtual_bytes, hf_format_name(wanted), size);
    return HF_OK;
}

/* Runs the disk into sink, which is NULL where rc is an error already, and frees it. */
static hf_code write_image(hf_export *x, uint32_t i, int fd, hf_code rc, hf_sink *sink, hf_err *reterr) {
    if (rc == HF_OK && (rc = hf_export_run_disk(x, i, fd, sink, reterr)) == HF_OK)
        rc = check_image(x, i, fd, reterr);
    hf_sink_free(sink);
    return rc;
}

hf_code hf_export_image_qcow2(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    hf_sink *sink = NULL;
    hf_code rc = hf_sink_qcow2_compressed_new(fd, x->codec, x->vm.disks[i].source->size_bytes, &x->flow, &sink, reterr);
    return write_image(x, i, fd, rc, sink, reterr);
}

hf_code hf_export_image_vmdk_sparse(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    hf_sink *sink = NULL;
    hf_code rc =
        hf_sink_vmdk_sparse_new(fd, x->disks[i].file_name, x->vm.disks[i].source->size_bytes, &x->flow, &sink, reterr);
    return write_image(x, i, fd, rc, sink, reterr);
}

/* What hypervisors tell disks apart by comes from the job and the disk, so that every attempt gives the same bytes. */
static hf_code write_seeded(hf_export *x, uint32_t i, int fd, hf_sink_seeded_new new_sink, hf_err *reterr) {
    char seed[HF_ID_MAX_BYTES + HF_TAR_NAME_ROOM + 2];
    hf_sink *sink = NULL;
    snprintf(seed, sizeof seed, "%.*s/%s", HF_STR_ARG(x->run->job_id), x->disks[i].file_name);
    hf_code rc = new_sink(fd, seed, x->vm.disks[i].source->size_bytes, &x->flow, &sink, reterr);
    return write_image(x, i, fd, rc, sink, reterr);
}

hf_code hf_export_image_vdi(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    return write_seeded(x, i, fd, hf_sink_vdi_new, reterr);
}
hf_code hf_export_image_vhd(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    return write_seeded(x, i, fd, hf_sink_vhd_new, reterr);
}
hf_code hf_export_image_vhdx(hf_export *x, uint32_t i, int fd, hf_err *reterr) {
    return write_seeded(x, i, fd, hf_sink_vhdx_new, reterr);
}
