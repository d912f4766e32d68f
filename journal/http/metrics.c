/* GET /metrics: gathers the facts, and writes the families that are folded with the jobs. */
#include "journal/http/metrics.h"

#include <math.h>
#include <stdio.h>

#include "schemas/base/mem.h"

/* ---- families that are folded with the jobs ---------------------------------------------------------------------- */
/* `a="x",b="y"` for the cell's dimensions that are labels. */
static void labels_of(const hf_counter_family *f, const uint32_t index[3], char *to, size_t room) {
    char names[128], label[32];
    size_t used = 0;
    to[0] = 0;
    snprintf(names, sizeof names, "%s", f->labels);
    char *next = names;
    for (int d = 0; d < 3 && *next; d++) {
        if (hf_dim_count(f->dims[d]) == 1 || hf_dim_is_histogram(f->dims[d]))
            continue;
        char *name = strsep(&next, ",");
        used += (size_t)snprintf(to + used, room - used, "%s%s=\"%s\"", used ? "," : "", name,
                                 hf_dim_label(f->dims[d], index[d], label));
        if (!next)
            break;
    }
}

/* Short lists show their zeros, so that a rate sees the first of a kind; of products only what there was. */
static bool shows_zeros(const hf_counter_family *f) {
    hf_dim a = f->dims[0];
    bool short_list = a == HF_D_ONE || a == HF_D_STATE || a == HF_D_VERDICT || a == HF_D_TOPIC || a == HF_D_B_OVF;
    return short_list && f->dims[1] == HF_D_ONE;
}

static const hf_exemplar *exemplar_of(hf_metrics_page *p, hf_counter counter, const uint32_t index[3]) {
    return counter == HF_N_DURATION ? &p->facts->exemplars[index[0]][index[1]][index[2]] : NULL;
}
_Static_assert(HF_STATUSES == 3 && HF_DURATION_CELLS == 14, "the cells of DURATION (counters.def)");

static void histogram_cells(hf_metrics_page *p, const char *family, hf_counter counter, int at,
                            const uint32_t fixed[3]) {
    const hf_counter_family *f = hf_counter_family_of(counter);
    const hf_counters *k = &p->facts->counters;
    uint32_t cells = hf_dim_count(f->dims[at]), index[3] = {fixed[0], fixed[1], fixed[2]};
    int64_t total = 0, so_far = 0;
    for (index[at] = 0; index[at] + 1 < cells; index[at]++)
        total += hf_counter_get(k, counter, index[0], index[1], index[2]);
    if (!total && !shows_zeros(f))
        return;
    char labels[256];
    labels_of(f, fixed, labels, sizeof labels);
    for (index[at] = 0; index[at] + 1 < cells; index[at]++) {
        so_far += hf_counter_get(k, counter, index[0], index[1], index[2]);
        hf_metrics_bucket(p, family, labels, hf_dim_bound(f->dims[at], index[at]), so_far,
                          exemplar_of(p, counter, index));
    }
    double sum = (double)hf_counter_get(k, counter, index[0], index[1], index[2]);
    bool seconds = f->dims[at] != HF_D_B_SPEED; /* seconds are summed as milliseconds */
    hf_metrics_float(p, family, "_sum", labels, seconds ? sum / 1000 : sum);
    hf_metrics_int(p, family, "_count", labels, total);
}

static void counter_family(hf_metrics_page *p, hf_counter counter, const char *family) {
    const hf_counter_family *f = hf_counter_family_of(counter);
    uint32_t n[3], i[3];
    int histogram = -1;
    char labels[256];
    for (int d = 0; d < 3; d++) {
        n[d] = hf_dim_count(f->dims[d]);
        if (hf_dim_is_histogram(f->dims[d])) {
            histogram = d;
            n[d] = 1;
        }
    }
    for (i[0] = 0; i[0] < n[0]; i[0]++)
        for (i[1] = 0; i[1] < n[1]; i[1]++)
            for (i[2] = 0; i[2] < n[2]; i[2]++) {
                int64_t value = hf_counter_get(&p->facts->counters, counter, i[0], i[1], i[2]);
                if (histogram >= 0)
                    histogram_cells(p, family, counter, histogram, i);
                else if (value || shows_zeros(f)) {
                    labels_of(f, i, labels, sizeof labels);
                    hf_metrics_int(p, family, "", labels, value);
                }
            }
}

static int64_t jobs_in(const hf_metrics_page *p, hf_state state) {
    return hf_counter_get(&p->facts->counters, HF_N_JOBS_STATE, (uint32_t)state, 0, 0);
}

void hf_metrics_put_active_jobs(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "",
                   jobs_in(p, HF_S_ASSIGNED) + jobs_in(p, HF_S_RUNNING) + jobs_in(p, HF_S_PROGRESSING));
}

void hf_metrics_put_queued_jobs(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "",
                   jobs_in(p, HF_S_CREATED) + jobs_in(p, HF_S_VALIDATED) + jobs_in(p, HF_S_QUEUED) +
                       jobs_in(p, HF_S_RETRYING));
}

/* ---- the page ------------------------------------------------------------------------------------------------------ */
static void write_page(hf_metrics_page *p) {
#define HF_METRIC_COUNTER(counter, family, kind, help)                                                                 \
    hf_metrics_head(p, family, #kind, help);                                                                           \
    counter_family(p, HF_N_##counter, family);
#define HF_METRIC_VALUE(id, family, kind, labels, help)                                                                \
    hf_metrics_head(p, family, #kind, help);                                                                           \
    hf_metrics_put_##id(p, family);
#include "journal/http/metrics.def"
    if (p->open)
        hf_buf_printf(p->out, "# EOF\n");
}

hf_code hf_http_counters(hf_http *http, hf_counters *ret, hf_err *reterr) {
    hf_read *read = NULL;
    hf_code code = hf_counters_init(ret, reterr);
    if (code != HF_OK)
        return code;
    code = hf_read_begin(hf_http_store(http), &read, reterr);
    if (code == HF_OK)
        code = hf_counters_load(ret, read, http->tables.of[HF_TB_COUNTERS], reterr);
    hf_read_end(read);
    if (code != HF_OK)
        hf_counters_done(ret);
    return code;
}

static hf_code gather(hf_http *http, bool open, hf_metrics_facts *to, hf_err *reterr) {
    hf_read *read = NULL;
    to->now_ms = hf_wall_ms(http->clock);
    hf_store_stats(hf_http_store(http), &to->store);
    to->lag_count = hf_samples_lags(http->samples, to->lags, HF_SAMPLES_PARTITIONS);
    hf_code code = hf_read_begin_all(hf_http_store(http), &read, reterr);
    if (code == HF_OK)
        code = hf_counters_load(&to->counters, read, http->tables.of[HF_TB_COUNTERS], reterr);
    if (code == HF_OK)
        code = hf_metrics_read_fleet(http, read, to, reterr);
    if (code == HF_OK && open)
        hf_exemplars_read(http->exemplars, http, read, to);
    hf_read_end(read);
    return code;
}

void hf_handle_metrics(hf_request *r) {
    hf_err err;
    bool open = hf_metrics_wants_open(hf_request_header(r, "Accept"));
    hf_metrics_facts *facts = hf_alloc(sizeof *facts);
    hf_code code = facts ? hf_counters_init(&facts->counters, &err) : hf_fail(&err, HF_E_NO_MEMORY, "metrics");
    if (code == HF_OK)
        code = gather(r->http, open, facts, &err);
    if (code == HF_OK) {
        write_page(&(hf_metrics_page){r->http, &r->reply, facts, open});
        r->status = 200;
        r->content_type = open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8";
    } else
        hf_reply_err(r, &err);
    if (facts)
        hf_counters_done(&facts->counters);
    free(facts);
}
