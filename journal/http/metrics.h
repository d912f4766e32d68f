/* GET /metrics: what its files share. One request gathers the facts inside one read transaction (hf_metrics_facts), then writes the
 * page from them, so that all families are of one moment and no lock or snapshot is held while text is made. Nothing here walks the
 * jobs: the cost does not grow with their number.
 *
 *   metrics.c            the handler, the format that Accept asks for, folded families
 *   metrics_text.c       text 0.0.4 and OpenMetrics 1.0: names, numbers, samples
 *   metrics_fleet.c      queue, workers, partitions
 *   metrics_limits.c     limits of concurrency
 *   metrics_webhooks.c   webhooks: by state, and what came of each one's deliveries
 *   metrics_process.c    the store, HTTP, this process
 *   metrics_exemplars.c  the last job of each bucket of durations */
#pragma once
#include "journal/http/inside.h"
#include "journal/http/samples.h"
#include "journal/replica/counters.h"
#include "journal/replica/deliveries.h"

enum {
    HF_METRICS_WORKERS = 100,     /* by id; past it `other` */
    HF_METRICS_PARTITIONS = 1000, /* the same */
    HF_METRICS_WORKERS_READ = 10000,
    HF_STATUSES = 3,
    HF_DURATION_CELLS = 14,
};
typedef enum hf_worker_seen { HF_WORKER_LOST = HF_W_STOPPED + 1, HF_WORKER_STATES } hf_worker_seen;

typedef struct hf_metrics_worker {
    char id[HF_ID_MAX_BYTES + 1];
    int64_t restarts, jobs;
} hf_metrics_worker;

enum { HF_METRICS_LIMITS = 100 };
typedef struct hf_metrics_limit {
    char key[2 * HF_LIMIT_KEY_MAX + 1]; /* as a label's value: escaped */
    int64_t max, held;
} hf_metrics_limit;

enum { HF_METRICS_WEBHOOKS = 100, HF_METRICS_WEBHOOKS_READ = 10000 };
typedef enum hf_webhook_seen {
    HF_WEBHOOK_ENABLED,
    HF_WEBHOOK_CIRCUIT_OPEN, /* enabled, and it failed webhook.breaker_failures times in a row */
    HF_WEBHOOK_DISABLED,
    HF_WEBHOOK_UNREADABLE,
    HF_WEBHOOK_STATES
} hf_webhook_seen;
typedef struct hf_metrics_webhook {
    char id[2 * HF_ID_MAX_BYTES + 1]; /* as a label's value: escaped */
    int64_t by_outcome[HF_DELIVERY_OUTCOME_COUNT], failed_in_row;
} hf_metrics_webhook;

typedef struct hf_exemplar {
    int64_t at_ms; /* 0: none */
    double value;
    char labels[HF_ID_MAX_BYTES + 16]; /* trace_id="…" or job_id="…" */
} hf_exemplar;

typedef struct hf_metrics_facts {
    hf_counters counters;
    int64_t now_ms;
    int64_t queued_since[HF_OPERATIONS][HF_PRIORITIES]; /* INT64_MAX: nobody waits */
    int64_t workers[HF_WORKER_STATES], slots_busy, slots_free, slots_closed;
    int64_t paused[HF_CONTROL_SCOPES]; /* controls in force */
    int64_t offering[HF_OPERATIONS], with[HF_REQUIREMENTS];
    hf_metrics_worker worker[HF_METRICS_WORKERS + 1]; /* the last: others */
    size_t worker_count;
    hf_metrics_limit limit[HF_METRICS_LIMITS + 1]; /* the last: others */
    size_t limit_count;
    hf_metrics_webhook webhook[HF_METRICS_WEBHOOKS + 1]; /* the last: others */
    size_t webhook_count;
    int64_t webhooks[HF_WEBHOOK_STATES];
    hf_lag lags[HF_SAMPLES_PARTITIONS];
    size_t lag_count;
    hf_store_stat store;
    hf_exemplar exemplars[HF_STATUSES][HF_PROVIDERS][HF_DURATION_CELLS];
} hf_metrics_facts;

typedef struct hf_metrics_page {
    hf_http *http;
    hf_buf *out;
    const hf_metrics_facts *facts;
    bool open; /* OpenMetrics */
} hf_metrics_page;

/* ---- metrics_limits.c ---- */
hf_code hf_metrics_read_limits(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr);

/* ---- metrics_webhooks.c ---- */
hf_code hf_metrics_read_webhooks(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr);

/* ---- metrics_text.c ---- */
/* A label's value: backslashes, quotes and line ends escaped, other control characters and what is past room / 2 bytes left out. */
void hf_metrics_escape(hf_str value, char *to, size_t room);
enum { HF_METRICS_NUMBER = 40 };
/* As Go prints a float64 (strconv 'g', shortest): what existing dashboards compare `le` with. In OpenMetrics 1 is 1.0. */
const char *hf_metrics_number(double value, bool open, char text[HF_METRICS_NUMBER]);
void hf_metrics_head(hf_metrics_page *p, const char *family, const char *kind, const char *help);
/* One sample; suffix "", _sum, _count; labels without braces. */
void hf_metrics_int(hf_metrics_page *p, const char *family, const char *suffix, const char *labels, int64_t value);
void hf_metrics_float(hf_metrics_page *p, const char *family, const char *suffix, const char *labels, double value);
/* exemplar may be NULL; plain text has none. */
void hf_metrics_bucket(hf_metrics_page *p, const char *family, const char *labels, double bound, int64_t count,
                       const hf_exemplar *exemplar);
/* Does an Accept header (NULL: none) ask for OpenMetrics 1.0 at least as much as for plain text? */
bool hf_metrics_wants_open(const char *accept);

/* ---- metrics_fleet.c ---- */
hf_code hf_metrics_read_fleet(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr);

/* ---- metrics_exemplars.c ---- */
typedef struct hf_exemplars hf_exemplars;
hf_exemplars *hf_exemplars_new(void); /* NULL without memory */
void hf_exemplars_free(hf_exemplars *exemplars);
/* The loop's thread: a proposal was folded; when it ended a job, that is its bucket's exemplar from now on. */
void hf_exemplars_note(hf_exemplars *exemplars, const hf_change *change);
/* Any thread. The trace is that of the record that made the job; `read` from hf_read_begin_all. */
void hf_exemplars_read(hf_exemplars *exemplars, hf_http *http, hf_read *read, hf_metrics_facts *to);
/* W3C Trace Context, version 00: "00-<32 hex>-<16 hex>-<2 hex>". NULL is none. */
bool hf_trace_valid(const char *traceparent);

/* ---- the rows that are measured ---- */
#define HF_METRIC_VALUE(id, family, kind, labels, help) void hf_metrics_put_##id(hf_metrics_page *p, const char *name);
#include "journal/http/metrics.def"
#include "schemas/job/control.h"
