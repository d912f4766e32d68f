/* A Confluent-compatible schema registry (`schema_registry.url`), as far as Hyperfleet needs one: register the
 * text of a schema as it was written, fetch the text of an id.
 *
 *   POST <url>/subjects/<topic>-value/versions   {"schema": "..."}  ->  {"id": 7}
 *   GET  <url>/schemas/ids/7                                        ->  {"schema": "..."}
 *
 * Calls block, up to HF_REGISTRY_TIMEOUT_MS. Answers are bounded to 1 MiB. A user and password in the URL are used
 * and never said. Thread-safe: each call has a connection of its own. Nothing is cached here (registry_codec.h remembers
 * what it looked up). */
#pragma once
#include <stdint.h>

#include "schemas/base/err.h"

enum { HF_REGISTRY_TIMEOUT_MS = 10000, HF_REGISTRY_BODY_MAX = 1024 * 1024 };

typedef struct hf_registry hf_registry;
/* url: http or https. Does not connect. */
hf_code hf_registry_open(const char *url, hf_registry **ret, hf_err *reterr);
void hf_registry_close(hf_registry *registry); /* NULL is fine */
/* The same text gets the same id again. INVALID: the registry refuses the schema (as not compatible, say). */
hf_code hf_registry_register(hf_registry *registry, const char *topic, const char *schema_text, int32_t *ret_id,
                             hf_err *reterr);
/* An hf_schema_lookup (schemas/event/codec.h) with the registry as ctx. SCHEMA_UNKNOWN: it has no such id. */
hf_code hf_registry_lookup(void *registry, int32_t id, char **ret_text, hf_err *reterr);
