/* The raw sink: used grains are written in place, the rest stays a hole. The hash sees the zeros as well. */
#include <errno.h>
#include <unistd.h>

#include "consumer/pipeline/sink.h"
#include "schemas/base/mem.h"

enum { ZERO_BLOCK = 256 * 1024 };

typedef struct raw_sink {
    hf_sink sink;
    int fd;
    int64_t size_bytes, hashed;
    hf_flow *flow;
    hf_digest digest;
    uint8_t *zeros; /* ZERO_BLOCK of them */
    hf_write_behind behind;
} raw_sink;

static hf_code hash_zeros_to(raw_sink *r, int64_t end, hf_err *reterr) {
    hf_code rc = HF_OK;
    if (!r->digest.ctx)
        return HF_OK;
    while (rc == HF_OK && r->hashed < end) {
        int64_t n = end - r->hashed < ZERO_BLOCK ? end - r->hashed : ZERO_BLOCK;
        if ((rc = hf_flow_check(r->flow, reterr)) == HF_OK)
            rc = hf_digest_add(&r->digest, r->zeros, (size_t)n, reterr);
        r->hashed += n;
    }
    return rc;
}

/* The run of used grains [from, to) of the chunk. */
static hf_code put_run(raw_sink *r, const hf_chunk *chunk, unsigned from, unsigned to, hf_err *reterr) {
    size_t at = (size_t)from * HF_GRAIN_BYTES, end = (size_t)to * HF_GRAIN_BYTES;
    size_t len = (end < chunk->len ? end : chunk->len) - at;
    int64_t offset = chunk->offset + (int64_t)at;
    hf_code rc = hash_zeros_to(r, offset, reterr);
    if (rc != HF_OK || (rc = hf_write_fully(r->fd, chunk->data + at, len, offset, reterr)) != HF_OK ||
        (rc = hf_digest_add(&r->digest, chunk->data + at, len, reterr)) != HF_OK)
        return rc;
    r->hashed = offset + (int64_t)len;
    hf_write_behind_note(&r->behind, r->fd, r->hashed);
    atomic_fetch_add_explicit(&r->flow->bytes_written, (long long)len, memory_order_relaxed);
    return HF_OK;
}

static hf_code raw_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (unsigned i = 0; rc == HF_OK && i < HF_CHUNK_GRAINS;) {
        unsigned from = i;
        while (i < HF_CHUNK_GRAINS && chunk->used >> i & 1)
            i++;
        if (i > from)
            rc = put_run((raw_sink *)sink, chunk, from, i, reterr);
        else
            i++;
    }
    return rc;
}

static hf_code raw_finish(hf_sink *sink, hf_err *reterr) {
    raw_sink *r = (raw_sink *)sink;
    if (ftruncate(r->fd, r->size_bytes) != 0)
        return hf_fail_errno(reterr, errno, "setting the raw disk's size");
    return hash_zeros_to(r, r->size_bytes, reterr);
}

static void raw_free(hf_sink *sink) {
    raw_sink *r = (raw_sink *)sink;
    hf_digest_done(&r->digest);
    free(r->zeros);
    free(r);
}

static hf_code raw_save(hf_sink *sink, int64_t next_offset, hf_sink_mark *ret_mark, hf_err *reterr) {
    const raw_sink *r = (const raw_sink *)sink;
    ret_mark->next_offset = next_offset;
    ret_mark->file_bytes = r->hashed;
    return hf_digest_peek(&r->digest, ret_mark->sha256, reterr);
}

static const hf_sink_class raw_class = {.name = "raw",
                                        .commit = raw_commit,
                                        .save_unit_bytes = HF_CHUNK_BYTES,
                                        .save = raw_save,
                                        .finish = raw_finish,
                                        .free = raw_free};

static hf_code raw_new(int fd, int64_t size_bytes, hf_digest_kind kind, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    raw_sink *r = hf_alloc(sizeof *r);
    if (!r)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a raw writer");
    *r = (raw_sink){
        .sink.cls = &raw_class, .fd = fd, .size_bytes = size_bytes, .flow = flow, .zeros = hf_alloc(ZERO_BLOCK)};
    hf_code rc = r->zeros ? hf_digest_init(&r->digest, kind, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "a raw writer");
    if (rc != HF_OK) {
        raw_free(&r->sink);
        return rc;
    }
    *ret = &r->sink;
    return HF_OK;
}

hf_code hf_sink_raw_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    return raw_new(fd, size_bytes, HF_DIGEST_SHA256, flow, ret, reterr);
}

hf_code hf_sink_raw_unhashed_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    return raw_new(fd, size_bytes, HF_DIGEST_NONE, flow, ret, reterr);
}

hf_code hf_sink_raw_resume(int fd, int64_t size_bytes, hf_flow *flow, const hf_sink_mark *mark, hf_sink **ret,
                           hf_err *reterr) {
    hf_sink *sink = NULL;
    hf_code rc = hf_sink_raw_new(fd, size_bytes, flow, &sink, reterr);
    if (rc != HF_OK)
        return rc;
    raw_sink *r = (raw_sink *)sink;
    rc = hf_rehash(fd, 0, mark->file_bytes, mark->sha256, &r->digest, NULL, flow, reterr);
    if (rc == HF_OK && ftruncate(fd, mark->file_bytes) != 0)
        rc = hf_fail_errno(reterr, errno, "cutting off what is behind the checkpoint");
    if (rc != HF_OK) {
        raw_free(sink);
        return rc;
    }
    r->hashed = mark->file_bytes;
    *ret = sink;
    return HF_OK;
}

hf_code hf_sink_raw_sha256(hf_sink *sink, char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    return hf_digest_end(&((raw_sink *)sink)->digest, sha256, reterr);
}
