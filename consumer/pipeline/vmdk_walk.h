/* Walks a streamOptimized VMDK as its bytes pass, front to back, in pieces of any size, and proves its structure: header and embedded
 * descriptor, every marker, every grain's place and size, every grain table against the grains that came, the grain directory, the
 * footer, and the end-of-stream marker with nothing behind it. Memory is bounded by the declared capacity's tables
 * (4 bytes a grain of the table under way, 4 a table), never by a length field alone. Format: VMware Virtual Disk Format 5.0,
 * "Stream-Optimized Compressed Sparse Extents". One thread at a time; no I/O. */
#pragma once
#include "consumer/pipeline/probe.h"

typedef struct hf_vmdk_walk hf_vmdk_walk;

typedef struct hf_vmdk_summary {
    int64_t capacity_bytes, stream_bytes;
    int64_t grains, populated_bytes; /* grains that came; their bytes of disk */
    uint32_t version;
    char create_type[64];
} hf_vmdk_summary;

/* Called for each grain, in the order of the stream: `data` is the whole compressed grain (zlib, RFC 1950), valid during the call. An
 * error ends the walk with it. May be NULL. */
typedef hf_code (*hf_vmdk_on_grain)(void *ctx, int64_t disk_offset, const uint8_t *data, uint32_t len, hf_err *reterr);

hf_code hf_vmdk_walk_new(hf_vmdk_on_grain on_grain, void *ctx, hf_vmdk_walk **ret, hf_err *reterr);
void hf_vmdk_walk_free(hf_vmdk_walk *walk);
/* VERIFY_FAILED, naming the byte's offset and what is wrong, at the first fault; later calls give the same again. */
hf_code hf_vmdk_walk_feed(hf_vmdk_walk *walk, const void *bytes, size_t len, hf_err *reterr);
/* Capacity in bytes once the header has passed, else -1. */
int64_t hf_vmdk_walk_capacity(const hf_vmdk_walk *walk);
/* The stream is over: VERIFY_FAILED "truncated …" unless the end-of-stream marker came. */
hf_code hf_vmdk_walk_end(hf_vmdk_walk *walk, hf_vmdk_summary *ret, hf_err *reterr);
