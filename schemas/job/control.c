#include "schemas/job/control.h"

#include "schemas/job/fields.h"

static const char *const scope_symbols[] = {"fleet", "operation", "worker", NULL};
static const char *const action_symbols[] = {"resume", "pause", "quiet", "stop", NULL};

static const hf_field fields[] = {
    HF_STR_FIELD(hf_control, key, HF_ID_MAX_BYTES),    HF_ENUM_FIELD(hf_control, scope, scope_symbols),
    HF_ENUM_FIELD(hf_control, action, action_symbols), HF_STR_FIELD(hf_control, by, HF_MAX_TEXT),
    HF_STR_FIELD(hf_control, reason, HF_MAX_TEXT),     HF_TIME_FIELD(hf_control, at),
};
HF_TYPE(HF_TYPE_CONTROL, "Control", hf_control, fields);
