/* The schemas this build knows by fingerprint, each with its plan: the current ones and every one of the past. */
#pragma once
#include "schemas/event/plan.h"
#include "schemas/event/text.h"

typedef struct hf_known {
    hf_schema schema;
    hf_plan *plan;
} hf_known;
typedef struct hf_catalog {
    size_t count;
    hf_known known[];
} hf_catalog;

/* Sources as hf_schema_sources gives them; a test may bring others. */
hf_code hf_catalog_new(const hf_schema_source *sources, size_t count, hf_catalog **ret, hf_err *reterr);
void hf_catalog_free(hf_catalog *catalog);
/* NULL where no schema has that fingerprint. */
const hf_known *hf_catalog_find(const hf_catalog *catalog, uint64_t fingerprint);
/* The one of the schemas compiled in: made on first use, kept until the process ends; known[i] is schema i's current
 * version. Thread-safe. Fails only without memory, and may be asked again then. */
hf_code hf_catalog_builtin(const hf_catalog **ret, hf_err *reterr);
