/* Exemplars of job durations: of each cell of the histogram the job that ended in it last, as far as this process saw. Which trace it
 * belongs to is looked up when somebody asks: in the headers of the record that made it. */
#include <ctype.h>
#include <stdio.h>

#include "journal/http/metrics.h"
#include "journal/replica/query.h"
#include "schemas/base/mem.h"

enum { LABELS_MAX = 128 /* OpenMetrics: of an exemplar's label names and values together */, TRACE_ID = 32 };

typedef struct last_job {
    int64_t at_ms, duration_ms;
    hf_position created;
    char id[HF_ID_MAX_BYTES + 1];
} last_job;

struct hf_exemplars {
    pthread_mutex_t lock; /* a leaf */
    last_job last[HF_STATUSES][HF_PROVIDERS][HF_DURATION_CELLS];
};

hf_exemplars *hf_exemplars_new(void) {
    hf_exemplars *e = hf_alloc(sizeof *e);
    if (e)
        pthread_mutex_init(&e->lock, NULL);
    return e;
}

void hf_exemplars_free(hf_exemplars *e) {
    if (!e)
        return;
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void hf_exemplars_note(hf_exemplars *e, const hf_change *change) {
    hf_counted_end end;
    if (change->verdict != HF_V_ACCEPTED || !change->record || !hf_counters_end_of(change->before, change->after, &end))
        return;
    const hf_job *job = change->after;
    pthread_mutex_lock(&e->lock);
    last_job *last = &e->last[end.status][end.provider][end.bucket];
    last->at_ms = job->finished_at;
    last->duration_ms = end.ms;
    last->created = job->created;
    snprintf(last->id, sizeof last->id, "%.*s", HF_STR_ARG(job->id));
    pthread_mutex_unlock(&e->lock);
}

/* ---- a job's trace --------------------------------------------------------------------------------------------------- */
static bool is_hex(const char *text, size_t from, size_t count) {
    bool any = false;
    for (size_t i = from; i < from + count; i++) {
        if (!isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
            return false;
        any = any || text[i] != '0';
    }
    return any;
}

bool hf_trace_valid(const char *t) {
    return t && strlen(t) == 55 && strncmp(t, "00-", 3) == 0 && is_hex(t, 3, TRACE_ID) && t[35] == '-' &&
           is_hex(t, 36, 16) && t[52] == '-' && isxdigit((unsigned char)t[53]) && isxdigit((unsigned char)t[54]);
}

static bool trace_of(const hf_log_record *record, char trace[TRACE_ID + 1]) {
    char text[64];
    for (uint32_t i = 0; i < record->header_count; i++) {
        if (!hf_str_eqz(record->headers[i].name, "traceparent") || record->headers[i].value.len >= sizeof text)
            continue;
        snprintf(text, sizeof text, "%.*s", HF_STR_ARG(record->headers[i].value));
        if (hf_trace_valid(text)) {
            snprintf(trace, TRACE_ID + 1, "%.*s", TRACE_ID, text + 3);
            return true;
        }
    }
    return false;
}

static void label(hf_http *http, hf_read *read, const last_job *last, hf_exemplar *to) {
    hf_log_record record;
    char trace[TRACE_ID + 1];
    to->value = (double)last->duration_ms / 1000;
    if (hf_query_log(hf_http_store(http), read, HF_TOPIC_JOB_EVENTS, last->created.partition, last->created.offset,
                     &record, NULL) == HF_OK &&
        trace_of(&record, trace))
        snprintf(to->labels, sizeof to->labels, "trace_id=\"%s\"", trace);
    else if (strlen("job_id") + strlen(last->id) <= LABELS_MAX)
        snprintf(to->labels, sizeof to->labels, "job_id=\"%s\"", last->id);
    else
        return;
    to->at_ms = last->at_ms;
}

void hf_exemplars_read(hf_exemplars *e, hf_http *http, hf_read *read, hf_metrics_facts *to) {
    last_job *copy = hf_alloc(sizeof e->last); /* reads are slower than the loop's thread should wait */
    if (!copy)
        return;
    pthread_mutex_lock(&e->lock);
    memcpy(copy, e->last, sizeof e->last);
    pthread_mutex_unlock(&e->lock);
    hf_exemplar *out = &to->exemplars[0][0][0];
    for (size_t i = 0; i < (size_t)HF_STATUSES * HF_PROVIDERS * HF_DURATION_CELLS; i++)
        if (copy[i].at_ms > 0)
            label(http, read, &copy[i], &out[i]);
    free(copy);
}
