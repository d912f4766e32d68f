/* Streams and disks made for the tests of what reads VMDKs: piece by piece, so that a test can leave one out or bend it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consumer/pipeline/stream.h"
#include "consumer/pipeline/vmdk_walk.h"

enum { MADE_STREAM_MAX = 4 << 20, MADE_TABLES_MAX = 64 };

typedef struct made_vmdk {
    uint8_t *bytes; /* MADE_STREAM_MAX */
    size_t len;
    int64_t capacity_sectors;
    uint32_t version, flags, grain_sectors, overhead;
    uint64_t gd; /* what the header says; UINT64_MAX: at the end */
    uint32_t entries[512], directory[MADE_TABLES_MAX];
} made_vmdk;

void made_begin(made_vmdk *m, int64_t capacity_sectors); /* defaults; nothing written yet */
void made_free(made_vmdk *m);
void made_head(made_vmdk *m); /* header and descriptor up to the overhead */
/* A grain whose bytes are all `fill`, and its place in entries. */
void made_grain(made_vmdk *m, int64_t grain, uint8_t fill);
void made_marker(made_vmdk *m, uint64_t sectors, uint32_t type);
void made_table(made_vmdk *m, unsigned table); /* marker, entries; clears them */
void made_directory(made_vmdk *m);
void made_footer(made_vmdk *m);
void made_end(made_vmdk *m);
void made_sector(made_vmdk *m, const void *bytes, size_t len); /* padded to a sector */
/* Two tables, four grains, the last one at the end of a disk that ends inside it: about 20 KiB. */
void made_small(made_vmdk *m);

/* Feeds all in pieces of `piece` bytes and ends. */
hf_code walk_all(const uint8_t *bytes, size_t len, size_t piece, hf_vmdk_summary *ret, hf_err *reterr);

/* A raw disk of `size` bytes in a new temporary file: text, random bytes and holes in a pattern that `seed` chooses; its fd. */
int made_disk(int64_t size, unsigned seed);
/* The same as a streamOptimized VMDK by our writer (a memfd). */
int made_export(int disk, int64_t size);
/* qemu-img convert of fd (format `from`) into a new temporary file, with the options; its fd. */
int made_by_qemu(int fd, const char *from, const char *to, const char *options);
void same_bytes(int a, int b, int64_t size);

/* A stream of the bytes of fd from 0 to len, in pieces of changing size; at byte fail_at (-1: never) it fails as a broken line does. */
typedef struct made_stream {
    hf_stream stream;
    int fd;
    int64_t at, len, fail_at;
    unsigned piece; /* of the first read; changes */
} made_stream;
made_stream made_stream_of(int fd, int64_t len);
