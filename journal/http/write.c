#include "journal/http/write.h"

#include <stdio.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/metrics.h"
#include "journal/http/samples.h"
#include "journal/http/stream.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

/* tag: HTTP bit, the write's number, the item's index. */
enum { INDEX_BITS = 14, STEP_PRODUCE_MAX = 4096 };
_Static_assert(HF_HTTP_JOBS_PER_SUBMIT <= 1 << INDEX_BITS, "an index fits into the tag");

hf_write *hf_write_new(hf_request *r, uint32_t count, void (*answer)(hf_request *, hf_write *)) {
    hf_write *w = hf_alloc(sizeof *w + count * sizeof *w->items);
    if (!w)
        return NULL;
    w->request = r;
    w->count = count;
    w->answer = answer;
    r->write = w;
    const char *trace = hf_request_header(r, "traceparent");
    if (hf_trace_valid(trace))
        snprintf(w->traceparent, sizeof w->traceparent, "%s", trace);
    return w;
}

void hf_write_free(hf_write *w) {
    if (!w)
        return;
    for (uint32_t i = 0; i < w->count; i++) {
        free(w->items[i].bytes);
        free(w->items[i].plain);
    }
    hf_write_unguard(w);
    free(w);
}

void hf_write_unguard(hf_write *w) {
    hf_guard_drop(w->guard);
    w->guard = NULL;
}

void hf_write_settle(hf_write_item *item, hf_code code, const char *text) {
    item->done = true;
    item->code = code;
    snprintf(item->error, sizeof item->error, "%.*s", (int)sizeof item->error - 1, text);
}

void hf_write_put(hf_write *w, uint32_t index, const hf_record *record) {
    hf_write_item *item = &w->items[index];
    hf_err err;
    hf_buf out;
    hf_buf_init(&out, HF_MAX_RECORD);
    if (record->job_id.p != item->id) /* a cancel's id is the item's own */
        snprintf(item->id, sizeof item->id, "%.*s", HF_STR_ARG(record->job_id));
    if (hf_encode(w->request->http->options.codec, HF_SCHEMA_RECORD, record, &out, &err) != HF_OK) {
        hf_write_settle(item, err.code, err.detail);
        hf_buf_done(&out);
        return;
    }
    item->bytes = (char *)out.data;
    item->len = (uint32_t)out.len;
}

/* Copies s behind what was copied before. */
static hf_str copy_into(char **to, hf_str s) {
    if (!s.p)
        return HF_STR_NONE;
    char *at = *to;
    memcpy(at, s.p, s.len);
    *to += s.len;
    return (hf_str){at, s.len};
}

bool hf_write_put_plain(hf_write *w, uint32_t index, hf_topic topic, int32_t partition, hf_str key, hf_str value,
                        const char *type, const hf_header *headers, uint32_t header_count) {
    size_t size = sizeof(hf_write_plain) + key.len + value.len + 1;
    for (uint32_t i = 0; i < header_count; i++)
        size += headers[i].name.len + headers[i].value.len;
    hf_write_plain *p = hf_alloc(size);
    if (!p)
        return false;
    char *to = (char *)(p + 1);
    *p = (hf_write_plain){.topic = topic, .partition = partition, .type = type};
    p->key = copy_into(&to, key);
    p->value = copy_into(&to, value);
    for (; p->header_count < header_count && p->header_count < HF_ARRAY_LEN(p->headers); p->header_count++) {
        const hf_header *h = &headers[p->header_count];
        p->headers[p->header_count] = (hf_header){copy_into(&to, h->name), copy_into(&to, h->value)};
    }
    w->items[index].plain = p;
    return true;
}

void hf_write_begin(hf_write *w) {
    hf_http *http = w->request->http;
    w->deadline_ms = hf_mono_ms(http->clock) + http->write_wait_ms;
    for (uint32_t i = 0; i < w->count; i++)
        w->open += !w->items[i].done;
    if (w->open == 0) {
        hf_write_unguard(w);
        w->answer(w->request, w);
        return;
    }
    if (atomic_load(&http->stopping) || atomic_fetch_add(&http->writes_open, 1) >= HF_HTTP_WRITES_MAX) {
        atomic_fetch_sub(&http->writes_open, 1);
        hf_reply_error(w->request, 503, "%d requests wait for the log already; try again in a moment",
                       HF_HTTP_WRITES_MAX);
        return;
    }
    MHD_suspend_connection(w->request->connection); /* before the other thread can resume it */
    if (!hf_queue_push(http->writes, &w, 0)) {
        atomic_fetch_sub(&http->writes_open, 1);
        w->late = true;
        MHD_resume_connection(w->request->connection);
    }
}

/* ---- the loop's thread ------------------------------------------------------------------------------ */
int hf_http_fd(hf_http *http) { return hf_queue_fd(http->writes); }

static void produce(hf_http *http, hf_write *w, int *budget) {
    const hf_header trace = {HF_STR("traceparent"), hf_str_of(w->traceparent)};
    for (; w->sent<w->count && * budget> 0; w->sent++) {
        hf_write_item *item = &w->items[w->sent];
        if (item->done)
            continue;
        hf_err err;
        uint64_t tag = HF_HTTP_TAG_BIT | w->number << INDEX_BITS | w->sent;
        const hf_write_plain *p = item->plain;
        hf_code code =
            p ? hf_klog_produce(http->options.log, p->topic, p->partition, p->key, p->value, p->type, p->headers,
                                p->header_count, tag, &err)
              : hf_klog_produce(http->options.log, HF_TOPIC_JOB_EVENTS, -1, hf_str_of(item->id),
                                (hf_str){item->bytes, item->len}, "JobEvent", &trace, *w->traceparent != 0, tag, &err);
        if (code == HF_E_LOG_QUEUE_FULL)
            return; /* reports will make room */
        if (code != HF_OK) {
            hf_write_settle(item, code, err.detail);
            w->open--;
        }
        item->sent = true;
        --*budget;
    }
}

static void take_new(hf_http *http) {
    hf_write *w;
    while (hf_queue_pop(http->writes, &w, 0)) {
        w->number = http->next_number++;
        w->next = http->waiting;
        http->waiting = w;
    }
}

void hf_http_report(hf_http *http, uint64_t tag, const hf_report *report) {
    uint64_t number = (tag & ~HF_HTTP_TAG_BIT) >> INDEX_BITS;
    uint32_t index = (uint32_t)(tag & ((1u << INDEX_BITS) - 1));
    for (hf_write *w = http->waiting; w; w = w->next) {
        if (w->number != number || index >= w->count)
            continue;
        hf_write_item *item = &w->items[index];
        if (report->error != HF_OK) {
            hf_write_settle(item, report->error,
                            report->detail ? report->detail : "Kafka did not acknowledge the record");
            w->open--;
        } else {
            item->reported = true;
            item->position = (hf_position){report->partition, report->offset};
            if (!item->plain) /* the others are committed a few milliseconds after they are read */
                hf_follow_hurry(http->options.follow, item->position);
        }
        return;
    }
}

static void look_at_item(hf_http *http, hf_read *read, hf_write *w, hf_write_item *item) {
    hf_verdict verdict = HF_V_EMPTY;
    hf_err err;
    hf_code code = hf_lookup_verdict(http, read, hf_str_of(item->id), item->position, &verdict, &err);
    if (code != HF_OK)
        hf_write_settle(item, code, err.detail);
    else if (verdict == HF_V_ACCEPTED)
        hf_write_settle(item, HF_OK, "");
    else
        hf_write_settle(item, HF_E_REFUSED, hf_verdict_name(verdict));
    w->open--;
}

static void look_at_committed(hf_http *http, hf_write *w, hf_read **read) {
    hf_replica *replica = hf_follow_replica(http->options.follow);
    for (uint32_t i = 0; i < w->sent; i++) {
        hf_write_item *item = &w->items[i];
        hf_topic topic = item->plain ? item->plain->topic : HF_TOPIC_JOB_EVENTS;
        if (!item->reported || item->done ||
            hf_replica_committed_in(replica, topic, item->position.partition) <= item->position.offset)
            continue;
        hf_err err;
        if (item->plain) {
            hf_write_settle(item, HF_OK, "");
            w->open--;
            continue;
        }
        if (!*read && hf_read_begin_all(hf_http_store(http), read, &err) != HF_OK)
            return;
        look_at_item(http, *read, w, item);
    }
}

static void finish(hf_http *http, hf_write **at) {
    hf_write *w = *at;
    *at = w->next;
    atomic_fetch_sub(&http->writes_open, 1);
    MHD_resume_connection(w->request->connection);
}

int hf_http_step(hf_http *http) {
    int64_t now = hf_mono_ms(http->clock);
    int budget = STEP_PRODUCE_MAX, next_ms = -1;
    hf_read *read = NULL;
    atomic_store(&http->log_code, (int)hf_klog_health(http->options.log, NULL));
    take_new(http);
    for (hf_write **at = &http->waiting; *at;) {
        hf_write *w = *at;
        if (w->sent < w->count)
            produce(http, w, &budget);
        if (w->open)
            look_at_committed(http, w, &read);
        if (w->open && now >= w->deadline_ms)
            w->late = true;
        if (w->open == 0 || w->late) {
            finish(http, at);
            continue;
        }
        int left = (int)(w->deadline_ms - now) + 1;
        next_ms = next_ms < 0 || left < next_ms ? left : next_ms;
        if (w->sent < w->count)
            next_ms = 1;
        at = &w->next;
    }
    hf_read_end(read);
    int beat = hf_streams_wake(http->streams, now), sample = hf_samples_step(http->samples, http, now);
    next_ms = next_ms < 0 || (beat >= 0 && beat < next_ms) ? beat : next_ms;
    int watch = hf_watch_step(http->watch, now);
    next_ms = next_ms < 0 || (watch >= 0 && watch < next_ms) ? watch : next_ms;
    return next_ms < 0 || sample < next_ms ? sample : next_ms;
}
