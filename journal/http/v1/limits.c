/* /api/v1/limits: what is limited, how many attempts hold a grant, and which; and changing it. A change is a record on `limits`, answered
 * when the journal has folded it. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "schemas/event/json.h"

enum { HOLDERS_SHOWN = 1000 };

static json_t *text(hf_str s) { return json_stringn(s.p ? s.p : "", s.len); }

static json_t *limit_of(const hf_limit_view *v) {
    char at[HF_RFC3339_BYTES];
    hf_str key = v->set.key;
    const char *slash = memchr(key.p, '/', key.len);
    uint32_t kind = slash ? (uint32_t)(slash - key.p) : 0;
    json_t *o = json_pack("{s:s%, s:s%, s:s%, s:I, s:o, s:s}", "key", key.p, (size_t)key.len, "kind", key.p,
                          (size_t)kind, "name", slash ? slash + 1 : "", slash ? (size_t)(key.len - kind - 1) : 0,
                          "in_use", (json_int_t)v->held, "by", text(v->set.by), "at", hf_time_format(v->set.at, at));
    json_object_set_new(o, "max", v->set.max < 0 ? json_null() : json_integer(v->set.max));
    if (v->set.reason.len)
        json_object_set_new(o, "reason", text(v->set.reason));
    if (v->set.origin.len)
        json_object_set_new(o, "origin", text(v->set.origin));
    return o;
}

/* ---- looking -------------------------------------------------------------------------------------------------------- */
static bool list_one(void *ctx, const hf_limit_view *view) { return json_array_append_new(ctx, limit_of(view)) == 0; }

void hf_handle_v1_limits(hf_request *r) {
    hf_look l;
    json_t *items = json_array();
    if (hf_look_at_jobs(r, &l)) {
        if (hf_query_limits(l.read, &r->http->tables, HF_STR_NONE, SIZE_MAX, &l.arena, list_one, items, &l.err) ==
            HF_OK)
            hf_reply_json(r, 200, json_pack("{s:O}", "items", items));
        else
            hf_reply_err(r, &l.err);
    }
    hf_look_end(&l);
    json_decref(items);
}

static bool list_holder(void *ctx, const hf_limit_event *taken, int64_t offset) {
    char at[HF_RFC3339_BYTES];
    return json_array_append_new(ctx, json_pack("{s:o, s:i, s:o, s:s, s:I}", "job_id", text(taken->job_id), "attempt",
                                                (int)taken->attempt, "worker", text(taken->by), "since",
                                                hf_time_format(taken->at, at), "grant", (json_int_t)offset)) == 0;
}

/* "endpoint/vc1" of the path; false: answered. */
static bool key_of(hf_request *r, char key[HF_LIMIT_KEY_MAX + 2]) {
    int len = snprintf(key, HF_LIMIT_KEY_MAX + 2, "%s/%s", r->params[0], r->params[1]);
    if (len > 0 && hf_limit_key_valid((hf_str){key, (uint32_t)len}))
        return true;
    hf_reply_error(r, 400, "a limit is named endpoint/NAME, provider/NAME or tag/NAME, in at most %d bytes",
                   HF_LIMIT_KEY_MAX);
    return false;
}

static void reply_one(hf_request *r, const char *key) {
    hf_look l;
    hf_limit_view view;
    json_t *holders = json_array();
    if (hf_look_at_jobs(r, &l)) {
        hf_code code = hf_query_limit(l.read, &r->http->tables, hf_str_of(key), &l.arena, &view, &l.err);
        json_t *o = code == HF_OK ? limit_of(&view) : NULL;
        if (code == HF_OK)
            code = hf_query_grants(l.read, &r->http->tables, hf_str_of(key), HOLDERS_SHOWN, &l.arena, list_holder,
                                   holders, &l.err);
        if (code == HF_OK) {
            json_object_set(o, "holders", holders);
            hf_reply_json(r, 200, json_incref(o));
        } else
            hf_reply_err(r, &l.err);
        json_decref(o);
    }
    hf_look_end(&l);
    json_decref(holders);
}

void hf_handle_v1_limit(hf_request *r) {
    char key[HF_LIMIT_KEY_MAX + 2];
    if (key_of(r, key))
        reply_one(r, key);
}

/* ---- changing --------------------------------------------------------------------------------------------------------- */
static bool written(hf_request *r, const hf_write *w) {
    hf_err err;
    if (w->late)
        hf_reply_error(r, 504, "the journal did not read the limit within %lld ms; it may still take effect",
                       (long long)r->http->write_wait_ms);
    else if (w->items[0].code != HF_OK) {
        hf_fail(&err, w->items[0].code, "%s", w->items[0].error);
        hf_reply_err(r, &err);
    } else
        return true;
    return false;
}

static void answer_set(hf_request *r, hf_write *w) {
    char key[HF_LIMIT_KEY_MAX + 2];
    if (key_of(r, key) && written(r, w))
        reply_one(r, key);
}

static void answer_removed(hf_request *r, hf_write *w) {
    char key[HF_LIMIT_KEY_MAX + 2];
    if (key_of(r, key) && written(r, w))
        hf_reply_json(r, 200, json_pack("{s:s, s:b}", "key", key, "removed", 1));
}

/* Room for one more, and who may change it. */
static hf_code check(hf_request *r, hf_look *l, hf_str key, bool remove, hf_err *reterr) {
    hf_limit_view view;
    uint64_t count = 0;
    hf_code code = hf_query_limit(l->read, &r->http->tables, key, &l->arena, &view, reterr);
    if (code == HF_OK && hf_str_eqz(view.set.origin, "config") && view.set.max >= 0)
        return hf_fail(reterr, HF_E_CONFLICT,
                       "limit %.*s comes from the configuration of hyperdispatch: change it there", HF_STR_ARG(key));
    if (code != HF_E_NOT_FOUND || remove)
        return code;
    code = hf_read_count(l->read, r->http->tables.of[HF_TB_LIMITS], &count, reterr);
    if (code == HF_OK && count >= HF_LIMITS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "there are %llu limits, and %d are allowed: take some away",
                       (unsigned long long)count, HF_LIMITS_MAX);
    return code;
}

static hf_code put(hf_write *w, const hf_limit_event *event, hf_err *reterr) {
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    hf_code code = hf_encode(w->request->http->options.codec, HF_SCHEMA_LIMIT, event, &out, reterr);
    if (code == HF_OK && !hf_write_put_plain(w, 0, HF_TOPIC_LIMITS, -1, event->key, hf_buf_str(&out),
                                             hf_schema_name(HF_SCHEMA_LIMIT), NULL, 0))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    hf_buf_done(&out);
    return code;
}

static void change(hf_request *r, int32_t max, const char *reason, void (*answer)(hf_request *, hf_write *)) {
    hf_look l;
    hf_write *w = NULL;
    char key[HF_LIMIT_KEY_MAX + 2];
    if (!key_of(r, key))
        return;
    if (hf_look_at_jobs(r, &l)) {
        hf_limit_event e;
        hf_type_init(&HF_TYPE_LIMIT_EVENT, &e);
        e.key = hf_str_of(key);
        e.kind = HF_LIMIT_SET;
        e.max = max;
        e.reason = hf_str_of(reason);
        e.by = hf_request_proposer(r, &l.arena);
        e.at = hf_wall_ms(r->http->clock);
        hf_code code = check(r, &l, e.key, max < 0, &l.err);
        if (code == HF_OK && !(w = hf_write_new(r, 1, answer)))
            code = hf_fail(&l.err, HF_E_NO_MEMORY, "no memory for the request");
        if (code == HF_OK)
            code = put(w, &e, &l.err);
        if (code != HF_OK) {
            w = NULL; /* the request frees it */
            hf_reply_err(r, &l.err);
        }
    }
    hf_look_end(&l);
    if (w)
        hf_write_begin(w);
}

void hf_handle_v1_limit_set(hf_request *r) {
    json_t *body = hf_request_json(r);
    if (!body)
        return;
    const json_t *max = json_object_get(body, "max"), *reason = json_object_get(body, "reason");
    int64_t n = 0;
    if (!hf_json_whole(max, 0, HF_LIMIT_GRANTS_MAX, &n) || json_object_size(body) != (size_t)(reason ? 2 : 1) ||
        (reason && (!json_is_string(reason) || json_string_length(reason) > HF_MAX_TEXT)))
        hf_reply_error(r, 400, "the body must be {\"max\": 0 to %d, \"reason\"?} and nothing else",
                       HF_LIMIT_GRANTS_MAX);
    else
        change(r, (int32_t)n, reason ? json_string_value(reason) : "", answer_set);
    json_decref(body);
}

void hf_handle_v1_limit_remove(hf_request *r) { change(r, -1, "", answer_removed); }
