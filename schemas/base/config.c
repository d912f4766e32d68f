#include "schemas/base/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/clock.h"
#include "schemas/base/config_table.h"
#include "schemas/base/mem.h"

const hf_config_row hf_config_rows[HF_CONFIG_COUNT] = {
#define HF_CONFIG(id, name, kind_, def_, min_, max_, unit_, doc_)                                                      \
    [HF_C_##id] = {name, HF_CK_##kind_, def_, min_, max_, unit_, doc_},
#include "schemas/base/config.def"
#undef HF_CONFIG
};

/* ---- life -------------------------------------------------------------------------------------- */
static hf_code put_default(hf_config *c, hf_config_key key) {
    const hf_config_row *row = &hf_config_rows[key];
    if (!row->def)
        return HF_OK;
    size_t len = row->kind == HF_CK_ENUM ? strcspn(row->def, "|") : strlen(row->def);
    return hf_config_put_text(c, key, (hf_str){row->def, (uint32_t)len}, "default", NULL);
}

hf_config *hf_config_new(void) {
    hf_config *c = hf_alloc(sizeof *c);
    bool ok = c && (c->kafka = json_object()) && (c->kafka_sources = json_object());
    for (int key = 0; ok && key < HF_CONFIG_COUNT; key++)
        ok = put_default(c, (hf_config_key)key) == HF_OK;
    if (ok)
        return c;
    hf_config_free(c);
    return NULL;
}

void hf_config_free(hf_config *c) {
    if (!c)
        return;
    for (int key = 0; key < HF_CONFIG_COUNT; key++) {
        free(c->values[key].text);
        free(c->values[key].source);
        json_decref(c->values[key].json);
    }
    json_decref(c->kafka);
    json_decref(c->kafka_sources);
    free(c);
}

/* ---- accessors --------------------------------------------------------------------------------- */
const char *hf_config_str(const hf_config *c, hf_config_key key) {
    hf_config_kind kind = hf_config_rows[key].kind;
    assert(kind == HF_CK_STR || kind == HF_CK_SECRET || kind == HF_CK_ENUM);
    return c->values[key].text ? c->values[key].text : "";
}
int64_t hf_config_int(const hf_config *c, hf_config_key key) {
    hf_config_kind kind = hf_config_rows[key].kind;
    assert(kind == HF_CK_INT || kind == HF_CK_SIZE || kind == HF_CK_DURATION);
    return c->values[key].num;
}
bool hf_config_bool(const hf_config *c, hf_config_key key) {
    assert(hf_config_rows[key].kind == HF_CK_BOOL);
    return c->values[key].num != 0;
}
const json_t *hf_config_json(const hf_config *c, hf_config_key key) {
    assert(hf_config_rows[key].kind == HF_CK_JSON);
    return c->values[key].json;
}
const json_t *hf_config_kafka(const hf_config *c) { return c->kafka; }

/* ---- values ------------------------------------------------------------------------------------ */
static bool parse_decimal(hf_str s, hf_str *ret_rest, int64_t *ret) {
    uint32_t at = s.len && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0, start = at;
    int64_t value = 0;
    for (; at < s.len && s.p[at] >= '0' && s.p[at] <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s.p[at] - '0', &value))
            return false;
    if (at == start)
        return false;
    *ret = s.p[0] == '-' ? -value : value;
    *ret_rest = (hf_str){s.p + at, s.len - at};
    return true;
}

static bool parse_int(hf_str s, int64_t *ret) {
    hf_str rest;
    return parse_decimal(s, &rest, ret) && rest.len == 0;
}

static bool parse_size(hf_str s, int64_t *ret) {
    static const struct {
        const char *name;
        int shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    hf_str rest;
    int64_t value;
    if (!parse_decimal(s, &rest, &value))
        return false;
    while (rest.len && rest.p[0] == ' ')
        rest = (hf_str){rest.p + 1, rest.len - 1};
    for (size_t i = 0; i < HF_ARRAY_LEN(units); i++)
        if (hf_str_eqz(rest, units[i].name))
            return !__builtin_mul_overflow(value, INT64_C(1) << units[i].shift, ret);
    return false;
}

static bool parse_bool(hf_str s, int64_t *ret) {
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "1"};
    static const char *const no[] = {"false", "False", "FALSE", "no", "0"};
    for (size_t i = 0; i < HF_ARRAY_LEN(yes); i++) {
        if (hf_str_eqz(s, yes[i]) || hf_str_eqz(s, no[i])) {
            *ret = hf_str_eqz(s, yes[i]);
            return true;
        }
    }
    return false;
}

static bool parse_enum(const char *list, hf_str s, int64_t *ret) {
    int64_t place = 0;
    for (const char *p = list;; p++, place++) {
        size_t len = strcspn(p, "|");
        if (hf_str_eq(s, (hf_str){p, (uint32_t)len})) {
            *ret = place;
            return true;
        }
        p += len;
        if (!*p)
            return false;
    }
}

static bool in_range(const hf_config_row *row, int64_t value) { return value >= row->min && value <= row->max; }

static hf_code check_text(const hf_config_row *row, hf_str s, hf_err *reterr) {
    if (!in_range(row, s.len))
        return hf_fail(reterr, HF_E_CONFIG, "%s has %u bytes; it must have %" PRId64 " to %" PRId64, row->key, s.len,
                       row->min, row->max);
    if (row == &hf_config_rows[HF_C_FLEET])
        for (uint32_t i = 0; i < s.len; i++)
            if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s.p[i]))
                return hf_fail(reterr, HF_E_CONFIG, "fleet is \"%.*s\"; use only letters, digits, '-' and '_'",
                               HF_STR_ARG(s));
    return HF_OK;
}

/* What a value of this kind looks like, for the error that says it is not one. */
static const char *remedy(hf_config_kind kind) {
    switch (kind) {
    case HF_CK_BOOL: return "true or false";
    case HF_CK_INT: return "a whole number";
    case HF_CK_SIZE: return "a whole number of bytes, or one with KiB, MiB, GiB or TiB";
    case HF_CK_DURATION: return "a duration such as 250ms, 10s or 1h30m";
    case HF_CK_ENUM: return "one of ";
    case HF_CK_STR:
    case HF_CK_SECRET:
    case HF_CK_JSON: break;
    }
    return "a text";
}

static hf_code parse_value(const hf_config_row *row, hf_str s, int64_t *ret, hf_err *reterr) {
    bool ok = false;
    switch (row->kind) {
    case HF_CK_STR:
    case HF_CK_SECRET: return check_text(row, s, reterr);
    case HF_CK_BOOL: ok = parse_bool(s, ret); break;
    case HF_CK_INT: ok = parse_int(s, ret); break;
    case HF_CK_SIZE: ok = parse_size(s, ret); break;
    case HF_CK_DURATION: ok = hf_duration_parse(s, ret); break;
    case HF_CK_ENUM: ok = parse_enum(row->def, s, ret); break;
    case HF_CK_JSON: break;
    }
    int shown = s.len > 60 ? 60 : (int)s.len;
    if (!ok)
        return hf_fail(reterr, HF_E_CONFIG, "%s is \"%.*s\"; it must be %s%s", row->key, shown, s.p ? s.p : "",
                       remedy(row->kind), row->kind == HF_CK_ENUM ? row->def : "");
    if (row->kind != HF_CK_BOOL && row->kind != HF_CK_ENUM && !in_range(row, *ret))
        return hf_fail(reterr, HF_E_CONFIG, "%s is %.*s; it must be from %" PRId64 " to %" PRId64 "%s%s", row->key,
                       shown, s.p, row->min, row->max, *row->unit ? " " : "", row->unit);
    return HF_OK;
}

static hf_code no_memory(hf_err *reterr) { return hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the configuration"); }

hf_code hf_config_put_text(hf_config *c, hf_config_key key, hf_str text, const char *source, hf_err *reterr) {
    int64_t num = 0;
    hf_code code = parse_value(&hf_config_rows[key], text, &num, reterr);
    if (code)
        return code;
    hf_auto_free char *copy = hf_strndup(text.p, text.len), *from = hf_strndup(source, strlen(source));
    if (!copy || !from)
        return no_memory(reterr);
    hf_config_value *value = &c->values[key];
    free(value->text);
    free(value->source);
    value->text = HF_TAKE(copy);
    value->source = HF_TAKE(from);
    value->num = num;
    return HF_OK;
}

hf_code hf_config_put_json(hf_config *c, hf_config_key key, json_t *json, const char *source, hf_err *reterr) {
    const hf_config_row *row = &hf_config_rows[key];
    size_t count = json_is_array(json) ? json_array_size(json) : json_object_size(json);
    hf_code code = HF_OK;
    char *from = NULL;
    if (json && !json_is_array(json) && !json_is_object(json) && !json_is_null(json))
        code = hf_fail(reterr, HF_E_CONFIG, "%s must be a list or a section, not a single value", row->key);
    else if (count > (size_t)row->max)
        code = hf_fail(reterr, HF_E_CONFIG, "%s has %zu entries; at most %" PRId64 " are allowed", row->key, count,
                       row->max);
    else if (!(from = hf_strndup(source, strlen(source))))
        code = no_memory(reterr);
    if (code || json_is_null(json)) {
        json_decref(json);
        json = NULL;
    }
    if (code)
        return code;
    json_decref(c->values[key].json);
    free(c->values[key].source);
    c->values[key].json = json;
    c->values[key].source = from;
    return HF_OK;
}

hf_code hf_config_put_kafka(hf_config *c, const char *name, hf_str text, const char *source, hf_err *reterr) {
    if (text.len > HF_CONFIG_TEXT_BYTES)
        return hf_fail(reterr, HF_E_CONFIG, "kafka.%s has %u bytes; at most %d are allowed", name, text.len,
                       HF_CONFIG_TEXT_BYTES);
    if (json_object_set_new(c->kafka, name, json_stringn(text.p ? text.p : "", text.len)) != 0 ||
        json_object_set_new(c->kafka_sources, name, json_string(source)) != 0)
        return no_memory(reterr);
    return HF_OK;
}

hf_code hf_config_check(const hf_config *c, hf_err *reterr) {
    static const struct {
        hf_config_key small, large;
        int times;
    } rules[] = {
        {HF_C_WORKER_HEARTBEAT, HF_C_WORKER_LEASE, 3},
        {HF_C_WORKER_RETRY_BASE, HF_C_WORKER_RETRY_MAX, 1},
        {HF_C_JOURNAL_MAP, HF_C_JOURNAL_MAP_MAX, 1},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rules); i++) {
        const hf_config_value *a = &c->values[rules[i].small], *b = &c->values[rules[i].large];
        if (a->num * rules[i].times > b->num)
            return hf_fail(reterr, HF_E_CONFIG, "%s is %s (%s); it must be at most %s%s, which is %s (%s)",
                           hf_config_rows[rules[i].small].key, a->text, a->source,
                           rules[i].times == 3 ? "a third of " : "", hf_config_rows[rules[i].large].key, b->text,
                           b->source);
    }
    return HF_OK;
}
