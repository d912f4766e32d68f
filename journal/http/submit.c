/* POST /jobs/submit and POST /jobs/cancel: proposals, answered when they are folded. */
#include "journal/http/controls.h"
#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/v1/v1.h"
#include "journal/replica/counters.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/intake.h"
#include "schemas/job/propose.h"

enum { ARENA_BYTES = 64 << 20 };

/* ---- bodies ---------------------------------------------------------------------------------------------- */
/* The jobs in a body: one, {jobs: […]} or an array. NULL: answered. Borrowed from json. */
static json_t *jobs_of(hf_request *r, json_t *json) {
    json_t *list = json_is_object(json) ? json_object_get(json, "jobs") : json;
    if (json_is_object(json) && !list) {
        list = json_array();
        json_array_append(list, json);
    } else
        json_incref(list);
    size_t n = json_is_array(list) ? json_array_size(list) : 0;
    if (n == 0)
        hf_reply_error(r, 400, "no job in the body: give one job, an array of jobs, or {\"jobs\": [...]}");
    else if (n > HF_HTTP_JOBS_PER_SUBMIT)
        hf_reply_error(r, 413, "%zu jobs in one request; at most %d are allowed", n, HF_HTTP_JOBS_PER_SUBMIT);
    else
        return list;
    json_decref(list);
    return NULL;
}

static bool is_one(hf_request *r, const json_t *json) {
    if (json_is_object(json) && !json_object_get(json, "jobs"))
        return true;
    hf_reply_error(r, 400, "POST /jobs takes one job, an object; POST /jobs/submit takes several");
    return false;
}

/* ---- submit ---------------------------------------------------------------------------------------------- */
/* With an Idempotency-Key the ids of jobs that bring none come from it (and from who asks): sent again, they are the same jobs. */
static hf_code derive_id(hf_write *w, uint32_t index, hf_arena *arena, hf_submission *sub, hf_err *reterr) {
    const char *key = hf_request_header(w->request, "Idempotency-Key");
    char id[HF_UUID_BYTES];
    if (!key || sub->job_id.len > 0)
        return HF_OK;
    size_t len = strlen(key);
    if (len == 0 || len > HF_MAX_TEXT)
        return hf_fail(reterr, HF_E_INVALID, "Idempotency-Key must have 1 to %d bytes", HF_MAX_TEXT);
    char *scope = hf_arena_printf(arena, "idempotency\n%s\n%s", w->request->who.name, key);
    if (!scope)
        return hf_fail(reterr, HF_E_NO_MEMORY, "too many jobs in one request");
    sub->job_id = hf_arena_str(arena, hf_str_of(hf_id_from_position(hf_str_of(scope), (int32_t)index, 0, 0, id)));
    snprintf(w->items[index].about, sizeof w->items[index].about, "%s", id);
    return HF_OK;
}

static void submit_one(hf_write *w, uint32_t index, const json_t *json, hf_arena *arena) {
    hf_http *http = w->request->http;
    hf_submission sub;
    hf_record record;
    hf_err err;
    char id[HF_UUID_BYTES];
    hf_write_item *item = &w->items[index];
    hf_intake_errors *errors = hf_arena_alloc(arena, sizeof *errors);
    hf_code code = errors ? hf_submission_from_json(json, arena, &sub, &err)
                          : hf_fail(&err, HF_E_NO_MEMORY, "too many jobs in one request");
    if (code == HF_OK && w->request->v1)
        code = derive_id(w, index, arena, &sub, &err);
    if (code == HF_OK && sub.job_id.len == 0)
        sub.job_id = hf_arena_str(arena, hf_str_of(hf_id_new(http->clock, hf_random_system(), id)));
    if (code == HF_OK && !hf_id_valid(sub.job_id))
        code = hf_fail(&err, HF_E_INVALID,
                       "job_id '%.*s' is not an id: 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -",
                       HF_STR_ARG(sub.job_id), HF_ID_MAX_BYTES);
    if (code == HF_OK && sub.spec.audit.requested_by.len == 0)
        sub.spec.audit.requested_by = hf_str_of(w->request->who.name);
    if (code == HF_OK)
        code = hf_intake(&sub, sub.job_id, HF_STR_NONE, hf_request_proposer(w->request, arena), hf_wall_ms(http->clock),
                         arena, &record, errors, &err);
    if (code == HF_OK && errors->count)
        code =
            hf_fail(&err, HF_E_INVALID, "%.*s%s", HF_STR_ARG(errors->text[0]), errors->count > 1 ? " (and more)" : "");
    if (code != HF_OK)
        hf_write_settle(item, code, err.detail);
    else
        hf_write_put(w, index, &record);
}

static void answer_late(hf_request *r) {
    hf_reply_error(
        r, 504,
        "the journal did not fold the request within %lld ms; it may still take effect: look with GET /jobs/query before asking again",
        (long long)r->http->write_wait_ms);
}

static void answer_submit(hf_request *r, hf_write *w) {
    if (w->late) {
        answer_late(r);
        return;
    }
    json_t *ids = json_array(), *errors = json_array();
    hf_code unavailable = HF_OK;
    for (uint32_t i = 0; i < w->count; i++) {
        hf_write_item *item = &w->items[i];
        if (item->code == HF_OK) {
            json_array_append_new(ids, json_string(item->id));
            continue;
        }
        if (item->code == HF_E_REFUSED && strcmp(item->error, hf_verdict_name(HF_V_JOB_EXISTS)) == 0)
            json_array_append_new(errors, json_sprintf("job with ID %s already exists", item->id));
        else
            json_array_append_new(errors, w->count > 1 ? json_sprintf("job %u: %s", i + 1, item->error)
                                                       : json_string(item->error));
        if (hf_code_policy(item->code) == HF_POLICY_RETRY)
            unavailable = item->code;
    }
    int status = unavailable != HF_OK && json_array_size(ids) == 0 ? hf_code_http_status(unavailable) : 200;
    json_t *o = json_object();
    json_object_set_new(o, "accepted", json_integer((json_int_t)json_array_size(ids)));
    json_object_set_new(o, "rejected", json_integer((json_int_t)json_array_size(errors)));
    json_object_set_new(o, "job_ids", ids);
    if (json_array_size(errors))
        json_object_set_new(o, "errors", errors);
    else
        json_decref(errors);
    json_object_set_new(o, "timestamp", hf_json_now());
    hf_reply_json(r, status, o);
}

/* The same, below /api/v1: an outcome for each job; that of a lone one is the request's own. */
static bool repeated(const hf_write_item *item) {
    return *item->about && item->code == HF_E_REFUSED && strcmp(item->error, hf_verdict_name(HF_V_JOB_EXISTS)) == 0;
}

static json_t *outcome_of(const hf_write_item *item) {
    if (item->code == HF_OK || repeated(item))
        return json_pack("{s:s, s:b}", "job_id", item->id, "accepted", 1);
    bool exists = item->code == HF_E_REFUSED;
    return json_pack("{s:s, s:b, s:o}", "job_id", item->id, "accepted", 0, "error",
                     exists ? json_sprintf("job with ID %s already exists", item->id) : json_string(item->error));
}

static void answer_v1_submit(hf_request *r, hf_write *w) {
    hf_err err;
    if (w->late) {
        answer_late(r);
        return;
    }
    if (w->count == 1 && w->items[0].code != HF_OK && !repeated(&w->items[0])) {
        hf_code code = w->items[0].code == HF_E_REFUSED ? HF_E_EXISTS : w->items[0].code;
        hf_fail(&err, code, code == HF_E_EXISTS ? "job with ID %s already exists" : "%s",
                code == HF_E_EXISTS ? w->items[0].id : w->items[0].error);
        hf_reply_err(r, &err);
        return;
    }
    json_t *items = json_array();
    json_int_t accepted = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        accepted += w->items[i].code == HF_OK || repeated(&w->items[i]);
        json_array_append_new(items, outcome_of(&w->items[i]));
    }
    hf_reply_json(r, 200,
                  json_pack("{s:o, s:I, s:I}", "items", items, "accepted", accepted, "rejected",
                            (json_int_t)w->count - accepted));
}

/* The same for worker protocol v1: one job, made. */
static void answer_create(hf_request *r, hf_write *w) {
    const hf_write_item *item = &w->items[0];
    hf_look l;
    hf_job job;
    hf_counters counters;
    if (w->late) {
        answer_late(r);
        return;
    }
    if (item->code == HF_E_REFUSED)
        hf_reply_error(r, 409, "job with ID %s already exists", item->id);
    else if (item->code != HF_OK)
        hf_reply_error(r, hf_code_http_status(item->code), "%s", item->error);
    if (item->code != HF_OK)
        return;
    if (hf_look_at_jobs(r, &l)) {
        bool there = hf_lookup_job(r->http, l.read, hf_str_of(item->id), &l.arena, &job, &l.err) == HF_OK;
        bool counted = hf_http_counters(r->http, &counters, &l.err) == HF_OK;
        int64_t queued = counted ? hf_counter_get(&counters, HF_N_JOBS_STATE, HF_S_QUEUED, 0, 0) : 0;
        hf_reply_json(r, 201,
                      json_pack("{s:s, s:s, s:s, s:I}", "job_id", item->id, "state",
                                there ? hf_state_name((hf_state)job.state) : hf_state_name(HF_S_QUEUED), "message",
                                "Job queued successfully", "queue_position", (json_int_t)queued));
        if (counted)
            hf_counters_done(&counters);
    }
    hf_look_end(&l);
}

static void submit(hf_request *r, void (*answer)(hf_request *, hf_write *)) {
    json_t *json = hf_intake_open(r) ? hf_request_json(r) : NULL;
    bool one = answer == answer_create;
    json_t *list = json && (!one || is_one(r, json)) ? jobs_of(r, json) : NULL;
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_write *w = list ? hf_write_new(r, (uint32_t)json_array_size(list), answer) : NULL;
    if (list && !w)
        hf_reply_error(r, 503, "no memory for the request");
    for (uint32_t i = 0; w && i < w->count; i++) {
        submit_one(w, i, json_array_get(list, i), &arena);
        hf_arena_reset(&arena);
    }
    hf_arena_done(&arena);
    json_decref(list);
    json_decref(json);
    if (w)
        hf_write_begin(w);
}

void hf_handle_jobs_submit(hf_request *r) { submit(r, answer_submit); }
void hf_handle_v1_submit(hf_request *r) { submit(r, answer_v1_submit); }
void hf_handle_job_create(hf_request *r) { submit(r, answer_create); }

/* ---- cancel ---------------------------------------------------------------------------------------------- */
static void cancel_one(hf_write *w, uint32_t index, const char *id, const char *reason, hf_read *read,
                       hf_arena *arena) {
    hf_http *http = w->request->http;
    hf_write_item *item = &w->items[index];
    hf_job job;
    hf_err err;
    snprintf(item->id, sizeof item->id, "%s", id);
    hf_code code = hf_lookup_job(http, read, hf_str_of(id), arena, &job, &err);
    if (code != HF_OK) {
        hf_write_settle(item, code, err.detail);
        return;
    }
    if (hf_state_terminal((hf_state)job.state)) {
        hf_fail(&err, HF_E_CONFLICT, "job %s cannot be cancelled (status: %s)", id,
                hf_state_status((hf_state)job.state));
        hf_write_settle(item, err.code, err.detail);
        return;
    }
    hf_record *record = hf_propose(arena, hf_str_of(item->id), job.attempt, hf_wall_ms(http->clock),
                                   hf_request_proposer(w->request, arena));
    hf_ev_cancel_requested *asked = record ? hf_propose_add(arena, record, HF_EV_CANCEL_REQUESTED) : NULL;
    if (!asked) {
        hf_write_settle(item, HF_E_NO_MEMORY, "no memory for the request");
        return;
    }
    asked->reason = hf_str_of(reason);
    hf_write_put(w, index, record);
}

static void answer_cancel(hf_request *r, hf_write *w) {
    if (w->late) {
        answer_late(r);
        return;
    }
    json_t *cancelled = json_array(), *failed = json_array(), *errors = json_object();
    for (uint32_t i = 0; i < w->count; i++) {
        hf_write_item *item = &w->items[i];
        json_array_append_new(item->code == HF_OK ? cancelled : failed, json_string(item->id));
        if (item->code == HF_E_REFUSED) /* it ended between our look and the fold */
            json_object_set_new(errors, item->id, json_sprintf("job %s cannot be cancelled (status: ended)", item->id));
        else if (item->code != HF_OK)
            json_object_set_new(errors, item->id, json_string(item->error));
    }
    json_t *o = json_pack("{s:o,s:o,s:o}", "cancelled", cancelled, "failed", failed, "timestamp", hf_json_now());
    if (o && json_object_size(errors))
        json_object_set(o, "errors", errors);
    json_decref(errors);
    hf_reply_json(r, 200, o);
}

void hf_handle_jobs_cancel(hf_request *r) {
    json_t *json = hf_request_json(r);
    if (!json)
        return;
    json_t *ids = json_object_get(json, "job_ids");
    const char *reason = json_string_value(json_object_get(json, "reason"));
    size_t n = json_array_size(ids), strings = 0, i;
    json_t *id;
    json_array_foreach(ids, i, id)
        strings += json_is_string(id);
    if (n == 0 || strings != n || n > HF_HTTP_JOBS_PER_SUBMIT || (reason && strlen(reason) > HF_MAX_TEXT)) {
        hf_reply_error(r, 400, "job_ids must be a list of 1 to %d ids; reason at most %d bytes",
                       HF_HTTP_JOBS_PER_SUBMIT, HF_MAX_TEXT);
        json_decref(json);
        return;
    }
    hf_err err;
    hf_read *read = NULL;
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_write *w = hf_write_new(r, (uint32_t)n, answer_cancel);
    if (!w || hf_read_begin(hf_http_store(r->http), &read, &err) != HF_OK) {
        hf_reply_error(r, 503, "the journal cannot be read now: %s", w ? err.detail : "no memory");
    } else {
        json_array_foreach(ids, i, id) {
            cancel_one(w, (uint32_t)i, json_string_value(id), reason ? reason : "", read, &arena);
            hf_arena_reset(&arena);
        }
        hf_read_end(read);
        hf_write_begin(w);
    }
    hf_arena_done(&arena);
    json_decref(json);
}
