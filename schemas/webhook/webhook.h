/* What a webhook means: its rules, its JSON, which events it wants, and the ids of what it is sent. The same for the configuration
 * file (the `webhooks:` list), the bodies of /webhooks and /api/v1/webhooks, and `hyperctl webhook add`. The record is
 * schemas/job/webhook.h's.
 *
 *   {"url", "id"?, "events"?: ["job.completed", …] (none or "*": all), "headers"?: {name: value}, "timeout"?: "10s" or seconds,
 *    "retry"?, "enabled"?, "format"?: "standard" | "cloudevents" | "slack", "secret"?: "whsec_…" or "secrets"?: [newest, …],
 *    "ordered"?, "progress_interval"?}
 *
 * HyperSDK's webhook is one of these; its Go duration, a whole number of nanoseconds, is known by its size (a million and more).
 *
 * What is secret never comes into a record: values of headers, signing secrets, and a URL that is a secret itself are read into
 * hf_webhook_secret, for the hook's own store (secrets.h). Of a URL these parts are taken for secret, and stand in the record as ***:
 *   - all behind the host, where the format is slack or the host is one whose paths are tokens (hooks.slack.com, discord.com,
 *     discordapp.com, *.webhook.office.com, *.logic.azure.com);
 *   - the value of a query's member whose name looks like a secret's (token, key, sig, password, code, auth …).
 * A user or password before the host is refused: a header says the same and does not end up in the log of a proxy.
 *
 * Pure; thread-safe. */
#pragma once
#include <jansson.h>

#include "schemas/base/err.h"
#include "schemas/job/intake.h"
#include "schemas/job/webhook.h"
#include "schemas/webhook/payload.h"
#include "schemas/webhook/signature.h"

#define HF_WEBHOOK_MASK "***"
enum {
    HF_WEBHOOK_ID_MAX = 64,
    HF_WEBHOOK_VALUE_MAX = 4096, /* bytes of a header's value */
    HF_WEBHOOK_RETRY_MAX = 20,
    HF_WEBHOOK_TIMEOUT_MIN_MS = 100,
    HF_WEBHOOK_TIMEOUT_MAX_MS = 300000,
    HF_WEBHOOK_PROGRESS_MIN_MS = 100,
    HF_WEBHOOK_PROGRESS_MAX_MS = 3600000,
};

typedef struct hf_webhook_header {
    hf_str name, value;
} hf_webhook_header;

/* What of a webhook is secret. */
typedef struct hf_webhook_secret {
    hf_str url;                          /* whole, where the record's has a part that is masked; else "" */
    hf_str secrets[HF_SIGNING_KEYS_MAX]; /* whsec_…, the newest first; several while they are rotated */
    uint32_t secret_count;               /* 0: deliveries are not signed */
    hf_webhook_header headers[HF_WEBHOOK_HEADERS_MAX];
    uint32_t header_count;
} hf_webhook_secret;

/* ---- in ---------------------------------------------------------------------------------------------------- */
enum {
    HF_WEBHOOK_LENIENT = 1,   /* unknown members are warnings, null and "" are as good as absent: the older paths */
    HF_WEBHOOK_DERIVE_ID = 2, /* without an id it gets one made of its URL, the same each time: configuration files */
};

/* Reads what is given over *webhook: for a new one, hf_type_init(&HF_TYPE_WEBHOOK, …) it first; over an existing one, members that are
 * absent stay as they are and null sets back to what absence means. *secret is filled with what is given of it, on top of what it
 * holds (for a new one: {0}); a header whose value is given as *** keeps the value that *secret has for it. Then everything
 * is checked. Strings are copied into arena. *Every* error is listed, each naming the member, the limit and the remedy, and none
 * of them holds a value that may be a secret. Fails with INVALID where json is no object, and NO_MEMORY. */
hf_code hf_webhook_read(const json_t *json, unsigned flags, hf_arena *arena, hf_webhook *webhook,
                        hf_webhook_secret *secret, hf_intake_errors *errors, hf_intake_errors *warnings,
                        hf_err *reterr);
/* The rules alone, of a record. */
void hf_webhook_check(const hf_webhook *webhook, hf_arena *arena, hf_intake_errors *errors);
/* Does it need the store: is there anything in it? */
static inline bool hf_webhook_has_secret(const hf_webhook_secret *s) {
    return s->url.len || s->secret_count || s->header_count;
}

/* ---- out --------------------------------------------------------------------------------------------------- */
/* The same members out, with created_at, updated_at, by, origin, disabled_reason; "headers" has *** for each value. New reference;
 * NULL without memory. */
json_t *hf_webhook_json(const hf_webhook *webhook);
/* Secret and all, as hf_webhook_read reads it: for the child that makes a trial, through a pipe. */
json_t *hf_webhook_json_whole(const hf_webhook *webhook, const hf_webhook_secret *secret);

/* ---- what hooks ask ---------------------------------------------------------------------------------------- */
bool hf_webhook_wants(const hf_webhook *webhook, hf_webhook_event event);
/* Is this record of job-events its business? */
bool hf_webhook_reaches(const hf_webhook *webhook, hf_position position);
/* The URL to call; {NULL, 0} where the record's is masked and `secret` (may be NULL) has none. */
hf_str hf_webhook_target(const hf_webhook *webhook, const hf_webhook_secret *secret);
/* Its host is written with % escapes: who reads it sees another host than who calls it. Refused. */
bool hf_webhook_url_hides_host(hf_str url);
#define HF_DELIVERY_ID_BYTES 48
/* webhook-id of what happened at a position, for an endpoint: the same on every hook, in every attempt, for ever. "msg_" and 32
 * hexadecimal digits; no dot. */
const char *hf_webhook_delivery_id(hf_str endpoint_id, hf_position position, char text[HF_DELIVERY_ID_BYTES]);
