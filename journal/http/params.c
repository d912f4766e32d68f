#include "journal/http/params.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/base/id.h"
#include "schemas/base/mem.h"
#include "schemas/job/job.h"

const hf_param_row HF_PARAMS[HF_PARAM_COUNT] = {
#define HF_PARAM(id, name, kind, min, max, example, doc) {name, HF_PARAM_##kind, min, max, example, doc},
#include "journal/http/params.def"
#undef HF_PARAM
};

hf_param hf_param_find(const char *name) {
    for (int i = 0; i < HF_PARAM_COUNT; i++)
        if (strcmp(HF_PARAMS[i].name, name) == 0)
            return (hf_param)i;
    return HF_PARAM_COUNT;
}

bool hf_param_listed(const char *list, hf_param param) {
    size_t len = strlen(HF_PARAMS[param].name);
    for (const char *at = list; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (n == len && memcmp(at, HF_PARAMS[param].name, n) == 0)
            return true;
        at += n;
    }
    return false;
}

unsigned hf_param_states(const char *name) {
    unsigned states = 0;
    for (int s = 0; s < HF_STATE_COUNT; s++)
        if (strcmp(name, hf_state_status((hf_state)s)) == 0 || strcmp(name, hf_state_name((hf_state)s)) == 0)
            states |= 1u << s;
    return states;
}

static hf_code read_states(const hf_param_row *row, const char *text, int64_t *ret, hf_err *reterr) {
    char name[32];
    unsigned states = 0;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), at);
        unsigned some = hf_param_states(name);
        if (!some)
            return hf_fail(reterr, HF_E_INVALID,
                           "%s: '%s' is neither a state nor one of pending, running, completed, failed, cancelled",
                           row->name, name);
        states |= some;
        at += n + (at[n] == ',');
    }
    *ret = states;
    return states ? HF_OK
                  : hf_fail(reterr, HF_E_INVALID,
                            "%s is empty: name a state, or one of pending, running, completed, failed, cancelled",
                            row->name);
}

/* "24h" is so long ago; days are no unit of durations, yet what people think in. */
static hf_code read_time(const hf_param_row *row, const char *text, int64_t now_ms, int64_t *ret, hf_err *reterr) {
    int64_t ms = 0;
    char *end = NULL;
    if (hf_time_parse(hf_str_of(text), ret))
        return HF_OK;
    long long days = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : -1;
    if (end && strcmp(end, "d") == 0 && days >= 0 && days <= 36500)
        ms = days * 86400000;
    else if (!hf_duration_parse(hf_str_of(text), &ms) || ms < 0)
        return hf_fail(reterr, HF_E_INVALID, "%s: '%.64s' is neither a time (%s) nor a time ago (15m, 24h, 7d)",
                       row->name, text, "2026-01-17T10:30:00Z");
    *ret = now_ms - ms;
    return HF_OK;
}

static hf_code read_int(const hf_param_row *row, const char *text, int64_t *ret, hf_err *reterr) {
    char *end = NULL;
    bool digits = text[strspn(text, "0123456789")] == 0 && *text && strlen(text) <= 18;
    long long n = digits ? strtoll(text, &end, 10) : 0;
    if (!digits || n < row->min || n > row->max)
        return hf_fail(reterr, HF_E_INVALID, "%s must be %" PRId64 " to %" PRId64, row->name, row->min, row->max);
    *ret = n;
    return HF_OK;
}

static hf_code read_bool(const hf_param_row *row, const char *text, int64_t *ret, hf_err *reterr) {
    static const char *const yes[] = {"", "true", "1", "yes"}, *const no[] = {"false", "0", "no"};
    for (size_t i = 0; i < HF_ARRAY_LEN(yes); i++)
        if (strcmp(text, yes[i]) == 0) {
            *ret = 1;
            return HF_OK;
        }
    for (size_t i = 0; i < HF_ARRAY_LEN(no); i++)
        if (strcmp(text, no[i]) == 0) {
            *ret = 0;
            return HF_OK;
        }
    return hf_fail(reterr, HF_E_INVALID, "%s is true or false", row->name);
}

static hf_code read_text(const hf_param_row *row, const char *text, hf_err *reterr) {
    size_t len = strlen(text);
    if (len < (size_t)row->min || len > (size_t)row->max)
        return hf_fail(reterr, HF_E_INVALID, "%s must have %" PRId64 " to %" PRId64 " bytes, and has %zu", row->name,
                       row->min, row->max, len);
    return HF_OK;
}

hf_code hf_param_read(hf_param param, const char *text, int64_t now_ms, hf_param_value *ret, hf_err *reterr) {
    const hf_param_row *row = &HF_PARAMS[param];
    hf_param_value value = {.text = text ? text : ""};
    hf_code code = HF_OK;
    switch (row->kind) {
    case HF_PARAM_INT: code = read_int(row, value.text, &value.number, reterr); break;
    case HF_PARAM_BOOL: code = read_bool(row, value.text, &value.number, reterr); break;
    case HF_PARAM_TIME: code = read_time(row, value.text, now_ms, &value.number, reterr); break;
    case HF_PARAM_STATES: code = read_states(row, value.text, &value.number, reterr); break;
    case HF_PARAM_TEXT: code = read_text(row, value.text, reterr); break;
    case HF_PARAM_ID:
        if (!hf_id_valid(hf_str_of(value.text)))
            code = hf_fail(reterr, HF_E_INVALID,
                           "%s is not an id: 1 to %d of A-Z a-z 0-9 . _ : @ + = ~ -, not beginning with . or -",
                           row->name, HF_ID_MAX_BYTES);
        break;
    }
    if (code == HF_OK)
        *ret = value;
    return code;
}
