/* An output that only grows: bytes appended to a file from a given place on, counted and hashed as they pass. What
 * streams (a VMDK, a member of an OVA) is written through one. Dirty pages go to the disk every 32 MiB, so that the
 * fsync at the end has little left. One thread. */
#pragma once
#include "consumer/pipeline/cache.h"
#include "consumer/pipeline/digest.h"
#include "consumer/pipeline/flow.h"

typedef struct hf_out {
    int fd;       /* borrowed */
    int64_t base; /* offset in the file of the first byte */
    int64_t len;
    hf_digest sha256, other; /* other: what a manifest of another kind wants */
    hf_flow *flow;           /* its bytes_written is advanced; may be NULL */
    hf_write_behind behind;
} hf_out;

hf_code hf_out_init(hf_out *out, int fd, int64_t base, hf_digest_kind other, hf_flow *flow, hf_err *reterr);
hf_code hf_out_append(hf_out *out, const void *bytes, size_t len, hf_err *reterr);
/* As if nothing had been appended: the file ends at base again. Not after hf_out_end. */
hf_code hf_out_reset(hf_out *out, hf_err *reterr);
/* The hashes of all that was appended; other is "" when none was asked for. */
hf_code hf_out_end(hf_out *out, char sha256[HF_DIGEST_HEX_MAX], char other[HF_DIGEST_HEX_MAX], hf_err *reterr);
void hf_out_done(hf_out *out);
/* For an out to which nothing was appended: goes on behind the len bytes that are in the file already, after they were read again,
 * hashed, and found to have that SHA-256; VERIFY_FAILED if they have not. */
hf_code hf_out_adopt(hf_out *out, int64_t len, const char *sha256, hf_err *reterr);
/* The same for digests of one's own: adds [base, base + len) of fd to both (other may be NULL) and checks the first's hash. */
hf_code hf_rehash(int fd, int64_t base, int64_t len, const char *sha256, hf_digest *digest, hf_digest *other,
                  const hf_flow *flow, hf_err *reterr);

/* All len bytes at offset. */
hf_code hf_write_fully(int fd, const void *bytes, size_t len, int64_t offset, hf_err *reterr);
/* SHA-256 of fd's first size_bytes bytes, in one pass; stops at a cancel. */
hf_code hf_hash_file(int fd, int64_t size_bytes, const hf_flow *flow, char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr);
