/* Walking over values this reader has no place for. */
#pragma once
#include <avro/schema.h>

#include "schemas/event/plan.h"

/* Named records that were compiled already: a schema may refer to itself. */
typedef struct hf_skip_memo {
    hf_arena *arena;
    const void *schema[HF_SCHEMA_MAX_NAMED];
    const hf_skip *skip[HF_SCHEMA_MAX_NAMED];
    uint32_t count;
} hf_skip_memo;

/* How to walk over a value of that schema; NULL: no memory, or past the limits of plan.h. */
const hf_skip *hf_skip_new(hf_skip_memo *memo, avro_schema_t schema, int depth);
