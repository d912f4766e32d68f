/* Ids: random ones that sort by time (UUIDv7, RFC 9562 section 5.7) and derived ones that are the
 * same wherever they are computed, so that doing a thing twice names it once.
 * Randomness comes through hf_random, so that a test or the simulator owns it. */
#pragma once
#include <stdint.h>

#include "schemas/base/clock.h"
#include "schemas/base/str.h"

#define HF_ID_MAX_BYTES 128 /* a job, schedule, worker or endpoint id */
#define HF_UUID_BYTES 37    /* 36 characters and NUL */

typedef struct hf_random {
    uint64_t (*next)(void *self); /* 64 uniform bits */
    void *self;
} hf_random;

/* getrandom(2), thread-safe. */
const hf_random *hf_random_system(void);
static inline uint64_t hf_random_u64(const hf_random *r) { return r->next(r->self); }

/* UUIDv7 as 36 lower-case characters. */
const char *hf_id_new(const hf_clock *clock, const hf_random *random, char text[HF_UUID_BYTES]);
/* The id of a submission that brought none: a UUIDv8 (RFC 9562 section 5.8) whose first 48 bits are
 * the record's timestamp, then SHA-256 of (topic, partition, offset). The same for every reader. */
const char *hf_id_from_position(hf_str topic, int32_t partition, int64_t offset, int64_t timestamp_ms,
                                char text[HF_UUID_BYTES]);
/* The id of a schedule's run: UUIDv8 of the nominal time, then SHA-256 of (schedule id, time). */
const char *hf_id_from_schedule(hf_str schedule_id, int64_t nominal_ms, char text[HF_UUID_BYTES]);
/* An id of a job, schedule, worker or endpoint: 1 to HF_ID_MAX_BYTES of A-Z a-z 0-9 . _ : @ + = ~ -,
 * not beginning with '.' or '-': it is a file name, a URL segment and a Kafka key as it stands. */
bool hf_id_valid(hf_str id);
