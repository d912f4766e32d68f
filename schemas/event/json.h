/* The same tables, as JSON (RFC 8259): for people, for /api/v1, for `hyperjournal print` and for what a
 * worker tells its runner. Field names are Avro's. RAW fields are inlined as JSON values; TIME is RFC 3339
 * and left out when 0; empty strings, empty lists and NULL options are left out unless `full`. */
#pragma once
#include <jansson.h>

#include "schemas/base/buf.h"
#include "schemas/base/err.h"
#include "schemas/job/job.h"

enum { HF_JSON_FULL = 1, HF_JSON_MAX_DEPTH = 64 };
/* New reference, or NULL without memory. A UNIONS element is {"type": "Started", …its fields}. */
json_t *hf_json_of(const hf_type *type, const void *record, unsigned flags);
/* The same text as dumping hf_json_of(type, record, 0), members in the table's order, without the tree: several times as fast. False: out->failed. */
bool hf_json_put(hf_buf *out, const hf_type *type, const void *record);
/* Parts of it: a text (never NULL but without memory; what is not UTF-8 shown as '?'), and a LIST or UNIONS field. New references. */
json_t *hf_json_text(hf_str text);
json_t *hf_json_list(const hf_field *field, const hf_list *list);
/* Fills *ret_record from a JSON object: strings copied into arena; unknown members are ignored; a wrong type or a
 * value over its bound is an error that names the path ("spec.execution_policy.priority"). */
hf_code hf_json_to(const hf_type *type, const json_t *json, hf_arena *arena, void *ret_record, hf_err *reterr);
/* The same for one field of *record, from a value whose member may be called otherwise: `path` is how errors name it. */
hf_code hf_json_to_field(const hf_field *field, const json_t *value, const char *path, hf_arena *arena, void *record,
                         hf_err *reterr);
/* A whole number from min to max, written as an integer or as a real without a fraction: for JSON Schema 7.0 is an integer, and some clients
 * write it so. False: it is something else, and *ret is as it was. */
bool hf_json_whole(const json_t *value, int64_t min, int64_t max, int64_t *ret);
/* Parses JSON text with the bounds for outside bytes: size, depth HF_JSON_MAX_DEPTH, duplicate keys refused.
 * Errors give line and column, never a piece of the text: it may be a secret. */
json_t *hf_json_parse(hf_str text, size_t max_bytes, hf_err *reterr);
