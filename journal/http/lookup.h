/* Reading the journal for the handlers: jobs, verdicts and logs out of LMDB, within one read transaction. */
#pragma once
#include "journal/http/request.h"
#include "journal/replica/query.h"

/* The job of that id, decoded into arena (strings borrow from the map until the read ends). NOT_FOUND: "job not found: X";
 * a deleted job is not found. */
hf_code hf_lookup_job(hf_http *http, hf_read *read, hf_str id, hf_arena *arena, hf_job *ret, hf_err *reterr);
/* What the fold said of the record at that position of the job's partition. */
hf_code hf_lookup_verdict(hf_http *http, hf_read *read, hf_str id, hf_position position, hf_verdict *ret,
                          hf_err *reterr);
/* Jobs in one of the states (bits), last updated first, until `each` returns false. */
hf_code hf_lookup_states(hf_http *http, hf_read *read, uint32_t states, bool (*each)(void *ctx, const hf_job *job),
                         void *ctx, hf_err *reterr);
/* Last ProgressEvent of the job; NOT_FOUND when there is none. */
hf_code hf_lookup_progress(hf_http *http, hf_read *read, const hf_job *job, hf_arena *arena, hf_progress *ret,
                           hf_err *reterr);

/* The proposals about a job in log order, from behind `after` (offset -1: all of them), at most `limit`. `read` is from
 * hf_read_begin_all. */
hf_code hf_lookup_events(hf_http *http, hf_read *read, hf_str id, hf_position after, size_t limit,
                         hf_query_each_event each, void *ctx, hf_err *reterr);
/* {"partition","offset","at","by","attempt","events":[names],"transitions":[…],"verdict","reason"?}. New reference. */
json_t *hf_shape_event(const hf_query_event *event);
