/* Inside the operation inspect: what is asked for, and the parts of a disk's report. The shape of the report is docs/jobs.md, "Inspect".
 * Each function gives new JSON, or NULL with *reterr set; every list in it is bounded. */
#pragma once
#include "consumer/operation/builtin.h"
#include "consumer/pipeline/qcow2_read.h"

enum { HF_INSPECT_CHAIN_MAX = 16 };

typedef struct hf_inspect {
    hf_run *run;
    const hf_opener *opener;
    const hf_flow *flow;
    int32_t check_seconds; /* 0: the format's own checks are not run */
    bool allow_chain;
    bool guest; /* the guest inside is looked at, too, by the appliance */
} hf_inspect;

/* text as a JSON string, whatever bytes it has. */
json_t *hf_inspect_text(const char *text);
/* The whole report of a disk that can be read. */
json_t *hf_inspect_disk(const hf_inspect *x, const hf_vm_disk *disk, hf_err *reterr);
/* Format's own check of the image in fd, {"tool", "result", …}; JSON null where the format has none. */
json_t *hf_inspect_check(const hf_inspect *x, const hf_probe *probe, int fd, int64_t size_bytes, hf_err *reterr);
/* What a qcow2 image says of itself: sets "image", "snapshots" … in `to`. */
hf_code hf_inspect_qcow2(json_t *to, const hf_qcow2_info *info, hf_err *reterr);
/* The report of an image with a backing file, its chain by name and its own header; *ret NULL (and HF_OK) when the disk is none such.
 * Only what this opens below the worker's roots is followed; no tool sees any of it. */
hf_code hf_inspect_overlay(const hf_inspect *x, const hf_disk *disk, json_t **ret, hf_err *reterr);
/* Partition table and file systems: sets "partition_table", "partitions" … in `to`. */
hf_code hf_inspect_layout(json_t *to, hf_source *source, hf_err *reterr);
