#include "consumer/pipeline/manifest.h"

#include <string.h>

hf_code hf_manifest_add(hf_buf *text, hf_digest_kind kind, const char *name, const char *hex, hf_err *reterr) {
    if (!hf_buf_printf(text, "%s(%s)= %s\n", hf_digest_label(kind), name, hex))
        return hf_fail(reterr, HF_E_NO_MEMORY, "the manifest's line of %s", name);
    return HF_OK;
}

size_t hf_manifest_line_len(hf_digest_kind kind, const char *name) {
    return strlen(hf_digest_label(kind)) + strlen(name) + strlen("()= \n") + hf_digest_hex_len(kind);
}
