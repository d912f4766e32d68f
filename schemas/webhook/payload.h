/* The body of a delivery: an event and the facts of its job in, bytes out. Pure: no clock, no randomness, no I/O, so that
 * every attempt of a delivery has the same bytes.
 *
 *   standard      {"event", "type", "timestamp", "data"}: the older body, and `type` for Standard Webhooks 1.0.0
 *   cloudevents   CloudEvents 1.0, structured JSON: `id` is the delivery's, `type` is io.hyperfleet. and the event's name,
 *                 `subject` the job's id (of vm.discovered: the provider), `data` the same as in the standard body
 *   slack         {"text", "blocks"}: one line for people, `&<>` escaped, so that no name can mention a channel
 *
 * Whatever the texts hold, what comes out is JSON in UTF-8: bytes that are no UTF-8, and NUL, become U+FFFD. Called by
 * consumer/notify. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/base/err.h"
#include "schemas/job/job.h"

typedef enum hf_webhook_event {
#define HF_WEBHOOK_EVENT(id, name, title) HF_WE_##id,
#include "schemas/webhook/events.def"
#undef HF_WEBHOOK_EVENT
    HF_WEBHOOK_EVENT_COUNT,
    HF_WE_TEST = HF_WEBHOOK_EVENT_COUNT /* "webhook.test": a trial; nobody can ask for it */
} hf_webhook_event;

const char *hf_webhook_event_name(hf_webhook_event event);           /* "job.created"; "webhook.test" */
bool hf_webhook_event_from_name(hf_str name, hf_webhook_event *ret); /* those of events.def only */

typedef enum hf_payload_format { HF_PAYLOAD_STANDARD, HF_PAYLOAD_CLOUDEVENTS, HF_PAYLOAD_SLACK } hf_payload_format;

const char *hf_payload_format_name(hf_payload_format format); /* "standard", "cloudevents", "slack" */
bool hf_payload_format_from_name(hf_str name, hf_payload_format *ret);
const char *hf_payload_content_type(hf_payload_format format);

enum {
    /* All that one record of 512 KiB can say, were every byte of it written as \u00XX. */
    HF_PAYLOAD_MAX_BYTES = 4 << 20,
    HF_PAYLOAD_SLACK_TEXT = 200, /* bytes of one text in a Slack message; longer ones end in "…" */
};

typedef struct hf_webhook_facts {
    hf_webhook_event event;
    bool test;  /* a trial: `data` begins with "test": true */
    int64_t at; /* wall ms of the event */
    hf_str job_id, job_name, vm_path;
    hf_str output_path;              /* job.created */
    double duration_seconds;         /* job.completed; written with milliseconds */
    hf_str ovf_path;                 /* job.completed; "" without one */
    hf_list exported_files;          /* job.completed: hf_str */
    hf_str error;                    /* job.failed */
    hf_str phase;                    /* job.progress */
    double percent_complete;         /* job.progress; negative or no number: null */
    int64_t files_done, files_total; /* job.progress */
    int64_t bytes_done, bytes_total; /* job.progress */
    hf_str provider;                 /* vm.discovered */
    hf_str vms;                      /* vm.discovered: JSON array of {name, path, power_state, …}; else [] is sent */
} hf_webhook_facts;

/* Appends the body to out (made with HF_PAYLOAD_MAX_BYTES or less). `delivery_id` is the webhook-id; `source` names the fleet as a
 * URI reference ("/hyperfleet/main"); both for cloudevents. Errors: LIMIT names the bound, NO_MEMORY. */
hf_code hf_payload_write(hf_buf *out, hf_payload_format format, const hf_webhook_facts *facts, hf_str delivery_id,
                         hf_str source, hf_err *reterr);
