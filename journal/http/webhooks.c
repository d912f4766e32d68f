/* /webhooks: the older routes, with the shapes they had; headers' values are ***. */
#include "journal/http/webhooks.h"

#include <stdio.h>

#include "schemas/base/mem.h"

/* ---- reading ----------------------------------------------------------------------------------------------- */
static bool list_one(void *ctx, const hf_webhook *webhook, bool unreadable) {
    json_t *o = hf_webhook_json(webhook);
    if (unreadable)
        json_object_set_new(o, "enabled", json_false());
    json_array_append_new(ctx, o);
    return true;
}

/* All of them; NULL: answered. */
static json_t *list(hf_request *r) {
    hf_look l;
    json_t *all = json_array();
    if (hf_look_begin(r, &l)) {
        if (hf_query_webhooks(l.read, &r->http->tables, r->http->options.codec, &l.arena, list_one, all, &l.err) ==
            HF_OK) {
            hf_look_end(&l);
            return all;
        }
        hf_reply_err(r, &l.err);
    }
    hf_look_end(&l);
    json_decref(all);
    return NULL;
}

void hf_handle_webhooks(hf_request *r) {
    json_t *all = list(r);
    if (all)
        hf_reply_json(r, 200,
                      json_pack("{s:o, s:I, s:o}", "webhooks", all, "total", (json_int_t)json_array_size(all),
                                "timestamp", hf_json_now()));
}

/* ---- changing ---------------------------------------------------------------------------------------------- */
static void answer_created(hf_request *r, hf_write *w) {
    hf_look l;
    hf_webhook webhook;
    if (!hf_webhook_written(r, w))
        return;
    if (hf_look_begin(r, &l)) {
        if (hf_query_webhook(l.read, &r->http->tables, r->http->options.codec, hf_str_of(w->items[0].about), &l.arena,
                             &webhook, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        else
            hf_reply_json(r, 201,
                          json_pack("{s:s, s:o, s:o}", "message", "webhook added successfully", "webhook",
                                    hf_webhook_json(&webhook), "timestamp", hf_json_now()));
    }
    hf_look_end(&l);
}

static void answer_deleted(hf_request *r, hf_write *w) {
    if (!hf_webhook_written(r, w))
        return;
    hf_err err;
    if (hf_secrets_writable(r->http->secrets) &&
        hf_secrets_put(r->http->secrets, hf_str_of(w->items[0].about), NULL, &err) != HF_OK)
        hf_reply_err(r, &err);
    else
        hf_reply_json(r, 200, json_pack("{s:s}", "message", "webhook deleted successfully"));
}

void hf_handle_webhook_create(hf_request *r) { hf_webhook_change(r, HF_WEBHOOK_CREATE, HF_STR_NONE, answer_created); }

/* A number of a few digits is a place in the list, from 0; anything else an id. */
void hf_handle_webhook_delete(hf_request *r) {
    char *end = NULL;
    const char *text = r->params[0];
    unsigned long index = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || end - text > 6) {
        hf_webhook_change(r, HF_WEBHOOK_DELETE, hf_str_of(text), answer_deleted);
        return;
    }
    json_t *all = list(r);
    if (!all)
        return;
    const char *id = json_string_value(json_object_get(json_array_get(all, index), "id"));
    if (id)
        hf_webhook_change(r, HF_WEBHOOK_DELETE, hf_str_of(id), answer_deleted);
    else
        hf_reply_error(r, 404, "webhook not found: %s", text);
    json_decref(all);
}

/* ---- trying ------------------------------------------------------------------------------------------------ */
/* {"id"} alone: one that is stored. Anything else is a webhook, used for this once. */
static bool read_trial(hf_request *r, const json_t *body, hf_look *l, hf_webhook *w, hf_webhook_secret *secret) {
    const json_t *id = json_object_get(body, "id");
    hf_intake_errors *lists = hf_arena_alloc(&l->arena, 2 * sizeof *lists);
    hf_str text = {json_string_value(id), (uint32_t)json_string_length(id)};
    *secret = (hf_webhook_secret){0};
    if (!lists) {
        hf_reply_error(r, 503, "no memory for the request");
        return false;
    }
    if (json_is_string(id) && !json_object_get(body, "url")) {
        if (hf_query_webhook(l->read, &r->http->tables, r->http->options.codec, text, &l->arena, w, &l->err) != HF_OK ||
            (r->http->secrets && hf_secrets_refresh(r->http->secrets, NULL, &l->err) != HF_OK)) {
            hf_reply_err(r, &l->err);
            return false;
        }
        hf_secrets_find(r->http->secrets, text, &l->arena, secret);
        return true;
    }
    hf_type_init(&HF_TYPE_WEBHOOK, w);
    w->endpoint_id = HF_STR("trial");
    if (hf_webhook_read(body, HF_WEBHOOK_LENIENT, &l->arena, w, secret, &lists[0], &lists[1], &l->err) != HF_OK)
        hf_reply_err(r, &l->err);
    else if (lists[0].count)
        hf_reply_errors(r, HF_E_INVALID, &lists[0]);
    else
        return true;
    return false;
}

/* Fewer values than names, or a URL that is not whole: what would be tried is not what would be told. */
static bool is_whole(hf_request *r, const hf_webhook *w, const hf_webhook_secret *secret) {
    if (hf_webhook_target(w, secret).len && secret->header_count == w->header_names.count)
        return true;
    hf_reply_error(
        r, 422,
        "webhook %.*s has secrets that this sidecar does not hold: set webhook.secrets_file to the file that "
        "hyperhook reads, or try it with `hyperhook test` there",
        HF_STR_ARG(w->endpoint_id));
    return false;
}

static void try_it(hf_request *r, const json_t *body) {
    hf_look l;
    hf_webhook w;
    hf_webhook_secret secret;
    bool ok = false;
    if (hf_look_begin(r, &l))
        ok = read_trial(r, body, &l, &w, &secret) && is_whole(r, &w, &secret);
    if (ok)
        hf_webhook_try(r, &w, &secret);
    hf_look_end(&l);
}

void hf_handle_webhook_test(hf_request *r) {
    json_t *body = hf_request_json(r);
    if (body)
        try_it(r, body);
    json_decref(body);
}

void hf_handle_v1_webhook_test(hf_request *r) {
    json_t *body = json_pack("{s:s}", "id", r->params[0]);
    if (body)
        try_it(r, body);
    else
        hf_reply_error(r, 503, "no memory for the request");
    json_decref(body);
}
