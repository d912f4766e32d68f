/* A webhook: an endpoint that is told of events, as its record says it. The topic is compacted: the latest record of a key is
 * the webhook, a record without a value takes it away. No secret stands in it: values of headers, signing secrets and the
 * secret part of a URL are in the hook's own store (schemas/webhook/secrets.h). What it means, its JSON and the rules are
 * schemas/webhook/webhook.h's. */
#pragma once
#include "schemas/job/job.h"

enum {
    HF_WEBHOOK_URL_MAX = 2048,
    HF_WEBHOOK_HEADERS_MAX = 16,
    HF_WEBHOOK_HEADER_NAME_MAX = 128,
    HF_WEBHOOK_TIMEOUT_DEFAULT_MS = 10000,
    HF_WEBHOOK_RETRY_DEFAULT = 3,
    HF_WEBHOOK_PROGRESS_DEFAULT_MS = 10000,
    HF_WEBHOOK_PARTITIONS_MAX = 1024, /* of job-events */
};

typedef struct hf_webhook { /* Webhook */
    hf_str endpoint_id;     /* also the record's key; no dot */
    hf_str url;             /* its secret part shown as "***" where it has one */
    hf_list events;         /* hf_str; none: all */
    int32_t format;         /* hf_payload_format: standard, cloudevents, slack */
    hf_list header_names;   /* hf_str */
    int64_t timeout_ms;     /* of one attempt */
    int32_t retry;          /* attempts after the first */
    bool ordered;           /* the events of a job one after the other */
    bool enabled;
    int64_t progress_interval_ms; /* job.progress of one job no oftener than this */
    hf_list from;                 /* hf_position of job-events: what stands before is not its business */
    int64_t created_at, updated_at;
    hf_str by;              /* who made this version of it */
    hf_str origin;          /* "config": a configuration file manages it; "" or "api": requests do */
    hf_str disabled_reason; /* why it is switched off; "": somebody asked */
} hf_webhook;

extern const hf_type HF_TYPE_WEBHOOK;
