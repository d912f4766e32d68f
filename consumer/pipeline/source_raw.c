/* The raw source: the file's bytes are the disk's. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/pipeline/cache.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

typedef struct raw_source {
    hf_source source;
    hf_reading reading;
} raw_source;

static hf_code raw_extent(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    int64_t size = source->size_bytes;
    int64_t data = lseek(source->fd, offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        data = size; /* a hole up to the end */
    else if (data < 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == ESPIPE)) {
        *ret_end = size; /* this file system or device does not tell: all of it is data */
        *ret_data = true;
        return HF_OK;
    } else if (data < 0)
        return hf_fail_errno(reterr, errno, "looking for data");
    *ret_data = data == offset;
    int64_t end = data;
    if (*ret_data && (end = lseek(source->fd, offset, SEEK_HOLE)) < 0)
        end = size;
    *ret_end = end > size ? size : end;
    return HF_OK;
}

static hf_code raw_read(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    raw_source *r = (raw_source *)source;
    hf_read_behind(&r->reading, source->fd, source->id.size_bytes, offset);
    return hf_read_fully(source->fd, to, len, offset, reterr);
}

static void raw_close(hf_source *source) {
    hf_reading_done(&((raw_source *)source)->reading, source->fd);
    hf_close_p(&source->fd);
    free(source);
}

static const hf_source_class raw_class = {"raw", raw_extent, raw_read, raw_close};

hf_code hf_source_open_raw(int fd, hf_source **ret, hf_err *reterr) {
    hf_source_id id;
    struct stat st;
    hf_code rc = hf_source_identify(fd, &id, reterr);
    if (rc != HF_OK)
        return rc;
    hf_auto_free raw_source *raw = hf_alloc(sizeof *raw);
    if (!raw)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a disk source");
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0 || fstat(own, &st) != 0)
        return hf_fail_errno(reterr, errno, "duplicating the image's descriptor");
    int64_t held = S_ISREG(st.st_mode) ? (int64_t)st.st_blocks * 512 : id.size_bytes;
    raw->source = (hf_source){.cls = &raw_class,
                              .fd = own,
                              .size_bytes = id.size_bytes,
                              .allocated_bytes = held < id.size_bytes ? held : id.size_bytes,
                              .id = id};
    hf_reading_init(&raw->reading);
    (void)posix_fadvise(own, 0, 0, POSIX_FADV_SEQUENTIAL);
    *ret = &HF_TAKE(raw)->source;
    return HF_OK;
}
