/* What the files of a webhook's vocabulary share; for them alone. */
#pragma once
#include "schemas/webhook/webhook.h"

void hf_webhook_say(hf_intake_errors *list, hf_arena *arena, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* NULL, or what is wrong with the URL, without a piece of it. */
const char *hf_webhook_url_fault(hf_str url);
/* The URL as it may stand in a record; *ret_masked: a part of it is secret. {NULL, 0} without memory. A URL that has a fault is
 * masked whole. */
hf_str hf_webhook_url_mask(hf_str url, int32_t format, hf_arena *arena, bool *ret_masked);
bool hf_webhook_url_is_masked(hf_str url);

/* NULL, or what is wrong with the header's name (value), without a piece of the value. */
const char *hf_webhook_header_fault(hf_str name);
const char *hf_webhook_value_fault(hf_str value);
bool hf_webhook_same_header(hf_str a, hf_str b); /* names are the same in any case */
