/* VMDKs read natively, inflated by as many threads as read: qemu's reader takes one. Sparse extents of the kinds streamOptimized
 * (compressed, tables at the end) and monolithicSparse (not compressed); other kinds are left to the nbd source.
 * Tables are read as they are needed into a cache of fixed size; no length in the file decides an allocation. A grain that does not inflate
 * to a whole grain with the right Adler-32 is SOURCE_INVALID, with its place. */
#pragma once
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/stream.h"

/* Of the VMDK that lies at [base, base + len) of fd (a file of its own: base 0; a member of an OVA). fd is duplicated. */
hf_code hf_source_open_vmdk(int fd, int64_t base, int64_t len, hf_source **ret, hf_err *reterr);

/* Of a streamOptimized VMDK that comes as a stream (borrowed until close): no file is made. The pipeline's planner pulls: extents must
 * be asked in rising order, and each range read once, which is what hf_pipeline_run does; at most `window_bytes` of compressed
 * grains wait in memory. The whole stream is walked (vmdk_walk.h), so a run that reaches the disk's end has seen the end-of-stream
 * marker. allocated_bytes is size_bytes where nothing better is known. */
hf_code hf_source_open_vmdk_stream(hf_stream *stream, size_t window_bytes, hf_source **ret, hf_err *reterr);
