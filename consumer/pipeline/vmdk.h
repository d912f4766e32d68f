/* The layout of a streamOptimized VMDK (VMware Virtual Disk Format 5.0), little-endian, everything 512-aligned:
 * header, descriptor, padding to the overhead; grains, a grain table behind each 512 of them; the grain directory; the footer (the
 * header again, with the directory's place); the end-of-stream sector. */
#pragma once
#include <stdint.h>

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
