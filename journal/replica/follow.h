/* The glue between a real log and a replica: polls a follower, feeds, seals, hands the batch to a writer thread,
 * and says when a position is folded or committed. One per program; used from the program's main loop.
 *
 *   poll loop:  poll(hf_follow_fd) -> hf_follow_step -> decide -> produce
 *
 * Commit policy (reference: docs/PERFORMANCE.md): `full` at once when idle or when somebody waits, else commits at
 * least commit_interval apart, larger batches when far behind; `live` about once a second.
 * A commit that fails (STORE_FULL …) comes back from every step from then on: stop, and say so. Nothing is lost: the offsets
 * were not advanced. A `live` store of another version, or a damaged one, is begun anew from the log by itself.
 * Where reading begins: `full` in every topic where it left off; `live` in job-events and limits where it left off, schedules,
 * controls and webhooks from their beginning, workers some way before the end, topics of keep_offsets where it left off (the first
 * time at their beginning), the rest at the end. */
#pragma once
#include "journal/replica/replica.h"

typedef struct hf_follow hf_follow;
typedef struct hf_follow_options {
    hf_replica_options replica;
    hf_replica_hooks hooks;
    uint32_t topics;        /* bit set of 1u << hf_topic, job-events included */
    int commit_interval_ms; /* 0: 5 for full (the least), 1000 for live */
} hf_follow_options;

/* Opens DIR (the program's own folder) and starts following from what it holds. store_dir NULL: memory only. */
hf_code hf_follow_open(hf_klog *log, hf_codec *codec, const char *store_dir, const hf_store_options *store_options,
                       const hf_follow_options *options, hf_follow **ret, hf_err *reterr);
void hf_follow_close(hf_follow *follow); /* commits what is folded */
/* Readable when there is something to do; also wakes for finished commits. */
int hf_follow_fd(hf_follow *follow);
/* Feeds what is there (bounded: up to max_records), never blocks. *ret_fed: records fed; call again while it equals the bound. */
hf_code hf_follow_step(hf_follow *follow, size_t max_records, size_t *ret_fed, hf_err *reterr);
/* Milliseconds until the next commit is due (-1: none): the poll loop's time-out. */
int hf_follow_timeout_ms(const hf_follow *follow);
/* Records behind the end of a partition; -1 where it is not followed or not known yet. The follow's own thread. */
int64_t hf_follow_lag(const hf_follow *follow, hf_topic topic, int32_t partition);
bool hf_follow_caught_up(const hf_follow *follow); /* every partition reached its end at open */
hf_replica *hf_follow_replica(hf_follow *follow);
hf_store *hf_follow_store(hf_follow *follow);

/* Any thread: waits until the record at that position of job-events is committed. TIMEOUT otherwise. Its commit
 * is hurried. This is how a POST reads its own write. */
hf_code hf_follow_wait(hf_follow *follow, hf_position position, int timeout_ms, hf_err *reterr);
/* The follow's own thread: somebody waits for the record at that position; commit as soon as it is folded. */
void hf_follow_hurry(hf_follow *follow, hf_position position);
