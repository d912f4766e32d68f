/* Numbers in bytes of a stated order, at any alignment. */
#pragma once
#include <endian.h>
#include <stdint.h>
#include <string.h>

#define HF_BYTES_GET(name, type, convert)                                                                              \
    static inline type name(const void *p) {                                                                           \
        type v;                                                                                                        \
        memcpy(&v, p, sizeof v);                                                                                       \
        return convert(v);                                                                                             \
    }
#define HF_BYTES_PUT(name, type, convert)                                                                              \
    static inline void name(void *p, type v) {                                                                         \
        v = convert(v);                                                                                                \
        memcpy(p, &v, sizeof v);                                                                                       \
    }
HF_BYTES_GET(hf_le16, uint16_t, le16toh)
HF_BYTES_GET(hf_le32, uint32_t, le32toh)
HF_BYTES_GET(hf_le64, uint64_t, le64toh)
HF_BYTES_GET(hf_be16, uint16_t, be16toh)
HF_BYTES_GET(hf_be32, uint32_t, be32toh)
HF_BYTES_GET(hf_be64, uint64_t, be64toh)
HF_BYTES_PUT(hf_put_le16, uint16_t, htole16)
HF_BYTES_PUT(hf_put_le32, uint32_t, htole32)
HF_BYTES_PUT(hf_put_le64, uint64_t, htole64)
HF_BYTES_PUT(hf_put_be16, uint16_t, htobe16)
HF_BYTES_PUT(hf_put_be32, uint32_t, htobe32)
HF_BYTES_PUT(hf_put_be64, uint64_t, htobe64)
#undef HF_BYTES_GET
#undef HF_BYTES_PUT
