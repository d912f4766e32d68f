#include "schemas/job/schedule_check.h"

#include "schemas/base/mem.h"
#include "schemas/job/intake_parts.h"
#include "schemas/job/schedule_run.h"

typedef struct judge {
    const hf_schedule *schedule;
    int64_t now_ms;
    hf_arena *arena;
    hf_intake_errors *errors, *warnings;
} judge;

#define SAY(j, ...) hf_intake_add((j)->errors, (j)->arena, __VA_ARGS__)
#define WARN(j, ...) hf_intake_add((j)->warnings, (j)->arena, __VA_ARGS__)

static void check_id(judge *j) {
    hf_str id = j->schedule->schedule_id;
    if (!hf_id_valid(id))
        SAY(j, "id: %s 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ - and not begin with . or -",
            id.len ? "must be" : "required;", HF_ID_MAX_BYTES);
    else if (hf_str_eqz(id, "stats")) /* GET /schedules/stats */
        SAY(j, "id: \"stats\" is the name of a page of the API; choose another");
}

static void check_never(judge *j, const hf_cron *cron, const hf_zone *zone) {
    const hf_schedule *s = j->schedule;
    int64_t after = s->start_at > j->now_ms ? s->start_at - 1 : j->now_ms, next;
    if (!hf_cron_next(cron, zone, (hf_dst_policy)s->dst_policy, after, &next))
        WARN(j, "schedule: not due within %d years; check day and month", HF_CRON_YEARS);
    else if (s->end_at && next > s->end_at)
        WARN(j, "end_at: comes before the next time the schedule is due; nothing will run");
}

static void check_when(judge *j) {
    const hf_schedule *s = j->schedule;
    hf_cron cron;
    hf_zone *zone hf_auto(hf_zone_free_p) = NULL;
    hf_err err;
    if (s->schedule.len == 0) {
        SAY(j, "schedule: required; give five cron fields like \"30 2 * * *\", @daily, or @every 1h30m");
        return;
    }
    if (hf_cron_parse(s->schedule, &cron, NULL, &err) != HF_OK) {
        SAY(j, "schedule: %s", err.detail);
        return;
    }
    if (cron.has_zone && s->time_zone.len)
        SAY(j, "time_zone: the schedule names a zone of its own (TZ=); give one of them");
    if (hf_cron_zone(&cron, s->time_zone, &zone, &err) != HF_OK)
        SAY(j, "%s: %s", cron.has_zone ? "schedule" : "time_zone", err.detail);
    else
        check_never(j, &cron, zone);
}

static void check_span(judge *j, const char *field, int64_t ms, int64_t max_ms) {
    if (ms < 0 || ms > max_ms)
        SAY(j, "%s: %lld ms is out of range; give 0 to %lldh", field, (long long)ms, (long long)(max_ms / 3600000));
}

static void check_bounds(judge *j) {
    const hf_schedule *s = j->schedule;
    check_span(j, "catchup_window", s->catchup_window_ms, HF_CATCHUP_WINDOW_MAX_MS);
    check_span(j, "jitter", s->jitter_ms, HF_JITTER_MAX_MS);
    if (s->end_at && s->end_at <= s->start_at)
        SAY(j, "end_at: must be later than start_at; change one of them");
    if (s->max_runs < 0 || s->max_runs > HF_SCHEDULE_RUNS_MAX)
        SAY(j, "max_runs: %lld is out of range; give 0 (for ever) to %d", (long long)s->max_runs, HF_SCHEDULE_RUNS_MAX);
}

/* What intake says of the job, with the field's full name. The copy takes what is filled in and emptied. */
static void check_template(judge *j) {
    hf_spec spec = j->schedule->job_template;
    hf_intake_errors *own = hf_arena_alloc(j->arena, 2 * sizeof *own);
    if (!own) {
        SAY(j, "job_template: no memory to look at it");
        return;
    }
    hf_intake_fill(&spec, j->arena);
    hf_intake_rules(&spec, j->arena, &own[0], &own[1]);
    for (uint32_t i = 0; i < own[0].count && i < HF_MAX_ERRORS; i++)
        SAY(j, "job_template.%.*s", HF_STR_ARG(own[0].text[i]));
    for (uint32_t i = 0; i < own[1].count && i < HF_MAX_ERRORS; i++)
        WARN(j, "job_template.%.*s", HF_STR_ARG(own[1].text[i]));
    if (spec.output_dir.len && !hf_schedule_names_differ(&j->schedule->job_template))
        WARN(
            j,
            "job_template.output_dir: every run writes the same names, and what is there is never replaced; put {time} or {date} "
            "into it, as in \"/exports/{date}\"");
}

void hf_schedule_check(const hf_schedule *schedule, int64_t now_ms, hf_arena *arena, hf_intake_errors *errors,
                       hf_intake_errors *warnings) {
    judge j = {schedule, now_ms, arena, errors, warnings};
    hf_schedule copy = *schedule;
    check_id(&j);
    check_when(&j);
    check_bounds(&j);
    check_template(&j);
    hf_intake_texts_of(&HF_TYPE_SCHEDULE, &copy, arena, errors);
}
