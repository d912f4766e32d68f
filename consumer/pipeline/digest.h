/* A running hash (OpenSSL EVP: SHA-NI where the CPU has it). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "schemas/base/err.h"

typedef enum hf_digest_kind { HF_DIGEST_NONE, HF_DIGEST_SHA256, HF_DIGEST_SHA1, HF_DIGEST_SHA512 } hf_digest_kind;
enum { HF_SHA256_HEX = 65, HF_DIGEST_HEX_MAX = 129 };

typedef struct hf_digest {
    struct evp_md_ctx_st *ctx; /* NULL: of kind NONE */
} hf_digest;

hf_code hf_digest_init(hf_digest *digest, hf_digest_kind kind, hf_err *reterr);
void hf_digest_done(hf_digest *digest);
hf_code hf_digest_add(hf_digest *digest, const void *bytes, size_t len, hf_err *reterr);
/* As if nothing had been added. Not for one that has ended. */
hf_code hf_digest_reset(hf_digest *digest, hf_err *reterr);
/* Lower-case hex; "" for kind NONE. Ends the digest. */
hf_code hf_digest_end(hf_digest *digest, char hex[HF_DIGEST_HEX_MAX], hf_err *reterr);
/* The hash of what was added so far; the digest goes on. "" for kind NONE. */
hf_code hf_digest_peek(const hf_digest *digest, char hex[HF_DIGEST_HEX_MAX], hf_err *reterr);
const char *hf_digest_label(hf_digest_kind kind); /* "SHA256", as in a manifest */
size_t hf_digest_hex_len(hf_digest_kind kind);
/* The hash of bytes in memory. */
hf_code hf_digest_bytes(hf_digest_kind kind, const void *bytes, size_t len, char hex[HF_DIGEST_HEX_MAX],
                        hf_err *reterr);
