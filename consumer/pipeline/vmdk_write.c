/* Writes the streamOptimized VMDK of vmdk.h: pure append, so that its hash is known when it ends. */
#include "consumer/pipeline/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/sink.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/vmdk_text.h"
#include "schemas/base/mem.h"

static const int64_t table_bytes = (int64_t)HF_VMDK_GTES * HF_GRAIN_BYTES;

typedef struct vmdk_sink {
    hf_sink sink;
    hf_out *out;
    const hf_codec *codec;
    int64_t capacity_sectors;
    uint32_t *directory; /* sector of each grain table, 0: none */
    uint32_t directory_count;
    int64_t table; /* index of the table being filled */
    uint32_t table_used;
    uint8_t entries[HF_VMDK_GTES * 4]; /* as they are written */
} vmdk_sink;

static void header_bytes(const vmdk_sink *v, uint64_t gd_sector, uint8_t h[HF_VMDK_SECTOR]) {
    memset(h, 0, HF_VMDK_SECTOR);
    hf_put_le32(h + HF_VMDK_AT_MAGIC, HF_VMDK_MAGIC);
    hf_put_le32(h + HF_VMDK_AT_VERSION, 3); /* ESXi rejects less */
    hf_put_le32(h + HF_VMDK_AT_FLAGS, HF_VMDK_FLAGS);
    hf_put_le64(h + HF_VMDK_AT_CAPACITY, (uint64_t)v->capacity_sectors);
    hf_put_le64(h + HF_VMDK_AT_GRAIN_SIZE, HF_VMDK_GRAIN_SECTORS);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR, 1);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR_SIZE, HF_VMDK_DESCRIPTOR_SECTORS);
    hf_put_le32(h + HF_VMDK_AT_GTES, HF_VMDK_GTES);
    hf_put_le64(h + HF_VMDK_AT_RGD, 0);
    hf_put_le64(h + HF_VMDK_AT_GD, gd_sector);
    hf_put_le64(h + HF_VMDK_AT_OVERHEAD, HF_VMDK_OVERHEAD_SECTORS);
    memcpy(h + HF_VMDK_AT_NEWLINES, "\n \r\n", 4);
    hf_put_le16(h + HF_VMDK_AT_COMPRESS, 1);
}

static hf_code put_descriptor(vmdk_sink *v, const char *name, hf_err *reterr) {
    size_t room = (HF_VMDK_OVERHEAD_SECTORS - 1) * HF_VMDK_SECTOR;
    hf_auto_free char *text = hf_alloc(room);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK descriptor");
    hf_code rc = hf_vmdk_descriptor_text("streamOptimized", "RDONLY", name, v->capacity_sectors, text, reterr);
    if (rc != HF_OK)
        return rc;
    return hf_out_append(v->out, text, room, reterr);
}

/* The stream's end as a sector number, which tables hold in 32 bits. */
static hf_code sector_now(const vmdk_sink *v, uint32_t *ret, hf_err *reterr) {
    int64_t sector = v->out->len / HF_VMDK_SECTOR;
    if (sector > UINT32_MAX - HF_ENCODED_CHUNK_MAX / HF_VMDK_SECTOR)
        return hf_fail(
            reterr, HF_E_LIMIT,
            "the streamOptimized VMDK reaches 2 TiB, where its 32-bit sector numbers end: export as qcow2 or raw instead");
    *ret = (uint32_t)sector;
    return HF_OK;
}

static hf_code put_marker(vmdk_sink *v, int64_t sectors, uint32_t type, hf_err *reterr) {
    uint8_t marker[HF_VMDK_SECTOR] = {0};
    hf_put_le64(marker, (uint64_t)sectors);
    hf_put_le32(marker + 12, type);
    return hf_out_append(v->out, marker, sizeof marker, reterr);
}

static hf_code flush_table(vmdk_sink *v, hf_err *reterr) {
    if (v->table_used == 0)
        return HF_OK; /* a directory entry of 0 says: all zeros */
    uint32_t sector = 0;
    hf_code rc = put_marker(v, (int64_t)sizeof v->entries / HF_VMDK_SECTOR, HF_VMDK_MARKER_GT, reterr);
    if (rc != HF_OK || (rc = sector_now(v, &sector, reterr)) != HF_OK ||
        (rc = hf_out_append(v->out, v->entries, sizeof v->entries, reterr)) != HF_OK)
        return rc;
    v->directory[v->table] = sector;
    v->table_used = 0;
    memset(v->entries, 0, sizeof v->entries);
    return HF_OK;
}

static void *vmdk_lane_new(hf_sink *sink) {
    const hf_codec *codec = ((vmdk_sink *)sink)->codec;
    return codec->lane_new(codec->level);
}
static void vmdk_lane_free(hf_sink *sink, void *lane) { ((vmdk_sink *)sink)->codec->lane_free(lane); }

static hf_code vmdk_encode(hf_sink *sink, void *lane, hf_chunk *chunk, hf_err *reterr) {
    const vmdk_sink *v = (const vmdk_sink *)sink;
    uint32_t at = 0;
    for (unsigned i = 0; i < HF_CHUNK_GRAINS; i++) {
        if (!(chunk->used >> i & 1))
            continue;
        uint8_t *to = chunk->out + at;
        size_t n = v->codec->compress(lane, chunk->data + (size_t)i * HF_GRAIN_BYTES, HF_GRAIN_BYTES,
                                      to + HF_VMDK_MARKER_BYTES, HF_CODEC_BOUND);
        if (n == 0)
            return hf_fail(reterr, HF_E_INTERNAL, "codec %s could not compress the grain at %" PRId64, v->codec->name,
                           chunk->offset);
        hf_put_le64(to, (uint64_t)(chunk->offset / HF_VMDK_SECTOR) + i * HF_VMDK_GRAIN_SECTORS);
        hf_put_le32(to + 8, (uint32_t)n);
        uint32_t len = (uint32_t)(n + HF_VMDK_MARKER_BYTES),
                 padded = (len + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR * HF_VMDK_SECTOR;
        memset(to + len, 0, padded - len);
        chunk->grain_at[i] = at;
        at += padded;
    }
    chunk->out_len = at;
    return HF_OK;
}

static hf_code vmdk_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    vmdk_sink *v = (vmdk_sink *)sink;
    hf_code rc;
    int64_t table = chunk->offset / table_bytes;
    if (table != v->table) {
        if ((rc = flush_table(v, reterr)) != HF_OK)
            return rc;
        v->table = table;
    }
    if (chunk->used == 0)
        return HF_OK;
    uint32_t sector = 0;
    if ((rc = sector_now(v, &sector, reterr)) != HF_OK)
        return rc;
    int64_t first = chunk->offset % table_bytes / HF_GRAIN_BYTES;
    for (unsigned i = 0; i < HF_CHUNK_GRAINS; i++)
        if (chunk->used >> i & 1) {
            hf_put_le32(v->entries + 4 * (first + i), sector + chunk->grain_at[i] / HF_VMDK_SECTOR);
            v->table_used++;
        }
    return hf_out_append(v->out, chunk->out, chunk->out_len, reterr);
}

static hf_code put_directory(vmdk_sink *v, uint32_t *ret_sector, hf_err *reterr) {
    uint32_t sectors = (v->directory_count * 4 + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR;
    hf_code rc = put_marker(v, sectors, HF_VMDK_MARKER_GD, reterr);
    if (rc == HF_OK)
        rc = sector_now(v, ret_sector, reterr);
    uint8_t block[HF_VMDK_SECTOR];
    for (uint32_t s = 0; rc == HF_OK && s < sectors; s++) {
        memset(block, 0, sizeof block);
        for (uint32_t i = 0; i < HF_VMDK_SECTOR / 4 && s * (HF_VMDK_SECTOR / 4) + i < v->directory_count; i++)
            hf_put_le32(block + (size_t)4 * i, v->directory[s * (HF_VMDK_SECTOR / 4) + i]);
        rc = hf_out_append(v->out, block, sizeof block, reterr);
    }
    return rc;
}

static hf_code vmdk_finish(hf_sink *sink, hf_err *reterr) {
    vmdk_sink *v = (vmdk_sink *)sink;
    uint32_t gd = 0;
    uint8_t block[HF_VMDK_SECTOR];
    hf_code rc = flush_table(v, reterr);
    if (rc != HF_OK || (rc = put_directory(v, &gd, reterr)) != HF_OK ||
        (rc = put_marker(v, 1, HF_VMDK_MARKER_FOOTER, reterr)) != HF_OK)
        return rc;
    header_bytes(v, gd, block);
    if ((rc = hf_out_append(v->out, block, sizeof block, reterr)) != HF_OK)
        return rc;
    return put_marker(v, 0, HF_VMDK_MARKER_EOS, reterr);
}

static void vmdk_free(hf_sink *sink) {
    free(((vmdk_sink *)sink)->directory);
    free(sink);
}

/* The directory up to here; nothing of a table is pending at its boundary. */
static hf_code vmdk_save(hf_sink *sink, int64_t next_offset, hf_sink_mark *ret_mark, hf_err *reterr) {
    vmdk_sink *v = (vmdk_sink *)sink;
    hf_code rc = flush_table(v, reterr);
    if (rc != HF_OK)
        return rc;
    v->table = next_offset / table_bytes;
    uint8_t *to = hf_buf_reserve(&ret_mark->state, (size_t)v->table * 4 + 1);
    if (!to)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a checkpoint of %" PRId64 " grain tables", v->table);
    for (int64_t i = 0; i < v->table; i++)
        hf_put_le32(to + 4 * i, v->directory[i]);
    ret_mark->state.len += (size_t)v->table * 4;
    ret_mark->next_offset = next_offset;
    ret_mark->file_bytes = v->out->len;
    return hf_digest_peek(&v->out->sha256, ret_mark->sha256, reterr);
}

static const hf_sink_class vmdk_class = {.name = "streamOptimized VMDK",
                                         .lane_new = vmdk_lane_new,
                                         .lane_free = vmdk_lane_free,
                                         .encode = vmdk_encode,
                                         .commit = vmdk_commit,
                                         .save_unit_bytes = (int64_t)HF_VMDK_GTES * HF_GRAIN_BYTES,
                                         .save = vmdk_save,
                                         .finish = vmdk_finish,
                                         .free = vmdk_free};

/* Goes on behind what the mark says. */
static hf_code vmdk_load(vmdk_sink *v, const hf_sink_mark *mark, hf_err *reterr) {
    int64_t table = mark->next_offset / table_bytes;
    if (table > v->directory_count || mark->state.len != (size_t)table * 4)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the checkpoint's grain directory does not fit the disk");
    for (int64_t i = 0; i < table; i++)
        v->directory[i] = hf_le32(mark->state.data + 4 * i);
    v->table = table;
    hf_code rc = hf_out_adopt(v->out, mark->file_bytes, mark->sha256, reterr);
    if (rc == HF_OK && ftruncate(v->out->fd, v->out->base + v->out->len) != 0)
        rc = hf_fail_errno(reterr, errno, "cutting off what is behind the checkpoint");
    return rc;
}

static hf_code vmdk_begin(vmdk_sink *v, const char *extent_name, hf_err *reterr) {
    uint8_t header[HF_VMDK_SECTOR];
    header_bytes(v, HF_VMDK_GD_AT_END, header);
    hf_code rc = hf_out_append(v->out, header, sizeof header, reterr);
    return rc == HF_OK ? put_descriptor(v, extent_name, reterr) : rc;
}

static hf_code vmdk_new(hf_out *out, const hf_codec *codec, int64_t size_bytes, const char *extent_name,
                        const hf_sink_mark *mark, hf_sink **ret, hf_err *reterr) {
    if (size_bytes > HF_VMDK_CAPACITY_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a VMDK holds at most 62 TiB and the disk has %" PRId64 " bytes: export as qcow2 or raw instead",
                       size_bytes);
    if (size_bytes == 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the disk has no bytes, and a VMDK needs at least one sector: export as qcow2 or raw instead");
    vmdk_sink *v = hf_alloc(sizeof *v);
    if (!v)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK writer");
    v->sink.cls = &vmdk_class;
    v->out = out;
    v->codec = codec;
    v->capacity_sectors = (size_bytes + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR;
    v->directory_count = (uint32_t)((size_bytes + table_bytes - 1) / table_bytes);
    v->directory = hf_alloc(((size_t)v->directory_count + 1) * sizeof *v->directory);
    hf_code rc = !v->directory ? hf_fail(reterr, HF_E_NO_MEMORY, "the grain directory")
                 : mark        ? vmdk_load(v, mark, reterr)
                               : vmdk_begin(v, extent_name, reterr);
    if (rc != HF_OK) {
        vmdk_free(&v->sink);
        return rc;
    }
    *ret = &v->sink;
    return HF_OK;
}

hf_code hf_sink_vmdk_new(hf_out *out, const hf_codec *codec, int64_t size_bytes, const char *extent_name, hf_sink **ret,
                         hf_err *reterr) {
    return vmdk_new(out, codec, size_bytes, extent_name, NULL, ret, reterr);
}

hf_code hf_sink_vmdk_resume(hf_out *out, const hf_codec *codec, int64_t size_bytes, const char *extent_name,
                            const hf_sink_mark *mark, hf_sink **ret, hf_err *reterr) {
    return vmdk_new(out, codec, size_bytes, extent_name, mark, ret, reterr);
}

hf_code hf_vmdk_check_end(int fd, int64_t base, int64_t len, hf_err *reterr) {
    uint8_t end[2 * HF_VMDK_SECTOR];
    static const uint8_t zero[HF_VMDK_SECTOR];
    if (len < (HF_VMDK_OVERHEAD_SECTORS + 4) * HF_VMDK_SECTOR)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the VMDK is only %" PRId64 " bytes long", len);
    hf_code rc = hf_read_fully(fd, end, sizeof end, base + len - (int64_t)sizeof end, reterr);
    if (rc != HF_OK)
        return rc;
    uint64_t gd = hf_le64(end + HF_VMDK_AT_GD);
    if (hf_le32(end + HF_VMDK_AT_MAGIC) != HF_VMDK_MAGIC || gd >= (uint64_t)len / HF_VMDK_SECTOR)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the VMDK's footer is not what was written");
    if (memcmp(end + HF_VMDK_SECTOR, zero, sizeof zero) != 0)
        return hf_fail(reterr, HF_E_VERIFY_FAILED, "the VMDK has no end-of-stream marker");
    return HF_OK;
}
