#include "tests/unit/event/fixture.h"

#include "schemas/base/mem.h"

static hf_code lookup(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    (void)ctx;
    if (id < FIRST_ID || id >= FIRST_ID + HF_SCHEMA_COUNT)
        return hf_fail(reterr, HF_E_SCHEMA_UNKNOWN, "the registry has no schema of that id");
    const char *text = hf_schema_text((hf_schema)(id - FIRST_ID));
    *ret_text = hf_strndup(text, strlen(text));
    return *ret_text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a schema's text");
}

int fixture_setup(void **state) {
    fixture *f = hf_alloc(sizeof *f);
    *state = f;
    if (!f || hf_codec_new(lookup, NULL, &f->codec, &f->err))
        return -1;
    hf_arena_init(&f->in, HF_DECODE_ARENA_BYTES);
    hf_arena_init(&f->out, HF_DECODE_ARENA_BYTES);
    hf_buf_init(&f->buf, 2 * HF_MAX_RECORD);
    return 0;
}

int fixture_teardown(void **state) {
    fixture *f = *state;
    hf_codec_free(f->codec);
    hf_arena_done(&f->in);
    hf_arena_done(&f->out);
    hf_buf_done(&f->buf);
    free(f);
    return 0;
}

void check_ok(fixture *f, hf_code code) {
    if (code)
        fail_msg("%s: %s", hf_code_name(code), f->err.detail);
}

void encode_filled(fixture *f, hf_schema schema, uint64_t seed, uint32_t elements) {
    hf_arena_reset(&f->in);
    hf_buf_clear(&f->buf);
    fill_record(hf_schema_type(schema), f->record, &f->in, seed, elements);
    check_ok(f, hf_encode(f->codec, schema, f->record, &f->buf, &f->err));
}
