#include "schemas/event/write.h"

#include <inttypes.h>

#include "schemas/event/plan.h"
#include "schemas/event/utf8.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { NUMBER_BYTES = 10 };

typedef uint8_t *to_t;

/* Bytes go between out->len and end; only a whole record moves out->len. Functions return where the next value goes, or
 * NULL after w->code and *w->err were set. */
typedef struct writer {
    to_t end;
    hf_buf *out;
    hf_err *err;
    hf_code code;
} writer;

static to_t put_record(writer *w, to_t p, const hf_type *type, const char *record);

static to_t stop(writer *w, hf_code code) {
    w->code = code;
    return NULL;
}

static __attribute__((noinline)) to_t more_room(writer *w, to_t p, size_t need) {
    hf_buf *out = w->out;
    size_t pending = out->data ? (size_t)(p - out->data) - out->len : 0;
    to_t behind = hf_buf_reserve(out, pending + need);
    if (!behind)
        return stop(w, out->len + pending + need > out->max_bytes
                           ? hf_fail(w->err, HF_E_LIMIT, "the record does not fit the buffer's bound of %zu bytes",
                                     out->max_bytes)
                           : hf_fail(w->err, HF_E_NO_MEMORY, "a buffer of %zu bytes", out->len + pending + need));
    w->end = out->data + out->cap;
    return behind + pending;
}

static inline to_t room(writer *w, to_t p, size_t need) {
    return LIKELY((size_t)(w->end - p) >= need) ? p : more_room(w, p, need);
}

/* Needs room for NUMBER_BYTES. */
static inline to_t put_long(to_t p, int64_t n) {
    uint64_t u = ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
    while (u > 0x7f) {
        *p++ = (uint8_t)(u | 0x80);
        u >>= 7;
    }
    *p++ = (uint8_t)u;
    return p;
}

/* memcpy, without a call for what is short: most text of a record is. */
static inline void copy(to_t to, const char *from, size_t len) {
    if (len > 32) {
        memcpy(to, from, len);
    } else if (len >= 16) {
        memcpy(to, from, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(to, from, 4);
        memcpy(to + len - 4, from + len - 4, 4);
    } else if (len) {
        to[0] = (uint8_t)from[0];
        to[len >> 1] = (uint8_t)from[len >> 1];
        to[len - 1] = (uint8_t)from[len - 1];
    }
}

static inline to_t put_str(writer *w, to_t p, const char *name, uint32_t max, hf_str s) {
    if (s.len == 0) {
        p = room(w, p, NUMBER_BYTES);
        if (LIKELY(p != NULL))
            *p++ = 0;
        return p;
    }
    if (UNLIKELY(s.len > max))
        return stop(w, hf_fail(w->err, HF_E_LIMIT, "%s: a string of %" PRIu32 " bytes, the limit is %" PRIu32, name,
                               s.len, max));
    if (UNLIKELY(!hf_utf8_valid(s.p, s.len)))
        return stop(w, hf_fail(w->err, HF_E_INVALID, "%s: a string that is not UTF-8, or holds a NUL", name));
    p = room(w, p, NUMBER_BYTES + (size_t)s.len);
    if (UNLIKELY(!p))
        return NULL;
    p = put_long(p, s.len);
    copy(p, s.p, s.len);
    return p + s.len;
}

static to_t put_enum(writer *w, to_t p, const hf_field *f, int32_t value) {
    int32_t count = 0;
    while (f->symbols[count])
        count++;
    if (value < 0 || value >= count)
        return stop(w, hf_fail(w->err, HF_E_INVALID, "%s: %" PRId32 " is none of its %" PRId32 " symbols", f->name,
                               value, count));
    return put_long(p, value);
}

static to_t put_variant(writer *w, to_t p, const hf_field *f, const hf_variant *v) {
    int32_t count = 0;
    while (count <= v->branch && f->branches[count])
        count++;
    if (v->branch < 0 || v->branch >= count || !v->record)
        return stop(w, hf_fail(w->err, HF_E_INVALID, "a record of kind %" PRId32 ", which this version cannot write",
                               v->branch));
    p = room(w, p, NUMBER_BYTES);
    return p ? put_record(w, put_long(p, v->branch), f->branches[v->branch], v->record) : NULL;
}

static to_t put_element(writer *w, to_t p, const hf_field *f, const hf_list *list, uint32_t i) {
    if (f->kind == HF_K_UNIONS)
        return put_variant(w, p, f, HF_LIST_AT(*list, hf_variant, i));
    if (!f->sub)
        return put_str(w, p, f->name, HF_MAX_ELEMENT_BYTES, *HF_LIST_AT(*list, hf_str, i));
    return put_record(w, p, f->sub, (const char *)list->items + (size_t)i * f->sub->size_bytes);
}

static to_t put_list(writer *w, to_t p, const hf_field *f, const hf_list *list) {
    if (list->count == 0) {
        *p++ = 0;
        return p;
    }
    if (UNLIKELY(list->count > f->max))
        return stop(w, hf_fail(w->err, HF_E_LIMIT, "%s: %" PRIu32 " elements, the limit is %" PRIu32, f->name,
                               list->count, f->max));
    p = put_long(p, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        p = put_element(w, p, f, list, i);
        if (UNLIKELY(!p)) {
            hf_context(w->err, "%s[%" PRIu32 "]", f->name, i);
            return NULL;
        }
    }
    p = room(w, p, 1);
    if (LIKELY(p != NULL))
        *p++ = 0;
    return p;
}

static to_t put_inner(writer *w, to_t p, const hf_field *f, const void *record) {
    p = put_record(w, p, f->sub, record);
    if (UNLIKELY(!p))
        hf_context(w->err, "%s", f->name);
    return p;
}

/* Needs room for NUMBER_BYTES, which is enough for all but text and what holds other values. */
static inline to_t put_field(writer *w, to_t p, const hf_field *f, const void *at) {
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: return put_str(w, p, f->name, f->max, *(const hf_str *)at);
    case HF_K_BOOL: *p = *(const bool *)at; return p + 1;
    case HF_K_I32: return put_long(p, *(const int32_t *)at);
    case HF_K_I64:
    case HF_K_TIME: return put_long(p, *(const int64_t *)at);
    case HF_K_F64: /* little-endian, as is every machine this is built for (asserted in codec.c) */
        memcpy(p, at, sizeof(double));
        return p + sizeof(double);
    case HF_K_ENUM: return put_enum(w, p, f, *(const int32_t *)at);
    case HF_K_RECORD: return put_inner(w, p, f, at);
    case HF_K_OPTION: { /* ["null", record] */
        const void *inner = *(const void *const *)at;
        p = put_long(p, inner ? 1 : 0);
        return inner ? put_inner(w, p, f, inner) : p;
    }
    case HF_K_LIST:
    case HF_K_UNIONS: return put_list(w, p, f, at);
    }
    return stop(w, hf_fail(w->err, HF_E_INTERNAL, "%s has no kind", f->name));
}

static to_t put_record(writer *w, to_t p, const hf_type *type, const char *record) {
    const hf_field *f = type->fields;
    for (const hf_field *last = f + type->field_count; f < last; f++) {
        p = room(w, p, NUMBER_BYTES);
        if (LIKELY(p != NULL))
            p = put_field(w, p, f, record + f->offset);
        if (UNLIKELY(!p))
            return NULL;
    }
    return p;
}

hf_code hf_avro_write(const hf_type *type, const void *record, hf_buf *out, hf_err *reterr) {
    writer w = {.out = out, .err = reterr};
    if (out->failed)
        return hf_fail(reterr, HF_E_INTERNAL, "%s: the buffer failed before and was not cleared", type->name);
    to_t p = more_room(&w, out->data ? out->data + out->len : NULL, NUMBER_BYTES);
    if (p)
        p = put_record(&w, p, type, record);
    if (!p) {
        hf_context(reterr, "%s", type->name);
        return w.code;
    }
    out->len = (size_t)(p - out->data);
    return HF_OK;
}
