/* The inside of hf_worker_core, shared by the files that make it up:
 *   decide.c    facts from the log: index, own attempts followed through their read-back
 *   attempts.c  facts from the runners, held attempts
 *   step.c      what to do: lease, timers, claims, starts, heartbeats
 *   outcome.c   what to propose for a held attempt
 *   limits.c    limits of concurrency: jobs that wait for one, grants
 *   qjobs.c peers.c  the parts they stand on */
#pragma once
#include <utlist.h>

#include "consumer/worker/decide.h"
#include "consumer/worker/limits.h"
#include "consumer/worker/peers.h"
#include "schemas/job/propose.h"

enum {
    HF_SLOTS_MAX = 256,
    HF_CLAIMS_MAX = 8192,
    HF_SLOT_DEPTH_MAX = 64, /* jobs given to one runner at once */
    HF_HELD_SPARE = 320,    /* attempts given free for an earlier incarnation, and those being stopped */
    HF_WALK_STEP = 2048,    /* jobs judged anew in one step */
    HF_RESEND_MS = 100,
    HF_RELEASE_CHECK_MS = 500,
    HF_RELEASE_AFTER_MS = 1000,
    HF_REFUSALS_MAX = 3, /* of one attempt's proposals; of one announcement */
    HF_HEARTBEATS_IN_FLIGHT = 16,
    HF_HELD_AGAIN_MS = 5000, /* another worker has a grant for the job: it should have claimed it by then */
    HF_LIMIT_TAG_BIT = 61,
};

typedef enum hf_held_state {
    HF_HELD_FREE,
    HF_HELD_TAKING,   /* a grant of each of its limits is asked for, one after the other */
    HF_HELD_CLAIMING, /* Assigned is proposed */
    HF_HELD_CLAIMED,  /* accepted; waits for a slot */
    HF_HELD_IN_SLOT,
    HF_HELD_ENDED,  /* ended in its slot; the end is not on record yet */
    HF_HELD_FENCED, /* in a slot, but not ours any more */
    HF_HELD_GIVING, /* not ours to run: being given free */
} hf_held_state;

typedef struct hf_held {
    hf_qjob *job;
    struct hf_held *prev, *next; /* in `claimed` or in a slot's list */
    struct hf_held *dirty_next;  /* in `dirty`, or in `free` */
    hf_held_state state;
    int32_t attempt, slot, ran_in /* slot it was in last */, attempts_left, attempts_used, timeout_s;
    bool dirty, idempotent, cancel_requested, started /* on record */, ran, phase_new, release, recalled, resend,
        limit_new /* its runner has to be told */;
    uint8_t refusals;
    hf_stop_reason stopped; /* why it was asked to stop */
    int pending;            /* first event of the proposal under way, -1 none */
    uint32_t serial;        /* of that proposal */
    int64_t sent_ms, accepted_ms, bandwidth;
    char *phase;
    char *announcement; /* what its runner waits to see on record; NULL: nothing */
    uint32_t announcement_serial;
    uint8_t announcement_refusals;
    bool announcement_settled;
    hf_code announcement_code; /* once settled: what the runner is told */
    hf_code code;              /* how it ended */
    hf_result *result;
    hf_job_error *error;
    hf_qlimits *limits;       /* NULL: it needs no grants */
    struct hf_wgrant *asking; /* the one under way */
    uint32_t granted;         /* of its limits, from the first */
    bool ungranted;           /* refused one, or one is not held any more */
    int64_t granted_ms;       /* monotonic, before the first was asked for */
} hf_held;

typedef struct hf_slot {
    hf_held *jobs; /* the first one runs */
    uint32_t count;
    bool unusable;
    hf_stop_reason stopping; /* asked of the first */
    int64_t head_since_ms;
} hf_slot;

struct hf_worker_core {
    hf_worker_options o;
    char identity_text[2 * HF_ID_MAX_BYTES + 2];
    hf_str identity, id_prefix /* "worker_id/" */;
    hf_capabilities *capabilities;
    hf_qjobs jobs;
    hf_peers peers;
    hf_wlimits limits;
    uint32_t walked_generation;
    bool caught_up, quiet, giving_back /* quiet, and unstarted ones go back */, draining, broken /* no memory */;

    hf_held *held;
    uint32_t held_cap, held_count /* claiming..ended */, in_flight;
    hf_held *free, *claimed;
    uint32_t claimed_count;
    hf_held *dirty, *dirty_last;
    uint32_t serial;
    bool resends;
    int64_t resend_at, release_check_at, expire_at, drain_deadline_ms;

    hf_slot slots[HF_SLOTS_MAX];
    int32_t slots_busy;

    double duration_us /* < 0: not known */, round_trip_us;
    int64_t started_at_ms, heartbeat_at, renewed_ms /* monotonic; INT64_MIN: never */;
    struct {
        uint32_t serial;
        int64_t sent_ms;
    } heartbeats[HF_HEARTBEATS_IN_FLIGHT];
    uint32_t heartbeat_serial;
    hf_heartbeat heartbeat;
    hf_arena arena;
    int64_t done, claims_lost, fenced, crashes;
};

/* ---- attempts.c ---- */
hf_held *hf_held_new(hf_worker_core *core, hf_qjob *job, hf_held_state state, int32_t attempt); /* NULL: all taken */
/* Lets go of the attempt; the job goes back into the index or is dropped (false). */
bool hf_held_end(hf_worker_core *core, hf_held *held, hf_now now);
void hf_held_claimed(hf_worker_core *core, hf_held *held, bool first); /* into the list of those that wait for a slot */
void hf_held_unlist(hf_worker_core *core, hf_held *held, hf_now now);  /* out of that list, or of its slot */
void hf_held_touch(hf_worker_core *core, hf_held *held);               /* step() shall look what to propose */
hf_held *hf_held_pop_dirty(hf_worker_core *core);
/* A record was folded: is it the announcement, accepted, or refused once too often? */
void hf_held_announcement_read(hf_worker_core *core, hf_held *held, const hf_record *record, hf_verdict verdict);
void hf_held_announcement_drop(hf_held *held);
static inline hf_held *hf_held_of(const hf_worker_core *core, const hf_qjob *job) {
    return job->held ? &core->held[job->held - 1] : NULL;
}
/* ---- decide.c ---- */
bool hf_core_index(hf_worker_core *core, hf_qjob *job,
                   hf_now now); /* where it belongs now; false: nowhere, it was dropped */
void hf_core_judge(hf_worker_core *core, hf_qjob *job, hf_now now); /* ours, or another's */
/* ---- outcome.c ---- */
/* The next proposal of a held attempt, NULL when there is none; *ret_no_memory. Notes it as pending. */
const hf_record *hf_held_propose(hf_worker_core *core, hf_held *held, hf_now now, bool *ret_no_memory);
/* ---- limits.c ---- */
void hf_wlimits_done(hf_worker_core *core);
void hf_limits_match(hf_worker_core *core, hf_qjob *job, const hf_spec *spec);
void hf_limits_forget(hf_worker_core *core, hf_qjob *job);
bool hf_limits_park(hf_worker_core *core, hf_qjob *job);  /* true: it matches a full limit, and waits there */
void hf_limits_taken(hf_worker_core *core, hf_qjob *job); /* it is not among those to claim any more */
void hf_limits_offer(hf_worker_core *core, hf_now now);
uint32_t hf_limits_parked(const hf_worker_core *core);
typedef enum hf_take { HF_TAKE_WAIT, HF_TAKE_ALL, HF_TAKE_GIVE_UP } hf_take;
bool hf_grants_begin(hf_worker_core *core, hf_held *held, hf_now now);
hf_take hf_grants_next(hf_worker_core *core, hf_held *held, hf_now now);
bool hf_grants_late(const hf_worker_core *core, const hf_held *held, hf_now now); /* too late to start on them */
bool hf_grants_match(const hf_held *held); /* it has one of each limit that its job matches now */
void hf_grants_release(hf_worker_core *core, hf_held *held);
/* The next record for `limits`, NULL when there is none. */
const hf_limit_event *hf_grants_pop(hf_worker_core *core, hf_now now, uint64_t *ret_tag);
void hf_grants_ack(hf_worker_core *core, uint32_t serial, hf_now now); /* it was not acknowledged */
void hf_grants_resend(hf_worker_core *core, hf_now now);
/* ---- step.c ---- */
bool hf_core_lease_held(const hf_worker_core *core, hf_now now);
int32_t hf_core_claims_target(const hf_worker_core *core, hf_now now);
