/* Reading the journal for the handlers: jobs, verdicts and logs out of LMDB, within one read transaction. */
#pragma once
#include "journal/http/request.h"

/* The job of that id, decoded into arena (strings borrow from the map until the read ends). NOT_FOUND: "job not found: X";
 * a deleted job is not found. */
hf_code hf_lookup_job(hf_http *http, hf_read *read, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr);
/* What the fold said of the record at that position of the job's partition. */
hf_code hf_lookup_verdict(hf_http *http, hf_read *read, hf_str id, hf_position position, hf_verdict *ret, hf_err *reterr);
/* Jobs of a state, newest first, until `each` returns false. */
hf_code hf_lookup_state(hf_http *http, hf_read *read, hf_state state, bool (*each)(void *ctx, const hf_job *job), void *ctx,
                        hf_err *reterr);
/* Last ProgressEvent of the job; NOT_FOUND when there is none. */
hf_code hf_lookup_progress(hf_http *http, hf_read *read, const hf_job *job, hf_arena *arena, hf_progress *ret, hf_err *reterr);

/* One proposal about a job, as the log has it. */
typedef struct hf_event_view {
    hf_position position;
    hf_verdict verdict;
    uint32_t refused;         /* index of the transition that was refused */
    const hf_record *record;  /* NULL: unreadable */
} hf_event_view;
/* The proposals about a job in log order, from behind `after` (offset -1: all of them), until `each` returns false. */
hf_code hf_lookup_events(hf_http *http, hf_read *read, hf_str id, hf_position after,
                         bool (*each)(void *ctx, const hf_event_view *row), void *ctx, hf_err *reterr);
/* {"partition","offset","at","by","attempt","events":[names],"transitions":[…],"verdict","reason"?}. New reference. */
json_t *hf_shape_event(const hf_event_view *row);
