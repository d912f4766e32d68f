/* What the loop's thread knows and requests want: how far behind each partition is (taken once a second), and the counters by the minute
 * for a day back, as far as this process has run. Reading is for any thread. */
#pragma once
#include "journal/http/server.h"

enum { HF_SAMPLES_PARTITIONS = 4096, HF_SAMPLES_MINUTES = 1440 };

typedef struct hf_lag {
    hf_topic topic;
    int32_t partition;
    int64_t next, lag; /* lag -1: not known */
} hf_lag;

typedef struct hf_minute {
    int64_t at_ms; /* the counters as of then */
    int64_t created, completed, failed, cancelled, bytes, waiting, running;
} hf_minute;

typedef struct hf_samples hf_samples;
hf_samples *hf_samples_new(void); /* NULL without memory */
void hf_samples_free(hf_samples *samples);
/* The loop's thread, often. Returns ms until it wants to be called again. */
int hf_samples_step(hf_samples *samples, hf_http *http, int64_t mono_ms);
/* Copies at most `max`; how many. */
size_t hf_samples_lags(hf_samples *samples, hf_lag *to, size_t max);
size_t hf_samples_minutes(hf_samples *samples, hf_minute *to, size_t max); /* oldest first */
