#include "schemas/event/skip.h"

static hf_skip *node(hf_skip_memo *memo, hf_skip_kind kind, uint64_t count) {
    hf_skip *s = hf_arena_alloc(memo->arena, sizeof *s);
    if (s) {
        s->kind = kind;
        s->count = count;
    }
    return s;
}

/* Child i of a union, a record, an array or a map. */
static avro_schema_t child_of(avro_schema_t schema, size_t i) {
    if (is_avro_union(schema))
        return avro_schema_union_branch(schema, (int)i);
    if (is_avro_record(schema))
        return avro_schema_record_field_get_by_index(schema, (int)i);
    return is_avro_array(schema) ? avro_schema_array_items(schema) : avro_schema_map_values(schema);
}

static const hf_skip *compound(hf_skip_memo *memo, avro_schema_t schema, hf_skip *s, size_t children, int depth) {
    const hf_skip **list = hf_arena_alloc(memo->arena, (children + 1) * sizeof(const hf_skip *));
    if (!s || !list)
        return NULL;
    s->children = list;
    bool empty = true;
    for (size_t i = 0; i < children; i++) {
        list[i] = hf_skip_new(memo, child_of(schema, i), depth + 1);
        if (!list[i])
            return NULL;
        empty = empty && list[i]->empty;
    }
    s->empty = empty && s->kind == HF_SKIP_RECORD;
    return s;
}

static const hf_skip *record(hf_skip_memo *memo, avro_schema_t schema, int depth) {
    for (uint32_t i = 0; i < memo->count; i++)
        if (memo->schema[i] == schema)
            return memo->skip[i];
    size_t fields = avro_schema_record_size(schema);
    hf_skip *s = node(memo, HF_SKIP_RECORD, fields);
    if (!s || memo->count == HF_SCHEMA_MAX_NAMED)
        return NULL;
    memo->schema[memo->count] = schema;
    memo->skip[memo->count++] = s;
    return compound(memo, schema, s, fields, depth);
}

const hf_skip *hf_skip_new(hf_skip_memo *memo, avro_schema_t schema, int depth) {
    if (is_avro_link(schema))
        schema = avro_schema_link_target(schema);
    if (!schema || depth > HF_SCHEMA_MAX_DEPTH)
        return NULL;
    hf_skip *s = NULL;
    switch (avro_typeof(schema)) {
    case AVRO_NULL: s = node(memo, HF_SKIP_NOTHING, 0); break;
    case AVRO_BOOLEAN: return node(memo, HF_SKIP_BOOL, 0);
    case AVRO_INT32:
    case AVRO_INT64: return node(memo, HF_SKIP_LONG, 0);
    case AVRO_STRING:
    case AVRO_BYTES: return node(memo, HF_SKIP_BYTES, 0);
    case AVRO_FLOAT: return node(memo, HF_SKIP_FIXED, sizeof(float));
    case AVRO_DOUBLE: return node(memo, HF_SKIP_FIXED, sizeof(double));
    case AVRO_FIXED: s = node(memo, HF_SKIP_FIXED, (uint64_t)avro_schema_fixed_size(schema)); break;
    case AVRO_ENUM: return node(memo, HF_SKIP_ENUM, (uint64_t)avro_schema_enum_number_of_symbols(schema));
    case AVRO_ARRAY: return compound(memo, schema, node(memo, HF_SKIP_ARRAY, 1), 1, depth);
    case AVRO_MAP: return compound(memo, schema, node(memo, HF_SKIP_MAP, 1), 1, depth);
    case AVRO_UNION: {
        size_t branches = avro_schema_union_size(schema);
        return compound(memo, schema, node(memo, HF_SKIP_UNION, branches), branches, depth);
    }
    case AVRO_RECORD: return record(memo, schema, depth);
    case AVRO_LINK: break; /* a link to a link is nothing the parser makes */
    }
    if (s)
        s->empty = s->count == 0;
    return s;
}
