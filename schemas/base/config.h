/* Configuration: one table (config.def) gives the parser, defaults, ranges, documentation and
 * the test of that documentation.
 *
 * Sources, later ones win: defaults, the YAML file, HF_… environment variables
 * (`worker.slots` is HF_WORKER_SLOTS, `kafka.security.protocol` HF_KAFKA_SECURITY_PROTOCOL),
 * --set key=value. In YAML a key may be written nested or dotted. A key that is not in the table is an error
 * that names it, with line and column and the nearest key that exists. Keys under `kafka.` are
 * passed on to librdkafka. Structured sections (endpoints, operations, webhooks, schedules,
 * storage.roots) are kept as JSON (jansson) and read by the part that owns them.
 * Values of keys marked SECRET are never printed. */
#pragma once
#include <jansson.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef enum hf_config_key {
#define HF_CONFIG(id, name, kind, def, min, max, unit, doc) HF_C_##id,
#include "schemas/base/config.def"
#undef HF_CONFIG
    HF_CONFIG_COUNT
} hf_config_key;

typedef struct hf_config hf_config;

/* All defaults. NULL without memory. */
hf_config *hf_config_new(void);
void hf_config_free(hf_config *config);
/* Reads a YAML file over what is there. Errors name file:line:column, the key and the remedy. */
hf_code hf_config_load_file(hf_config *config, const char *path, hf_err *reterr);
/* `source` is how errors name the text. */
hf_code hf_config_load_yaml(hf_config *config, hf_str text, const char *source, hf_err *reterr);
/* Takes the variables that name a key, as text; booleans also as 1/0/yes/no. An HF_… variable that
 * names none is an error when it begins like a section (HF_WORKER_…) or is a slip of a key's name;
 * others are not ours and left alone. */
hf_code hf_config_load_env(hf_config *config, char *const *envp, hf_err *reterr);
/* "key=value"; the value of a plain key is taken as it stands (quotes around it are YAML's), that of
 * a structured one is YAML flow ("[a, b]", "{x: 1}"). */
hf_code hf_config_set(hf_config *config, const char *assignment, hf_err *reterr);
/* What no key can check alone (a heartbeat against its lease); call it after the last source. */
hf_code hf_config_check(const hf_config *config, hf_err *reterr);

/* Each accessor asserts that the key has that kind. Strings live as long as the config. */
const char *hf_config_str(const hf_config *config, hf_config_key key);
int64_t hf_config_int(const hf_config *config, hf_config_key key); /* INT, SIZE (bytes), DURATION (ms) */
bool hf_config_bool(const hf_config *config, hf_config_key key);
const json_t *hf_config_json(const hf_config *config, hf_config_key key); /* borrowed; NULL when not set */
/* kafka.* pass-through: "security.protocol" -> "SASL_SSL"; a JSON object of strings, borrowed. */
/* `kafka.bootstrap.servers` is not among them: it is a key of its own. */
const json_t *hf_config_kafka(const hf_config *config);

/* YAML of everything in force with where each value came from; secrets as "***". malloc'd. */
char *hf_config_show(const hf_config *config);
/* The reference page (Markdown) made from config.def; malloc'd. */
char *hf_config_reference(void);
