/* VMDKs read natively, inflated by as many threads as read: qemu's reader takes one. Sparse extents of the kinds streamOptimized
 * (compressed; tables at the end, or in front) and monolithicSparse (not compressed), with their descriptor inside; other kinds are
 * UNSUPPORTED, and left to the nbd source by hf_source_open.
 * Tables are read as they are needed into a cache of fixed size; no length in the file decides an allocation. A grain that does not inflate
 * to a whole grain with the right Adler-32 is SOURCE_INVALID, with its place; so are tables, grains and a footer that are not where they
 * are said to be. */
#pragma once
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/stream.h"

/* Of the VMDK that lies at [base, base + len) of fd (a file of its own: base 0; a member of an OVA). fd is duplicated. For disks of more
 * than 256 GiB of tables allocated_bytes is what the grain directory names, which may be too much. */
hf_code hf_source_open_vmdk(int fd, int64_t base, int64_t len, hf_source **ret, hf_err *reterr);

/* Of a streamOptimized VMDK that comes as a stream (borrowed until close): no file is made. The pipeline's planner pulls: extents must
 * be asked in rising order, and each range read once, which is what hf_pipeline_run does (a run may begin in the middle); at most
 * `window_bytes` of compressed grains wait in memory (2.3 MiB if that is more: less could not hold a chunk). The whole stream is walked
 * (vmdk_walk.h), so a run that reaches the disk's end has seen the end-of-stream marker; what the walk finds is VERIFY_FAILED. Grains
 * must come in the order of the disk, as all writers of streams send them; else UNSUPPORTED. allocated_bytes is size_bytes where
 * nothing better is known. hf_source_unchanged has nothing to compare and is content. */
hf_code hf_source_open_vmdk_stream(hf_stream *stream, size_t window_bytes, hf_source **ret, hf_err *reterr);
