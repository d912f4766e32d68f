/* Bytes that lie are refused, whatever the lie, and leave the caller's record as it was. Run under ASan and UBSan, so a
 * read outside the bytes or an overflow fails the test too. */
#include <stdio.h>

#include "schemas/base/mem.h"
#include "schemas/event/plan.h"
#include "tests/unit/event/fixture.h"

/* Bytes in a block of exactly their size: one byte further is outside. The block lives until the next call. */
static char *held;

static hf_str hold(const void *bytes, size_t len) {
    free(held);
    held = malloc(len ? len : 1);
    assert_non_null(held);
    if (len)
        memcpy(held, bytes, len);
    return (hf_str){held, (uint32_t)len};
}

static int let_go(void **state) {
    free(held);
    held = NULL;
    return fixture_teardown(state);
}

static hf_code decode_exactly(fixture *f, hf_schema schema, const uint8_t *bytes, size_t len) {
    hf_arena_reset(&f->out);
    return hf_decode(f->codec, schema, hold(bytes, len), &f->out, f->back, &f->err);
}

static void cut_at_every_byte(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        encode_filled(f, (hf_schema)s, 7, 2);
        memset(f->back, 0x5a, sizeof f->back);
        for (size_t len = 0; len < f->buf.len; len++) {
            assert_int_not_equal(decode_exactly(f, (hf_schema)s, f->buf.data, len), HF_OK);
            assert_true(f->err.detail[0] != 0);
        }
        for (size_t i = 0; i < sizeof f->back; i++)
            assert_int_equal(f->back[i], 0x5a);
        check_ok(f, decode_exactly(f, (hf_schema)s, f->buf.data, f->buf.len));
        hf_buf_put(&f->buf, "", 1);
        assert_int_equal(decode_exactly(f, (hf_schema)s, f->buf.data, f->buf.len), HF_E_RECORD_MALFORMED);
        assert_non_null(strstr(f->err.detail, "1 bytes too many"));
    }
}

static void every_byte_changed(void **state) {
    static const uint8_t masks[] = {0x01, 0x02, 0x40, 0x80, 0xff};
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        encode_filled(f, (hf_schema)s, 11, 1);
        for (size_t at = 0; at < f->buf.len; at++)
            for (size_t m = 0; m < HF_ARRAY_LEN(masks); m++) {
                f->buf.data[at] ^= masks[m];
                hf_code code = decode_exactly(f, (hf_schema)s, f->buf.data, f->buf.len);
                if (code == HF_OK) { /* another record, but one that can be used */
                    hf_buf again;
                    hf_buf_init(&again, HF_MAX_RECORD);
                    check_ok(f, hf_encode(f->codec, (hf_schema)s, f->back, &again, &f->err));
                    hf_buf_done(&again);
                }
                f->buf.data[at] ^= masks[m];
            }
    }
}

/* ---- lies made by hand: bodies of a JobEvent -------------------------------------------------------- */
typedef struct lie {
    const char *what;  /* must stand in the error */
    const char *bytes; /* job_id, attempt, at, by, transitions */
    size_t len;
} lie;
#define LIE(what_, bytes_)                                                                                             \
    { what_, bytes_, sizeof(bytes_) - 1 }

static void lies_made_by_hand(void **state) {
    static const lie lies[] = {
        LIE("job_id: a string of 64 bytes where 2 are left", "\x80\x01"
                                                             "ab"),
        LIE("job_id: a string of -1 bytes", "\x01"),
        LIE("job_id: a string of 9223372036854775807 bytes", "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                                             "ab"),
        LIE("job_id: a string of -9223372036854775808 bytes", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                                              "ab"),
        LIE("job_id: a number longer than 64 bits", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"
                                                    "ab"),
        LIE("job_id: a number longer than 64 bits", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"
                                                    "ab"),
        LIE("job_id: the bytes end within a number", "\x80\x80"),
        LIE("job_id: the bytes end within a number", ""),
        LIE("job_id: a string that is not UTF-8", "\x02\xff\x00\x00\x00\x00"),
        LIE("job_id: a string that is not UTF-8, or holds a NUL", "\x06"
                                                                  "a\0b"
                                                                  "\x00\x00\x00\x00"),
        LIE("attempt: 2147483648 is no 32-bit number", "\x00\x80\x80\x80\x80\x10\x00\x00\x00"),
        LIE("attempt: -2147483649 is no 32-bit number", "\x00\x81\x80\x80\x80\x10\x00\x00\x00"),
        LIE("transitions: 17 elements, the limit is 16",
            "\x00\x00\x00\x00\x22"
            "\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00"
            "\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x02\x00\x00"),
        LIE("transitions: 4503599627370496 elements where 1 bytes are left",
            "\x00\x00\x00\x00\x80\x80\x80\x80\x80\x80\x80\x10\x00"),
        LIE("transitions: index 16 where the schema has 16", "\x00\x00\x00\x00\x02\x20\x00\x00"),
        LIE("transitions: index -1 where the schema has 16", "\x00\x00\x00\x00\x02\x01\x00\x00"),
        LIE("transitions[0]", "\x00\x00\x00\x00\x02\x20\x00\x00"),
        LIE("transitions: a block of another size", "\x00\x00\x00\x00\x01\x02\x06\x00\x00"), /* says 1 byte, takes 2 */
        LIE("transitions: a block of another size", "\x00\x00\x00\x00\x01\x06\x06\x00\x00"), /* says 3 bytes */
        LIE("transitions: a block of 4 bytes where 3 are left", "\x00\x00\x00\x00\x01\x08\x06\x00\x00"),
        LIE("transitions: a block of -1 bytes", "\x00\x00\x00\x00\x01\x01\x06\x00\x00"),
        LIE("transitions: a block of",
            "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x04\x06\x00\x00"), /* INT64_MIN elements */
        LIE("JobEvent: end: 2 bytes too many", "\x00\x00\x00\x00\x00\x00\x00"),
    };
    fixture *f = *state;
    hf_record record;
    check_ok(f, hf_decode_body(HF_SCHEMA_RECORD, HF_STR("\x00\x00\x00\x00\x00"), &f->out, &record, &f->err));
    /* one Queued, in a block that says its size, which is right */
    check_ok(
        f, hf_decode_body(HF_SCHEMA_RECORD, HF_STR("\x00\x00\x00\x00\x01\x04\x06\x00\x00"), &f->out, &record, &f->err));
    assert_int_equal(record.transitions.count, 1);
    assert_int_equal(hf_record_event(&record, 0), HF_EV_QUEUED);
    for (size_t i = 0; i < HF_ARRAY_LEN(lies); i++) {
        hf_str bytes = {lies[i].bytes, (uint32_t)lies[i].len};
        hf_code code = hf_decode_body(HF_SCHEMA_RECORD, bytes, &f->out, &record, &f->err);
        if (code != HF_E_RECORD_MALFORMED || !strstr(f->err.detail, lies[i].what))
            fail_msg("lie %zu (%s): %s: %s", i, lies[i].what, hf_code_name(code), f->err.detail);
    }
}

static void booleans_and_enums_outside_their_range(void **state) {
    fixture *f = *state;
    hf_control control = {.action = HF_CONTROL_STOP};
    check_ok(f, hf_encode_body(HF_SCHEMA_CONTROL, &control, &f->buf, &f->err));
    assert_int_equal(f->buf.data[2], 6); /* key, scope, action */
    f->buf.data[2] = 10;
    assert_int_equal(hf_decode_body(HF_SCHEMA_CONTROL, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_RECORD_MALFORMED);
    assert_non_null(strstr(f->err.detail, "action: index 5 where the schema has 5"));
    hf_job job;
    hf_type_init(&HF_TYPE_JOB, &job);
    job.cancel_requested = true;
    hf_buf_clear(&f->buf);
    check_ok(f, hf_encode_body(HF_SCHEMA_JOB, &job, &f->buf, &f->err));
    size_t at = 1 + 2 + 2 + 1 + 1 + 1;
    assert_int_equal(f->buf.data[at], 1);
    f->buf.data[at] = 2;
    assert_int_equal(hf_decode_body(HF_SCHEMA_JOB, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_RECORD_MALFORMED);
    assert_non_null(strstr(f->err.detail, "cancel_requested: a boolean"));
}

static void lists_in_many_small_blocks_stay_within_bounds(void **state) {
    fixture *f = *state;
    hf_buf bytes;
    hf_buf_init(&bytes, HF_MAX_RECORD);
    /* Validated{warnings}: 64 strings, each in a block of its own, then one too many */
    for (int count = 64; count <= 65; count++) {
        hf_buf_clear(&bytes);
        hf_buf_put(&bytes, "\x00\x00\x00\x00\x02\x02", 6);
        for (int i = 0; i < count; i++)
            hf_buf_put(&bytes, i % 2 ? "\x02\x02x" : "\x01\x04\x02x", i % 2 ? 3 : 4);
        hf_buf_put(&bytes, "\x00\x00", 2);
        hf_record record;
        hf_code code = hf_decode_body(HF_SCHEMA_RECORD, hf_buf_str(&bytes), &f->out, &record, &f->err);
        if (count == 65) {
            assert_int_equal(code, HF_E_RECORD_MALFORMED);
            assert_non_null(strstr(f->err.detail, "warnings: 65 elements, the limit is 64"));
            break;
        }
        check_ok(f, code);
        const hf_ev_validated *validated = HF_LIST_AT(record.transitions, hf_variant, 0)->record;
        assert_int_equal(validated->warnings.count, 64);
        for (uint32_t i = 0; i < 64; i++)
            assert_true(hf_str_eqz(*HF_LIST_AT(validated->warnings, hf_str, i), "x"));
    }
    hf_buf_done(&bytes);
}

static void a_string_past_its_bound(void **state) {
    fixture *f = *state;
    char bytes[HF_ID_MAX_BYTES + 8] = {0};
    hf_record record;
    for (uint32_t len = HF_ID_MAX_BYTES; len <= HF_ID_MAX_BYTES + 1; len++) {
        memset(bytes, 0, sizeof bytes);
        bytes[0] = (char)(len << 1 | 0x80); /* two bytes of zigzag varint */
        bytes[1] = (char)(len >> 6);
        memset(bytes + 2, 'j', len);
        hf_code code = hf_decode_body(HF_SCHEMA_RECORD, hold(bytes, 2 + len + 4), &f->out, &record, &f->err);
        assert_int_equal(code, len == HF_ID_MAX_BYTES ? HF_OK : HF_E_RECORD_MALFORMED);
    }
    assert_non_null(strstr(f->err.detail, "job_id: a string of 129 bytes, the limit is 128"));
}

static void a_record_past_the_bound_is_not_looked_at(void **state) {
    fixture *f = *state;
    uint8_t *bytes = hf_alloc(HF_MAX_RECORD + 1);
    assert_int_equal(decode_exactly(f, HF_SCHEMA_RECORD, bytes, HF_MAX_RECORD + 1), HF_E_RECORD_MALFORMED);
    free(bytes);
}

/* ---- values this reader walks over -------------------------------------------------------------------- */
static const char walked[] =
    "{\"type\":\"record\",\"name\":\"Control\",\"fields\":["
    "{\"name\":\"nodes\",\"type\":{\"type\":\"record\",\"name\":\"Node\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"Node\"]}]}},"
    "{\"name\":\"nulls\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
    "{\"name\":\"map\",\"type\":{\"type\":\"map\",\"values\":\"bytes\"}},"
    "{\"name\":\"by\",\"type\":\"string\"}]}";

static hf_code read_walked(fixture *f, const hf_plan *plan, const char *bytes, size_t len) {
    hf_control control;
    return hf_plan_read(plan, hold(bytes, len), 0, &f->out, &control, &f->err);
}
#define READ_WALKED(bytes) read_walked(f, plan, bytes, sizeof(bytes) - 1)

static void lies_in_what_is_walked_over(void **state) {
    fixture *f = *state;
    hf_plan *plan;
    check_ok(f, hf_plan_new(walked, &HF_TYPE_CONTROL, NULL, &plan, &f->err));
    check_ok(f, READ_WALKED("\x02\x02\x00"
                            "\x00"
                            "\x00"
                            "\x02x"));
    /* as many nulls as a long can count: no byte each, so they cost nothing */
    check_ok(f, READ_WALKED("\x00"
                            "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"
                            "\x02\x02k\x02v\x00"
                            "\x02x"));
    assert_int_equal(READ_WALKED("\x00\x00\x02\x01k\x02v\x00\x02x"), HF_E_RECORD_MALFORMED); /* key of -1 bytes */
    assert_int_equal(READ_WALKED("\x00\x00\x02\x02k\x7fv\x00\x02x"), HF_E_RECORD_MALFORMED); /* value of -64 */
    assert_int_equal(READ_WALKED("\x00\x00\x02\x02k\x7ev\x00\x02x"), HF_E_RECORD_MALFORMED); /* value past the end */
    assert_int_equal(READ_WALKED("\x00\x00\x7e\x02k\x02v\x00\x02x"), HF_E_RECORD_MALFORMED); /* 63 entries */
    assert_int_equal(READ_WALKED("\x00\x00\x01\x06\x02k\x02v\x00\x02x"),
                     HF_E_RECORD_MALFORMED);                                   /* block of 3, takes 4 */
    assert_int_equal(READ_WALKED("\x04\x00\x00\x02x"), HF_E_RECORD_MALFORMED); /* branch 2 of 2 */
    char deep[200];
    memset(deep, 2, sizeof deep); /* a list of 200 nodes, each in the one before */
    assert_int_equal(read_walked(f, plan, deep, sizeof deep), HF_E_RECORD_MALFORMED);
    assert_non_null(strstr(f->err.detail, "nested too deeply"));
    hf_plan_free(plan);
}

static void schemas_that_lie(void **state) {
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "\"string\"",
        "{\"type\":\"record\",\"name\":\"Control\"}",
        "{\"type\":\"record\",\"name\":\"Other\",\"fields\":[]}",
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"key\",\"type\":\"int\"}]}",
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"at\",\"type\":\"string\"}]}",
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"at\",\"type\":\"double\"}]}",
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"action\",\"type\":\"string\"}]}",
        "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"by\",\"type\":{\"type\":\"array\",\"items\":\"string\"}}]}",
    };
    fixture *f = *state;
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        hf_plan *plan = NULL;
        assert_int_equal(hf_plan_new(bad[i], &HF_TYPE_CONTROL, NULL, &plan, &f->err), HF_E_SCHEMA_UNKNOWN);
        assert_null(plan);
    }
    hf_buf deep; /* 100 arrays in one another */
    hf_buf_init(&deep, 1 << 16);
    hf_buf_puts(&deep, "{\"type\":\"record\",\"name\":\"Control\",\"fields\":[{\"name\":\"x\",\"type\":");
    for (int i = 0; i < 100; i++)
        hf_buf_puts(&deep, "{\"type\":\"array\",\"items\":");
    hf_buf_puts(&deep, "\"null\"");
    for (int i = 0; i < 100; i++)
        hf_buf_puts(&deep, "}");
    hf_buf_put(&deep, "}]}", 4);
    hf_plan *plan = NULL;
    assert_int_equal(hf_plan_new((const char *)deep.data, &HF_TYPE_CONTROL, NULL, &plan, &f->err), HF_E_SCHEMA_UNKNOWN);
    assert_non_null(strstr(f->err.detail, "nested deeper"));
    hf_buf_done(&deep);
}

#define WITH_BYTES(test) cmocka_unit_test_setup_teardown(test, fixture_setup, let_go)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_BYTES(cut_at_every_byte),
        WITH_BYTES(every_byte_changed),
        WITH_BYTES(lies_made_by_hand),
        WITH_BYTES(booleans_and_enums_outside_their_range),
        WITH_BYTES(lists_in_many_small_blocks_stay_within_bounds),
        WITH_BYTES(a_string_past_its_bound),
        WITH_BYTES(a_record_past_the_bound_is_not_looked_at),
        WITH_BYTES(lies_in_what_is_walked_over),
        WITH_BYTES(schemas_that_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
