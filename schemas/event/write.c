#include "schemas/event/write.h"

#include <inttypes.h>

#include "schemas/event/plan.h"
#include "schemas/event/utf8.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { NUMBER_BYTES = 10 };

/* Bytes go between p and end, which lie behind out->len; only a whole record moves out->len. */
typedef struct writer {
    uint8_t *p, *end;
    hf_buf *out;
    hf_err *err;
    hf_code code;
} writer;

static bool put_record(writer *w, const hf_type *type, const char *record);

static bool stop(writer *w, hf_code code) {
    w->code = code;
    return false;
}

static __attribute__((noinline)) bool more_room(writer *w, size_t need) {
    hf_buf *out = w->out;
    size_t pending = (size_t)(w->p - out->data) - out->len;
    if (!out->data)
        pending = 0;
    uint8_t *to = hf_buf_reserve(out, pending + need);
    if (!to)
        return stop(w, out->len + pending + need > out->max_bytes
                           ? hf_fail(w->err, HF_E_LIMIT, "the record does not fit the buffer's bound of %zu bytes", out->max_bytes)
                           : hf_fail(w->err, HF_E_NO_MEMORY, "a buffer of %zu bytes", out->len + pending + need));
    w->p = to + pending;
    w->end = out->data + out->cap;
    return true;
}

static inline bool room(writer *w, size_t need) { return LIKELY((size_t)(w->end - w->p) >= need) || more_room(w, need); }

/* Needs room for NUMBER_BYTES. */
static inline void put_long(writer *w, int64_t n) {
    uint64_t u = ((uint64_t)n << 1) ^ (uint64_t)(n >> 63);
    while (u > 0x7f) {
        *w->p++ = (uint8_t)(u | 0x80);
        u >>= 7;
    }
    *w->p++ = (uint8_t)u;
}

static inline bool put_str(writer *w, const char *name, uint32_t max, hf_str s) {
    if (UNLIKELY(s.len > max))
        return stop(w, hf_fail(w->err, HF_E_LIMIT, "%s: a string of %" PRIu32 " bytes, the limit is %" PRIu32, name, s.len, max));
    if (UNLIKELY(!hf_utf8_valid(s.p, s.len)))
        return stop(w, hf_fail(w->err, HF_E_INVALID, "%s: a string that is not UTF-8, or holds a NUL", name));
    if (UNLIKELY(!room(w, NUMBER_BYTES + (size_t)s.len)))
        return false;
    put_long(w, s.len);
    if (s.len)
        memcpy(w->p, s.p, s.len);
    w->p += s.len;
    return true;
}

static bool put_enum(writer *w, const hf_field *f, int32_t value) {
    int32_t count = 0;
    while (f->symbols[count])
        count++;
    if (value < 0 || value >= count)
        return stop(w, hf_fail(w->err, HF_E_INVALID, "%s: %" PRId32 " is none of its %" PRId32 " symbols", f->name, value, count));
    put_long(w, value);
    return true;
}

static bool put_variant(writer *w, const hf_field *f, const hf_variant *v) {
    int32_t count = 0;
    while (count <= v->branch && f->branches[count])
        count++;
    if (v->branch < 0 || v->branch >= count || !v->record)
        return stop(w, hf_fail(w->err, HF_E_INVALID, "a record of kind %" PRId32 ", which this version cannot write", v->branch));
    if (!room(w, NUMBER_BYTES))
        return false;
    put_long(w, v->branch);
    return put_record(w, f->branches[v->branch], v->record);
}

static bool put_element(writer *w, const hf_field *f, const hf_list *list, uint32_t i) {
    if (f->kind == HF_K_UNIONS)
        return put_variant(w, f, HF_LIST_AT(*list, hf_variant, i));
    if (!f->sub)
        return put_str(w, f->name, HF_MAX_ELEMENT_BYTES, *HF_LIST_AT(*list, hf_str, i));
    return put_record(w, f->sub, (const char *)list->items + (size_t)i * f->sub->size_bytes);
}

static bool put_list(writer *w, const hf_field *f, const hf_list *list) {
    if (UNLIKELY(list->count > f->max))
        return stop(w, hf_fail(w->err, HF_E_LIMIT, "%s: %" PRIu32 " elements, the limit is %" PRIu32, f->name, list->count, f->max));
    if (list->count)
        put_long(w, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        if (UNLIKELY(!put_element(w, f, list, i))) {
            hf_context(w->err, "%s[%" PRIu32 "]", f->name, i);
            return false;
        }
    }
    if (!room(w, 1))
        return false;
    *w->p++ = 0;
    return true;
}

static bool put_inner(writer *w, const hf_field *f, const void *record) {
    if (LIKELY(put_record(w, f->sub, record)))
        return true;
    hf_context(w->err, "%s", f->name);
    return false;
}

static inline bool put_field(writer *w, const hf_field *f, const void *at) {
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: return put_str(w, f->name, f->max, *(const hf_str *)at);
    case HF_K_BOOL: *w->p++ = *(const bool *)at; return true;
    case HF_K_I32: put_long(w, *(const int32_t *)at); return true;
    case HF_K_I64:
    case HF_K_TIME: put_long(w, *(const int64_t *)at); return true;
    case HF_K_F64: /* little-endian, as is every machine this is built for (asserted in codec.c) */
        memcpy(w->p, at, sizeof(double));
        w->p += sizeof(double);
        return true;
    case HF_K_ENUM: return put_enum(w, f, *(const int32_t *)at);
    case HF_K_RECORD: return put_inner(w, f, at);
    case HF_K_OPTION: {
        const void *inner = *(const void *const *)at;
        put_long(w, inner ? 1 : 0); /* ["null", record] */
        return !inner || put_inner(w, f, inner);
    }
    case HF_K_LIST:
    case HF_K_UNIONS: return put_list(w, f, at);
    }
    return stop(w, hf_fail(w->err, HF_E_INTERNAL, "%s has no kind", f->name));
}

static bool put_record(writer *w, const hf_type *type, const char *record) {
    const hf_field *f = type->fields;
    for (const hf_field *last = f + type->field_count; f < last; f++)
        if (UNLIKELY(!room(w, NUMBER_BYTES) || !put_field(w, f, record + f->offset)))
            return false;
    return true;
}

hf_code hf_avro_write(const hf_type *type, const void *record, hf_buf *out, hf_err *reterr) {
    writer w = {.out = out, .err = reterr};
    if (out->failed)
        return hf_fail(reterr, HF_E_INTERNAL, "%s: the buffer failed before and was not cleared", type->name);
    if (out->data) {
        w.p = out->data + out->len;
        w.end = out->data + out->cap;
    }
    if (!put_record(&w, type, record)) {
        hf_context(reterr, "%s", type->name);
        return w.code;
    }
    if (w.p)
        out->len = (size_t)(w.p - out->data);
    return HF_OK;
}
