#include "check.h"

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"
#include "schemas/base/yaml.h"

static void scalars_follow_the_core_schema(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"true", "true"},
        {"True", "true"},
        {"FALSE", "false"},
        {"null", "null"},
        {"~", "null"},
        {"", "null"},
        {"12", "12"},
        {"-7", "-7"},
        {"+7", "7"},
        {"0x1f", "31"},
        {"0o17", "15"},
        {"007", "7"},
        {"1.5", "1.5"},
        {"1e3", "1000.0"},
        {"-.5", "-0.5"},
        {"5.", "5.0"},
        {"9223372036854775807", "9223372036854775807"},
        {"yes", "\"yes\""},
        {"no", "\"no\""},
        {"on", "\"on\""},
        {"1_000", "\"1_000\""},
        {"1.2.3", "\"1.2.3\""},
        {"0x", "\"0x\""},
        {"-", "[null]"},
        {"+", "\"+\""},
        {".", "\".\""},
        {"1e", "\"1e\""},
        {"12:30", "\"12:30\""},
        {"'12'", "\"12\""},
        {"\"true\"", "\"true\""},
        {"!!str 12", "\"12\""},
        {"|\n  a\n  b\n", "\"a\\nb\\n\""},
        {"\"\\u00e9\"", "\"é\""},
        {"2026-01-17T10:30:00Z", "\"2026-01-17T10:30:00Z\""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_err err = {0};
        json_t *value = hf_yaml_parse(hf_str_of(rows[i].yaml), 1000, &err);
        if (!value)
            fail_msg("%s: %s", rows[i].yaml, err.detail);
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        assert_string_equal(text, rows[i].json);
        free(text);
        json_decref(value);
    }
}

static void yaml_and_json_of_a_job_are_the_same(void **state) {
    (void)state;
    json_t *a = hf_yaml_parse(HF_STR("name: web\nvm_path: /dc/vm/web\noptions:\n  compress: true\n  level: 6\n"
                                     "tags:\n- a\n- b: [1, 2]\n# a comment\n"),
                              1000, NULL);
    json_t *b = hf_yaml_parse(
        HF_STR(" {\"name\": \"web\", \"vm_path\": \"/dc/vm/web\", \"options\": {\"compress\": true, \"level\": 6},"
               "\"tags\": [\"a\", {\"b\": [1, 2]}]}"),
        1000, NULL);
    assert_true(a && b && json_equal(a, b));
    json_decref(a);
    json_decref(b);
    json_t *pair = hf_yaml_parse(HF_STR("{\"face\": \"\\ud83d\\ude00\"}"), 1000, NULL);
    assert_string_equal(json_string_value(json_object_get(pair, "face")), "\xf0\x9f\x98\x80");
    json_decref(pair);
}

static void what_is_dangerous_or_doubtful_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
        hf_code code;
    } rows[] = {
        {"a: &x [1]\nb: *x\n", "line 1 column 4: anchors", HF_E_PARSE},
        {"a: *x\n", "line 1 column 4: aliases", HF_E_PARSE},
        {"? [a]\n: b\n", "line 1 column 3: a key must be", HF_E_PARSE},
        {"a: 1\nb: 2\na: 3\n", "line 3 column 1: the key \"a\" is given twice", HF_E_PARSE},
        {"{\"a\": 1, \"a\": 2}", "column 10: the key \"a\" is given twice", HF_E_PARSE},
        {"a: !!binary aGk=\n", "tags", HF_E_PARSE},
        {"a: 1\n---\nb: 2\n", "only one document", HF_E_PARSE},
        {"a: [1, 2\n", "line 2 column 1", HF_E_PARSE},
        {"a: \"x\\0y\"\n", "NUL", HF_E_PARSE},
        {"\"x\\0y\": 1\n", "NUL", HF_E_PARSE},
        {"a: 99999999999999999999\n", "line 1 column 4: the number does not fit 64 bits", HF_E_LIMIT},
        {"a: 1e999\n", "too large", HF_E_LIMIT},
        {"a: .inf\n", "infinity", HF_E_INVALID},
        {"a: -.NaN\n", "infinity and NaN", HF_E_INVALID},
        {"a: \xc3(\n", "byte", HF_E_PARSE},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_err err = {0};
        json_t *value = hf_yaml_parse(hf_str_of(rows[i].text), 1000, &err);
        if (value)
            fail_msg("taken: %s", rows[i].text);
        CHECK_HAS(err.detail, rows[i].says);
        assert_int_equal(err.code, rows[i].code);
        assert_null(hf_yaml_parse(hf_str_of(rows[i].text), 1000, NULL));
    }
}

static json_t *nested(int depth, const char *open, const char *close, hf_err *reterr) {
    hf_buf b;
    hf_buf_init(&b, 1 << 20);
    for (int i = 0; i < depth; i++)
        hf_buf_puts(&b, open);
    for (int i = 0; i < depth; i++)
        hf_buf_puts(&b, close);
    json_t *value = hf_yaml_parse(hf_buf_str(&b), 1 << 20, reterr);
    hf_buf_done(&b);
    return value;
}

static void nesting_and_size_are_bounded(void **state) {
    (void)state;
    hf_err err = {0};
    json_t *value = nested(HF_YAML_DEPTH, "[", "]", &err);
    assert_non_null(value);
    json_decref(value);
    assert_null(nested(HF_YAML_DEPTH + 1, "[", "]", &err));
    assert_int_equal(err.code, HF_E_LIMIT);
    CHECK_HAS(err.detail, "nested deeper than 32");
    assert_null(nested(100000, "[", "]", &err));
    assert_null(nested(100000, "{a: ", "}", &err));
    assert_null(hf_yaml_parse(HF_STR("0123456789a"), 10, &err));
    CHECK_HAS(err.detail, "11 bytes; at most 10");
}

static void the_densest_text_fits_its_arena(void **state) {
    (void)state;
    hf_buf b;
    hf_buf_init(&b, 1 << 20);
    hf_buf_puts(&b, "[a");
    for (int i = 0; i < 20000; i++)
        hf_buf_puts(&b, ",a");
    hf_buf_puts(&b, ",b]");
    hf_err err = {0};
    json_t *value = hf_yaml_parse(hf_buf_str(&b), 1 << 20, &err);
    if (!value)
        fail_msg("%s", err.detail);
    assert_int_equal(json_array_size(value), 20002);
    json_decref(value);
    hf_buf_done(&b);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    json_set_alloc_funcs(hf_alloc, free);
    json_t *value = NULL;
    uint64_t n = 0;
    while (!value && n < 10000) {
        hf_err err = {0};
        hf_alloc_fail_after(++n);
        value = hf_yaml_parse(HF_STR("a: [1, 2.5, {b: c, d: 'e'}]\nf: null\n"), 1000, &err);
        if (!value)
            assert_int_equal(err.code, HF_E_NO_MEMORY);
    }
    hf_alloc_fail_after(0);
    assert_true(n > 10);
    json_decref(value);
    json_set_alloc_funcs(malloc, free);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_follow_the_core_schema),
        cmocka_unit_test(yaml_and_json_of_a_job_are_the_same),
        cmocka_unit_test(what_is_dangerous_or_doubtful_is_refused_with_its_place),
        cmocka_unit_test(nesting_and_size_are_bounded),
        cmocka_unit_test(the_densest_text_fits_its_arena),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
