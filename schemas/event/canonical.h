/* Parsing Canonical Form and its CRC-64-AVRO fingerprint (Avro 1.11 specification, "Parsing Canonical
 * Form for Schemas" and "Schema Fingerprints"): what names a schema in single-object encoding. */
#pragma once
#include <avro/schema.h>

#include "schemas/base/buf.h"
#include "schemas/base/err.h"

/* Appends the canonical form. NO_MEMORY where `out` cannot hold it; SCHEMA_UNKNOWN for one nested too deeply. */
hf_code hf_avro_canonical(avro_schema_t schema, hf_buf *out, hf_err *reterr);
uint64_t hf_avro_crc64(const void *bytes, size_t len);
