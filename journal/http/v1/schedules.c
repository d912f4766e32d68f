/* /api/v1/schedules: what there is and when it is due next; and what changes it. */
#include "journal/http/schedules.h"

#include <stdio.h>

#include "journal/http/shapes.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"
#include "schemas/event/json_schedule.h"

enum { TIMES_DEFAULT = 5, SCAN_MAX = 20000 };

/* ---- the shape ------------------------------------------------------------------------------------------------------- */
static void set_time(json_t *o, const char *name, int64_t ms) {
    if (ms)
        json_object_set_new(o, name, hf_shape_time(ms));
}

json_t *hf_v1_schedule(const hf_schedule_view *view, hf_zones *zones, int64_t now_ms) {
    const hf_schedule_runs *runs = &view->runs;
    json_t *o = hf_schedule_json(&view->schedule);
    int64_t next;
    if (!o)
        return NULL;
    if (view->unreadable)
        json_object_set_new(o, "unreadable", json_true());
    else if (hf_schedule_next_run(&view->schedule, runs, zones, now_ms, &next))
        set_time(o, "next_run", next);
    json_object_set_new(o, "run_count", json_integer(runs->count));
    json_object_set_new(o, "running", json_integer(runs->alive));
    set_time(o, "last_run", runs->last_at);
    if (runs->last_job.len)
        json_object_set_new(o, "last_job_id", hf_shape_str(runs->last_job));
    set_time(o, "last_ended", runs->ended_at);
    if (runs->ended_job.len)
        json_object_set_new(o, "last_ended_job_id", hf_shape_str(runs->ended_job));
    if (runs->outcome >= 0)
        json_object_set_new(o, "last_outcome", json_string(hf_state_name((hf_state)runs->outcome)));
    return o;
}

/* The coming times in the schedule's zone, delay included. */
static json_t *times_of(const hf_due *due, int64_t after_ms, int64_t count) {
    json_t *list = json_array();
    int64_t at = after_ms;
    for (int64_t n = 0; n < count && hf_due_next(due, at, &at); n++) {
        char text[HF_ZONE_TIME_BYTES];
        json_array_append_new(list, json_string(hf_zone_format(due->zone, (at + due->delay_ms) / 1000, text)));
    }
    return list;
}

static json_t *next_runs(const hf_schedule_view *view, int64_t now_ms, int64_t count) {
    hf_zones *zones = hf_zones_new();
    const hf_schedule *s = &view->schedule;
    hf_due due;
    hf_err err;
    int64_t left = s->max_runs ? s->max_runs - view->runs.count : count;
    json_t *list = NULL;
    if (zones && s->enabled && !view->unreadable && hf_due_of(s, zones, &due, &err) == HF_OK)
        list = times_of(&due, now_ms - due.delay_ms, left < count ? left : count);
    hf_zones_free(zones);
    return list ? list : json_array();
}

/* The jobs that came of it last, but for those that are deleted. */
static json_t *run_of(const hf_job *job) {
    json_t *o = json_pack("{s:o, s:s, s:s}", "job_id", hf_shape_str(job->id), "state",
                          hf_state_name((hf_state)job->state), "status", hf_state_status((hf_state)job->state));
    set_time(o, "scheduled_for", job->spec->scheduled_for);
    set_time(o, "created_at", job->created_at);
    set_time(o, "started_at", job->started_at);
    set_time(o, "finished_at", job->finished_at);
    return o;
}

static json_t *recent_runs(hf_request *r, hf_look *l, const hf_schedule_view *view) {
    json_t *list = json_array();
    hf_arena arena;
    hf_job job;
    hf_arena_init(&arena, HF_V1_ARENA_BYTES);
    for (uint32_t i = 0; i < view->runs.recent_count; i++) {
        hf_arena_reset(&arena);
        if (hf_query_job_at(l->read, &r->http->tables, view->runs.recent[i].job_key, &arena, &job, NULL) == HF_OK &&
            !job.deleted) /* what cannot be read is left out: the schedule itself is told all the same */
            json_array_append_new(list, run_of(&job));
    }
    hf_arena_done(&arena);
    return list;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */
typedef struct listing {
    json_t *items;
    hf_zones *zones;
    int64_t now;
    size_t limit, scanned;
    bool more;
    int enabled; /* -1: both */
    const char *tag;
    char last[HF_ID_MAX_BYTES + 1];
} listing;

static bool is_wanted(const listing *l, const hf_schedule *s) {
    bool tagged = !l->tag;
    for (uint32_t i = 0; !tagged && i < s->tags.count; i++)
        tagged = hf_str_eqz(*HF_LIST_AT(s->tags, hf_str, i), l->tag);
    return tagged && (l->enabled < 0 || s->enabled == (l->enabled == 1));
}

static bool list_one(void *ctx, const hf_schedule_view *view) {
    listing *l = ctx;
    if (json_array_size(l->items) == l->limit || l->scanned == SCAN_MAX) {
        l->more = true;
        return false;
    }
    l->scanned++;
    snprintf(l->last, sizeof l->last, "%.*s", HF_STR_ARG(view->schedule.schedule_id));
    if (is_wanted(l, &view->schedule))
        json_array_append_new(l->items, hf_v1_schedule(view, l->zones, l->now));
    return true;
}

void hf_handle_v1_schedules(hf_request *r) {
    hf_look look;
    const char *cursor = hf_request_text(r, HF_P_CURSOR);
    listing l = {.items = json_array(),
                 .zones = hf_zones_new(),
                 .now = hf_wall_ms(r->http->clock),
                 .limit = (size_t)hf_request_number(r, HF_P_LIMIT, HF_V1_LIMIT),
                 .enabled = (int)hf_request_number(r, HF_P_ENABLED, -1),
                 .tag = hf_request_text(r, HF_P_TAG)};
    if (cursor && !hf_id_valid(hf_str_of(cursor)))
        hf_reply_error(r, 400, "cursor is not one that a page ended with");
    else {
        if (hf_look_begin(r, &look)) {
            if (hf_query_schedules(look.read, &r->http->tables, r->http->options.codec, hf_str_of(cursor), SIZE_MAX,
                                   &look.arena, list_one, &l, &look.err) != HF_OK)
                hf_reply_err(r, &look.err);
            else {
                json_t *o = json_pack("{s:O}", "items", l.items);
                if (l.more)
                    json_object_set_new(o, "next_cursor", json_string(l.last));
                hf_reply_json(r, 200, o);
            }
        }
        hf_look_end(&look);
    }
    json_decref(l.items);
    hf_zones_free(l.zones);
}

static void reply_one(hf_request *r, int status, hf_str id, int64_t times) {
    hf_look l;
    hf_schedule_view view;
    char version[HF_VERSION_BYTES];
    int64_t now = hf_wall_ms(r->http->clock);
    if (hf_look_begin(r, &l)) {
        if (hf_schedule_find(r, &l, id, &view, &l.err) != HF_OK ||
            hf_schedule_version(r, &l, id, version, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        else {
            json_t *o = hf_v1_schedule(&view, NULL, now);
            json_object_set_new(o, "next_runs", next_runs(&view, now, times));
            json_object_set_new(o, "recent_runs", recent_runs(r, &l, &view));
            json_object_set_new(o, "version", json_string(version));
            hf_reply_json(r, status, o);
        }
    }
    hf_look_end(&l);
}

void hf_handle_v1_schedule(hf_request *r) {
    reply_one(r, 200, hf_str_of(r->params[0]), hf_request_number(r, HF_P_COUNT, TIMES_DEFAULT));
}

/* ---- an expression, not stored ---------------------------------------------------------------------------------------------- */
static bool policy_of(hf_request *r, int32_t *ret) {
    const char *text = hf_request_text(r, HF_P_DST_POLICY);
    *ret = text && strcmp(text, "robfig") == 0 ? HF_DST_ROBFIG : HF_DST_VIXIE;
    if (!text || strcmp(text, "vixie") == 0 || strcmp(text, "robfig") == 0)
        return true;
    hf_reply_error(r, 400, "dst_policy is vixie or robfig");
    return false;
}

void hf_handle_v1_cron_next(hf_request *r) {
    hf_schedule s;
    hf_due due;
    hf_err err;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.schedule = hf_str_of(hf_request_text(r, HF_P_EXPRESSION));
    s.time_zone = hf_str_of(hf_request_text(r, HF_P_TIME_ZONE));
    s.created_at = hf_wall_ms(r->http->clock);
    if (!policy_of(r, &s.dst_policy))
        return;
    hf_zones *zones = hf_zones_new();
    if (!zones)
        hf_reply_error(r, 503, "no memory for the request");
    else if (hf_due_of(&s, zones, &due, &err) != HF_OK)
        hf_reply_error(r, 400, "%s", err.detail);
    else
        hf_reply_json(
            r, 200,
            json_pack("{s:o}", "items", times_of(&due, s.created_at, hf_request_number(r, HF_P_COUNT, TIMES_DEFAULT))));
    hf_zones_free(zones);
}

/* ---- changing ------------------------------------------------------------------------------------------------------------------ */
static void answer_changed(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        reply_one(r, 200, hf_str_of(w->items[0].about), TIMES_DEFAULT);
}

static void answer_created(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        reply_one(r, 201, hf_str_of(w->items[0].about), TIMES_DEFAULT);
}

static void answer_deleted(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        hf_reply_json(r, 200, json_pack("{s:s, s:b}", "id", w->items[0].about, "deleted", 1));
}

static void answer_triggered(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        hf_reply_json(r, 200, json_pack("{s:s, s:s}", "id", w->items[0].about, "job_id", w->items[0].id));
}

void hf_handle_v1_schedule_create(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_CREATE, answer_created); }
void hf_handle_v1_schedule_replace(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_REPLACE, answer_changed); }
void hf_handle_v1_schedule_merge(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_MERGE, answer_changed); }
void hf_handle_v1_schedule_delete(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_DELETE, answer_deleted); }
void hf_handle_v1_schedule_enable(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_ENABLE, answer_changed); }
void hf_handle_v1_schedule_disable(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_DISABLE, answer_changed); }
void hf_handle_v1_schedule_trigger(hf_request *r) { hf_schedule_trigger(r, answer_triggered); }
