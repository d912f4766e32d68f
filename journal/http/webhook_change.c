/* Changing a webhook: read it, make the new one, store what of it is secret, write its record, under a guard. */
#include "journal/http/webhooks.h"

#include <stdio.h>

#include "schemas/base/mem.h"

typedef struct change {
    hf_request *request;
    hf_webhook_change_kind kind;
    const json_t *body; /* NULL: none is taken */
    hf_str id;
    hf_look look;
    hf_guard *guard;
    bool exists, unchanged;
    hf_webhook webhook;            /* as it is, then as it shall be */
    hf_webhook_secret was, secret; /* what the store has; shall have */
} change;

static bool takes_body(hf_webhook_change_kind kind) {
    return kind == HF_WEBHOOK_CREATE || kind == HF_WEBHOOK_REPLACE || kind == HF_WEBHOOK_MERGE ||
           kind == HF_WEBHOOK_ROTATE;
}

/* ---- what is there ----------------------------------------------------------------------------------------- */
static hf_code look_up(change *c, hf_err *reterr) {
    hf_http *http = c->request->http;
    hf_code code = c->id.len ? hf_query_webhook(c->look.read, &http->tables, http->options.codec, c->id, &c->look.arena,
                                                &c->webhook, reterr)
                             : HF_E_NOT_FOUND;
    bool broken = code == HF_E_RECORD_MALFORMED && (c->kind == HF_WEBHOOK_DELETE || c->kind == HF_WEBHOOK_REPLACE);
    c->exists = code == HF_OK || broken;
    if (code != HF_OK && code != HF_E_NOT_FOUND && !broken)
        return code;
    if (!c->exists || broken)
        hf_type_init(&HF_TYPE_WEBHOOK, &c->webhook);
    code = http->secrets ? hf_secrets_refresh(http->secrets, NULL, reterr) : HF_OK;
    if (code == HF_OK && !hf_secrets_find(http->secrets, c->id, &c->look.arena, &c->was))
        c->was = (hf_webhook_secret){0};
    c->secret = c->was;
    return code;
}

static hf_code is_allowed(const change *c, hf_err *reterr) {
    bool content = c->kind != HF_WEBHOOK_ENABLE && c->kind != HF_WEBHOOK_DISABLE;
    if (c->kind == HF_WEBHOOK_CREATE && c->exists)
        return hf_fail(reterr, HF_E_EXISTS, "webhook with ID %.*s already exists", HF_STR_ARG(c->id));
    if (c->kind != HF_WEBHOOK_CREATE && c->kind != HF_WEBHOOK_REPLACE && !c->exists)
        return hf_fail(reterr, HF_E_NOT_FOUND, "webhook not found: %.*s", HF_STR_ARG(c->id));
    if (content && c->exists && hf_str_eqz(c->webhook.origin, "config"))
        return hf_fail(reterr, HF_E_CONFLICT,
                       "webhook %.*s comes from the configuration of hyperhook: change it there, or disable it",
                       HF_STR_ARG(c->id));
    return HF_OK;
}

static hf_code is_room(change *c, hf_err *reterr) {
    uint64_t count = 0;
    hf_code code =
        c->exists ? HF_OK : hf_read_count(c->look.read, c->request->http->tables.of[HF_TB_WEBHOOKS], &count, reterr);
    if (code == HF_OK && count >= HF_WEBHOOKS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the fleet has %llu webhooks, the limit is %d: delete some",
                       (unsigned long long)count, HF_WEBHOOKS_MAX);
    return code;
}

/* ---- what shall be ----------------------------------------------------------------------------------------- */
/* What happened before it was made is not its business. */
typedef struct offsets {
    hf_position *at;
    uint32_t count;
} offsets;
static bool note_offset(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    offsets *o = ctx;
    if (topic == HF_TOPIC_JOB_EVENTS && o->count < HF_WEBHOOK_PARTITIONS_MAX)
        o->at[o->count++] = (hf_position){partition, next};
    return true;
}

static hf_code begins_now(change *c, hf_err *reterr) {
    offsets o = {hf_arena_alloc(&c->look.arena, HF_WEBHOOK_PARTITIONS_MAX * sizeof *o.at), 0};
    hf_code code = o.at ? hf_query_offsets(c->look.read, &c->request->http->tables, note_offset, &o, reterr)
                        : hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    c->webhook.from = (hf_list){o.at, o.count};
    return code;
}

static bool read_webhook(change *c) {
    hf_webhook *w = &c->webhook;
    hf_intake_errors *lists = hf_arena_alloc(&c->look.arena, 2 * sizeof *lists);
    hf_webhook before = *w;
    if (!lists) {
        hf_reply_error(c->request, 503, "no memory for the request");
        return false;
    }
    if (c->kind != HF_WEBHOOK_MERGE) {
        hf_type_init(&HF_TYPE_WEBHOOK, w);
        w->url = before.url; /* what its *** stands for is known */
        w->created_at = before.created_at;
        w->from = before.from;
        if (!json_object_get(c->body, "url"))
            w->url = c->secret.url = HF_STR_NONE;
        if (!json_object_get(c->body, "headers"))
            c->secret.header_count = 0;
    }
    w->endpoint_id = c->id;
    if (hf_webhook_read(c->body, c->request->v1 ? 0 : HF_WEBHOOK_LENIENT, &c->look.arena, w, &c->secret, &lists[0],
                        &lists[1], &c->look.err) != HF_OK)
        hf_reply_err(c->request, &c->look.err);
    else if (lists[0].count)
        hf_reply_errors(c->request, HF_E_INVALID, &lists[0]);
    else
        return true;
    return false;
}

/* The body's secret becomes the newest. */
static bool read_rotation(change *c) {
    const json_t *secret = json_object_get(c->body, "secret");
    hf_str text = {json_string_value(secret), (uint32_t)json_string_length(secret)};
    hf_signing_key key;
    hf_err err;
    if (!json_is_string(secret) || json_object_size(c->body) != 1)
        hf_reply_error(c->request, 400, "the body must be {\"secret\": \"whsec_...\"}");
    else if (hf_signing_key_parse(text, &key, &err) != HF_OK)
        hf_reply_error(c->request, 400, "secret: %s", err.detail);
    else if (c->secret.secret_count == HF_SIGNING_KEYS_MAX)
        hf_reply_error(c->request, 409,
                       "webhook %.*s has %d secrets already, the most there may be: retire the old ones",
                       HF_STR_ARG(c->id), HF_SIGNING_KEYS_MAX);
    else {
        hf_signing_key_wipe(&key);
        memmove(&c->secret.secrets[1], &c->secret.secrets[0], c->secret.secret_count * sizeof(hf_str));
        c->secret.secrets[0] = text;
        c->secret.secret_count++;
        return true;
    }
    return false;
}

/* False: answered. */
static bool make(change *c) {
    int64_t now = hf_wall_ms(c->request->http->clock);
    hf_webhook *w = &c->webhook;
    bool on = c->kind == HF_WEBHOOK_ENABLE;
    if (c->kind == HF_WEBHOOK_ROTATE ? !read_rotation(c) : c->body && !read_webhook(c))
        return false;
    if (c->kind == HF_WEBHOOK_RETIRE && c->secret.secret_count > 1)
        c->secret.secret_count = 1;
    if (on || c->kind == HF_WEBHOOK_DISABLE) {
        c->unchanged = w->enabled == on && !(on && w->disabled_reason.len);
        w->enabled = on;
        w->disabled_reason = HF_STR_NONE;
    }
    if (!c->exists) {
        w->created_at = now;
        if (begins_now(c, &c->look.err) != HF_OK) {
            hf_reply_err(c->request, &c->look.err);
            return false;
        }
    }
    if (w->enabled)
        w->disabled_reason = HF_STR_NONE;
    w->endpoint_id = c->id;
    w->updated_at = now;
    if (c->kind != HF_WEBHOOK_ENABLE && c->kind != HF_WEBHOOK_DISABLE)
        w->origin = HF_STR("api");
    w->by = hf_request_proposer(c->request, &c->look.arena);
    return true;
}

/* ---- what is secret ---------------------------------------------------------------------------------------- */
static bool same_secret(const hf_webhook_secret *a, const hf_webhook_secret *b) {
    bool same = hf_str_eq(a->url, b->url) && a->secret_count == b->secret_count && a->header_count == b->header_count;
    for (uint32_t i = 0; same && i < a->secret_count; i++)
        same = hf_str_eq(a->secrets[i], b->secrets[i]);
    for (uint32_t i = 0; same && i < a->header_count; i++)
        same = hf_str_eq(a->headers[i].name, b->headers[i].name) && hf_str_eq(a->headers[i].value, b->headers[i].value);
    return same;
}

/* Before the record: whoever reads the record finds them. Not on a DELETE: the store forgets once the record is gone. */
static bool store(change *c) {
    if (c->kind == HF_WEBHOOK_DELETE || same_secret(&c->was, &c->secret))
        return true;
    if (!c->request->http->secrets)
        hf_fail(
            &c->look.err, HF_E_UNSUPPORTED,
            "this webhook has a secret (a header's value, a signing secret, or a URL that is one), and this sidecar has "
            "no place for it: set webhook.secrets_file for it and for hyperhook, or add the webhook to the `webhooks:` of "
            "hyperhook's configuration");
    else if (hf_secrets_put(c->request->http->secrets, c->id, &c->secret, &c->look.err) == HF_OK)
        return true;
    hf_reply_err(c->request, &c->look.err);
    return false;
}

/* ---- the record -------------------------------------------------------------------------------------------- */
static bool put(change *c, hf_write *w) {
    hf_buf out;
    hf_str value = HF_STR_NONE;
    hf_code code = HF_OK;
    /* A tombstone has no member that says who. */
    const hf_header headers[] = {{HF_STR("hf-by"), hf_request_proposer(c->request, &c->look.arena)},
                                 {HF_STR("traceparent"), hf_str_of(w->traceparent)}};
    hf_buf_init(&out, HF_MAX_RECORD);
    if (c->kind != HF_WEBHOOK_DELETE) {
        code = hf_encode(c->request->http->options.codec, HF_SCHEMA_WEBHOOK, &c->webhook, &out, &c->look.err);
        value = hf_buf_str(&out);
    }
    bool ok = code == HF_OK && hf_write_put_plain(w, 0, HF_TOPIC_WEBHOOKS, -1, c->id, value, "Webhook", headers,
                                                  *w->traceparent ? 2 : 1);
    hf_buf_done(&out);
    if (code != HF_OK)
        hf_reply_err(c->request, &c->look.err);
    else if (!ok)
        hf_reply_error(c->request, 503, "no memory for the request");
    return ok;
}

/* Under the guard and within one look. NULL: answered. */
static hf_write *work_out(change *c, void (*answer)(hf_request *, hf_write *)) {
    hf_err *err = &c->look.err;
    if (look_up(c, err) != HF_OK || is_allowed(c, err) != HF_OK || is_room(c, err) != HF_OK) {
        hf_reply_err(c->request, err);
        return NULL;
    }
    if (!make(c) || !store(c))
        return NULL;
    hf_write *w = hf_write_new(c->request, 1, answer);
    if (!w) {
        hf_reply_error(c->request, 503, "no memory for the request");
        return NULL;
    }
    snprintf(w->items[0].about, sizeof w->items[0].about, "%.*s", HF_STR_ARG(c->id));
    if (c->unchanged)
        hf_write_settle(&w->items[0], HF_OK, "");
    else if (!put(c, w))
        return NULL;
    w->guard = HF_TAKE(c->guard);
    return w;
}

/* The id it is about; false: answered. */
static bool name_it(change *c, char made[HF_UUID_BYTES]) {
    const json_t *id = json_object_get(c->body, "id");
    hf_str text = {json_string_value(id), (uint32_t)json_string_length(id)};
    if (c->kind == HF_WEBHOOK_CREATE && (!id || json_is_null(id) || (!c->request->v1 && text.len == 0)))
        c->id = hf_str_of(hf_id_new(c->request->http->clock, hf_random_system(), made));
    else if (c->kind == HF_WEBHOOK_CREATE)
        c->id = hf_id_valid(text) ? text : HF_STR_NONE; /* the check says what is wrong */
    else if (json_is_string(id) && text.len && !hf_str_eq(text, c->id)) {
        hf_reply_error(c->request, 400, "id: differs from the path, which names %.*s; leave it out", HF_STR_ARG(c->id));
        return false;
    }
    return true;
}

void hf_webhook_change(hf_request *r, hf_webhook_change_kind kind, hf_str id,
                       void (*answer)(hf_request *r, hf_write *w)) {
    char made[HF_UUID_BYTES];
    json_t *body = takes_body(kind) ? hf_request_json(r) : NULL;
    change c = {.request = r, .kind = kind, .body = body, .id = id};
    hf_write *w = NULL;
    hf_err err;
    if (takes_body(kind) && !body)
        return;
    if (name_it(&c, made)) {
        if (c.id.len && hf_guard_take(r->http->guards, HF_TOPIC_WEBHOOKS, c.id, &c.guard, &err) != HF_OK)
            hf_reply_err(r, &err);
        else {
            if (hf_look_begin(r, &c.look))
                w = work_out(&c, answer);
            hf_look_end(&c.look);
        }
    }
    json_decref(body);
    hf_guard_drop(c.guard);
    if (w)
        hf_write_begin(w);
}

bool hf_webhook_written(hf_request *r, const hf_write *w) {
    hf_err err;
    if (!w->late && w->items[0].code == HF_OK)
        return true;
    if (w->late)
        hf_reply_error(r, 504,
                       "the journal did not fold the request within %lld ms; it may still take effect: look before "
                       "asking again",
                       (long long)r->http->write_wait_ms);
    else {
        hf_fail(&err, w->items[0].code, "%s", w->items[0].error);
        hf_reply_err(r, &err);
    }
    return false;
}
