/* Records on the wire: Avro bytes <-> the structs of schemas/job, by the tables of types.c.
 *
 * Framing (docs/adr/0003):
 *   single object   C3 01, CRC-64-AVRO of the writer's schema in Parsing Canonical Form, 8 bytes
 *                   little-endian, then the body       (Avro 1.11 spec, "Single-object encoding")
 *   Confluent       00, schema id as 4 bytes big-endian, then the body
 *   plain JSON      first byte '{', for submissions alone (json_submission.h)
 * A record is decoded with the schema it was *written* with: schema text -> avro-c's schema -> a plan
 * that walks the bytes once, checks every length, count, enum index and union branch against the bytes
 * left and the bounds of types.c, and fills the struct by field *name*. Nothing is allocated but in the
 * arena; strings borrow from the bytes. Fields this reader does not know are walked over; fields the writer
 * did not know get their default (hf_type_init). avro-c decodes no bytes from outside: it leaks on
 * truncated strings, trusts lengths and resolves enums by index; tests hold our bytes against it.
 *
 * Text is UTF-8 without NUL, both ways. A string in a list may have HF_MAX_PATH bytes. A null where a plain value is
 * read means absent. A symbol this reader does not know is refused, unless the enum in the reader's .avsc names a
 * "default"; a kind of transition it does not know is walked over, and its hf_variant has branch -1.
 *
 * Evolution: every version of a schema ever published stays in schemas/avro/history/ and is compiled in.
 * Threads: hf_codec may be shared once made; adding a registry's schema locks inside. */
#pragma once
#include <jansson.h>

#include "schemas/base/buf.h"
#include "schemas/base/err.h"
#include "schemas/job/control.h"
#include "schemas/job/delivery.h"
#include "schemas/job/job.h"
#include "schemas/job/limit.h"
#include "schemas/job/schedule.h"
#include "schemas/job/webhook.h"

typedef enum hf_schema {
#define HF_SCHEMA(id, name, type) HF_SCHEMA_##id,
#include "schemas/event/schemas.def"
#undef HF_SCHEMA
    HF_SCHEMA_COUNT
} hf_schema;

const char *hf_schema_name(hf_schema schema); /* "JobEvent" */
const hf_type *hf_schema_type(hf_schema schema);
const char *hf_schema_text(hf_schema schema);     /* the .avsc as written, NUL-terminated */
uint64_t hf_schema_fingerprint(hf_schema schema); /* CRC-64-AVRO of its Parsing Canonical Form; 0 without memory */

typedef struct hf_codec hf_codec;
/* Text of the schema with that registry id, malloc'd into *ret_text. Called outside any lock, may block; called again for
 * an id that failed, so it keeps its own account of refusals. At most 256 schemas are learnt in this way. */
typedef hf_code (*hf_schema_lookup)(void *ctx, int32_t id, char **ret_text, hf_err *reterr);

/* Knows all schemas compiled in. lookup may be NULL: Confluent framing is then SCHEMA_UNKNOWN. */
hf_code hf_codec_new(hf_schema_lookup lookup, void *ctx, hf_codec **ret, hf_err *reterr);
void hf_codec_free(hf_codec *codec);

/* Appends the framed record to `out`. Confluent framing where an id was set for the schema. Fails with
 * LIMIT where a string, list or the record (HF_MAX_RECORD) is over its bound, and INVALID where text, an enum or a
 * variant cannot be written, naming the field; `out` keeps its length then. */
hf_code hf_encode(const hf_codec *codec, hf_schema schema, const void *record, hf_buf *out, hf_err *reterr);
/* The body alone, in the current schema: what LMDB rows hold. */
hf_code hf_encode_body(hf_schema schema, const void *record, hf_buf *out, hf_err *reterr);
/* What the arena must be able to hold (its max_bytes) for any record that is within its bounds. */
enum { HF_DECODE_ARENA_BYTES = 2 * 1024 * 1024 };
/* Fills *ret_record; strings borrow from `bytes`, the rest lives in arena. FRAME_UNKNOWN, SCHEMA_UNKNOWN
 * or RECORD_MALFORMED say what is wrong and at which byte; of a submission in JSON, whatever json_submission.h says. On
 * failure *ret_record is as it was. */
hf_code hf_decode(hf_codec *codec, hf_schema schema, hf_str bytes, hf_arena *arena, void *ret_record, hf_err *reterr);
hf_code hf_decode_body(hf_schema schema, hf_str bytes, hf_arena *arena, void *ret_record, hf_err *reterr);
/* From now on this codec writes `schema` in Confluent framing with that id. Before threads share it. */
void hf_codec_use_registry_id(hf_codec *codec, hf_schema schema, int32_t id);
