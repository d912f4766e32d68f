/* What format a disk image has, told from bounded reads of its head and tail, and whether opening it would make a tool open
 * other files of the host: a backing file, an external data file, an extent or parent elsewhere. Such images are refused
 * before any tool sees them, because whoever wrote the image chose those names.
 * Formats: qcow2 spec (QEMU docs/interop/qcow2.txt), VMware Virtual Disk Format 5.0, VDI header, VHD 1.0, [MS-VHDX]. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef enum hf_format { HF_F_RAW, HF_F_QCOW2, HF_F_VMDK, HF_F_VDI, HF_F_VHD, HF_F_VHDX, HF_F_COUNT } hf_format;

typedef struct hf_probe {
    hf_format format;
    const char *detail;    /* "streamOptimized", "dynamic" …; "" */
    int64_t virtual_bytes; /* as the header says; -1: not in the header */
    bool flat;             /* a VMDK descriptor whose one extent is a flat file beside it: read flat_name as raw */
    char flat_name[256];
    uint32_t snapshots;      /* qcow2 */
    uint32_t cluster_bytes;  /* the image's unit of allocation: cluster, grain, block; 0: none, or not in the header */
    const char *compression; /* of a VMDK: "deflate"; "" */
} hf_probe;

const char *hf_format_name(hf_format format); /* "vhd" */
const char *hf_format_qemu(hf_format format); /* what qemu calls it: "vpc" */
/* Name of a format or its usual file name extension (img, vpc); false if none. */
bool hf_format_parse(hf_str name, hf_format *ret);

/* Reads at most 64 KiB of fd's head, its last 512 bytes and, for VHDX, its metadata (1 MiB at most). An image of
 * no known magic is raw. SOURCE_INVALID for one whose header contradicts itself or names another file. */
hf_code hf_probe_fd(int fd, int64_t size_bytes, hf_probe *ret, hf_err *reterr);
/* The same on bytes in memory: reads through `read` (len bytes at offset, within size_bytes). */
typedef hf_code (*hf_probe_read)(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr);
hf_code hf_probe_with(hf_probe_read read, void *ctx, int64_t size_bytes, hf_probe *ret, hf_err *reterr);
