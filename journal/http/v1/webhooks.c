/* /api/v1/webhooks: what there is and how it goes; and what changes it. */
#include "journal/http/webhooks.h"

#include <stdio.h>

#include "journal/http/shapes.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

/* ---- the shape --------------------------------------------------------------------------------------------- */
const char *hf_webhook_state(const hf_webhook *w, const hf_tally *tally) {
    if (!w->enabled)
        return w->disabled_reason.len ? "gone" : "disabled";
    return tally->failed_in_row ? "failing" : "ok";
}

static int signs_of(hf_request *r, const hf_webhook *w) {
    hf_webhook_secret secret;
    hf_arena arena;
    hf_arena_init(&arena, HF_SECRETS_ARENA_BYTES);
    int count = hf_secrets_find(r->http->secrets, w->endpoint_id, &arena, &secret) ? (int)secret.secret_count : 0;
    hf_arena_done(&arena);
    return count;
}

json_t *hf_v1_webhook(hf_request *r, hf_read *read, const hf_webhook *w, bool unreadable) {
    hf_tally tally = {.last_outcome = -1};
    size_t waiting = 0;
    hf_query_tally(read, &r->http->tables, w->endpoint_id, &tally, NULL);
    hf_query_undelivered_count(read, &r->http->tables, w->endpoint_id, HF_FAILED_COUNT_MAX, &waiting, NULL);
    json_t *o = hf_webhook_json(w), *counts = json_object();
    if (!o)
        return NULL;
    for (int32_t i = 0; i < HF_DELIVERY_OUTCOME_COUNT; i++)
        json_object_set_new(counts, hf_delivery_outcome_name(i), json_integer(tally.by_outcome[i]));
    json_object_set_new(o, "state", json_string(unreadable ? "unreadable" : hf_webhook_state(w, &tally)));
    json_object_set_new(o, "signed", json_integer(signs_of(r, w)));
    json_object_set_new(o, "deliveries", counts);
    json_object_set_new(o, "failed_waiting", json_integer((json_int_t)waiting));
    json_object_set_new(o, "failed_in_row", json_integer(tally.failed_in_row));
    if (tally.last_at)
        json_object_set_new(o, "last_delivery",
                            json_pack("{s:o, s:s}", "at", hf_shape_time(tally.last_at), "outcome",
                                      hf_delivery_outcome_name((int32_t)tally.last_outcome)));
    return o;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */
typedef struct listing {
    hf_request *r;
    hf_read *read;
    json_t *items;
} listing;

static bool list_one(void *ctx, const hf_webhook *w, bool unreadable) {
    listing *l = ctx;
    json_array_append_new(l->items, hf_v1_webhook(l->r, l->read, w, unreadable));
    return true;
}

void hf_handle_v1_webhooks(hf_request *r) {
    hf_look look;
    listing l = {r, NULL, json_array()};
    if (hf_look_begin(r, &look)) {
        l.read = look.read;
        if (r->http->secrets)
            hf_secrets_refresh(r->http->secrets, NULL, NULL);
        if (hf_query_webhooks(look.read, &r->http->tables, r->http->options.codec, &look.arena, list_one, &l,
                              &look.err))
            hf_reply_err(r, &look.err);
        else
            hf_reply_json(r, 200, json_pack("{s:O}", "items", l.items));
    }
    hf_look_end(&look);
    json_decref(l.items);
}

static void reply_one(hf_request *r, int status, const char *id) {
    hf_look l;
    hf_webhook w;
    if (hf_look_begin(r, &l)) {
        hf_code code =
            hf_query_webhook(l.read, &r->http->tables, r->http->options.codec, hf_str_of(id), &l.arena, &w, &l.err);
        if (code == HF_OK || code == HF_E_RECORD_MALFORMED)
            hf_reply_json(r, status, hf_v1_webhook(r, l.read, &w, code != HF_OK));
        else
            hf_reply_err(r, &l.err);
    }
    hf_look_end(&l);
}

void hf_handle_v1_webhook(hf_request *r) { reply_one(r, 200, r->params[0]); }

/* ---- changing ---------------------------------------------------------------------------------------------- */
static void answer_changed(hf_request *r, hf_write *w) {
    if (hf_webhook_written(r, w))
        reply_one(r, 200, w->items[0].about);
}
static void answer_created(hf_request *r, hf_write *w) {
    if (hf_webhook_written(r, w))
        reply_one(r, 201, w->items[0].about);
}
static void answer_deleted(hf_request *r, hf_write *w) {
    hf_err err;
    if (!hf_webhook_written(r, w))
        return;
    if (hf_secrets_writable(r->http->secrets) &&
        hf_secrets_put(r->http->secrets, hf_str_of(w->items[0].about), NULL, &err) != HF_OK)
        hf_reply_err(r, &err);
    else
        hf_reply_json(r, 200, json_pack("{s:s, s:b}", "id", w->items[0].about, "deleted", 1));
}

#define CHANGE(name, kind, answer)                                                                                     \
    void hf_handle_v1_webhook_##name(hf_request *r) { hf_webhook_change(r, kind, hf_str_of(r->params[0]), answer); }
CHANGE(create, HF_WEBHOOK_CREATE, answer_created)
CHANGE(replace, HF_WEBHOOK_REPLACE, answer_changed)
CHANGE(merge, HF_WEBHOOK_MERGE, answer_changed)
CHANGE(delete, HF_WEBHOOK_DELETE, answer_deleted)
CHANGE(enable, HF_WEBHOOK_ENABLE, answer_changed)
CHANGE(disable, HF_WEBHOOK_DISABLE, answer_changed)
CHANGE(rotate, HF_WEBHOOK_ROTATE, answer_changed)
CHANGE(retire, HF_WEBHOOK_RETIRE, answer_changed)
