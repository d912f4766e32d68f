/* hyperctl schedule add: schedules from flags or from a file, judged here first and then made by the sidecar. */
#include <pwd.h>
#include <string.h>

#include "producer/ctl/http.h"
#include "producer/ctl/jobflags.h"
#include "producer/ctl/schedules.h"
#include "producer/submit/jobfile.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/event/json_schedule.h"

enum { ARENA_BYTES = 4 << 20 };

/* Flags that are a text member of the schedule as they stand. */
static const struct {
    hf_option_id option;
    const char *member;
} texts[] = {{HF_OPT_ID, "id"},          {HF_OPT_CRON, "schedule"},          {HF_OPT_TIME_ZONE, "time_zone"},
             {HF_OPT_DST, "dst_policy"}, {HF_OPT_OVERLAP, "overlap"},        {HF_OPT_CATCHUP, "catchup_window"},
             {HF_OPT_JITTER, "jitter"},  {HF_OPT_START, "start_at"},         {HF_OPT_END, "end_at"},
             {HF_OPT_NAME, "name"},      {HF_OPT_DESCRIPTION, "description"}};

static const char *schedule_flag_given(const hf_args *args) {
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if (hf_args_get(args, texts[i].option))
            return hf_option_name(texts[i].option);
    return hf_args_get(args, HF_OPT_MAX_RUNS)   ? hf_option_name(HF_OPT_MAX_RUNS)
           : hf_args_get(args, HF_OPT_DISABLED) ? hf_option_name(HF_OPT_DISABLED)
                                                : hf_job_flag_given(args);
}

/* ---- from flags -------------------------------------------------------------------------------------------- */
static hf_code put_flags(const hf_args *args, json_t *schedule, hf_err *reterr) {
    long runs;
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        const char *text = hf_args_get(args, texts[i].option);
        if (text && json_object_set_new(schedule, texts[i].member, json_string(text)) != 0)
            return hf_fail(reterr, HF_E_INVALID, "--%s is not valid UTF-8", hf_option_name(texts[i].option));
    }
    hf_code code = hf_args_int(args, HF_OPT_MAX_RUNS, 0, HF_SCHEDULE_RUNS_MAX, 0, &runs, reterr);
    if (!code && hf_args_get(args, HF_OPT_MAX_RUNS))
        json_object_set_new(schedule, "max_runs", json_integer(runs));
    if (hf_args_get(args, HF_OPT_DISABLED))
        json_object_set_new(schedule, "enabled", json_false());
    return code;
}

/* --tag is the schedule's; each run gets it. */
static void move_tags(json_t *schedule, json_t *job) {
    json_t *audit = json_object_get(job, "audit"), *tags = json_object_get(audit, "tags");
    if (tags && json_object_set(schedule, "tags", tags) == 0)
        json_object_del(audit, "tags");
}

static hf_code of_flags(hf_ctl *ctl, json_t **ret, hf_err *reterr) {
    hf_args args = ctl->args;
    hf_auto_free char *cwd = getcwd(NULL, 0);
    const struct passwd *user = getpwuid(geteuid());
    json_t *job = NULL, *schedule = json_object();
    args.rest++; /* `add` is no path */
    args.rest_count--;
    hf_code code = schedule ? put_flags(&args, schedule, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "schedule");
    if (!code && (!hf_args_get(&args, HF_OPT_ID) || !hf_args_get(&args, HF_OPT_CRON)))
        code = hf_fail(reterr, HF_E_USAGE, "add: give --id and --cron, or -f FILE");
    if (!code && hf_args_get(&args, HF_OPT_JOB_ID))
        code = hf_fail(reterr, HF_E_USAGE, "--job-id: each run of a schedule is a job with an id of its own");
    if (!code)
        code = hf_job_from_args(&args, cwd ? cwd : "", user ? user->pw_name : NULL, &job, reterr);
    if (!code) {
        move_tags(schedule, job);
        json_object_set_new(schedule, "job_template", job);
        *ret = json_pack("[O]", schedule);
        code = *ret ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "schedule");
    }
    json_decref(schedule);
    return code;
}

/* ---- from a file ---------------------------------------------------------------------------------------------- */
/* One, a list, or {schedules: […]}. */
static hf_code of_file(const char *path, json_t **ret, hf_err *reterr) {
    json_t *read = NULL;
    hf_code code = hf_jobs_read(path, &read, reterr);
    json_t *inside = code ? NULL : json_object_get(json_array_get(read, 0), "schedules");
    if (!code && json_array_size(read) == 1 && json_is_array(inside)) {
        json_incref(inside);
        json_decref(read);
        read = inside;
    }
    if (!code && json_array_size(read) == 0) {
        code = hf_fail(reterr, HF_E_INVALID, "%.200s: holds no schedule", path);
        json_decref(read);
    }
    if (!code)
        *ret = read;
    return code;
}

/* ---- judged, then made ------------------------------------------------------------------------------------------ */
/* The sidecar would refuse it all the same; here nothing of a file is made while another part of it is wrong. */
static hf_code judge(const json_t *json, size_t index, size_t count, hf_arena *arena, hf_err *reterr) {
    hf_schedule schedule;
    hf_intake_errors *lists = hf_arena_alloc(arena, 2 * sizeof *lists);
    if (!lists)
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedule %zu", index + 1);
    hf_type_init(&HF_TYPE_SCHEDULE, &schedule);
    hf_code code =
        hf_schedule_read(json, 0, hf_wall_ms(hf_clock_system()), arena, &schedule, &lists[0], &lists[1], reterr);
    char which[32] = "";
    if (count > 1)
        snprintf(which, sizeof which, "schedule %zu: ", index + 1);
    if (code)
        return count > 1 ? hf_context(reterr, "schedule %zu", index + 1) : code;
    for (uint32_t i = 0; i < lists[1].count && i < HF_MAX_ERRORS; i++)
        fprintf(stderr, "hyperctl schedule: %swarning: %.*s\n", which, HF_STR_ARG(lists[1].text[i]));
    if (lists[0].count == 0)
        return HF_OK;
    for (uint32_t i = 1; i < lists[0].count && i < HF_MAX_ERRORS; i++)
        fprintf(stderr, "hyperctl schedule: %s%.*s\n", which, HF_STR_ARG(lists[0].text[i]));
    return hf_fail(reterr, HF_E_INVALID, "%s%.*s", which, HF_STR_ARG(lists[0].text[0]));
}

static hf_code judge_all(const json_t *list, hf_err *reterr) {
    hf_arena arena;
    size_t i;
    json_t *json;
    hf_code code = HF_OK;
    hf_arena_init(&arena, ARENA_BYTES);
    json_array_foreach(list, i, json) {
        if (code)
            break;
        hf_arena_reset(&arena);
        code = judge(json, i, json_array_size(list), &arena, reterr);
    }
    hf_arena_done(&arena);
    return code;
}

static hf_code make(hf_ctl *ctl, hf_http *http, const json_t *json, hf_err *reterr) {
    char path[HF_SCHEDULE_PATH_BYTES];
    const char *id = json_string_value(json_object_get(json, "id"));
    bool replace = hf_args_get(&ctl->args, HF_OPT_REPLACE) != NULL;
    json_t *made = NULL;
    hf_code code = hf_schedule_path(id ? id : "", "", path, reterr);
    if (!code)
        code = replace ? hf_http_call(http, "PUT", path, json, &made, reterr)
                       : hf_http_call(http, "POST", "/api/v1/schedules", json, &made, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, made, reterr);
    else if (!code) {
        const char *next = json_string_value(json_array_get(json_object_get(made, "next_runs"), 0));
        fprintf(ctl->out, "%s: %s%s\n", id, next ? "next " : "will not run", next ? next : "");
    }
    json_decref(made);
    return code;
}

hf_code hf_schedule_add(hf_ctl *ctl, hf_err *reterr) {
    const char *file = hf_args_get(&ctl->args, HF_OPT_FILE), *flag = schedule_flag_given(&ctl->args);
    hf_http *http = NULL;
    json_t *list = NULL, *json;
    size_t i;
    if (file && (flag || ctl->args.rest_count > 1))
        return hf_fail(reterr, HF_E_USAGE, "%s%s and a file exclude each other: put it into the file", flag ? "--" : "",
                       flag ? flag : "a path");
    hf_code code = file ? of_file(file, &list, reterr) : of_flags(ctl, &list, reterr);
    if (!code)
        code = judge_all(list, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    json_array_foreach(list, i, json)
        if (!code)
            code = make(ctl, http, json, reterr);
    json_decref(list);
    return code;
}
