/* Metrics of this process: HTTP, the store, and what the kernel says of it. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "journal/http/metrics.h"
#include "journal/http/stream_inside.h"

/* ---- HTTP ---------------------------------------------------------------------------------------------------------- */
static const char *route_labels(int route, char text[192]) {
    bool known = route < HF_ROUTE_COUNT;
    snprintf(text, 192, "method=\"%s\",endpoint=\"%s\"", known ? HF_ROUTES[route].method : "other",
             known ? HF_ROUTES[route].path : "other");
    return text;
}

void hf_metrics_put_api_requests(hf_metrics_page *p, const char *family) {
    char route_text[192], labels[224];
    for (int route = 0; route <= HF_ROUTE_COUNT; route++)
        for (int status = 100; status < HF_STATUS_CLASSES; status++) {
            unsigned long long n = atomic_load(&p->http->stats[route].by_status[status]);
            if (!n)
                continue;
            snprintf(labels, sizeof labels, "%s,status_code=\"%d\"", route_labels(route, route_text), status);
            hf_metrics_int(p, family, "", labels, (int64_t)n);
        }
}

void hf_metrics_put_api_durations(hf_metrics_page *p, const char *family) {
    char labels[192];
    for (int route = 0; route <= HF_ROUTE_COUNT; route++) {
        hf_route_stats *s = &p->http->stats[route];
        unsigned long long so_far = 0, in[HF_HTTP_BUCKETS + 1], total = 0;
        for (int i = 0; i <= HF_HTTP_BUCKETS; i++)
            total += in[i] = atomic_load(&s->buckets[i]);
        if (!total)
            continue;
        route_labels(route, labels);
        for (int i = 0; i <= HF_HTTP_BUCKETS; i++)
            hf_metrics_bucket(p, family, labels, i < HF_HTTP_BUCKETS ? HF_HTTP_BUCKET_SECONDS[i] : INFINITY,
                              (int64_t)(so_far += in[i]), NULL);
        hf_metrics_float(p, family, "_sum", labels, (double)atomic_load(&s->sum_us) / 1e6);
        hf_metrics_int(p, family, "_count", labels, (int64_t)total);
    }
}

void hf_metrics_put_writes_waiting(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", atomic_load(&p->http->writes_open));
}

void hf_metrics_put_streams(hf_metrics_page *p, const char *family) {
    hf_streams *s = p->http->streams;
    pthread_mutex_lock(&s->lock);
    uint32_t n = s->count;
    pthread_mutex_unlock(&s->lock);
    hf_metrics_int(p, family, "", "", n);
}

void hf_metrics_put_rate_limited(hf_metrics_page *p, const char *family) {
    unsigned long long n = 0;
    for (int route = 0; route <= HF_ROUTE_COUNT; route++)
        n += atomic_load(&p->http->stats[route].by_status[429]);
    hf_metrics_int(p, family, "", "", (int64_t)n);
}

void hf_metrics_put_cut(hf_metrics_page *p, const char *family) {
    const hf_watch *watch = p->http->watch;
    hf_metrics_int(p, family, "", "phase=\"head\"", (int64_t)hf_watch_cut(watch, HF_WATCH_HEAD));
    hf_metrics_int(p, family, "", "phase=\"body\"", (int64_t)hf_watch_cut(watch, HF_WATCH_BODY));
    hf_metrics_int(p, family, "", "phase=\"answer\"", (int64_t)hf_watch_cut(watch, HF_WATCH_ANSWER));
}

void hf_metrics_put_log_up(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", atomic_load(&p->http->log_code) == HF_OK);
}

/* ---- the store ------------------------------------------------------------------------------------------------------ */
void hf_metrics_put_store_used(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.used_bytes);
}
void hf_metrics_put_store_map(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.map_bytes);
}
void hf_metrics_put_store_map_max(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.map_max_bytes);
}
void hf_metrics_put_store_free(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.free_bytes);
}
void hf_metrics_put_store_readers(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.readers);
}
void hf_metrics_put_store_commits(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", (int64_t)p->facts->store.commits);
}
void hf_metrics_put_store_commit_time(hf_metrics_page *p, const char *family) {
    hf_metrics_float(p, family, "", "", (double)p->facts->store.commit_ns / 1e9);
}

/* ---- the process ------------------------------------------------------------------------------------------------------ */
void hf_metrics_put_build_info(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "version=\"" HF_VERSION "\",compiler=\"" __VERSION__ "\"", 1);
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

void hf_metrics_put_cpu(hf_metrics_page *p, const char *family) {
    struct rusage used = {0};
    getrusage(RUSAGE_SELF, &used);
    hf_metrics_float(p, family, "", "", seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
}

static void read_pages(long *ret_virtual, long *ret_resident) {
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld %ld", ret_virtual, ret_resident) != 2)
        *ret_virtual = *ret_resident = 0;
    if (f)
        fclose(f);
}

void hf_metrics_put_resident(hf_metrics_page *p, const char *family) {
    long all, resident;
    read_pages(&all, &resident);
    hf_metrics_int(p, family, "", "", (int64_t)resident * sysconf(_SC_PAGESIZE));
}

void hf_metrics_put_virtual(hf_metrics_page *p, const char *family) {
    long all, resident;
    read_pages(&all, &resident);
    hf_metrics_int(p, family, "", "", (int64_t)all * sysconf(_SC_PAGESIZE));
}

void hf_metrics_put_open_fds(hf_metrics_page *p, const char *family) {
    int64_t n = -3; /* . and .., and the one that reads it */
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    hf_metrics_int(p, family, "", "", n > 0 ? n : 0);
}

void hf_metrics_put_max_fds(hf_metrics_page *p, const char *family) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    hf_metrics_float(p, family, "", "", limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur);
}

void hf_metrics_put_started(hf_metrics_page *p, const char *family) {
    hf_metrics_int(p, family, "", "", p->http->started_wall_ms / 1000);
}
