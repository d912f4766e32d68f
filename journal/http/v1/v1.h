/* What the handlers of /api/v1 share. Their shapes are the field tables' own (schemas/event/json.h): the names of the Avro schemas. */
#pragma once
#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/write.h"
#include "journal/replica/asof.h"
#include "journal/replica/page.h"

enum { HF_V1_ARENA_BYTES = 16 << 20, HF_V1_LIMIT = 100 };

/* A handler's look into the journal: begun and ended within the request, never across a wait. */
typedef struct hf_look {
    hf_read *read;
    hf_arena arena;
    hf_err err;
} hf_look;
/* False: the request is answered. hf_look_end is due either way. */
bool hf_look_begin(hf_request *r, hf_look *look);
/* The same without the copies of the log: cheaper, and enough for jobs, progress, workers and counters. */
bool hf_look_at_jobs(hf_request *r, hf_look *look);
void hf_look_end(hf_look *look);
/* The job of the path's first segment; false: answered (404). */
bool hf_look_job(hf_request *r, hf_look *look, hf_job *ret);

/* Job, with `status` (the older, coarser name) beside `state`. New reference. */
json_t *hf_v1_job(const hf_job *job);
/* The same as text; progress may be NULL. */
void hf_v1_put_job(hf_buf *out, const hf_job *job, const hf_progress *progress);
/* The body as JSON, from JSON or YAML; NULL: answered. New reference. */
json_t *hf_request_json(hf_request *r);

/* The body {"reason": text}, which may be left out; NULL: answered. *ret_reason ("" for none) lives as long as the body. */
json_t *hf_v1_reason(hf_request *r, const char **ret_reason);

/* A filter from the query, or from an object with the same names; strings borrow. */
void hf_v1_filter_of_query(const hf_request *r, hf_job_filter *ret);
hf_code hf_v1_filter_of_json(const json_t *object, int64_t now_ms, hf_job_filter *ret, hf_err *reterr);
/* Who proposes: the one who asked, through this program. In arena. */
hf_str hf_request_proposer(const hf_request *r, hf_arena *arena);
/* RFC 4648; a new string. */
json_t *hf_v1_base64(hf_str bytes);
/* {partition}/{offset}, the path's first two segments; false: answered. */
bool hf_v1_position(hf_request *r, hf_position *ret);
/* The point that from, to or as_of names, now without one; and the job key behind a cursor of the audit's pages. False: answered. */
bool hf_v1_point(hf_request *r, hf_param param, hf_asof *ret);
bool hf_v1_point_from(hf_request *r, hf_asof *ret); /* `from`, which must be there */
bool hf_v1_audit_cursor(hf_request *r, uint64_t *ret);
