/* Reads OVF manifests: lines "SHA256(name)= hex", and the form "SHA1 (name) = hex" of other tools; with LF or CR LF. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "consumer/pipeline/findings.h"
#include "schemas/base/str.h"

enum { HF_MANIFEST_READ_MAX = 4 << 20, HF_MANIFEST_LINES_MAX = 8192, HF_MANIFEST_NAME_MAX = 255 };

typedef struct hf_manifest_line {
    hf_digest_kind kind;
    uint32_t number; /* of the line, from 1 */
    char name[HF_MANIFEST_NAME_MAX + 1];
    char hex[HF_DIGEST_HEX_MAX]; /* lower case */
} hf_manifest_line;

typedef struct hf_manifest {
    hf_manifest_line *lines;
    uint32_t count;
    hf_digest_kind kind; /* of the first line; NONE without lines */
} hf_manifest;

/* What is wrong or odd in the text becomes findings about `shown`; lines that are understood are kept. Fails only without memory. */
hf_code hf_manifest_read(hf_str text, const char *shown, hf_findings *findings, hf_manifest **ret, hf_err *reterr);
void hf_manifest_free(hf_manifest *manifest);
