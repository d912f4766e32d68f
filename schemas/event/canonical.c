#include "schemas/event/canonical.h"

#include <inttypes.h>

#include "schemas/event/plan.h"

/* Named types that were written out already: the next mention is the name alone. */
typedef struct {
    hf_buf *out;
    const struct avro_obj_t *seen[HF_SCHEMA_MAX_NAMED];
    uint32_t seen_count;
} canon;

static bool put(canon *c, avro_schema_t s, int depth);

static bool put_name(canon *c, avro_schema_t s) {
    const char *space = avro_schema_namespace(s), *name = avro_schema_name(s);
    if (space && *space)
        return hf_buf_printf(c->out, "\"%s.%s\"", space, name);
    return hf_buf_printf(c->out, "\"%s\"", name);
}

static bool put_fields(canon *c, avro_schema_t s, int depth) {
    size_t count = avro_schema_record_size(s);
    bool ok = hf_buf_puts(c->out, ",\"type\":\"record\",\"fields\":[");
    for (size_t i = 0; ok && i < count; i++) {
        ok = hf_buf_printf(c->out, "%s{\"name\":\"%s\",\"type\":", i ? "," : "",
                           avro_schema_record_field_name(s, (int)i)) &&
             put(c, avro_schema_record_field_get_by_index(s, (int)i), depth + 1) && hf_buf_puts(c->out, "}");
    }
    return ok && hf_buf_puts(c->out, "]");
}

static bool put_symbols(canon *c, avro_schema_t s) {
    int count = avro_schema_enum_number_of_symbols(s);
    bool ok = hf_buf_puts(c->out, ",\"type\":\"enum\",\"symbols\":[");
    for (int i = 0; ok && i < count; i++)
        ok = hf_buf_printf(c->out, "%s\"%s\"", i ? "," : "", avro_schema_enum_get(s, i));
    return ok && hf_buf_puts(c->out, "]");
}

static bool put_named(canon *c, avro_schema_t s, int depth) {
    for (uint32_t i = 0; i < c->seen_count; i++)
        if (c->seen[i] == s)
            return put_name(c, s);
    if (c->seen_count == HF_SCHEMA_MAX_NAMED)
        return false;
    c->seen[c->seen_count++] = s;
    if (!hf_buf_puts(c->out, "{\"name\":") || !put_name(c, s))
        return false;
    bool ok = false;
    if (is_avro_record(s))
        ok = put_fields(c, s, depth);
    else if (is_avro_enum(s))
        ok = put_symbols(c, s);
    else
        ok = hf_buf_printf(c->out, ",\"type\":\"fixed\",\"size\":%" PRId64, avro_schema_fixed_size(s));
    return ok && hf_buf_puts(c->out, "}");
}

static bool put_union(canon *c, avro_schema_t s, int depth) {
    size_t count = avro_schema_union_size(s);
    bool ok = hf_buf_puts(c->out, "[");
    for (size_t i = 0; ok && i < count; i++)
        ok = (i == 0 || hf_buf_puts(c->out, ",")) && put(c, avro_schema_union_branch(s, (int)i), depth + 1);
    return ok && hf_buf_puts(c->out, "]");
}

static bool put(canon *c, avro_schema_t s, int depth) {
    if (depth > HF_SCHEMA_MAX_DEPTH)
        return false;
    if (is_avro_link(s))
        s = avro_schema_link_target(s);
    if (is_avro_record(s) || is_avro_enum(s) || is_avro_fixed(s))
        return put_named(c, s, depth);
    if (is_avro_union(s))
        return put_union(c, s, depth);
    if (is_avro_array(s))
        return hf_buf_puts(c->out, "{\"type\":\"array\",\"items\":") && put(c, avro_schema_array_items(s), depth + 1) &&
               hf_buf_puts(c->out, "}");
    if (is_avro_map(s))
        return hf_buf_puts(c->out, "{\"type\":\"map\",\"values\":") && put(c, avro_schema_map_values(s), depth + 1) &&
               hf_buf_puts(c->out, "}");
    return hf_buf_printf(c->out, "\"%s\"", avro_schema_type_name(s));
}

hf_code hf_avro_canonical(avro_schema_t schema, hf_buf *out, hf_err *reterr) {
    canon c = {.out = out};
    if (put(&c, schema, 0))
        return HF_OK;
    if (out->failed)
        return hf_fail(reterr, HF_E_NO_MEMORY, "canonical form of a schema, past %zu bytes", out->len);
    return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "the schema is nested deeper than %d or names more than %d types",
                   HF_SCHEMA_MAX_DEPTH, HF_SCHEMA_MAX_NAMED);
}

/* Avro's own CRC-64: the empty string's fingerprint is also the polynomial. Bit by bit: this runs once a schema. */
uint64_t hf_avro_crc64(const void *bytes, size_t len) {
    const uint64_t empty = 0xc15d213aa4d7a795u;
    const uint8_t *p = bytes;
    uint64_t crc = empty;
    for (size_t i = 0; i < len; i++) {
        uint64_t low = (crc ^ p[i]) & 0xff;
        for (int bit = 0; bit < 8; bit++)
            low = (low >> 1) ^ (empty & (0 - (low & 1)));
        crc = (crc >> 8) ^ low;
    }
    return crc;
}
