// LIBS: hf_http
/* Whatever a request's line names: a path finds a row of routes.def or is refused, and what it hands to a handler is bounded and clean; each
 * parameter of the query is read within its row's bounds or refused by name; a point of the audit is one or none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "journal/http/request.h"
#include "journal/replica/asof.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

static void check_segment(const char *text) {
    size_t len = strnlen(text, HF_ID_MAX_BYTES * 3 + 1);
    MUST(len <= HF_ID_MAX_BYTES * 3);
    for (size_t i = 0; i < len; i++)
        MUST((unsigned char)text[i] >= 0x20 && text[i] != 0x7f && text[i] != '/');
}

static void find(const char *method, char *path) {
    hf_request r = {.method = method, .raw_path = path, .route = HF_ROUTE_COUNT};
    int status = hf_route_find(&r);
    MUST(status == 0 || status == 400 || status == 404 || status == 405);
    for (int i = 0; i < HF_PATH_PARAMS; i++)
        check_segment(r.params[i]);
    if (status == 0) {
        MUST(r.route < HF_ROUTE_COUNT);
        MUST(strcmp(HF_ROUTES[r.route].method, strcmp(method, "HEAD") == 0 ? "GET" : method) == 0);
        MUST(!strchr(HF_ROUTES[r.route].path, '{') || r.params[0][0]);
    }
    MUST(status != 405 || (r.allow && (strcmp(method, "OPTIONS") == 0 || !strstr(r.allow, method))));
}

static void read_one(hf_param param, const char *text) {
    const hf_param_row *row = &HF_PARAMS[param];
    hf_param_value value = {0};
    hf_err err = {0};
    if (hf_param_read(param, text, 1800000000000, &value, &err) != HF_OK) {
        MUST(strstr(err.detail, row->name) && !value.text);
        return;
    }
    MUST(strcmp(value.text, text ? text : "") == 0);
    if (row->kind == HF_PARAM_INT)
        MUST(value.number >= row->min && value.number <= row->max);
    if (row->kind == HF_PARAM_STATES)
        MUST(value.number > 0);
    if (row->kind == HF_PARAM_TEXT)
        MUST(strlen(text ? text : "") <= (size_t)row->max);
}

/* By its name, and whatever it is as each of the others too. */
static void read_pair(char *pair) {
    char *value = strchr(pair, '=');
    hf_asof point;
    hf_err err = {0};
    if (value)
        *value++ = 0;
    if (value)
        MHD_http_unescape(value);
    hf_param named = hf_param_find(pair);
    if (named < HF_PARAM_COUNT)
        read_one(named, value);
    for (int p = 0; named == HF_PARAM_COUNT && p < HF_PARAM_COUNT; p++)
        read_one((hf_param)p, value);
    if (value && hf_asof_parse(hf_str_of(value), &point, &err) != HF_OK)
        MUST(err.detail[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const methods[] = {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT"};
    char *text = malloc(size + 1);
    if (!text || size == 0) {
        free(text);
        return 0;
    }
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    char *query = strchr(text, '?'), *rest = NULL;
    if (query)
        *query++ = 0;
    find(methods[data[0] % 6], text);
    for (char *pair = query ? strtok_r(query, "&", &rest) : NULL; pair; pair = strtok_r(NULL, "&", &rest))
        read_pair(pair);
    free(text);
    return 0;
}
