/* Deliveries of webhooks, folded from webhook-deliveries: every attempt of an endpoint, what failed and was not replayed since, and
 * each endpoint in numbers. Records of one endpoint have one key, so they stand in one partition and in order.
 *
 * Queries read inside a snapshot (query.h); what they return borrows from it or lives in the caller's arena. */
#pragma once
#include <uthash.h>

#include "journal/replica/layout.h"
#include "schemas/event/codec.h"
#include "schemas/job/delivery.h"
#include "schemas/job/webhook.h"

/* The row of `tallies`. */
typedef struct hf_tally {
    int64_t by_outcome[8]; /* hf_delivery_outcome; the rest is 0 */
    int64_t last_at;       /* of the last attempt, wall ms; 0: there was none */
    int64_t last_outcome;  /* of it; -1: none */
    int64_t failed_in_row; /* attempts that failed since the last that was delivered */
    uint64_t last_key;     /* hf_position_key of the last record */
} hf_tally;
_Static_assert(HF_DELIVERY_OUTCOME_COUNT <= 8, "each outcome has its place");

/* ---- queries ----------------------------------------------------------------------------------------------- */
/* Zeros (last_outcome -1) where there was never a delivery. */
hf_code hf_query_tally(hf_read *read, const hf_tables *tables, hf_str endpoint, hf_tally *ret, hf_err *reterr);
/* Attempts of an endpoint, the newest first, before the one at position key `before` (0: from the newest). outcomes: bits
 * 1u << hf_delivery_outcome (0: all). `read` from hf_read_begin_all; the arena is reset between calls; the callback gets the record's
 * own position. Records that are no longer in the copy are left out. *ret_next: where the next page begins; 0: there is none. */
typedef bool (*hf_query_each_delivery)(void *ctx, hf_position position, const hf_delivery *delivery);
hf_code hf_query_deliveries(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str endpoint,
                            uint32_t outcomes, uint64_t before, size_t limit, hf_arena *arena,
                            hf_query_each_delivery each, void *ctx, uint64_t *ret_next, hf_err *reterr);
/* What failed and was not replayed since, in the order of the events' positions; the delivery is the record that says so. */
hf_code hf_query_undelivered(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str endpoint,
                             size_t limit, hf_arena *arena, hf_query_each_delivery each, void *ctx, hf_err *reterr);
/* How many those are, counted up to `max`. */
hf_code hf_query_undelivered_count(hf_read *read, const hf_tables *tables, hf_str endpoint, size_t max,
                                   size_t *ret_count, hf_err *reterr);
/* Webhooks in the order of their ids' bytes. `unreadable`: of the webhook only the id is set. */
typedef bool (*hf_query_each_webhook)(void *ctx, const hf_webhook *webhook, bool unreadable);
hf_code hf_query_webhooks(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_arena *arena,
                          hf_query_each_webhook each, void *ctx, hf_err *reterr);
hf_code hf_query_webhook(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str id, hf_arena *arena,
                         hf_webhook *ret, hf_err *reterr);

/* ---- inside a replica -------------------------------------------------------------------------------------- */
enum { HF_TALLIES_MAX = 65536 }; /* endpoints that are counted; of others the attempts alone are kept */
typedef struct hf_tally_slot {
    UT_hash_handle hh;
    hf_tally tally;
    char id[HF_ID_MAX_BYTES + 1];
} hf_tally_slot;
typedef struct hf_tallies {
    hf_tally_slot *by_id;
} hf_tallies;
void hf_tallies_done(hf_tallies *tallies);
/* Puts the rows of one record into the batch; the same record again changes nothing. */
hf_code hf_tallies_keep(hf_tallies *tallies, hf_store *store, const hf_tables *tables, hf_changes *changes,
                        hf_position position, const hf_delivery *delivery, hf_err *reterr);
