/* What most tests of the codec need: a codec whose registry holds the current schema s under id 100 + s, arenas, a buffer,
 * and room for any record twice. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/event/codec.h"
#include "tests/unit/event/cmocka_all.h"
#include "tests/unit/event/fill.h"

enum { STRUCT_BYTES = 1024, FIRST_ID = 100 };

typedef struct fixture {
    hf_codec *codec;
    hf_arena in, out;
    hf_buf buf;
    _Alignas(16) char record[STRUCT_BYTES];
    _Alignas(16) char back[STRUCT_BYTES];
    hf_err err;
} fixture;

int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Fails the test with the error's text. */
void check_ok(fixture *f, hf_code code);
/* f->record becomes the filled record of that schema, and f->buf its bytes, framed. */
void encode_filled(fixture *f, hf_schema schema, uint64_t seed, uint32_t elements);

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
