/* The monolithicSparse VMDK (VMware Virtual Disk Format 5.0, hosted sparse extent): header, descriptor, a redundant grain directory
 * with all its tables, the grain directory with all of its, then grains in the order of the disk, as they are. Tables lie
 * at fixed places, so what is not used stays a hole; one is in memory at a time; directories and header come last. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/sink.h"
#include "consumer/pipeline/vmdk.h"
#include "consumer/pipeline/vmdk_text.h"
#include "schemas/base/mem.h"

enum {
    FLAGS = 3, /* newline test valid, redundant directory there */
    DIRECTORY_AT = 1 + HF_VMDK_DESCRIPTOR_SECTORS,
    TABLE_BYTES = HF_VMDK_GTES * 4,
    TABLE_SECTORS = TABLE_BYTES / HF_VMDK_SECTOR,
};
static const int64_t table_span = (int64_t)HF_VMDK_GTES * HF_GRAIN_BYTES;

typedef struct sparse_sink {
    hf_sink sink;
    int fd;
    hf_flow *flow;
    int64_t capacity_sectors, tables, directory_sectors, overhead_sectors;
    int64_t end; /* of the file so far */
    int64_t table;
    uint32_t table_used;
    uint8_t entries[TABLE_BYTES];
} sparse_sink;

static hf_code put(sparse_sink *s, const void *bytes, size_t len, int64_t at, hf_err *reterr) {
    hf_code rc = hf_write_fully(s->fd, bytes, len, at, reterr);
    atomic_fetch_add_explicit(&s->flow->bytes_written, (long long)len, memory_order_relaxed);
    return rc;
}

/* First sector of directory `copy` (0: the redundant one); its tables follow. */
static int64_t directory_sector(const sparse_sink *s, int copy) {
    return DIRECTORY_AT + copy * (s->directory_sectors + s->tables * TABLE_SECTORS);
}

static hf_code flush_table(sparse_sink *s, hf_err *reterr) {
    hf_code rc = HF_OK;
    for (int copy = 0; s->table_used && rc == HF_OK && copy < 2; copy++) {
        int64_t sector = directory_sector(s, copy) + s->directory_sectors + s->table * TABLE_SECTORS;
        rc = put(s, s->entries, sizeof s->entries, sector * HF_VMDK_SECTOR, reterr);
    }
    s->table_used = 0;
    memset(s->entries, 0, sizeof s->entries);
    return rc;
}

static hf_code put_run(sparse_sink *s, const hf_chunk *chunk, unsigned from, unsigned to, hf_err *reterr) {
    int64_t first = chunk->offset / HF_GRAIN_BYTES % HF_VMDK_GTES;
    if ((s->end + HF_CHUNK_BYTES) / HF_VMDK_SECTOR > UINT32_MAX)
        return hf_fail(
            reterr, HF_E_LIMIT,
            "the sparse VMDK reaches 2 TiB, where its 32-bit sector numbers end: export as qcow2, vhdx or raw instead");
    for (unsigned i = from; i < to; i++) {
        int64_t at = s->end + (int64_t)(i - from) * HF_GRAIN_BYTES;
        hf_put_le32(s->entries + 4 * (first + i), (uint32_t)(at / HF_VMDK_SECTOR));
        s->table_used++;
    }
    size_t len = (size_t)(to - from) * HF_GRAIN_BYTES;
    hf_code rc = put(s, chunk->data + (size_t)from * HF_GRAIN_BYTES, len, s->end, reterr);
    s->end += (int64_t)len;
    return rc;
}

static hf_code sparse_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    sparse_sink *s = (sparse_sink *)sink;
    hf_code rc = HF_OK;
    if (chunk->offset / table_span != s->table) {
        rc = flush_table(s, reterr);
        s->table = chunk->offset / table_span;
    }
    for (unsigned i = 0; rc == HF_OK && i < HF_CHUNK_GRAINS;) {
        unsigned from = i;
        while (i < HF_CHUNK_GRAINS && chunk->used >> i & 1)
            i++;
        if (i > from)
            rc = put_run(s, chunk, from, i, reterr);
        else
            i++;
    }
    return rc;
}

static hf_code put_directories(sparse_sink *s, hf_err *reterr) {
    size_t len = (size_t)s->directory_sectors * HF_VMDK_SECTOR;
    hf_auto_free uint8_t *directory = hf_alloc(len);
    if (!directory)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a grain directory");
    hf_code rc = HF_OK;
    for (int copy = 0; rc == HF_OK && copy < 2; copy++) {
        int64_t first = directory_sector(s, copy) + s->directory_sectors;
        for (int64_t i = 0; i < s->tables; i++)
            hf_put_le32(directory + 4 * i, (uint32_t)(first + i * TABLE_SECTORS));
        rc = put(s, directory, len, directory_sector(s, copy) * HF_VMDK_SECTOR, reterr);
    }
    return rc;
}

static hf_code put_header(sparse_sink *s, hf_err *reterr) {
    uint8_t h[HF_VMDK_SECTOR] = {0};
    hf_put_le32(h + HF_VMDK_AT_MAGIC, HF_VMDK_MAGIC);
    hf_put_le32(h + HF_VMDK_AT_VERSION, 1);
    hf_put_le32(h + HF_VMDK_AT_FLAGS, FLAGS);
    hf_put_le64(h + HF_VMDK_AT_CAPACITY, (uint64_t)s->capacity_sectors);
    hf_put_le64(h + HF_VMDK_AT_GRAIN_SIZE, HF_VMDK_GRAIN_SECTORS);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR, 1);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR_SIZE, HF_VMDK_DESCRIPTOR_SECTORS);
    hf_put_le32(h + HF_VMDK_AT_GTES, HF_VMDK_GTES);
    hf_put_le64(h + HF_VMDK_AT_RGD, (uint64_t)directory_sector(s, 0));
    hf_put_le64(h + HF_VMDK_AT_GD, (uint64_t)directory_sector(s, 1));
    hf_put_le64(h + HF_VMDK_AT_OVERHEAD, (uint64_t)s->overhead_sectors);
    memcpy(h + HF_VMDK_AT_NEWLINES, "\n \r\n", 4);
    return put(s, h, sizeof h, 0, reterr);
}

static hf_code sparse_finish(hf_sink *sink, hf_err *reterr) {
    sparse_sink *s = (sparse_sink *)sink;
    hf_code rc = flush_table(s, reterr);
    if (rc == HF_OK && ftruncate(s->fd, s->end) != 0)
        rc = hf_fail_errno(reterr, errno, "setting the VMDK's size");
    if (rc == HF_OK && (rc = put_directories(s, reterr)) == HF_OK)
        rc = put_header(s, reterr);
    return rc;
}

static void sparse_free(hf_sink *sink) { free(sink); }

static const hf_sink_class sparse_class = {
    .name = "vmdk-sparse", .commit = sparse_commit, .finish = sparse_finish, .free = sparse_free};

hf_code hf_sink_vmdk_sparse_new(int fd, const char *extent_name, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                hf_err *reterr) {
    if (size_bytes == 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the disk has no bytes, and a VMDK needs at least one sector: export as qcow2 or raw instead");
    sparse_sink *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a sparse VMDK writer");
    *s = (sparse_sink){.sink.cls = &sparse_class,
                       .fd = fd,
                       .flow = flow,
                       .capacity_sectors = (size_bytes + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR,
                       .tables = (size_bytes + table_span - 1) / table_span};
    s->directory_sectors = (s->tables * 4 + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR;
    int64_t used = directory_sector(s, 2);
    s->overhead_sectors = (used + HF_VMDK_GRAIN_SECTORS - 1) / HF_VMDK_GRAIN_SECTORS * HF_VMDK_GRAIN_SECTORS;
    s->end = s->overhead_sectors * HF_VMDK_SECTOR;
    char text[HF_VMDK_DESCRIPTOR_SECTORS * HF_VMDK_SECTOR] = {0};
    hf_code rc =
        s->overhead_sectors > UINT32_MAX
            ? hf_fail(reterr, HF_E_LIMIT, "a sparse VMDK cannot hold %" PRId64 " bytes: export as qcow2, vhdx or raw",
                      size_bytes)
            : hf_vmdk_descriptor_text("monolithicSparse", "RW", extent_name, s->capacity_sectors, text, reterr);
    if (rc == HF_OK)
        rc = put(s, text, sizeof text, HF_VMDK_SECTOR, reterr);
    if (rc != HF_OK) {
        sparse_free(&s->sink);
        return rc;
    }
    *ret = &s->sink;
    return HF_OK;
}
