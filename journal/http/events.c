/* GET /jobs/{id}/events and /jobs/logs/{id}. */
#include <string.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/shapes.h"
#include "journal/http/stream.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { ARENA_BYTES = 16 << 20, EVENTS_MAX = 10000 };

static json_t *names_of(const hf_record *record) {
    json_t *names = json_array();
    for (uint32_t i = 0; i < record->transitions.count; i++)
        json_array_append_new(names, json_string(hf_event_name(hf_record_event(record, i))));
    return names;
}

json_t *hf_shape_event(const hf_query_event *event) {
    json_t *o = json_pack("{s:i,s:I}", "partition", event->row.position.partition, "offset",
                          (json_int_t)event->row.position.offset);
    if (!o)
        return NULL;
    if (event->record) {
        json_t *whole = hf_json_of(&HF_TYPE_RECORD, event->record, 0);
        json_object_set_new(o, "at", hf_shape_time(event->record->at));
        json_object_set_new(o, "by", hf_shape_str(event->record->by));
        json_object_set_new(o, "attempt", json_integer(event->record->attempt));
        json_object_set_new(o, "events", names_of(event->record));
        json_object_set(o, "transitions", json_object_get(whole, "transitions"));
        json_decref(whole);
    }
    json_object_set_new(o, "verdict", json_string(event->row.verdict == HF_V_ACCEPTED ? "accepted" : "rejected"));
    if (event->row.verdict != HF_V_ACCEPTED) {
        json_object_set_new(o, "reason", json_string(hf_verdict_name(event->row.verdict)));
        json_object_set_new(o, "detail", json_string(hf_verdict_sentence(event->row.verdict)));
    }
    return o;
}

typedef struct listing {
    json_t *list;
    bool logs;
} listing;

static bool add_event(void *ctx, const hf_query_event *event) {
    listing *l = ctx;
    json_array_append_new(l->list, hf_shape_event(event));
    return json_array_size(l->list) < EVENTS_MAX;
}

static void reply_list(hf_request *r, hf_read *read, const char *what,
                       bool (*each)(void *ctx, const hf_query_event *event), const char *count) {
    listing l = {.list = json_array()};
    hf_err err;
    hf_code code =
        hf_lookup_events(r->http, read, hf_str_of(r->params[0]), (hf_position){0, -1}, EVENTS_MAX, each, &l, &err);
    if (code != HF_OK) {
        json_decref(l.list);
        hf_reply_err(r, &err);
        return;
    }
    json_int_t n = (json_int_t)json_array_size(l.list);
    hf_reply_json(
        r, 200,
        json_pack("{s:s,s:o,s:I,s:o}", "job_id", r->params[0], what, l.list, count, n, "timestamp", hf_json_now()));
}

void hf_handle_job_events(hf_request *r) {
    hf_err err;
    hf_job job;
    hf_read *read = NULL;
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code code = hf_read_begin_all(hf_http_store(r->http), &read, &err);
    if (code == HF_OK)
        code = hf_lookup_job(r->http, read, hf_str_of(r->params[0]), &arena, &job, &err);
    if (code != HF_OK)
        hf_reply_err(r, &err);
    else if (!hf_request_wants_stream(r))
        reply_list(r, read, "events", add_event, "total");
    hf_read_end(read);
    hf_arena_done(&arena);
    if (code == HF_OK && hf_request_wants_stream(r)) {
        const char *last = hf_request_header(r, "Last-Event-ID");
        hf_streams_open(r->http->streams, r, hf_str_of(r->params[0]), last ? last : hf_request_text(r, HF_P_LAST_ID));
    }
}

/* ---- logs: what the events say, in the older shape ------------------------------------------------------------ */
static void add_line(json_t *list, int64_t at, const char *level, json_t *message, json_t *details, json_t *error) {
    json_t *o = json_pack("{s:o,s:s,s:o}", "timestamp", hf_shape_time(at), "level", level, "message", message);
    if (details)
        json_object_set_new(o, "details", details);
    if (error)
        json_object_set_new(o, "error", error);
    json_array_append_new(list, o);
}

static const hf_job_error *error_of(const hf_variant *v) {
    if (v->branch == HF_EV_FAILED)
        return &((const hf_ev_failed *)v->record)->error;
    if (v->branch == HF_EV_RETRY_SCHEDULED)
        return &((const hf_ev_retry_scheduled *)v->record)->error;
    return v->branch == HF_EV_REJECTED ? &((const hf_ev_rejected *)v->record)->error : NULL;
}

static bool add_log(void *ctx, const hf_query_event *event) {
    listing *l = ctx;
    if (!event->record || event->row.verdict != HF_V_ACCEPTED)
        return true;
    for (uint32_t i = 0; i < event->record->transitions.count; i++) {
        const hf_variant *v = HF_LIST_AT(event->record->transitions, hf_variant, i);
        const hf_job_error *e = error_of(v);
        json_t *details = v->branch >= 0 ? hf_json_of(HF_TYPES_EVENT[v->branch], v->record, 0) : NULL;
        json_object_set_new(details, "by", hf_shape_str(event->record->by));
        json_object_set_new(details, "attempt", json_integer(event->record->attempt));
        add_line(l->list, event->record->at, e ? (v->branch == HF_EV_RETRY_SCHEDULED ? "warn" : "error") : "info",
                 json_string(hf_event_name((hf_event)v->branch)), details, e ? hf_shape_str(e->message) : NULL);
    }
    return json_array_size(l->list) < EVENTS_MAX;
}

/* A line that the job's attempts wrote, in between by its time. */
static bool add_progress_line(void *ctx, hf_position position, const hf_progress *line) {
    listing *l = ctx;
    json_t *details = line->details.len ? json_loadb(line->details.p, line->details.len, JSON_DECODE_ANY, NULL) : NULL;
    bool failed = hf_str_eqz(line->level, "error");
    char level[16];
    (void)position;
    snprintf(level, sizeof level, "%.*s", HF_STR_ARG(line->level));
    add_line(l->list, line->at, level, hf_shape_str(line->message), details,
             failed ? hf_shape_str(line->message) : NULL);
    return json_array_size(l->list) < EVENTS_MAX;
}

typedef struct timed {
    json_t *line;
    const char *at; /* RFC 3339 in UTC: its bytes sort as its time, but for the milliseconds that may be left out */
    size_t index;
} timed;

static int by_time(const void *a, const void *b) {
    const timed *x = a, *y = b;
    int64_t s = 0, t = 0;
    hf_time_parse(hf_str_of(x->at), &s);
    hf_time_parse(hf_str_of(y->at), &t);
    if (s != t)
        return s < t ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* New array; lines of one millisecond stay as they came. */
static json_t *sorted_by_time(const json_t *list) {
    size_t n = json_array_size(list);
    timed *lines = hf_alloc((n + 1) * sizeof *lines);
    json_t *sorted = json_array();
    for (size_t i = 0; lines && i < n; i++) {
        json_t *line = json_array_get(list, i);
        const char *at = json_string_value(json_object_get(line, "timestamp"));
        lines[i] = (timed){line, at ? at : "", i};
    }
    if (lines)
        qsort(lines, n, sizeof *lines, by_time);
    for (size_t i = 0; lines && i < n; i++)
        json_array_append(sorted, lines[i].line);
    free(lines);
    return sorted;
}

static void reply_logs(hf_request *r, hf_read *read, hf_arena *arena) {
    listing l = {.list = json_array(), .logs = true};
    hf_err err;
    hf_str id = hf_str_of(r->params[0]);
    hf_code code = hf_lookup_events(r->http, read, id, (hf_position){0, -1}, EVENTS_MAX, add_log, &l, &err);
    if (code == HF_OK)
        code = hf_query_lines(hf_http_store(r->http), read, &r->http->tables, r->http->options.codec, id,
                              (hf_position){0, -1}, EVENTS_MAX, arena, add_progress_line, &l, &err);
    if (code != HF_OK)
        hf_reply_err(r, &err);
    else {
        json_t *sorted = sorted_by_time(l.list);
        json_int_t n = (json_int_t)json_array_size(sorted);
        hf_reply_json(r, 200,
                      json_pack("{s:s, s:o, s:I, s:o}", "job_id", r->params[0], "logs", sorted, "log_count", n,
                                "timestamp", hf_json_now()));
    }
    json_decref(l.list);
}

void hf_handle_job_logs(hf_request *r) {
    hf_err err;
    hf_read *read = NULL;
    hf_job job;
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code code = hf_read_begin_all(hf_http_store(r->http), &read, &err);
    if (code == HF_OK)
        code = hf_lookup_job(r->http, read, hf_str_of(r->params[0]), &arena, &job, &err);
    if (code == HF_OK)
        reply_logs(r, read, &arena);
    else
        hf_reply_err(r, &err);
    hf_read_end(read);
    hf_arena_done(&arena);
}
