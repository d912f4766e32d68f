/* Writes OVF descriptors (DSP0243 1.1, or 2.x where asked for): what an appliance says about itself beside its disks. The order of
 * elements, the ids and the units are those that virt-v2v, VirtualBox, ESXi and govc read. */
#pragma once
#include <stdint.h>

#include "consumer/pipeline/machine.h"
#include "schemas/base/buf.h"
#include "schemas/base/err.h"

typedef enum hf_ovf_version { HF_OVF_1_1, HF_OVF_2_0 } hf_ovf_version;

typedef struct hf_ovf_disk {
    const char *file_name; /* in References */
    int64_t file_bytes;    /* of the VMDK; known once it is written */
    int64_t capacity_bytes, populated_bytes;
    hf_machine_place place;
} hf_ovf_disk;

typedef struct hf_ovf {
    const char *name;          /* of the VM, UTF-8 */
    const hf_machine *machine; /* completed (hf_machine_complete) for these disks */
    const char *annotation;    /* NULL or "": none */
    hf_ovf_version version;
    const hf_ovf_disk *disks;
    uint32_t disk_count;
} hf_ovf;

enum { HF_OVF_MAX_BYTES = 1 << 20 };

/* The XML text, appended to ret_text. */
hf_code hf_ovf_write(const hf_ovf *ovf, hf_buf *ret_text, hf_err *reterr);
