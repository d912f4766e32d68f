/* The worker as a pure object: facts go in, actions come out. It does no I/O, reads no clock and draws no
 * random number, so tests and the simulator own everything that happens to it.
 *
 *   feed    change (a job-event was folded), heartbeat (of any worker), ack (a proposal was acknowledged or not),
 *           runner events (phase, done, returned, crashed), caught_up, drain, quiet
 *   then    step(now) until it gives fewer actions than asked for; sleep until wake_ms
 *
 * What it keeps of a job: about 200 bytes while the job is queued and this worker could run it; nothing of jobs it
 * cannot run or that others hold. No event costs more than O(log n); only a change in the set of live workers makes it
 * look at all queued jobs again, a bounded number a step.
 *
 * Invariants
 *   - A job starts only after its own Assigned proposal was read back as accepted, while the lease is renewed.
 *   - Of one job at most one proposal is under way: the next goes out when the former was read back (accepted or
 *     refused), or again after Kafka said it was not acknowledged.
 *   - At most `claims_max` attempts are held (claimed, running). At most one attempt of a job is in a slot.
 *   - A job that matches limits starts only after a grant of each was read back as accepted, and within half of grant_ttl_ms since before the
 *     first was asked for its claim was, too; it is stopped when one of them is freed by others. Who is refused one gives all back.
 *   - An announcement is answered with HF_OK only after it was read back as accepted.
 *   - An attempt that the log gave to somebody else (fenced) is stopped; its result is thrown away.
 * Order of claims: lowest (priority x ageing + created_at) first: waiting `ageing` is worth one step of priority, so the order
 * of two jobs never changes while they wait. A job that another live worker prefers (rendezvous hashing over
 * those that could run it) is left to it for stranger_wait, and then taken when no own job is there or when it is two
 * steps more urgent than any own.
 * Threads: an object belongs to one thread. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/job/job.h"
#include "schemas/job/limit.h"

typedef struct hf_now {
    int64_t wall_ms, mono_ms;
} hf_now;

typedef struct hf_worker_options {
    hf_str worker_id, incarnation;
    hf_str hostname, version;     /* for the heartbeat; must outlive the object */
    hf_capabilities capabilities; /* what this worker can run; copied */
    int32_t slots;                /* 1..256 */
    int32_t claims_max;           /* 1..8192 */
    int64_t lease_ms, heartbeat_ms;
    int64_t stranger_wait_ms, ageing_ms;
    int64_t retry_base_ms, retry_max_ms;
    int64_t kill_grace_ms;
    int64_t
        grant_ttl_ms; /* a grant may wait so long for its claim before others free it; 0: two leases, at least 10 s */
    int64_t quick_ms; /* a job that ends sooner has Started and its end in one record; 0: 25 ms */
} hf_worker_options;

typedef enum hf_action_kind {
    HF_ACT_PROPOSE, /* produce `record` on job-events with key record->job_id; answer with ack(tag, …) exactly once */
    HF_ACT_GRANT,   /* produce `limit` on limits with key limit->key; answer with ack(tag, …) exactly once */
    HF_ACT_HEARTBEAT, /* produce `heartbeat` on workers with key worker_id; answer with ack(tag, …) exactly once */
    HF_ACT_START,     /* give (job_id, attempt) to the runner of `slot`; it may hold several and runs them in order */
    HF_ACT_RECALL, /* the runner should give (job_id, attempt) back unless it began: answered by returned() or done() */
    HF_ACT_ANNOUNCED, /* tell the runner what came of announcement `serial`: code OK, it is on record; LEASE_LOST, never */
    HF_ACT_LIMIT,     /* tell the runner that (job_id, attempt) may read `bandwidth` bytes/s from now on; 0: any */
    HF_ACT_STOP,      /* stop the running (job_id, attempt): ask, SIGTERM after grace_ms, SIGKILL after twice that */
} hf_action_kind;

typedef enum hf_stop_reason {
    HF_STOP_NONE,
    HF_STOP_CANCEL,  /* a cancel was requested */
    HF_STOP_TIMEOUT, /* timeout_seconds of its policy ran out */
    HF_STOP_DRAIN,   /* the drain's time ran out */
    HF_STOP_LEASE,   /* the lease could not be renewed */
    HF_STOP_FENCED,  /* the attempt is not ours any more */
} hf_stop_reason;

/* Everything borrows from the object and is valid until its next step(). */
typedef struct hf_action {
    hf_action_kind kind;
    int32_t slot;                  /* START, RECALL, STOP, ANNOUNCED, LIMIT */
    hf_str job_id;                 /* START, RECALL, STOP, ANNOUNCED, LIMIT */
    int32_t attempt;               /* START, RECALL, STOP, ANNOUNCED, LIMIT */
    uint32_t serial;               /* ANNOUNCED */
    hf_code code;                  /* ANNOUNCED */
    hf_stop_reason reason;         /* STOP */
    int64_t grace_ms;              /* STOP */
    int64_t bandwidth;             /* LIMIT */
    uint64_t tag;                  /* PROPOSE, HEARTBEAT, GRANT */
    const hf_record *record;       /* PROPOSE */
    const hf_heartbeat *heartbeat; /* HEARTBEAT */
    const hf_limit_event *limit;   /* GRANT */
} hf_action;

/* How an attempt ended in its runner. */
typedef struct hf_outcome {
    hf_code code;            /* HF_OK: done, with result; else its policy decides about another attempt */
    hf_str message, phase;   /* of the error; copied */
    hf_str details;          /* JSON or "" */
    const hf_result *result; /* copied; NULL: an empty one */
    int64_t duration_us;
} hf_outcome;

typedef struct hf_worker_core hf_worker_core;

/* Checks the options' bounds (INVALID names the one). */
hf_code hf_worker_core_new(const hf_worker_options *options, hf_now now, hf_worker_core **ret, hf_err *reterr);
void hf_worker_core_free(hf_worker_core *core); /* NULL is fine */
/* "worker_id/incarnation": the `by` of its proposals and the worker of its attempts. */
hf_str hf_worker_core_identity(const hf_worker_core *core);

/* ---- what happened -------------------------------------------------------------------------------- */
/* A job-event was folded: the record, the verdict and the job as it is now (after; unchanged when refused; NULL: there is none).
 * record NULL: `after` is a job the replica held already at start. NO_MEMORY: the object is of no use any more. */
hf_code hf_worker_core_change(hf_worker_core *core, const hf_record *record, hf_verdict verdict, const hf_job *after,
                              hf_now now);
/* A record of `limits` was folded. *ret_again: a limit was set that was not: the caller hands over all queued jobs again, as at start
 * (change with record NULL), so that those which match wait for it. */
hf_code hf_worker_core_limit(hf_worker_core *core, const hf_limit_change *change, hf_now now, bool *ret_again);
/* A limit the replica held already at start; before its jobs. */
hf_code hf_worker_core_limit_is(hf_worker_core *core, const hf_limit *limit);
/* A heartbeat was read from the log (its own included, which are ignored). */
void hf_worker_core_heartbeat(hf_worker_core *core, const hf_heartbeat *heartbeat, hf_now now);
/* The replica has folded the past: from now on it claims, and jobs an earlier incarnation of this worker held are given free. */
void hf_worker_core_caught_up(hf_worker_core *core);
/* The record of that tag was acknowledged (HF_OK) or not: anything else makes it go out again a little later. */
void hf_worker_core_ack(hf_worker_core *core, uint64_t tag, hf_code code, hf_now now);
/* No new claims while quiet; what it holds is finished, or, with give_back, what has not started is released. */
void hf_worker_core_quiet(hf_worker_core *core, bool quiet, bool give_back, hf_now now);
/* Jobs of that operation, or that provider, are not claimed while it is paused; false: HF_PAUSED_MAX of them are already, this one is
 * not. */
bool hf_worker_core_pause_operation(hf_worker_core *core, hf_str operation, bool paused);
bool hf_worker_core_pause_provider(hf_worker_core *core, hf_str provider, bool paused);
/* No new claims, unstarted ones are released; what still runs after timeout_ms is stopped and given back. */
void hf_worker_core_drain(hf_worker_core *core, int64_t timeout_ms, hf_now now);

/* ---- from the runners (slot, job and attempt as START named them; unknown ones are passed over) ------- */
/* Can the slot take jobs? All can at first. One that cannot (its process is being made anew) keeps what it holds. */
void hf_worker_core_slot_usable(hf_worker_core *core, int32_t slot, bool usable);
void hf_worker_core_phase(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, hf_str phase);
/* What the running attempt is about to do and wants on record first: proposed as Progressing{text} (at most HF_ID_MAX_BYTES) and
 * answered by ANNOUNCED with the serial once the fold accepted it, or once it is certain that it never will. Said again until then. A
 * newer announcement takes the place of one that is not settled. Not HF_OK: there will be no answer but this code. */
hf_code hf_worker_core_announce(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial,
                                hf_str text);
void hf_worker_core_done(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, const hf_outcome *outcome,
                         hf_now now);
/* It did not begin: it may be started again, here or in another slot. */
void hf_worker_core_returned(hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt, hf_now now);
/* The runner died: the job it ran failed with RUNNER_CRASHED (or as it was being stopped for); those behind it are as returned. */
void hf_worker_core_crashed(hf_worker_core *core, int32_t slot, hf_str message, hf_now now);

/* ---- what to do ------------------------------------------------------------------------------------- */
/* Fills up to `max` actions, *ret_count of them; call again at once while it equals max. */
hf_code hf_worker_core_step(hf_worker_core *core, hf_now now, hf_action *actions, size_t max, size_t *ret_count,
                            hf_err *reterr);
/* Monotonic ms at which step() has something to do by itself, INT64_MAX for never. */
int64_t hf_worker_core_wake_ms(const hf_worker_core *core, hf_now now);

/* ---- questions ---------------------------------------------------------------------------------------- */
typedef struct hf_worker_stats {
    uint32_t queued; /* jobs it could run and that nobody holds */
    uint32_t held;   /* attempts claimed, being claimed, or in slots */
    uint32_t proposals_in_flight;
    int32_t slots_busy;
    int32_t claims_target; /* how many it would hold now */
    uint32_t live_workers; /* this one included */
    int64_t done, claims_lost, fenced, runner_crashes;
    bool lease_held, draining;
} hf_worker_stats;
void hf_worker_core_stats(const hf_worker_core *core, hf_now now, hf_worker_stats *ret);
/* The last heartbeat of all: stopped, holding nothing. Borrows from the object. */
void hf_worker_core_farewell(const hf_worker_core *core, hf_now now, hf_heartbeat *ret);
/* Drained: nothing is held and nothing is under way. */
bool hf_worker_core_idle(const hf_worker_core *core);
/* Is that attempt in that slot ours (not fenced)? Progress of others is not worth telling. */
bool hf_worker_core_owns(const hf_worker_core *core, int32_t slot, hf_str job_id, int32_t attempt);
