/* What a run of a disk holds: a file system, swap, a member of LVM, LUKS or RAID; told by libblkid. That library reads files, and our
 * disks are seldom one, so it gets a sparse file in memory of the run's size with the ranges where such things keep
 * their marks: the first and the last, and what a boot sector says of where a label is. */
#pragma once
#include "consumer/pipeline/source.h"

typedef struct hf_filesystem {
    char type[40];  /* "ext4", "LVM2_member", "crypto_LUKS" …; "": nothing known */
    char usage[24]; /* "filesystem", "raid", "crypto", "other" */
    char version[24];
    char label[128], uuid[64]; /* bytes as they stand there, not necessarily UTF-8 */
    bool ambiguous;            /* more than one kind fits: type is "" */
} hf_filesystem;

/* [start, start + size) may reach beyond the disk; what is there counts. */
hf_code hf_filesystem_probe(hf_source *source, int64_t start, int64_t size, hf_filesystem *ret, hf_err *reterr);
