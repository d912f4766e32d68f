/* `hyperctl schedule next`: when an expression is due, reckoned here, without a fleet; or when a stored schedule is. */
#include <stdio.h>
#include <string.h>

#include "producer/ctl/http.h"
#include "producer/ctl/schedules.h"
#include "producer/ctl/text.h"
#include "schemas/base/clock.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"
#include "schemas/cron/cron.h"
#include "schemas/event/json_schedule.h"
#include "schemas/job/due.h"

enum { COUNT_DEFAULT = 5, COUNT_MAX = 10000, ARENA_BYTES = 4 << 20 };

bool hf_schedule_is_expression(const char *text) {
    return strpbrk(text, " \t\n\r\v\f") || text[0] == '@' || strncmp(text, "TZ=", 3) == 0 ||
           strncmp(text, "CRON_TZ=", 8) == 0 || !hf_id_valid(hf_str_of(text));
}

static hf_code read_policy(const hf_args *args, hf_dst_policy *ret, hf_err *reterr) {
    const char *said = hf_args_get(args, HF_OPT_DST);
    if (said && strcmp(said, "vixie") != 0 && strcmp(said, "robfig") != 0)
        return hf_fail(reterr, HF_E_USAGE, "--dst '%.32s': give vixie or robfig", said);
    *ret = said && strcmp(said, "robfig") == 0 ? HF_DST_ROBFIG : HF_DST_VIXIE;
    return HF_OK;
}

static hf_code read_from(const hf_args *args, int64_t *ret_ms, hf_err *reterr) {
    const char *said = hf_args_get(args, HF_OPT_FROM);
    *ret_ms = hf_wall_ms(hf_clock_system());
    if (said && !hf_time_parse(hf_str_of(said), ret_ms))
        return hf_fail(reterr, HF_E_USAGE, "--from '%.64s': give a time of RFC 3339, such as 2026-03-28T12:00:00Z",
                       said);
    return HF_OK;
}

/* The expression with a caret below the place, in front of the error itself. */
static void point_at(const char *text, size_t at) {
    char shown[HF_CRON_TEXT_MAX + 1], before[HF_CRON_TEXT_MAX + 1];
    if (strlen(text) > HF_CRON_TEXT_MAX || at > strlen(text))
        return;
    memcpy(before, text, at);
    before[at] = 0;
    char harmless[HF_CRON_TEXT_MAX + 1];
    hf_text_harmless(before, harmless, sizeof harmless);
    fprintf(stderr, "  %s\n  %*s^\n", hf_text_harmless(text, shown, sizeof shown), (int)hf_text_width(harmless), "");
}

static hf_code read_expression(const char *text, hf_cron *cron, hf_zone **zone, hf_err *reterr) {
    size_t at = 0;
    hf_code code = hf_cron_parse(hf_str_of(text), cron, &at, reterr);
    if (!code && (code = hf_cron_zone(cron, HF_STR_NONE, zone, reterr))) {
        at = (size_t)(strchr(text, '=') - text) + 1;
        hf_context(reterr, "column %zu", at + 1);
    }
    if (code)
        point_at(text, at);
    return code;
}

/* ---- telling ------------------------------------------------------------------------------------------------ */
typedef struct times {
    hf_ctl *ctl;
    const hf_zone *zone;
    json_t *list; /* with --output json */
    long told;
} times;

static void tell(times *t, int64_t at_ms) {
    char text[HF_ZONE_TIME_BYTES];
    hf_zone_format(t->zone, at_ms / 1000, text);
    t->told++;
    if (t->ctl->json)
        json_array_append_new(t->list, json_string(text));
    else
        fprintf(t->ctl->out, "%s\n", text);
}

static hf_code end_of(times *t, long count, hf_err *reterr) {
    hf_code code = HF_OK;
    if (t->ctl->json)
        code = t->list ? hf_ctl_print_json(t->ctl, t->list, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "times");
    json_decref(t->list);
    if (!code && t->told < count)
        fprintf(stderr, "hyperctl schedule: not due %swithin %d years\n", t->told ? "again " : "", HF_CRON_YEARS);
    return code;
}

/* ---- of an expression ------------------------------------------------------------------------------------------- */
static hf_code of_expression(hf_ctl *ctl, const char *text, int64_t at_ms, long count, hf_err *reterr) {
    hf_cron cron;
    hf_auto(hf_zone_free_p) hf_zone *zone = NULL;
    hf_dst_policy policy;
    hf_code code = read_policy(&ctl->args, &policy, reterr);
    if (!code)
        code = read_expression(text, &cron, &zone, reterr);
    if (code)
        return code;
    times t = {.ctl = ctl, .zone = zone, .list = ctl->json ? json_array() : NULL};
    while (t.told < count && hf_cron_next(&cron, zone, policy, at_ms, &at_ms))
        tell(&t, at_ms);
    return end_of(&t, count, reterr);
}

/* ---- of a stored schedule --------------------------------------------------------------------------------------- */
static hf_code fetch(hf_ctl *ctl, const char *id, json_t **ret, hf_err *reterr) {
    hf_http *http;
    char path[HF_SCHEDULE_PATH_BYTES];
    hf_code code = hf_schedule_path(id, "", path, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    return code ? code : hf_http_call(http, "GET", path, NULL, ret, reterr);
}

/* The times are reckoned here, from any moment on: the sidecar only says what the schedule is. */
static hf_code read_schedule(const hf_ctl *ctl, const json_t *json, hf_arena *arena, hf_schedule *ret, hf_err *reterr) {
    hf_intake_errors *lists = hf_arena_alloc(arena, 2 * sizeof *lists);
    const char *created = json_string_value(json_object_get(json, "created_at"));
    hf_dst_policy policy;
    if (!lists)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedule");
    hf_type_init(&HF_TYPE_SCHEDULE, ret);
    hf_code code = hf_schedule_from_json(json, HF_SCHEDULE_LENIENT, arena, ret, &lists[0], &lists[1], reterr);
    if (!code && created && !hf_time_parse(hf_str_of(created), &ret->created_at))
        code = hf_fail(reterr, HF_E_PROTOCOL, "the sidecar's answer has a created_at that is no time");
    if (!code)
        code = read_policy(&ctl->args, &policy, reterr);
    if (!code && hf_args_get(&ctl->args, HF_OPT_DST))
        ret->dst_policy = (int32_t)policy;
    return code;
}

static hf_code tell_schedule(hf_ctl *ctl, const hf_schedule *s, int64_t from_ms, long count, hf_err *reterr) {
    hf_due due;
    hf_zones *zones = hf_zones_new();
    hf_code code = zones ? hf_due_of(s, zones, &due, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "zones");
    if (!code) {
        times t = {.ctl = ctl, .zone = due.zone, .list = ctl->json ? json_array() : NULL};
        int64_t at = from_ms - due.delay_ms;
        while (t.told < count && hf_due_next(&due, at, &at))
            tell(&t, at + due.delay_ms);
        code = end_of(&t, count, reterr);
        if (!code && !s->enabled)
            fprintf(stderr, "hyperctl schedule: %.*s is disabled: it will not run at these times\n",
                    HF_STR_ARG(s->schedule_id));
    }
    hf_zones_free(zones);
    return code;
}

static hf_code of_schedule(hf_ctl *ctl, const char *id, int64_t from_ms, long count, hf_err *reterr) {
    hf_arena arena;
    hf_schedule schedule;
    json_t *json = NULL;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code code = fetch(ctl, id, &json, reterr);
    if (!code)
        code = read_schedule(ctl, json, &arena, &schedule, reterr);
    if (!code)
        code = tell_schedule(ctl, &schedule, from_ms, count, reterr);
    json_decref(json);
    hf_arena_done(&arena);
    return code;
}

hf_code hf_schedule_next(hf_ctl *ctl, hf_err *reterr) {
    const char *text = ctl->args.rest[1];
    int64_t from_ms;
    long count;
    hf_code code = hf_args_int(&ctl->args, HF_OPT_TIMES, 1, COUNT_MAX, COUNT_DEFAULT, &count, reterr);
    if (!code)
        code = read_from(&ctl->args, &from_ms, reterr);
    if (code)
        return code;
    return hf_schedule_is_expression(text) ? of_expression(ctl, text, from_ms, count, reterr)
                                           : of_schedule(ctl, text, from_ms, count, reterr);
}
