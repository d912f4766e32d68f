/* Inside of the configuration, shared by the config_*.c files alone: the table, the values, and
 * the two ways a value gets in. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/base/config.h"
#include "schemas/base/yaml.h"

typedef enum hf_config_kind {
    HF_CK_STR,
    HF_CK_SECRET,
    HF_CK_BOOL,
    HF_CK_INT,
    HF_CK_SIZE,
    HF_CK_DURATION,
    HF_CK_ENUM,
    HF_CK_JSON
} hf_config_kind;

typedef struct hf_config_row {
    const char *key;
    hf_config_kind kind;
    const char *def; /* NULL: not set */
    int64_t min, max;
    const char *unit, *doc;
} hf_config_row;
extern const hf_config_row hf_config_rows[HF_CONFIG_COUNT];

typedef struct hf_config_value {
    char *text;   /* as given; NULL for JSON */
    int64_t num;  /* BOOL, INT, SIZE in bytes, DURATION in ms, ENUM its place in the list */
    json_t *json; /* JSON; NULL when not set */
    char *source; /* "default", "fleet.yaml:3", "HF_FLEET", "--set" */
} hf_config_value;

struct hf_config {
    hf_config_value values[HF_CONFIG_COUNT];
    json_t *kafka;         /* librdkafka's name -> text */
    json_t *kafka_sources; /* the same names -> where from */
};

enum { HF_CONFIG_KEY_BYTES = 256, HF_CONFIG_FILE_BYTES = 1 << 20, HF_CONFIG_TEXT_BYTES = 65536 };

/* HF_CONFIG_COUNT when there is none. */
hf_config_key hf_config_find(hf_str key);
/* Is some key inside `section.`? */
bool hf_config_is_section(hf_str section);
/* "unknown key …; did you mean …?" */
hf_code hf_config_fail_unknown(hf_err *reterr, const char *key);
/* The key whose environment variable is nearest to name, and how many edits away. */
hf_config_key hf_config_nearest(const char *name, void (*spell)(const char *key, char *text), unsigned *ret_distance);

/* Sets a key of any kind but JSON from its text. Errors name the key, not the source. */
hf_code hf_config_put_text(hf_config *c, hf_config_key key, hf_str text, const char *source, hf_err *reterr);
/* Sets a JSON key; takes the reference to value. */
hf_code hf_config_put_json(hf_config *c, hf_config_key key, json_t *value, const char *source, hf_err *reterr);
/* Sets a librdkafka property; name without "kafka.". */
hf_code hf_config_put_kafka(hf_config *c, const char *name, hf_str text, const char *source, hf_err *reterr);
/* Applies a tree whose keys stand under prefix ("" at the root). */
hf_code hf_config_put_tree(hf_config *c, const char *prefix, const hf_yaml_node *root, const char *source,
                           hf_err *reterr);
/* Whatever was wrong with its YAML, it is the configuration that has an error: CONFIG, or NO_MEMORY. */
hf_code hf_config_fail_yaml(hf_err *reterr);
/* Is the value of this librdkafka or JSON key a secret? */
bool hf_config_name_is_secret(const char *name);
