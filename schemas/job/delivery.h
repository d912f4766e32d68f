/* One attempt to tell one endpoint of one event, and what came of it: hyperhook's memory, and the audit's. */
#pragma once
#include "schemas/job/job.h"

typedef enum hf_delivery_outcome {
    HF_DELIVERY_DELIVERED, /* 2xx */
    HF_DELIVERY_RETRYING,  /* another attempt follows at next_at */
    HF_DELIVERY_FAILED,    /* the last attempt failed */
    HF_DELIVERY_DISABLED,  /* 410: the endpoint gets nothing more */
    HF_DELIVERY_REFUSED,   /* not an address that may be called */
    HF_DELIVERY_REPLAY,    /* no attempt: somebody asked to tell it again */
    HF_DELIVERY_OUTCOME_COUNT
} hf_delivery_outcome;

typedef struct hf_delivery { /* WebhookDelivery */
    hf_str endpoint;         /* id of the webhook's configuration */
    hf_str delivery_id;      /* webhook-id: the same across attempts */
    hf_str event;            /* "job.completed" */
    hf_str job_id;
    int32_t event_partition; /* where the event stands in job-events */
    int64_t event_offset;
    int32_t attempt;     /* 1 is the first */
    int32_t outcome;     /* hf_delivery_outcome */
    int32_t status_code; /* 0: no answer */
    int64_t at, duration_ms;
    int64_t next_at; /* 0: no further attempt */
    hf_str error;
    hf_str by; /* of a replay: who asked */
} hf_delivery;

extern const hf_type HF_TYPE_DELIVERY;
const char *hf_delivery_outcome_name(int32_t outcome); /* "delivered"; "unknown" for none of them */
bool hf_delivery_outcome_from_name(hf_str name, int32_t *ret);
/* It ended without the endpoint knowing of the event. */
static inline bool hf_delivery_is_failed(int32_t o) {
    return o == HF_DELIVERY_FAILED || o == HF_DELIVERY_DISABLED || o == HF_DELIVERY_REFUSED;
}
