/* The qcow2 sink (QEMU docs/interop/qcow2.txt): version 3, 64 KiB clusters, 16-bit refcounts. A grain is a cluster. The file grows
 * front to back: [header][L1] then data clusters, each full L2 table behind the data it maps, at the end the
 * refcount blocks and their table; header and L1 are written last, so an unfinished file has no magic. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/sink.h"
#include "schemas/base/mem.h"

enum {
    CLUSTER = HF_GRAIN_BYTES,
    L2_ENTRIES = CLUSTER / 8,      /* 512 MiB of disk */
    BLOCK_REFCOUNTS = CLUSTER / 2, /* 2 GiB of file */
    HEADER_BYTES = 112,            /* with the compression type byte and padding */
};
#define COPIED (1ULL << 63) /* refcount is exactly one */
#define QCOW2_SIZE_MAX ((int64_t)64 << 40)

typedef struct qcow2_sink {
    hf_sink sink;
    int fd;
    hf_flow *flow;
    int64_t size_bytes;
    int64_t end; /* of the file so far; a multiple of CLUSTER */
    uint8_t *l1; /* l1_clusters whole clusters */
    uint32_t l1_entries, l1_clusters;
    int64_t l2_index; /* of the table in l2 */
    uint32_t l2_used;
    uint8_t l2[CLUSTER];
} qcow2_sink;

static hf_code append(qcow2_sink *q, const void *bytes, size_t len, int64_t *ret_at, hf_err *reterr) {
    hf_code rc = hf_write_fully(q->fd, bytes, len, q->end, reterr);
    if (rc != HF_OK)
        return rc;
    *ret_at = q->end;
    q->end += (int64_t)len;
    atomic_fetch_add_explicit(&q->flow->bytes_written, (long long)len, memory_order_relaxed);
    return HF_OK;
}

static hf_code flush_l2(qcow2_sink *q, hf_err *reterr) {
    if (q->l2_used == 0)
        return HF_OK;
    int64_t at = 0;
    hf_code rc = append(q, q->l2, sizeof q->l2, &at, reterr);
    if (rc != HF_OK)
        return rc;
    hf_put_be64(q->l1 + 8 * q->l2_index, (uint64_t)at | COPIED);
    memset(q->l2, 0, sizeof q->l2);
    q->l2_used = 0;
    return HF_OK;
}

/* Used grains [from, to) of the chunk: clusters side by side. */
static hf_code put_run(qcow2_sink *q, const hf_chunk *chunk, unsigned from, unsigned to, hf_err *reterr) {
    int64_t at = 0, first = chunk->offset / CLUSTER % L2_ENTRIES;
    hf_code rc = append(q, chunk->data + (size_t)from * CLUSTER, (size_t)(to - from) * CLUSTER, &at, reterr);
    for (unsigned i = from; rc == HF_OK && i < to; i++) {
        hf_put_be64(q->l2 + 8 * (first + i), ((uint64_t)at + (uint64_t)(i - from) * CLUSTER) | COPIED);
        q->l2_used++;
    }
    return rc;
}

static hf_code qcow2_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    qcow2_sink *q = (qcow2_sink *)sink;
    hf_code rc = HF_OK;
    int64_t index = chunk->offset / CLUSTER / L2_ENTRIES;
    if (index != q->l2_index) {
        if ((rc = flush_l2(q, reterr)) != HF_OK)
            return rc;
        q->l2_index = index;
    }
    for (unsigned i = 0; rc == HF_OK && i < HF_CHUNK_GRAINS;) {
        unsigned from = i;
        while (i < HF_CHUNK_GRAINS && chunk->used >> i & 1)
            i++;
        if (i > from)
            rc = put_run(q, chunk, from, i, reterr);
        else
            i++;
    }
    return rc;
}

/* Refcount blocks for every cluster of the file, themselves and their table included, then the table. Each cluster has
 * one reference: nothing is shared in a fresh image. */
static hf_code put_refcounts(qcow2_sink *q, int64_t *ret_table_at, uint32_t *ret_table_clusters, hf_err *reterr) {
    int64_t used = q->end / CLUSTER, blocks = 0, table = 1, was;
    do { /* grows at most a few times: a block covers 32,768 clusters, a cluster of table 8,192 blocks */
        was = blocks + table;
        blocks = (used + blocks + table + BLOCK_REFCOUNTS - 1) / BLOCK_REFCOUNTS;
        table = (blocks * 8 + CLUSTER - 1) / CLUSTER;
    } while (blocks + table != was);
    int64_t total = used + blocks + table, first_block = q->end, at = 0;
    hf_auto_free uint8_t *cluster = hf_alloc(CLUSTER);
    if (!cluster)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a refcount block");
    hf_code rc = HF_OK;
    for (int64_t b = 0; rc == HF_OK && b < blocks; b++) {
        for (int64_t i = 0; i < BLOCK_REFCOUNTS; i++)
            hf_put_be16(cluster + 2 * i, b * BLOCK_REFCOUNTS + i < total);
        rc = append(q, cluster, CLUSTER, &at, reterr);
    }
    *ret_table_at = q->end;
    *ret_table_clusters = (uint32_t)table;
    for (int64_t t = 0; rc == HF_OK && t < table; t++) {
        for (int64_t i = 0; i < CLUSTER / 8; i++) {
            int64_t b = t * (CLUSTER / 8) + i;
            hf_put_be64(cluster + 8 * i, b < blocks ? (uint64_t)(first_block + b * CLUSTER) : 0);
        }
        rc = append(q, cluster, CLUSTER, &at, reterr);
    }
    return rc;
}

static void header_bytes(const qcow2_sink *q, int64_t table_at, uint32_t table_clusters, uint8_t h[HEADER_BYTES]) {
    memset(h, 0, HEADER_BYTES);
    memcpy(h, "QFI\xfb", 4);
    hf_put_be32(h + 4, 3);
    hf_put_be32(h + 20, 16); /* cluster_bits */
    hf_put_be64(h + 24, (uint64_t)(q->size_bytes + 511) / 512 * 512);
    hf_put_be32(h + 36, q->l1_entries);
    hf_put_be64(h + 40, CLUSTER); /* the L1 table's place */
    hf_put_be64(h + 48, (uint64_t)table_at);
    hf_put_be32(h + 56, table_clusters);
    hf_put_be32(h + 96, 4); /* refcount_order: 16 bits */
    hf_put_be32(h + 100, HEADER_BYTES);
}

static hf_code qcow2_finish(hf_sink *sink, hf_err *reterr) {
    qcow2_sink *q = (qcow2_sink *)sink;
    int64_t table_at = 0;
    uint32_t table_clusters = 0;
    uint8_t header[HEADER_BYTES];
    hf_code rc = flush_l2(q, reterr);
    if (rc != HF_OK || (rc = put_refcounts(q, &table_at, &table_clusters, reterr)) != HF_OK ||
        (rc = hf_write_fully(q->fd, q->l1, (size_t)q->l1_clusters * CLUSTER, CLUSTER, reterr)) != HF_OK)
        return rc;
    header_bytes(q, table_at, table_clusters, header);
    return hf_write_fully(q->fd, header, sizeof header, 0, reterr);
}

static void qcow2_free(hf_sink *sink) {
    free(((qcow2_sink *)sink)->l1);
    free(sink);
}

static const hf_sink_class qcow2_class = {
    .name = "qcow2", .commit = qcow2_commit, .finish = qcow2_finish, .free = qcow2_free};

hf_code hf_sink_qcow2_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    if (size_bytes > QCOW2_SIZE_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a qcow2 of 64 KiB clusters holds at most 64 TiB here and the disk has %" PRId64
                       " bytes: export as raw instead",
                       size_bytes);
    qcow2_sink *q = hf_alloc(sizeof *q);
    if (!q)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a qcow2 writer");
    int64_t per_l2 = (int64_t)L2_ENTRIES * CLUSTER;
    q->sink.cls = &qcow2_class;
    q->fd = fd;
    q->flow = flow;
    q->size_bytes = size_bytes;
    q->l1_entries = (uint32_t)((size_bytes + per_l2 - 1) / per_l2);
    q->l1_clusters = (q->l1_entries * 8 + CLUSTER - 1) / CLUSTER;
    if (q->l1_clusters == 0)
        q->l1_clusters = 1;
    q->end = (int64_t)(1 + q->l1_clusters) * CLUSTER;
    if (!(q->l1 = hf_alloc((size_t)q->l1_clusters * CLUSTER))) {
        qcow2_free(&q->sink);
        return hf_fail(reterr, HF_E_NO_MEMORY, "the L1 table of a disk of %" PRId64 " bytes", size_bytes);
    }
    *ret = &q->sink;
    return HF_OK;
}
