/* The VHD sink (Microsoft's Virtual Hard Disk Image Format 1.0, dynamic): big-endian; a copy of the footer, the dynamic header, the
 * block allocation table, blocks of 2 MiB each behind a bitmap of its sectors, the footer. The disk's size is the
 * footer's current size, exact to the sector; the geometry beside it cannot say most sizes. Readers that would rather
 * believe the geometry (QEMU) do not where the creator is "win ", as Windows itself ignores it. */
#include <inttypes.h>

#include "consumer/pipeline/block_write.h"
#include "consumer/pipeline/bytes.h"

enum {
    SECTOR = 512,
    BLOCK = 2 << 20,
    PAGE = 4096,
    HEADER_AT = 512,
    HEADER_BYTES = 1024,
    TABLE_AT = HEADER_AT + HEADER_BYTES,
    TYPE_DYNAMIC = 3,
    FOOTER_CHECKSUM = 64,
    HEADER_CHECKSUM = 36,
};
#define VHD_SIZE_MAX ((int64_t)2040 << 30) /* what Windows takes */

/* Every sector of a block is in it. */
static const uint8_t bitmap[SECTOR] = {[0 ... SECTOR - 1] = 0xff};

typedef struct geometry {
    uint32_t cylinders, heads, sectors;
} geometry;

/* The specification's appendix "CHS Calculation". */
static geometry geometry_of(int64_t total) {
    if (total > 65535LL * 16 * 255)
        total = 65535LL * 16 * 255;
    uint32_t n = (uint32_t)total;
    if (n >= 65535U * 16 * 63)
        return (geometry){n / 255 / 16, 16, 255};
    geometry g = {.sectors = 17, .heads = (n / 17 + 1023) / 1024};
    if (g.heads < 4)
        g.heads = 4;
    if (n / 17 >= g.heads * 1024 || g.heads > 16)
        g = (geometry){.sectors = 31, .heads = 16};
    if (n / g.sectors >= g.heads * 1024)
        g = (geometry){.sectors = 63, .heads = 16};
    g.cylinders = n / g.sectors / g.heads;
    return g;
}

static void put_checksum(uint8_t *bytes, size_t len, size_t at) {
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    hf_put_be32(bytes + at, ~sum);
}

static void footer_bytes(const hf_block_sink *b, uint8_t f[SECTOR]) {
    geometry g = geometry_of(b->size_bytes / SECTOR);
    memset(f, 0, SECTOR);
    memcpy(f, "conectix", 8);
    hf_put_be32(f + 8, 2); /* features: the bit that is always set */
    hf_put_be32(f + 12, 0x00010000);
    hf_put_be64(f + 16, HEADER_AT);
    memcpy(f + 28, "win ", 4);
    hf_put_be32(f + 32, 0x000a0000);
    memcpy(f + 36, "Wi2k", 4);
    hf_put_be64(f + 40, (uint64_t)b->size_bytes); /* at first, and now */
    hf_put_be64(f + 48, (uint64_t)b->size_bytes);
    hf_put_be16(f + 56, (uint16_t)g.cylinders);
    f[58] = (uint8_t)g.heads;
    f[59] = (uint8_t)g.sectors;
    hf_put_be32(f + 60, TYPE_DYNAMIC);
    memcpy(f + 68, b->ids[0], HF_BLOCK_ID_BYTES);
    put_checksum(f, SECTOR, FOOTER_CHECKSUM);
}

static void header_bytes(const hf_block_sink *b, uint8_t h[HEADER_BYTES]) {
    memset(h, 0, HEADER_BYTES);
    memcpy(h, "cxsparse", 8);
    hf_put_be64(h + 8, UINT64_MAX); /* nothing further */
    hf_put_be64(h + 16, TABLE_AT);
    hf_put_be32(h + 24, 0x00010000);
    hf_put_be32(h + 28, (uint32_t)(hf_round_up(b->size_bytes, BLOCK) / BLOCK));
    hf_put_be32(h + 32, BLOCK);
    put_checksum(h, HEADER_BYTES, HEADER_CHECKSUM);
}

static void vhd_entry(hf_block_sink *b, int64_t block, int64_t at) {
    hf_put_be32(b->table + 4 * block, (uint32_t)(at / SECTOR));
}

static hf_code vhd_finish(hf_block_sink *b, hf_err *reterr) {
    uint8_t footer[SECTOR], header[HEADER_BYTES];
    footer_bytes(b, footer);
    header_bytes(b, header);
    hf_code rc = hf_block_put(b, b->table, b->table_bytes, b->table_at, reterr);
    if (rc == HF_OK)
        rc = hf_block_put(b, header, sizeof header, HEADER_AT, reterr);
    if (rc == HF_OK)
        rc = hf_block_put(b, footer, sizeof footer, b->end, reterr);
    return rc == HF_OK ? hf_block_put(b, footer, sizeof footer, 0, reterr) : rc;
}

static const hf_block_format vhd = {"VHD", vhd_entry, vhd_finish};

hf_code hf_sink_vhd_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    if (size_bytes > VHD_SIZE_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a VHD holds at most 2040 GiB and the disk has %" PRId64 " bytes: export as vhdx instead",
                       size_bytes);
    hf_block_sink *b;
    hf_code rc = hf_block_sink_new(&vhd, fd, seed, size_bytes, flow, &b, reterr);
    if (rc != HF_OK)
        return rc;
    b->block_bytes = BLOCK;
    b->align = PAGE; /* so that a block's data lies on the host's pages */
    b->prefix = bitmap;
    b->prefix_bytes = sizeof bitmap;
    int64_t table = hf_round_up(hf_round_up(b->size_bytes, BLOCK) / BLOCK * 4, SECTOR);
    if ((rc = hf_block_table_new(b, TABLE_AT, table, 0xff, reterr)) != HF_OK) {
        hf_sink_free(&b->sink);
        return rc;
    }
    *ret = &b->sink;
    return HF_OK;
}
