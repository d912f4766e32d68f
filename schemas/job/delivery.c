#include "schemas/job/delivery.h"

#include "schemas/job/fields.h"

static const char *const outcome_symbols[] = {"delivered", "retrying", "failed", "disabled", "refused", "replay", NULL};

static const hf_field fields[] = {
    HF_STR_FIELD(hf_delivery, endpoint, HF_ID_MAX_BYTES),
    HF_STR_FIELD(hf_delivery, delivery_id, HF_ID_MAX_BYTES),
    HF_STR_FIELD(hf_delivery, event, 64),
    HF_STR_FIELD(hf_delivery, job_id, HF_ID_MAX_BYTES),
    HF_I32_FIELD(hf_delivery, event_partition, 0),
    HF_I64_FIELD(hf_delivery, event_offset, 0),
    HF_I32_FIELD(hf_delivery, attempt, 0),
    HF_ENUM_FIELD(hf_delivery, outcome, outcome_symbols),
    HF_I32_FIELD(hf_delivery, status_code, 0),
    HF_TIME_FIELD(hf_delivery, at),
    HF_I64_FIELD(hf_delivery, duration_ms, 0),
    HF_TIME_FIELD(hf_delivery, next_at),
    HF_STR_FIELD(hf_delivery, error, HF_MAX_TEXT),
    HF_STR_FIELD(hf_delivery, by, HF_MAX_TEXT),
};
HF_TYPE(HF_TYPE_DELIVERY, "WebhookDelivery", hf_delivery, fields);

const char *hf_delivery_outcome_name(int32_t outcome) {
    return outcome >= 0 && outcome < HF_DELIVERY_OUTCOME_COUNT ? outcome_symbols[outcome] : "unknown";
}

bool hf_delivery_outcome_from_name(hf_str name, int32_t *ret) {
    for (int32_t i = 0; i < HF_DELIVERY_OUTCOME_COUNT; i++)
        if (hf_str_eqz(name, outcome_symbols[i])) {
            *ret = i;
            return true;
        }
    return false;
}
