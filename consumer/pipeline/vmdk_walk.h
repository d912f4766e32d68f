/* Walks a streamOptimized VMDK as its bytes pass, front to back, in pieces of any size, and proves its structure: header and embedded
 * descriptor, every marker, every grain's place and size, every grain table against the grains that came, the grain directory, the
 * footer, and the end-of-stream marker with nothing but zeros behind it. Memory is bounded by the declared capacity's tables
 * (4 bytes a grain of the table under way, 4 a table), never by a length field alone. Format: VMware Virtual Disk Format 5.0,
 * "Stream-Optimized Compressed Sparse Extents". One thread at a time; no I/O.
 *
 * What is taken: versions 1 to 3; overheads and descriptors of any place; ESXi's progress markers; empty grain tables; grains of 4 to
 * 64 KiB, in any order within their table, and tables in any order, each once. Three layouts of the tables (hf_vmdk_layout).
 * What is refused beside damage: a grain of another table before its predecessors' table came; streams without markers (monolithicSparse);
 * grains that do not begin as a zlib stream; tables in front that stand before their directory. Of tables in front only those of the
 * directory that the header names are proven, not the redundant ones. */
#pragma once
#include "consumer/pipeline/probe.h"

typedef struct hf_vmdk_walk hf_vmdk_walk;

typedef enum hf_vmdk_layout {
    HF_VMDK_FOOTER,       /* tables behind their grains, directory and footer at the end: what a stream is */
    HF_VMDK_HEADER_KNOWS, /* the same, but the header was rewritten with the directory's place; a footer may be missing */
    HF_VMDK_TABLES_FIRST, /* qemu-img: directory and tables before the grains, no markers, no end-of-stream marker: it is whole when each
                           * grain that a table names has come */
} hf_vmdk_layout;

typedef struct hf_vmdk_summary {
    int64_t capacity_bytes, stream_bytes; /* stream_bytes: all that came */
    int64_t grains, populated_bytes;      /* grains that came; their bytes of disk */
    uint32_t version;
    char create_type[64];
    hf_vmdk_layout layout;
    int64_t padding_bytes; /* zeros behind the end-of-stream marker, counted in stream_bytes */
} hf_vmdk_summary;

/* Called for each grain, in the order of the stream: `data` is the whole compressed grain (zlib, RFC 1950), valid during the call. An
 * error ends the walk with it. May be NULL. */
typedef hf_code (*hf_vmdk_on_grain)(void *ctx, int64_t disk_offset, const uint8_t *data, uint32_t len, hf_err *reterr);

hf_code hf_vmdk_walk_new(hf_vmdk_on_grain on_grain, void *ctx, hf_vmdk_walk **ret, hf_err *reterr);
void hf_vmdk_walk_free(hf_vmdk_walk *walk);
/* VERIFY_FAILED, naming the byte's offset and what is wrong, at the first fault; later calls give the same again. A descriptor that names
 * a parent is SOURCE_INVALID, a sound header beyond what is read here LIMIT or UNSUPPORTED. */
hf_code hf_vmdk_walk_feed(hf_vmdk_walk *walk, const void *bytes, size_t len, hf_err *reterr);
/* Capacity in bytes once the header has passed, else -1; the bytes of a grain likewise. */
int64_t hf_vmdk_walk_capacity(const hf_vmdk_walk *walk);
int64_t hf_vmdk_walk_grain_bytes(const hf_vmdk_walk *walk);
/* The stream is over: VERIFY_FAILED "truncated …" unless the end-of-stream marker came. ret may be NULL. */
hf_code hf_vmdk_walk_end(hf_vmdk_walk *walk, hf_vmdk_summary *ret, hf_err *reterr);
