/* What a qcow2 image's own header and snapshot table say (QEMU docs/interop/qcow2.txt), in bounded reads: for reports only. Nothing here
 * opens what the image names; probe.h decides whether an image may be opened. */
#pragma once
#include "consumer/pipeline/probe.h"

enum { HF_QCOW2_SNAPSHOTS_LISTED = 64, HF_QCOW2_NAME_MAX = 1023 };

typedef struct hf_qcow2_snapshot {
    char id[64], name[256]; /* as they stand there, cut to the room; not necessarily UTF-8 */
    int64_t date_s;         /* of the Unix epoch */
    int64_t vm_clock_ns;
    int64_t vm_state_bytes;
    int64_t disk_bytes; /* -1: not said */
} hf_qcow2_snapshot;

typedef struct hf_qcow2_info {
    uint32_t version, cluster_bytes, refcount_bits;
    int64_t virtual_bytes;
    const char *compression; /* "zlib", "zstd", "unknown" */
    bool dirty, corrupt, external_data, extended_l2, lazy_refcounts, encrypted;
    char backing_file[HF_QCOW2_NAME_MAX + 1]; /* "": none */
    char backing_format[32];
    uint32_t snapshot_total;   /* as the header says */
    uint32_t snapshot_count;   /* of snapshots */
    bool snapshots_unreadable; /* the table ends before what it says */
    hf_qcow2_snapshot snapshots[HF_QCOW2_SNAPSHOTS_LISTED];
} hf_qcow2_info;

/* SOURCE_INVALID when it is no qcow2 image of version 2 or 3 or its header cannot be. */
hf_code hf_qcow2_read_info(hf_probe_read read, void *ctx, int64_t size_bytes, hf_qcow2_info *ret, hf_err *reterr);
