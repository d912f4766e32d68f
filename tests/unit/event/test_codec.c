/* What is written is read back as it was: every record, every field, both framings of ours. */
#include "schemas/base/buf.h"
#include "schemas/base/mem.h"
#include "schemas/event/codec.h"
#include "tests/unit/event/cmocka_all.h"
#include "tests/unit/event/fill.h"

enum { ARENA_BYTES = 4 << 20, STRUCT_BYTES = 1024 };

typedef struct {
    hf_codec *codec;
    hf_arena in, out;
    hf_buf buf;
    _Alignas(16) char record[STRUCT_BYTES];
    _Alignas(16) char back[STRUCT_BYTES];
    hf_err err;
} fixture;

static hf_code lookup(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    (void)ctx;
    if (id < 100 || id >= 100 + HF_SCHEMA_COUNT)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "no such id");
    const char *text = hf_schema_text((hf_schema)(id - 100));
    *ret_text = hf_strndup(text, strlen(text));
    return *ret_text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "text");
}

static int setup(void **state) {
    fixture *f = hf_alloc(sizeof *f);
    *state = f;
    if (!f || hf_codec_new(lookup, NULL, &f->codec, &f->err))
        return -1;
    hf_arena_init(&f->in, ARENA_BYTES);
    hf_arena_init(&f->out, ARENA_BYTES);
    hf_buf_init(&f->buf, HF_MAX_RECORD);
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    hf_codec_free(f->codec);
    hf_arena_done(&f->in);
    hf_arena_done(&f->out);
    hf_buf_done(&f->buf);
    free(f);
    return 0;
}

static void check_ok(fixture *f, hf_code code) {
    if (code)
        fail_msg("%s: %s", hf_code_name(code), f->err.detail);
}

static void round_trip(fixture *f, hf_schema schema) {
    const hf_type *type = hf_schema_type(schema);
    assert_true(type->size_bytes <= STRUCT_BYTES);
    hf_buf_clear(&f->buf);
    check_ok(f, hf_encode(f->codec, schema, f->record, &f->buf, &f->err));
    memset(f->back, 0xa5, sizeof f->back);
    check_ok(f, hf_decode(f->codec, schema, hf_buf_str(&f->buf), &f->out, f->back, &f->err));
    assert_true(hf_type_equal(type, f->record, f->back));
    hf_buf_clear(&f->buf);
    check_ok(f, hf_encode_body(schema, f->record, &f->buf, &f->err));
    memset(f->back, 0xa5, sizeof f->back);
    check_ok(f, hf_decode_body(schema, hf_buf_str(&f->buf), &f->out, f->back, &f->err));
    assert_true(hf_type_equal(type, f->record, f->back));
}

static void every_field_set(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++)
        for (uint32_t seed = 1; seed <= 20; seed++) {
            hf_arena_reset(&f->in);
            hf_arena_reset(&f->out);
            fill_record(hf_schema_type((hf_schema)s), f->record, &f->in, seed, seed % 4 + 1);
            round_trip(f, (hf_schema)s);
        }
}

static void every_field_at_its_default(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        hf_type_init(hf_schema_type((hf_schema)s), f->record);
        round_trip(f, (hf_schema)s);
    }
}

static void confluent_framing(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++)
        hf_codec_use_registry_id(f->codec, (hf_schema)s, 100 + s);
    every_field_set(state);
    const uint8_t frame[5] = {0, 0, 0, 0, 100 + HF_SCHEMA_RECORD};
    hf_buf_clear(&f->buf);
    hf_type_init(&HF_TYPE_RECORD, f->record);
    check_ok(f, hf_encode(f->codec, HF_SCHEMA_RECORD, f->record, &f->buf, &f->err));
    assert_memory_equal(f->buf.data, frame, sizeof frame);
}

static void single_object_framing(void **state) {
    fixture *f = *state;
    uint64_t fingerprint = hf_schema_fingerprint(HF_SCHEMA_RECORD);
    hf_type_init(&HF_TYPE_RECORD, f->record);
    check_ok(f, hf_encode(f->codec, HF_SCHEMA_RECORD, f->record, &f->buf, &f->err));
    assert_int_equal(f->buf.data[0], 0xc3);
    assert_int_equal(f->buf.data[1], 0x01);
    for (int i = 0; i < 8; i++) /* little-endian */
        assert_int_equal(f->buf.data[2 + i], fingerprint >> (8 * i) & 0xff);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_set, setup, teardown),
        cmocka_unit_test_setup_teardown(every_field_at_its_default, setup, teardown),
        cmocka_unit_test_setup_teardown(confluent_framing, setup, teardown),
        cmocka_unit_test_setup_teardown(single_object_framing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
