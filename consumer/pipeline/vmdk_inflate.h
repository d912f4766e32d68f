/* What inflating the grains of a VMDK needs, one set for each thread that does it at the moment: a decompressor, room for a grain, and
 * a window of the file. Sets are made when a thread first finds none free, and kept: nothing is allocated per read. */
#pragma once
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/err.h"

enum { HF_VMDK_GRAIN_MAX = 65536 };

typedef struct hf_vmdk_lane {
    struct hf_vmdk_lane *next; /* while it is free */
    struct libdeflate_decompressor *inflater;
    int64_t at; /* of the file: what window holds, have bytes of it */
    size_t have;
    uint8_t grain[HF_VMDK_GRAIN_MAX];
    uint8_t window[]; /* window_bytes of the lanes it belongs to */
} hf_vmdk_lane;

typedef struct hf_vmdk_lanes {
    pthread_mutex_t lock;
    hf_vmdk_lane *free;
    size_t window_bytes;
} hf_vmdk_lanes;

void hf_vmdk_lanes_init(hf_vmdk_lanes *lanes, size_t window_bytes);
void hf_vmdk_lanes_done(hf_vmdk_lanes *lanes);                         /* all are back */
hf_vmdk_lane *hf_vmdk_lane_take(hf_vmdk_lanes *lanes, hf_err *reterr); /* NULL: NO_MEMORY; its window is empty */
void hf_vmdk_lane_give(hf_vmdk_lanes *lanes, hf_vmdk_lane *lane);

/* A grain as the file has it. */
typedef struct hf_vmdk_packed {
    const uint8_t *data; /* a zlib stream */
    uint32_t len;
    int64_t disk_offset;
    uint32_t grain_bytes,
        need_bytes; /* it must give at least need_bytes (less than a grain only at the disk's end), at most grain_bytes */
} hf_vmdk_packed;

/* Bytes [from, from + len) of the grain, to `to`; SOURCE_INVALID with its place when it is not a whole grain with the right Adler-32. */
hf_code hf_vmdk_inflate(hf_vmdk_lane *lane, const hf_vmdk_packed *packed, void *to, size_t from, size_t len,
                        hf_err *reterr);
