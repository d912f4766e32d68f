/* hyperctl pause, resume, worker, controls, adjust: what is to rest and what is to go on. Those that change something say what was told, and
 * what is in force then: an order to stop may be obeyed, and gone, by the time the list is asked for. */
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/text.h"
#include "schemas/base/id.h"
#include "schemas/event/json_submission.h"
#include "schemas/job/control.h"

enum { TARGET_BYTES = HF_CONTROL_KEY_BYTES, PATH_BYTES = 512 };

/* ---- what is in force ------------------------------------------------------------------------------------------- */
static const char *text_in(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

static hf_code print_table(hf_ctl *ctl, const json_t *items, hf_err *reterr) {
    static const char *const headings[] = {"TARGET", "TOLD TO", "SINCE", "BY", "REASON"};
    hf_table *table = hf_table_new(headings, sizeof headings / sizeof *headings);
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) {
        hf_table_put(table, text_in(item, "target"));
        hf_table_put(table, text_in(item, "action"));
        hf_table_put(table, text_in(item, "at"));
        hf_table_put(table, text_in(item, "by"));
        hf_table_put(table, text_in(item, "reason"));
    }
    hf_code code =
        table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "the list of controls");
    hf_table_free(table);
    return code;
}

static void print_told(hf_ctl *ctl, const json_t *told) {
    size_t i;
    json_t *control;
    json_array_foreach(told, i, control)
        fprintf(ctl->out, "%s told to %s\n", json_string_value(json_object_get(control, "target")),
                json_string_value(json_object_get(control, "action")));
}

/* What is in force now; told: the controls that this command gave, or NULL where it only asks. */
static hf_code print_in_force(hf_ctl *ctl, json_t *told, hf_err *reterr) {
    hf_http *http;
    json_t *answer = NULL;
    hf_code code = hf_ctl_http(ctl, &http, reterr);
    if (!code)
        code = hf_http_call(http, "GET", "/api/v1/controls", NULL, &answer, reterr);
    const json_t *items = json_object_get(answer, "items");
    if (!code && told && ctl->json && json_object_set(answer, "told", told) != 0)
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the list of controls");
    if (!code && !ctl->json)
        print_told(ctl, told);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code && json_array_size(items) == 0)
        fprintf(ctl->out, "nothing is paused, and no worker was told anything\n");
    else if (!code)
        code = print_table(ctl, items, reterr);
    json_decref(answer);
    return code;
}

hf_code hf_cmd_controls(hf_ctl *ctl, hf_err *reterr) { return print_in_force(ctl, NULL, reterr); }

/* ---- saying it ------------------------------------------------------------------------------------------------------ */
static hf_code give(hf_ctl *ctl, json_t *told, const char *target, const char *action, hf_err *reterr) {
    hf_http *http;
    json_t *answer = NULL;
    const char *reason = hf_args_get(&ctl->args, HF_OPT_REASON);
    json_t *request = json_pack("{s:s, s:s, s:s*}", "target", target, "action", action, "reason", reason);
    hf_code code = request ? hf_ctl_http(ctl, &http, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "request");
    if (!code)
        code = hf_http_call(http, "POST", "/api/v1/controls", request, &answer, reterr);
    json_decref(request);
    if (!code && json_array_append(told, answer) != 0)
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the answer");
    json_decref(answer);
    return code;
}

static hf_code name_target(const char *scope, const char *name, char target[TARGET_BYTES], hf_err *reterr) {
    if (!hf_id_valid(hf_str_of(name)))
        return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no %s", name,
                       strcmp(scope, "worker") == 0 ? "worker's id" : "name");
    snprintf(target, TARGET_BYTES, "%s/%s", scope, name);
    return HF_OK;
}

/* All that is named, before anything is done. */
static hf_code check_names(const hf_ctl *ctl, hf_option_id option, const char *scope, hf_err *reterr) {
    char target[TARGET_BYTES];
    size_t cursor = 0;
    hf_code code = HF_OK;
    for (const char *name; !code && (name = hf_args_next(&ctl->args, option, &cursor));)
        code = name_target(scope, name, target, reterr);
    return code;
}

static hf_code check_words(const hf_ctl *ctl, hf_err *reterr) {
    for (int i = 0; i < ctl->args.rest_count; i++)
        if (strcmp(ctl->args.rest[i], "intake") != 0 && strcmp(ctl->args.rest[i], "claims") != 0)
            return hf_fail(reterr, HF_E_USAGE, "'%.64s': say intake, claims, --operation, --provider or --worker",
                           ctl->args.rest[i]);
    return HF_OK;
}

/* Everything that the command line names: at least one thing. */
static hf_code give_all(hf_ctl *ctl, bool pause, json_t *told, hf_err *reterr) {
    static const struct {
        hf_option_id option;
        const char *scope, *action;
    } named[] = {{HF_OPT_OPERATION, "operation", "pause"},
                 {HF_OPT_PROVIDER, "provider", "pause"},
                 {HF_OPT_WORKER, "worker", "quiet"}};
    int given = 0;
    bool narrowed = false; /* "claims --provider x": those claims, not all */
    hf_code code = check_words(ctl, reterr);
    for (size_t n = 0; n < sizeof named / sizeof *named; n++) {
        size_t cursor = 0;
        narrowed = narrowed || hf_args_next(&ctl->args, named[n].option, &cursor);
        if (!code)
            code = check_names(ctl, named[n].option, named[n].scope, reterr);
    }
    for (int i = 0; !code && i < ctl->args.rest_count; i++)
        if (strcmp(ctl->args.rest[i], "claims") != 0 || !narrowed) {
            code = give(ctl, told, ctl->args.rest[i], pause ? "pause" : "resume", reterr);
            given++;
        }
    for (size_t n = 0; !code && n < sizeof named / sizeof *named; n++) {
        size_t cursor = 0;
        char target[TARGET_BYTES];
        for (const char *name; !code && (name = hf_args_next(&ctl->args, named[n].option, &cursor)); given++) {
            code = name_target(named[n].scope, name, target, reterr);
            if (!code)
                code = give(ctl, told, target, pause ? named[n].action : "resume", reterr);
        }
    }
    if (!code && given == 0)
        return hf_fail(reterr, HF_E_USAGE,
                       "say what: intake, claims, --operation NAME, --provider NAME or --worker ID");
    return code ? code : print_in_force(ctl, told, reterr);
}

hf_code hf_cmd_pause(hf_ctl *ctl, hf_err *reterr) {
    json_t *told = json_array();
    hf_code code = give_all(ctl, true, told, reterr);
    json_decref(told);
    return code;
}

hf_code hf_cmd_resume(hf_ctl *ctl, hf_err *reterr) {
    json_t *told = json_array();
    hf_code code = give_all(ctl, false, told, reterr);
    json_decref(told);
    return code;
}

hf_code hf_cmd_worker(hf_ctl *ctl, hf_err *reterr) {
    static const char *const actions[] = {"quiet", "drain", "stop", "resume"};
    const char *action = NULL;
    hf_code code = HF_OK;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(ctl->args.rest[0], actions[i]) == 0)
            action = actions[i];
    if (!action)
        return hf_fail(reterr, HF_E_USAGE, "'%.64s': say quiet, drain, stop or resume", ctl->args.rest[0]);
    char target[TARGET_BYTES];
    for (int i = 1; !code && i < ctl->args.rest_count; i++)
        code = name_target("worker", ctl->args.rest[i], target, reterr);
    json_t *told = json_array();
    for (int i = 1; !code && i < ctl->args.rest_count; i++) {
        code = name_target("worker", ctl->args.rest[i], target, reterr);
        if (!code)
            code = give(ctl, told, target, action, reterr);
    }
    if (!code)
        code = print_in_force(ctl, told, reterr);
    json_decref(told);
    return code;
}

/* ---- jobs --------------------------------------------------------------------------------------------------------------- */
static hf_code adjustment(const hf_ctl *ctl, json_t **ret, hf_err *reterr) {
    const char *limit = hf_args_get(&ctl->args, HF_OPT_BANDWIDTH), *reason = hf_args_get(&ctl->args, HF_OPT_REASON);
    long priority = 0;
    int64_t bytes = 0;
    hf_code code =
        hf_args_int(&ctl->args, HF_OPT_PRIORITY, HF_PRIORITY_HIGHEST, HF_PRIORITY_LOWEST, 0, &priority, reterr);
    if (code)
        return code;
    if (!priority && !limit)
        return hf_fail(reterr, HF_E_USAGE, "say what: --priority 1-10, --bandwidth RATE, or both");
    if (limit && !hf_bytes_parse(hf_str_of(limit), &bytes))
        return hf_fail(reterr, HF_E_USAGE,
                       "--bandwidth '%.64s': give bytes a second, such as 50MiB/s, or 0 for no limit", limit);
    *ret = json_object();
    if (priority)
        json_object_set_new(*ret, "priority", json_integer(priority));
    if (limit)
        json_object_set_new(*ret, "bandwidth_limit", json_integer(bytes));
    if (reason)
        json_object_set_new(*ret, "reason", json_string(reason));
    return *ret ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "request");
}

static hf_code tell_adjusted(hf_ctl *ctl, const json_t *answer, hf_err *reterr) {
    char text[HF_TEXT_BYTES], rate[HF_TEXT_BYTES + 8] = "none";
    json_int_t limit = json_integer_value(json_object_get(answer, "bandwidth_limit"));
    if (ctl->json)
        return hf_ctl_print_json(ctl, answer, reterr);
    if (limit > 0)
        snprintf(rate, sizeof rate, "%s/s", hf_text_bytes((double)limit, text));
    fprintf(ctl->out, "%s: priority %" JSON_INTEGER_FORMAT ", bandwidth limit %s\n",
            json_string_value(json_object_get(answer, "job_id")),
            json_integer_value(json_object_get(answer, "priority")), rate);
    return HF_OK;
}

/* One request for each job of the command line, below /api/v1/jobs/. */
static hf_code each_job(hf_ctl *ctl, const char *verb, const json_t *body,
                        hf_code (*tell)(hf_ctl *ctl, const json_t *answer, hf_err *reterr), hf_err *reterr) {
    hf_http *http;
    for (int i = 0; i < ctl->args.rest_count; i++)
        if (!hf_id_valid(hf_str_of(ctl->args.rest[i])))
            return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no job id", ctl->args.rest[i]);
    hf_code code = hf_ctl_http(ctl, &http, reterr);
    for (int i = 0; !code && i < ctl->args.rest_count; i++) {
        char path[PATH_BYTES];
        json_t *answer = NULL;
        snprintf(path, sizeof path, "/api/v1/jobs/%s/%s", ctl->args.rest[i], verb);
        code = hf_http_call(http, "POST", path, body, &answer, reterr);
        if (!code)
            code = tell(ctl, answer, reterr);
        json_decref(answer);
    }
    return code;
}

hf_code hf_cmd_adjust(hf_ctl *ctl, hf_err *reterr) {
    json_t *request = NULL;
    hf_code code = adjustment(ctl, &request, reterr);
    if (!code)
        code = each_job(ctl, "adjust", request, tell_adjusted, reterr);
    json_decref(request);
    return code;
}

static hf_code tell_retried(hf_ctl *ctl, const json_t *answer, hf_err *reterr) {
    if (ctl->json)
        return hf_ctl_print_json(ctl, answer, reterr);
    fprintf(ctl->out, "%s\n", json_string_value(json_object_get(answer, "new_job_id")));
    return HF_OK;
}

hf_code hf_cmd_retry(hf_ctl *ctl, hf_err *reterr) {
    json_t *request = json_pack("{s:s*}", "reason", hf_args_get(&ctl->args, HF_OPT_REASON));
    hf_code code =
        request ? each_job(ctl, "retry", request, tell_retried, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "request");
    json_decref(request);
    return code;
}
