/* hyperctl dead: records that could not be read, to look at, replay or drop. */
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/text.h"

enum { PATH_BYTES = 256, LIMIT = 1000 };

static const char *text_in(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

static hf_code print_letters(hf_ctl *ctl, const json_t *items, hf_err *reterr) {
    static const char *const headings[] = {"LETTER", "ORIGIN", "ERROR", "BYTES", "DETAIL"};
    hf_table *table = hf_table_new(headings, sizeof headings / sizeof *headings);
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) {
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
                      json_integer_value(json_object_get(item, "partition")),
                      json_integer_value(json_object_get(item, "offset")));
        hf_table_put(table, text_in(item, "origin"));
        hf_table_put(table, text_in(item, "error"));
        hf_table_putf(table, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(item, "size_bytes")));
        hf_table_put(table, text_in(item, "detail"));
    }
    hf_code code =
        table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "the list of dead letters");
    hf_table_free(table);
    return code;
}

static hf_code list(hf_ctl *ctl, hf_http *http, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "/api/v1/dead-letters?limit=%d", LIMIT);
    hf_code code = hf_http_call(http, "GET", path, NULL, &answer, reterr);
    const json_t *items = json_object_get(answer, "items");
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code && json_array_size(items) == 0)
        fprintf(ctl->out, "no dead letters\n");
    else if (!code)
        code = print_letters(ctl, items, reterr);
    if (!code && !ctl->json && json_object_get(answer, "next_cursor"))
        fprintf(ctl->out, "these are the first %d; there are more\n", LIMIT);
    json_decref(answer);
    return code;
}

/* partition/offset, as list prints it. */
static hf_code path_of(const char *letter, const char *verb, char path[PATH_BYTES], hf_err *reterr) {
    size_t digits = strspn(letter, "0123456789"),
           more = letter[digits] == '/' ? strspn(letter + digits + 1, "0123456789") : 0;
    if (!digits || !more || letter[digits + 1 + more] || digits + more > 40)
        return hf_fail(reterr, HF_E_USAGE,
                       "'%.64s' is no dead letter: give PARTITION/OFFSET as `hyperctl dead list` prints it", letter);
    snprintf(path, PATH_BYTES, "/api/v1/dead-letters/%s%s", letter, verb);
    return HF_OK;
}

static hf_code show(hf_ctl *ctl, hf_http *http, const char *letter, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL;
    hf_code code = path_of(letter, "", path, reterr);
    if (!code)
        code = hf_http_call(http, "GET", path, NULL, &answer, reterr);
    if (!code)
        code = hf_ctl_print_json(ctl, answer, reterr);
    json_decref(answer);
    return code;
}

static hf_code settle(hf_ctl *ctl, hf_http *http, const char *letter, bool replay, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL;
    hf_code code = path_of(letter, replay ? "/replay" : "", path, reterr);
    if (!code)
        code = hf_http_call(http, replay ? "POST" : "DELETE", path, NULL, &answer, reterr);
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code)
        fprintf(ctl->out, "%s: %s%s%s\n", letter, replay ? "replayed" : "dropped",
                text_in(answer, "submission") ? " as " : "",
                text_in(answer, "submission") ? text_in(answer, "submission") : "");
    json_decref(answer);
    return code;
}

hf_code hf_cmd_dead(hf_ctl *ctl, hf_err *reterr) {
    const char *what = ctl->args.rest[0];
    int count = ctl->args.rest_count;
    hf_http *http;
    bool is_list = strcmp(what, "list") == 0, is_show = strcmp(what, "show") == 0, replay = strcmp(what, "replay") == 0;
    if (!is_list && !is_show && !replay && strcmp(what, "drop") != 0)
        return hf_fail(reterr, HF_E_USAGE, "'%.64s': say list, show, replay or drop", what);
    if (is_list ? count != 1 : count < 2)
        return hf_fail(reterr, HF_E_USAGE, is_list ? "list takes nothing more" : "%s which? PARTITION/OFFSET", what);
    hf_code code = HF_OK;
    char path[PATH_BYTES];
    for (int i = 1; !code && i < count; i++) /* all of them before anything is done */
        code = path_of(ctl->args.rest[i], "", path, reterr);
    if (!code)
        code = hf_ctl_http(ctl, &http, reterr);
    if (!code && is_list)
        return list(ctl, http, reterr);
    for (int i = 1; !code && i < count; i++)
        code =
            is_show ? show(ctl, http, ctl->args.rest[i], reterr) : settle(ctl, http, ctl->args.rest[i], replay, reterr);
    return code;
}
