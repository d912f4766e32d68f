/* Keeps a streamOptimized VMDK as it comes: reading, walking (vmdk_walk.h), and writing with hashing go on at the same time, round a
 * fixed ring of 1 MiB buffers; with `deep` some threads more inflate every grain, which proves each Adler-32. So what was copied
 * without an error is known to be whole. The calling thread is the one that reads the stream. */
#pragma once
#include <stdbool.h>

#include "consumer/pipeline/out.h"
#include "consumer/pipeline/stream.h"
#include "consumer/pipeline/vmdk_walk.h"

enum { HF_STREAM_COPY_THREADS_MAX = 16 };

/* Appends all of the stream to out (len 0). `deep`: inflates too, with `threads` (1 … HF_STREAM_COPY_THREADS_MAX). Advances `flow` by the
 * bytes that were written, and takes that back on an error; then hf_out_reset(out) and a new stream start it over. VERIFY_FAILED for
 * what is not a whole VMDK; else what the stream or the file said. */
hf_code hf_stream_copy(hf_stream *stream, hf_out *out, bool deep, int threads, hf_flow *flow, hf_vmdk_summary *ret,
                       hf_err *reterr);
