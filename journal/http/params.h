/* Query parameters (params.def): read and bounded before a handler runs. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"

typedef enum hf_param {
#define HF_PARAM(id, name, kind, min, max, example, doc) HF_P_##id,
#include "journal/http/params.def"
#undef HF_PARAM
    HF_PARAM_COUNT
} hf_param;

typedef enum hf_param_kind {
    HF_PARAM_INT,
    HF_PARAM_BOOL,
    HF_PARAM_TEXT,
    HF_PARAM_TIME,
    HF_PARAM_STATES,
    HF_PARAM_ID
} hf_param_kind;

typedef struct hf_param_row {
    const char *name;
    hf_param_kind kind;
    int64_t min, max;
    const char *example, *doc;
} hf_param_row;
extern const hf_param_row HF_PARAMS[HF_PARAM_COUNT];

typedef struct hf_param_value {
    const char *text; /* as it came, decoded; NULL: not given */
    int64_t number;   /* INT; BOOL 0 or 1; TIME in ms; STATES as bits 1u << hf_state */
} hf_param_value;

/* HF_PARAM_COUNT when there is none of that name. */
hf_param hf_param_find(const char *name);
/* Whether a row's list ("all status limit") names it. */
bool hf_param_listed(const char *list, hf_param param);
/* Reads one value; INVALID naming the parameter and what it takes. `text` NULL: the name stood alone. */
hf_code hf_param_read(hf_param param, const char *text, int64_t now_ms, hf_param_value *ret, hf_err *reterr);
/* The states that a name stands for: a state, or an older status; 0 for none. */
unsigned hf_param_states(const char *name);
