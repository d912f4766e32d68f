/* The VHDX sink ([MS-VHDX] version 1, dynamic): little-endian; the file's identifier, two headers, two region tables, an empty log of
 * 1 MiB, the metadata, the block allocation table, blocks. Everything large begins at a whole MiB. */
#include <inttypes.h>

#include "consumer/pipeline/block_write.h"
#include "consumer/pipeline/bytes.h"
#include "schemas/base/mem.h"

enum {
    SECTOR = 512,
    MIB = 1 << 20,
    KIB64 = 64 << 10,
    HEADER_BYTES = 4096,
    HEADER_1_AT = 64 << 10,
    HEADER_2_AT = 128 << 10,
    REGIONS_1_AT = 192 << 10,
    REGIONS_2_AT = 256 << 10,
    LOG_AT = 1 << 20,
    METADATA_AT = 2 << 20,
    TABLE_AT = 3 << 20,
    CHECKSUM_AT = 4, /* in headers and region tables */
    PAYLOAD_ZERO = 2,
    PAYLOAD_PRESENT = 6,
    ITEM_VIRTUAL_DISK = 2,
    ITEM_REQUIRED = 4,
    ENTRIES_MAX = 1 << 20, /* of the table: 8 MiB of memory */
};
#define VHDX_SIZE_MAX ((int64_t)64 << 40)

/* GUIDs as they lie in the file. */
static const uint8_t region_table[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                         0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t region_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                            0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t item_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                            0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t item_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                      0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const uint8_t item_disk_id[16] = {0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                         0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
static const uint8_t item_logical_sector[16] = {0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                                0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
static const uint8_t item_physical_sector[16] = {0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                                 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};

/* CRC-32C (Castagnoli), bit by bit: over some 140 KiB a file. */
static uint32_t crc32c(const uint8_t *p, size_t len) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

/* Between so many payload blocks' entries there is one for a bitmap, which only differencing disks have. */
static int64_t chunk_ratio(int64_t block_bytes) { return ((int64_t)SECTOR << 23) / block_bytes; }

static void vhdx_entry(hf_block_sink *b, int64_t block, int64_t at) {
    hf_put_le64(b->table + 8 * (block + block / chunk_ratio(b->block_bytes)), (uint64_t)at | PAYLOAD_PRESENT);
}

static hf_code put_headers(hf_block_sink *b, hf_err *reterr) {
    uint8_t h[HEADER_BYTES] = {0};
    memcpy(h, "head", 4);
    memcpy(h + 16, b->ids[0], HF_BLOCK_ID_BYTES); /* of the file's writing, and of its data's */
    memcpy(h + 32, b->ids[0], HF_BLOCK_ID_BYTES);
    hf_put_le16(h + 66, 1); /* version; the log's id before it says that there is nothing to replay */
    hf_put_le32(h + 68, MIB);
    hf_put_le64(h + 72, LOG_AT);
    hf_code rc = HF_OK;
    for (uint32_t i = 0; rc == HF_OK && i < 2; i++) {
        hf_put_le64(h + 8, i + 1); /* the sequence number tells the newer one */
        hf_put_le32(h + CHECKSUM_AT, 0);
        hf_put_le32(h + CHECKSUM_AT, crc32c(h, sizeof h));
        rc = hf_block_put(b, h, sizeof h, i ? HEADER_2_AT : HEADER_1_AT, reterr);
    }
    return rc;
}

static void put_region(uint8_t *entry, const uint8_t id[16], int64_t at, uint32_t len) {
    memcpy(entry, id, 16);
    hf_put_le64(entry + 16, (uint64_t)at);
    hf_put_le32(entry + 24, len);
    hf_put_le32(entry + 28, 1); /* required */
}

static hf_code put_regions(hf_block_sink *b, uint8_t *page, hf_err *reterr) {
    memset(page, 0, KIB64);
    memcpy(page, "regi", 4);
    hf_put_le32(page + 8, 2);
    put_region(page + 16, region_table, TABLE_AT, (uint32_t)b->table_bytes);
    put_region(page + 48, region_metadata, METADATA_AT, MIB);
    hf_put_le32(page + CHECKSUM_AT, crc32c(page, KIB64));
    hf_code rc = hf_block_put(b, page, KIB64, REGIONS_1_AT, reterr);
    return rc == HF_OK ? hf_block_put(b, page, KIB64, REGIONS_2_AT, reterr) : rc;
}

/* A metadata table of 64 KiB, and its items behind it. */
static hf_code put_metadata(hf_block_sink *b, uint8_t *page, hf_err *reterr) {
    uint8_t values[48] = {0};
    static const struct {
        const uint8_t *id;
        uint32_t at, len, flags;
    } items[] = {
        {item_parameters, 0, 8, ITEM_REQUIRED},
        {item_size, 8, 8, ITEM_REQUIRED | ITEM_VIRTUAL_DISK},
        {item_disk_id, 16, 16, ITEM_REQUIRED | ITEM_VIRTUAL_DISK},
        {item_logical_sector, 32, 4, ITEM_REQUIRED | ITEM_VIRTUAL_DISK},
        {item_physical_sector, 36, 4, ITEM_REQUIRED | ITEM_VIRTUAL_DISK},
    };
    hf_put_le32(values, (uint32_t)b->block_bytes);
    hf_put_le64(values + 8, (uint64_t)b->size_bytes);
    memcpy(values + 16, b->ids[1], HF_BLOCK_ID_BYTES);
    hf_put_le32(values + 32, SECTOR);
    hf_put_le32(values + 36, 4096);
    memset(page, 0, KIB64);
    memcpy(page, "metadata", 8);
    hf_put_le16(page + 10, HF_ARRAY_LEN(items));
    for (size_t i = 0; i < HF_ARRAY_LEN(items); i++) {
        uint8_t *entry = page + 32 + 32 * i;
        memcpy(entry, items[i].id, 16);
        hf_put_le32(entry + 16, KIB64 + items[i].at);
        hf_put_le32(entry + 20, items[i].len);
        hf_put_le32(entry + 24, items[i].flags);
    }
    hf_code rc = hf_block_put(b, page, KIB64, METADATA_AT, reterr);
    return rc == HF_OK ? hf_block_put(b, values, sizeof values, METADATA_AT + KIB64, reterr) : rc;
}

static hf_code put_identifier(hf_block_sink *b, hf_err *reterr) {
    static const char creator[] = "Hyperfleet";
    uint8_t id[SECTOR] = "vhdxfile";
    for (size_t i = 0; creator[i]; i++)
        hf_put_le16(id + 8 + 2 * i, (uint8_t)creator[i]); /* UTF-16 */
    return hf_block_put(b, id, sizeof id, 0, reterr);
}

static hf_code vhdx_finish(hf_block_sink *b, hf_err *reterr) {
    hf_auto_free uint8_t *page = hf_alloc(KIB64);
    if (!page)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VHDX table");
    hf_code rc = hf_block_put(b, b->table, b->table_bytes, b->table_at, reterr);
    if (rc == HF_OK && (rc = put_metadata(b, page, reterr)) == HF_OK && (rc = put_regions(b, page, reterr)) == HF_OK &&
        (rc = put_headers(b, reterr)) == HF_OK)
        rc = put_identifier(b, reterr);
    return rc;
}

static const hf_block_format vhdx = {"VHDX", vhdx_entry, vhdx_finish};

hf_code hf_sink_vhdx_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    if (size_bytes > VHDX_SIZE_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "a VHDX holds at most 64 TiB and the disk has %" PRId64 " bytes: export as raw instead",
                       size_bytes);
    hf_block_sink *b;
    hf_code rc = hf_block_sink_new(&vhdx, fd, seed, size_bytes, flow, &b, reterr);
    if (rc != HF_OK)
        return rc;
    b->align = MIB;
    b->block_bytes = 2 * MIB;
    while (b->size_bytes / b->block_bytes > ENTRIES_MAX)
        b->block_bytes *= 2;
    int64_t blocks = (b->size_bytes + b->block_bytes - 1) / b->block_bytes,
            entries = blocks + (blocks - 1) / chunk_ratio(b->block_bytes);
    if ((rc = hf_block_table_new(b, TABLE_AT, hf_round_up(entries * 8, MIB), 0, reterr)) != HF_OK) {
        hf_sink_free(&b->sink);
        return rc;
    }
    int64_t ratio = chunk_ratio(b->block_bytes);
    for (int64_t i = 0; i < blocks; i++) /* until something comes: zeros, for certain */
        hf_put_le64(b->table + 8 * (i + i / ratio), PAYLOAD_ZERO);
    *ret = &b->sink;
    return HF_OK;
}
