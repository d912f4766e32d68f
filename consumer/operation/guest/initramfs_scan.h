/* What is in an initramfs, told from its bytes alone: cpio archives (newc) one behind the other, the last of them compressed as one stream
 * (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst). Microcode, and on newer Debian the modules themselves, stand
 * uncompressed in front. Nothing of the guest's is run for it, nothing is unpacked, and memory does not grow with the archive.
 *
 * The bytes are the guest's: every length in them is checked, and so much is read at most. Without libguestfs, for tests and fuzzing. */
#pragma once
#include <sys/types.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

#define HF_INITRAMFS_MOST ((int64_t)2 << 30) /* bytes that are looked at, compressed and uncompressed together */

typedef enum hf_initramfs_state {
    HF_INITRAMFS_READ,    /* whole, or as far as was asked for */
    HF_INITRAMFS_UNKNOWN, /* compressed in a way that cannot be read here, or too large to look at */
    HF_INITRAMFS_DAMAGED, /* no kernel could read it to its end */
} hf_initramfs_state;

typedef struct hf_initramfs_scan {
    hf_initramfs_state state;
    char why[128];      /* of UNKNOWN and DAMAGED */
    uint32_t found;     /* bit i: the driver wanted[i] is in it, for that kernel */
    bool for_kernel;    /* has a file below lib/modules/VERSION */
    bool other_kernels; /* … below the same of another version */
    uint32_t entries;
} hf_initramfs_scan;

/* Fills `to`; how many bytes, 0 at the end, -1 if it cannot be read. */
typedef ssize_t hf_initramfs_read(void *ctx, void *to, size_t len);

/* Looks for the modules `wanted` (names with _, NULL-terminated, at most 32) of the kernel `version`. Not `whole`: it ends as soon as all are found.
 * An error is one of reading or of memory; whatever the bytes hold is in *ret. */
hf_code hf_initramfs_look(hf_initramfs_read *read, void *ctx, const char *version, const char *const *wanted,
                          bool whole, int64_t most, hf_initramfs_scan *ret, hf_err *reterr);

/* Whether path ends in a module's file of that name: "…/virtio_blk.ko.xz", "-" and "_" alike. */
bool hf_is_module(const char *path, size_t len, const char *name);
