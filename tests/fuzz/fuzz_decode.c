// LIBS: hf_event
/* Whatever bytes arrive as a record, of any schema, in any framing: they are refused with an error that says why, or become
 * a record that is within its bounds, can be written, and reads back the same.
 * Byte 0 of the input says how the rest is taken: the schema (mod 8), then the framing (the rest mod 4). */
#include <stdio.h>
#include <stdlib.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"
#include "schemas/event/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STRUCT_BYTES = 1024 };
enum framing { AS_IT_IS, SINGLE_OBJECT, CONFLUENT, BODY_ALONE, FRAMING_COUNT };

/* A writer that differs from us in every way a writer may: Avro types we have not, unions in odd places, other numbers. */
static const char strange_event[] =
    "{\"type\":\"record\",\"name\":\"JobEvent\",\"fields\":["
    "{\"name\":\"tree\",\"type\":{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"kids\",\"type\":{\"type\":\"array\",\"items\":\"T\"}}]}},"
    "{\"name\":\"map\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"bytes\",\"double\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":3}]}},"
    "{\"name\":\"nulls\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
    "{\"name\":\"job_id\",\"type\":[\"null\",\"string\",\"int\"]},{\"name\":\"attempt\",\"type\":[\"int\",\"long\"]},{\"name\":\"at\",\"type\":\"int\"},"
    "{\"name\":\"transitions\",\"type\":{\"type\":\"array\",\"items\":["
    "\"null\",{\"type\":\"record\",\"name\":\"Unheard\",\"fields\":[{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"a\",\"b\"]}}]},"
    "{\"type\":\"record\",\"name\":\"Queued\",\"fields\":[]},"
    "{\"type\":\"record\",\"name\":\"Completed\",\"fields\":[{\"name\":\"result\",\"type\":{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"artifacts\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}}},{\"name\":\"bytes_read\",\"type\":\"int\"}]}}]}]}}]}";

static hf_code lookup(void *ctx, int32_t id, char **ret_text, hf_err *reterr) {
    (void)ctx;
    const char *text = id >= 0 && id < HF_SCHEMA_COUNT ? hf_schema_text((hf_schema)id) : strange_event;
    *ret_text = hf_strndup(text, strlen(text));
    return *ret_text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a schema's text");
}

static hf_codec *codec;
static hf_arena arena;
static hf_buf framed, again;

static void setup(void) {
    if (codec)
        return;
    if (hf_codec_new(lookup, NULL, &codec, NULL))
        abort();
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    hf_buf_init(&framed, 4 << 20);
    hf_buf_init(&again, 4 << 20);
}

/* The input behind the frame that the selector asks for, in a block of exactly its size. */
static hf_str frame(hf_schema schema, enum framing framing, const uint8_t *data, size_t size) {
    hf_buf_clear(&framed);
    uint64_t fingerprint = hf_schema_fingerprint(schema);
    uint8_t id = size && data[0] & 1 ? (uint8_t)schema : 200;
    if (framing == SINGLE_OBJECT) {
        hf_buf_put(&framed, "\xc3\x01", 2);
        hf_buf_put(&framed, &fingerprint, sizeof fingerprint);
    } else if (framing == CONFLUENT) {
        hf_buf_put(&framed, "\0\0\0\0", 4);
        hf_buf_put(&framed, &id, 1);
        data += size > 0;
        size -= size > 0;
    }
    hf_buf_put(&framed, data, size);
    char *exact = malloc(framed.len ? framed.len : 1);
    if (!exact)
        abort();
    if (framed.len)
        memcpy(exact, framed.data, framed.len);
    return (hf_str){exact, (uint32_t)framed.len};
}

static bool has_unknown_kinds(hf_schema schema, const void *record) {
    const hf_record *r = record;
    for (uint32_t i = 0; schema == HF_SCHEMA_RECORD && i < r->transitions.count; i++)
        if (HF_LIST_AT(r->transitions, hf_variant, i)->branch < 0)
            return true;
    return false;
}

static void must_be_sound(hf_schema schema, const void *record) {
    _Alignas(16) char back[STRUCT_BYTES];
    hf_err err;
    hf_buf_clear(&again);
    hf_code code = hf_encode_body(schema, record, &again, &err);
    if (code == HF_E_INVALID && has_unknown_kinds(schema, record))
        return;
    if (code == HF_E_LIMIT && again.len == 0) /* its defaults, written out, take it past the bound of a record */
        return;
    if (code || hf_decode_body(schema, hf_buf_str(&again), &arena, back, &err)) {
        fprintf(stderr, "%s: %s\n", hf_schema_name(schema), err.detail);
        abort();
    }
    if (!hf_type_equal(hf_schema_type(schema), record, back))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _Alignas(16) char record[STRUCT_BYTES];
    hf_err err = {0};
    if (size < 1)
        return 0;
    setup();
    hf_schema schema = (hf_schema)(data[0] % HF_SCHEMA_COUNT);
    enum framing framing = (enum framing)(data[0] / HF_SCHEMA_COUNT % FRAMING_COUNT);
    hf_str bytes = frame(schema, framing, data + 1, size - 1);
    hf_arena_reset(&arena);
    hf_code code = framing == BODY_ALONE ? hf_decode_body(schema, bytes, &arena, record, &err)
                                         : hf_decode(codec, schema, bytes, &arena, record, &err);
    if (code == HF_OK)
        must_be_sound(schema, record);
    else if (err.code != code || err.detail[0] == 0 || code == HF_E_NO_MEMORY)
        abort();
    free((void *)(uintptr_t)bytes.p);
    return 0;
}
