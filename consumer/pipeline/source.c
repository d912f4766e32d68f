/* What all sources share: identity and its check. */
#include "consumer/pipeline/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/fault.h"

#include "consumer/pipeline/vmdk_read.h"

hf_code hf_source_identify(int fd, hf_source_id *ret_id, hf_err *reterr) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "stat of the disk image");
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the disk image is neither a regular file nor a block device");
    int64_t size = st.st_size;
    if (S_ISBLK(st.st_mode) && (size = lseek(fd, 0, SEEK_END)) < 0)
        return hf_fail_errno(reterr, errno, "size of the block device");
    *ret_id = (hf_source_id){.dev = st.st_dev,
                             .ino = st.st_ino,
                             .size_bytes = size,
                             .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    return HF_OK;
}

/* The kinds of VMDK that vmdk_read.h knows; anything else is qemu's. */
static hf_code open_vmdk(int fd, hf_source **ret, hf_err *reterr) {
    hf_source_id id;
    hf_code rc = hf_source_identify(fd, &id, reterr);
    if (rc == HF_OK)
        rc = hf_source_open_vmdk(fd, 0, id.size_bytes, ret, reterr);
    return rc == HF_E_UNSUPPORTED ? hf_source_open_nbd(fd, "vmdk", ret, reterr) : rc;
}

hf_code hf_source_open(int fd, const char *format, hf_source **ret, hf_err *reterr) {
    if (strcmp(format, "raw") == 0)
        return hf_source_open_raw(fd, ret, reterr);
    return strcmp(format, "vmdk") == 0 ? open_vmdk(fd, ret, reterr) : hf_source_open_nbd(fd, format, ret, reterr);
}

hf_code hf_source_unchanged(const hf_source *source, hf_err *reterr) {
    hf_source_id now = {0};
    if (source->fd < 0)
        return HF_OK; /* it came as a stream, which is whole or an error */
    hf_code rc = hf_source_identify(source->fd, &now, reterr);
    if (rc != HF_OK)
        return rc;
    const hf_source_id *was = &source->id;
    if (now.size_bytes != was->size_bytes)
        return hf_fail(reterr, HF_E_SOURCE_CHANGED,
                       "the image was %" PRId64 " bytes and is %" PRId64 " now: stop what writes it, then retry",
                       was->size_bytes, now.size_bytes);
    if (now.mtime_ns != was->mtime_ns || now.dev != was->dev || now.ino != was->ino)
        return hf_fail(reterr, HF_E_SOURCE_CHANGED,
                       "the image was written to while it was read: stop what writes it, then retry");
    return HF_OK;
}

void hf_source_close(hf_source *source) {
    if (source)
        source->cls->close(source);
}

hf_code hf_read_fully(int fd, void *to, size_t len, int64_t offset, hf_err *reterr) {
    char *p = to;
    while (len > 0) {
        ssize_t n = hf_pread(fd, p, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_fail_errno(reterr, errno, "reading at offset %" PRId64, offset);
        if (n == 0)
            return hf_fail(reterr, HF_E_SOURCE_CHANGED, "the file ends at offset %" PRId64 ", sooner than it did",
                           offset);
        p += n;
        offset += n;
        len -= (size_t)n;
    }
    return HF_OK;
}
