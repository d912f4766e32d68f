/* Commands that ask the sidecar: list, show, events, logs, workers. */
#include <inttypes.h>
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/jobview.h"
#include "producer/ctl/text.h"
#include "schemas/base/clock.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"

enum { LIST_LIMIT = 100, LIST_MAX = 10000 /* the sidecar's bound */, PATH_BYTES = 256 };

/* An id goes into a URL as it stands: its characters are the harmless ones, or it is none. */
static hf_code id_path(const hf_ctl *ctl, const char *format_before, const char *after, char path[PATH_BYTES],
                       hf_err *reterr) {
    const char *id = ctl->args.rest[0];
    if (!hf_id_valid(hf_str_of(id)))
        return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no job id: 1 to %d characters of A-Z a-z 0-9 . _ : @ + = ~ -",
                       id, HF_ID_MAX_BYTES);
    snprintf(path, PATH_BYTES, "%s%s%s", format_before, id, after);
    return HF_OK;
}

static hf_code get(hf_ctl *ctl, const char *path, json_t **ret_answer, hf_err *reterr) {
    hf_http *http;
    hf_code code = hf_ctl_http(ctl, &http, reterr);
    return code ? code : hf_http_call(http, "GET", path, NULL, ret_answer, reterr);
}

static hf_code print_table(hf_ctl *ctl, hf_table *table, hf_err *reterr) {
    hf_code code = table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "table");
    hf_table_free(table);
    return code;
}

static void put_time(hf_table *table, int64_t ms) {
    char text[HF_RFC3339_BYTES];
    hf_table_put(table, ms ? hf_time_format(ms, text) : NULL);
}

static const char *text_in(const json_t *object, const char *member) {
    return json_string_value(json_object_get(object, member));
}

/* ---- list ---------------------------------------------------------------------------------------- */
static hf_code list_request(const hf_ctl *ctl, json_t **ret, hf_err *reterr) {
    long limit;
    bool all = hf_args_get(&ctl->args, HF_OPT_ALL);
    hf_code code = hf_args_int(&ctl->args, HF_OPT_LIMIT, 1, LIST_MAX, all ? LIST_MAX : LIST_LIMIT, &limit, reterr);
    json_t *request = code ? NULL : json_object(), *list = json_array();
    size_t cursor = 0;
    for (const char *status; request && (status = hf_args_next(&ctl->args, HF_OPT_STATUS, &cursor));)
        json_array_append_new(list, json_string(status));
    if (request && json_array_size(list) > 0)
        json_object_set(request, "status", list);
    else if (request)
        json_object_set_new(request, "all", json_true());
    if (request)
        json_object_set_new(request, "limit", json_integer(limit));
    json_decref(list);
    if (!code && !request)
        code = hf_fail(reterr, HF_E_NO_MEMORY, "request");
    if (!code)
        *ret = request;
    return code;
}

static void put_job(hf_table *table, const json_t *json) {
    hf_job_view v;
    hf_job_view_read(json, &v);
    hf_table_put(table, v.id);
    hf_table_put(table, v.name);
    hf_table_put(table, v.state);
    if (v.percent >= 0 && !v.ended)
        hf_table_putf(table, "%.0f %%", v.percent);
    else
        hf_table_put(table, NULL);
    put_time(table, v.created_ms);
    put_time(table, v.updated_ms);
    hf_table_put(table, v.error ? v.error : v.vm_path);
}

static hf_code print_jobs(hf_ctl *ctl, const json_t *answer, hf_err *reterr) {
    static const char *const headings[] = {"ID", "NAME", "STATE", "DONE", "CREATED", "UPDATED", "VM OR ERROR"};
    const json_t *jobs = json_object_get(answer, "jobs");
    hf_table *table = hf_table_new(headings, HF_ARRAY_LEN(headings));
    size_t i;
    json_t *job;
    json_array_foreach(jobs, i, job)
        if (table)
            put_job(table, job);
    if (json_array_size(jobs) == 0) {
        hf_table_free(table);
        fputs("no jobs\n", ctl->out);
        return HF_OK;
    }
    hf_code code = print_table(ctl, table, reterr);
    if (!code && json_is_true(json_object_get(answer, "truncated")))
        fprintf(stderr,
                "hyperctl list: there are more than these %zu; --limit N (up to %d), --all or --status say which\n",
                json_array_size(jobs), LIST_MAX);
    return code;
}

hf_code hf_cmd_list(hf_ctl *ctl, hf_err *reterr) {
    hf_http *http;
    json_t *request = NULL, *answer = NULL;
    hf_code code = list_request(ctl, &request, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    if (!code)
        code = hf_http_call(http, "POST", "/jobs/query", request, &answer, reterr);
    if (!code)
        code = ctl->json ? hf_ctl_print_json(ctl, answer, reterr) : print_jobs(ctl, answer, reterr);
    json_decref(request);
    json_decref(answer);
    return code;
}

/* ---- show ---------------------------------------------------------------------------------------- */
static void field(const hf_ctl *ctl, const char *name, const char *text) {
    char harmless[4200];
    if (text && *text)
        fprintf(ctl->out, "%-12s %s\n", name, hf_text_harmless(text, harmless, sizeof harmless));
}

static void time_field(const hf_ctl *ctl, const char *name, int64_t ms) {
    char text[HF_RFC3339_BYTES];
    if (ms)
        field(ctl, name, hf_time_format(ms, text));
}

static void print_progress(const hf_ctl *ctl, const hf_job_view *v) {
    char text[128], done[HF_TEXT_BYTES], total[HF_TEXT_BYTES];
    if (v->percent >= 0 && !v->ended) {
        snprintf(text, sizeof text, "%.1f %%", v->percent);
        if (v->bytes_total > 0 && v->bytes_done >= 0)
            snprintf(text, sizeof text, "%.1f %% (%s of %s)", v->percent, hf_text_bytes(v->bytes_done, done),
                     hf_text_bytes(v->bytes_total, total));
        field(ctl, "progress", text);
    }
}

static void print_result(const hf_ctl *ctl, const json_t *result) {
    char text[HF_TEXT_BYTES];
    const json_t *files = json_object_get(result, "files"), *size = json_object_get(result, "total_size"),
                 *ns = json_object_get(result, "duration");
    if (!json_is_array(files))
        files = json_object_get(result, "output_files");
    if (json_is_integer(size))
        field(ctl, "size", hf_text_bytes((double)json_integer_value(size), text));
    if (json_is_integer(ns))
        field(ctl, "took", hf_text_duration(json_integer_value(ns) / 1000000, text));
    size_t i;
    json_t *file;
    json_array_foreach(files, i, file)
        field(ctl, i == 0 ? "files" : "", json_is_string(file) ? json_string_value(file) : text_in(file, "path"));
}

static void print_job(const hf_ctl *ctl, const json_t *job) {
    hf_job_view v;
    hf_job_view_read(job, &v);
    char text[HF_TEXT_BYTES];
    const struct {
        const char *name, *value;
    } rows[] = {{"id", v.id},
                {"name", v.name},
                {"state", v.state},
                {"operation", v.operation},
                {"provider", v.provider},
                {"vm", v.vm_path},
                {"output", v.output_dir},
                {"format", v.format},
                {"worker", v.worker},
                {"phase", v.ended ? NULL : v.phase},
                {"error", v.error}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        field(ctl, rows[i].name, rows[i].value);
    if (v.attempt >= 0) {
        snprintf(text, sizeof text, "%" PRId64, v.attempt);
        field(ctl, "attempt", text);
    }
    print_progress(ctl, &v);
    time_field(ctl, "created", v.created_ms);
    time_field(ctl, "started", v.started_ms);
    time_field(ctl, "finished", v.finished_ms);
    time_field(ctl, "updated", v.updated_ms);
    print_result(ctl, json_object_get(job, "result"));
}

hf_code hf_cmd_show(hf_ctl *ctl, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL;
    hf_code code = id_path(ctl, "/jobs/", "", path, reterr);
    if (!code)
        code = get(ctl, path, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        print_job(ctl, answer);
    json_decref(answer);
    return code;
}

/* ---- events and logs ------------------------------------------------------------------------------- */
static void put_event(hf_table *table, const json_t *event) {
    char names[400] = "";
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(event, "events"), i, name) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? "," : "",
                 json_string_value(name) ? json_string_value(name) : "?");
    }
    hf_table_putf(table, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                  json_integer_value(json_object_get(event, "partition")),
                  json_integer_value(json_object_get(event, "offset")));
    hf_table_put(table, text_in(event, "at"));
    hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(event, "attempt")));
    hf_table_put(table, names);
    hf_table_put(table, text_in(event, "verdict"));
    hf_table_put(table, text_in(event, "by"));
    hf_table_put(table, text_in(event, "reason"));
}

hf_code hf_cmd_events(hf_ctl *ctl, hf_err *reterr) {
    static const char *const headings[] = {"AT OFFSET", "TIME", "ATTEMPT", "EVENTS", "VERDICT", "BY", "REASON"};
    char path[PATH_BYTES];
    json_t *answer = NULL, *event;
    size_t i;
    hf_code code = id_path(ctl, "/jobs/", "/events", path, reterr);
    if (!code)
        code = get(ctl, path, &answer, reterr);
    if (!code && ctl->json) {
        code = hf_ctl_print_json(ctl, answer, reterr);
    } else if (!code) {
        hf_table *table = hf_table_new(headings, HF_ARRAY_LEN(headings));
        json_array_foreach(json_object_get(answer, "events"), i, event)
            if (table)
                put_event(table, event);
        code = print_table(ctl, table, reterr);
    }
    json_decref(answer);
    return code;
}

static void print_log_line(const hf_ctl *ctl, const json_t *line) {
    char harmless[4200];
    const char *at = text_in(line, "timestamp"), *level = text_in(line, "level"), *message = text_in(line, "message"),
               *error = text_in(line, "error");
    fprintf(ctl->out, "%s %-5s ", hf_text_harmless(at ? at : "-", harmless, 64),
            level && strlen(level) < 16 ? level : "info");
    fprintf(ctl->out, "%s", hf_text_harmless(message ? message : "", harmless, sizeof harmless));
    fprintf(ctl->out, "%s%s\n", error ? ": " : "", error ? hf_text_harmless(error, harmless, sizeof harmless) : "");
}

hf_code hf_cmd_logs(hf_ctl *ctl, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL, *line;
    size_t i;
    hf_code code = id_path(ctl, "/jobs/logs/", "", path, reterr);
    if (!code)
        code = get(ctl, path, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        json_array_foreach(json_object_get(answer, "logs"), i, line)
            print_log_line(ctl, line);
    json_decref(answer);
    return code;
}

/* ---- workers --------------------------------------------------------------------------------------- */
static void put_joined(hf_table *table, const json_t *list) {
    char all[400] = "";
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i ? "," : "",
                 json_string_value(item) ? json_string_value(item) : "?");
    }
    hf_table_put(table, all);
}

static void put_worker(hf_table *table, const json_t *worker, int64_t now_ms) {
    const json_t *can = json_object_get(worker, "capabilities");
    const char *at = text_in(worker, "at");
    int64_t at_ms;
    char age[HF_TEXT_BYTES];
    hf_table_put(table, text_in(worker, "worker_id"));
    hf_table_put(table, text_in(worker, "state"));
    hf_table_putf(table, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                  json_integer_value(json_object_get(worker, "slots_busy")),
                  json_integer_value(json_object_get(worker, "slots")));
    hf_table_putf(table, "%zu", json_array_size(json_object_get(worker, "running")));
    hf_table_put(table, at && hf_time_parse(hf_str_of(at), &at_ms) ? hf_text_duration(now_ms - at_ms, age) : NULL);
    hf_table_put(table, text_in(worker, "hostname"));
    hf_table_put(table, text_in(worker, "version"));
    put_joined(table, json_object_get(can, "operations"));
}

hf_code hf_cmd_workers(hf_ctl *ctl, hf_err *reterr) {
    static const char *const headings[] = {"WORKER", "STATE", "BUSY", "JOBS", "SEEN", "HOST", "VERSION", "OPERATIONS"};
    json_t *answer = NULL, *worker;
    size_t i;
    hf_code code = get(ctl, "/workers", &answer, reterr);
    if (!code && ctl->json) {
        code = hf_ctl_print_json(ctl, answer, reterr);
    } else if (!code) {
        hf_table *table = hf_table_new(headings, HF_ARRAY_LEN(headings));
        json_array_foreach(json_object_get(answer, "workers"), i, worker)
            if (table)
                put_worker(table, worker, hf_wall_ms(hf_clock_system()));
        code = print_table(ctl, table, reterr);
    }
    json_decref(answer);
    return code;
}
