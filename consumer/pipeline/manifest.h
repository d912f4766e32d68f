/* The OVF manifest (DSP0243, section 6.3): a line "SHA256(name)= hex" for each file, in order. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "schemas/base/buf.h"

hf_code hf_manifest_add(hf_buf *text, hf_digest_kind kind, const char *name, const char *hex, hf_err *reterr);
/* How long that line will be, before the hash is known. */
size_t hf_manifest_line_len(hf_digest_kind kind, const char *name);
