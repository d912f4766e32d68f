/* Made-up histories of a fleet: records as a log would hold them, the same for the same seed. For tests of whatever
 * folds a log, and for benches. */
#pragma once
#include "journal/log/klog.h"
#include "schemas/event/codec.h"

typedef struct hf_history hf_history;

/* `partitions` of job-events. Ends the process without memory: tests alone use it. */
hf_history *hf_history_new(uint64_t seed, int32_t partitions);
void hf_history_free(hf_history *history);
/* Jobs that go well, four records each, about `abreast` of them under way at once. */
void hf_history_jobs(hf_history *history, size_t jobs, size_t abreast);
/* The same, of which every one is only created and queued. */
void hf_history_queued(hf_history *history, size_t jobs);
/* Anything: lost races, stale attempts, retries, cancels, deletions, unreadable bytes, wrong keys and partitions, heartbeats,
 * progress, schedules, tombstones. */
void hf_history_chaos(hf_history *history, size_t records);
size_t hf_history_count(const hf_history *history);
/* The i-th record in the order they were written. Borrows from the history. */
void hf_history_record(const hf_history *history, size_t i, hf_log_record *ret);
/* Ids of jobs that chaos speaks of: "job-0" … */
enum { HF_HISTORY_CHAOS_JOBS = 60 };
