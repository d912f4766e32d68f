/* Golden bytes: golden/NAME.N.hex is a record as version N of its schema writes it, every field set (fill.h, seed 42, two
 * elements a list), framed. The last version must come out byte for byte; those before must stay readable.
 * golden/fingerprints.txt holds what each current schema's fingerprint must be.
 *
 * A schema that changes makes this test fail. Then: put its text of before into schemas/avro/history/NAME.N.avsc, and run this
 * program with HF_GOLDEN_WRITE=1, which writes NAME.(N+1).hex and the fingerprints; look at the difference, commit both. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "tests/unit/event/fixture.h"

#define GOLDEN HF_SOURCE_DIR "/tests/unit/event/golden/"
enum { SEED = 42, ELEMENTS = 2, MAX_VERSIONS = 1000 };

static void golden_path(char path[512], hf_schema schema, int version) {
    snprintf(path, 512, GOLDEN "%s.%d.hex", hf_schema_name(schema), version);
}

static int last_version(hf_schema schema) {
    char path[512];
    int version = 0;
    while (version < MAX_VERSIONS) {
        golden_path(path, schema, version + 1);
        if (access(path, R_OK) != 0)
            break;
        version++;
    }
    return version;
}

static void read_hex(const char *path, hf_buf *out) {
    unsigned byte;
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s is not there", path);
    hf_buf_clear(out);
    while (fscanf(file, "%2x", &byte) == 1)
        assert_true(hf_buf_put(out, &(uint8_t){(uint8_t)byte}, 1));
    assert_true(feof(file));
    fclose(file);
}

static void write_hex(const char *path, const hf_buf *bytes) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (size_t i = 0; i < bytes->len; i++)
        fprintf(file, "%02x%s", bytes->data[i], i % 32 == 31 || i + 1 == bytes->len ? "\n" : "");
    assert_int_equal(fclose(file), 0);
}

static bool same(const hf_buf *a, const hf_buf *b) { return a->len == b->len && memcmp(a->data, b->data, a->len) == 0; }

/* HF_GOLDEN_WRITE=1: a new version where the bytes are not those of the last. */
static void write_golden(fixture *f, hf_schema schema, hf_buf *golden) {
    char path[512];
    int version = last_version(schema);
    golden_path(path, schema, version);
    if (version)
        read_hex(path, golden);
    if (version && same(golden, &f->buf))
        return;
    golden_path(path, schema, version + 1);
    write_hex(path, &f->buf);
}

static void bytes_are_those_of_the_golden_files(void **state) {
    fixture *f = *state;
    char path[512];
    hf_buf golden;
    hf_buf_init(&golden, HF_MAX_RECORD);
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        encode_filled(f, (hf_schema)s, SEED, ELEMENTS);
        if (getenv("HF_GOLDEN_WRITE"))
            write_golden(f, (hf_schema)s, &golden);
        golden_path(path, (hf_schema)s, last_version((hf_schema)s));
        read_hex(path, &golden);
        if (!same(&golden, &f->buf))
            fail_msg("%s is written with other bytes than %s holds (see the head of this test)",
                     hf_schema_name((hf_schema)s), path);
    }
    hf_buf_done(&golden);
}

static void every_version_stays_readable(void **state) {
    fixture *f = *state;
    char path[512];
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        int last = last_version((hf_schema)s);
        assert_true(last >= 1);
        for (int version = 1; version <= last; version++) {
            golden_path(path, (hf_schema)s, version);
            read_hex(path, &f->buf);
            hf_code code = hf_decode(f->codec, (hf_schema)s, hf_buf_str(&f->buf), &f->out, f->back, &f->err);
            if (code)
                fail_msg("%s: %s", path, f->err.detail);
        }
        hf_arena_reset(&f->in);
        fill_record(hf_schema_type((hf_schema)s), f->record, &f->in, SEED, ELEMENTS);
        assert_true(hf_type_equal(hf_schema_type((hf_schema)s), f->record, f->back));
    }
}

static void fingerprints_are_those_of_the_golden_file(void **state) {
    (void)state;
    char name[64];
    uint64_t fingerprint;
    const char *path = GOLDEN "fingerprints.txt";
    if (getenv("HF_GOLDEN_WRITE")) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        for (int s = 0; s < HF_SCHEMA_COUNT; s++)
            fprintf(file, "%016" PRIx64 " %s\n", hf_schema_fingerprint((hf_schema)s), hf_schema_name((hf_schema)s));
        assert_int_equal(fclose(file), 0);
    }
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    for (int s = 0; s < HF_SCHEMA_COUNT; s++) {
        assert_int_equal(fscanf(file, "%" SCNx64 " %63s", &fingerprint, name), 2);
        assert_string_equal(name, hf_schema_name((hf_schema)s));
        if (fingerprint != hf_schema_fingerprint((hf_schema)s))
            fail_msg("%s has the fingerprint %016" PRIx64 ", %s says %016" PRIx64 " (see the head of this test)", name,
                     hf_schema_fingerprint((hf_schema)s), path, fingerprint);
    }
    assert_int_equal(fscanf(file, "%63s", name), EOF);
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(bytes_are_those_of_the_golden_files),
        WITH_FIXTURE(every_version_stays_readable),
        WITH_FIXTURE(fingerprints_are_those_of_the_golden_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
