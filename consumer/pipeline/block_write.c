#include "consumer/pipeline/block_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "schemas/base/mem.h"

enum { SECTOR = 512 };

int64_t hf_round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

hf_code hf_block_put(hf_block_sink *b, const void *bytes, size_t len, int64_t at, hf_err *reterr) {
    hf_code rc = hf_write_fully(b->fd, bytes, len, at, reterr);
    if (rc == HF_OK)
        atomic_fetch_add_explicit(&b->flow->bytes_written, (long long)len, memory_order_relaxed);
    return rc;
}

static hf_code open_block(hf_block_sink *b, int64_t block, hf_err *reterr) {
    b->block = block;
    b->block_at = hf_round_up(b->end + (int64_t)b->prefix_bytes, b->align);
    b->end = b->block_at + b->block_bytes;
    b->used_blocks++;
    int64_t at = b->block_at - (int64_t)b->prefix_bytes;
    b->format->put_entry(b, block, at);
    return b->prefix_bytes ? hf_block_put(b, b->prefix, b->prefix_bytes, at, reterr) : HF_OK;
}

static hf_code block_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    hf_block_sink *b = (hf_block_sink *)sink;
    hf_code rc = HF_OK;
    if (chunk->used && chunk->offset / b->block_bytes != b->block)
        rc = open_block(b, chunk->offset / b->block_bytes, reterr);
    for (unsigned i = 0; rc == HF_OK && i < HF_CHUNK_GRAINS;) {
        unsigned from = i;
        while (i < HF_CHUNK_GRAINS && chunk->used >> i & 1)
            i++;
        size_t at = (size_t)from * HF_GRAIN_BYTES;
        if (i > from)
            rc = hf_block_put(b, chunk->data + at, (size_t)(i - from) * HF_GRAIN_BYTES,
                              b->block_at + chunk->offset % b->block_bytes + (int64_t)at, reterr);
        else
            i++;
    }
    return rc;
}

static hf_code block_finish(hf_sink *sink, hf_err *reterr) {
    hf_block_sink *b = (hf_block_sink *)sink;
    if (ftruncate(b->fd, b->end) != 0)
        return hf_fail_errno(reterr, errno, "setting the %s file's size", b->format->name);
    return b->format->finish(b, reterr);
}

static void block_free(hf_sink *sink) {
    free(((hf_block_sink *)sink)->table);
    free(sink);
}

static const hf_sink_class block_class = {
    .name = "blocks", .commit = block_commit, .finish = block_finish, .free = block_free};

/* UUIDs of version 8 (RFC 9562: whatever their maker likes) out of a hash. */
static hf_code make_ids(hf_block_sink *b, const char *seed, hf_err *reterr) {
    char text[512], hex[HF_DIGEST_HEX_MAX];
    int n = snprintf(text, sizeof text, "%s/%s/%" PRId64, b->format->name, seed, b->size_bytes);
    hf_code rc =
        hf_digest_bytes(HF_DIGEST_SHA256, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, hex, reterr);
    if (rc != HF_OK)
        return rc;
    for (int i = 0; i < 2 * HF_BLOCK_ID_BYTES; i++) {
        char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
        b->ids[i / HF_BLOCK_ID_BYTES][i % HF_BLOCK_ID_BYTES] = (uint8_t)strtoul(byte, NULL, 16);
    }
    for (int i = 0; i < 2; i++) {
        b->ids[i][6] = (uint8_t)((b->ids[i][6] & 0x0f) | 0x80);
        b->ids[i][8] = (uint8_t)((b->ids[i][8] & 0x3f) | 0x80);
    }
    return HF_OK;
}

hf_code hf_block_sink_new(const hf_block_format *format, int fd, const char *seed, int64_t size_bytes, hf_flow *flow,
                          hf_block_sink **ret, hf_err *reterr) {
    if (size_bytes == 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the disk has no bytes, which no hypervisor takes as a %s: export as qcow2 or raw instead",
                       format->name);
    hf_block_sink *b = hf_alloc(sizeof *b);
    if (!b)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a %s writer", format->name);
    *b = (hf_block_sink){.sink.cls = &block_class,
                         .format = format,
                         .fd = fd,
                         .flow = flow,
                         .size_bytes = hf_round_up(size_bytes, SECTOR),
                         .block = -1};
    hf_code rc = make_ids(b, seed, reterr);
    if (rc != HF_OK) {
        block_free(&b->sink);
        return rc;
    }
    *ret = b;
    return HF_OK;
}

hf_code hf_block_table_new(hf_block_sink *b, int64_t at, int64_t bytes, uint8_t fill, hf_err *reterr) {
    b->table_at = at;
    b->table_bytes = (size_t)bytes;
    b->end = at + bytes;
    if (!(b->table = hf_alloc((size_t)bytes)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "the block table of a %s of %" PRId64 " bytes", b->format->name,
                       b->size_bytes);
    memset(b->table, fill, (size_t)bytes);
    return HF_OK;
}
