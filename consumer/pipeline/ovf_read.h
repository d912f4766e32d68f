/* Reads OVF descriptors (DSP0243 1.0, 1.1, 2.x): what the machine is, the files of References, and its disks. Elements are told by
 * their local names, because makers differ in their name spaces. libxml2 without network, entities or DTDs; a document type
 * declaration is refused. */
#pragma once
#include "consumer/pipeline/findings.h"
#include "consumer/pipeline/machine.h"
#include "schemas/base/str.h"

enum {
    HF_OVF_READ_MAX = 4 << 20,
    HF_OVF_FILES_MAX = 512,
    HF_OVF_DISKS_MAX = 64,
    HF_OVF_ID_MAX = 255,
    HF_OVF_CHUNK_DIGITS = 9, /* "disk.vmdk.000000000" */
};

typedef struct hf_ovf_file { /* References/File */
    char id[HF_OVF_ID_MAX + 1], href[HF_OVF_ID_MAX + 1];
    int64_t size_bytes;  /* -1: not said */
    int64_t chunk_bytes; /* 0: not chunked */
    bool gzip;
    bool plain_name; /* href is a plain name beside the descriptor: may be looked for */
    bool used;       /* by a disk */
} hf_ovf_file;

typedef struct hf_ovf_read_disk { /* DiskSection/Disk */
    char id[HF_OVF_ID_MAX + 1], format[HF_OVF_ID_MAX + 1], parent[HF_OVF_ID_MAX + 1];
    int64_t capacity_bytes;  /* -1: not known */
    int64_t populated_bytes; /* -1: not said */
    int32_t file;            /* index in files; -1: an empty disk, or a fileRef that names none */
    bool stream_vmdk;        /* format says streamOptimized VMDK */
    hf_machine_place place;
} hf_ovf_read_disk;

typedef struct hf_ovf_document {
    hf_machine machine; /* of the first virtual system */
    char version[16];   /* "1.1", "2.0"; "" not known */
    uint32_t systems;   /* virtual systems in it */
    hf_ovf_file *files;
    uint32_t file_count;
    hf_ovf_read_disk *disks;
    uint32_t disk_count;
    char sections[512]; /* local names of the sections, in order, each once, with blanks between; cut at the bound */
} hf_ovf_document;

/* Findings are about `shown`. *ret NULL when the text is no OVF (that is a finding); fails only without memory. */
hf_code hf_ovf_read(hf_str text, const char *shown, hf_findings *findings, hf_ovf_document **ret, hf_err *reterr);
void hf_ovf_document_free(hf_ovf_document *document);
/* "byte * 2^20", "MegaBytes", "GB" … as bytes; 0 when not understood; "" is 1. */
int64_t hf_ovf_unit_bytes(const char *units);
