/* Kinds of file systems: how each is checked and repaired by the appliance's own programs. */
#pragma once
#include "consumer/operation/guest/appliance.h"

typedef enum hf_fs_kind { HF_FS_NONE, HF_FS_EXT, HF_FS_XFS, HF_FS_BTRFS, HF_FS_FAT, HF_FS_NTFS } hf_fs_kind;

typedef struct hf_fs {
    const char *device, *type; /* type as libblkid names it, or as backup superblocks do */
    hf_fs_kind kind;
    bool super_lost; /* known by a backup superblock alone */
    int superblock, block_bytes;
    bool checked, damaged, repaired, unrepaired, mounts, log_dirty, log_zeroed;
    int32_t lost_before, lost_after; /* entries of lost+found; -1: not known */
    int32_t cleared, reconnected;    /* inodes, by what the repair printed */
    const char *found, *did;         /* what the programs printed */
} hf_fs;

/* By libblkid's name, and where that is not known by what is left of backup superblocks. */
hf_code hf_fs_identify(hf_guest_session *guest, hf_fs *fs, hf_err *reterr);
/* Sets damaged, found. Changes nothing. */
hf_code hf_fs_check(hf_guest_session *guest, hf_fs *fs, hf_err *reterr);
/* Repairs what check found; sets repaired or unrepaired, did, cleared, reconnected. */
hf_code hf_fs_repair(hf_guest_session *guest, hf_fs *fs, hf_err *reterr);
/* Entries in its lost+found; -1 where that cannot be told. Before a repair without mounting it. */
hf_code hf_fs_count_lost(hf_guest_session *guest, const hf_fs *fs, int32_t *ret, hf_err *reterr);
