/* Structs as JSON and back: every field of every type, by generated values; and each error by its path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/event/json.h"

static hf_arena arena;
static uint64_t seed = 88172645463325252u;

static int setup(void **state) {
    (void)state;
    hf_arena_init(&arena, 16 << 20);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    hf_arena_done(&arena);
    return 0;
}

static uint32_t roll(uint32_t below) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % below;
}

/* ---- any type, filled with anything it may hold ------------------------------------------------------------ */
static void fill(const hf_type *type, void *record);

static hf_str any_text(void) {
    static const char *const texts[] = {"", "a", "\"quoted\"\\\n", "Büro ☃ 𝄞", "/i/a b.raw", "0"};
    return hf_str_of(texts[roll(6)]);
}
static hf_str any_raw(void) {
    static const char *const texts[] = {"", "{}", "{\"a\":[1,2.5,null,\"x\"]}", "[]", "\"text\"", "17"};
    return hf_str_of(texts[roll(6)]);
}

static void *make(const hf_type *type) {
    void *record = hf_arena_alloc(&arena, type->size_bytes);
    assert_non_null(record);
    fill(type, record);
    return record;
}

static void fill_list(const hf_field *f, hf_list *list) {
    uint32_t count = roll(4);
    size_t each = f->kind == HF_K_UNIONS ? sizeof(hf_variant) : f->sub ? f->sub->size_bytes : sizeof(hf_str);
    char *items = hf_arena_alloc(&arena, each * (count + 1));
    for (uint32_t i = 0; i < count; i++) {
        void *at = items + i * each;
        if (f->kind == HF_K_UNIONS) {
            int32_t branch = (int32_t)roll(HF_EVENT_COUNT);
            *(hf_variant *)at = (hf_variant){branch, make(f->branches[branch])};
        } else if (f->sub) {
            fill(f->sub, at);
        } else {
            *(hf_str *)at = any_text();
        }
    }
    *list = (hf_list){count ? items : NULL, count};
}

static void fill(const hf_type *type, void *record) {
    for (uint32_t i = 0; i < type->field_count; i++) {
        const hf_field *f = &type->fields[i];
        void *at = (char *)record + f->offset;
        int32_t symbols = 0;
        switch (f->kind) {
        case HF_K_STR: *(hf_str *)at = any_text(); break;
        case HF_K_RAW: *(hf_str *)at = any_raw(); break;
        case HF_K_BOOL: *(bool *)at = roll(2); break;
        case HF_K_I32: *(int32_t *)at = (int32_t)(roll(3) ? roll(1000) : UINT32_MAX - roll(1000)); break;
        case HF_K_I64: *(int64_t *)at = roll(3) ? roll(1000) : INT64_MAX - roll(1000); break;
        case HF_K_TIME: *(int64_t *)at = roll(3) ? 1768645800000 + roll(1000000) : 0; break;
        case HF_K_F64: *(double *)at = roll(1000) / 7.0; break;
        case HF_K_ENUM:
            while (f->symbols[symbols])
                symbols++;
            *(int32_t *)at = (int32_t)roll((uint32_t)symbols);
            break;
        case HF_K_RECORD: fill(f->sub, at); break;
        case HF_K_OPTION: *(const void **)at = roll(2) ? make(f->sub) : NULL; break;
        case HF_K_LIST:
        case HF_K_UNIONS: fill_list(f, at); break;
        }
    }
}

static void there_and_back_is_the_same(void **state) {
    (void)state;
    const hf_type *const types[] = {&HF_TYPE_RECORD, &HF_TYPE_JOB, &HF_TYPE_SUBMISSION, &HF_TYPE_PROGRESS,
                                    &HF_TYPE_HEARTBEAT};
    for (int round = 0; round < 400; round++) {
        const hf_type *type = types[round % 5];
        void *record = make(type), *back = hf_arena_alloc(&arena, type->size_bytes);
        hf_err err = {0};
        json_t *json = hf_json_of(type, record, round % 2 ? HF_JSON_FULL : 0);
        assert_non_null(json);
        if (hf_json_to(type, json, &arena, back, &err) != HF_OK)
            fail_msg("%s: %s", type->name, err.detail);
        if (!hf_type_equal(type, record, back))
            fail_msg("%s differs: %s", type->name, json_dumps(json, 0));
        json_decref(json);
        hf_arena_reset(&arena);
    }
}

static void the_short_way_writes_the_same_text(void **state) {
    (void)state;
    const hf_type *const types[] = {&HF_TYPE_RECORD, &HF_TYPE_JOB, &HF_TYPE_SUBMISSION, &HF_TYPE_PROGRESS,
                                    &HF_TYPE_HEARTBEAT};
    hf_buf text;
    hf_buf_init(&text, 1 << 20);
    for (int round = 0; round < 400; round++) {
        const hf_type *type = types[round % 5];
        void *record = make(type);
        json_t *json = hf_json_of(type, record, 0);
        char *wanted = json_dumps(json, JSON_COMPACT);
        hf_buf_clear(&text);
        assert_true(hf_json_put(&text, type, record));
        assert_true(hf_buf_put(&text, "", 1));
        assert_string_equal((const char *)text.data, wanted);
        free(wanted);
        json_decref(json);
        hf_arena_reset(&arena);
    }
    hf_buf_done(&text);
    hf_buf_init(&text, 10); /* no room: said, and not half of it taken for the whole */
    hf_progress p = {.phase = HF_STR("a phase that does not fit")};
    assert_false(hf_json_put(&text, &HF_TYPE_PROGRESS, &p));
    hf_buf_done(&text);
}

static void same_text(const hf_type *type, const void *record) {
    hf_buf text;
    hf_buf_init(&text, 1 << 20);
    json_t *json = hf_json_of(type, record, 0);
    char *wanted = json_dumps(json, JSON_COMPACT);
    assert_true(hf_json_put(&text, type, record) && hf_buf_put(&text, "", 1));
    assert_string_equal((const char *)text.data, wanted);
    free(wanted);
    json_decref(json);
    hf_buf_done(&text);
}

/* Eight bytes are looked at together: what has to be escaped may stand at any place among them. */
static void every_byte_at_every_place_is_written_the_same(void **state) {
    (void)state;
    char bytes[19];
    for (int c = 0; c < 256; c++)
        for (uint32_t at = 0; at < sizeof bytes; at++) {
            memset(bytes, at % 2 ? 'a' : ' ', sizeof bytes);
            bytes[at] = (char)c;
            hf_progress p = {.phase = {bytes, sizeof bytes}};
            same_text(&HF_TYPE_PROGRESS, &p);
        }
}

static void times_and_numbers_are_written_the_same(void **state) {
    (void)state;
    const double reals[] = {0.0,
                            -0.0,
                            1,
                            -1,
                            0.5,
                            1e14,
                            1e15,
                            -999999999999999.0,
                            1e300,
                            5e-324,
                            100.25,
                            __builtin_nan(""),
                            __builtin_inf()};
    const int64_t times[] = {1,        999, 1000, 86399999, 951782400000, 1700000000007, 1700000000070, 4102444799999,
                             INT64_MAX};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        for (size_t n = 0; n < sizeof times / sizeof *times; n++) {
            hf_progress p = {.at = times[n], .percent = reals[i]};
            same_text(&HF_TYPE_PROGRESS, &p);
        }
}

static void empty_things_are_left_out_unless_full(void **state) {
    (void)state;
    hf_job job;
    hf_type_init(&HF_TYPE_JOB, &job);
    json_t *brief = hf_json_of(&HF_TYPE_JOB, &job, 0), *full = hf_json_of(&HF_TYPE_JOB, &job, HF_JSON_FULL);
    assert_null(json_object_get(brief, "worker"));
    assert_null(json_object_get(brief, "error"));
    assert_null(json_object_get(brief, "created_at"));
    assert_string_equal(json_string_value(json_object_get(full, "worker")), "");
    assert_true(json_is_null(json_object_get(full, "error")));
    assert_null(json_object_get(full, "created_at"));
    json_decref(brief);
    json_decref(full);
}

static void shapes_people_see(void **state) {
    (void)state;
    hf_ev_started started = {.runner = HF_STR_INIT("r1")};
    hf_variant transitions[] = {{HF_EV_STARTED, &started}, {-1, NULL}};
    hf_record r = {.job_id = HF_STR("j"),
                   .attempt = 2,
                   .at = 1768645800250,
                   .by = HF_STR("w\xff"),
                   .transitions = {transitions, 2}};
    json_t *json = hf_json_of(&HF_TYPE_RECORD, &r, 0);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(
        text, "{\"job_id\":\"j\",\"attempt\":2,\"at\":\"2026-01-17T10:30:00.250Z\",\"by\":\"w?\",\"transitions\":"
              "[{\"runner\":\"r1\",\"type\":\"Started\"},{\"type\":\"Unknown\"}]}");
    free(text);
    json_decref(json);
    hf_progress p = {.percent = 1.0 / 0.0, .details = HF_STR("not json")};
    json = hf_json_of(&HF_TYPE_PROGRESS, &p, 0);
    assert_true(json_is_null(json_object_get(json, "percent")));
    assert_string_equal(json_string_value(json_object_get(json, "details")), "not json");
    json_decref(json);
}

static void refused(const hf_type *type, const char *text, hf_code code, const char *mentions) {
    hf_err err = {0};
    json_t *json = hf_json_parse(hf_str_of(text), 1 << 20, &err);
    assert_non_null(json);
    void *record = hf_arena_alloc(&arena, type->size_bytes);
    assert_int_equal(hf_json_to(type, json, &arena, record, &err), code);
    if (!strstr(err.detail, mentions))
        fail_msg("\"%s\" does not mention \"%s\"", err.detail, mentions);
    json_decref(json);
}

static void errors_name_the_path(void **state) {
    (void)state;
    refused(&HF_TYPE_JOB, "[]", HF_E_INVALID, "the value: must be an object");
    refused(&HF_TYPE_JOB, "{\"state\":\"flying\"}", HF_E_INVALID, "state: must be one of created validated");
    refused(&HF_TYPE_JOB, "{\"state\":1}", HF_E_INVALID, "state: must be one of");
    refused(&HF_TYPE_JOB, "{\"spec\":{\"execution_policy\":{\"priority\":\"x\"}}}", HF_E_INVALID,
            "spec.execution_policy.priority:");
    refused(&HF_TYPE_JOB, "{\"spec\":{\"disks\":[{},{\"path\":1}]}}", HF_E_INVALID,
            "spec.disks[1].path: must be a string");
    refused(&HF_TYPE_JOB, "{\"result\":[]}", HF_E_INVALID, "result: must be an object");
    refused(&HF_TYPE_JOB, "{\"created_at\":\"now\"}", HF_E_INVALID, "created_at: must be a time");
    refused(&HF_TYPE_JOB, "{\"created_at\":5}", HF_E_INVALID, "created_at: must be a time");
    refused(&HF_TYPE_JOB, "{\"attempt\":3000000000}", HF_E_INVALID, "attempt: the number is out of range");
    refused(&HF_TYPE_RECORD, "{\"transitions\":[{\"runner\":\"x\"}]}", HF_E_INVALID,
            "transitions[0]: must be an object with");
    refused(&HF_TYPE_RECORD, "{\"transitions\":[{\"type\":\"Started\",\"runner\":1}]}", HF_E_INVALID,
            "transitions[0].runner:");
    refused(&HF_TYPE_RECORD, "{\"transitions\":{}}", HF_E_INVALID, "transitions: must be a list");
    refused(&HF_TYPE_RECORD, "{\"transitions\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}", HF_E_LIMIT,
            "transitions: has 17 elements, the limit is 16");
    char text[400];
    snprintf(text, sizeof text, "{\"job_id\":\"%0*d\"}", HF_ID_MAX_BYTES + 1, 0);
    refused(&HF_TYPE_RECORD, text, HF_E_LIMIT, "job_id: has 129 bytes, the limit is 128");
}

static void reals_without_a_fraction_are_whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool whole;
        int64_t value;
    } cases[] = {{"7", true, 7},
                 {"7.0", true, 7},
                 {"-0.0", true, 0},
                 {"-7e2", true, -700},
                 {"9007199254740993", true, 9007199254740993},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808.0", true, INT64_MIN},
                 {"9223372036854775808.0", false, 0},
                 {"1e300", false, 0},
                 {"-1e300", false, 0},
                 {"7.5", false, 0},
                 {"1e-9", false, 0},
                 {"\"7\"", false, 0},
                 {"true", false, 0},
                 {"null", false, 0},
                 {"[7]", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = hf_json_parse(hf_str_of(cases[i].text), 100, NULL);
        int64_t value = 17;
        assert_int_equal(hf_json_whole(json, INT64_MIN, INT64_MAX, &value), cases[i].whole);
        assert_int_equal(value, cases[i].whole ? cases[i].value : 17);
        json_decref(json);
    }
    int64_t value = 17;
    json_t *seven = json_real(7);
    assert_false(hf_json_whole(NULL, 0, 10, &value));
    assert_false(hf_json_whole(seven, 8, 10, &value) || hf_json_whole(seven, 0, 6, &value));
    assert_int_equal(value, 17);
    assert_true(hf_json_whole(seven, 7, 7, &value) && value == 7);
    json_decref(seven);
    hf_job job;
    json_t *json = hf_json_parse(HF_STR("{\"attempt\":2.0}"), 100, NULL);
    assert_int_equal(hf_json_to(&HF_TYPE_JOB, json, &arena, &job, NULL), HF_OK);
    assert_int_equal(job.attempt, 2);
    json_decref(json);
    refused(&HF_TYPE_JOB, "{\"attempt\":2.5}", HF_E_INVALID, "attempt: must be a whole number");
    refused(&HF_TYPE_JOB, "{\"attempt\":3e9}", HF_E_INVALID, "attempt: the number is out of range");
}

static void unknown_kinds_of_events_are_kept_as_unknown(void **state) {
    (void)state;
    json_t *json =
        hf_json_parse(HF_STR("{\"job_id\":\"j\",\"transitions\":[{\"type\":\"Teleported\",\"to\":1}]}"), 1000, NULL);
    hf_record r;
    assert_int_equal(hf_json_to(&HF_TYPE_RECORD, json, &arena, &r, NULL), HF_OK);
    assert_int_equal(HF_LIST_AT(r.transitions, hf_variant, 0)->branch, -1);
    json_decref(json);
}

static void memory_that_is_short_is_an_error(void **state) {
    (void)state;
    hf_record *record = make(&HF_TYPE_RECORD);
    json_t *json = hf_json_of(&HF_TYPE_RECORD, record, HF_JSON_FULL);
    for (size_t room = 0; room < 4096; room += 64) {
        hf_arena small;
        hf_record back;
        hf_err err = {0};
        hf_arena_init(&small, room);
        hf_code code = hf_json_to(&HF_TYPE_RECORD, json, &small, &back, &err);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        hf_arena_done(&small);
    }
    json_decref(json);
}

/* ---- text from outside --------------------------------------------------------------------------------------- */
static void unparsable(hf_str text, size_t max, hf_code code, const char *mentions) {
    hf_err err = {0};
    assert_null(hf_json_parse(text, max, &err));
    assert_int_equal(err.code, code);
    if (!strstr(err.detail, mentions))
        fail_msg("\"%s\" does not mention \"%s\"", err.detail, mentions);
    assert_null(strstr(err.detail, "hunter2"));
}

static void parsing_is_bounded_and_never_quotes(void **state) {
    (void)state;
    char deep[400];
    for (int i = 0; i < 100; i++)
        deep[i] = '[', deep[199 - i] = ']';
    unparsable((hf_str){deep, 200}, 1000, HF_E_LIMIT, "deeper than 64");
    json_t *json = hf_json_parse((hf_str){deep + 36, 128}, 1000, NULL);
    assert_non_null(json);
    json_decref(json);
    json = hf_json_parse(HF_STR("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\""),
                         1000, NULL);
    assert_non_null(json);
    json_decref(json);
    unparsable(HF_STR("{}      "), 4, HF_E_LIMIT, "has 8 bytes, the limit is 4");
    unparsable(HF_STR(""), 1000, HF_E_PARSE, "line 1");
    unparsable(HF_STR("{\"password\": \"hunter2\" x}"), 1000, HF_E_PARSE, "line 1, column");
    unparsable(HF_STR("{\"password\": hunter2}"), 1000, HF_E_PARSE, "line 1, column");
    unparsable(HF_STR("{\"hunter2\":1,\"hunter2\":2}"), 1000, HF_E_PARSE, "duplicate");
    unparsable(HF_STR("{} x"), 1000, HF_E_PARSE, "end of file");
    unparsable(HF_STR("{\"a\":\"\xff\"}"), 1000, HF_E_PARSE, "not JSON");
    unparsable(HF_STR("{\"a\":\"\\u0000\"}"), 1000, HF_E_PARSE, "not JSON");
    unparsable(HF_STR("{\"a\":1e999}"), 1000, HF_E_PARSE, "not JSON");
    unparsable(HF_STR("{\"a\":99999999999999999999}"), 1000, HF_E_PARSE, "not JSON");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(there_and_back_is_the_same),
        TEST(the_short_way_writes_the_same_text),
        cmocka_unit_test(every_byte_at_every_place_is_written_the_same),
        cmocka_unit_test(times_and_numbers_are_written_the_same),
        TEST(empty_things_are_left_out_unless_full),
        TEST(shapes_people_see),
        TEST(errors_name_the_path),
        TEST(reals_without_a_fraction_are_whole_numbers),
        TEST(unknown_kinds_of_events_are_kept_as_unknown),
        TEST(memory_that_is_short_is_an_error),
        TEST(parsing_is_bounded_and_never_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
