/* JSON to structs, by the field tables, with every bound checked; and JSON text from outside. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/event/json.h"

/* Where we are, as a chain of stack frames: printed only when something is wrong. */
typedef struct where {
    const struct where *up;
    const char *name; /* NULL: an element */
    uint32_t index;
} where;

static size_t print_where(const where *w, char *text, size_t size) {
    if (!w || (!w->up && !w->name))
        return 0;
    size_t used = print_where(w->up, text, size);
    if (used >= size)
        return used;
    int n = w->name ? snprintf(text + used, size - used, "%s%s", used ? "." : "", w->name)
                    : snprintf(text + used, size - used, "[%" PRIu32 "]", w->index);
    return used + (n > 0 ? (size_t)n : 0);
}

static hf_code wrong(hf_err *reterr, hf_code code, const where *w, const char *what) {
    char path[200] = "";
    print_where(w, path, sizeof path);
    return hf_fail(reterr, code, "%s: %s", path[0] ? path : "the value", what);
}

static hf_code over(hf_err *reterr, const where *w, size_t has, uint32_t limit, const char *unit) {
    char text[96];
    snprintf(text, sizeof text, "has %zu %s, the limit is %" PRIu32, has, unit, limit);
    return wrong(reterr, HF_E_LIMIT, w, text);
}

static hf_code no_memory(hf_err *reterr, const where *w) { return wrong(reterr, HF_E_NO_MEMORY, w, "no memory"); }

/* ---- by kind ------------------------------------------------------------------------------------ */
static hf_code read_record(const hf_type *type, const json_t *json, const where *w, hf_arena *arena, void *record,
                           hf_err *reterr);

static hf_code read_text(const json_t *json, uint32_t max, const where *w, hf_arena *arena, hf_str *to,
                         hf_err *reterr) {
    if (!json_is_string(json))
        return wrong(reterr, HF_E_INVALID, w, "must be a string");
    size_t len = json_string_length(json);
    if (len > max)
        return over(reterr, w, len, max, "bytes");
    hf_str copy = len ? hf_arena_str(arena, (hf_str){json_string_value(json), (uint32_t)len}) : HF_STR_NONE;
    if (len && !copy.p)
        return no_memory(reterr, w);
    *to = copy;
    return HF_OK;
}

static hf_code read_raw(const json_t *json, uint32_t max, const where *w, hf_arena *arena, hf_str *to, hf_err *reterr) {
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    size_t len = json_dumpb(json, NULL, 0, flags);
    if (len == 0)
        return no_memory(reterr, w);
    if (len > max)
        return over(reterr, w, len, max, "bytes of JSON");
    char *text = hf_arena_alloc(arena, len + 1);
    if (!text || json_dumpb(json, text, len, flags) != len)
        return no_memory(reterr, w);
    *to = (hf_str){text, (uint32_t)len};
    return HF_OK;
}

static bool is_whole(const json_t *json, int64_t *ret) {
    const double bound = 9223372036854775808.0; /* 2^63: the first that does not fit */
    double real = json_real_value(json);
    bool whole = json_is_integer(json) || (json_is_real(json) && real >= -bound && real < bound && real == floor(real));
    if (whole)
        *ret = json_is_integer(json) ? json_integer_value(json) : (int64_t)real;
    return whole;
}

bool hf_json_whole(const json_t *value, int64_t min, int64_t max, int64_t *ret) {
    int64_t number = 0;
    bool ok = is_whole(value, &number) && number >= min && number <= max;
    if (ok)
        *ret = number;
    return ok;
}

static hf_code read_integer(const json_t *json, int64_t min, int64_t max, const where *w, int64_t *to, hf_err *reterr) {
    int64_t number = 0;
    if (!is_whole(json, &number))
        return wrong(reterr, HF_E_INVALID, w, "must be a whole number");
    if (number < min || number > max)
        return wrong(reterr, HF_E_INVALID, w, "the number is out of range");
    *to = number;
    return HF_OK;
}

static hf_code read_time(const json_t *json, const where *w, int64_t *to, hf_err *reterr) {
    hf_str text = {json_string_value(json), (uint32_t)json_string_length(json)};
    if (!json_is_string(json) || !hf_time_parse(text, to))
        return wrong(reterr, HF_E_INVALID, w, "must be a time as RFC 3339 writes it, like 2026-01-17T10:30:00Z");
    if (*to < 0)
        *to = 0; /* Go's zero time: none */
    return HF_OK;
}

static hf_code read_enum(const hf_field *f, const json_t *json, const where *w, int32_t *to, hf_err *reterr) {
    const char *text = json_string_value(json);
    for (int32_t i = 0; text && f->symbols[i]; i++)
        if (strcmp(text, f->symbols[i]) == 0) {
            *to = i;
            return HF_OK;
        }
    char what[HF_ERR_DETAIL_BYTES / 2] = "must be one of";
    for (int32_t i = 0; f->symbols[i]; i++) {
        size_t used = strlen(what);
        snprintf(what + used, sizeof what - used, " %s", f->symbols[i]);
    }
    return wrong(reterr, HF_E_INVALID, w, what);
}

static hf_code read_variant(const hf_field *f, const json_t *json, const where *w, hf_arena *arena, hf_variant *to,
                            hf_err *reterr) {
    const char *name = json_string_value(json_object_get(json, "type"));
    if (!name)
        return wrong(reterr, HF_E_INVALID, w, "must be an object with a string \"type\"");
    *to = (hf_variant){.branch = -1};
    for (int32_t i = 0; f->branches[i]; i++) {
        if (strcmp(f->branches[i]->name, name) != 0)
            continue;
        void *record = hf_arena_alloc(arena, f->branches[i]->size_bytes);
        if (!record)
            return no_memory(reterr, w);
        *to = (hf_variant){i, record};
        return read_record(f->branches[i], json, w, arena, record, reterr);
    }
    return HF_OK;
}

static size_t element_bytes(const hf_field *f) {
    if (f->kind == HF_K_UNIONS)
        return sizeof(hf_variant);
    return f->sub ? f->sub->size_bytes : sizeof(hf_str);
}

static hf_code read_list(const hf_field *f, const json_t *json, const where *w, hf_arena *arena, hf_list *to,
                         hf_err *reterr) {
    if (!json_is_array(json))
        return wrong(reterr, HF_E_INVALID, w, "must be a list");
    size_t count = json_array_size(json), each = element_bytes(f);
    if (count > f->max)
        return over(reterr, w, count, f->max, "elements");
    char *items = count ? hf_arena_alloc(arena, count * each) : NULL;
    if (count && !items)
        return no_memory(reterr, w);
    hf_code code = HF_OK;
    for (uint32_t i = 0; code == HF_OK && i < count; i++) {
        where here = {w, NULL, i};
        const json_t *item = json_array_get(json, i);
        void *at = items + i * each;
        if (f->kind == HF_K_UNIONS)
            code = read_variant(f, item, &here, arena, at, reterr);
        else if (f->sub)
            code = read_record(f->sub, item, &here, arena, at, reterr);
        else
            code = read_text(item, HF_MAX_TEXT, &here, arena, at, reterr);
    }
    if (code == HF_OK)
        *to = (hf_list){items, (uint32_t)count};
    return code;
}

static hf_code read_option(const hf_field *f, const json_t *json, const where *w, hf_arena *arena, const void **to,
                           hf_err *reterr) {
    void *record = hf_arena_alloc(arena, f->sub->size_bytes);
    if (!record)
        return no_memory(reterr, w);
    hf_code code = read_record(f->sub, json, w, arena, record, reterr);
    if (code == HF_OK)
        *to = record;
    return code;
}

static hf_code read_field(const hf_field *f, const json_t *json, const where *w, hf_arena *arena, void *at,
                          hf_err *reterr) {
    int64_t number = 0;
    hf_code code = HF_OK;
    switch (f->kind) {
    case HF_K_STR: return read_text(json, f->max, w, arena, at, reterr);
    case HF_K_RAW: return read_raw(json, f->max, w, arena, at, reterr);
    case HF_K_BOOL:
        if (!json_is_boolean(json))
            return wrong(reterr, HF_E_INVALID, w, "must be true or false");
        *(bool *)at = json_is_true(json);
        return HF_OK;
    case HF_K_I32:
        code = read_integer(json, INT32_MIN, INT32_MAX, w, &number, reterr);
        if (code == HF_OK)
            *(int32_t *)at = (int32_t)number;
        return code;
    case HF_K_I64: return read_integer(json, INT64_MIN, INT64_MAX, w, at, reterr);
    case HF_K_TIME: return read_time(json, w, at, reterr);
    case HF_K_F64:
        if (!json_is_number(json))
            return wrong(reterr, HF_E_INVALID, w, "must be a number");
        *(double *)at = json_number_value(json);
        return HF_OK;
    case HF_K_ENUM: return read_enum(f, json, w, at, reterr);
    case HF_K_RECORD: return read_record(f->sub, json, w, arena, at, reterr);
    case HF_K_OPTION: return read_option(f, json, w, arena, at, reterr);
    case HF_K_LIST:
    case HF_K_UNIONS: return read_list(f, json, w, arena, at, reterr);
    }
    return wrong(reterr, HF_E_INTERNAL, w, "a field of no known kind");
}

static hf_code read_record(const hf_type *type, const json_t *json, const where *w, hf_arena *arena, void *record,
                           hf_err *reterr) {
    if (!json_is_object(json))
        return wrong(reterr, HF_E_INVALID, w, "must be an object");
    hf_type_init(type, record);
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        const json_t *member = json_object_get(json, f->name);
        if (!member || json_is_null(member))
            continue; /* what absence means is there already */
        where here = {w, f->name, 0};
        hf_code code = read_field(f, member, &here, arena, (char *)record + f->offset, reterr);
        if (code != HF_OK)
            return code;
    }
    return HF_OK;
}

hf_code hf_json_to(const hf_type *type, const json_t *json, hf_arena *arena, void *ret_record, hf_err *reterr) {
    return read_record(type, json, NULL, arena, ret_record, reterr);
}

hf_code hf_json_to_field(const hf_field *field, const json_t *value, const char *path, hf_arena *arena, void *record,
                         hf_err *reterr) {
    where here = {NULL, path, 0};
    return read_field(field, value, &here, arena, (char *)record + field->offset, reterr);
}

/* ---- text from outside ---------------------------------------------------------------------------- */
/* jansson's own bound on depth is 2,048, and whoever walks the value recurses as deep. */
static bool too_deep(hf_str text) {
    int depth = 0;
    bool quoted = false;
    for (uint32_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > HF_JSON_MAX_DEPTH)
                return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

json_t *hf_json_parse(hf_str text, size_t max_bytes, hf_err *reterr) {
    if (text.len > max_bytes) {
        hf_fail(reterr, HF_E_LIMIT, "the JSON text has %" PRIu32 " bytes, the limit is %zu", text.len, max_bytes);
        return NULL;
    }
    if (too_deep(text)) {
        hf_fail(reterr, HF_E_LIMIT, "the JSON text is nested deeper than %d levels", HF_JSON_MAX_DEPTH);
        return NULL;
    }
    json_error_t error;
    json_t *json = json_loadb(text.p ? text.p : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json)
        return json;
    if (json_error_code(&error) == json_error_out_of_memory) {
        hf_fail(reterr, HF_E_NO_MEMORY, "no memory to read JSON");
        return NULL;
    }
    char *near = strstr(error.text, " near '"); /* what follows is the sender's text */
    if (near)
        *near = 0;
    hf_fail(reterr, HF_E_PARSE, "not JSON: %s (line %d, column %d)", error.text, error.line, error.column);
    return NULL;
}
