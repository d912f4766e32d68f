/* What a dispatcher proposes, and when: pure. Time and ownership are handed in, proposals come out; Kafka,
 * LMDB and clocks are dispatcher.c's. tests/sim runs any number of these against each other.
 *
 * It watches the jobs that need somebody to act for them:
 *   created, validated     left half-way by whoever created them    -> Validated + Queued, or Rejected
 *   retrying               whose not_before has come                -> Queued
 *   assigned … progressing whose worker was silent for its lease    -> LeaseExpired
 *   cancel requested       while no attempt runs                    -> Cancelled
 * Queued jobs wait for workers and cost nothing here.
 *
 * Any number of dispatchers decide the same; the fold takes the first proposal and refuses the rest. To save
 * the log those, a dispatcher that does not own a job's partition (of the `submissions` group) stands by and acts
 * only stand_in_ms later. A proposal without effect is repeated after repeat_ms, without end: it is one
 * record per job and repeat.
 * Cost: O(log n) for each change of a watched job; a tick costs what is due. One thread. */
#pragma once
#include "schemas/base/clock.h"
#include "schemas/base/err.h"
#include "schemas/base/id.h"
#include "schemas/job/job.h"

typedef struct hf_dispatch hf_dispatch;
typedef struct hf_dispatch_options {
    hf_str me;              /* identity for `by`; must outlive the core */
    int64_t lease_grace_ms; /* past a lease */
    int64_t stand_in_ms;    /* how much later than the owner a stand-in acts */
    int64_t half_way_ms;    /* how long a creator may take to validate and queue by itself */
    int64_t repeat_ms;
} hf_dispatch_options;

hf_dispatch *hf_dispatch_new(const hf_dispatch_options *options); /* NULL without memory */
void hf_dispatch_free(hf_dispatch *d);

/* A job is now as `after` says (NULL: gone). For a restart: once for every live job. NO_MEMORY loses nothing: call again. */
hf_code hf_dispatch_job(hf_dispatch *d, const hf_job *after, int64_t now_wall_ms, int64_t now_mono_ms);
/* That job ended or is gone. */
void hf_dispatch_forget(hf_dispatch *d, hf_str job_id);
/* A worker renewed the leases of all attempts it lists. */
void hf_dispatch_heartbeat(hf_dispatch *d, const hf_heartbeat *beat, int64_t now_mono_ms);
/* Which partitions of job-events this dispatcher owns: bit p of the set; nothing beyond 1,024. */
void hf_dispatch_owned(hf_dispatch *d, const uint64_t *bits, size_t words);

/* Everything due by now, at most `max` records (call again while it returns max); they live in arena and
 * borrow ids from d until its next call. Only for a caller that has caught up with the log. A caller that was
 * itself asleep (no call for lease_grace_ms, at least a second) is given lease_grace_ms to hear the heartbeats it missed. */
size_t hf_dispatch_due(hf_dispatch *d, int64_t now_wall_ms, int64_t now_mono_ms, hf_arena *arena, hf_record *ret,
                       size_t max);
/* When to call hf_dispatch_due next, at the latest, monotonic: for what is due, or to be known as awake; INT64_MAX: nothing is watched. */
int64_t hf_dispatch_next_ms(const hf_dispatch *d);
size_t hf_dispatch_watched(const hf_dispatch *d);
