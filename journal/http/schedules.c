/* /schedules: the older routes, with the shapes, statuses and messages they had. */
#include "journal/http/schedules.h"

#include "journal/http/shapes.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

hf_code hf_schedule_find(hf_request *r, hf_look *look, hf_str id, hf_schedule_view *ret, hf_err *reterr) {
    hf_code code =
        hf_query_schedule(look->read, &r->http->tables, r->http->options.codec, id, &look->arena, ret, reterr);
    return code == HF_E_NOT_FOUND ? hf_fail(reterr, code, "schedule not found: %.*s", HF_STR_ARG(id)) : code;
}

hf_code hf_schedules_each(hf_request *r, hf_look *look, hf_query_each_schedule each, void *ctx, hf_err *reterr) {
    return hf_query_schedules(look->read, &r->http->tables, r->http->options.codec, HF_STR_NONE, SIZE_MAX, &look->arena,
                              each, ctx, reterr);
}

/* ---- the shape ---------------------------------------------------------------------------------------------------------- */
#define GO_ZERO_TIME "0001-01-01T00:00:00Z" /* what is always there and is none */

static json_t *time_or_zero(int64_t ms) { return ms ? hf_shape_time(ms) : json_string(GO_ZERO_TIME); }

json_t *hf_shape_schedule(const hf_schedule_view *view, hf_zones *zones, int64_t now_ms) {
    const hf_schedule *s = &view->schedule;
    hf_job template = {.id = HF_STR_NONE, .spec = &s->job_template};
    int64_t next = 0;
    if (!view->unreadable && !hf_schedule_next_run(s, &view->runs, zones, now_ms, &next))
        next = 0;
    json_t *definition = hf_shape_definition(&template);
    json_object_set_new(definition, "created_at", time_or_zero(s->created_at));
    json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:I}", "id", hf_shape_str(s->schedule_id),
                          "name", hf_shape_str(s->name), "description", hf_shape_str(s->description), "schedule",
                          hf_shape_str(s->schedule), "job_template", definition, "enabled",
                          (int)(s->enabled && !view->unreadable), "created_at", time_or_zero(s->created_at),
                          "updated_at", time_or_zero(s->updated_at), "next_run", time_or_zero(next), "run_count",
                          (json_int_t)view->runs.count);
    if (view->runs.last_at)
        json_object_set_new(o, "last_run", hf_shape_time(view->runs.last_at));
    if (s->time_zone.len)
        json_object_set_new(o, "time_zone", hf_shape_str(s->time_zone));
    if (s->tags.count) {
        json_t *tags = json_array();
        for (uint32_t i = 0; i < s->tags.count; i++)
            json_array_append_new(tags, hf_shape_str(*HF_LIST_AT(s->tags, hf_str, i)));
        json_object_set_new(o, "tags", tags);
    }
    return o;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------- */
typedef struct listing {
    json_t *list;
    hf_zones *zones;
    int64_t now;
    json_int_t enabled, runs;
    int64_t next;
} listing;

static bool list_one(void *ctx, const hf_schedule_view *view) {
    listing *l = ctx;
    json_array_append_new(l->list, hf_shape_schedule(view, l->zones, l->now));
    return true;
}

static bool count_one(void *ctx, const hf_schedule_view *view) {
    listing *l = ctx;
    int64_t next;
    json_array_append_new(l->list, json_null());
    if (!view->schedule.enabled || view->unreadable)
        return true;
    l->enabled++;
    l->runs += view->runs.count;
    if (hf_schedule_next_run(&view->schedule, &view->runs, l->zones, l->now, &next) && (!l->next || next < l->next))
        l->next = next;
    return true;
}

/* All schedules into *ret, by `each`; false: answered. listing_done is due either way. */
static bool take_all(hf_request *r, hf_query_each_schedule each, listing *ret) {
    hf_look l;
    *ret = (listing){.list = json_array(), .zones = hf_zones_new(), .now = hf_wall_ms(r->http->clock)};
    bool ok = hf_look_begin(r, &l);
    if (ok && hf_schedules_each(r, &l, each, ret, &l.err) != HF_OK) {
        hf_reply_err(r, &l.err);
        ok = false;
    }
    hf_look_end(&l);
    return ok;
}

static void listing_done(listing *l) {
    json_decref(l->list);
    hf_zones_free(l->zones);
}

void hf_handle_schedules(hf_request *r) {
    listing l;
    if (take_all(r, list_one, &l))
        hf_reply_json(r, 200,
                      json_pack("{s:O, s:I, s:o}", "schedules", l.list, "total", (json_int_t)json_array_size(l.list),
                                "timestamp", hf_json_now()));
    listing_done(&l);
}

void hf_handle_schedule_stats(hf_request *r) {
    listing l;
    if (take_all(r, count_one, &l)) {
        json_t *o = json_pack("{s:I, s:I, s:I}", "total_schedules", (json_int_t)json_array_size(l.list),
                              "enabled_schedules", l.enabled, "total_runs", l.runs);
        if (l.next)
            json_object_set_new(o, "next_running", hf_shape_time(l.next));
        hf_reply_json(r, 200, o);
    }
    listing_done(&l);
}

/* The schedule as it is now, as `member` beside a message, or alone. */
static void reply_one(hf_request *r, int status, hf_str id, const char *message) {
    hf_look l;
    hf_schedule_view view;
    if (hf_look_begin(r, &l)) {
        if (hf_schedule_find(r, &l, id, &view, &l.err) != HF_OK)
            hf_reply_err(r, &l.err);
        else {
            json_t *o = hf_shape_schedule(&view, NULL, hf_wall_ms(r->http->clock));
            hf_reply_json(r, status, message ? json_pack("{s:s, s:o}", "message", message, "schedule", o) : o);
        }
    }
    hf_look_end(&l);
}

void hf_handle_schedule(hf_request *r) { reply_one(r, 200, hf_str_of(r->params[0]), NULL); }

/* ---- changing ---------------------------------------------------------------------------------------------------------------- */
static void reply_message(hf_request *r, const hf_write *w, const char *message) {
    if (hf_schedule_written(r, w))
        hf_reply_json(r, 200, json_pack("{s:s}", "message", message));
}

static void answer_created(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        reply_one(r, 201, hf_str_of(w->items[0].about), "schedule created successfully");
}
static void answer_updated(hf_request *r, hf_write *w) { reply_message(r, w, "schedule updated successfully"); }
static void answer_deleted(hf_request *r, hf_write *w) { reply_message(r, w, "schedule deleted successfully"); }
static void answer_enabled(hf_request *r, hf_write *w) { reply_message(r, w, "schedule enabled successfully"); }
static void answer_disabled(hf_request *r, hf_write *w) { reply_message(r, w, "schedule disabled successfully"); }
static void answer_triggered(hf_request *r, hf_write *w) {
    if (hf_schedule_written(r, w))
        hf_reply_json(r, 200,
                      json_pack("{s:s, s:s}", "message", "schedule triggered successfully", "job_id", w->items[0].id));
}

void hf_handle_schedule_create(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_CREATE, answer_created); }
void hf_handle_schedule_update(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_MERGE, answer_updated); }
void hf_handle_schedule_delete(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_DELETE, answer_deleted); }
void hf_handle_schedule_enable(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_ENABLE, answer_enabled); }
void hf_handle_schedule_disable(hf_request *r) { hf_schedule_change(r, HF_SCHEDULE_DISABLE, answer_disabled); }
void hf_handle_schedule_trigger(hf_request *r) { hf_schedule_trigger(r, answer_triggered); }
