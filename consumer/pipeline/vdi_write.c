/* The VDI sink (VirtualBox's own format, header 1.1, dynamic): little-endian; header, block map from byte 512, blocks of 1 MiB. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/pipeline/block_write.h"
#include "consumer/pipeline/bytes.h"

enum {
    SECTOR = 512,
    BLOCK = 1 << 20, /* what every reader takes */
    AT_SIGNATURE = 64,
    AT_VERSION = 68,
    AT_HEADER_BYTES = 72,
    AT_TYPE = 76,
    AT_MAP = 340,
    AT_DATA = 344,
    AT_SECTOR = 360,
    AT_DISK_BYTES = 368,
    AT_BLOCK_BYTES = 376,
    AT_BLOCKS = 384,
    AT_USED_BLOCKS = 388,
    AT_ID = 392,
    AT_MODIFIED_ID = 408,
    TYPE_DYNAMIC = 1,
    HEADER_BYTES = 384, /* from AT_HEADER_BYTES on */
};
#define VDI_SIZE_MAX ((int64_t)8 << 40) /* a map of 32 MiB */

static void vdi_entry(hf_block_sink *b, int64_t block, int64_t at) {
    (void)at; /* blocks are told by their number in the file */
    hf_put_le32(b->table + 4 * block, b->used_blocks - 1);
}

static hf_code vdi_finish(hf_block_sink *b, hf_err *reterr) {
    uint8_t h[SECTOR] = {0};
    snprintf((char *)h, AT_SIGNATURE, "<<< VirtualBox disk image, made by Hyperfleet >>>\n");
    hf_put_le32(h + AT_SIGNATURE, 0xbeda107f);
    hf_put_le32(h + AT_VERSION, 0x00010001);
    hf_put_le32(h + AT_HEADER_BYTES, HEADER_BYTES);
    hf_put_le32(h + AT_TYPE, TYPE_DYNAMIC);
    hf_put_le32(h + AT_MAP, (uint32_t)b->table_at);
    hf_put_le32(h + AT_DATA, (uint32_t)hf_round_up(b->table_at + (int64_t)b->table_bytes, BLOCK));
    hf_put_le32(h + AT_SECTOR, SECTOR);
    hf_put_le64(h + AT_DISK_BYTES, (uint64_t)b->size_bytes);
    hf_put_le32(h + AT_BLOCK_BYTES, BLOCK);
    hf_put_le32(h + AT_BLOCKS, (uint32_t)(hf_round_up(b->size_bytes, BLOCK) / BLOCK));
    hf_put_le32(h + AT_USED_BLOCKS, b->used_blocks);
    memcpy(h + AT_ID, b->ids[0], HF_BLOCK_ID_BYTES);
    memcpy(h + AT_MODIFIED_ID, b->ids[1], HF_BLOCK_ID_BYTES);
    hf_code rc = hf_block_put(b, b->table, b->table_bytes, b->table_at, reterr);
    return rc == HF_OK ? hf_block_put(b, h, sizeof h, 0, reterr) : rc;
}

static const hf_block_format vdi = {"VDI", vdi_entry, vdi_finish};

hf_code hf_sink_vdi_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    if (size_bytes > VDI_SIZE_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a VDI holds at most 8 TiB here and the disk has %" PRId64
                       " bytes: export as qcow2, vhdx or raw instead",
                       size_bytes);
    hf_block_sink *b;
    hf_code rc = hf_block_sink_new(&vdi, fd, seed, size_bytes, flow, &b, reterr);
    if (rc != HF_OK)
        return rc;
    b->block_bytes = b->align = BLOCK;
    int64_t map = hf_round_up(hf_round_up(b->size_bytes, BLOCK) / BLOCK * 4, SECTOR);
    if ((rc = hf_block_table_new(b, SECTOR, map, 0xff, reterr)) != HF_OK) {
        hf_sink_free(&b->sink);
        return rc;
    }
    *ret = &b->sink;
    return HF_OK;
}
