/* Metrics of the webhooks: how many are in which state, and what came of the deliveries of each, by its id for the first
 * HF_METRICS_WEBHOOKS; the rest together. From the journal's tallies, so every replica says the same. */
#include <stdio.h>

#include "journal/http/metrics.h"

enum { ARENA_BYTES = 1 << 20 };

typedef struct reading {
    hf_http *http;
    hf_read *read;
    hf_metrics_facts *to;
    int64_t breaker; /* failures in a row that open the circuit */
    hf_code code;
    hf_err *err;
} reading;

/* The breaker itself is in hyperhook: it counts the same outcomes against the same key of the configuration. */
static hf_webhook_seen state_of(const reading *q, const hf_webhook *w, bool unreadable, const hf_tally *tally) {
    if (unreadable)
        return HF_WEBHOOK_UNREADABLE;
    if (!w->enabled)
        return HF_WEBHOOK_DISABLED;
    return tally->failed_in_row >= q->breaker ? HF_WEBHOOK_CIRCUIT_OPEN : HF_WEBHOOK_ENABLED;
}

static bool take(void *ctx, const hf_webhook *w, bool unreadable) {
    reading *q = ctx;
    hf_metrics_facts *to = q->to;
    hf_tally tally;
    size_t at = to->webhook_count < HF_METRICS_WEBHOOKS ? to->webhook_count : HF_METRICS_WEBHOOKS;
    hf_metrics_webhook *m = &to->webhook[at];
    q->code = hf_query_tally(q->read, &q->http->tables, w->endpoint_id, &tally, q->err);
    if (q->code != HF_OK)
        return false;
    hf_webhook_seen state = state_of(q, w, unreadable, &tally);
    hf_metrics_escape(at < HF_METRICS_WEBHOOKS ? w->endpoint_id : HF_STR("other"), m->id, sizeof m->id);
    for (int32_t i = 0; i < HF_DELIVERY_OUTCOME_COUNT; i++)
        m->by_outcome[i] += tally.by_outcome[i];
    if (tally.failed_in_row > m->failed_in_row)
        m->failed_in_row = tally.failed_in_row;
    if (to->webhook_count <= HF_METRICS_WEBHOOKS)
        to->webhook_count++;
    return ++to->webhooks[state] < HF_METRICS_WEBHOOKS_READ;
}

hf_code hf_metrics_read_webhooks(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_arena arena;
    reading q = {http, read, to, hf_config_int(http->options.config, HF_C_WEBHOOK_BREAKER), HF_OK, reterr};
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code rc = hf_query_webhooks(read, &http->tables, http->options.codec, &arena, take, &q, reterr);
    hf_arena_done(&arena);
    return q.code != HF_OK ? q.code : rc;
}

void hf_metrics_put_webhooks(hf_metrics_page *p, const char *family) {
    static const char *const labels[HF_WEBHOOK_STATES] = {"state=\"enabled\"", "state=\"circuit_open\"",
                                                          "state=\"disabled\"", "state=\"unreadable\""};
    for (int i = 0; i < HF_WEBHOOK_STATES; i++)
        hf_metrics_int(p, family, "", labels[i], p->facts->webhooks[i]);
}

/* With its zeros: a rate sees the first failure. */
void hf_metrics_put_webhook_deliveries(hf_metrics_page *p, const char *family) {
    char labels[2 * HF_ID_MAX_BYTES + 64];
    for (size_t i = 0; i < p->facts->webhook_count; i++)
        for (int32_t o = 0; o < HF_DELIVERY_OUTCOME_COUNT; o++) {
            const hf_metrics_webhook *m = &p->facts->webhook[i];
            snprintf(labels, sizeof labels, "webhook=\"%s\",outcome=\"%s\"", m->id, hf_delivery_outcome_name(o));
            hf_metrics_int(p, family, "", labels, m->by_outcome[o]);
        }
}

void hf_metrics_put_webhook_failed(hf_metrics_page *p, const char *family) {
    char labels[2 * HF_ID_MAX_BYTES + 64];
    for (size_t i = 0; i < p->facts->webhook_count; i++) {
        snprintf(labels, sizeof labels, "webhook=\"%s\"", p->facts->webhook[i].id);
        hf_metrics_int(p, family, "", labels, p->facts->webhook[i].failed_in_row);
    }
}
