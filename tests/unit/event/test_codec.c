/* What is written is read back as it was: every record, every field, the three framings. */
#include <pthread.h>
#include <stdio.h>

#include "schemas/base/mem.h"
#include "tests/unit/event/fixture.h"

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

static void numbers_at_their_ends(void **state) {
    fixture *f = *state;
    const int64_t numbers[] = {0,           -1,        1,         63,        64,
                               -64,         -65,       8191,      8192,      INT32_MAX,
                               INT32_MIN,   INT64_MAX, INT64_MIN, 1LL << 55, (1LL << 55) - 1,
                               -(1LL << 55)};
    for (size_t i = 0; i < HF_ARRAY_LEN(numbers); i++) {
        hf_job job;
        hf_type_init(&HF_TYPE_JOB, &job);
        job.created_at = job.updated_at = job.lease_ms = job.last.offset = numbers[i];
        job.attempt = (int32_t)numbers[i];
        memcpy(f->record, &job, sizeof job);
        round_trip(f, HF_SCHEMA_JOB);
    }
}

static void lists_and_texts_at_their_bounds(void **state) {
    fixture *f = *state;
    static char text[HF_MAX_JSON];
    memset(text, 'a', sizeof text);
    hf_attempt_ref *running = hf_arena_alloc(&f->in, 8192 * sizeof *running);
    for (int i = 0; i < 8192; i++)
        running[i] = (hf_attempt_ref){{text, (uint32_t)i % HF_ID_MAX_BYTES}, i};
    hf_heartbeat beat;
    hf_type_init(&HF_TYPE_HEARTBEAT, &beat);
    beat.running = (hf_list){running, 8192};
    hf_buf_init(&f->buf, 4 << 20);
    memcpy(f->record, &beat, sizeof beat);
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_HEARTBEAT, f->record, &f->buf, &f->err),
                     HF_E_LIMIT); /* the record's own */
    assert_non_null(strstr(f->err.detail, "524288"));
    beat.running.count = 4096;
    memcpy(f->record, &beat, sizeof beat);
    round_trip(f, HF_SCHEMA_HEARTBEAT);
    beat.running.count = 8193;
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_HEARTBEAT, &beat, &f->buf, &f->err), HF_E_LIMIT);
    assert_non_null(strstr(f->err.detail, "running: 8193 elements, the limit is 8192"));
    hf_progress progress;
    hf_type_init(&HF_TYPE_PROGRESS, &progress);
    progress.details = (hf_str){text, HF_MAX_JSON};
    memcpy(f->record, &progress, sizeof progress);
    round_trip(f, HF_SCHEMA_PROGRESS);
    progress.phase = (hf_str){text, 129};
    size_t len = f->buf.len;
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_PROGRESS, &progress, &f->buf, &f->err), HF_E_LIMIT);
    assert_non_null(strstr(f->err.detail, "phase: a string of 129 bytes, the limit is 128"));
    assert_int_equal(f->buf.len, len);
}

static void what_others_could_not_read_is_not_written(void **state) {
    fixture *f = *state;
    const char *const bad[] = {"\xff",          "abc\xc3",          "\xc0\xaf",
                               "\xed\xa0\x80",  "\xf4\x90\x80\x80", "0123456789abcdef\x80",
                               "12345\xe2\x82", "\xf0\x80\x80\x80"};
    hf_record record;
    hf_type_init(&HF_TYPE_RECORD, &record);
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        record.by = hf_str_of(bad[i]);
        assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, &record, &f->buf, &f->err), HF_E_INVALID);
        assert_non_null(strstr(f->err.detail, "by: "));
    }
    for (uint32_t len = 1; len < 20; len++)
        for (uint32_t at = 0; at < len; at++) {
            char text[20];
            memset(text, 'x', sizeof text);
            text[at] = 0;
            record.by = (hf_str){text, len};
            assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, &record, &f->buf, &f->err), HF_E_INVALID);
            text[at] = (char)0xe9;
            assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, &record, &f->buf, &f->err), HF_E_INVALID);
        }
    record.by = HF_STR_NONE;
    hf_variant unknown = {-1, NULL};
    record.transitions = (hf_list){&unknown, 1};
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, &record, &f->buf, &f->err), HF_E_INVALID);
    assert_non_null(strstr(f->err.detail, "transitions[0]"));
    unknown = (hf_variant){HF_EVENT_COUNT, &record};
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, &record, &f->buf, &f->err), HF_E_INVALID);
    hf_job job;
    hf_type_init(&HF_TYPE_JOB, &job);
    job.state = HF_STATE_COUNT;
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_JOB, &job, &f->buf, &f->err), HF_E_INVALID);
    assert_int_equal(f->buf.len, 0);
}

static void single_object_framing(void **state) {
    fixture *f = *state;
    uint64_t fingerprint = hf_schema_fingerprint(HF_SCHEMA_RECORD);
    encode_filled(f, HF_SCHEMA_RECORD, 1, 1);
    assert_int_equal(f->buf.data[0], 0xc3);
    assert_int_equal(f->buf.data[1], 0x01);
    for (int i = 0; i < 8; i++) /* little-endian */
        assert_int_equal(f->buf.data[2 + i], fingerprint >> (8 * i) & 0xff);
    f->buf.data[2] ^= 1;
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_SCHEMA_UNKNOWN);
}

static void confluent_framing(void **state) {
    fixture *f = *state;
    for (int s = 0; s < HF_SCHEMA_COUNT; s++)
        hf_codec_use_registry_id(f->codec, (hf_schema)s, FIRST_ID + s);
    every_field_set(state);
    const uint8_t frame[5] = {0, 0, 0, 0, FIRST_ID + HF_SCHEMA_RECORD};
    encode_filled(f, HF_SCHEMA_RECORD, 1, 1);
    assert_memory_equal(f->buf.data, frame, sizeof frame);
    f->buf.data[3] = 7; /* an id the registry has not */
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_SCHEMA_UNKNOWN);
    assert_non_null(strstr(f->err.detail, "id 1893"));
    hf_codec *alone;
    check_ok(f, hf_codec_new(NULL, NULL, &alone, &f->err));
    assert_int_equal(hf_decode(alone, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_SCHEMA_UNKNOWN);
    hf_codec_free(alone);
}

static void json_for_submissions_alone(void **state) {
    fixture *f = *state;
    hf_str json = HF_STR(
        "{\"job_id\": \"a-1\", \"name\": \"n\", \"vm_path\": \"/srv/a.qcow2\", \"output_dir\": \"/out\", \"format\": \"ova\"}");
    hf_submission submission;
    check_ok(f, hf_decode(f->codec, HF_SCHEMA_SUBMISSION, json, &f->out, &submission, &f->err));
    assert_true(hf_str_eqz(submission.job_id, "a-1"));
    assert_true(hf_str_eqz(submission.spec.vm_path, "/srv/a.qcow2"));
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_RECORD, json, &f->out, f->back, &f->err), HF_E_FRAME_UNKNOWN);
    assert_int_not_equal(
        hf_decode(f->codec, HF_SCHEMA_SUBMISSION, HF_STR("{\"vm_path\": "), &f->out, &submission, NULL), HF_OK);
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_SUBMISSION, HF_STR("vm_path: /srv"), &f->out, &submission, &f->err),
                     HF_E_FRAME_UNKNOWN);
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_SUBMISSION, HF_STR_NONE, &f->out, &submission, &f->err),
                     HF_E_FRAME_UNKNOWN);
}

static void a_record_of_another_kind_is_named(void **state) {
    fixture *f = *state;
    encode_filled(f, HF_SCHEMA_PROGRESS, 1, 1);
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_SUBMISSION, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                     HF_E_SCHEMA_UNKNOWN);
    assert_non_null(strstr(f->err.detail, "the record is a ProgressEvent, a JobSubmission is read here"));
    hf_codec_use_registry_id(f->codec, HF_SCHEMA_PROGRESS, FIRST_ID + HF_SCHEMA_PROGRESS);
    encode_filled(f, HF_SCHEMA_PROGRESS, 1, 1);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(hf_decode(f->codec, HF_SCHEMA_SUBMISSION, hf_buf_str(&f->buf), &f->out, f->back, &f->err),
                         HF_E_SCHEMA_UNKNOWN);
        assert_non_null(strstr(f->err.detail, "ProgressEvent"));
        check_ok(f, hf_decode(f->codec, HF_SCHEMA_PROGRESS, hf_buf_str(&f->buf), &f->out, f->back, &f->err));
    }
}

static void *decode_many(void *arg) {
    fixture *f = arg;
    hf_arena arena;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    _Alignas(16) char back[STRUCT_BYTES];
    uintptr_t bad = 0;
    for (int i = 0; i < 300; i++, hf_arena_reset(&arena))
        bad += hf_decode(f->codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &arena, back, NULL) != HF_OK ||
               !hf_type_equal(&HF_TYPE_RECORD, f->record, back);
    hf_arena_done(&arena);
    return (void *)bad;
}

static void threads_share_a_codec(void **state) {
    fixture *f = *state;
    hf_codec_use_registry_id(f->codec, HF_SCHEMA_RECORD, FIRST_ID + HF_SCHEMA_RECORD); /* all learn it at once */
    encode_filled(f, HF_SCHEMA_RECORD, 3, 2);
    pthread_t threads[4];
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_many, f), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(threads); i++) {
        void *bad;
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

static void short_memory_is_an_error_and_no_leak(void **state) {
    fixture *f = *state;
    encode_filled(f, HF_SCHEMA_RECORD, 1, 3);
    hf_code code = HF_E_INTERNAL;
    for (uint64_t nth = 1; code != HF_OK && nth < 100; nth++) {
        hf_arena arena;
        hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
        hf_alloc_fail_after(nth);
        code = hf_decode(f->codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &arena, f->back, &f->err);
        hf_alloc_fail_after(0);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        hf_arena_done(&arena);
    }
    assert_int_equal(code, HF_OK);
    code = HF_E_INTERNAL;
    for (uint64_t nth = 1; code != HF_OK && nth < 100; nth++) {
        hf_buf out;
        hf_buf_init(&out, HF_MAX_RECORD);
        hf_alloc_fail_after(nth);
        code = hf_encode(f->codec, HF_SCHEMA_RECORD, f->record, &out, &f->err);
        hf_alloc_fail_after(0);
        assert_true(code == HF_OK || (code == HF_E_NO_MEMORY && out.len == 0));
        hf_buf_done(&out);
    }
    assert_int_equal(code, HF_OK);
    hf_arena small;
    hf_arena_init(&small, 64);
    assert_int_equal(hf_decode(f->codec, HF_SCHEMA_RECORD, hf_buf_str(&f->buf), &small, f->back, &f->err),
                     HF_E_NO_MEMORY);
    hf_arena_done(&small);
    hf_buf narrow;
    hf_buf_init(&narrow, 100);
    assert_int_equal(hf_encode(f->codec, HF_SCHEMA_RECORD, f->record, &narrow, &f->err), HF_E_LIMIT);
    assert_int_equal(narrow.len, 0);
    hf_buf_done(&narrow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(every_field_set),
        WITH_FIXTURE(every_field_at_its_default),
        WITH_FIXTURE(numbers_at_their_ends),
        WITH_FIXTURE(lists_and_texts_at_their_bounds),
        WITH_FIXTURE(what_others_could_not_read_is_not_written),
        WITH_FIXTURE(single_object_framing),
        WITH_FIXTURE(confluent_framing),
        WITH_FIXTURE(json_for_submissions_alone),
        WITH_FIXTURE(a_record_of_another_kind_is_named),
        WITH_FIXTURE(threads_share_a_codec),
        WITH_FIXTURE(short_memory_is_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
