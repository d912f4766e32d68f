/* GET /metrics: Prometheus text exposition 0.0.4, from folded counters and a few figures of this process. No scan:
 * its cost does not grow with the number of jobs. */
#include <math.h>
#include <stdio.h>

#include "journal/http/inside.h"
#include "journal/replica/counters.h"
#include "schemas/base/mem.h"

typedef struct page {
    hf_request *r;
    hf_buf *out;
    const hf_counters *counters;
} page;

/* As Go prints a float64 (strconv 'g', shortest): what existing dashboards compare `le` with. */
static const char *go_float(double v, char text[40]) {
    if (isinf(v))
        return v > 0 ? "+Inf" : "-Inf";
    int precision = 0;
    for (; precision < 17; precision++) {
        snprintf(text, 40, "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 6)
        snprintf(text, 40, "%.*f", precision > exponent ? precision - exponent : 0, v);
    return text;
}

static void head(page *p, const char *family, const char *kind, const char *help) {
    hf_buf_printf(p->out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, kind);
}

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

static void histogram_cells(page *p, const char *family, hf_counter counter, int at, const uint32_t fixed[3],
                            const char *labels) {
    const hf_counter_family *f = hf_counter_family_of(counter);
    uint32_t cells = hf_dim_count(f->dims[at]), index[3] = {fixed[0], fixed[1], fixed[2]};
    int64_t total = 0;
    char number[40], sum[40];
    for (index[at] = 0; index[at] + 1 < cells; index[at]++)
        total += hf_counter_get(p->counters, counter, index[0], index[1], index[2]);
    if (!total)
        return;
    const char *comma = *labels ? "," : "";
    int64_t so_far = 0;
    for (index[at] = 0; index[at] + 1 < cells; index[at]++) {
        so_far += hf_counter_get(p->counters, counter, index[0], index[1], index[2]);
        hf_buf_printf(p->out, "%s_bucket{%s%sle=\"%s\"} %lld\n", family, labels, comma,
                      go_float(hf_dim_bound(f->dims[at], index[at]), number), (long long)so_far);
    }
    double value = (double)hf_counter_get(p->counters, counter, index[0], index[1], index[2]);
    bool seconds = f->dims[at] != HF_D_B_SPEED; /* seconds are summed as milliseconds */
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    hf_buf_printf(p->out, "%s_sum%s%s%s %s\n%s_count%s%s%s %lld\n", family, open, labels, close,
                  go_float(seconds ? value / 1000 : value, sum), family, open, labels, close, (long long)total);
}

static void one_cell(page *p, const char *family, hf_counter counter, const uint32_t index[3], const char *labels) {
    int64_t value = hf_counter_get(p->counters, counter, index[0], index[1], index[2]);
    if (value)
        hf_buf_printf(p->out, "%s%s%s%s %lld\n", family, *labels ? "{" : "", labels, *labels ? "}" : "",
                      (long long)value);
}

static void counter_family(page *p, hf_counter counter, const char *family, const char *kind, const char *help) {
    const hf_counter_family *f = hf_counter_family_of(counter);
    uint32_t n[3], i[3];
    int histogram = -1;
    char labels[256];
    head(p, family, kind, help);
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
                labels_of(f, i, labels, sizeof labels);
                if (histogram >= 0)
                    histogram_cells(p, family, counter, histogram, i, labels);
                else
                    one_cell(p, family, counter, i, labels);
            }
}

/* ---- families that this process measures -------------------------------------------------------------------------- */
static int64_t jobs_in(page *p, hf_state state) {
    return hf_counter_get(p->counters, HF_N_JOBS_STATE, (uint32_t)state, 0, 0);
}

static void put_active_jobs(page *p, const char *family) {
    hf_buf_printf(p->out, "%s %lld\n", family,
                  (long long)(jobs_in(p, HF_S_ASSIGNED) + jobs_in(p, HF_S_RUNNING) + jobs_in(p, HF_S_PROGRESSING)));
}

static void put_queued_jobs(page *p, const char *family) {
    int64_t n =
        jobs_in(p, HF_S_CREATED) + jobs_in(p, HF_S_VALIDATED) + jobs_in(p, HF_S_QUEUED) + jobs_in(p, HF_S_RETRYING);
    hf_buf_printf(p->out, "%s %lld\n", family, (long long)n);
}

static const char *route_label(int route) { return route < HF_ROUTE_COUNT ? HF_ROUTES[route].path : "other"; }
static const char *route_method(int route) { return route < HF_ROUTE_COUNT ? HF_ROUTES[route].method : "other"; }

static void put_api_requests(page *p, const char *family) {
    for (int route = 0; route <= HF_ROUTE_COUNT; route++)
        for (int status = 100; status < HF_STATUS_CLASSES; status++) {
            unsigned long long n = atomic_load(&p->r->http->stats[route].by_status[status]);
            if (n)
                hf_buf_printf(p->out, "%s{method=\"%s\",endpoint=\"%s\",status_code=\"%d\"} %llu\n", family,
                              route_method(route), route_label(route), status, n);
        }
}

static void put_api_durations(page *p, const char *family) {
    char number[40];
    for (int route = 0; route <= HF_ROUTE_COUNT; route++) {
        hf_route_stats *s = &p->r->http->stats[route];
        unsigned long long so_far = 0, total = 0;
        for (int i = 0; i <= HF_HTTP_BUCKETS; i++)
            total += atomic_load(&s->buckets[i]);
        if (!total)
            continue;
        for (int i = 0; i <= HF_HTTP_BUCKETS; i++) {
            so_far += atomic_load(&s->buckets[i]);
            hf_buf_printf(p->out, "%s_bucket{method=\"%s\",endpoint=\"%s\",le=\"%s\"} %llu\n", family,
                          route_method(route), route_label(route),
                          go_float(i < HF_HTTP_BUCKETS ? HF_HTTP_BUCKET_SECONDS[i] : INFINITY, number), so_far);
        }
        hf_buf_printf(
            p->out, "%s_sum{method=\"%s\",endpoint=\"%s\"} %s\n%s_count{method=\"%s\",endpoint=\"%s\"} %llu\n", family,
            route_method(route), route_label(route), go_float((double)atomic_load(&s->sum_us) / 1e6, number), family,
            route_method(route), route_label(route), so_far);
    }
}

static void put_build_info(page *p, const char *family) {
    hf_buf_printf(p->out, "%s{version=\"%s\",compiler=\"%s\"} 1\n", family, HF_VERSION, __VERSION__);
}

static void put_store_bytes(page *p, const char *family) {
    hf_store_stat stat;
    hf_store_stats(hf_http_store(p->r->http), &stat);
    hf_buf_printf(p->out, "%s %llu\n", family, (unsigned long long)stat.used_bytes);
}

static void put_store_map(page *p, const char *family) {
    hf_store_stat stat;
    hf_store_stats(hf_http_store(p->r->http), &stat);
    hf_buf_printf(p->out, "%s %llu\n", family, (unsigned long long)stat.map_bytes);
}

static void put_writes_waiting(page *p, const char *family) {
    hf_buf_printf(p->out, "%s %u\n", family, atomic_load(&p->r->http->writes_open));
}

static void put_resident(page *p, const char *family) {
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    hf_buf_printf(p->out, "%s %lld\n", family, (long long)resident * sysconf(_SC_PAGESIZE));
}

static void put_started(page *p, const char *family) {
    hf_buf_printf(p->out, "%s %lld\n", family, (long long)(p->r->http->started_wall_ms / 1000));
}

/* ---- the page ------------------------------------------------------------------------------------------------------ */
static void write_page(page *p) {
#define HF_METRIC_COUNTER(counter, family, kind, help) counter_family(p, HF_N_##counter, family, #kind, help);
#define HF_METRIC_VALUE(id, family, kind, help)                                                                        \
    head(p, family, #kind, help);                                                                                      \
    put_##id(p, family);
#include "journal/http/metrics.def"
#undef HF_METRIC_COUNTER
#undef HF_METRIC_VALUE
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

void hf_handle_metrics(hf_request *r) {
    hf_err err;
    hf_counters counters;
    if (hf_http_counters(r->http, &counters, &err) != HF_OK) {
        hf_reply_err(r, &err);
        return;
    }
    write_page(&(page){.r = r, .out = &r->reply, .counters = &counters});
    hf_counters_done(&counters);
    r->status = 200;
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
}
