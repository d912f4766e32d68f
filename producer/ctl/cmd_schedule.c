/* hyperctl schedule: which of its commands, and those that ask the sidecar in one request. */
#include <string.h>

#include "producer/ctl/http.h"
#include "producer/ctl/schedules.h"
#include "producer/ctl/text.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"

enum { PAGE = 1000, LIST_PATH_BYTES = 1600 };

hf_code hf_schedule_path(const char *id, const char *after, char path[HF_SCHEDULE_PATH_BYTES], hf_err *reterr) {
    if (!hf_id_valid(hf_str_of(id)))
        return hf_fail(
            reterr, HF_E_USAGE,
            "'%.128s' is no schedule's id: 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -", id,
            HF_ID_MAX_BYTES);
    snprintf(path, HF_SCHEDULE_PATH_BYTES, "/api/v1/schedules/%s%s", id, after);
    return HF_OK;
}

static const char *text_in(const json_t *object, const char *member) {
    return json_string_value(json_object_get(object, member));
}

/* ---- list ---------------------------------------------------------------------------------------------- */
/* What has to be escaped in a query; a tag is any text. */
static void put_escaped(char *to, size_t size, const char *text) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t used = strlen(to);
    for (; *text && used + 4 < size; text++)
        used += (size_t)snprintf(to + used, size - used, strchr(plain, *text) ? "%c" : "%%%02X", (unsigned char)*text);
}

/* All pages, as one list; a new reference. */
static hf_code fetch_all(hf_ctl *ctl, json_t **ret, hf_err *reterr) {
    hf_http *http;
    char path[LIST_PATH_BYTES], cursor[HF_ID_MAX_BYTES + 1] = "";
    const char *tag = hf_args_get(&ctl->args, HF_OPT_TAG);
    json_t *all = json_array();
    hf_code code = all ? hf_ctl_http(ctl, &http, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "list");
    if (!code && tag && strlen(tag) > 256)
        code = hf_fail(reterr, HF_E_USAGE, "--tag: at most 256 bytes");
    do {
        json_t *answer = NULL;
        snprintf(path, sizeof path, "/api/v1/schedules?limit=%d", PAGE);
        if (tag) {
            strcat(path, "&tag=");
            put_escaped(path, sizeof path, tag);
        }
        if (*cursor) {
            strcat(path, "&cursor=");
            put_escaped(path, sizeof path, cursor);
        }
        if (!code)
            code = hf_http_call(http, "GET", path, NULL, &answer, reterr);
        if (!code && json_array_extend(all, json_object_get(answer, "items")) != 0)
            code = hf_fail(reterr, HF_E_PROTOCOL, "the sidecar's answer has no list of schedules");
        const char *next = code ? NULL : text_in(answer, "next_cursor");
        snprintf(cursor, sizeof cursor, "%s", next ? next : "");
        json_decref(answer);
    } while (!code && *cursor);
    if (code)
        json_decref(all);
    else
        *ret = all;
    return code;
}

static hf_code print_list(hf_ctl *ctl, const json_t *list, hf_err *reterr) {
    static const char *const headings[] = {"ID",       "SCHEDULE", "ZONE",    "ENABLED",
                                           "NEXT RUN", "LAST RUN", "OUTCOME", "RUNS"};
    hf_table *table = json_array_size(list) ? hf_table_new(headings, HF_ARRAY_LEN(headings)) : NULL;
    size_t i;
    json_t *s;
    if (json_array_size(list) == 0) {
        fputs("no schedules\n", ctl->out);
        return HF_OK;
    }
    json_array_foreach(list, i, s) {
        if (!table)
            break;
        const char *zone = text_in(s, "time_zone");
        json_int_t running = json_integer_value(json_object_get(s, "running"));
        hf_table_put(table, text_in(s, "id"));
        hf_table_put(table, text_in(s, "schedule"));
        hf_table_put(table, zone ? zone : "UTC");
        hf_table_put(table, json_is_true(json_object_get(s, "enabled")) ? "yes" : "no");
        hf_table_put(table, text_in(s, "next_run"));
        hf_table_put(table, text_in(s, "last_run"));
        hf_table_put(table, running ? "running" : text_in(s, "last_outcome"));
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(s, "run_count")));
    }
    hf_code code = table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "table");
    hf_table_free(table);
    return code;
}

static hf_code list(hf_ctl *ctl, hf_err *reterr) {
    json_t *all = NULL;
    hf_code code = fetch_all(ctl, &all, reterr);
    json_t *answer = !code && ctl->json ? json_pack("{s:O}", "items", all) : NULL;
    if (!code)
        code = ctl->json ? hf_ctl_print_json(ctl, answer, reterr) : print_list(ctl, all, reterr);
    json_decref(answer);
    json_decref(all);
    return code;
}

/* ---- show ---------------------------------------------------------------------------------------------- */
static void field(const hf_ctl *ctl, const char *name, const char *text) {
    char harmless[4200];
    if (text && *text)
        fprintf(ctl->out, "%-15s %s\n", name, hf_text_harmless(text, harmless, sizeof harmless));
}

static void number(const hf_ctl *ctl, const char *name, const json_t *s, const char *member) {
    char text[32];
    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(s, member)));
    field(ctl, name, text);
}

static void joined(const hf_ctl *ctl, const char *name, const json_t *list) {
    char text[2048] = "";
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", json_string_value(item));
    }
    field(ctl, name, text);
}

static void print_one(const hf_ctl *ctl, const json_t *s) {
    static const char *const texts[][2] = {{"id", "id"},
                                           {"name", "name"},
                                           {"description", "description"},
                                           {"schedule", "schedule"},
                                           {"zone", "time_zone"},
                                           {"dst policy", "dst_policy"},
                                           {"overlap", "overlap"},
                                           {"catch-up", "catchup_window"},
                                           {"jitter", "jitter"},
                                           {"start", "start_at"},
                                           {"end", "end_at"},
                                           {"origin", "origin"},
                                           {"created", "created_at"},
                                           {"updated", "updated_at"},
                                           {"by", "by"},
                                           {"next run", "next_run"},
                                           {"last run", "last_run"},
                                           {"last job", "last_job_id"},
                                           {"last outcome", "last_outcome"},
                                           {"version", "version"}};
    field(ctl, "enabled", json_is_true(json_object_get(s, "enabled")) ? "yes" : "no");
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        field(ctl, texts[i][0], text_in(s, texts[i][1]));
    if (json_integer_value(json_object_get(s, "max_runs")))
        number(ctl, "most runs", s, "max_runs");
    number(ctl, "runs", s, "run_count");
    number(ctl, "running", s, "running");
    joined(ctl, "tags", json_object_get(s, "tags"));
    size_t i;
    json_t *at;
    json_array_foreach(json_object_get(s, "next_runs"), i, at)
        field(ctl, i ? "" : "coming", json_string_value(at));
    hf_auto_free char *job = json_dumps(json_object_get(s, "job_template"), JSON_INDENT(2) | JSON_ENSURE_ASCII);
    fprintf(ctl->out, "job\n%s\n", job ? job : "(no memory)");
}

static hf_code one(hf_ctl *ctl, const char *method, const char *id, const char *after, json_t **ret, hf_err *reterr) {
    hf_http *http;
    char path[HF_SCHEDULE_PATH_BYTES];
    hf_code code = hf_schedule_path(id, after, path, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    return code ? code : hf_http_call(http, method, path, NULL, ret, reterr);
}

static hf_code show(hf_ctl *ctl, hf_err *reterr) {
    json_t *s = NULL;
    hf_code code = one(ctl, "GET", ctl->args.rest[1], "", &s, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, s, reterr);
    else if (!code)
        print_one(ctl, s);
    json_decref(s);
    return code;
}

/* ---- enable, disable, delete, trigger ------------------------------------------------------------------------ */
typedef struct verb {
    const char *name, *method, *after, *done;
} verb;

static hf_code change(hf_ctl *ctl, const verb *v, hf_err *reterr) {
    hf_code code = HF_OK;
    for (int i = 1; !code && i < ctl->args.rest_count; i++) {
        json_t *answer = NULL;
        code = one(ctl, v->method, ctl->args.rest[i], v->after, &answer, reterr);
        if (!code && ctl->json)
            code = hf_ctl_print_json(ctl, answer, reterr);
        else if (!code)
            fprintf(ctl->out, "%s: %s\n", ctl->args.rest[i], v->done);
        json_decref(answer);
    }
    return code;
}

static hf_code trigger(hf_ctl *ctl, hf_err *reterr) {
    json_t *answer = NULL;
    hf_code code = one(ctl, "POST", ctl->args.rest[1], "/trigger", &answer, reterr);
    char id[HF_ID_MAX_BYTES + 1] = "", *ids[] = {id};
    if (!code) {
        const char *made = text_in(answer, "job_id");
        snprintf(id, sizeof id, "%s", made ? made : "");
        if (ctl->json)
            code = hf_ctl_print_json(ctl, answer, reterr);
        else
            fprintf(ctl->out, "%s\n", id);
        fflush(ctl->out);
    }
    json_decref(answer);
    return !code && hf_args_get(&ctl->args, HF_OPT_WAIT) ? hf_ctl_watch(ctl, ids, 1, HF_WATCH_FRESH, reterr) : code;
}

/* ---- which ------------------------------------------------------------------------------------------------------ */
static const verb verbs[] = {{"enable", "POST", "/enable", "enabled"},
                             {"disable", "POST", "/disable", "disabled"},
                             {"delete", "DELETE", "", "deleted"}};

static const struct action {
    const char *name;
    int least, most; /* arguments behind it; most -1: any */
    hf_code (*run)(hf_ctl *ctl, hf_err *reterr);
    const char *how;
} actions[] = {
    {"add", 0, 1, hf_schedule_add, "add [VM_PATH] --id ID --cron EXPR --output-dir DIR …, or add -f FILE"},
    {"list", 0, 0, list, "list [--tag TAG]"},
    {"show", 1, 1, show, "show ID"},
    {"next", 1, 1, hf_schedule_next, "next EXPR|ID, an expression in quotes: next '0 2 * * *'"},
    {"enable", 1, -1, NULL, "enable ID..."},
    {"disable", 1, -1, NULL, "disable ID..."},
    {"trigger", 1, 1, trigger, "trigger ID [--wait]"},
    {"delete", 1, -1, NULL, "delete ID..."},
};

hf_code hf_cmd_schedule(hf_ctl *ctl, hf_err *reterr) {
    const char *what = ctl->args.rest[0];
    int given = ctl->args.rest_count - 1;
    for (size_t i = 0; i < HF_ARRAY_LEN(actions); i++) {
        const struct action *a = &actions[i];
        if (strcmp(a->name, what) != 0)
            continue;
        if (given < a->least || (a->most >= 0 && given > a->most))
            return hf_fail(reterr, HF_E_USAGE, "%s: give `hyperctl schedule %s`", what, a->how);
        for (size_t v = 0; !a->run && v < HF_ARRAY_LEN(verbs); v++)
            if (strcmp(verbs[v].name, what) == 0)
                return change(ctl, &verbs[v], reterr);
        return a->run(ctl, reterr);
    }
    return hf_fail(reterr, HF_E_USAGE, "'%.32s': there are add, list, show, next, enable, disable, trigger and delete",
                   what);
}
