#include "schemas/event/plan.h"

#include <avro/errors.h>
#include <inttypes.h>
#include <jansson.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"
#include "schemas/event/canonical.h"
#include "schemas/event/skip.h"

enum { PLAN_MAX_BYTES = 8 << 20 };

typedef struct compiler {
    hf_arena *arena;
    hf_skip_memo skips;
    const char *reader_text;
    hf_err *err;
} compiler;

/* Steps of one program while it grows, and of which struct. */
typedef struct builder {
    hf_buf steps;
    const hf_type *type;
    uint32_t covered; /* fields of the struct, nested ones included, that a step is sure to fill */
} builder;

static hf_code compile_value(compiler *c, builder *b, avro_schema_t w, const hf_type *owner, const hf_field *f,
                             uint32_t offset, const char *path);
static hf_code compile_program(compiler *c, avro_schema_t w, const hf_type *type, const hf_program **ret);

static avro_schema_t target(avro_schema_t w) { return is_avro_link(w) ? avro_schema_link_target(w) : w; }

static hf_code no_memory(compiler *c) { return hf_fail(c->err, HF_E_NO_MEMORY, "the plan of a schema"); }

static hf_code mismatch(compiler *c, const char *path, avro_schema_t w, const char *wanted) {
    const char *is = is_avro_primitive(w) || is_avro_named_type(w) ? avro_schema_type_name(w)
                     : is_avro_union(w)                            ? "union"
                     : is_avro_map(w)                              ? "map"
                                                                   : "array";
    return hf_fail(c->err, HF_E_SCHEMA_UNKNOWN, "field %s is written as %s, %s is read here", path, is, wanted);
}

static hf_code add(compiler *c, builder *b, hf_step step) {
    if (hf_buf_put(&b->steps, &step, sizeof step))
        return HF_OK;
    return b->steps.len + sizeof step > b->steps.max_bytes
               ? hf_fail(c->err, HF_E_SCHEMA_UNKNOWN, "the schema has more than %d fields", HF_SCHEMA_MAX_STEPS)
               : no_memory(c);
}

/* ---- building and closing a program ------------------------------------------------------------ */
static void builder_init(builder *b, const hf_type *type) {
    *b = (builder){.type = type};
    hf_buf_init(&b->steps, HF_SCHEMA_MAX_STEPS * sizeof(hf_step));
}

static void builder_done(builder *b) { hf_buf_done(&b->steps); }

static uint32_t leaves(const hf_type *type) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < type->field_count; i++)
        n += type->fields[i].kind == HF_K_RECORD ? leaves(type->fields[i].sub) : 1;
    return n;
}

static bool all_zero(const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

static bool reads_nothing(const hf_step *steps, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (steps[i].op != HF_OP_SKIP || !steps[i].skip->empty)
            return false;
    return true;
}

static hf_code close_program(compiler *c, builder *b, const hf_program **ret) {
    hf_program *p = hf_arena_alloc(c->arena, sizeof *p);
    hf_step *steps = hf_arena_alloc(c->arena, b->steps.len + sizeof *steps);
    void *blank = hf_arena_alloc(c->arena, b->type->size_bytes);
    if (!p || !steps || !blank)
        return no_memory(c);
    if (b->steps.len)
        memcpy(steps, b->steps.data, b->steps.len);
    hf_type_init(b->type, blank);
    *p = (hf_program){.steps = steps,
                      .count = (uint32_t)(b->steps.len / sizeof *steps),
                      .size_bytes = b->type->size_bytes,
                      .blank = blank};
    p->zeros_do = b->covered == leaves(b->type) || all_zero(blank, b->type->size_bytes);
    p->empty = reads_nothing(p->steps, p->count);
    *ret = p;
    return HF_OK;
}

/* ---- values that stand alone -------------------------------------------------------------------- */
static hf_code compile_text(compiler *c, builder *b, avro_schema_t w, hf_step step) {
    if (!is_avro_string(w) && !is_avro_bytes(w))
        return mismatch(c, step.name, w, "string");
    step.op = HF_OP_STR;
    return add(c, b, step);
}

static hf_code compile_number(compiler *c, builder *b, avro_schema_t w, const hf_field *f, hf_step step) {
    bool whole = is_avro_int32(w) || is_avro_int64(w);
    if (f->kind == HF_K_I32 && is_avro_int32(w))
        step.op = HF_OP_I32;
    else if ((f->kind == HF_K_I64 || f->kind == HF_K_TIME) && whole)
        step.op = HF_OP_I64;
    else if (f->kind == HF_K_F64 && is_avro_double(w))
        step.op = HF_OP_F64;
    else if (f->kind == HF_K_F64 && is_avro_float(w))
        step.op = HF_OP_F64_OF_FLOAT;
    else if (f->kind == HF_K_F64 && whole)
        step.op = HF_OP_F64_OF_LONG;
    else
        return mismatch(c, step.name, w, f->kind == HF_K_I32 ? "int" : f->kind == HF_K_F64 ? "double" : "long");
    return add(c, b, step);
}

static int32_t symbol_index(const hf_field *f, const char *symbol) {
    for (int32_t i = 0; symbol && f->symbols[i]; i++)
        if (strcmp(f->symbols[i], symbol) == 0)
            return i;
    return -1;
}

/* The "default" of the enum that stands at owner.field in the reader's own schema; NULL: none. */
static const json_t *find_enum_default(const json_t *schema, const char *owner, const char *field) {
    const char *name = json_string_value(json_object_get(schema, "name"));
    const json_t *child, *fields = json_object_get(schema, "fields"), *found = NULL;
    size_t i;
    if (name && strcmp(name, owner) == 0)
        json_array_foreach(fields, i, child)
            if (strcmp(json_string_value(json_object_get(child, "name")), field) == 0)
                return json_object_get(json_object_get(child, "type"), "default");
    json_array_foreach(fields, i, child)
        if ((found = find_enum_default(json_object_get(child, "type"), owner, field)))
            return found;
    json_array_foreach(schema, i, child)
        if ((found = find_enum_default(child, owner, field)))
            return found;
    return json_is_object(schema) ? find_enum_default(json_object_get(schema, "items"), owner, field) : NULL;
}

static int32_t enum_default(compiler *c, const hf_type *owner, const hf_field *f) {
    json_t *reader = c->reader_text ? json_loads(c->reader_text, 0, NULL) : NULL;
    int32_t index = reader ? symbol_index(f, json_string_value(find_enum_default(reader, owner->name, f->name))) : -1;
    json_decref(reader);
    return index;
}

static hf_code compile_enum(compiler *c, builder *b, avro_schema_t w, const hf_type *owner, const hf_field *f,
                            hf_step step) {
    if (!is_avro_enum(w))
        return mismatch(c, step.name, w, "enum");
    int count = avro_schema_enum_number_of_symbols(w);
    int32_t *symbols = hf_arena_alloc(c->arena, ((size_t)count + 1) * sizeof *symbols);
    if (!symbols)
        return no_memory(c);
    for (int i = 0; i < count; i++) {
        symbols[i] = symbol_index(f, avro_schema_enum_get(w, i));
        if (symbols[i] < 0)
            symbols[i] = enum_default(c, owner, f);
    }
    step.op = HF_OP_ENUM;
    step.symbols = symbols;
    step.count = (uint32_t)count;
    return add(c, b, step);
}

/* ---- lists --------------------------------------------------------------------------------------- */
static hf_code compile_list(compiler *c, builder *b, avro_schema_t w, const hf_field *f, hf_step step) {
    if (!is_avro_array(w))
        return mismatch(c, step.name, w, "array");
    avro_schema_t items = target(avro_schema_array_items(w));
    if (!f->sub) {
        if (!is_avro_string(items) && !is_avro_bytes(items))
            return mismatch(c, step.name, items, "an array of strings");
        step.op = HF_OP_STRINGS;
        return add(c, b, step);
    }
    if (!is_avro_record(items))
        return mismatch(c, step.name, items, "an array of records");
    step.op = HF_OP_RECORDS;
    hf_code code = compile_program(c, items, f->sub, &step.program);
    return code ? code : add(c, b, step);
}

static hf_code compile_branch(compiler *c, avro_schema_t w, const hf_field *f, hf_branch *branch) {
    branch->branch = -1;
    for (int32_t i = 0; is_avro_record(w) && f->branches[i]; i++)
        if (strcmp(f->branches[i]->name, avro_schema_name(w)) == 0)
            branch->branch = i;
    if (branch->branch >= 0)
        return compile_program(c, w, f->branches[branch->branch], &branch->program);
    branch->skip = hf_skip_new(&c->skips, w, 0);
    return branch->skip ? HF_OK : no_memory(c);
}

static hf_code compile_variants(compiler *c, builder *b, avro_schema_t w, const hf_field *f, hf_step step) {
    if (!is_avro_array(w))
        return mismatch(c, step.name, w, "array");
    avro_schema_t items = target(avro_schema_array_items(w));
    step.op = HF_OP_VARIANTS;
    step.bare = !is_avro_union(items);
    step.count = step.bare ? 1 : (uint32_t)avro_schema_union_size(items);
    hf_branch *branches = hf_arena_alloc(c->arena, (step.count + 1) * sizeof *branches);
    if (!branches)
        return no_memory(c);
    for (uint32_t i = 0; i < step.count; i++) {
        avro_schema_t item = step.bare ? items : target(avro_schema_union_branch(items, (int)i));
        hf_code code = compile_branch(c, item, f, &branches[i]);
        if (code)
            return hf_context(c->err, "%s", step.name), code;
    }
    step.branches = branches;
    return add(c, b, step);
}

/* ---- records, options, unions --------------------------------------------------------------------- */
static const hf_field *field_named(const hf_type *type, const char *name) {
    for (uint32_t i = 0; i < type->field_count; i++)
        if (strcmp(type->fields[i].name, name) == 0)
            return &type->fields[i];
    return NULL;
}

static hf_code compile_fields(compiler *c, builder *b, avro_schema_t w, const hf_type *type, uint32_t offset,
                              const char *path) {
    size_t count = avro_schema_record_size(w);
    for (size_t i = 0; i < count; i++) {
        const char *name = avro_schema_record_field_name(w, (int)i);
        avro_schema_t value = avro_schema_record_field_get_by_index(w, (int)i);
        const hf_field *f = field_named(type, name);
        char *where = hf_arena_printf(c->arena, "%s%s%s", path, *path ? "." : "", name);
        if (!where)
            return no_memory(c);
        hf_step over = {.op = HF_OP_SKIP, .name = where};
        if (!f && !(over.skip = hf_skip_new(&c->skips, value, 0)))
            return hf_fail(c->err, HF_E_SCHEMA_UNKNOWN, "field %s: no memory, or nested deeper than %d", where,
                           HF_SCHEMA_MAX_DEPTH);
        hf_code code = f ? compile_value(c, b, value, type, f, offset + f->offset, where) : add(c, b, over);
        if (code)
            return code;
    }
    return HF_OK;
}

static hf_code compile_choice(compiler *c, builder *b, avro_schema_t w, const hf_type *owner, const hf_field *f,
                              hf_step step) {
    step.op = HF_OP_CHOICE;
    step.count = (uint32_t)avro_schema_union_size(w);
    const hf_program **choices = hf_arena_alloc(c->arena, (step.count + 1) * sizeof(const hf_program *));
    if (!choices)
        return no_memory(c);
    for (uint32_t i = 0; i < step.count; i++) {
        avro_schema_t branch = target(avro_schema_union_branch(w, (int)i));
        builder inner;
        builder_init(&inner, b->type);
        hf_code code =
            is_avro_null(branch) ? HF_OK : compile_value(c, &inner, branch, owner, f, step.offset, step.name);
        if (code == HF_OK)
            code = close_program(c, &inner, &choices[i]);
        builder_done(&inner);
        if (code && code != HF_E_SCHEMA_UNKNOWN) /* a branch that does not fit is refused when it comes */
            return code;
    }
    step.choices = choices;
    return add(c, b, step);
}

static hf_code compile_option(compiler *c, builder *b, avro_schema_t w, const hf_field *f, hf_step step) {
    if (!is_avro_record(w))
        return mismatch(c, step.name, w, "record");
    step.op = HF_OP_OPTION;
    hf_code code = compile_program(c, w, f->sub, &step.program);
    return code ? code : add(c, b, step);
}

static hf_code compile_value(compiler *c, builder *b, avro_schema_t w, const hf_type *owner, const hf_field *f,
                             uint32_t offset, const char *path) {
    hf_step step = {.offset = offset, .max = f->max, .name = path};
    w = target(w);
    if (is_avro_union(w))
        return compile_choice(c, b, w, owner, f, step);
    b->covered += f->kind != HF_K_RECORD;
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: return compile_text(c, b, w, step);
    case HF_K_BOOL:
        if (!is_avro_boolean(w))
            return mismatch(c, path, w, "boolean");
        step.op = HF_OP_BOOL;
        return add(c, b, step);
    case HF_K_I32:
    case HF_K_I64:
    case HF_K_TIME:
    case HF_K_F64: return compile_number(c, b, w, f, step);
    case HF_K_ENUM: return compile_enum(c, b, w, owner, f, step);
    case HF_K_RECORD:
        return is_avro_record(w) ? compile_fields(c, b, w, f->sub, offset, path) : mismatch(c, path, w, "record");
    case HF_K_OPTION: return compile_option(c, b, w, f, step);
    case HF_K_LIST: return compile_list(c, b, w, f, step);
    case HF_K_UNIONS: return compile_variants(c, b, w, f, step);
    }
    return hf_fail(c->err, HF_E_INTERNAL, "field %s has no kind", path);
}

static hf_code compile_program(compiler *c, avro_schema_t w, const hf_type *type, const hf_program **ret) {
    builder b;
    builder_init(&b, type);
    hf_code code = compile_fields(c, &b, w, type, 0, "");
    if (code == HF_OK)
        code = close_program(c, &b, ret);
    builder_done(&b);
    return code;
}

/* ---- the plan ------------------------------------------------------------------------------------- */
static hf_code fingerprint(avro_schema_t w, uint64_t *ret, hf_err *reterr) {
    hf_buf text;
    hf_buf_init(&text, HF_SCHEMA_MAX_BYTES);
    hf_code code = hf_avro_canonical(w, &text, reterr);
    if (code == HF_OK)
        *ret = hf_avro_crc64(text.data, text.len);
    hf_buf_done(&text);
    return code;
}

static hf_code compile(hf_plan *plan, avro_schema_t w, const char *reader_text, hf_err *reterr) {
    if (!is_avro_record(w) || strcmp(avro_schema_name(w), plan->type->name) != 0)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "the schema is of %s, a record %s is read here",
                       is_avro_record(w) ? avro_schema_name(w) : "no record", plan->type->name);
    hf_code code = fingerprint(w, &plan->fingerprint, reterr);
    if (code)
        return code;
    compiler *c = hf_alloc(sizeof *c);
    if (!c)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the plan of %s", plan->type->name);
    *c = (compiler){.arena = &plan->arena, .skips.arena = &plan->arena, .reader_text = reader_text, .err = reterr};
    code = compile_program(c, w, plan->type, &plan->program);
    free(c);
    return code;
}

hf_code hf_plan_new(const char *writer_text, const hf_type *type, const char *reader_text, hf_plan **ret,
                    hf_err *reterr) {
    size_t len = strlen(writer_text);
    if (len > HF_SCHEMA_MAX_BYTES)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "a schema of %zu bytes, the limit is %d", len, HF_SCHEMA_MAX_BYTES);
    hf_plan *plan = hf_alloc(sizeof *plan);
    if (!plan)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the plan of %s", type->name);
    hf_arena_init(&plan->arena, PLAN_MAX_BYTES);
    plan->type = type;
    avro_schema_t w = NULL;
    hf_code code = avro_schema_from_json_length(writer_text, len, &w)
                       ? hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "no Avro schema: %s", avro_strerror())
                       : compile(plan, w, reader_text, reterr);
    if (w)
        avro_schema_decref(w);
    if (code) {
        hf_plan_free(plan);
        return code;
    }
    *ret = plan;
    return HF_OK;
}

void hf_plan_free(hf_plan *plan) {
    if (!plan)
        return;
    hf_arena_done(&plan->arena);
    free(plan);
}
