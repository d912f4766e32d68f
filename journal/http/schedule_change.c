/* Changing a schedule: read it, make the new one, write its record, under a guard; and triggering a run. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "journal/http/controls.h"
#include "journal/http/schedules.h"
#include "schemas/base/mem.h"
#include "schemas/event/json_schedule.h"
#include "schemas/job/schedule_run.h"

typedef struct change {
    hf_request *request;
    hf_schedule_change_kind kind;
    const json_t *body; /* NULL: none is taken */
    hf_str id;
    hf_look look;
    hf_guard *guard;
    bool exists, by_config;
    hf_schedule schedule; /* as it is, then as it shall be */
    char version[HF_VERSION_BYTES];
    bool unchanged;
} change;

/* ---- what is there -------------------------------------------------------------------------------------------------- */
hf_code hf_schedule_version(hf_request *r, hf_look *look, hf_str id, char version[HF_VERSION_BYTES], hf_err *reterr) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    hf_str value;
    hf_code code = hf_read_get(look->read, r->http->tables.of[HF_TB_SCHEDULES], id, &value, reterr);
    if (code != HF_OK)
        return code;
    if (EVP_Digest(value.p, value.len, hash, &n, EVP_sha256(), NULL) != 1)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    for (int i = 0; i < (HF_VERSION_BYTES - 1) / 2; i++)
        snprintf(version + 2 * i, 3, "%02x", hash[i]);
    return HF_OK;
}

static hf_code look_up(change *c, hf_err *reterr) {
    hf_schedule_view view;
    hf_code code = hf_schedule_find(c->request, &c->look, c->id, &view, reterr);
    if (code == HF_E_NOT_FOUND)
        return HF_OK;
    if (code == HF_OK)
        code = hf_schedule_version(c->request, &c->look, c->id, c->version, reterr);
    if (code == HF_OK && view.unreadable && c->kind != HF_SCHEDULE_DELETE && c->kind != HF_SCHEDULE_REPLACE)
        return hf_fail(reterr, HF_E_CONFLICT, "the record of schedule %.*s cannot be read: delete or replace it",
                       HF_STR_ARG(c->id));
    c->exists = code == HF_OK;
    if (code == HF_OK && view.unreadable)
        hf_type_init(&HF_TYPE_SCHEDULE, &c->schedule);
    else if (code == HF_OK)
        c->schedule = view.schedule;
    return code;
}

/* "abc", abc or W/"abc" */
static bool names_version(const char *header, const char *version) {
    const char *at = strncmp(header, "W/", 2) == 0 ? header + 2 : header;
    size_t quote = *at == '"', len = strlen(version);
    return strncmp(at + quote, version, len) == 0 && strcmp(at + quote + len, quote ? "\"" : "") == 0;
}

/* False: answered 412. */
static bool preconditions_hold(change *c) {
    const char *match = hf_request_header(c->request, "If-Match"),
               *none = hf_request_header(c->request, "If-None-Match");
    if (match && !(c->exists && (strcmp(match, "*") == 0 || names_version(match, c->version)))) {
        hf_reply_error(c->request, 412, "schedule %.*s was changed since (its version is %s): read it again",
                       HF_STR_ARG(c->id), c->exists ? c->version : "none, it is gone");
        return false;
    }
    if (none && strcmp(none, "*") == 0 && c->exists) {
        hf_reply_error(c->request, 412, "schedule %.*s exists already", HF_STR_ARG(c->id));
        return false;
    }
    return true;
}

static hf_code is_allowed(const change *c, hf_err *reterr) {
    bool content = c->kind != HF_SCHEDULE_ENABLE && c->kind != HF_SCHEDULE_DISABLE;
    if (c->kind == HF_SCHEDULE_CREATE && c->exists)
        return hf_fail(reterr, HF_E_EXISTS, "schedule with ID %.*s already exists", HF_STR_ARG(c->id));
    if (c->kind != HF_SCHEDULE_CREATE && c->kind != HF_SCHEDULE_REPLACE && !c->exists)
        return hf_fail(reterr, HF_E_NOT_FOUND, "schedule not found: %.*s", HF_STR_ARG(c->id));
    if (content && c->exists && hf_str_eqz(c->schedule.origin, "config"))
        return hf_fail(reterr, HF_E_CONFLICT,
                       "schedule %.*s comes from the configuration of hyperdispatch: change it there, or disable it",
                       HF_STR_ARG(c->id));
    return HF_OK;
}

static hf_code is_room(change *c, hf_err *reterr) {
    uint64_t count = 0;
    hf_code code =
        c->exists ? HF_OK : hf_read_count(c->look.read, c->request->http->tables.of[HF_TB_SCHEDULES], &count, reterr);
    if (code == HF_OK && count >= HF_SCHEDULES_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the fleet has %llu schedules, the limit is %d: delete some",
                       (unsigned long long)count, HF_SCHEDULES_MAX);
    return code;
}

/* ---- what shall be --------------------------------------------------------------------------------------------------- */
static bool id_of_body(change *c) {
    const json_t *id = json_object_get(c->body, "id");
    hf_str text = {json_string_value(id), (uint32_t)json_string_length(id)};
    if (c->kind == HF_SCHEDULE_CREATE)
        c->id = json_is_string(id) && hf_id_valid(text) ? text : HF_STR_NONE; /* else the check says what is wrong */
    if (c->kind == HF_SCHEDULE_CREATE || !json_is_string(id) || text.len == 0 || hf_str_eq(text, c->id))
        return true;
    hf_reply_error(c->request, 400, "id: differs from the path, which names %.*s; leave it out", HF_STR_ARG(c->id));
    return false;
}

/* The schedule as asked for; false: answered. */
static bool read_body(change *c, int64_t now) {
    unsigned flags = c->request->v1 ? 0 : HF_SCHEDULE_LENIENT;
    hf_schedule *s = &c->schedule;
    hf_intake_errors *lists = hf_arena_alloc(&c->look.arena, 2 * sizeof *lists);
    if (!lists) {
        hf_reply_error(c->request, 503, "no memory for the request");
        return false;
    }
    int64_t created = c->exists && s->created_at ? s->created_at : now;
    if (c->kind != HF_SCHEDULE_MERGE)
        hf_type_init(&HF_TYPE_SCHEDULE, s);
    if (c->id.len)
        s->schedule_id = c->id;
    s->created_at = created;
    if (hf_schedule_read(c->body, flags, now, &c->look.arena, s, &lists[0], &lists[1], &c->look.err) != HF_OK)
        hf_reply_err(c->request, &c->look.err);
    else if (lists[0].count)
        hf_reply_errors(c->request, HF_E_INVALID, &lists[0]);
    else
        return true;
    return false;
}

/* False: answered. */
static bool make(change *c) {
    int64_t now = hf_wall_ms(c->request->http->clock);
    bool on = c->kind == HF_SCHEDULE_ENABLE;
    if (c->body && !read_body(c, now))
        return false;
    if (c->kind == HF_SCHEDULE_ENABLE || c->kind == HF_SCHEDULE_DISABLE) {
        c->unchanged = c->schedule.enabled == on;
        c->schedule.enabled = on;
    }
    c->schedule.schedule_id = c->id;
    c->schedule.updated_at = now;
    c->schedule.by = hf_request_proposer(c->request, &c->look.arena);
    return true;
}

/* ---- the record ----------------------------------------------------------------------------------------------------------- */
static bool put(change *c, hf_write *w) {
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    hf_str value = HF_STR_NONE;
    hf_code code = HF_OK;
    /* A tombstone has no member that says who. */
    const hf_header headers[] = {{HF_STR("hf-by"), hf_request_proposer(c->request, &c->look.arena)},
                                 {HF_STR("traceparent"), hf_str_of(w->traceparent)}};
    if (c->kind != HF_SCHEDULE_DELETE) {
        code = hf_encode(c->request->http->options.codec, HF_SCHEMA_SCHEDULE, &c->schedule, &out, &c->look.err);
        value = hf_buf_str(&out);
    }
    bool ok = code == HF_OK && hf_write_put_plain(w, 0, HF_TOPIC_SCHEDULES, -1, c->id, value, "Schedule", headers,
                                                  *w->traceparent ? 2 : 1);
    hf_buf_done(&out);
    if (code != HF_OK)
        hf_reply_err(c->request, &c->look.err);
    else if (!ok)
        hf_reply_error(c->request, 503, "no memory for the request");
    return ok;
}

/* The write, ready to begin; NULL: answered. */
static hf_write *write_of(change *c, void (*answer)(hf_request *, hf_write *)) {
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

/* Under the guard and within one look. NULL: answered. */
static hf_write *work_out(change *c, void (*answer)(hf_request *, hf_write *)) {
    hf_err *err = &c->look.err;
    if (look_up(c, err) != HF_OK || is_allowed(c, err) != HF_OK || is_room(c, err) != HF_OK) {
        hf_reply_err(c->request, err);
        return NULL;
    }
    return preconditions_hold(c) && make(c) ? write_of(c, answer) : NULL;
}

static bool begin(change *c) {
    hf_guards *guards = c->request->http->guards;
    hf_err err;
    if (c->id.len && hf_guard_take(guards, HF_TOPIC_SCHEDULES, c->id, &c->guard, &err) != HF_OK) {
        hf_reply_err(c->request, &err);
        return false;
    }
    return true;
}

void hf_schedule_change(hf_request *r, hf_schedule_change_kind kind, void (*answer)(hf_request *r, hf_write *w)) {
    bool takes_body = kind == HF_SCHEDULE_CREATE || kind == HF_SCHEDULE_REPLACE || kind == HF_SCHEDULE_MERGE;
    json_t *body = takes_body ? hf_request_json(r) : NULL;
    change c = {.request = r, .kind = kind, .body = body, .id = hf_str_of(r->params[0])};
    hf_write *w = NULL;
    if (takes_body && !body)
        return;
    if ((!takes_body || id_of_body(&c)) && begin(&c)) {
        if (hf_look_begin(r, &c.look))
            w = work_out(&c, answer);
        hf_look_end(&c.look);
    }
    json_decref(body);
    hf_guard_drop(c.guard);
    if (w)
        hf_write_begin(w);
}

/* A run that was asked for before, with the same key. */
static bool repeated(hf_request *r, const hf_write_item *item) {
    return item->code == HF_E_REFUSED && strcmp(item->error, hf_verdict_name(HF_V_JOB_EXISTS)) == 0 &&
           hf_request_header(r, "Idempotency-Key");
}

bool hf_schedule_written(hf_request *r, const hf_write *w) {
    const hf_write_item *item = &w->items[0];
    hf_err err;
    if (!w->late && (item->code == HF_OK || repeated(r, item)))
        return true;
    if (w->late)
        hf_reply_error(r, 504,
                       "the journal did not fold the request within %lld ms; it may still take effect: look before "
                       "asking again",
                       (long long)r->http->write_wait_ms);
    else {
        hf_fail(&err, item->code, "%s", item->error);
        hf_reply_err(r, &err);
    }
    return false;
}

/* ---- a run, now -------------------------------------------------------------------------------------------------------- */
/* With an Idempotency-Key the job's id comes from it, from who asks and of which schedule: asked again, it is the same run. */
static hf_code id_of_run(hf_request *r, hf_str schedule_id, hf_arena *arena, char id[HF_UUID_BYTES], hf_err *reterr) {
    const char *key = hf_request_header(r, "Idempotency-Key");
    if (!key) {
        hf_id_new(r->http->clock, hf_random_system(), id);
        return HF_OK;
    }
    if (!*key || strlen(key) > HF_MAX_TEXT)
        return hf_fail(reterr, HF_E_INVALID, "Idempotency-Key must have 1 to %d bytes", HF_MAX_TEXT);
    char *scope =
        hf_arena_printf(arena, "idempotency\n%s\n%s\ntrigger\n%.*s", r->who.name, key, HF_STR_ARG(schedule_id));
    if (!scope)
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    hf_id_from_position(hf_str_of(scope), 0, 0, 0, id);
    return HF_OK;
}

static hf_code propose_run(hf_request *r, const hf_schedule *schedule, hf_arena *arena, hf_record *ret,
                           hf_err *reterr) {
    hf_submission run;
    char *id = hf_arena_alloc(arena, HF_UUID_BYTES);
    hf_intake_errors *errors = hf_arena_alloc(arena, sizeof *errors);
    if (!id || !errors || !hf_schedule_run(schedule, 0, hf_wall_ms(r->http->clock), arena, &run))
        return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the request");
    hf_code code = id_of_run(r, schedule->schedule_id, arena, id, reterr);
    run.job_id = hf_str_of(id);
    run.submitted_at = hf_wall_ms(r->http->clock);
    if (run.spec.audit.requested_by.len == 0)
        run.spec.audit.requested_by = hf_str_of(r->who.name);
    if (code == HF_OK)
        code = hf_intake(&run, run.job_id, HF_STR_NONE, hf_request_proposer(r, arena), run.submitted_at, arena, ret,
                         errors, reterr);
    if (code == HF_OK && errors->count)
        code = hf_fail(reterr, HF_E_INVALID, "job_template.%.*s%s", HF_STR_ARG(errors->text[0]),
                       errors->count > 1 ? " (and more)" : "");
    return code;
}

void hf_schedule_trigger(hf_request *r, void (*answer)(hf_request *r, hf_write *w)) {
    hf_look l;
    hf_schedule_view view;
    hf_record record;
    hf_write *w = NULL;
    if (!hf_intake_open(r))
        return;
    if (hf_look_begin(r, &l)) {
        hf_code code = hf_schedule_find(r, &l, hf_str_of(r->params[0]), &view, &l.err);
        if (code == HF_OK && view.unreadable)
            code = hf_fail(&l.err, HF_E_CONFLICT, "the record of schedule %s cannot be read: replace it", r->params[0]);
        if (code == HF_OK)
            code = propose_run(r, &view.schedule, &l.arena, &record, &l.err);
        if (code == HF_OK && !(w = hf_write_new(r, 1, answer)))
            code = hf_fail(&l.err, HF_E_NO_MEMORY, "no memory for the request");
        if (code != HF_OK)
            hf_reply_err(r, &l.err);
        else {
            snprintf(w->items[0].about, sizeof w->items[0].about, "%.*s", HF_STR_ARG(view.schedule.schedule_id));
            hf_write_put(w, 0, &record);
        }
    }
    hf_look_end(&l);
    if (w)
        hf_write_begin(w);
}
