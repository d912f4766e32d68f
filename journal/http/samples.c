#include "journal/http/samples.h"

#include "journal/http/inside.h"
#include "journal/replica/counters.h"
#include "schemas/base/mem.h"

enum { LAG_EVERY_MS = 1000, MINUTE_MS = 60000 };

struct hf_samples {
    pthread_mutex_t lock;
    hf_lag lags[HF_SAMPLES_PARTITIONS];
    size_t lag_count;
    hf_minute minutes[HF_SAMPLES_MINUTES];
    uint64_t minute_count; /* of all ever taken */
    /* the loop's thread's: */
    int64_t lag_at_ms, minute_at_ms;
};

hf_samples *hf_samples_new(void) {
    hf_samples *s = hf_alloc(sizeof *s);
    if (s) {
        pthread_mutex_init(&s->lock, NULL);
        s->lag_at_ms = s->minute_at_ms = INT64_MIN / 2;
    }
    return s;
}

void hf_samples_free(hf_samples *s) {
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void take_lags(hf_samples *s, hf_http *http) {
    hf_follow *follow = http->options.follow;
    hf_replica *replica = hf_follow_replica(follow);
    pthread_mutex_lock(&s->lock);
    s->lag_count = 0;
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        for (int32_t p = 0; s->lag_count < HF_SAMPLES_PARTITIONS; p++) {
            int64_t next = hf_replica_next_offset(replica, (hf_topic)t, p), lag = hf_follow_lag(follow, (hf_topic)t, p);
            if (next < 0 && lag < 0)
                break;
            s->lags[s->lag_count++] = (hf_lag){(hf_topic)t, p, next < 0 ? 0 : next, lag};
        }
    pthread_mutex_unlock(&s->lock);
}

static int64_t sum_of(const hf_counters *k, hf_counter counter, uint32_t first) {
    const hf_counter_family *f = hf_counter_family_of(counter);
    int64_t sum = 0;
    for (uint32_t b = 0; b < hf_dim_count(f->dims[1]); b++)
        sum += hf_counter_get(k, counter, first, b, 0);
    return sum;
}

static int64_t in_state(const hf_counters *k, hf_state state) {
    return hf_counter_get(k, HF_N_JOBS_STATE, (uint32_t)state, 0, 0);
}

static void take_minute(hf_samples *s, hf_http *http) {
    const hf_counters *k = hf_replica_counters(hf_follow_replica(http->options.follow));
    hf_minute m = {.at_ms = hf_wall_ms(http->clock),
                   .completed = sum_of(k, HF_N_JOBS_ENDED, 0),
                   .failed = sum_of(k, HF_N_JOBS_ENDED, 1),
                   .cancelled = sum_of(k, HF_N_JOBS_ENDED, 2),
                   .waiting = in_state(k, HF_S_QUEUED) + in_state(k, HF_S_RETRYING),
                   .running = in_state(k, HF_S_ASSIGNED) + in_state(k, HF_S_RUNNING) + in_state(k, HF_S_PROGRESSING)};
    for (uint32_t p = 0; p < HF_PROVIDERS; p++) {
        m.created += hf_counter_get(k, HF_N_JOBS_CREATED, p, 0, 0);
        m.bytes += hf_counter_get(k, HF_N_BYTES_EXPORTED, p, 0, 0);
    }
    pthread_mutex_lock(&s->lock);
    s->minutes[s->minute_count++ % HF_SAMPLES_MINUTES] = m;
    pthread_mutex_unlock(&s->lock);
}

int hf_samples_step(hf_samples *s, hf_http *http, int64_t now) {
    if (now - s->lag_at_ms >= LAG_EVERY_MS) {
        take_lags(s, http);
        s->lag_at_ms = now;
    }
    if (now - s->minute_at_ms >= MINUTE_MS) {
        take_minute(s, http);
        s->minute_at_ms = now;
    }
    return (int)(LAG_EVERY_MS - (now - s->lag_at_ms));
}

size_t hf_samples_lags(hf_samples *s, hf_lag *to, size_t max) {
    pthread_mutex_lock(&s->lock);
    size_t n = s->lag_count < max ? s->lag_count : max;
    memcpy(to, s->lags, n * sizeof *to);
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t hf_samples_minutes(hf_samples *s, hf_minute *to, size_t max) {
    pthread_mutex_lock(&s->lock);
    uint64_t has = s->minute_count < HF_SAMPLES_MINUTES ? s->minute_count : HF_SAMPLES_MINUTES;
    size_t n = has < max ? (size_t)has : max;
    for (size_t i = 0; i < n; i++)
        to[i] = s->minutes[(s->minute_count - n + i) % HF_SAMPLES_MINUTES];
    pthread_mutex_unlock(&s->lock);
    return n;
}
