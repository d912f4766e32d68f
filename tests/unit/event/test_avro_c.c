/* avro-c's generic values read our bytes as what we meant, and write bytes we read as what it meant. */
/* NOLINTBEGIN(clang-analyzer-core.*): avro-c calls through tables of functions the analyzer cannot see into. */
#include <avro.h>

#include "tests/unit/event/fixture.h"

static void compare_record(const hf_type *type, const char *record, avro_value_t *value);

static void compare_string(hf_str ours, const avro_value_t *value) {
    const char *text;
    size_t size; /* with its NUL */
    assert_int_equal(avro_value_get_string(value, &text, &size), 0);
    assert_int_equal(ours.len, size - 1);
    assert_memory_equal(ours.len ? ours.p : "", text, ours.len);
}

static void compare_list(const hf_field *f, const hf_list *list, avro_value_t *value) {
    size_t count;
    assert_int_equal(avro_value_get_size(value, &count), 0);
    assert_int_equal(count, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        avro_value_t item, inner;
        assert_int_equal(avro_value_get_by_index(value, i, &item, NULL), 0);
        if (f->kind == HF_K_UNIONS) {
            int branch;
            const hf_variant *v = HF_LIST_AT(*list, hf_variant, i);
            assert_int_equal(avro_value_get_discriminant(&item, &branch), 0);
            assert_int_equal(branch, v->branch);
            assert_int_equal(avro_value_get_current_branch(&item, &inner), 0);
            compare_record(f->branches[branch], v->record, &inner);
        } else if (f->sub) {
            compare_record(f->sub, (const char *)list->items + i * f->sub->size_bytes, &item);
        } else {
            compare_string(*HF_LIST_AT(*list, hf_str, i), &item);
        }
    }
}

static void compare_option(const hf_field *f, const char *record, avro_value_t *value) {
    int branch;
    avro_value_t inner;
    assert_int_equal(avro_value_get_discriminant(value, &branch), 0);
    assert_int_equal(branch, record ? 1 : 0);
    assert_int_equal(avro_value_get_current_branch(value, &inner), 0);
    if (record)
        compare_record(f->sub, record, &inner);
}

static void compare_field(const hf_field *f, const void *at, avro_value_t *value) {
    int32_t i = 0;
    int64_t l = 0;
    double d = 0;
    switch (f->kind) {
    case HF_K_STR:
    case HF_K_RAW: compare_string(*(const hf_str *)at, value); break;
    case HF_K_BOOL:
        assert_int_equal(avro_value_get_boolean(value, &i), 0);
        assert_int_equal(i, *(const bool *)at);
        break;
    case HF_K_I32:
        assert_int_equal(avro_value_get_int(value, &i), 0);
        assert_int_equal(i, *(const int32_t *)at);
        break;
    case HF_K_I64:
    case HF_K_TIME:
        assert_int_equal(avro_value_get_long(value, &l), 0);
        assert_true(l == *(const int64_t *)at);
        break;
    case HF_K_F64:
        assert_int_equal(avro_value_get_double(value, &d), 0);
        assert_memory_equal(&d, at, sizeof d);
        break;
    case HF_K_ENUM:
        assert_int_equal(avro_value_get_enum(value, &i), 0);
        assert_int_equal(i, *(const int32_t *)at);
        break;
    case HF_K_RECORD: compare_record(f->sub, at, value); break;
    case HF_K_OPTION: compare_option(f, *(const char *const *)at, value); break;
    case HF_K_LIST:
    case HF_K_UNIONS: compare_list(f, at, value); break;
    }
}

static void compare_record(const hf_type *type, const char *record, avro_value_t *value) {
    size_t count;
    assert_int_equal(avro_value_get_size(value, &count), 0);
    assert_int_equal(count, type->field_count);
    for (uint32_t i = 0; i < type->field_count; i++) {
        avro_value_t field;
        const char *name;
        assert_int_equal(avro_value_get_by_index(value, i, &field, &name), 0);
        assert_string_equal(name, type->fields[i].name);
        compare_field(&type->fields[i], record + type->fields[i].offset, &field);
    }
}

static void exchange(fixture *f, hf_schema schema, avro_value_t *value) {
    hf_buf_clear(&f->buf);
    check_ok(f, hf_encode_body(schema, f->record, &f->buf, &f->err));
    avro_reader_t reader = avro_reader_memory((const char *)f->buf.data, (int64_t)f->buf.len);
    avro_value_reset(value);
    assert_int_equal(avro_value_read(reader, value), 0);
    avro_reader_free(reader);
    compare_record(hf_schema_type(schema), f->record, value);

    static char bytes[HF_MAX_RECORD];
    avro_writer_t writer = avro_writer_memory(bytes, sizeof bytes);
    assert_int_equal(avro_value_write(writer, value), 0);
    hf_str theirs = {bytes, (uint32_t)avro_writer_tell(writer)};
    avro_writer_free(writer);
    check_ok(f, hf_decode_body(schema, theirs, &f->out, f->back, &f->err));
    assert_true(hf_type_equal(hf_schema_type(schema), f->record, f->back));
}

static void both_directions(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        const char *text = hf_schema_text((hf_schema)s);
        avro_schema_t schema;
        avro_value_t value;
        assert_int_equal(avro_schema_from_json_length(text, strlen(text), &schema), 0);
        avro_value_iface_t *class = avro_generic_class_from_schema(schema);
        avro_generic_value_new(class, &value);
        for (uint32_t seed = 1; seed <= 10; seed++) {
            hf_arena_reset(&f->in);
            hf_arena_reset(&f->out);
            fill_record(hf_schema_type((hf_schema)s), f->record, &f->in, seed, seed % 4);
            exchange(f, (hf_schema)s, &value);
        }
        hf_type_init(hf_schema_type((hf_schema)s), f->record);
        exchange(f, (hf_schema)s, &value);
        avro_value_decref(&value);
        avro_value_iface_decref(class);
        avro_schema_decref(schema);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {WITH_FIXTURE(both_directions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
/* NOLINTEND(clang-analyzer-core.*) */
