/* GET /api/v1/partitions, /api/v1/statistics, /api/v1/events: the fleet as a whole. (Workers: ../system.c.) */
#include "journal/http/samples.h"
#include "journal/http/stream.h"
#include "journal/http/v1/v1.h"
#include "journal/replica/counters.h"
#include "schemas/base/mem.h"

void hf_handle_v1_partitions(hf_request *r) {
    hf_lag *lags = hf_alloc(HF_SAMPLES_PARTITIONS * sizeof *lags);
    size_t n = lags ? hf_samples_lags(r->http->samples, lags, HF_SAMPLES_PARTITIONS) : 0;
    json_t *items = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_pack("{s:s, s:i, s:I}", "topic", hf_topic_suffix(lags[i].topic), "partition",
                              lags[i].partition, "next_offset", (json_int_t)lags[i].next);
        if (lags[i].lag >= 0)
            json_object_set_new(o, "lag", json_integer(lags[i].lag));
        json_array_append_new(items, o);
    }
    free(lags);
    hf_reply_json(r, 200, json_pack("{s:o}", "items", items));
}

/* ---- statistics ------------------------------------------------------------------------------------------------- */
/* Of jobs that ended so: how many, and how long they took. */
static json_t *ended(const hf_counters *k, uint32_t status) {
    uint32_t buckets = hf_dim_count(HF_D_B_SECONDS);
    json_int_t count = 0, total_ms = 0;
    for (uint32_t p = 0; p < HF_PROVIDERS; p++) {
        count += hf_counter_get(k, HF_N_JOBS_ENDED, status, p, 0);
        total_ms += hf_counter_get(k, HF_N_DURATION, status, p, buckets - 1);
    }
    return json_pack("{s:I, s:f, s:f}", "count", count, "total_seconds", (double)total_ms / 1000, "average_seconds",
                     count ? (double)total_ms / 1000 / (double)count : 0.0);
}

static json_t *providers(const hf_counters *k) {
    json_t *o = json_object();
    char label[32];
    for (uint32_t p = 0; p < HF_PROVIDERS; p++) {
        json_int_t created = hf_counter_get(k, HF_N_JOBS_CREATED, p, 0, 0);
        if (created)
            json_object_set_new(o, hf_dim_label(HF_D_PROVIDER, p, label),
                                json_pack("{s:I, s:I}", "jobs_created", created, "bytes_exported",
                                          (json_int_t)hf_counter_get(k, HF_N_BYTES_EXPORTED, p, 0, 0)));
    }
    return o;
}

static json_t *minutes(hf_samples *samples) {
    hf_minute *m = hf_alloc(HF_SAMPLES_MINUTES * sizeof *m);
    size_t n = m ? hf_samples_minutes(samples, m, HF_SAMPLES_MINUTES) : 0;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        char at[HF_RFC3339_BYTES];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "at",
                                              hf_time_format(m[i].at_ms, at), "created", (json_int_t)m[i].created,
                                              "completed", (json_int_t)m[i].completed, "failed",
                                              (json_int_t)m[i].failed, "cancelled", (json_int_t)m[i].cancelled,
                                              "bytes_exported", (json_int_t)m[i].bytes, "waiting",
                                              (json_int_t)m[i].waiting, "running", (json_int_t)m[i].running));
    }
    free(m);
    return list;
}

void hf_handle_v1_statistics(hf_request *r) {
    hf_err err;
    hf_counters k;
    if (hf_http_counters(r->http, &k, &err) != HF_OK) {
        hf_reply_err(r, &err);
        return;
    }
    json_t *states = json_object();
    for (uint32_t s = 0; s < HF_STATE_COUNT; s++)
        json_object_set_new(states, hf_state_name((hf_state)s),
                            json_integer(hf_counter_get(&k, HF_N_JOBS_STATE, s, 0, 0)));
    json_t *o = json_pack("{s:o, s:{s:o, s:o, s:o}, s:o, s:I}", "jobs_by_state", states, "ended", "completed",
                          ended(&k, 0), "failed", ended(&k, 1), "cancelled", ended(&k, 2), "providers", providers(&k),
                          "jobs_deleted", (json_int_t)hf_counter_get(&k, HF_N_JOBS_DELETED, 0, 0, 0));
    hf_counters_done(&k);
    json_object_set_new(o, "minutes", minutes(r->http->samples));
    hf_reply_json(r, 200, o);
}

/* ---- the log, live -------------------------------------------------------------------------------------------------- */
void hf_handle_v1_events(hf_request *r) {
    const char *last = hf_request_header(r, "Last-Event-ID");
    hf_streams_open_fleet(r->http->streams, r, last ? last : hf_request_text(r, HF_P_LAST_ID));
}
