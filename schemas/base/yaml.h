/* YAML from people: configuration files, job files and POST bodies, read by libyaml and bounded.
 *
 * Refused, each with line and column: anchors and aliases (a few lines of them can stand for
 * gigabytes), tags other than !!str, keys that are not scalars, keys given twice, more than one
 * document, nesting deeper than HF_YAML_DEPTH, NUL inside a text. Plain scalars follow YAML 1.2's
 * core schema (true, null, 12, 0x1f, 1.5e3); quoted ones are always text. JSON is a subset. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "schemas/base/arena.h"
#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum { HF_YAML_DEPTH = 32 };

typedef enum hf_yaml_kind { HF_YAML_SCALAR, HF_YAML_LIST, HF_YAML_MAP } hf_yaml_kind;

/* One node of the tree as it was written; lives in the arena it was read into. */
typedef struct hf_yaml_node hf_yaml_node;
struct hf_yaml_node {
    hf_yaml_kind kind;
    bool plain;                /* SCALAR: written without quotes or !!str, so it may be a number */
    uint32_t line, column;     /* from 1 */
    hf_str text;               /* SCALAR: NUL-terminated, no NUL inside */
    const hf_yaml_node *first; /* LIST: the items; MAP: key, value, key, value … */
    const hf_yaml_node *next;
};

/* The tree of the one document in text; an empty text is a plain empty scalar (null).
 * Keys given twice are found by hf_yaml_json, not here. Errors: PARSE, LIMIT, NO_MEMORY. */
hf_code hf_yaml_tree(hf_str text, hf_arena *arena, const hf_yaml_node **ret_root, hf_err *reterr);
/* True for a plain "", "~" or "null". */
bool hf_yaml_is_null(const hf_yaml_node *node);
/* The JSON value of a tree, to be json_decref'ed; NULL with *reterr filled. */
json_t *hf_yaml_json(const hf_yaml_node *node, hf_err *reterr);
/* Text of at most max_bytes, YAML or JSON, as a JSON value; NULL with *reterr filled. */
json_t *hf_yaml_parse(hf_str text, size_t max_bytes, hf_err *reterr);
