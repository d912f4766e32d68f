/* Disks that come as streams (a provider's downloads), inside the operations export and convert.
 *
 * A streamOptimized VMDK that is wanted as one is kept as it comes, walked to its end and hashed on the way. Any other format is coded
 * anew from the stream, without a file in between. A stream that breaks is fetched again from its start, a few times within the attempt, with
 * ever longer waits; what cannot get better (a lease that is over, no room, a cancel) is not. Formats of a file for each disk
 * take several streams at a time. There are no checkpoints: hosts do not serve parts of disks. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "consumer/pipeline/flow.h"
#include "consumer/pipeline/out.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/provider/provider.h"

typedef struct hf_export hf_export;

enum { HF_STREAM_TRIES = 5, HF_STREAM_BAD_TRIES = 3 /* of one that came whole and was no VMDK */ };

typedef struct hf_export_streams {
    bool on;          /* all disks come as streams */
    atomic_bool stop; /* one failed: the others need not go on */
    hf_flow coding;   /* of the pipelines that code anew: their bytes were charged and counted when they came */
    hf_vm_received received[HF_MAX_DISKS];
    hf_pipeline *pipelines[HF_MAX_DISKS]; /* of the disks under way */
    int threads;                          /* of each pipeline */
} hf_export_streams;

/* After the VM was opened. SOURCE_INVALID for one that has both kinds of disk. */
hf_code hf_export_streams_begin(hf_export *x, hf_err *reterr);
void hf_export_streams_done(hf_export *x);
/* Bytes that will come, as far as is known; room that the outputs will take at most. */
void hf_export_streams_sizes(const hf_export *x, int64_t *ret_bytes, int64_t *ret_needed);
/* Keeps disk i in out, which is at its beginning. */
hf_code hf_export_stream_keep(hf_export *x, uint32_t i, hf_out *out, hf_err *reterr);
/* Codes disk i anew: `write` is called with the disk's source in place, on an empty file, once for each try. */
typedef hf_code (*hf_export_write_one)(hf_export *x, uint32_t i, int fd, hf_err *reterr);
hf_code hf_export_stream_code(hf_export *x, uint32_t i, int fd, hf_export_write_one write, hf_err *reterr);
/* hf_export_run_disk of a stream. */
hf_code hf_export_stream_run(hf_export *x, uint32_t i, hf_sink *sink, hf_err *reterr);
/* Whether they are kept as they come in the format that is asked for. */
bool hf_export_streams_kept(const hf_export *x);
/* hf_vmdk_check_end of a VMDK that this program wrote; one that was kept has been walked, and may end in ways of its own. */
hf_code hf_export_check_end(const hf_export *x, int fd, int64_t base, int64_t len, hf_err *reterr);
/* What came against what the source says it sent. */
hf_code hf_export_streams_verify(hf_export *x, hf_err *reterr);
/* Calls one(ctx, i) for every disk: several at a time where they are streams, else in order. The first error is everybody's. */
hf_code hf_export_each_disk(hf_export *x, hf_code (*one)(void *ctx, uint32_t i, hf_err *reterr), void *ctx,
                            hf_err *reterr);
