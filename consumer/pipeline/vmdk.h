/* The layout of a streamOptimized VMDK (VMware Virtual Disk Format 5.0), little-endian, everything 512-aligned:
 * header, descriptor, padding to the overhead; grains, a grain table behind each 512 of them; the grain directory; the footer (the
 * header again, with the directory's place); the end-of-stream sector. */
#pragma once
#include <stdint.h>

#include "schemas/base/err.h"

enum {
    HF_VMDK_SECTOR = 512,
    HF_VMDK_GRAIN_SECTORS = 128,
    HF_VMDK_GTES = 512, /* entries of a grain table: 32 MiB of disk */
    HF_VMDK_DESCRIPTOR_SECTORS = 20,
    HF_VMDK_OVERHEAD_SECTORS = 128,
    HF_VMDK_MARKER_BYTES = 12, /* u64 lba; u32 size, before a grain's data */

    HF_VMDK_MAGIC = 0x564d444b, /* "KDMV" */
    HF_VMDK_FLAGS = 0x30001,    /* newline test valid, compressed grains, markers */
    HF_VMDK_MARKER_EOS = 0,
    HF_VMDK_MARKER_GT = 1,
    HF_VMDK_MARKER_GD = 2,
    HF_VMDK_MARKER_FOOTER = 3,
    HF_VMDK_MARKER_PROGRESS = 4, /* a sector that says the sender is alive; ESXi puts them between grains */

    HF_VMDK_FLAG_NEWLINES = 1,
    HF_VMDK_FLAG_ZERO_GTE = 4, /* a grain table's entry of 1 is a grain of zeros */
    HF_VMDK_FLAG_COMPRESSED = 0x10000,
    HF_VMDK_FLAG_MARKERS = 0x20000,
    HF_VMDK_GTE_ZERO = 1,

    /* offsets in the header */
    HF_VMDK_AT_MAGIC = 0,
    HF_VMDK_AT_VERSION = 4,
    HF_VMDK_AT_FLAGS = 8,
    HF_VMDK_AT_CAPACITY = 12,
    HF_VMDK_AT_GRAIN_SIZE = 20,
    HF_VMDK_AT_DESCRIPTOR = 28,
    HF_VMDK_AT_DESCRIPTOR_SIZE = 36,
    HF_VMDK_AT_GTES = 44,
    HF_VMDK_AT_RGD = 48,
    HF_VMDK_AT_GD = 56,
    HF_VMDK_AT_OVERHEAD = 64,
    HF_VMDK_AT_UNCLEAN = 72,
    HF_VMDK_AT_NEWLINES = 73,
    HF_VMDK_AT_COMPRESS = 77,
};
#define HF_VMDK_GD_AT_END 0xffffffffffffffffULL
#define HF_VMDK_CAPACITY_MAX ((int64_t)62 << 40) /* what VMware's products take */

/* A sparse extent's header, its numbers proven to be usable: a capacity of 1 sector … 62 TiB, grains of 4 … 64 KiB, tables of 512
 * entries, at most HF_VMDK_TABLES_MAX of them. */
enum { HF_VMDK_TABLES_MAX = 62 * 1024 * 1024 / 32, HF_VMDK_GRAIN_SECTORS_MIN = 8, HF_VMDK_TABLE_SECTORS = 4 };
typedef struct hf_vmdk_header {
    uint32_t version, flags, grain_sectors;
    uint16_t compress;
    int64_t capacity_sectors, descriptor_sector, descriptor_sectors, overhead_sectors;
    uint64_t gd_sector; /* HF_VMDK_GD_AT_END: the footer has it */
    /* what follows from them */
    uint32_t grain_bytes, tables, directory_sectors;
    int64_t grains;
} hf_vmdk_header;

/* Fails with `fault` (VERIFY_FAILED, SOURCE_INVALID); LIMIT or UNSUPPORTED for a header that is sound and beyond what is read here. */
hf_code hf_vmdk_header_parse(const uint8_t sector[HF_VMDK_SECTOR], hf_code fault, hf_vmdk_header *ret, hf_err *reterr);
