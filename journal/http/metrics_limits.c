/* Metrics of the limits of concurrency: by their keys, the first HF_METRICS_LIMITS of them; the rest together. */
#include <stdio.h>

#include "journal/http/metrics.h"
#include "journal/replica/limits.h"

enum { ARENA_BYTES = 1 << 20, READ_MAX = 4096 };

static bool take(void *ctx, const hf_limit_view *view) {
    hf_metrics_facts *to = ctx;
    size_t at = to->limit_count < HF_METRICS_LIMITS ? to->limit_count : HF_METRICS_LIMITS;
    hf_metrics_limit *l = &to->limit[at];
    hf_metrics_escape(at < HF_METRICS_LIMITS ? view->set.key : HF_STR("other"), l->key, sizeof l->key);
    l->max += view->set.max > 0 ? view->set.max : 0;
    l->held += view->held;
    if (to->limit_count <= HF_METRICS_LIMITS)
        to->limit_count++;
    return true;
}

hf_code hf_metrics_read_limits(hf_http *http, hf_read *read, hf_metrics_facts *to, hf_err *reterr) {
    hf_arena arena;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_code rc = hf_query_limits(read, &http->tables, HF_STR(""), READ_MAX, &arena, take, to, reterr);
    hf_arena_done(&arena);
    return rc;
}

static void put(hf_metrics_page *p, const char *family, const hf_metrics_limit *l, int64_t number) {
    char labels[2 * HF_LIMIT_KEY_MAX + 16];
    snprintf(labels, sizeof labels, "limit=\"%s\"", l->key);
    hf_metrics_int(p, family, "", labels, number);
}

void hf_metrics_put_limit_max(hf_metrics_page *p, const char *family) {
    for (size_t i = 0; i < p->facts->limit_count && i <= HF_METRICS_LIMITS; i++)
        put(p, family, &p->facts->limit[i], p->facts->limit[i].max);
}

void hf_metrics_put_limit_in_use(hf_metrics_page *p, const char *family) {
    for (size_t i = 0; i < p->facts->limit_count && i <= HF_METRICS_LIMITS; i++)
        put(p, family, &p->facts->limit[i], p->facts->limit[i].held);
}
