#include "consumer/operation/filesystem.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "schemas/base/mem.h"

enum {
    PAGE = 4096,
    PIECE = 64 * 1024,
    HEAD = (1 << 20) + (128 << 10), /* btrfs 64 KiB, ISO 32 KiB, ZFS 256 KiB, UDF's anchor at sector 256 of 4 KiB */
    TAIL = 640 << 10,               /* ZFS's last two labels; RAID's of version 0.90, 1.0 and of firmware */
    LABEL_RANGE = 64 * 1024,
};

typedef struct view {
    hf_source *source;
    int64_t start, size; /* of the run, within the disk */
    int fd;              /* the file in memory */
} view;

/* ---- the file in memory --------------------------------------------------------------------------------------------- */
static bool all_zero(const uint8_t *p, size_t len) { return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0); }

/* Only pages that are not zero take memory. */
static hf_code put_pages(const view *v, const uint8_t *bytes, size_t len, int64_t at, hf_err *reterr) {
    for (size_t i = 0; i < len; i += PAGE) {
        size_t n = len - i < PAGE ? len - i : PAGE;
        if (!all_zero(bytes + i, n) && pwrite(v->fd, bytes + i, n, at + (int64_t)i) != (ssize_t)n)
            return hf_fail_errno(reterr, errno, "a file in memory");
    }
    return HF_OK;
}

/* Copies what the run has of [at, at + len). */
static hf_code copy(const view *v, int64_t at, int64_t len, hf_err *reterr) {
    hf_auto_free uint8_t *piece = hf_alloc(PIECE);
    if (!piece)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a piece of a disk");
    if (at < 0) {
        len += at;
        at = 0;
    }
    int64_t end = len < v->size - at ? at + len : v->size;
    while (at < end) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        hf_code rc = hf_source_read(v->source, piece, n, v->start + at, reterr);
        if (rc != HF_OK || (rc = put_pages(v, piece, n, at, reterr)) != HF_OK)
            return rc;
        at += (int64_t)n;
    }
    return HF_OK;
}

/* ---- where labels are ------------------------------------------------------------------------------------------------ */
/* Copies from cluster * cluster_bytes + base, wherever a hostile boot sector says that is. */
static hf_code copy_cluster(const view *v, uint64_t base, uint64_t cluster, uint64_t cluster_bytes, hf_err *reterr) {
    if (cluster_bytes == 0 || base > (uint64_t)v->size || cluster > ((uint64_t)v->size - base) / cluster_bytes)
        return HF_OK;
    return copy(v, (int64_t)(base + cluster * cluster_bytes), LABEL_RANGE, reterr);
}

/* NTFS keeps its label in record 3 of the master file table, FAT32 and exFAT in the root directory. */
static hf_code copy_labels(const view *v, hf_err *reterr) {
    uint8_t boot[512];
    if (v->size < (int64_t)sizeof boot)
        return HF_OK;
    hf_code rc = hf_source_read(v->source, boot, sizeof boot, v->start, reterr);
    if (rc != HF_OK)
        return rc;
    uint64_t sector = hf_le16(boot + 11), per_cluster = boot[13];
    if (memcmp(boot + 3, "NTFS    ", 8) == 0) {
        if (per_cluster > 128) /* a negative power of two, for large clusters */
            per_cluster = 1ULL << (256 - per_cluster < 16 ? 256 - per_cluster : 0);
        return copy_cluster(v, 0, hf_le64(boot + 48), sector * per_cluster, reterr);
    }
    if (memcmp(boot + 3, "EXFAT   ", 8) == 0 && boot[108] <= 12 && boot[109] <= 25 && hf_le32(boot + 96) >= 2)
        return copy_cluster(v, (uint64_t)hf_le32(boot + 88) << boot[108], hf_le32(boot + 96) - 2,
                            1ULL << (boot[108] + boot[109]), reterr);
    if (memcmp(boot + 82, "FAT32", 5) == 0 && hf_le32(boot + 44) >= 2)
        return copy_cluster(v, (hf_le16(boot + 14) + (uint64_t)boot[16] * hf_le32(boot + 36)) * sector,
                            hf_le32(boot + 44) - 2, sector * per_cluster, reterr);
    return HF_OK;
}

static hf_code fill(const view *v, hf_err *reterr) {
    if (ftruncate(v->fd, v->size) != 0)
        return hf_fail_errno(reterr, errno, "a file in memory");
    hf_code rc = copy(v, 0, HEAD, reterr);
    if (rc == HF_OK && v->size > HEAD)
        rc = copy(v, v->size - HEAD > TAIL ? v->size - TAIL : HEAD, TAIL, reterr);
    return rc == HF_OK ? copy_labels(v, reterr) : rc;
}

/* ---- libblkid ------------------------------------------------------------------------------------------------------------ */
static void take(blkid_probe probe, const char *name, char *to, size_t room) {
    const char *text = NULL;
    size_t len = 0;
    if (blkid_probe_lookup_value(probe, name, &text, &len) == 0 && text)
        snprintf(to, room, "%s", text);
}

static hf_code ask(int fd, hf_filesystem *ret, hf_err *reterr) {
    blkid_probe probe = blkid_new_probe();
    if (!probe)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a look at a file system");
    int found = -1;
    if (blkid_probe_set_device(probe, fd, 0, 0) == 0) {
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID | BLKID_SUBLKS_TYPE |
                                                     BLKID_SUBLKS_VERSION | BLKID_SUBLKS_USAGE);
        found = blkid_do_safeprobe(probe);
    }
    ret->ambiguous = found == -2;
    if (found == 0) {
        take(probe, "TYPE", ret->type, sizeof ret->type);
        take(probe, "USAGE", ret->usage, sizeof ret->usage);
        take(probe, "VERSION", ret->version, sizeof ret->version);
        take(probe, "LABEL", ret->label, sizeof ret->label);
        take(probe, "UUID", ret->uuid, sizeof ret->uuid);
    }
    blkid_free_probe(probe);
    return HF_OK;
}

hf_code hf_filesystem_probe(hf_source *source, int64_t start, int64_t size, hf_filesystem *ret, hf_err *reterr) {
    memset(ret, 0, sizeof *ret);
    if (start < 0 || size <= 0 || start >= source->size_bytes)
        return HF_OK;
    hf_auto_fd int fd = memfd_create("hyperfleet-probe", MFD_CLOEXEC);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "a file in memory");
    const view v = {source, start, size < source->size_bytes - start ? size : source->size_bytes - start, fd};
    hf_code rc = fill(&v, reterr);
    return rc == HF_OK ? ask(fd, ret, reterr) : rc;
}
