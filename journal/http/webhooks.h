/* Webhooks in the sidecar, for both families of routes: looked up and shown, changed, tried. Their secrets go into the hook's own
 * store (schemas/webhook/secrets.h) where one is configured, and nowhere else: no answer, record, event or log line holds one. */
#pragma once
#include "journal/http/v1/v1.h"
#include "journal/replica/deliveries.h"
#include "schemas/webhook/secrets.h"

enum { HF_WEBHOOKS_MAX = 10000, HF_TRIALS_MAX = 8, HF_TRIAL_MAX_MS = 30000, HF_FAILED_COUNT_MAX = 10000 };

/* "ok", "failing" (its last attempt failed), "disabled", "gone" (switched off because of what the receiver answered). */
const char *hf_webhook_state(const hf_webhook *webhook, const hf_tally *tally);
/* Of /api/v1: its members (schemas/webhook/webhook.h) with state, numbers and last outcome. New reference. */
json_t *hf_v1_webhook(hf_request *r, hf_read *read, const hf_webhook *webhook, bool unreadable);

typedef enum hf_webhook_change_kind {
    HF_WEBHOOK_CREATE,  /* of the body; EXISTS where there is one of that id; without an id it gets a new one */
    HF_WEBHOOK_REPLACE, /* of the body; made where there is none */
    HF_WEBHOOK_MERGE,   /* what is given, over what is there */
    HF_WEBHOOK_ENABLE,
    HF_WEBHOOK_DISABLE,
    HF_WEBHOOK_DELETE,
    HF_WEBHOOK_ROTATE, /* adds the body's secret in front of those it has */
    HF_WEBHOOK_RETIRE  /* keeps the newest secret alone */
} hf_webhook_change_kind;
/* Reads, judges, stores what is secret, writes the record; then calls `answer` on a thread of the server once the journal has folded
 * it. items[0].about is the webhook's id. What is refused is answered here. `id`: "" of a CREATE. */
void hf_webhook_change(hf_request *r, hf_webhook_change_kind kind, hf_str id,
                       void (*answer)(hf_request *r, hf_write *w));
/* Whether the write went well; else it is answered. */
bool hf_webhook_written(hf_request *r, const hf_write *w);

/* One trial delivery by `hyperhook test`, a child with a bounded time on a thread of its own; answered with its outcome. */
void hf_webhook_try(hf_request *r, const hf_webhook *webhook, const hf_webhook_secret *secret);
/* Ends the trials that are under way and waits for them: before the server stops. */
void hf_webhook_trials_end(hf_http *http);
