/* The texts of the Avro schemas, as they stand in schemas/avro, compiled in. */
#pragma once
#include "schemas/event/codec.h"

typedef struct hf_schema_source {
    hf_schema schema;
    const char *text; /* NUL-terminated */
} hf_schema_source;

/* The current version of each schema, in the order of schemas.def, then every one of the past. */
const hf_schema_source *hf_schema_sources(size_t *ret_count);
