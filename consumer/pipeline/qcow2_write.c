/* The qcow2 sink (QEMU docs/interop/qcow2.txt): version 3, 64 KiB clusters, 16-bit refcounts. A grain is a cluster. The file grows
 * front to back: [header][L1] then data, each full L2 table behind the data it maps, a refcount block behind each 2 GiB it counts,
 * the refcount table at the end; header and L1 are written last, so an unfinished file has no magic.
 *
 * Compressed clusters are packed byte by byte into clusters opened for them. One that would save less than 4 KiB is kept as it
 * is: that reads faster. A whole cluster (data, a table) is put behind the open one, whose room is still filled by what fits. */
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
    COMPRESSED_MAX = CLUSTER - 4096,
    SECTOR = 512,
    SECTORS_SHIFT = 62 - (16 - 8), /* in a compressed cluster's L2 entry: sectors beyond the first */
    COMPRESSION_TYPE_BIT = 8,      /* incompatible feature: the header's compression type is not 0 */
};
#define COPIED (1ULL << 63) /* refcount is exactly one */
#define COMPRESSED (1ULL << 62)
#define QCOW2_SIZE_MAX ((int64_t)64 << 40)

/* Bytes that lie side by side in memory and go side by side into the file. */
typedef struct pending_write {
    const uint8_t *from;
    size_t len;
    int64_t at;
} pending_write;

typedef struct qcow2_sink {
    hf_sink sink;
    int fd;
    hf_flow *flow;
    const hf_codec *codec; /* NULL: clusters as they are */
    int64_t size_bytes;
    int64_t end;            /* of the file so far; a multiple of CLUSTER */
    int64_t pack, pack_end; /* where the next compressed cluster goes, and the end of the cluster opened for such */
    pending_write pending;
    uint8_t *l1; /* l1_clusters whole clusters */
    uint32_t l1_entries, l1_clusters;
    int64_t l2_index; /* of the table in l2 */
    uint32_t l2_used;
    uint8_t *table;              /* of refcount blocks, as it is written */
    uint32_t table_max, block;   /* entries it has room for; index of the block in counts */
    uint8_t counts[2 * CLUSTER]; /* that block and the next */
    uint8_t l2[CLUSTER];
} qcow2_sink;

/* ---- places in the file ------------------------------------------------------------------------------ */
static void count_reference(qcow2_sink *q, int64_t cluster) {
    uint8_t *count = q->counts + 2 * (cluster - (int64_t)q->block * BLOCK_REFCOUNTS);
    hf_put_be16(count, (uint16_t)(hf_be16(count) + 1));
}

static int64_t take_cluster(qcow2_sink *q) {
    int64_t at = q->end;
    count_reference(q, at / CLUSTER);
    q->end += CLUSTER;
    return at;
}

/* A place for len compressed bytes: behind the last ones, across into a new cluster where that is the next one. Each cluster
 * counts the compressed ones that reach into it. */
static int64_t take_packed(qcow2_sink *q, int64_t len) {
    int64_t room = q->pack_end - q->pack;
    if (room < len && (room == 0 || q->pack_end != q->end))
        q->pack = q->end;
    int64_t at = q->pack;
    q->pack += len;
    if (q->pack > q->end)
        q->end += CLUSTER;
    if (q->pack > q->pack_end)
        q->pack_end = q->end;
    for (int64_t c = at / CLUSTER; c <= (q->pack - 1) / CLUSTER; c++)
        count_reference(q, c);
    return at;
}

/* ---- writing ----------------------------------------------------------------------------------------- */
static hf_code flush_pending(qcow2_sink *q, hf_err *reterr) {
    pending_write w = q->pending;
    q->pending.len = 0;
    if (w.len == 0)
        return HF_OK;
    hf_code rc = hf_write_fully(q->fd, w.from, w.len, w.at, reterr);
    atomic_fetch_add_explicit(&q->flow->bytes_written, (long long)w.len, memory_order_relaxed);
    return rc;
}

static hf_code put(qcow2_sink *q, const uint8_t *from, size_t len, int64_t at, hf_err *reterr) {
    pending_write *w = &q->pending;
    if (w->len && w->from + w->len == from && w->at + (int64_t)w->len == at) {
        w->len += len;
        return HF_OK;
    }
    hf_code rc = flush_pending(q, reterr);
    *w = (pending_write){from, len, at};
    return rc;
}

static hf_code put_cluster(qcow2_sink *q, const uint8_t *from, int64_t *ret_at, hf_err *reterr) {
    *ret_at = take_cluster(q);
    hf_code rc = put(q, from, CLUSTER, *ret_at, reterr);
    return rc == HF_OK ? flush_pending(q, reterr) : rc;
}

static hf_code flush_l2(qcow2_sink *q, hf_err *reterr) {
    if (q->l2_used == 0)
        return HF_OK;
    int64_t at = 0;
    hf_code rc = put_cluster(q, q->l2, &at, reterr);
    if (rc != HF_OK)
        return rc;
    hf_put_be64(q->l1 + 8 * q->l2_index, (uint64_t)at | COPIED);
    memset(q->l2, 0, sizeof q->l2);
    q->l2_used = 0;
    return HF_OK;
}

/* The file went past what the block counts: nothing more is put there, and the block is written behind it. */
static hf_code roll_block(qcow2_sink *q, hf_err *reterr) {
    int64_t boundary = (int64_t)(q->block + 1) * BLOCK_REFCOUNTS * CLUSTER;
    if (q->end < boundary)
        return HF_OK;
    if (q->pack_end <= boundary)
        q->pack = q->pack_end = 0;
    int64_t at = 0;
    hf_code rc = put_cluster(q, q->counts, &at, reterr);
    hf_put_be64(q->table + (size_t)8 * q->block++, (uint64_t)at);
    memcpy(q->counts, q->counts + CLUSTER, CLUSTER);
    memset(q->counts + CLUSTER, 0, CLUSTER);
    return rc;
}

/* ---- a chunk ------------------------------------------------------------------------------------------ */
static void *qcow2_lane_new(hf_sink *sink) {
    const hf_codec *codec = ((qcow2_sink *)sink)->codec;
    return codec->lane_new(codec->level);
}
static void qcow2_lane_free(hf_sink *sink, void *lane) { ((qcow2_sink *)sink)->codec->lane_free(lane); }

/* Compressed clusters side by side in chunk->out; one that stays as it is has no bytes there. */
static hf_code qcow2_encode(hf_sink *sink, void *lane, hf_chunk *chunk, hf_err *reterr) {
    const hf_codec *codec = ((const qcow2_sink *)sink)->codec;
    uint32_t at = 0;
    for (unsigned i = 0; i < HF_CHUNK_GRAINS; i++) {
        chunk->grain_at[i] = at;
        if (!(chunk->used >> i & 1))
            continue;
        size_t n = codec->compress(lane, chunk->data + (size_t)i * CLUSTER, CLUSTER, chunk->out + at, HF_CODEC_BOUND);
        if (n == 0)
            return hf_fail(reterr, HF_E_INTERNAL, "codec %s could not compress the cluster at %" PRId64, codec->name,
                           chunk->offset + (int64_t)i * CLUSTER);
        at += n <= COMPRESSED_MAX ? (uint32_t)n : 0;
    }
    chunk->out_len = at;
    return HF_OK;
}

static hf_code put_grain(qcow2_sink *q, const hf_chunk *chunk, unsigned i, hf_err *reterr) {
    uint32_t len = 0;
    int64_t at;
    uint64_t entry;
    hf_code rc;
    if (q->codec)
        len = (i + 1 < HF_CHUNK_GRAINS ? chunk->grain_at[i + 1] : chunk->out_len) - chunk->grain_at[i];
    if (len > 0) {
        at = take_packed(q, len);
        uint64_t sectors = (uint64_t)((at + len - 1) / SECTOR - at / SECTOR);
        entry = COMPRESSED | sectors << SECTORS_SHIFT | (uint64_t)at;
        rc = put(q, chunk->out + chunk->grain_at[i], len, at, reterr);
    } else {
        at = take_cluster(q);
        entry = COPIED | (uint64_t)at;
        rc = put(q, chunk->data + (size_t)i * CLUSTER, CLUSTER, at, reterr);
    }
    hf_put_be64(q->l2 + 8 * (chunk->offset / CLUSTER % L2_ENTRIES + i), entry);
    q->l2_used++;
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
    for (unsigned i = 0; rc == HF_OK && i < HF_CHUNK_GRAINS; i++)
        if (chunk->used >> i & 1)
            rc = put_grain(q, chunk, i, reterr);
    if (rc == HF_OK && (rc = flush_pending(q, reterr)) == HF_OK)
        rc = roll_block(q, reterr);
    return rc;
}

/* ---- the end -------------------------------------------------------------------------------------------- */
/* The last refcount blocks, which count themselves and the table too, and the table. */
static hf_code put_refcounts(qcow2_sink *q, int64_t *ret_table_at, uint32_t *ret_table_clusters, hf_err *reterr) {
    int64_t used = q->end / CLUSTER, blocks = 1, table;
    for (;; blocks++) { /* two at most: a block counts 32,768 clusters, and the table has a few */
        table = ((q->block + blocks) * 8 + CLUSTER - 1) / CLUSTER;
        if (used + blocks + table <= (q->block + blocks) * BLOCK_REFCOUNTS)
            break;
    }
    int64_t block_at = q->end, table_at = q->end + blocks * CLUSTER;
    for (int64_t i = 0; i < blocks + table; i++)
        take_cluster(q);
    for (int64_t i = 0; i < blocks; i++)
        hf_put_be64(q->table + 8 * (q->block + i), (uint64_t)(block_at + i * CLUSTER));
    hf_code rc = hf_write_fully(q->fd, q->counts, (size_t)blocks * CLUSTER, block_at, reterr);
    if (rc == HF_OK)
        rc = hf_write_fully(q->fd, q->table, (size_t)table * CLUSTER, table_at, reterr);
    *ret_table_at = table_at;
    *ret_table_clusters = (uint32_t)table;
    return rc;
}

static void header_bytes(const qcow2_sink *q, int64_t table_at, uint32_t table_clusters, uint8_t h[HEADER_BYTES]) {
    bool zstd = q->codec && q->codec->form == HF_FORM_ZSTD;
    memset(h, 0, HEADER_BYTES);
    memcpy(h, "QFI\xfb", 4);
    hf_put_be32(h + 4, 3);
    hf_put_be32(h + 20, 16); /* cluster_bits */
    hf_put_be64(h + 24, (uint64_t)(q->size_bytes + 511) / 512 * 512);
    hf_put_be32(h + 36, q->l1_entries);
    hf_put_be64(h + 40, CLUSTER); /* the L1 table's place */
    hf_put_be64(h + 48, (uint64_t)table_at);
    hf_put_be32(h + 56, table_clusters);
    hf_put_be64(h + 72, zstd ? COMPRESSION_TYPE_BIT : 0);
    hf_put_be32(h + 96, 4); /* refcount_order: 16 bits */
    hf_put_be32(h + 100, HEADER_BYTES);
    h[104] = zstd;
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
    free(((qcow2_sink *)sink)->table);
    free(sink);
}

static const hf_sink_class plain_class = {
    .name = "qcow2", .commit = qcow2_commit, .finish = qcow2_finish, .free = qcow2_free};
static const hf_sink_class packed_class = {.name = "qcow2",
                                           .lane_new = qcow2_lane_new,
                                           .lane_free = qcow2_lane_free,
                                           .encode = qcow2_encode,
                                           .commit = qcow2_commit,
                                           .finish = qcow2_finish,
                                           .free = qcow2_free};

/* Tables for the most clusters the file can have: one for each of the disk, and the tables. */
static hf_code tables_new(qcow2_sink *q, hf_err *reterr) {
    int64_t per_l2 = (int64_t)L2_ENTRIES * CLUSTER, clusters = (q->size_bytes + CLUSTER - 1) / CLUSTER;
    q->l1_entries = q->size_bytes ? (uint32_t)((q->size_bytes + per_l2 - 1) / per_l2) : 1;
    q->l1_clusters = (q->l1_entries * 8 + CLUSTER - 1) / CLUSTER;
    clusters += 1 + q->l1_clusters + q->l1_entries;
    q->table_max = (uint32_t)(clusters / (BLOCK_REFCOUNTS - 1)) + 3;
    q->l1 = hf_alloc((size_t)q->l1_clusters * CLUSTER);
    q->table = hf_alloc(((size_t)q->table_max * 8 + CLUSTER - 1) / CLUSTER * CLUSTER);
    if (!q->l1 || !q->table)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the tables of a disk of %" PRId64 " bytes", q->size_bytes);
    for (uint32_t i = 0; i < 1 + q->l1_clusters; i++)
        take_cluster(q);
    return HF_OK;
}

static hf_code qcow2_new(int fd, const hf_codec *codec, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                         hf_err *reterr) {
    if (size_bytes > QCOW2_SIZE_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a qcow2 of 64 KiB clusters holds at most 64 TiB here and the disk has %" PRId64
                       " bytes: export as raw instead",
                       size_bytes);
    qcow2_sink *q = hf_alloc(sizeof *q);
    if (!q)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a qcow2 writer");
    q->codec = codec;
    q->sink.cls = q->codec ? &packed_class : &plain_class;
    q->fd = fd;
    q->flow = flow;
    q->size_bytes = size_bytes;
    hf_code rc = tables_new(q, reterr);
    if (rc != HF_OK) {
        qcow2_free(&q->sink);
        return rc;
    }
    *ret = &q->sink;
    return HF_OK;
}

hf_code hf_sink_qcow2_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    return qcow2_new(fd, NULL, size_bytes, flow, ret, reterr);
}

hf_code hf_sink_qcow2_compressed_new(int fd, const hf_codec *codec, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                     hf_err *reterr) {
    return qcow2_new(fd, hf_codec_for_clusters(codec), size_bytes, flow, ret, reterr);
}
