/* State as of then: a job as the fold had it at a position or a time, from the log copy. Its accepted proposals up to there
 * are folded anew; a job has few of them, so there are no snapshots to keep. */
#pragma once
#include "journal/replica/query.h"

typedef struct hf_asof {
    enum { HF_ASOF_OFFSET, HF_ASOF_TIME } by;
    int32_t partition; /* OFFSET: of that partition (jobs of others are shown as they are now); -1: of each partition */
    int64_t offset;    /* OFFSET: this record is the last that counts */
    int64_t
        time_ms; /* TIME: the first record stamped later by Kafka, and all after it in its partition, do not count */
} hf_asof;

/* "2026-01-17T10:30:00Z", "17" or "3/17" (partition 3). */
hf_code hf_asof_parse(hf_str text, hf_asof *ret, hf_err *reterr);
/* *ret: free() it. NOT_FOUND: the job was not created yet. */
hf_code hf_asof_job(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                    const hf_asof *at, hf_job **ret, hf_err *reterr);
/* The job at both points, its log read once; *ret_from and *ret_to are NULL where it was not created yet: free() them. */
hf_code hf_asof_between(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, uint64_t job_key,
                        const hf_asof *from, const hf_asof *to, hf_job **ret_from, hf_job **ret_to, hf_err *reterr);
