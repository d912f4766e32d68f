/* The pipeline: source -> chunks of 1 MiB -> parallel encode -> ordered commit -> sink.
 *
 * A planner thread walks the source's extents and fills free slots; N worker threads read, test for zeros and encode into the
 * slot they took; the caller's thread commits in the order of the disk. A ring of 2 N + 4 slots (at least 8) is
 * the back-pressure, and all the memory there is: nothing is allocated after the start. The first error stops all.
 * Cancel is seen once a chunk. Disks go one after another through the same pipeline. */
#pragma once
#include "consumer/pipeline/sink.h"
#include "consumer/pipeline/source.h"

typedef struct hf_pipeline hf_pipeline;

enum { HF_PIPELINE_THREADS_MAX = 64 };

/* `flow` is borrowed. threads is clamped to 1 … HF_PIPELINE_THREADS_MAX. */
hf_code hf_pipeline_new(int threads, hf_flow *flow, hf_pipeline **ret, hf_err *reterr);
void hf_pipeline_free(hf_pipeline *pipeline);
/* Runs one disk through, finish included. On an error the sink's output is not to be used. */
hf_code hf_pipeline_run(hf_pipeline *pipeline, hf_source *source, hf_sink *sink, hf_err *reterr);
/* The same, where all before next_offset is in the sink already, and so many bytes of it were not zero. */
hf_code hf_pipeline_run_from(hf_pipeline *pipeline, hf_source *source, hf_sink *sink, int64_t next_offset,
                             int64_t populated_bytes, hf_err *reterr);
/* From now on, `before` is called in the committing thread before each chunk goes into the sink; all before next_offset is in it. An
 * error stops the run. */
typedef hf_code (*hf_pipeline_before)(void *ctx, hf_sink *sink, int64_t next_offset, hf_err *reterr);
void hf_pipeline_watch(hf_pipeline *pipeline, hf_pipeline_before before, void *ctx);
/* Bytes of the last disk (of the one under way, in `before`) that were not zero, in whole grains: what an OVF calls
 * populatedSize. */
int64_t hf_pipeline_populated(const hf_pipeline *pipeline);
/* Of the grains in `mapped`: which of the 16 at data hold anything but zeros. */
uint16_t hf_grains_used(const uint8_t *data, uint16_t mapped);
