#include "consumer/pipeline/digest.h"

#include <openssl/evp.h>

#include "schemas/base/mem.h"

static const EVP_MD *md_of(hf_digest_kind kind) {
    switch (kind) {
    case HF_DIGEST_SHA256: return EVP_sha256();
    case HF_DIGEST_SHA1: return EVP_sha1();
    case HF_DIGEST_SHA512: return EVP_sha512();
    case HF_DIGEST_NONE: break;
    }
    return NULL;
}

hf_code hf_digest_init(hf_digest *digest, hf_digest_kind kind, hf_err *reterr) {
    digest->ctx = NULL;
    if (kind == HF_DIGEST_NONE)
        return HF_OK;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex(ctx, md_of(kind), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return hf_fail(reterr, HF_E_NO_MEMORY, "a %s context", hf_digest_label(kind));
    }
    digest->ctx = ctx;
    return HF_OK;
}

void hf_digest_done(hf_digest *digest) {
    EVP_MD_CTX_free(digest->ctx);
    digest->ctx = NULL;
}

hf_code hf_digest_add(hf_digest *digest, const void *bytes, size_t len, hf_err *reterr) {
    if (digest->ctx && EVP_DigestUpdate(digest->ctx, bytes, len) != 1)
        return hf_fail(reterr, HF_E_INTERNAL, "hashing failed");
    return HF_OK;
}

hf_code hf_digest_reset(hf_digest *digest, hf_err *reterr) {
    if (digest->ctx && EVP_DigestInit_ex(digest->ctx, EVP_MD_CTX_get0_md(digest->ctx), NULL) != 1)
        return hf_fail(reterr, HF_E_INTERNAL, "hashing failed");
    return HF_OK;
}

hf_code hf_digest_end(hf_digest *digest, char hex[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (digest->ctx && EVP_DigestFinal_ex(digest->ctx, sum, &len) != 1)
        return hf_fail(reterr, HF_E_INTERNAL, "hashing failed");
    for (unsigned i = 0; i < len; i++) {
        hex[2 * i] = "0123456789abcdef"[sum[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
    }
    hex[2 * (size_t)len] = 0;
    hf_digest_done(digest);
    return HF_OK;
}

hf_code hf_digest_peek(const hf_digest *digest, char hex[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    hf_digest copy = {NULL};
    if (digest->ctx && (!(copy.ctx = EVP_MD_CTX_new()) || EVP_MD_CTX_copy_ex(copy.ctx, digest->ctx) != 1)) {
        hf_digest_done(&copy);
        return hf_fail(reterr, HF_E_NO_MEMORY, "a copy of a running hash");
    }
    hf_code rc = hf_digest_end(&copy, hex, reterr);
    hf_digest_done(&copy);
    return rc;
}

const char *hf_digest_label(hf_digest_kind kind) {
    static const char *const labels[] = {"none", "SHA256", "SHA1", "SHA512"};
    return labels[kind];
}

size_t hf_digest_hex_len(hf_digest_kind kind) {
    static const size_t lengths[] = {0, 64, 40, 128};
    return lengths[kind];
}

hf_code hf_digest_bytes(hf_digest_kind kind, const void *bytes, size_t len, char hex[HF_DIGEST_HEX_MAX],
                        hf_err *reterr) {
    hf_digest digest;
    hf_code rc = hf_digest_init(&digest, kind, reterr);
    if (rc == HF_OK && (rc = hf_digest_add(&digest, bytes, len, reterr)) == HF_OK)
        rc = hf_digest_end(&digest, hex, reterr);
    hf_digest_done(&digest);
    return rc;
}
