/* What the formats of a payload share: texts as JSON strings, and Slack's words. */
#pragma once
#include "schemas/webhook/payload.h"

/* A JSON string with its quotes. What is no UTF-8, and NUL, becomes U+FFFD; control characters are escaped. */
void hf_payload_text(hf_buf *out, hf_str value);
/* The same without quotes, at most `most` bytes of value (… behind what was cut), with &, < and > as Slack wants them. */
void hf_payload_slack_piece(hf_buf *out, hf_str value, uint32_t most);
void hf_payload_slack(hf_buf *out, const hf_webhook_facts *facts);
