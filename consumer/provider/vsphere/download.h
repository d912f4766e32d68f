/* A disk of a lease as a stream (consumer/pipeline/stream.h): one GET of its URL, by curl in a thread of its own, a bounded ring ahead of
 * whoever reads.
 *
 * Complete means: status 200, and as many bytes as Content-Length said where it said so; a body without a length ends where it ends,
 * and the walk of the VMDK tells whether that was the end. Ranges are never asked for: hosts do not have them. */
#pragma once
#include "consumer/pipeline/stream.h"
#include "consumer/provider/vsphere/lease.h"

enum { HF_DOWNLOAD_RING = 4 << 20 };

typedef struct hf_download_options {
    const hf_endpoint *endpoint; /* its time-outs, and its name in errors */
    const hf_lease_file *file;   /* URL and trust */
    hf_flow *flow;               /* cancel, bandwidth, bytes_read */
    /* Of what came, from a thread of the download; may be NULL. */
    void (*on_bytes)(void *ctx, int64_t bytes);
    /* Why the source may have ended it: asked when the transfer failed; HF_OK where it knows nothing. May be NULL. */
    hf_code (*why)(void *ctx, hf_err *reterr);
    void *ctx;
} hf_download_options;

/* What the options point to outlives the stream. Returns when the answer has begun. Errors: TIMEOUT (connecting, or no byte for
 * stall_timeout), UNREACHABLE (the connection broke, bytes are short, 5xx), NOT_FOUND, PERMISSION, PROTOCOL by status, CERTIFICATE. */
hf_code hf_download_open(const hf_download_options *options, hf_stream **ret, hf_err *reterr);
