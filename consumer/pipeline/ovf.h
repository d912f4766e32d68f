/* OVF 1.x descriptors (DSP0243 1.1): what an appliance says about itself beside its disks. */
#pragma once
#include <stdint.h>

#include "schemas/base/buf.h"
#include "schemas/base/err.h"

typedef struct hf_ovf_disk {
    const char *file_name; /* in References */
    int64_t file_bytes;    /* of the VMDK; known once it is written */
    int64_t capacity_bytes, populated_bytes;
} hf_ovf_disk;

typedef struct hf_ovf {
    const char *name;    /* of the VM, UTF-8 */
    const char *os_type; /* VMware's guest id, e.g. "otherGuest64" */
    int32_t cpus, memory_mb;
    const hf_ovf_disk *disks;
    uint32_t disk_count;
} hf_ovf;

enum { HF_OVF_MAX_BYTES = 1 << 20 };

/* The XML text, appended to ret_text. */
hf_code hf_ovf_write(const hf_ovf *ovf, hf_buf *ret_text, hf_err *reterr);
