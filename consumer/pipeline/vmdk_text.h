/* The descriptor that a VMDK of ours carries. */
#pragma once
#include <stdint.h>

#include "consumer/pipeline/vmdk.h"
#include "schemas/base/err.h"

/* Fills text, zeros behind it. `access` is "RW" or "RDONLY". The id of the contents, which readers compare with a child's
 * parentCID, is made from the name and the size: nothing of ours has children, and the same export gives the same bytes. */
hf_code hf_vmdk_descriptor_text(const char *create_type, const char *access, const char *extent_name,
                                int64_t capacity_sectors, char text[HF_VMDK_DESCRIPTOR_SECTORS * HF_VMDK_SECTOR],
                                hf_err *reterr);
