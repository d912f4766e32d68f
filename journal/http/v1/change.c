/* What changes jobs: cancel, retry, delete; one, several, or all that a filter takes, with a dry run before. Each is a proposal, answered
 * when it is folded. */
#include <stdio.h>

#include "journal/http/controls.h"
#include "journal/http/v1/v1.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/job/intake.h"
#include "schemas/job/propose.h"

typedef enum change { CANCEL, RETRY, DELETE } change;

/* What was asked for. */
typedef struct request_of {
    change change;
    const char *reason;
    bool dry_run;
    size_t limit;
} request_of;

static const char *const participles[] = {"cancelled", "retried", "deleted"};

/* Whether the job's state allows it: what the fold will say, said before. */
static hf_code check(const request_of *q, const hf_job *job, hf_err *reterr) {
    bool over = hf_state_terminal((hf_state)job->state);
    if (over == (q->change != CANCEL))
        return HF_OK;
    return hf_fail(reterr, HF_E_CONFLICT, "job %.*s cannot be %s (status: %s)%s", HF_STR_ARG(job->id),
                   participles[q->change], hf_state_status((hf_state)job->state),
                   q->change == DELETE ? ": cancel it first" : "");
}

/* ---- proposals ------------------------------------------------------------------------------------------------ */
static hf_record *propose_end(hf_request *r, const request_of *q, const hf_job *job, hf_str id, hf_arena *arena) {
    hf_record *record = hf_propose(arena, id, job->attempt, hf_wall_ms(r->http->clock), hf_request_proposer(r, arena));
    if (q->change == CANCEL) {
        hf_ev_cancel_requested *asked = record ? hf_propose_add(arena, record, HF_EV_CANCEL_REQUESTED) : NULL;
        if (asked)
            asked->reason = hf_str_of(q->reason);
        return asked ? record : NULL;
    }
    hf_ev_deleted *deleted = record ? hf_propose_add(arena, record, HF_EV_DELETED) : NULL;
    if (deleted)
        deleted->reason = hf_str_of(q->reason);
    return deleted ? record : NULL;
}

/* A new job with the old one's spec; its origin says which that was. */
static hf_code propose_retry(hf_request *r, const hf_job *job, hf_arena *arena, char id[HF_UUID_BYTES], hf_record *ret,
                             hf_err *reterr) {
    hf_submission again = {.spec = *job->spec, .submitted_at = hf_wall_ms(r->http->clock)};
    hf_id_new(r->http->clock, hf_random_system(), id);
    again.job_id = hf_str_of(id);
    again.spec.origin = hf_str_of(hf_arena_printf(arena, "retry-of:%.*s", HF_STR_ARG(job->id)));
    return hf_intake(&again, again.job_id, HF_STR_NONE, hf_request_proposer(r, arena), again.submitted_at, arena, ret,
                     NULL, reterr);
}

static void put_one(hf_write *w, uint32_t index, const request_of *q, const hf_job *job, hf_arena *arena) {
    hf_write_item *item = &w->items[index];
    hf_record made, *record = &made;
    char id[HF_UUID_BYTES];
    hf_err err;
    snprintf(item->about, sizeof item->about, "%.*s", HF_STR_ARG(job->id));
    memcpy(item->id, item->about, sizeof item->id);
    hf_code code = check(q, job, &err);
    if (code == HF_OK && q->change == RETRY) {
        code = propose_retry(w->request, job, arena, id, &made, &err);
        snprintf(item->id, sizeof item->id, "%s", id);
    } else if (code == HF_OK && !(record = propose_end(w->request, q, job, hf_str_of(item->id), arena)))
        code = hf_fail(&err, HF_E_NO_MEMORY, "no memory for the request");
    if (code == HF_OK)
        hf_write_put(w, index, record);
    else
        hf_write_settle(item, code, err.detail);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */
static void answer_late(hf_request *r) {
    hf_reply_error(
        r, 504,
        "the journal did not fold the request within %lld ms; it may still take effect: look before asking again",
        (long long)r->http->write_wait_ms);
}

static const char *why(const hf_write_item *item) {
    return item->code == HF_E_REFUSED ? "it ended, or was changed, a moment before" : item->error;
}

static void answer_one(hf_request *r, hf_write *w) {
    const hf_write_item *item = &w->items[0];
    if (w->late) {
        answer_late(r);
        return;
    }
    if (item->code != HF_OK) {
        hf_err err;
        hf_fail(&err, item->code, "%s", why(item));
        hf_reply_err(r, &err);
        return;
    }
    json_t *o = json_pack("{s:s}", "job_id", item->about);
    if (strcmp(item->id, item->about) != 0)
        json_object_set_new(o, "new_job_id", json_string(item->id));
    hf_reply_json(r, 200, o);
}

static void answer_many(hf_request *r, hf_write *w) {
    if (w->late) {
        answer_late(r);
        return;
    }
    json_t *done = json_array(), *failed = json_object(), *new_ids = json_object();
    for (uint32_t i = 0; i < w->count; i++) {
        const hf_write_item *item = &w->items[i];
        if (item->code != HF_OK) {
            json_object_set_new(failed, item->about, json_string(why(item)));
            continue;
        }
        json_array_append_new(done, json_string(item->about));
        if (strcmp(item->id, item->about) != 0)
            json_object_set_new(new_ids, item->about, json_string(item->id));
    }
    json_t *o = json_pack("{s:b, s:I, s:o, s:o}", "dry_run", 0, "matched", (json_int_t)w->count, "changed", done,
                          "failed", failed);
    if (json_object_size(new_ids))
        json_object_set(o, "new_job_ids", new_ids);
    json_decref(new_ids);
    hf_reply_json(r, 200, o);
}

/* ---- one job --------------------------------------------------------------------------------------------------------- */
static void change_one(hf_request *r, change what) {
    hf_look l;
    hf_job job;
    request_of q = {.change = what};
    hf_write *w = NULL;
    json_t *body = what != RETRY || hf_intake_open(r) ? hf_v1_reason(r, &q.reason) : NULL;
    if (!body)
        return;
    if (hf_look_begin(r, &l) && hf_look_job(r, &l, &job)) {
        if ((w = hf_write_new(r, 1, answer_one)) != NULL)
            put_one(w, 0, &q, &job, &l.arena);
        else
            hf_reply_error(r, 503, "no memory for the request");
    }
    hf_look_end(&l);
    json_decref(body);
    if (w)
        hf_write_begin(w);
}

void hf_handle_v1_job_cancel(hf_request *r) { change_one(r, CANCEL); }
void hf_handle_v1_job_retry(hf_request *r) { change_one(r, RETRY); }
void hf_handle_v1_job_delete(hf_request *r) { change_one(r, DELETE); }

/* ---- many ------------------------------------------------------------------------------------------------------------------ */
typedef struct gathering {
    json_t *ids;
    const request_of *q;
} gathering;

static bool gather(void *ctx, const hf_job *job) {
    gathering *g = ctx;
    hf_err none;
    if (check(g->q, job, &none) == HF_OK)
        json_array_append_new(g->ids, json_stringn(job->id.p, job->id.len));
    return json_array_size(g->ids) < g->q->limit;
}

/* The ids of all jobs that the filter takes and whose state allows the change, oldest first, at most q->limit. */
static hf_code gather_all(hf_request *r, const hf_job_filter *filter, const request_of *q, json_t *ids,
                          hf_err *reterr) {
    hf_look l = {0};
    hf_page page = {.sort = HF_SORT_CREATED_UP, .limit = SIZE_MAX};
    char cursor[HF_PAGE_CURSOR_BYTES] = "";
    gathering g = {.ids = ids, .q = q};
    hf_arena_init(&l.arena, HF_V1_ARENA_BYTES);
    hf_code code = hf_read_begin(hf_http_store(r->http), &l.read, reterr);
    do {
        page.cursor = hf_str_of(cursor);
        if (code == HF_OK)
            code = hf_query_page(l.read, &r->http->tables, filter, &page, &l.arena, gather, &g, reterr);
        memcpy(cursor, page.next, sizeof cursor);
    } while (code == HF_OK && *cursor && json_array_size(ids) < q->limit);
    hf_read_end(l.read);
    hf_arena_done(&l.arena);
    return code;
}

static hf_write *write_many(hf_request *r, const json_t *ids, const request_of *q) {
    hf_look l;
    size_t i;
    json_t *id;
    hf_write *w = hf_write_new(r, (uint32_t)json_array_size(ids), answer_many);
    if (!w || !hf_look_begin(r, &l)) {
        if (!w)
            hf_reply_error(r, 503, "no memory for the request");
        else
            hf_look_end(&l);
        return NULL;
    }
    json_array_foreach(ids, i, id) {
        hf_job job;
        hf_write_item *item = &w->items[i];
        hf_str text = hf_str_of(json_string_value(id));
        hf_arena_reset(&l.arena);
        snprintf(item->about, sizeof item->about, "%.*s", HF_STR_ARG(text));
        if (hf_lookup_job(r->http, l.read, text, &l.arena, &job, &l.err) == HF_OK)
            put_one(w, (uint32_t)i, q, &job, &l.arena);
        else
            hf_write_settle(item, l.err.code, l.err.detail);
    }
    hf_look_end(&l);
    return w;
}

static hf_code read_options(const json_t *body, request_of *q, hf_err *reterr) {
    const json_t *reason = json_object_get(body, "reason"), *dry_run = json_object_get(body, "dry_run"),
                 *limit = json_object_get(body, "limit");
    static const char *const known[] = {"ids", "filter", "reason", "dry_run", "limit"};
    const char *name;
    json_t *value;
    if (!json_is_object(body))
        return hf_fail(reterr, HF_E_INVALID, "the body must be an object with `ids` or `filter`");
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        bool ok = false;
        for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
            ok |= strcmp(known[i], name) == 0;
        if (!ok)
            return hf_fail(reterr, HF_E_INVALID, "the body has no %.64s; there are ids, filter, reason, dry_run, limit",
                           name);
    }
    if (reason && (!json_is_string(reason) || json_string_length(reason) > HF_MAX_TEXT))
        return hf_fail(reterr, HF_E_INVALID, "reason must be a text of at most %d bytes", HF_MAX_TEXT);
    if (dry_run && !json_is_boolean(dry_run))
        return hf_fail(reterr, HF_E_INVALID, "dry_run is true or false");
    int64_t n = HF_HTTP_JOBS_PER_SUBMIT;
    if (limit && !hf_json_whole(limit, 1, HF_HTTP_JOBS_PER_SUBMIT, &n))
        return hf_fail(reterr, HF_E_INVALID, "limit must be 1 to %d", HF_HTTP_JOBS_PER_SUBMIT);
    q->reason = reason ? json_string_value(reason) : "";
    q->dry_run = json_is_true(dry_run);
    q->limit = (size_t)n;
    return HF_OK;
}

/* The ids asked for, as a new array. */
static hf_code read_ids(hf_request *r, const json_t *body, const request_of *q, json_t **ret, hf_err *reterr) {
    const json_t *ids = json_object_get(body, "ids"), *filter = json_object_get(body, "filter");
    size_t i;
    json_t *id;
    hf_job_filter f;
    if (!ids == !filter)
        return hf_fail(reterr, HF_E_INVALID, "give either `ids` or `filter`: {} is all jobs");
    if (filter) {
        hf_code code = hf_v1_filter_of_json(filter, hf_wall_ms(r->http->clock), &f, reterr);
        *ret = json_array();
        return code == HF_OK ? gather_all(r, &f, q, *ret, reterr) : code;
    }
    if (!json_is_array(ids) || json_array_size(ids) == 0 || json_array_size(ids) > q->limit)
        return hf_fail(reterr, HF_E_INVALID, "ids must be a list of 1 to %zu ids", q->limit);
    json_array_foreach(ids, i, id)
        if (!json_is_string(id) || !hf_id_valid((hf_str){json_string_value(id), (uint32_t)json_string_length(id)}))
            return hf_fail(reterr, HF_E_INVALID, "ids: item %zu is not an id", i + 1);
    *ret = json_copy((json_t *)(uintptr_t)ids);
    return HF_OK;
}

static void change_many(hf_request *r, change what) {
    request_of q = {.change = what};
    hf_err err;
    json_t *body = what != RETRY || hf_intake_open(r) ? hf_request_json(r) : NULL, *ids = NULL;
    hf_write *w = NULL;
    if (!body)
        return;
    hf_code code = read_options(body, &q, &err);
    if (code == HF_OK)
        code = read_ids(r, body, &q, &ids, &err);
    if (code != HF_OK)
        hf_reply_err(r, &err);
    else if (q.dry_run || json_array_size(ids) == 0)
        hf_reply_json(r, 200,
                      json_pack("{s:b, s:I, s:O, s:{}}", "dry_run", (int)q.dry_run, "matched",
                                (json_int_t)json_array_size(ids), "changed", ids, "failed"));
    else
        w = write_many(r, ids, &q);
    json_decref(ids);
    json_decref(body);
    if (w)
        hf_write_begin(w);
}

void hf_handle_v1_jobs_cancel(hf_request *r) { change_many(r, CANCEL); }
void hf_handle_v1_jobs_retry(hf_request *r) { change_many(r, RETRY); }
void hf_handle_v1_jobs_delete(hf_request *r) { change_many(r, DELETE); }
