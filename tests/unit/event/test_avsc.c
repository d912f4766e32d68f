/* The schemas and the field tables say the same: names, order, kinds, defaults, symbols; and every field is documented. */
#include <jansson.h>

#include "schemas/base/mem.h"
#include "schemas/event/codec.h"
#include "tests/unit/event/cmocka_all.h"

enum { MAX_NAMED = 64 };

/* Named types seen so far in one file, by which a later mention is resolved. */
typedef struct {
    const char *names[MAX_NAMED];
    const json_t *types[MAX_NAMED];
    int count;
    const char *file;
} named;

static void check_record(named *n, const json_t *schema, const hf_type *type);

static const char *str(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static const json_t *resolve(named *n, const json_t *type, bool *ret_known) {
    *ret_known = false;
    for (int i = 0; json_is_string(type) && i < n->count; i++)
        if (strcmp(n->names[i], json_string_value(type)) == 0) {
            *ret_known = true;
            return n->types[i];
        }
    return type;
}

static void remember(named *n, const json_t *type) {
    assert_true(n->count < MAX_NAMED);
    n->names[n->count] = str(type, "name");
    n->types[n->count++] = type;
}

static void expect_name(const json_t *type, const char *name, const char *field) {
    if (!json_is_string(type) || strcmp(json_string_value(type), name) != 0)
        fail_msg("%s: the schema's type is not %s", field, name);
}

static void check_inner(named *n, const json_t *type, const hf_type *sub) {
    bool known;
    type = resolve(n, type, &known);
    assert_string_equal(str(type, "name"), sub->name);
    if (!known)
        check_record(n, type, sub);
}

static void check_enum(named *n, const json_t *type, const hf_field *f, const json_t *def) {
    bool known;
    type = resolve(n, type, &known);
    const json_t *symbols = json_object_get(type, "symbols");
    size_t count = 0;
    for (; f->symbols[count]; count++)
        assert_string_equal(json_string_value(json_array_get(symbols, count)), f->symbols[count]);
    assert_int_equal(json_array_size(symbols), count);
    assert_string_equal(json_string_value(def), f->symbols[f->def]);
    if (!known) {
        assert_true(strlen(str(type, "doc")) > 10);
        remember(n, type);
    }
}

static void check_union(named *n, const json_t *type, const hf_field *f) {
    const json_t *branches = json_object_get(type, "items");
    size_t i = 0;
    for (; f->branches[i]; i++)
        check_inner(n, json_array_get(branches, i), f->branches[i]);
    assert_int_equal(json_array_size(branches), i);
}

static void check_list(named *n, const json_t *type, const hf_field *f) {
    assert_string_equal(str(type, "type"), "array");
    if (f->kind == HF_K_UNIONS)
        check_union(n, type, f);
    else if (f->sub)
        check_inner(n, json_object_get(type, "items"), f->sub);
    else
        expect_name(json_object_get(type, "items"), "string", f->name);
}

static void check_default(const hf_field *f, const json_t *def) {
    if (!def)
        fail_msg("%s has no default", f->name);
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: assert_string_equal(json_string_value(def), ""); break;
    case HF_K_BOOL:
        assert_int_equal(json_is_true(def), f->def != 0);
        assert_true(json_is_boolean(def));
        break;
    case HF_K_TIME: assert_int_equal(f->def, 0); /* fall through */
    case HF_K_I32:
    case HF_K_I64:
        assert_true(json_is_integer(def));
        assert_int_equal(json_integer_value(def), f->def);
        break;
    case HF_K_F64:
        assert_true(json_is_real(def));
        assert_true((int64_t)json_real_value(def) == f->def);
        break;
    case HF_K_ENUM: break; /* check_enum */
    case HF_K_RECORD: assert_true(json_is_object(def) && json_object_size(def) == 0); break;
    case HF_K_OPTION: assert_true(json_is_null(def)); break;
    case HF_K_LIST:
    case HF_K_UNIONS: assert_true(json_is_array(def) && json_array_size(def) == 0); break;
    }
}

static void check_field(named *n, const json_t *field, const hf_field *f) {
    const json_t *type = json_object_get(field, "type"), *def = json_object_get(field, "default");
    assert_string_equal(str(field, "name"), f->name);
    assert_true(str(field, "doc") && strlen(str(field, "doc")) > 3);
    check_default(f, def);
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW:
        expect_name(type, "string", f->name);
        assert_true(f->max > 0);
        break;
    case HF_K_BOOL: expect_name(type, "boolean", f->name); break;
    case HF_K_I32: expect_name(type, "int", f->name); break;
    case HF_K_I64: expect_name(type, "long", f->name); break;
    case HF_K_F64: expect_name(type, "double", f->name); break;
    case HF_K_TIME:
        assert_string_equal(str(type, "type"), "long");
        assert_string_equal(str(type, "logicalType"), "timestamp-millis");
        break;
    case HF_K_ENUM: check_enum(n, type, f, def); break;
    case HF_K_RECORD: check_inner(n, type, f->sub); break;
    case HF_K_OPTION:
        assert_int_equal(json_array_size(type), 2);
        expect_name(json_array_get(type, 0), "null", f->name);
        check_inner(n, json_array_get(type, 1), f->sub);
        break;
    case HF_K_LIST:
    case HF_K_UNIONS:
        assert_true(f->max > 0);
        check_list(n, type, f);
        break;
    }
}

static void check_record(named *n, const json_t *schema, const hf_type *type) {
    const json_t *fields = json_object_get(schema, "fields");
    if (!json_is_object(schema))
        fail_msg("%s: %s is not defined where it is first used", n->file, type->name);
    assert_string_equal(str(schema, "type"), "record");
    assert_string_equal(str(schema, "name"), type->name);
    assert_true(str(schema, "doc") && strlen(str(schema, "doc")) > 3);
    if (json_array_size(fields) != type->field_count)
        fail_msg("%s: %zu fields in the schema, %u in the table", type->name, json_array_size(fields),
                 type->field_count);
    remember(n, schema);
    for (uint32_t i = 0; i < type->field_count; i++)
        check_field(n, json_array_get(fields, i), &type->fields[i]);
}

static void schemas_and_tables_agree(void **state) {
    (void)state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        json_error_t error;
        json_t *schema = json_loads(hf_schema_text((hf_schema)s), JSON_REJECT_DUPLICATES, &error);
        if (!schema)
            fail_msg("%s: %s (line %d)", hf_schema_name((hf_schema)s), error.text, error.line);
        named n = {.file = hf_schema_name((hf_schema)s)};
        assert_string_equal(str(schema, "namespace"), "io.hyperfleet.v1");
        assert_string_equal(str(schema, "name"), hf_schema_name((hf_schema)s));
        check_record(&n, schema, hf_schema_type((hf_schema)s));
        json_decref(schema);
    }
}

static void the_text_is_the_file(void **state) {
    (void)state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        char path[512], text[65536];
        snprintf(path, sizeof path, HF_SOURCE_DIR "/schemas/avro/%s.avsc", hf_schema_name((hf_schema)s));
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        size_t len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[len] = 0;
        assert_string_equal(hf_schema_text((hf_schema)s), text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(schemas_and_tables_agree),
                                       cmocka_unit_test(the_text_is_the_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
