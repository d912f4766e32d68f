/* Deliveries of a webhook: attempts by pages, and telling failed events again. A replay is a record on webhook-deliveries, so every hook
 * and every journal sees it, and who asked. */
#include <stdio.h>

#include "journal/http/webhooks.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { REPLAY_DEFAULT = 1000, IDS_MAX = 1000, ID_BYTES = 64 };

/* False: answered. The webhook need not be readable. */
static bool exists(hf_request *r, hf_look *l) {
    hf_str value;
    hf_code code = *r->params[0] ? hf_read_get(l->read, r->http->tables.of[HF_TB_WEBHOOKS], hf_str_of(r->params[0]),
                                               &value, &l->err)
                                 : HF_E_NOT_FOUND;
    if (code == HF_E_NOT_FOUND)
        hf_reply_error(r, 404, "webhook not found: %s", r->params[0]);
    else if (code != HF_OK)
        hf_reply_err(r, &l->err);
    return code == HF_OK;
}

/* ---- the list ---------------------------------------------------------------------------------------------- */
static bool list_one(void *ctx, hf_position position, const hf_delivery *d) {
    json_t *o = hf_json_of(&HF_TYPE_DELIVERY, d, 0);
    json_object_set_new(o, "partition", json_integer(position.partition));
    json_object_set_new(o, "offset", json_integer(position.offset));
    json_array_append_new(ctx, o);
    return true;
}

static bool read_list(hf_request *r, uint32_t *ret_outcomes, uint64_t *ret_before) {
    const char *outcome = hf_request_text(r, HF_P_OUTCOME), *cursor = hf_request_text(r, HF_P_CURSOR);
    int32_t which = 0;
    char *end = NULL;
    *ret_outcomes = 0;
    *ret_before = cursor ? strtoull(cursor, &end, 16) : 0;
    if (cursor && (end == cursor || *end || strlen(cursor) > 16 || *ret_before == 0))
        hf_reply_error(r, 400, "cursor is not one that a page ended with");
    else if (outcome && !hf_delivery_outcome_from_name(hf_str_of(outcome), &which))
        hf_reply_error(r, 400, "outcome is delivered, retrying, failed, disabled, refused or replay");
    else {
        *ret_outcomes = outcome ? 1u << which : 0;
        return true;
    }
    return false;
}

void hf_handle_v1_webhook_deliveries(hf_request *r) {
    hf_look l;
    hf_arena arena;
    uint32_t outcomes;
    uint64_t before, next;
    json_t *items = json_array();
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    if (read_list(r, &outcomes, &before)) {
        if (hf_look_begin(r, &l) && exists(r, &l)) {
            if (hf_query_deliveries(hf_http_store(r->http), l.read, &r->http->tables, r->http->options.codec,
                                    hf_str_of(r->params[0]), outcomes, before,
                                    (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT), &arena, list_one, items,
                                    &next, &l.err) != HF_OK)
                hf_reply_err(r, &l.err);
            else {
                json_t *o = json_pack("{s:O}", "items", items);
                if (next)
                    json_object_set_new(o, "next_cursor", json_sprintf("%llx", (unsigned long long)next));
                hf_reply_json(r, 200, o);
            }
        }
        hf_look_end(&l);
    }
    hf_arena_done(&arena);
    json_decref(items);
}

/* ---- replay ------------------------------------------------------------------------------------------------ */
typedef struct replay {
    hf_request *r;
    const json_t *ids;    /* NULL: all */
    int64_t since, until; /* of the record that says it failed; 0: no bound */
    bool dry_run, more;
    size_t limit, count;
    hf_arena *arena; /* of the chosen */
    hf_delivery *chosen;
    bool short_of_memory;
} replay;

static bool read_time(hf_request *r, const json_t *body, const char *name, hf_param param, int64_t *ret) {
    const json_t *value = json_object_get(body, name);
    hf_param_value read = {0};
    hf_err err;
    if (!value)
        return true;
    if (!json_is_string(value) ||
        hf_param_read(param, json_string_value(value), hf_wall_ms(r->http->clock), &read, &err) != HF_OK) {
        hf_reply_error(r, 400, "%s must be a time (RFC 3339) or so long ago (15m, 24h, 7d)", name);
        return false;
    }
    *ret = read.number;
    return true;
}

static bool read_ids(hf_request *r, const json_t *ids) {
    const json_t *item;
    size_t i;
    bool ok = !ids || (json_is_array(ids) && json_array_size(ids) >= 1 && json_array_size(ids) <= IDS_MAX);
    json_array_foreach(ids, i, item)
        ok &= json_is_string(item) && json_string_length(item) <= ID_BYTES;
    if (!ok)
        hf_reply_error(r, 400, "delivery_ids must be a list of 1 to %d ids (webhook-id) of at most %d bytes", IDS_MAX,
                       ID_BYTES);
    return ok;
}

/* What the body may say; false: answered. An empty body is all. */
static bool read_replay(hf_request *r, const json_t *body, replay *ret) {
    static const char *const known[] = {"delivery_ids", "since", "until", "dry_run", "limit"};
    const json_t *dry = json_object_get(body, "dry_run"), *limit = json_object_get(body, "limit");
    const char *name;
    json_t *value;
    *ret = (replay){.r = r, .ids = json_object_get(body, "delivery_ids")};
    if (!json_is_object(body)) {
        hf_reply_error(r, 400, "the body must be an object with some of: delivery_ids since until dry_run limit");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)body, name, value) {
        bool found = false;
        for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
            found |= strcmp(name, known[i]) == 0;
        if (!found) {
            hf_reply_error(r, 400, "there is no %.64s; there are delivery_ids since until dry_run limit", name);
            return false;
        }
    }
    int64_t most = REPLAY_DEFAULT;
    if ((dry && !json_is_boolean(dry)) || (limit && !hf_json_whole(limit, 1, HF_HTTP_JOBS_PER_SUBMIT, &most))) {
        hf_reply_error(r, 400, "dry_run is true or false, limit 1 to %d", HF_HTTP_JOBS_PER_SUBMIT);
        return false;
    }
    ret->dry_run = json_is_true(dry);
    ret->limit = (size_t)most;
    return read_ids(r, ret->ids) && read_time(r, body, "since", HF_P_SINCE, &ret->since) &&
           read_time(r, body, "until", HF_P_UNTIL, &ret->until);
}

static bool is_chosen(const replay *q, const hf_delivery *d) {
    const json_t *item;
    size_t i;
    if ((q->since && d->at < q->since) || (q->until && d->at >= q->until))
        return false;
    json_array_foreach(q->ids, i, item)
        if (hf_str_eqz(d->delivery_id, json_string_value(item)))
            return true;
    return !q->ids;
}

static bool choose(void *ctx, hf_position position, const hf_delivery *d) {
    replay *q = ctx;
    (void)position;
    if (!is_chosen(q, d))
        return true;
    if (q->count == q->limit) {
        q->more = true;
        return false;
    }
    const hf_delivery *kept = hf_type_copy(&HF_TYPE_DELIVERY, d, q->arena);
    q->short_of_memory = !kept;
    if (kept)
        q->chosen[q->count++] = *kept;
    return kept != NULL;
}

static json_t *outcome_of(const replay *q, size_t replayed, size_t failed) {
    return json_pack("{s:I, s:I, s:I, s:b, s:b}", "matched", (json_int_t)q->count, "replayed", (json_int_t)replayed,
                     "failed", (json_int_t)failed, "dry_run", (int)q->dry_run, "more", (int)q->more);
}

static void answer(hf_request *r, hf_write *w) {
    size_t done = 0;
    if (w->late) {
        hf_reply_error(r, 504, "not folded within %lld ms; it may still take effect: look before asking again",
                       (long long)r->http->write_wait_ms);
        return;
    }
    for (uint32_t i = 0; i < w->count; i++)
        done += w->items[i].code == HF_OK;
    if (done == 0 && w->count) {
        hf_err err;
        hf_fail(&err, w->items[0].code, "%s", w->items[0].error);
        hf_reply_err(r, &err);
        return;
    }
    replay q = {.count = w->count, .more = *w->items[0].id != 0};
    hf_reply_json(r, 200, outcome_of(&q, done, w->count - done));
}

static bool put(replay *q, hf_write *w, uint32_t i, hf_str by) {
    const hf_delivery *d = &q->chosen[i];
    const hf_delivery again = {.endpoint = hf_str_of(q->r->params[0]),
                               .delivery_id = d->delivery_id,
                               .event = d->event,
                               .job_id = d->job_id,
                               .event_partition = d->event_partition,
                               .event_offset = d->event_offset,
                               .outcome = HF_DELIVERY_REPLAY,
                               .at = hf_wall_ms(q->r->http->clock),
                               .by = by};
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    bool ok =
        hf_encode(q->r->http->options.codec, HF_SCHEMA_DELIVERY, &again, &out, NULL) == HF_OK &&
        hf_write_put_plain(w, i, HF_TOPIC_DELIVERIES, -1, again.endpoint, hf_buf_str(&out), "WebhookDelivery", NULL, 0);
    hf_buf_done(&out);
    return ok;
}

static hf_write *write_of(replay *q) {
    hf_write *w = hf_write_new(q->r, (uint32_t)q->count, answer);
    hf_str by = hf_request_proposer(q->r, q->arena);
    bool ok = w != NULL;
    for (uint32_t i = 0; ok && i < q->count; i++)
        ok = put(q, w, i, by);
    if (!ok)
        hf_reply_error(q->r, 503, "no memory for the request");
    else if (q->more)
        memcpy(w->items[0].id, "more", 5);
    return ok ? w : NULL;
}

/* NULL: answered. */
static hf_write *work_out(replay *q, hf_look *l) {
    hf_arena each;
    q->arena = &l->arena;
    q->chosen = hf_arena_alloc(q->arena, q->limit * sizeof *q->chosen);
    hf_arena_init(&each, HF_DECODE_ARENA_BYTES);
    hf_code code = q->chosen ? hf_query_undelivered(hf_http_store(q->r->http), l->read, &q->r->http->tables,
                                                    q->r->http->options.codec, hf_str_of(q->r->params[0]), SIZE_MAX,
                                                    &each, choose, q, &l->err)
                             : hf_fail(&l->err, HF_E_NO_MEMORY, "no memory for the request");
    hf_arena_done(&each);
    if (code == HF_OK && q->short_of_memory)
        code = hf_fail(&l->err, HF_E_LIMIT, "too many at once: give a smaller limit");
    if (code != HF_OK)
        hf_reply_err(q->r, &l->err);
    else if (q->dry_run || q->count == 0)
        hf_reply_json(q->r, 200, outcome_of(q, 0, 0));
    else
        return write_of(q);
    return NULL;
}

void hf_handle_v1_webhook_replay(hf_request *r) {
    hf_look l;
    replay q;
    hf_write *w = NULL;
    json_t *body = r->body.len ? hf_request_json(r) : json_object();
    if (body && read_replay(r, body, &q)) {
        if (hf_look_begin(r, &l) && exists(r, &l))
            w = work_out(&q, &l);
        hf_look_end(&l);
    }
    json_decref(body);
    if (w)
        hf_write_begin(w);
}
