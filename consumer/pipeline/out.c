#include "consumer/pipeline/out.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "consumer/pipeline/source.h"
#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

enum { HASH_BLOCK = 1 << 20 };

hf_code hf_write_fully(int fd, const void *bytes, size_t len, int64_t offset, hf_err *reterr) {
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = hf_pwrite(fd, p, len, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_fail_errno(reterr, errno, "writing at offset %" PRId64, offset);
        p += n;
        offset += n;
        len -= (size_t)n;
    }
    return HF_OK;
}

hf_code hf_out_init(hf_out *out, int fd, int64_t base, hf_digest_kind other, hf_flow *flow, hf_err *reterr) {
    *out = (hf_out){.fd = fd, .base = base, .flow = flow, .behind = {.sent = base, .dropped = base}};
    hf_code rc = hf_digest_init(&out->sha256, HF_DIGEST_SHA256, reterr);
    if (rc == HF_OK)
        rc = hf_digest_init(&out->other, other == HF_DIGEST_SHA256 ? HF_DIGEST_NONE : other, reterr);
    if (rc != HF_OK)
        hf_out_done(out);
    return rc;
}

void hf_out_done(hf_out *out) {
    hf_digest_done(&out->sha256);
    hf_digest_done(&out->other);
}

hf_code hf_out_append(hf_out *out, const void *bytes, size_t len, hf_err *reterr) {
    hf_code rc = hf_write_fully(out->fd, bytes, len, out->base + out->len, reterr);
    if (rc != HF_OK || (rc = hf_digest_add(&out->sha256, bytes, len, reterr)) != HF_OK ||
        (rc = hf_digest_add(&out->other, bytes, len, reterr)) != HF_OK)
        return rc;
    out->len += (int64_t)len;
    if (out->flow)
        atomic_fetch_add_explicit(&out->flow->bytes_written, (long long)len, memory_order_relaxed);
    hf_write_behind_note(&out->behind, out->fd, out->base + out->len);
    return HF_OK;
}

hf_code hf_out_reset(hf_out *out, hf_err *reterr) {
    if (ftruncate(out->fd, out->base) != 0)
        return hf_fail_errno(reterr, errno, "starting over at offset %" PRId64, out->base);
    out->len = 0;
    out->behind.sent = out->behind.dropped = out->base;
    hf_code rc = hf_digest_reset(&out->sha256, reterr);
    return rc == HF_OK ? hf_digest_reset(&out->other, reterr) : rc;
}

hf_code hf_out_end(hf_out *out, char sha256[HF_DIGEST_HEX_MAX], char other[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    hf_code rc = hf_digest_end(&out->sha256, sha256, reterr);
    return rc == HF_OK ? hf_digest_end(&out->other, other, reterr) : rc;
}

/* Adds [base, base + len) of fd to both digests; stops at a cancel. */
static hf_code hash_range(int fd, int64_t base, int64_t len, hf_digest *digest, hf_digest *other, const hf_flow *flow,
                          hf_err *reterr) {
    hf_auto_free char *block = hf_alloc(HASH_BLOCK);
    if (!block)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a block to hash");
    hf_code rc = HF_OK;
    for (int64_t at = 0; rc == HF_OK && at < len;) {
        size_t n = len - at < HASH_BLOCK ? (size_t)(len - at) : HASH_BLOCK;
        if ((!flow || (rc = hf_flow_check(flow, reterr)) == HF_OK) &&
            (rc = hf_read_fully(fd, block, n, base + at, reterr)) == HF_OK &&
            (rc = hf_digest_add(digest, block, n, reterr)) == HF_OK && other)
            rc = hf_digest_add(other, block, n, reterr);
        at += (int64_t)n;
    }
    return rc;
}

hf_code hf_rehash(int fd, int64_t base, int64_t len, const char *sha256, hf_digest *digest, hf_digest *other,
                  const hf_flow *flow, hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX];
    hf_code rc = hash_range(fd, base, len, digest, other, flow, reterr);
    if (rc == HF_OK)
        rc = hf_digest_peek(digest, hex, reterr);
    if (rc == HF_E_SOURCE_CHANGED || (rc == HF_OK && strcmp(hex, sha256) != 0))
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the first %" PRId64 " bytes are not those that were written", len);
    return rc;
}

hf_code hf_out_adopt(hf_out *out, int64_t len, const char *sha256, hf_err *reterr) {
    hf_code rc = hf_rehash(out->fd, out->base, len, sha256, &out->sha256, &out->other, out->flow, reterr);
    if (rc == HF_OK)
        out->len = len;
    out->behind.sent = out->base + out->len;
    return rc;
}

hf_code hf_hash_file(int fd, int64_t size_bytes, const hf_flow *flow, char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    hf_digest digest;
    hf_code rc = hf_digest_init(&digest, HF_DIGEST_SHA256, reterr);
    if (rc == HF_OK && (rc = hash_range(fd, 0, size_bytes, &digest, NULL, flow, reterr)) == HF_OK)
        rc = hf_digest_end(&digest, sha256, reterr);
    hf_digest_done(&digest);
    return rc;
}
