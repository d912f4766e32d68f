/* What to send now, to whom, and what an outcome means: the pure core of hyperhook. Time and randomness are handed in; nothing here
 * waits, sends or reads.
 *
 * Every hook is told the same: webhooks, events (into its outbox), and deliveries as webhook-deliveries has them; it sends for the
 * partitions it owns. What it sends is *under way* until the record of its outcome is acknowledged; what a
 * record said is settled when it comes back. So a hook that takes a partition over knows what was settled, and repeats only what was under way.
 *
 *   one turn:   hf_decide_turn; while (hf_decide_next(&send)) post it, or write the record of what expired
 *   outcome:    hf_decide_outcome -> the record to produce; when it is acknowledged hf_decide_reported
 *
 *   retries   1, 2, 4, 8 … s (each a fifth more or less) to backoff_max_ms; as many as the webhook says, then failed and kept
 *   Retry-After of 429 and 503: nothing more to that endpoint until then, clamped to retry_after_max_ms
 *   breaker   after breaker_failures failures in a row nothing but one probe at a time, 1 s … breaker_max_ms apart
 *   queues    queue_max deliveries of an endpoint wait in memory (fewer where there are very many endpoints); the rest waits in the
 *             outbox. An endpoint that is blocked takes none
 *   ordered   of a job's events to an endpoint one at a time, in log order
 *   age       older than max_age_ms is not sent but failed, with a record; a replay is sent whatever its age
 *   switched off: its events wait, up to max_age_ms
 * One thread. */
#pragma once
#include "consumer/notify/lane.h"
#include "consumer/notify/send.h"
#include "schemas/base/id.h"
#include "schemas/job/delivery.h"
#include "schemas/webhook/webhook.h"

typedef struct hf_decide_options {
    const hf_random *random;
    uint32_t in_flight, endpoint_in_flight; /* 0: 256, 8 */
    uint32_t queue_max;                     /* 0: 256 */
    int64_t max_age_ms, keep_ms;            /* 0: 24 h, 7 days */
    int64_t backoff_max_ms;                 /* 0: 5 min */
    int64_t retry_after_max_ms;             /* 0: 1 h */
    uint32_t breaker_failures;              /* 0: 10 */
    int64_t breaker_max_ms;                 /* 0: 1 min */
    int64_t grace_ms; /* 0: 1 min. So long an entry that nobody wants stays, as webhooks may become known after it */
} hf_decide_options;

typedef struct hf_decide hf_decide;

hf_decide *hf_decide_new(const hf_decide_options *options,
                         hf_outbox *outbox); /* NULL without memory; borrows the outbox */
void hf_decide_free(hf_decide *d);

/* ---- what the log says ------------------------------------------------------------------------------------------- */
/* A webhook's record. */
hf_code hf_decide_webhook(hf_decide *d, const hf_webhook *webhook, hf_err *reterr);
void hf_decide_webhook_gone(hf_decide *d, hf_str id);
const hf_webhook *hf_decide_find(const hf_decide *d, hf_str id);
void hf_decide_each(const hf_decide *d, void (*each)(void *ctx, const hf_webhook *webhook), void *ctx);
/* A record of webhook-deliveries. */
hf_code hf_decide_delivery(hf_decide *d, const hf_delivery *delivery, int64_t wall_ms, hf_err *reterr);
/* The topics were read to the end they had at the start: what no record has named is no webhook any more. */
void hf_decide_caught_up(hf_decide *d);
bool hf_decide_wanted(const hf_decide *d, hf_webhook_event event); /* does anybody want it? */

/* ---- ownership ---------------------------------------------------------------------------------------------------- */
/* Only once the deliveries were read to the end they had when the partition was given, and nothing of it is under way. */
void hf_decide_own(hf_decide *d, int32_t partition, bool own);
bool hf_decide_owns(const hf_decide *d, int32_t partition);
uint32_t hf_decide_under_way(const hf_decide *d, int32_t partition); /* -1: all of them */

/* ---- sending ------------------------------------------------------------------------------------------------------- */
typedef struct hf_decide_send {
    uint64_t tag;
    const hf_webhook *webhook;    /* until the next hf_decide_webhook or _webhook_gone */
    const hf_outbox_entry *entry; /* NULL: it is not kept any more (then `expired` is set) */
    hf_place place;
    int32_t partition;
    int32_t attempt; /* the one to be made, from 1 */
    bool expired;    /* too old, not to be sent: tell hf_decide_outcome HF_POST_REFUSED with HF_E_TIMEOUT at once */
} hf_decide_send;

/* Looks at the time: what is due, what was unblocked, what is new. */
void hf_decide_turn(hf_decide *d, int64_t wall_ms, int64_t mono_ms);
bool hf_decide_next(hf_decide *d, int64_t wall_ms, int64_t mono_ms, hf_decide_send *ret);
/* It could not be sent now (a bound of the sender): it is the endpoint's first again, and nothing of that endpoint is due before until_ms
 * (monotonic), so that others come to their turn and nobody asks again and again. */
void hf_decide_unsent(hf_decide *d, uint64_t tag, int64_t until_ms);
/* What came of it. *ret: the record to produce, but for delivery_id and job_id; its texts borrow from the core and `outcome`. *ret_final: with
 * its acknowledgement comes hf_decide_reported. *ret_switch_off: 410, the webhook is to be switched off. */
void hf_decide_outcome(hf_decide *d, uint64_t tag, const hf_post_outcome *outcome, int64_t wall_ms, int64_t mono_ms,
                       hf_delivery *ret, bool *ret_final, bool *ret_switch_off);
void hf_decide_reported(hf_decide *d, uint64_t tag);
/* Monotonic time of the next thing to do; INT64_MAX: none by time. */
int64_t hf_decide_next_ms(const hf_decide *d);

/* job.progress is told at once or not at all: may this webhook be told of this job now? Remembers that it was. */
bool hf_decide_progress(hf_decide *d, const hf_webhook *webhook, hf_str job_id, int64_t mono_ms);

typedef struct hf_decide_stat {
    uint32_t endpoints, blocked, in_flight, queued, reporting;
    uint64_t failed_kept;
} hf_decide_stat;
void hf_decide_stats(const hf_decide *d, hf_decide_stat *ret);

/* ---- the table: one row for each endpoint ---------------------------------------------------------------------------- */
/* Moves on what is settled, forgets what is past its time, trims the outbox. About once a second, before a batch is closed. */
void hf_decide_tidy(hf_decide *d, int64_t wall_ms, int64_t mono_ms);
/* Puts the rows of endpoints that changed, deletes those that went; as hf_outbox_seal. */
bool hf_decide_seal(hf_decide *d, hf_changes *changes, hf_table table);
hf_code hf_decide_load(hf_decide *d, hf_str key, hf_str row, hf_err *reterr);
