/* Reads the headers of a tar archive, strictly: USTAR, GNU (long names, base-256 sizes) and pax (path, size). Everything a header can
 * claim is checked against the file's size; no length in the archive decides an allocation. What is odd is a finding.
 * Our own reader, and not libarchive's, because places of payloads are needed (they are shared with copies, and read as disks from
 * where they lie), and because a lenient reader would hide what this one is there to tell. */
#pragma once
#include "consumer/pipeline/findings.h"

enum { HF_TAR_ENTRY_NAME_MAX = 4096, HF_TAR_EXTENDED_MAX = 64 * 1024 };

typedef struct hf_tar_entry {
    char name[HF_TAR_ENTRY_NAME_MAX + 1];
    uint32_t name_len; /* more than strlen(name): there is a NUL in it */
    char type;         /* as in the header; '0' for all regular files; 'S' for sparse ones of any make */
    int64_t header_at; /* of the first header that belongs to it */
    int64_t base, size_bytes;
} hf_tar_entry;

typedef struct hf_tar_reader {
    int fd; /* borrowed; seekable */
    int64_t size_bytes, at;
    hf_findings *findings; /* borrowed */
    bool over;
    uint8_t *extended; /* HF_TAR_EXTENDED_MAX */
} hf_tar_reader;

hf_code hf_tar_reader_init(hf_tar_reader *reader, int fd, int64_t size_bytes, hf_findings *findings, hf_err *reterr);
void hf_tar_reader_done(hf_tar_reader *reader);
/* The next member; *ret_more false at the end of what can be read (whether it was a good end is in the findings). */
hf_code hf_tar_reader_next(hf_tar_reader *reader, hf_tar_entry *ret, bool *ret_more, hf_err *reterr);
