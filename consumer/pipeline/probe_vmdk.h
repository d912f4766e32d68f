/* VMDK descriptors (VMware Virtual Disk Format 5.0, "The Descriptor File"): what they name outside themselves. */
#pragma once
#include "consumer/pipeline/probe.h"

enum { HF_VMDK_DESCRIPTOR_MAX = 64 * 1024 };

/* Whether text may be a descriptor file. */
bool hf_vmdk_is_descriptor(hf_str text);
/* A descriptor that stands alone: only one with a single flat extent beside it is taken. */
hf_code hf_vmdk_check_descriptor_file(hf_str text, hf_probe *ret, hf_err *reterr);
/* A descriptor inside a sparse extent: must not name a parent. Fills detail (createType). */
hf_code hf_vmdk_check_embedded(hf_str text, hf_probe *ret, hf_err *reterr);
