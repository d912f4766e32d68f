/* A source: one disk as a run of bytes, wherever it is kept. It knows its size, where it holds data and where only
 * zeros, reads any range from any thread, and tells whether the file behind it changed meanwhile.
 * Classes: raw (the file itself; SEEK_DATA/SEEK_HOLE), vmdk and its stream (vmdk_read.h: the kinds that are inflated by all threads) and
 * nbd (qemu-nbd reads any other format; block status).
 * `extent` is called by one thread at a time, `read` by many. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "schemas/base/err.h"

typedef struct hf_source hf_source;

/* What an image file was when it was opened. */
typedef struct hf_source_id {
    uint64_t dev, ino;
    int64_t size_bytes, mtime_ns;
} hf_source_id;

typedef struct hf_source_class {
    const char *name;
    /* The run that begins at offset (< size_bytes): where it ends, and whether it may hold anything but zeros. */
    hf_code (*extent)(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr);
    hf_code (*read)(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr);
    void (*close)(hf_source *source);
} hf_source_class;

struct hf_source {
    const hf_source_class *cls;
    int fd;                  /* the image file: the source's own descriptor; -1: none, it comes as a stream */
    int64_t size_bytes;      /* of the disk, as a guest sees it */
    int64_t allocated_bytes; /* of it that are not holes, as far as is known: what progress counts */
    hf_source_id id;
    bool charged; /* what it reads is charged to the flow, and counted, where it comes from, not by who reads */
    /* Where not NULL, told from any thread when a run ends early: an extent() that waits for reads ends with CANCELLED. */
    void (*stop)(hf_source *source);
};

/* A source of the image in fd (a regular file or block device; duplicated). `format` is a name of probe.h and is never
 * guessed here; everything but raw and the VMDKs of vmdk_read.h needs the program qemu-nbd. */
hf_code hf_source_open(int fd, const char *format, hf_source **ret, hf_err *reterr);
hf_code hf_source_open_raw(int fd, hf_source **ret, hf_err *reterr);
hf_code hf_source_open_nbd(int fd, const char *format, hf_source **ret, hf_err *reterr);
/* SOURCE_CHANGED when the file's size, time or identity is not what it was at opening. */
hf_code hf_source_unchanged(const hf_source *source, hf_err *reterr);
void hf_source_close(hf_source *source); /* NULL is fine */

static inline hf_code hf_source_extent(hf_source *s, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    return s->cls->extent(s, offset, ret_end, ret_data, reterr);
}
static inline hf_code hf_source_read(hf_source *s, void *to, size_t len, int64_t offset, hf_err *reterr) {
    return s->cls->read(s, to, len, offset, reterr);
}

/* For the classes: stats fd into *ret_id, refusing what is neither a regular file nor a block device. */
hf_code hf_source_identify(int fd, hf_source_id *ret_id, hf_err *reterr);
/* The whole of [offset, offset + len) from fd; a file that ends early has changed. */
hf_code hf_read_fully(int fd, void *to, size_t len, int64_t offset, hf_err *reterr);
