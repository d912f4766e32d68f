/* What a fleet, an operation or a worker is told to do. The topic is compacted: the latest record of a key is in
 * force until another takes its place. */
#pragma once
#include "schemas/job/job.h"

/* resume comes first: what an absent field means must do no harm. */
typedef enum hf_control_action {
    HF_CONTROL_RESUME,
    HF_CONTROL_PAUSE,
    HF_CONTROL_QUIET,
    HF_CONTROL_STOP
} hf_control_action;
typedef enum hf_control_scope { HF_SCOPE_FLEET, HF_SCOPE_OPERATION, HF_SCOPE_WORKER } hf_control_scope;

typedef struct hf_control { /* Control */
    hf_str key;             /* "fleet", an operation's name, or a worker's id */
    int32_t scope;          /* hf_control_scope: what the key names */
    int32_t action;         /* hf_control_action */
    hf_str by, reason;
    int64_t at;
} hf_control;

extern const hf_type HF_TYPE_CONTROL;
