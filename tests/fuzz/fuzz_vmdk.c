// LIBS: hf_pipeline
/* Whatever bytes stand in a VMDK: the walker says the same of them in one piece and in many; what it takes as whole the reader opens and
 * finds the same grains in; and the reader and the stream's reader stay inside the file and the buffer, and tell the same disk. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/pipeline/vmdk_read.h"
#include "consumer/pipeline/vmdk_walk.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

enum { INPUT_MAX = 256 * 1024, READ_MAX = 1 << 20, READ_TOTAL = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    hf_stream stream;
    const uint8_t *data;
    size_t size, at;
} input;

static hf_code walk(const uint8_t *data, size_t size, size_t piece, hf_vmdk_summary *ret, hf_err *reterr) {
    hf_vmdk_walk *w = NULL;
    hf_code rc = hf_vmdk_walk_new(NULL, NULL, &w, reterr);
    for (size_t at = 0; rc == HF_OK && at < size; at += piece)
        rc = hf_vmdk_walk_feed(w, data + at, size - at < piece ? size - at : piece, reterr);
    if (rc == HF_OK)
        rc = hf_vmdk_walk_end(w, ret, reterr);
    hf_vmdk_walk_free(w);
    return rc;
}

static hf_code input_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    input *in = (input *)stream;
    (void)reterr;
    size_t n = in->size - in->at < cap ? in->size - in->at : cap;
    if (n > 3000)
        n = 3000;
    memcpy(to, in->data + in->at, n);
    in->at += n;
    *ret_len = n;
    return HF_OK;
}
static void input_close(hf_stream *stream) { (void)stream; }

/* Reads the first READ_TOTAL bytes of data, as the pipeline would; a sum of what it saw and where, however it was cut into extents. */
static hf_code read_disk(hf_source *source, uint64_t *ret_sum) {
    static uint8_t block[READ_MAX];
    int64_t end, left = READ_TOTAL;
    uint64_t sum = 0;
    hf_err err = {0};
    for (int64_t at = 0; at < source->size_bytes && left > 0; at = end) {
        bool data;
        hf_code rc = hf_source_extent(source, at, &end, &data, &err);
        if (rc != HF_OK)
            return rc;
        MUST(end > at && end <= source->size_bytes);
        if (!data)
            continue;
        if (end - at > READ_MAX)
            end = at + READ_MAX;
        if (end - at > left)
            end = at + left;
        if ((rc = hf_source_read(source, block, (size_t)(end - at), at, &err)) != HF_OK)
            return rc;
        left -= end - at;
        for (int64_t b = (at + 510) / 511 * 511; b < end; b += 511)
            sum += block[b - at] * ((uint64_t)b * 0x9e3779b97f4a7c15u | 1);
    }
    *ret_sum = sum;
    return HF_OK;
}

static void by_file(const uint8_t *data, size_t size, const hf_vmdk_summary *whole, hf_code *ret_code,
                    uint64_t *ret_sum) {
    static int fd = -1;
    if (fd < 0)
        MUST((fd = memfd_create("fuzz", MFD_CLOEXEC)) >= 0);
    MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    hf_source *source = NULL;
    hf_err err = {0};
    hf_code rc = hf_source_open_vmdk(fd, 0, (int64_t)size, &source, &err);
    MUST(rc == HF_OK || (rc == err.code && err.detail[0]));
    MUST(!whole || rc == HF_OK || rc == HF_E_UNSUPPORTED); /* of another type, by its descriptor */
    if (rc == HF_OK) {
        MUST(!whole || source->size_bytes == whole->capacity_bytes);
        rc = read_disk(source, ret_sum);
    }
    hf_source_close(source);
    *ret_code = rc;
}

static hf_code by_stream(const uint8_t *data, size_t size, uint64_t *ret_sum) {
    static const hf_stream_class input_class = {"input", input_read, input_close};
    input in = {.stream = {&input_class, -1}, .data = data, .size = size};
    hf_source *source = NULL;
    hf_err err = {0};
    hf_code rc = hf_source_open_vmdk_stream(&in.stream, 0, &source, &err);
    if (rc == HF_OK)
        rc = read_disk(source, ret_sum);
    hf_source_close(source);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > INPUT_MAX)
        return 0;
    hf_vmdk_summary one = {0}, many = {0};
    hf_err err_one = {0}, err_many = {0};
    hf_code rc = walk(data, size, size, &one, &err_one), file_rc;
    MUST(walk(data, size, 1 + data[size - 1] % 97u * 13, &many, &err_many) == rc);
    MUST(rc == HF_OK || (rc == err_one.code && strcmp(err_one.detail, err_many.detail) == 0));
    if (rc == HF_OK)
        MUST(one.grains == many.grains && one.populated_bytes <= one.capacity_bytes &&
             one.stream_bytes == (int64_t)size);
    if (rc != HF_OK && size % 4 != 0)
        return 0; /* opening takes some MiB each: not for every input that the walker refuses already */
    uint64_t file_sum = 0, stream_sum = 0;
    by_file(data, size, rc == HF_OK ? &one : NULL, &file_rc, &file_sum);
    hf_code stream_rc = by_stream(data, size, &stream_sum);
    /* Where both read to their end, they read the same; a stream that is not whole is never read to its end. */
    if (rc == HF_OK && file_rc == HF_OK && stream_rc == HF_OK)
        MUST(file_sum == stream_sum);
    if (rc == HF_OK && file_rc == HF_OK)
        MUST(stream_rc == HF_OK || stream_rc == HF_E_UNSUPPORTED); /* grains out of order */
    return 0;
}
