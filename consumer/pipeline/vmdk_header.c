/* The header of a sparse extent, which the walker, the reader and the footer's check have in common. */
#include <inttypes.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/probe_vmdk.h"
#include "consumer/pipeline/vmdk.h"

static hf_code check_flags(const uint8_t *h, const hf_vmdk_header *v, hf_code fault, hf_err *reterr) {
    static const uint32_t known_incompatible = HF_VMDK_FLAG_COMPRESSED | HF_VMDK_FLAG_MARKERS; /* of the upper half */
    if (v->version < 1 || v->version > 3)
        return hf_fail(reterr, fault, "the VMDK header is of version %" PRIu32 ": 1, 2 and 3 are read", v->version);
    if (v->flags >> 16 << 16 & ~known_incompatible)
        return hf_fail(reterr, fault, "the VMDK header's flags 0x%" PRIx32 " ask for what is not known here", v->flags);
    if (v->flags & HF_VMDK_FLAG_NEWLINES && memcmp(h + HF_VMDK_AT_NEWLINES, "\n \r\n", 4) != 0)
        return hf_fail(reterr, fault, "the VMDK was damaged by a transfer in text mode: its newline test fails");
    if (v->compress > 1 || (v->compress == 1) != ((v->flags & HF_VMDK_FLAG_COMPRESSED) != 0))
        return hf_fail(reterr, fault, "the VMDK header's compression %u does not fit its flags 0x%" PRIx32, v->compress,
                       v->flags);
    return HF_OK;
}

static hf_code check_geometry(hf_vmdk_header *v, uint64_t capacity, uint64_t grain, uint32_t gtes, hf_code fault,
                              hf_err *reterr) {
    if (capacity == 0 || capacity > (uint64_t)HF_VMDK_CAPACITY_MAX / HF_VMDK_SECTOR)
        return hf_fail(reterr, fault,
                       "the VMDK header says the disk has %" PRIu64 " sectors; it can be 1 sector to 62 TiB", capacity);
    if (grain < HF_VMDK_GRAIN_SECTORS_MIN || (grain & (grain - 1)) != 0 ||
        grain > HF_VMDK_CAPACITY_MAX / HF_VMDK_SECTOR)
        return hf_fail(reterr, fault, "the VMDK header says a grain has %" PRIu64 " sectors", grain);
    if (gtes != HF_VMDK_GTES)
        return hf_fail(reterr, fault, "the VMDK header says a grain table has %" PRIu32 " entries; it has 512", gtes);
    if (grain > HF_VMDK_GRAIN_SECTORS)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the VMDK's grains are of %" PRIu64 " KiB; at most 64 KiB are read here", grain / 2);
    uint64_t grains = (capacity + grain - 1) / grain, tables = (grains + HF_VMDK_GTES - 1) / HF_VMDK_GTES;
    if (tables > HF_VMDK_TABLES_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "the VMDK has %" PRIu64 " grain tables; at most %d are read: its grains of %" PRIu64
                       " KiB are too small for its size",
                       tables, HF_VMDK_TABLES_MAX, grain / 2);
    v->capacity_sectors = (int64_t)capacity;
    v->grain_sectors = (uint32_t)grain;
    v->grain_bytes = v->grain_sectors * HF_VMDK_SECTOR;
    v->grains = (int64_t)grains;
    v->tables = (uint32_t)tables;
    v->directory_sectors = (v->tables * 4 + HF_VMDK_SECTOR - 1) / HF_VMDK_SECTOR;
    return HF_OK;
}

/* Sector numbers are 32 bits wide everywhere but here. */
static hf_code check_places(hf_vmdk_header *v, uint64_t at, uint64_t sectors, uint64_t overhead, hf_code fault,
                            hf_err *reterr) {
    if (overhead < 1 || overhead > UINT32_MAX || (v->gd_sector != HF_VMDK_GD_AT_END && v->gd_sector > UINT32_MAX))
        return hf_fail(reterr, fault,
                       "the VMDK header puts its overhead at sector %" PRIu64 " and its directory at %" PRIu64,
                       overhead, v->gd_sector);
    if (at != 0 &&
        (sectors == 0 || sectors > HF_VMDK_DESCRIPTOR_MAX / HF_VMDK_SECTOR || at > overhead || sectors > overhead - at))
        return hf_fail(reterr, fault,
                       "the VMDK header's descriptor (sector %" PRIu64 ", %" PRIu64
                       " sectors) does not lie before the grains or is over %d KiB",
                       at, sectors, HF_VMDK_DESCRIPTOR_MAX / 1024);
    v->descriptor_sector = (int64_t)at;
    v->descriptor_sectors = at ? (int64_t)sectors : 0;
    v->overhead_sectors = (int64_t)overhead;
    return HF_OK;
}

hf_code hf_vmdk_header_parse(const uint8_t h[HF_VMDK_SECTOR], hf_code fault, hf_vmdk_header *ret, hf_err *reterr) {
    if (hf_le32(h + HF_VMDK_AT_MAGIC) != HF_VMDK_MAGIC)
        return hf_fail(reterr, fault, "it does not begin as a sparse VMDK does (\"KDMV\")");
    hf_vmdk_header v = {.version = hf_le32(h + HF_VMDK_AT_VERSION),
                        .flags = hf_le32(h + HF_VMDK_AT_FLAGS),
                        .compress = hf_le16(h + HF_VMDK_AT_COMPRESS),
                        .gd_sector = hf_le64(h + HF_VMDK_AT_GD)};
    hf_code rc = check_flags(h, &v, fault, reterr);
    if (rc == HF_OK)
        rc = check_geometry(&v, hf_le64(h + HF_VMDK_AT_CAPACITY), hf_le64(h + HF_VMDK_AT_GRAIN_SIZE),
                            hf_le32(h + HF_VMDK_AT_GTES), fault, reterr);
    if (rc == HF_OK)
        rc = check_places(&v, hf_le64(h + HF_VMDK_AT_DESCRIPTOR), hf_le64(h + HF_VMDK_AT_DESCRIPTOR_SIZE),
                          hf_le64(h + HF_VMDK_AT_OVERHEAD), fault, reterr);
    if (rc == HF_OK)
        *ret = v;
    return rc;
}
