/* What the sidecar's files share, and nobody else sees. */
#pragma once
#include <pthread.h>

#include "journal/http/access.h"
#include "journal/http/answers.h"
#include "journal/http/request.h"
#include "journal/http/tls.h"
#include "journal/http/watch.h"
#include "journal/http/write.h"
#include "journal/replica/layout.h"
#include "schemas/base/queue.h"

/* Finished requests by route and status, and their durations, for /metrics. */
enum { HF_HTTP_BUCKETS = 11 };
extern const double HF_HTTP_BUCKET_SECONDS[HF_HTTP_BUCKETS];
typedef struct hf_route_stats {
    atomic_ullong by_status[HF_STATUS_CLASSES];
    atomic_ullong buckets[HF_HTTP_BUCKETS + 1];
    atomic_ullong sum_us;
} hf_route_stats;

struct hf_http {
    hf_http_options options;
    const hf_clock *clock;
    int64_t started_wall_ms;
    hf_tables tables;
    struct MHD_Daemon *daemon;
    hf_access *access;
    struct hf_merkle *merkle;
    hf_guards *guards;
    struct hf_secrets *secrets; /* of webhooks; NULL: no store is configured */
    atomic_uint trials;         /* of webhooks, under way */
    hf_tls *tls;                /* NULL: plain HTTP */
    char address[128];
    hf_watch *watch;
    hf_answers *answers;
    atomic_int connections; /* open now, those answered 503 for being too many included */
    size_t body_max;
    int64_t write_wait_ms;
    hf_route_stats stats[HF_ROUTE_COUNT + 1]; /* the last: no route */
    hf_queue *writes;                         /* hf_write *, to the loop's thread */
    atomic_uint writes_open;
    atomic_bool stopping;
    atomic_int log_code; /* hf_code of the log's health, from the loop's thread */
    /* the loop's thread only: */
    hf_write *waiting;
    uint64_t next_number;
    struct hf_streams *streams;
    struct hf_samples *samples;
    struct hf_exemplars *exemplars;
};

hf_store *hf_http_store(hf_http *http);

/* The folded counters as of now; hf_counters_done them. */
struct hf_counters;
hf_code hf_http_counters(hf_http *http, struct hf_counters *ret, hf_err *reterr);
