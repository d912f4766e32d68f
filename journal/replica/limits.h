/* Limits of concurrency inside a replica: every limit of the fleet with all who hold a grant of it, in both profiles, folded from
 * the topic `limits` (schemas/job/limit.h) and committed with the batch, so that a restart goes on where it left off.
 * Rows: `limits` has each limit's last accepted `set`, `limit_grants` the `taken` of each grant that is held: LimitEvent, Avro
 * bodies. An event in another partition than its key's does not count, so that which partition is read first does not show.
 * Bounds: HF_LIMITS_MAX a partition, HF_LIMIT_GRANTS_MAX a limit (schemas/job/limit.h). */
#pragma once
#include <uthash.h>

#include "journal/replica/layout.h"
#include "schemas/job/limit.h"

/* ---- in memory: the replica's own --------------------------------------------------------------------- */
typedef struct hf_limit_slot {
    UT_hash_handle hh;
    hf_limit *limit;
    int32_t partition;
    char key[HF_LIMIT_KEY_MAX];
} hf_limit_slot;
typedef struct hf_limits {
    hf_limit_slot *by_key;
} hf_limits;
void hf_limits_done(hf_limits *limits);
hf_limit_slot *hf_limits_find(const hf_limits *limits, hf_str key);

/* ---- keys of `limit_grants`: the limit's key, a zero byte, the offset (big-endian) ------------------------ */
enum { HF_GRANT_KEY_BYTES = HF_LIMIT_KEY_MAX + 1 + 8 };
static inline hf_str hf_grant_key(hf_str key, int64_t offset, char room[HF_GRANT_KEY_BYTES]) {
    uint64_t at = htobe64((uint64_t)offset);
    uint32_t len = key.len < HF_LIMIT_KEY_MAX ? key.len : HF_LIMIT_KEY_MAX;
    memcpy(room, key.p, len);
    room[len] = 0;
    memcpy(room + len + 1, &at, 8);
    return (hf_str){room, len + 9};
}

/* ---- queries (full) -------------------------------------------------------------------------------------------- */
typedef struct hf_limit_view {
    hf_limit_event set; /* its last `set` */
    uint32_t held;
} hf_limit_view;
/* NOT_FOUND: no such limit. What is returned borrows from the snapshot or lives in the arena. */
hf_code hf_query_limit(hf_read *read, const hf_tables *tables, hf_str key, hf_arena *arena, hf_limit_view *ret,
                       hf_err *reterr);
/* Limits in the order of their keys' bytes, those behind `after` ("": from the first). `view` is valid during the call: the arena
 * is reset between them. Stops when the callback returns false. */
typedef bool (*hf_query_each_limit)(void *ctx, const hf_limit_view *view);
hf_code hf_query_limits(hf_read *read, const hf_tables *tables, hf_str after, size_t limit, hf_arena *arena,
                        hf_query_each_limit each, void *ctx, hf_err *reterr);
/* Who holds its grants, the earliest first, at most `limit` of them: each is the `taken` that was accepted, at that offset. */
typedef bool (*hf_query_each_grant)(void *ctx, const hf_limit_event *taken, int64_t offset);
hf_code hf_query_grants(hf_read *read, const hf_tables *tables, hf_str key, size_t limit, hf_arena *arena,
                        hf_query_each_grant each, void *ctx, hf_err *reterr);
