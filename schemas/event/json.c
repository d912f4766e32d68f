/* Structs to JSON, by the field tables. The way back is json_read.c. */
#include "schemas/event/json.h"

#include <math.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

/* Text that is not UTF-8 cannot stand in JSON: what is not ASCII becomes '?', so that one bad byte in an old
 * record never hides the whole of it. */
static json_t *json_of_bad_text(hf_str s) {
    hf_auto_free char *copy = hf_strndup(s.p, s.len);
    if (!copy)
        return NULL;
    for (uint32_t i = 0; i < s.len; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    return json_stringn(copy, s.len);
}

json_t *hf_json_text(hf_str s) {
    if (s.len == 0)
        return json_string("");
    json_t *text = json_stringn(s.p, s.len);
    return text ? text : json_of_bad_text(s);
}

static json_t *json_of_raw(hf_str s) {
    json_t *value = s.len ? json_loadb(s.p, s.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : json_null();
    return value ? value : hf_json_text(s); /* not JSON after all: shown as the text it is */
}

static json_t *json_of_time(int64_t wall_ms) {
    char text[HF_RFC3339_BYTES];
    return json_string(hf_time_format(wall_ms, text));
}

static json_t *json_of_enum(const hf_field *f, int32_t index) {
    int32_t count = 0;
    while (f->symbols[count])
        count++;
    return index >= 0 && index < count ? json_string(f->symbols[index]) : json_string("none");
}

static json_t *json_of_variant(const hf_field *f, const hf_variant *v, unsigned flags) {
    bool known = v->branch >= 0 && v->record;
    json_t *object = known ? hf_json_of(f->branches[v->branch], v->record, flags) : json_object();
    json_t *name = json_string(known ? f->branches[v->branch]->name : "Unknown");
    if (object && json_object_set_new(object, "type", name) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *json_of_list(const hf_field *f, const hf_list *list, unsigned flags) {
    json_t *array = json_array();
    for (uint32_t i = 0; array && i < list->count; i++) {
        json_t *item;
        if (f->kind == HF_K_UNIONS)
            item = json_of_variant(f, HF_LIST_AT(*list, hf_variant, i), flags);
        else if (f->sub)
            item = hf_json_of(f->sub, (const char *)list->items + i * (size_t)f->sub->size_bytes, flags);
        else
            item = hf_json_text(*HF_LIST_AT(*list, hf_str, i));
        if (json_array_append_new(array, item) != 0) { /* takes item, also when it is NULL */
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool is_absent(const hf_field *f, const void *at, unsigned flags) {
    if (f->kind == HF_K_TIME)
        return *(const int64_t *)at == 0;
    if (flags & HF_JSON_FULL)
        return false;
    if (f->kind == HF_K_STR || f->kind == HF_K_RAW)
        return ((const hf_str *)at)->len == 0;
    if (f->kind == HF_K_LIST || f->kind == HF_K_UNIONS)
        return ((const hf_list *)at)->count == 0;
    return f->kind == HF_K_OPTION && !*(const void *const *)at;
}

static json_t *json_of_field(const hf_field *f, const void *at, unsigned flags) {
    switch (f->kind) {
    case HF_K_STR: return hf_json_text(*(const hf_str *)at);
    case HF_K_RAW: return json_of_raw(*(const hf_str *)at);
    case HF_K_BOOL: return json_boolean(*(const bool *)at);
    case HF_K_I32: return json_integer(*(const int32_t *)at);
    case HF_K_I64: return json_integer(*(const int64_t *)at);
    case HF_K_TIME: return json_of_time(*(const int64_t *)at);
    case HF_K_F64: return isfinite(*(const double *)at) ? json_real(*(const double *)at) : json_null();
    case HF_K_ENUM: return json_of_enum(f, *(const int32_t *)at);
    case HF_K_RECORD: return hf_json_of(f->sub, at, flags);
    case HF_K_OPTION: {
        const void *inner = *(const void *const *)at;
        return inner ? hf_json_of(f->sub, inner, flags) : json_null();
    }
    case HF_K_LIST:
    case HF_K_UNIONS: return json_of_list(f, at, flags);
    }
    return NULL;
}

json_t *hf_json_of(const hf_type *type, const void *record, unsigned flags) {
    json_t *object = json_object();
    for (uint32_t i = 0; object && i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        const void *at = (const char *)record + f->offset;
        if (is_absent(f, at, flags))
            continue;
        if (json_object_set_new(object, f->name, json_of_field(f, at, flags)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

json_t *hf_json_list(const hf_field *field, const hf_list *list) { return json_of_list(field, list, 0); }
