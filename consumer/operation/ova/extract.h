/* Inside ova-extract: members as they are (extract.c), and disks in another format (extract_disk.c). */
#pragma once
#include "consumer/operation/ova/ova.h"
#include "consumer/pipeline/sink.h"

/* What a disk can become. `name` is the output's: formats that carry identifiers make them of it. */
typedef struct hf_extract_sink {
    const char *format, *suffix;
    hf_code (*make)(int fd, const char *name, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
    /* The same where nobody wants the hash of what is written; NULL: make. */
    hf_code (*make_unhashed)(int fd, const char *name, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                             hf_err *reterr);
    /* The hash of what was written, where the sink knows it; else the file is read back. */
    hf_code (*sha256)(hf_sink *sink, char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr);
} hf_extract_sink;

typedef struct hf_extract {
    hf_ova_work *work;
    const hf_extract_sink *sink; /* NULL: files as they are */
    bool beside;                 /* runs beside the disks: they tell the progress */
    int fd;                      /* of the member being written, -1: it is not wanted */
    int64_t written, flushed, shared;
} hf_extract;

/* Whether the member is written as it is. */
bool hf_extract_wants(const hf_extract *x, const hf_member *m);
/* A pass that writes what is wanted. */
hf_pass hf_extract_pass(hf_extract *x, hf_flow *flow);

const hf_extract_sink *hf_extract_sink_find(hf_str format); /* NULL: there is none */
/* Whether every disk can be made, and its place is free; adds what they need. */
hf_code hf_extract_check_disks(hf_extract *x, int64_t *needed_bytes, hf_err *reterr);
/* The pass, and beside it each disk through the pipeline. */
hf_code hf_extract_disks(hf_extract *x, hf_err *reterr);
