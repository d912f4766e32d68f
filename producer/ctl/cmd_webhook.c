/* hyperctl webhook: asks the sidecar. What is secret comes from a file or standard input, never from the command line, where every
 * user of the machine could read it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/text.h"
#include "producer/submit/jobfile.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"
#include "schemas/webhook/webhook.h"

enum { PATH_BYTES = 512, SECRET_FILE_BYTES = 64 * 1024, CTL_ARENA_BYTES = 1 << 20 };

static const char *text_in(const json_t *object, const char *member) {
    return json_string_value(json_object_get(object, member));
}

static hf_code path_of(const char *id, const char *after, char path[PATH_BYTES], hf_err *reterr) {
    if (!hf_id_valid(hf_str_of(id)))
        return hf_fail(reterr, HF_E_USAGE, "'%.128s' is no webhook's id; `hyperctl webhook list` shows them", id);
    snprintf(path, PATH_BYTES, "/api/v1/webhooks/%s%s", id, after);
    return HF_OK;
}

static hf_code ask(hf_ctl *ctl, const char *method, const char *path, const json_t *body, json_t **ret,
                   hf_err *reterr) {
    hf_http *http;
    hf_code code = hf_ctl_http(ctl, &http, reterr);
    return code ? code : hf_http_call(http, method, path, body, ret, reterr);
}

static hf_code ask_of(hf_ctl *ctl, const char *method, const char *id, const char *after, const json_t *body,
                      json_t **ret, hf_err *reterr) {
    char path[PATH_BYTES];
    hf_code code = path_of(id, after, path, reterr);
    return code ? code : ask(ctl, method, path, body, ret, reterr);
}

/* ---- files with secrets ------------------------------------------------------------------------------------ */
static hf_code read_file(const char *name, char **ret, hf_err *reterr) {
    bool in = strcmp(name, "-") == 0;
    hf_auto_fd int fd = in ? dup(0) : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "cannot open %.200s", name);
    char *text = hf_alloc(SECRET_FILE_BYTES + 1);
    size_t len = 0;
    ssize_t n = 1;
    while (text && n != 0 && len <= SECRET_FILE_BYTES) {
        n = read(fd, text + len, SECRET_FILE_BYTES + 1 - len);
        if (n < 0 && errno != EINTR) {
            free(text);
            return hf_fail_errno(reterr, errno, "cannot read %.200s", name);
        }
        len += n > 0 ? (size_t)n : 0;
    }
    if (!text || len > SECRET_FILE_BYTES) {
        free(text);
        return text ? hf_fail(reterr, HF_E_LIMIT, "%.200s is larger than %d bytes", name, SECRET_FILE_BYTES)
                    : hf_fail(reterr, HF_E_NO_MEMORY, "reading %.200s", name);
    }
    text[len] = 0;
    *ret = text;
    return HF_OK;
}

/* The text of the file without the white space around it. */
static hf_code read_secret(const char *name, json_t **ret, hf_err *reterr) {
    char *text = NULL;
    hf_code code = read_file(name, &text, reterr);
    if (code)
        return code;
    const char *from = text + strspn(text, " \t\r\n");
    size_t len = strlen(from);
    while (len && strchr(" \t\r\n", from[len - 1]))
        len--;
    *ret = json_stringn(from, len);
    explicit_bzero(text, strlen(text));
    free(text);
    return *ret ? HF_OK : hf_fail(reterr, HF_E_INVALID, "%.200s is not text", name);
}

static hf_code read_headers(const char *name, json_t **ret, hf_err *reterr) {
    char *text = NULL;
    hf_code code = read_file(name, &text, reterr);
    if (code)
        return code;
    *ret = hf_yaml_parse(hf_str_of(text), SECRET_FILE_BYTES, reterr);
    explicit_bzero(text, strlen(text));
    free(text);
    return *ret ? HF_OK : (hf_context(reterr, "%.200s", name), reterr ? reterr->code : HF_E_PARSE);
}

/* ---- add --------------------------------------------------------------------------------------------------- */
static hf_code put_flags(const hf_args *args, json_t *w, hf_err *reterr) {
    const char *text, *secret = hf_args_get(args, HF_OPT_SECRET_FILE),
                      *headers = hf_args_get(args, HF_OPT_HEADERS_FILE);
    json_t *value = NULL, *events = json_array();
    size_t cursor = 0;
    long retry;
    static const struct {
        hf_option_id option;
        const char *member;
    } texts[] = {{HF_OPT_ID, "id"}, {HF_OPT_FORMAT, "format"}, {HF_OPT_TIMEOUT, "timeout"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if ((text = hf_args_get(args, texts[i].option)))
            json_object_set_new(w, texts[i].member, json_string(text));
    while ((text = hf_args_next(args, HF_OPT_EVENT, &cursor)))
        json_array_append_new(events, json_string(text));
    json_object_set_new(w, "events", events);
    if (hf_args_get(args, HF_OPT_ORDERED))
        json_object_set_new(w, "ordered", json_true());
    if (hf_args_get(args, HF_OPT_DISABLED))
        json_object_set_new(w, "enabled", json_false());
    hf_code code = hf_args_int(args, HF_OPT_RETRY, 0, HF_WEBHOOK_RETRY_MAX, HF_WEBHOOK_RETRY_DEFAULT, &retry, reterr);
    if (!code)
        json_object_set_new(w, "retry", json_integer(retry));
    if (!code && secret && headers && strcmp(secret, "-") == 0 && strcmp(headers, "-") == 0)
        code = hf_fail(reterr, HF_E_USAGE, "--secret-file and --headers-file cannot both be standard input");
    if (!code && secret && !(code = read_secret(secret, &value, reterr)))
        json_object_set_new(w, "secret", value);
    if (!code && headers && !(code = read_headers(headers, &value, reterr)))
        json_object_set_new(w, "headers", value);
    return code;
}

/* Judged here first: every error is told, and a URL that is a secret is refused where others can read it. */
static hf_code judge(const json_t *json, bool from_command_line, hf_err *reterr) {
    hf_arena arena;
    hf_webhook w;
    hf_webhook_secret secret = {0};
    hf_arena_init(&arena, CTL_ARENA_BYTES);
    hf_intake_errors *lists = hf_arena_alloc(&arena, 2 * sizeof *lists);
    hf_type_init(&HF_TYPE_WEBHOOK, &w);
    w.endpoint_id = HF_STR("made-by-the-sidecar");
    hf_code code = lists ? hf_webhook_read(json, 0, &arena, &w, &secret, &lists[0], &lists[1], reterr)
                         : hf_fail(reterr, HF_E_NO_MEMORY, "webhook");
    for (uint32_t i = 1; !code && i < lists[0].count && i < HF_MAX_ERRORS; i++)
        fprintf(stderr, "hyperctl webhook: %.*s\n", HF_STR_ARG(lists[0].text[i]));
    if (!code && lists[0].count)
        code = hf_fail(reterr, HF_E_INVALID, "%.*s", HF_STR_ARG(lists[0].text[0]));
    else if (!code && from_command_line && secret.url.len)
        code = hf_fail(
            reterr, HF_E_USAGE,
            "this URL is a secret, and others can read the command line: give the webhook in a file (-f FILE, or -f - "
            "for standard input): {\"url\": \"...\"}");
    hf_arena_done(&arena);
    return code;
}

static hf_code make(hf_ctl *ctl, const json_t *w, bool from_command_line, hf_err *reterr) {
    json_t *answer = NULL;
    bool replace = hf_args_get(&ctl->args, HF_OPT_REPLACE) != NULL;
    const char *id = text_in(w, "id");
    hf_code code = judge(w, from_command_line, reterr);
    if (!code && replace && !id)
        code = hf_fail(reterr, HF_E_USAGE, "--replace: the webhook needs an id");
    if (!code)
        code = replace ? ask_of(ctl, "PUT", id, "", w, &answer, reterr)
                       : ask(ctl, "POST", "/api/v1/webhooks", w, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        fprintf(ctl->out, "%s\n", text_in(answer, "id"));
    json_decref(answer);
    return code;
}

/* One, a list, or {webhooks: [...]}; a new reference to a list. */
static hf_code of_file(const char *path, json_t **ret, hf_err *reterr) {
    json_t *read = NULL;
    hf_code code = hf_jobs_read(path, &read, reterr);
    json_t *inside = code ? NULL : json_object_get(json_array_get(read, 0), "webhooks");
    if (!code && json_array_size(read) == 1 && json_is_array(inside)) {
        json_incref(inside);
        json_decref(read);
        read = inside;
    }
    if (!code)
        *ret = read;
    return code;
}

static hf_code add_file(hf_ctl *ctl, const char *file, hf_err *reterr) {
    json_t *list = NULL, *w;
    size_t i;
    hf_code code = of_file(file, &list, reterr);
    if (!code && json_array_size(list) == 0)
        code = hf_fail(reterr, HF_E_INVALID, "%.200s: holds no webhook", file);
    json_array_foreach(list, i, w)
        if (!code && (code = judge(w, false, reterr)) && json_array_size(list) > 1)
            hf_context(reterr, "webhook %zu", i + 1);
    json_array_foreach(list, i, w)
        if (!code)
            code = make(ctl, w, false, reterr);
    json_decref(list);
    return code;
}

static hf_code add(hf_ctl *ctl, hf_err *reterr) {
    const char *file = hf_args_get(&ctl->args, HF_OPT_FILE);
    if (!file == (ctl->args.rest_count < 2))
        return hf_fail(reterr, HF_E_USAGE, "add: give a URL, or -f FILE");
    if (file)
        return add_file(ctl, file, reterr);
    json_t *w = json_pack("{s:s}", "url", ctl->args.rest[1]);
    hf_code code = w ? put_flags(&ctl->args, w, reterr) : hf_fail(reterr, HF_E_INVALID, "the URL is not UTF-8");
    if (!code)
        code = make(ctl, w, true, reterr);
    json_decref(w);
    return code;
}

/* ---- list, show -------------------------------------------------------------------------------------------- */
static hf_code print_list(hf_ctl *ctl, const json_t *list, hf_err *reterr) {
    static const char *const headings[] = {"ID", "STATE", "URL", "EVENTS", "DELIVERED", "FAILED", "LAST", "AT"};
    hf_table *table = json_array_size(list) ? hf_table_new(headings, HF_ARRAY_LEN(headings)) : NULL;
    size_t i;
    json_t *w;
    if (json_array_size(list) == 0) {
        fputs("no webhooks\n", ctl->out);
        return HF_OK;
    }
    json_array_foreach(list, i, w) {
        if (!table)
            break;
        const json_t *events = json_object_get(w, "events"), *last = json_object_get(w, "last_delivery");
        hf_table_put(table, text_in(w, "id"));
        hf_table_put(table, text_in(w, "state"));
        hf_table_put(table, text_in(w, "url"));
        if (json_array_size(events) == 1)
            hf_table_put(table, json_string_value(json_array_get(events, 0)));
        else if (json_array_size(events))
            hf_table_putf(table, "%zu kinds", json_array_size(events));
        else
            hf_table_put(table, "all");
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT,
                      json_integer_value(json_object_get(json_object_get(w, "deliveries"), "delivered")));
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(w, "failed_waiting")));
        hf_table_put(table, text_in(last, "outcome"));
        hf_table_put(table, text_in(last, "at"));
    }
    hf_code code = table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "table");
    hf_table_free(table);
    return code;
}

static hf_code list(hf_ctl *ctl, hf_err *reterr) {
    json_t *answer = NULL;
    hf_code code = ask(ctl, "GET", "/api/v1/webhooks", NULL, &answer, reterr);
    if (!code)
        code = ctl->json ? hf_ctl_print_json(ctl, answer, reterr)
                         : print_list(ctl, json_object_get(answer, "items"), reterr);
    json_decref(answer);
    return code;
}

static void field(const hf_ctl *ctl, const char *name, const json_t *value) {
    char harmless[4200];
    hf_auto_free char *text = json_is_string(value) ? hf_strndup(json_string_value(value), json_string_length(value))
                                                    : json_dumps(value, JSON_ENCODE_ANY);
    if (text && *text)
        fprintf(ctl->out, "%-18s %s\n", name, hf_text_harmless(text, harmless, sizeof harmless));
}

static hf_code show(hf_ctl *ctl, hf_err *reterr) {
    json_t *w = NULL, *value;
    const char *name;
    hf_code code = ask_of(ctl, "GET", ctl->args.rest[1], "", NULL, &w, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, w, reterr);
    else if (!code)
        json_object_foreach(w, name, value)
            field(ctl, name, value);
    json_decref(w);
    return code;
}

/* ---- what changes one -------------------------------------------------------------------------------------- */
static hf_code change(hf_ctl *ctl, const char *method, const char *after, const char *done, hf_err *reterr) {
    hf_code code = HF_OK;
    for (int i = 1; !code && i < ctl->args.rest_count; i++) {
        json_t *answer = NULL;
        code = ask_of(ctl, method, ctl->args.rest[i], after, NULL, &answer, reterr);
        if (!code && ctl->json)
            code = hf_ctl_print_json(ctl, answer, reterr);
        else if (!code)
            fprintf(ctl->out, "%s: %s\n", ctl->args.rest[i], done);
        json_decref(answer);
    }
    return code;
}
static hf_code enable(hf_ctl *ctl, hf_err *reterr) { return change(ctl, "POST", "/enable", "enabled", reterr); }
static hf_code disable(hf_ctl *ctl, hf_err *reterr) { return change(ctl, "POST", "/disable", "disabled", reterr); }
static hf_code take_away(hf_ctl *ctl, hf_err *reterr) { return change(ctl, "DELETE", "", "deleted", reterr); }
static hf_code retire(hf_ctl *ctl, hf_err *reterr) {
    return change(ctl, "POST", "/retire", "signed with the newest secret alone", reterr);
}

static hf_code rotate(hf_ctl *ctl, hf_err *reterr) {
    const char *file = hf_args_get(&ctl->args, HF_OPT_SECRET_FILE);
    json_t *secret = NULL, *answer = NULL;
    if (!file)
        return hf_fail(
            reterr, HF_E_USAGE,
            "rotate: give --secret-file FILE (- is standard input) with a new secret: whsec_ and base64, as `(printf "
            "whsec_; openssl rand -base64 32)` makes one");
    hf_code code = read_secret(file, &secret, reterr);
    json_t *body = code ? NULL : json_pack("{s:o}", "secret", secret);
    if (!code)
        code = ask_of(ctl, "POST", ctl->args.rest[1], "/rotate", body, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        fprintf(ctl->out, "%s: signed with %" JSON_INTEGER_FORMAT " secrets, until `hyperctl webhook retire %s`\n",
                ctl->args.rest[1], json_integer_value(json_object_get(answer, "signed")), ctl->args.rest[1]);
    json_decref(body);
    json_decref(answer);
    return code;
}

/* ---- test -------------------------------------------------------------------------------------------------- */
/* A webhook's id, or a file with one that is not stored. The exit status is the outcome's. */
static hf_code test(hf_ctl *ctl, hf_err *reterr) {
    const char *file = hf_args_get(&ctl->args, HF_OPT_FILE);
    json_t *answer = NULL, *list_of = NULL;
    if (!file == (ctl->args.rest_count < 2))
        return hf_fail(reterr, HF_E_USAGE, "test: give a webhook's id, or -f FILE with one");
    hf_code code = file ? of_file(file, &list_of, reterr) : HF_OK;
    if (!code)
        code = file ? ask(ctl, "POST", "/webhooks/test", json_array_get(list_of, 0), &answer, reterr)
                    : ask_of(ctl, "POST", ctl->args.rest[1], "/test", NULL, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    if (!code && json_is_true(json_object_get(answer, "delivered"))) {
        if (!ctl->json)
            fprintf(ctl->out, "delivered: status %" JSON_INTEGER_FORMAT " in %" JSON_INTEGER_FORMAT " ms\n",
                    json_integer_value(json_object_get(answer, "status_code")),
                    (json_int_t)json_number_value(json_object_get(answer, "duration_ms")));
    } else if (!code) {
        char harmless[512];
        const char *said = text_in(answer, "error"), *name = text_in(answer, "code");
        hf_code why = name ? hf_code_from_name(name, strlen(name)) : HF_E_PROTOCOL;
        code = hf_fail(reterr, why ? why : HF_E_PROTOCOL, "not delivered: %s",
                       hf_text_harmless(said ? said : "no reason given", harmless, sizeof harmless));
    }
    json_decref(list_of);
    json_decref(answer);
    return code;
}

/* ---- deliveries, replay ------------------------------------------------------------------------------------ */
static hf_code print_deliveries(hf_ctl *ctl, const json_t *list_of, hf_err *reterr) {
    static const char *const headings[] = {"AT", "EVENT", "JOB", "ATTEMPT", "OUTCOME", "STATUS", "DELIVERY", "ERROR"};
    hf_table *table = json_array_size(list_of) ? hf_table_new(headings, HF_ARRAY_LEN(headings)) : NULL;
    size_t i;
    json_t *d;
    if (json_array_size(list_of) == 0) {
        fputs("no deliveries\n", ctl->out);
        return HF_OK;
    }
    json_array_foreach(list_of, i, d) {
        if (!table)
            break;
        hf_table_put(table, text_in(d, "at"));
        hf_table_put(table, text_in(d, "event"));
        hf_table_put(table, text_in(d, "job_id"));
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(d, "attempt")));
        hf_table_put(table, text_in(d, "outcome"));
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(d, "status_code")));
        hf_table_put(table, text_in(d, "delivery_id"));
        hf_table_put(table, text_in(d, "error"));
    }
    hf_code code = table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "table");
    hf_table_free(table);
    return code;
}

static hf_code deliveries(hf_ctl *ctl, hf_err *reterr) {
    const char *outcome = hf_args_get(&ctl->args, HF_OPT_OUTCOME);
    char after[128];
    long limit;
    json_t *answer = NULL;
    hf_code code = hf_args_int(&ctl->args, HF_OPT_LIMIT, 1, 10000, 100, &limit, reterr);
    if (!code && outcome && strspn(outcome, "abcdefghijklmnopqrstuvwxyz") != strlen(outcome))
        code = hf_fail(reterr, HF_E_USAGE, "--outcome: delivered, retrying, failed, disabled, refused or replay");
    snprintf(after, sizeof after, "/deliveries?limit=%ld%s%.32s", code ? 1 : limit, outcome ? "&outcome=" : "",
             outcome ? outcome : "");
    if (!code)
        code = ask_of(ctl, "GET", ctl->args.rest[1], after, NULL, &answer, reterr);
    if (!code)
        code = ctl->json ? hf_ctl_print_json(ctl, answer, reterr)
                         : print_deliveries(ctl, json_object_get(answer, "items"), reterr);
    json_decref(answer);
    return code;
}

static hf_code replay(hf_ctl *ctl, hf_err *reterr) {
    const hf_args *args = &ctl->args;
    const char *since = hf_args_get(args, HF_OPT_SINCE), *until = hf_args_get(args, HF_OPT_UNTIL), *one;
    json_t *body = json_object(), *ids = json_array(), *answer = NULL;
    size_t cursor = 0;
    while ((one = hf_args_next(args, HF_OPT_DELIVERY, &cursor)))
        json_array_append_new(ids, json_string(one));
    hf_code code = HF_OK;
    if (!since && !until && json_array_size(ids) == 0 && !hf_args_get(args, HF_OPT_ALL))
        code =
            hf_fail(reterr, HF_E_USAGE,
                    "replay: say what: --delivery ID, --since TIME, --until TIME, or --all (with --dry-run to count)");
    if (json_array_size(ids))
        json_object_set(body, "delivery_ids", ids);
    if (since)
        json_object_set_new(body, "since", json_string(since));
    if (until)
        json_object_set_new(body, "until", json_string(until));
    if (hf_args_get(args, HF_OPT_DRY_RUN))
        json_object_set_new(body, "dry_run", json_true());
    json_object_set_new(body, "limit", json_integer(10000));
    if (!code)
        code = ask_of(ctl, "POST", args->rest[1], "/replay", body, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        fprintf(ctl->out, "%" JSON_INTEGER_FORMAT " failed, %" JSON_INTEGER_FORMAT " put back to be told again%s\n",
                json_integer_value(json_object_get(answer, "matched")),
                json_integer_value(json_object_get(answer, "replayed")),
                json_is_true(json_object_get(answer, "more")) ? "; there are more, ask again" : "");
    json_decref(body);
    json_decref(ids);
    json_decref(answer);
    return code;
}

/* ---- which ------------------------------------------------------------------------------------------------- */
static const struct action {
    const char *name;
    int least, most; /* arguments behind it; most -1: any */
    hf_code (*run)(hf_ctl *ctl, hf_err *reterr);
    const char *how;
} actions[] = {
    {"add", 0, 1, add, "add URL [--event NAME]... [--secret-file FILE] [--headers-file FILE], or add -f FILE"},
    {"list", 0, 0, list, "list"},
    {"show", 1, 1, show, "show ID"},
    {"test", 0, 1, test, "test ID, or test -f FILE"},
    {"enable", 1, -1, enable, "enable ID..."},
    {"disable", 1, -1, disable, "disable ID..."},
    {"delete", 1, -1, take_away, "delete ID..."},
    {"deliveries", 1, 1, deliveries, "deliveries ID [--outcome OUTCOME] [--limit N]"},
    {"replay", 1, 1, replay, "replay ID --all|--since TIME|--delivery ID [--dry-run]"},
    {"rotate", 1, 1, rotate, "rotate ID --secret-file FILE"},
    {"retire", 1, -1, retire, "retire ID..."},
};

hf_code hf_cmd_webhook(hf_ctl *ctl, hf_err *reterr) {
    const char *what = ctl->args.rest[0];
    int given = ctl->args.rest_count - 1;
    for (size_t i = 0; i < HF_ARRAY_LEN(actions); i++) {
        const struct action *a = &actions[i];
        if (strcmp(a->name, what) != 0)
            continue;
        if (given < a->least || (a->most >= 0 && given > a->most))
            return hf_fail(reterr, HF_E_USAGE, "%s: give `hyperctl webhook %s`", what, a->how);
        return a->run(ctl, reterr);
    }
    return hf_fail(
        reterr, HF_E_USAGE,
        "'%.32s': there are add, list, show, test, enable, disable, delete, deliveries, replay, rotate and retire",
        what);
}
