/* hyperctl limit: how many attempts may run at once per endpoint, provider or tag. */
#include <stdlib.h>
#include <string.h>

#include "producer/ctl/ctl.h"
#include "producer/ctl/http.h"
#include "producer/ctl/text.h"
#include "schemas/job/limit.h"

enum { PATH_BYTES = 3 * HF_LIMIT_KEY_MAX + 64 };

static const char *text_in(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text ? text : NULL;
}

/* "/api/v1/limits/tag/night%20run" */
static hf_code path_of(const char *key, char path[PATH_BYTES], hf_err *reterr) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    if (!hf_limit_key_valid(hf_str_of(key)))
        return hf_fail(reterr, HF_E_USAGE,
                       "'%.200s' is no limit: endpoint/NAME, provider/NAME or tag/NAME, in at most %d bytes", key,
                       HF_LIMIT_KEY_MAX);
    const char *name = strchr(key, '/') + 1;
    int len = snprintf(path, PATH_BYTES, "/api/v1/limits/%.*s", (int)(name - key), key);
    for (; *name; name++)
        len += strchr(plain, *name) ? snprintf(path + len, PATH_BYTES - (size_t)len, "%c", *name)
                                    : snprintf(path + len, PATH_BYTES - (size_t)len, "%%%02X", (unsigned char)*name);
    return HF_OK;
}

static hf_code print_table(hf_ctl *ctl, const json_t *items, hf_err *reterr) {
    static const char *const headings[] = {"LIMIT", "MAX", "IN USE", "SINCE", "BY", "REASON"};
    hf_table *table = hf_table_new(headings, sizeof headings / sizeof *headings);
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item) {
        char max[24], in_use[24];
        const json_t *of = json_object_get(item, "max");
        snprintf(max, sizeof max, "%lld", (long long)json_integer_value(of));
        snprintf(in_use, sizeof in_use, "%lld", (long long)json_integer_value(json_object_get(item, "in_use")));
        hf_table_put(table, text_in(item, "key"));
        hf_table_put(table, json_is_integer(of) ? max : "removed");
        hf_table_put(table, in_use);
        hf_table_put(table, text_in(item, "at"));
        hf_table_put(table, text_in(item, "by"));
        hf_table_put(table, text_in(item, "reason"));
    }
    hf_code code =
        table ? hf_table_print(table, ctl->out, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "the list of limits");
    hf_table_free(table);
    return code;
}

static hf_code list(hf_ctl *ctl, hf_http *http, hf_err *reterr) {
    json_t *answer = NULL;
    hf_code code = hf_http_call(http, "GET", "/api/v1/limits", NULL, &answer, reterr);
    const json_t *items = json_object_get(answer, "items");
    if (!code && ctl->json)
        code = hf_ctl_print_json(ctl, answer, reterr);
    else if (!code && json_array_size(items) == 0)
        fputs("no limits\n", ctl->out);
    else if (!code)
        code = print_table(ctl, items, reterr);
    json_decref(answer);
    return code;
}

static hf_code set(hf_ctl *ctl, hf_http *http, hf_err *reterr) {
    char path[PATH_BYTES], *end = NULL;
    json_t *answer = NULL;
    long max = strtol(ctl->args.rest[2], &end, 10);
    if (end == ctl->args.rest[2] || *end || max < 0 || max > HF_LIMIT_GRANTS_MAX)
        return hf_fail(reterr, HF_E_USAGE, "'%.64s': give how many may run at once, 0 to %d", ctl->args.rest[2],
                       HF_LIMIT_GRANTS_MAX);
    hf_code code = path_of(ctl->args.rest[1], path, reterr);
    json_t *request =
        json_pack("{s:I, s:s*}", "max", (json_int_t)max, "reason", hf_args_get(&ctl->args, HF_OPT_REASON));
    if (!code)
        code = request ? hf_http_call(http, "PUT", path, request, &answer, reterr)
                       : hf_fail(reterr, HF_E_NO_MEMORY, "request");
    json_decref(request);
    json_decref(answer);
    return code ? code : list(ctl, http, reterr);
}

static hf_code take_away(hf_ctl *ctl, hf_http *http, hf_err *reterr) {
    char path[PATH_BYTES];
    json_t *answer = NULL;
    hf_code code = path_of(ctl->args.rest[1], path, reterr);
    if (!code)
        code = hf_http_call(http, "DELETE", path, NULL, &answer, reterr);
    json_decref(answer);
    return code ? code : list(ctl, http, reterr);
}

hf_code hf_cmd_limit(hf_ctl *ctl, hf_err *reterr) {
    static const struct {
        const char *name;
        int arguments;
        hf_code (*run)(hf_ctl *ctl, hf_http *http, hf_err *reterr);
    } actions[] = {{"list", 1, list}, {"set", 3, set}, {"remove", 2, take_away}};
    hf_http *http;
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(ctl->args.rest[0], actions[i].name) != 0)
            continue;
        if (ctl->args.rest_count != actions[i].arguments)
            return hf_fail(reterr, HF_E_USAGE, "give `limit list`, `limit set KEY MAX` or `limit remove KEY`");
        hf_code code = hf_ctl_http(ctl, &http, reterr);
        return code ? code : actions[i].run(ctl, http, reterr);
    }
    return hf_fail(reterr, HF_E_USAGE, "'%.64s': say list, set or remove", ctl->args.rest[0]);
}
