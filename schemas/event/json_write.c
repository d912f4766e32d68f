/* Structs to JSON text without a tree in between, for answers of many records: the same members as hf_json_of, in the order of the table. */
#include <inttypes.h>
#include <math.h>

#include "schemas/base/clock.h"
#include "schemas/event/json.h"

static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

/* What is rare goes the long way: jansson's. Takes value over. */
static bool put_value(hf_buf *out, json_t *value) {
    bool ok = value && json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
    json_decref(value);
    if (!ok)
        out->failed = true;
    return ok;
}

#define EACH_BYTE(b) (0x0101010101010101u * (b))

/* Whether none of eight bytes is a control character, '"', '\\', DEL or not ASCII: the top bit of a byte shows it (Warren,
 * Hacker's Delight, "Find first 0-byte"; a borrow may only find one too many, behind one that is there). */
static bool are_plain(uint64_t w) {
    uint64_t quote = w ^ EACH_BYTE('"'), slash = w ^ EACH_BYTE('\\');
    uint64_t odd = w | (w - EACH_BYTE(0x20u)) | (quote - EACH_BYTE(1u)) | (slash - EACH_BYTE(1u)) | (w + EACH_BYTE(1u));
    return !(odd & EACH_BYTE(0x80u));
}

static bool is_plain(hf_str s) {
    uint32_t i = 0;
    for (uint64_t word; s.len - i >= sizeof word; i += (uint32_t)sizeof word) {
        memcpy(&word, s.p + i, sizeof word);
        if (!are_plain(word))
            break;
    }
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void put_text(hf_buf *out, hf_str s) {
    if (!is_plain(s)) {
        put_value(out, hf_json_text(s));
        return;
    }
    uint8_t *to = hf_buf_reserve(out, (size_t)s.len + 2);
    if (!to)
        return;
    to[0] = '"';
    if (s.len)
        memcpy(to + 1, s.p, s.len);
    to[s.len + 1] = '"';
    out->len += (size_t)s.len + 2;
}

/* RAW text was checked when it came in; here again, since one bad byte would spoil the whole answer. */
static void put_raw(hf_buf *out, hf_str s) {
    json_t *value = s.len ? json_loadb(s.p, s.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : json_null();
    put_value(out, value ? value : hf_json_text(s));
}

static void put_int(hf_buf *out, int64_t n) {
    char text[24], *at = text + sizeof text;
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0)
        *--at = '-';
    hf_buf_put(out, at, (size_t)(text + sizeof text - at));
}

/* Whole numbers, and most are, without printf: digits and ".0", as jansson writes them. */
static void put_real(hf_buf *out, double n) {
    if (!(fabs(n) < 1e15) || n != trunc(n) || (n == 0 && signbit(n))) {
        put_value(out, isfinite(n) ? json_real(n) : json_null());
        return;
    }
    put_int(out, (int64_t)n);
    hf_buf_put(out, ".0", 2);
}

static void put_time(hf_buf *out, int64_t wall_ms) {
    char text[HF_RFC3339_BYTES];
    put_text(out, hf_str_of(hf_time_format(wall_ms, text)));
}

static void put_enum(hf_buf *out, const hf_field *f, int32_t index) {
    int32_t count = 0;
    while (f->symbols[count])
        count++;
    put_text(out, hf_str_of(index >= 0 && index < count ? f->symbols[index] : "none"));
}

static bool is_absent(const hf_field *f, const void *at) {
    switch (f->kind) {
    case HF_K_TIME: return *(const int64_t *)at == 0;
    case HF_K_STR:
    case HF_K_RAW: return ((const hf_str *)at)->len == 0;
    case HF_K_LIST:
    case HF_K_UNIONS: return ((const hf_list *)at)->count == 0;
    case HF_K_OPTION: return !*(const void *const *)at;
    case HF_K_BOOL:
    case HF_K_I32:
    case HF_K_I64:
    case HF_K_F64:
    case HF_K_ENUM:
    case HF_K_RECORD: break;
    }
    return false;
}

static void put_list(hf_buf *out, const hf_field *f, const hf_list *list) {
    hf_buf_puts(out, "[");
    for (uint32_t i = 0; i < list->count; i++) {
        if (i)
            hf_buf_puts(out, ",");
        if (f->sub)
            hf_json_put(out, f->sub, (const char *)list->items + i * (size_t)f->sub->size_bytes);
        else
            put_text(out, *HF_LIST_AT(*list, hf_str, i));
    }
    hf_buf_puts(out, "]");
}

static void put_field(hf_buf *out, const hf_field *f, const void *at) {
    switch (f->kind) {
    case HF_K_STR: put_text(out, *(const hf_str *)at); break;
    case HF_K_RAW: put_raw(out, *(const hf_str *)at); break;
    case HF_K_BOOL: hf_buf_puts(out, *(const bool *)at ? "true" : "false"); break;
    case HF_K_I32: put_int(out, *(const int32_t *)at); break;
    case HF_K_I64: put_int(out, *(const int64_t *)at); break;
    case HF_K_TIME: put_time(out, *(const int64_t *)at); break;
    case HF_K_F64: put_real(out, *(const double *)at); break;
    case HF_K_ENUM: put_enum(out, f, *(const int32_t *)at); break;
    case HF_K_RECORD: hf_json_put(out, f->sub, at); break;
    case HF_K_OPTION: hf_json_put(out, f->sub, *(const void *const *)at); break;
    case HF_K_LIST: put_list(out, f, at); break;
    case HF_K_UNIONS: /* a record's transitions: few, and each a tree of its own */
        put_value(out, hf_json_list(f, at));
        break;
    }
}

/* Names are identifiers of the tables: nothing in them needs a second look. */
static void put_name(hf_buf *out, char before, const char *name) {
    size_t len = strlen(name);
    char *to = (char *)hf_buf_reserve(out, len + 4);
    if (!to)
        return;
    to[0] = before;
    to[1] = '"';
    memcpy(to + 2, name, len);
    to[len + 2] = '"';
    to[len + 3] = ':';
    out->len += len + 4;
}

bool hf_json_put(hf_buf *out, const hf_type *type, const void *record) {
    const char *before = "{";
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        const void *at = (const char *)record + f->offset;
        if (is_absent(f, at))
            continue;
        put_name(out, *before, f->name);
        put_field(out, f, at);
        before = ",";
    }
    hf_buf_puts(out, *before == '{' ? "{}" : "}");
    return !out->failed;
}
