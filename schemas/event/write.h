/* Structs to Avro bytes in the current schema, straight from the tables. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/base/err.h"
#include "schemas/base/type.h"

/* Appends the body. LIMIT: a string, a list or `out` itself is over its bound; INVALID: text that is not UTF-8 or holds
 * a NUL, an enum or a branch outside its table. Both name the field; `out` keeps its length then. */
hf_code hf_avro_write(const hf_type *type, const void *record, hf_buf *out, hf_err *reterr);
