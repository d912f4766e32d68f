/* A stream: the bytes of one disk's file as somebody else sends them, once, front to back: a download. What comes is a
 * streamOptimized VMDK. It is either kept as it comes (walked and hashed on the way, stream_copy.h) or read as a disk
 * (hf_source_open_vmdk_stream in vmdk_read.h). One thread reads. */
#pragma once
#include <stdint.h>

#include "consumer/pipeline/flow.h"
#include "schemas/base/err.h"

typedef struct hf_stream hf_stream;

typedef struct hf_stream_class {
    const char *name;
    /* The next bytes, at most cap of them; *ret_len 0 at the end. Waits; a cancel of the flow it was opened with ends the wait
     * within 200 ms. Charges that flow with what comes. A code whose policy is RETRY: opening it anew may help. */
    hf_code (*read)(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr);
    void (*close)(hf_stream *stream);
} hf_stream_class;

struct hf_stream {
    const hf_stream_class *cls;
    int64_t size_bytes; /* of the file, as announced; -1: nobody knows */
};

static inline hf_code hf_stream_read(hf_stream *s, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    return s->cls->read(s, to, cap, ret_len, reterr);
}
static inline void hf_stream_close(hf_stream *s) {
    if (s)
        s->cls->close(s);
}
