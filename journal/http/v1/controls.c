/* /api/v1/controls and /api/v1/workers/{id}/…: what is paused, and whoever says so. Each change is a record of its own on `controls`, answered
 * when the journal has it. */
#include <stdio.h>

#include "journal/http/v1/v1.h"
#include "journal/replica/controls.h"

/* ---- shapes ---------------------------------------------------------------------------------------------------- */
static json_t *text(hf_str s) { return json_stringn(s.p ? s.p : "", s.len); }

static json_t *control_of(const hf_control *c) {
    char at[HF_RFC3339_BYTES];
    int32_t scope = 0;
    hf_str name;
    hf_control_target(c->key, c, &scope, &name);
    json_t *o = json_pack("{s:o, s:s, s:s, s:o, s:s, s:o}", "target",
                          scope == HF_SCOPE_FLEET ? json_string("claims") : text(c->key), "scope",
                          scope == HF_SCOPE_FLEET ? "claims" : hf_control_scope_name(scope), "action",
                          hf_control_action_name(c->action), "by", text(c->by), "at", hf_time_format(c->at, at),
                          "reason", text(c->reason));
    if (o && name.len)
        json_object_set_new(o, "name", text(name));
    return o;
}

typedef struct listing {
    json_t *items;
    bool intake, claims;
} listing;

static bool list_one(void *ctx, const hf_control *c) {
    listing *l = ctx;
    l->intake |= c->scope == HF_SCOPE_INTAKE;
    l->claims |= c->scope == HF_SCOPE_FLEET;
    json_array_append_new(l->items, control_of(c));
    return true;
}

void hf_handle_v1_controls(hf_request *r) {
    hf_look l;
    listing list = {.items = json_array()};
    if (hf_look_at_jobs(r, &l)) {
        if (hf_query_controls(l.read, &r->http->tables, &l.arena, list_one, &list, &l.err) == HF_OK)
            hf_reply_json(r, 200,
                          json_pack("{s:O, s:b, s:b}", "items", list.items, "intake_paused", (int)list.intake,
                                    "claims_paused", (int)list.claims));
        else
            hf_reply_err(r, &l.err);
    }
    hf_look_end(&l);
    json_decref(list.items);
}

/* ---- what may be asked --------------------------------------------------------------------------------------------- */
typedef struct asked {
    int32_t scope, action;
    hf_str name;
    const char *reason;
} asked;

static bool count_paused(void *ctx, const hf_control *c) {
    uint32_t *counts = ctx;
    counts[c->scope]++;
    return true;
}

/* Workers keep a bounded list of what is paused: none may be told to keep more. */
static hf_code check_room(hf_look *l, const hf_tables *tables, const asked *a, hf_err *reterr) {
    uint32_t counts[HF_CONTROL_SCOPES] = {0};
    hf_control control;
    bool named = a->scope == HF_SCOPE_OPERATION || a->scope == HF_SCOPE_PROVIDER;
    if (!named || a->action == HF_CONTROL_RESUME ||
        hf_query_control(l->read, tables, a->scope, a->name, &l->arena, &control, reterr) == HF_OK)
        return HF_OK;
    hf_code code = hf_query_controls(l->read, tables, &l->arena, count_paused, counts, reterr);
    if (code == HF_OK && counts[a->scope] >= HF_CONTROL_NAMES_MAX)
        return hf_fail(reterr, HF_E_CONFLICT,
                       "%d of them are paused already: resume others, or pause the claims of all",
                       HF_CONTROL_NAMES_MAX);
    return code;
}

static hf_code check_worker(hf_look *l, const hf_tables *tables, const asked *a, hf_control *c, hf_err *reterr) {
    hf_heartbeat beat;
    if (a->scope != HF_SCOPE_WORKER)
        return HF_OK;
    hf_code code = hf_query_worker(l->read, tables, a->name, &l->arena, &beat, reterr);
    if (code != HF_OK || a->action != HF_CONTROL_STOP)
        return code;
    c->incarnation = beat.incarnation;
    return beat.state == HF_W_STOPPED
               ? hf_fail(reterr, HF_E_CONFLICT, "worker %.*s has stopped already", HF_STR_ARG(a->name))
               : HF_OK;
}

/* "intake", "claims", or operation/, provider/, worker/ and a name. */
static bool read_target(hf_str target, asked *ret) {
    if (hf_str_eqz(target, "claims")) {
        ret->scope = HF_SCOPE_FLEET;
        return true;
    }
    if (hf_str_eqz(target, "intake")) {
        ret->scope = HF_SCOPE_INTAKE;
        return true;
    }
    hf_control none = {.scope = HF_SCOPE_FLEET};
    const char *slash = target.len ? memchr(target.p, '/', target.len) : NULL;
    none.scope = HF_SCOPE_WORKER;
    return slash && hf_control_target(target, &none, &ret->scope, &ret->name) &&
           ret->name.p == slash + 1; /* a bare name that holds a slash is none */
}

static hf_code read_body(const json_t *body, asked *ret, hf_err *reterr) {
    const json_t *target = json_object_get(body, "target"), *action = json_object_get(body, "action"),
                 *reason = json_object_get(body, "reason");
    size_t known = (size_t)((target != NULL) + (action != NULL) + (reason != NULL));
    if (!json_is_object(body) || !json_is_string(target) || !json_is_string(action) || json_object_size(body) > known)
        return hf_fail(reterr, HF_E_INVALID, "the body must be {\"target\", \"action\", \"reason\"?} and nothing else");
    if (!read_target((hf_str){json_string_value(target), (uint32_t)json_string_length(target)}, ret))
        return hf_fail(reterr, HF_E_INVALID, "target is intake, claims, operation/NAME, provider/NAME or worker/ID");
    for (ret->action = 0; ret->action < HF_CONTROL_ACTIONS; ret->action++)
        if (strcmp(hf_control_action_name(ret->action), json_string_value(action)) == 0)
            break;
    if (ret->action == HF_CONTROL_ACTIONS || !hf_control_applies(ret->scope, ret->action))
        return hf_fail(reterr, HF_E_INVALID, "action of %s is one of: %s", json_string_value(target),
                       ret->scope == HF_SCOPE_WORKER ? "resume, quiet, drain, stop" : "resume, pause");
    if (reason && (!json_is_string(reason) || json_string_length(reason) > HF_MAX_TEXT))
        return hf_fail(reterr, HF_E_INVALID, "reason must be a text of at most %d bytes", HF_MAX_TEXT);
    ret->reason = reason ? json_string_value(reason) : "";
    return HF_OK;
}

/* ---- saying it ------------------------------------------------------------------------------------------------------- */
static void answer(hf_request *r, hf_write *w) {
    const hf_write_item *item = &w->items[0];
    hf_control control;
    hf_arena arena;
    hf_err err;
    hf_arena_init(&arena, 64 << 10);
    if (w->late)
        hf_reply_error(r, 504, "the journal did not read the control within %lld ms; it may still take effect",
                       (long long)r->http->write_wait_ms);
    else if (item->code != HF_OK) {
        hf_fail(&err, item->code, "%s", item->error);
        hf_reply_err(r, &err);
    } else if (hf_decode(r->http->options.codec, HF_SCHEMA_CONTROL, item->plain->value, &arena, &control, &err) !=
               HF_OK)
        hf_reply_err(r, &err);
    else
        hf_reply_json(r, 200, control_of(&control));
    hf_arena_done(&arena);
}

static hf_code put(hf_codec *codec, hf_write *w, const hf_control *control, hf_err *reterr) {
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    hf_code code = hf_encode(codec, HF_SCHEMA_CONTROL, control, &out, reterr);
    if (code == HF_OK && !hf_write_put_plain(w, 0, HF_TOPIC_CONTROLS, 0, control->key, hf_buf_str(&out),
                                             hf_schema_name(HF_SCHEMA_CONTROL), NULL, 0))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    hf_buf_done(&out);
    return code;
}

static void give(hf_request *r, const asked *a) {
    hf_look l;
    hf_write *w = NULL;
    char key[HF_CONTROL_KEY_BYTES];
    if (hf_look_at_jobs(r, &l)) {
        hf_control c = {.scope = a->scope, .action = a->action, .reason = hf_str_of(a->reason)};
        c.by = hf_request_proposer(r, &l.arena);
        c.at = hf_wall_ms(r->http->clock);
        hf_code code = hf_control_key(a->scope, a->name, key)
                           ? check_worker(&l, &r->http->tables, a, &c, &l.err)
                           : hf_fail(&l.err, HF_E_INVALID, "there is no such target");
        c.key = hf_str_of(key);
        if (code == HF_OK)
            code = check_room(&l, &r->http->tables, a, &l.err);
        if (code == HF_OK && !(w = hf_write_new(r, 1, answer)))
            code = hf_fail(&l.err, HF_E_NO_MEMORY, "no memory for the request");
        if (code == HF_OK)
            code = put(r->http->options.codec, w, &c, &l.err);
        if (code != HF_OK) {
            w = NULL; /* the request frees it */
            hf_reply_err(r, &l.err);
        }
    }
    hf_look_end(&l);
    if (w)
        hf_write_begin(w);
}

void hf_handle_v1_control(hf_request *r) {
    asked a = {0};
    hf_err err;
    json_t *body = hf_request_json(r);
    if (!body)
        return;
    if (read_body(body, &a, &err) == HF_OK)
        give(r, &a);
    else
        hf_reply_err(r, &err);
    json_decref(body);
}

static void tell_worker(hf_request *r, int32_t action) {
    asked a = {.scope = HF_SCOPE_WORKER, .action = action, .name = hf_str_of(r->params[0])};
    json_t *body = hf_v1_reason(r, &a.reason);
    if (body)
        give(r, &a);
    json_decref(body);
}

void hf_handle_v1_worker_quiet(hf_request *r) { tell_worker(r, HF_CONTROL_QUIET); }
void hf_handle_v1_worker_drain(hf_request *r) { tell_worker(r, HF_CONTROL_DRAIN); }
void hf_handle_v1_worker_stop(hf_request *r) { tell_worker(r, HF_CONTROL_STOP); }
void hf_handle_v1_worker_resume(hf_request *r) { tell_worker(r, HF_CONTROL_RESUME); }
