/* A sink: what a disk is turned into. `encode` runs in worker threads, many chunks at once, and touches only its lane and its
 * chunk; `commit` runs in one thread, in the order of the disk, and gets every chunk that may hold data;
 * what lies between chunks is zeros. `finish` writes what the format ends with. */
#pragma once
#include <stdint.h>

#include "consumer/pipeline/codec.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/buf.h"

enum {
    HF_CHUNK_GRAINS = 16,
    HF_CHUNK_BYTES = HF_CHUNK_GRAINS * HF_GRAIN_BYTES,
    HF_ENCODED_GRAIN_MAX = 68 * 1024, /* marker, the codec's bound, padding to a sector */
    HF_ENCODED_CHUNK_MAX = HF_CHUNK_GRAINS * HF_ENCODED_GRAIN_MAX,
};

typedef struct hf_chunk {
    int64_t offset;  /* in the disk, a multiple of HF_CHUNK_BYTES */
    uint32_t len;    /* bytes of the disk in it: less than HF_CHUNK_BYTES only at its end */
    uint16_t mapped; /* bit i: grain i may hold data, and was read */
    uint16_t used;   /* bit i: grain i holds something other than zeros */
    uint8_t *data;   /* HF_CHUNK_BYTES; a used grain is whole, zeros behind the disk's end */
    uint8_t *out;    /* HF_ENCODED_CHUNK_MAX, for encode */
    uint32_t out_len;
    uint32_t grain_at[HF_CHUNK_GRAINS]; /* where in out a used grain's encoding begins */
} hf_chunk;

/* All that a sink needs to go on later where it stands: everything before `next_offset` of the disk is in the first file_bytes of its
 * output, which no longer change. */
typedef struct hf_sink_mark {
    int64_t next_offset;
    int64_t file_bytes;
    char sha256[HF_DIGEST_HEX_MAX]; /* of those */
    hf_buf state;                   /* the sink's own: tables so far */
} hf_sink_mark;

typedef struct hf_sink hf_sink;
typedef struct hf_sink_class {
    const char *name;
    void *(*lane_new)(hf_sink *sink); /* NULL class member: no lanes; NULL returned: no memory */
    void (*lane_free)(hf_sink *sink, void *lane);
    hf_code (*encode)(hf_sink *sink, void *lane, hf_chunk *chunk, hf_err *reterr); /* may be NULL */
    hf_code (*commit)(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr);
    /* Sinks that can go on after a crash: between chunks of different units of so many bytes of disk, save fills *ret_mark (its
     * state initialised by the caller). 0 and NULL: this one starts from zero. */
    int64_t save_unit_bytes;
    hf_code (*save)(hf_sink *sink, int64_t next_offset, hf_sink_mark *ret_mark, hf_err *reterr);
    hf_code (*finish)(hf_sink *sink, hf_err *reterr);
    void (*free)(hf_sink *sink);
} hf_sink_class;
struct hf_sink {
    const hf_sink_class *cls;
};

static inline void hf_sink_free(hf_sink *sink) {
    if (sink)
        sink->cls->free(sink);
}

/* streamOptimized VMDK, appended to out (borrowed). `extent_name` is what its descriptor calls the file. */
hf_code hf_sink_vmdk_new(hf_out *out, const hf_codec *codec, int64_t size_bytes, const char *extent_name, hf_sink **ret,
                         hf_err *reterr);
/* The same where out's file holds what `mark` was saved of: checks that (VERIFY_FAILED) and goes on behind it. out is fresh. */
hf_code hf_sink_vmdk_resume(hf_out *out, const hf_codec *codec, int64_t size_bytes, const char *extent_name,
                            const hf_sink_mark *mark, hf_sink **ret, hf_err *reterr);
/* Looks at the last two sectors of the stream that lies at [base, base + len) of fd. */
hf_code hf_vmdk_check_end(int fd, int64_t base, int64_t len, hf_err *reterr);

/* A sparse raw file of size_bytes in the empty file fd. The SHA-256 of the whole file, holes as zeros, is
 * computed as it goes: hf_sink_raw_sha256 after finish. */
hf_code hf_sink_raw_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
hf_code hf_sink_raw_resume(int fd, int64_t size_bytes, hf_flow *flow, const hf_sink_mark *mark, hf_sink **ret,
                           hf_err *reterr);
hf_code hf_sink_raw_sha256(hf_sink *sink, char sha256[HF_DIGEST_HEX_MAX], hf_err *reterr);
/* The same without its SHA-256, which takes more time than writing the file. */
hf_code hf_sink_raw_unhashed_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);

/* qcow2 version 3, clusters of 64 KiB, written front to back into the empty file fd; only the header and the L1 table are
 * written last. */
hf_code hf_sink_qcow2_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
/* The same, its clusters compressed by what hf_codec_for_clusters gives for codec. */
hf_code hf_sink_qcow2_compressed_new(int fd, const hf_codec *codec, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                     hf_err *reterr);

/* The formats of other hypervisors, each sparse, in the empty file fd, tables and header written last. `seed` gives the
 * identifiers that VirtualBox and Hyper-V tell disks apart by: the same seed the same bytes. */
typedef hf_code (*hf_sink_seeded_new)(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                      hf_err *reterr);
hf_code hf_sink_vdi_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
hf_code hf_sink_vhd_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
hf_code hf_sink_vhdx_new(int fd, const char *seed, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);
/* monolithicSparse VMDK; `extent_name` is what its descriptor calls the file. */
hf_code hf_sink_vmdk_sparse_new(int fd, const char *extent_name, int64_t size_bytes, hf_flow *flow, hf_sink **ret,
                                hf_err *reterr);
