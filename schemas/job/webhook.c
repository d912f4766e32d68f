#include "schemas/job/webhook.h"

#include "schemas/job/fields.h"

static const char *const format_symbols[] = {"standard", "cloudevents", "slack", NULL};

static const hf_field position_fields[] = {
    HF_I32_FIELD(hf_position, partition, 0),
    HF_I64_FIELD(hf_position, offset, 0),
};
static HF_TYPE(type_position, "Position", hf_position, position_fields);

static const hf_field fields[] = {
    HF_STR_FIELD(hf_webhook, endpoint_id, HF_ID_MAX_BYTES),
    HF_STR_FIELD(hf_webhook, url, HF_WEBHOOK_URL_MAX),
    HF_STRINGS_FIELD(hf_webhook, events, HF_MAX_TAGS),
    HF_ENUM_FIELD(hf_webhook, format, format_symbols),
    HF_STRINGS_FIELD(hf_webhook, header_names, HF_WEBHOOK_HEADERS_MAX),
    HF_I64_FIELD(hf_webhook, timeout_ms, HF_WEBHOOK_TIMEOUT_DEFAULT_MS),
    HF_I32_FIELD(hf_webhook, retry, HF_WEBHOOK_RETRY_DEFAULT),
    HF_BOOL_FIELD(hf_webhook, ordered, 0),
    HF_BOOL_FIELD(hf_webhook, enabled, 1),
    HF_I64_FIELD(hf_webhook, progress_interval_ms, HF_WEBHOOK_PROGRESS_DEFAULT_MS),
    {HF_FIELD(hf_webhook, from, "from", LIST), .sub = &type_position, .max = HF_WEBHOOK_PARTITIONS_MAX},
    HF_TIME_FIELD(hf_webhook, created_at),
    HF_TIME_FIELD(hf_webhook, updated_at),
    HF_STR_FIELD(hf_webhook, by, HF_MAX_TEXT),
    HF_STR_FIELD(hf_webhook, origin, 32),
    HF_STR_FIELD(hf_webhook, disabled_reason, HF_MAX_TEXT),
};
HF_TYPE(HF_TYPE_WEBHOOK, "Webhook", hf_webhook, fields);
