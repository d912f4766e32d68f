#include "consumer/pipeline/tar.h"

#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/bytes.h"

static void put_size(uint8_t field[12], int64_t size) {
    if (size < HF_TAR_USTAR_SIZE_MAX) {
        char text[16];
        snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
        memcpy(field, text, 11);
    } else { /* GNU: the top bit, then a big-endian number */
        field[0] = 0x80;
        hf_put_be64(field + 4, (uint64_t)size);
    }
}

hf_code hf_tar_header(const char *name, int64_t size_bytes, uint8_t block[HF_TAR_BLOCK], hf_err *reterr) {
    size_t len = strlen(name);
    if (len == 0 || len > HF_TAR_NAME_MAX || strchr(name, '/'))
        return hf_fail(reterr, HF_E_LIMIT, "archive member name %s: 1 to %d bytes without '/'", name, HF_TAR_NAME_MAX);
    memset(block, 0, HF_TAR_BLOCK);
    memcpy(block, name, len);
    memcpy(block + 100, "0000644", 7);
    memcpy(block + 108, "0000000", 7); /* uid */
    memcpy(block + 116, "0000000", 7); /* gid */
    put_size(block + 124, size_bytes);
    memcpy(block + 136, "00000000000", 11); /* mtime: none, so that the archive's bytes depend on the disks alone */
    memset(block + 148, ' ', 8);
    block[156] = '0';
    memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < HF_TAR_BLOCK; i++)
        sum += block[i];
    char text[8];
    snprintf(text, sizeof text, "%06o", sum & 0777777);
    memcpy(block + 148, text, 7); /* six digits, NUL; the space behind stays */
    return HF_OK;
}
