/* Limits of concurrency: at most so many attempts at once per endpoint, provider or tag, whatever the number of workers.
 *
 * Partitions of job-events have no common order, so a limit has an order of its own: its key's partition of the topic `limits`. A
 * worker takes a grant of each limit that a job matches before it claims the job, and frees them when the attempt is over. At no
 * point of a limit's log are more grants held than were allowed when they were taken: the fold accepts `taken` only while fewer than
 * max are held. docs/adr/0008-limits.md has what follows from that, and what does not.
 *
 * hf_limit_fold is pure: it looks at the limit as it is and at the record, and changes nothing. hf_limit_apply makes it so.
 * A change of behaviour raises HF_LIMIT_FOLD_VERSION, which makes journals rebuild. One owner, no locks. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/job/job.h"

enum {
    HF_LIMIT_FOLD_VERSION = 1,
    HF_LIMITS_MAX = 4096,        /* in a partition */
    HF_LIMIT_GRANTS_MAX = 10000, /* of one limit: its greatest max */
    HF_LIMIT_KEY_MAX = 192,      /* bytes: "endpoint/" and a name */
    HF_LIMITS_OF_JOB = 2 + HF_MAX_TAGS,
    HF_GRANT_TTL_DEFAULT_MS = 60000,
};

typedef enum hf_limit_kind { HF_LIMIT_SET, HF_LIMIT_TAKEN, HF_LIMIT_FREED } hf_limit_kind;
typedef enum hf_limit_verdict {
#define HF_LIMIT_VERDICT(id, name, sentence) HF_LV_##id,
#include "schemas/job/limit_verdicts.def"
#undef HF_LIMIT_VERDICT
    HF_LIMIT_VERDICT_COUNT
} hf_limit_verdict;
const char *hf_limit_verdict_name(hf_limit_verdict verdict);
const char *hf_limit_verdict_sentence(hf_limit_verdict verdict);

typedef struct hf_limit_event { /* LimitEvent */
    hf_str key;
    int32_t kind; /* hf_limit_kind */
    int64_t at;   /* wall ms of the proposer */
    hf_str by;    /* taken: the worker's identity */
    int32_t max;  /* set; -1: there is no limit */
    hf_str origin;
    hf_str job_id; /* taken, freed */
    int32_t attempt;
    int64_t ttl_ms; /* taken */
    int64_t grant;  /* freed: offset of the record that took it */
    hf_str reason;
} hf_limit_event;
extern const hf_type HF_TYPE_LIMIT_EVENT;

/* One grant; in one block with its strings. */
typedef struct hf_grant {
    int64_t offset; /* of the record that took it: its name, in its limit's partition */
    int64_t at, ttl_ms;
    int32_t attempt;
    hf_str job_id, worker;
    char text[];
} hf_grant;

/* A limit as it is. max -1: taken away, and some grants of it are still held. */
typedef struct hf_limit {
    hf_str key;
    int32_t max;
    int64_t set_at;
    hf_str set_by, reason, origin;
    hf_grant **grants; /* by offset */
    uint32_t held, room;
    hf_limit_event *set; /* the strings above borrow from it */
} hf_limit;

/* What the record comes to; before NULL: there is no such limit. `others`: how many limits there are besides in its partition. Of
 * an accepted `freed`, *ret_index is the grant's. */
hf_limit_verdict hf_limit_fold(const hf_limit *before, const hf_limit_event *event, uint32_t others,
                               uint32_t *ret_index);

/* ---- making it so: what may fail comes first -------------------------------------------------------------- */
hf_limit *hf_limit_new(void); /* NULL without memory; of no key until a `set` was applied */
void hf_limit_free(hf_limit *limit);
typedef struct hf_limit_parts { /* what an accepted record needs of memory */
    hf_limit_event *set;
    hf_grant *grant;
} hf_limit_parts;
/* False without memory; nothing has changed then. */
bool hf_limit_prepare(hf_limit *limit, const hf_limit_event *event, int64_t offset, hf_limit_parts *ret);
void hf_limit_parts_free(hf_limit_parts *parts);
/* Applies an accepted event. *ret_freed (may be NULL) is the grant that was freed, the caller's to free(); NULL for the other kinds. */
void hf_limit_apply(hf_limit *limit, const hf_limit_event *event, uint32_t index, hf_limit_parts *parts,
                    hf_grant **ret_freed);
/* Taken away, and nobody holds a grant of it. */
static inline bool hf_limit_gone(const hf_limit *limit) { return limit->max < 0 && limit->held == 0; }
/* The grant that was taken at that offset; NULL: it is not held. */
const hf_grant *hf_limit_grant(const hf_limit *limit, int64_t offset);

/* What became of one record of `limits`. */
typedef struct hf_limit_change {
    hf_position position;
    const hf_limit_event *event;
    hf_limit_verdict verdict;
    const hf_limit *limit; /* as it is now; NULL: there is none */
    const hf_grant *freed; /* of an accepted `freed`: valid during the call */
} hf_limit_change;

/* ---- keys -------------------------------------------------------------------------------------------------- */
/* Is it "endpoint/NAME", "provider/NAME" or "tag/NAME", with a name of 1 to HF_LIMIT_KEY_MAX bytes less the kind's? */
bool hf_limit_key_valid(hf_str key);
/* The keys a job's specification matches that `exists` says yes to, in byte order, none twice; they live in `room`
 * (HF_LIMITS_OF_JOB keys of HF_LIMIT_KEY_MAX bytes). Returns how many. */
typedef struct hf_limit_keys {
    uint32_t count;
    hf_str of[HF_LIMITS_OF_JOB];
    char room[HF_LIMITS_OF_JOB][HF_LIMIT_KEY_MAX];
} hf_limit_keys;
uint32_t hf_limit_match(const hf_spec *spec, bool (*exists)(void *ctx, hf_str key), void *ctx, hf_limit_keys *ret);
