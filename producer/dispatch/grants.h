/* Grants of limits whose attempt is over, or never came: which to free, and when. Pure, as decide.h is; any number of dispatchers
 * decide the same, and the fold takes the first. A worker frees its own grants at once; this is for those that cannot any more.
 *
 *   the attempt is over (the job ended, waits again, or is at a later attempt)    after a moment, for its worker to do so itself
 *   the attempt was not assigned within the grant's ttl since the record was read   then
 *   the attempt runs                                                                 never
 * A caller that was asleep (no call for grace_ms, at least a second) is given grace_ms to read what it missed. Cost: a look at each grant that is held when one may be due. */
#pragma once
#include "schemas/job/limit.h"

typedef struct hf_freer hf_freer;
typedef struct hf_freer_options {
    hf_str me; /* must outlive it */
    int64_t patience_ms, stand_in_ms, repeat_ms, grace_ms;
} hf_freer_options;
/* What the replica knows of a job: NULL and *ret_ended: it ended; NULL and not: it was never created. */
typedef const hf_job *(*hf_freer_look)(void *ctx, hf_str job_id, bool *ret_ended);

hf_freer *hf_freer_new(const hf_freer_options *options); /* NULL without memory */
void hf_freer_free(hf_freer *freer);
/* A limit the replica held at start. */
bool hf_freer_limit(hf_freer *freer, int32_t partition, const hf_limit *limit, int64_t mono_ms);
/* A record of `limits` was folded. False without memory. */
bool hf_freer_change(hf_freer *freer, const hf_limit_change *change, int64_t mono_ms);
/* An attempt of that job may be over. */
void hf_freer_job(hf_freer *freer, const hf_job *job, int64_t mono_ms);
void hf_freer_owned(hf_freer *freer, const uint64_t *bits, size_t words);
/* Records to produce on `limits`, at most max; they live in arena. Only for a caller that has caught up. */
size_t hf_freer_due(hf_freer *freer, int64_t wall_ms, int64_t mono_ms, hf_freer_look look, void *ctx, hf_arena *arena,
                    hf_limit_event *ret, size_t max);
/* When to call hf_freer_due next, at the latest, monotonic: for what is due, or to be known as awake; INT64_MAX: no grant is held. */
int64_t hf_freer_next_ms(const hf_freer *freer);
