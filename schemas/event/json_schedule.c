#include "schemas/event/json_schedule.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/secret.h"

typedef struct reader {
    unsigned flags;
    hf_arena *arena;
    hf_schedule *schedule;
    hf_intake_errors *errors, *warnings;
} reader;

typedef struct member member;
typedef hf_code (*member_reader)(reader *r, const member *m, const json_t *value, hf_err *reterr);
struct member {
    const char *name;
    member_reader read;
    const char *field; /* of the record */
};

static void add(hf_intake_errors *list, hf_arena *arena, const char *text) {
    if (list->count++ < HF_MAX_ERRORS)
        list->text[list->count - 1] = hf_arena_str(arena, hf_str_of(text));
}

static const hf_field *field_of(const char *name) { /* of the table below: it is there */
    uint32_t i = 0;
    while (strcmp(HF_TYPE_SCHEDULE.fields[i].name, name) != 0) {
        i++;
        assert(i < HF_TYPE_SCHEDULE.field_count);
    }
    return &HF_TYPE_SCHEDULE.fields[i];
}

static hf_code read_field(reader *r, const member *m, const json_t *value, hf_err *reterr) {
    return hf_json_to_field(field_of(m->field), value, m->name, r->arena, r->schedule, reterr);
}

/* "1h30m", or seconds as a number. */
static hf_code read_span(reader *r, const member *m, const json_t *value, hf_err *reterr) {
    int64_t ms = -1;
    double seconds = json_is_number(value) ? json_number_value(value) : -1;
    hf_str text = {json_string_value(value), (uint32_t)json_string_length(value)};
    if (json_is_number(value) && seconds >= 0 && seconds <= 1e9)
        ms = (int64_t)(seconds * 1000 + 0.5);
    else if (!json_is_string(value) || !hf_duration_parse(text, &ms))
        ms = -1;
    if (ms < 0)
        return hf_fail(reterr, HF_E_INVALID, "%s: must be a duration like \"1h30m\", or seconds as a number", m->name);
    *(int64_t *)(void *)((char *)r->schedule + field_of(m->field)->offset) = ms;
    return HF_OK;
}

static hf_code read_template(reader *r, const member *m, const json_t *value, hf_err *reterr) {
    hf_submission submission;
    hf_err err;
    if (!json_is_object(value))
        return hf_fail(reterr, HF_E_INVALID, "%s: must be an object: the job that each run submits", m->name);
    if (hf_submission_from_json(value, r->arena, &submission, &err) != HF_OK)
        return hf_fail(reterr, err.code, "%s.%s", m->name, err.detail);
    r->schedule->job_template = submission.spec;
    return HF_OK;
}

static hf_code pass_over(reader *r, const member *m, const json_t *value, hf_err *reterr) {
    (void)r, (void)m, (void)value, (void)reterr;
    return HF_OK;
}

static const member members[] = {
    {"id", read_field, "schedule_id"},
    {"name", read_field, "name"},
    {"description", read_field, "description"},
    {"schedule", read_field, "schedule"},
    {"time_zone", read_field, "time_zone"},
    {"dst_policy", read_field, "dst_policy"},
    {"job_template", read_template, "job_template"},
    {"enabled", read_field, "enabled"},
    {"overlap", read_field, "overlap"},
    {"catchup_window", read_span, "catchup_window_ms"},
    {"jitter", read_span, "jitter_ms"},
    {"start_at", read_field, "start_at"},
    {"end_at", read_field, "end_at"},
    {"max_runs", read_field, "max_runs"},
    {"tags", read_field, "tags"},
    /* of an answer that is sent back */
    {"created_at", pass_over, NULL},
    {"updated_at", pass_over, NULL},
    {"by", pass_over, NULL},
    {"origin", pass_over, NULL},
    {"next_run", pass_over, NULL},
    {"next_runs", pass_over, NULL},
    {"last_run", pass_over, NULL},
    {"last_job_id", pass_over, NULL},
    {"last_outcome", pass_over, NULL},
    {"run_count", pass_over, NULL},
    {"running", pass_over, NULL},
    {"recent_runs", pass_over, NULL},
    {"version", pass_over, NULL},
};
enum { MEMBER_COUNT = sizeof members / sizeof *members };

static bool is_empty(const json_t *value) {
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

/* What absence means, for one field. */
static void set_back(reader *r, const member *m) {
    hf_schedule fresh;
    hf_type_init(&HF_TYPE_SCHEDULE, &fresh);
    const hf_field *f = field_of(m->field);
    size_t size = f + 1 < HF_TYPE_SCHEDULE.fields + HF_TYPE_SCHEDULE.field_count ? f[1].offset - f->offset
                                                                                 : sizeof fresh - f->offset;
    memcpy((char *)r->schedule + f->offset, (const char *)&fresh + f->offset, size);
}

static hf_code read_member(reader *r, const member *m, const json_t *value) {
    hf_err err;
    if (!value || m->read == pass_over || ((r->flags & HF_SCHEDULE_LENIENT) && is_empty(value)))
        return HF_OK;
    if (json_is_null(value)) {
        set_back(r, m);
        return HF_OK;
    }
    hf_code code = m->read(r, m, value, &err);
    if (code != HF_OK)
        add(r->errors, r->arena, err.detail);
    return code == HF_E_NO_MEMORY ? code : HF_OK;
}

static bool is_known(const char *name) {
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (strcmp(members[i].name, name) == 0)
            return true;
    return false;
}

static void note_unknown(reader *r, const char *name) {
    char text[HF_MAX_TEXT / 2];
    bool lenient = (r->flags & HF_SCHEDULE_LENIENT) != 0;
    snprintf(text, sizeof text, "%.64s: %s", name,
             lenient ? "not known, nothing acts on it"
                     : "is no member of a schedule; remove it, or see docs/schedules.md for the names");
    add(lenient ? r->warnings : r->errors, r->arena, text);
}

hf_code hf_schedule_from_json(const json_t *json, unsigned flags, hf_arena *arena, hf_schedule *schedule,
                              hf_intake_errors *errors, hf_intake_errors *warnings, hf_err *reterr) {
    char path[HF_SECRET_PATH_BYTES];
    reader r = {flags, arena, schedule, errors, warnings};
    const char *name;
    json_t *value;
    if (!json_is_object(json))
        return hf_fail(reterr, HF_E_INVALID, "a schedule must be a JSON object with id, schedule and job_template");
    if (hf_secret_in_json(json, path))
        return hf_fail(reterr, HF_E_SECRET,
                       "%s: looks like a secret; leave it out and name an endpoint whose credentials the workers hold",
                       path[0] ? path : "the schedule");
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (read_member(&r, &members[i], json_object_get(json, members[i].name)) != HF_OK)
            return hf_fail(reterr, HF_E_NO_MEMORY, "%s: no memory", members[i].name);
    json_object_foreach((json_t *)(uintptr_t)json, name, value)
        if (!is_known(name))
            note_unknown(&r, name);
    return HF_OK;
}

/* ---- read and judged ---------------------------------------------------------------------------------------- */
/* "job_template" of "job_template.vm_path: required" */
static hf_str member_of(hf_str error) {
    uint32_t len = 0;
    while (len < error.len && error.p[len] != ':' && error.p[len] != '.' && error.p[len] != '[')
        len++;
    return (hf_str){error.p, len};
}

static bool told_already(const hf_intake_errors *errors, uint32_t count, hf_str error) {
    for (uint32_t i = 0; i < count && i < HF_MAX_ERRORS; i++)
        if (hf_str_eq(member_of(errors->text[i]), member_of(error)))
            return true;
    return false;
}

hf_code hf_schedule_read(const json_t *json, unsigned flags, int64_t now_ms, hf_arena *arena, hf_schedule *schedule,
                         hf_intake_errors *errors, hf_intake_errors *warnings, hf_err *reterr) {
    hf_code code = hf_schedule_from_json(json, flags, arena, schedule, errors, warnings, reterr);
    hf_intake_errors *judged = code == HF_OK ? hf_arena_alloc(arena, sizeof *judged) : NULL;
    if (code != HF_OK)
        return code;
    if (!judged)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedule: no memory");
    uint32_t unread = errors->count;
    hf_schedule_check(schedule, now_ms, arena, judged, warnings);
    for (uint32_t i = 0; i < judged->count && i < HF_MAX_ERRORS; i++)
        if (!told_already(errors, unread, judged->text[i]) && errors->count++ < HF_MAX_ERRORS)
            errors->text[errors->count - 1] = judged->text[i];
    return HF_OK;
}

/* ---- out -------------------------------------------------------------------------------------------------- */
const char *hf_span_format(int64_t ms, char text[HF_SPAN_BYTES]) {
    int64_t h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60, rest = ms % 1000;
    size_t used = 0;
    text[0] = 0;
    if (h)
        used += (size_t)snprintf(text, HF_SPAN_BYTES, "%" PRId64 "h", h);
    if (m)
        used += (size_t)snprintf(text + used, HF_SPAN_BYTES - used, "%" PRId64 "m", m);
    if (rest)
        snprintf(text + used, HF_SPAN_BYTES - used, "%" PRId64 ".%03" PRId64 "s", s, rest);
    else if (s || used == 0)
        snprintf(text + used, HF_SPAN_BYTES - used, "%" PRId64 "s", s);
    return text;
}

json_t *hf_spec_json(const hf_spec *spec) {
    hf_spec plain = *spec;
    plain.options.unsupported = (hf_list){0};
    plain.origin = HF_STR_NONE;
    return hf_json_of(&HF_TYPE_SPEC, &plain, 0);
}

static void set_span(json_t *o, const char *name, int64_t ms) {
    char text[HF_SPAN_BYTES];
    json_object_set_new(o, name, json_string(hf_span_format(ms, text)));
}

json_t *hf_schedule_json(const hf_schedule *schedule) {
    json_t *o = hf_json_of(&HF_TYPE_SCHEDULE, schedule, 0);
    if (!o)
        return NULL;
    json_object_set(o, "id", json_object_get(o, "schedule_id"));
    json_object_del(o, "schedule_id");
    json_object_del(o, "catchup_window_ms");
    json_object_del(o, "jitter_ms");
    set_span(o, "catchup_window", schedule->catchup_window_ms);
    set_span(o, "jitter", schedule->jitter_ms);
    json_object_set_new(o, "job_template", hf_spec_json(&schedule->job_template));
    return o;
}
