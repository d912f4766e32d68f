/* USTAR headers (POSIX.1-2017 pax, section "ustar Interchange Format") of regular files; sizes from 8 GiB on in GNU's
 * base-256 form. Every field but name and size is fixed, so that the same members give the same bytes. */
#pragma once
#include <stdint.h>

#include "schemas/base/err.h"

enum { HF_TAR_BLOCK = 512, HF_TAR_NAME_MAX = 100, HF_TAR_NAME_ROOM = HF_TAR_NAME_MAX + 1 };
#define HF_TAR_USTAR_SIZE_MAX ((int64_t)8 << 30) /* the first size that needs base-256 */

/* name: at most HF_TAR_NAME_MAX bytes, no '/'. */
hf_code hf_tar_header(const char *name, int64_t size_bytes, uint8_t block[HF_TAR_BLOCK], hf_err *reterr);
static inline int64_t hf_tar_padded(int64_t size_bytes) {
    return (size_bytes + HF_TAR_BLOCK - 1) / HF_TAR_BLOCK * HF_TAR_BLOCK;
}
