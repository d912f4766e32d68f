/* A schedule: a job that is submitted again and again. What the text means is schemas/cron's. The topic is
 * compacted: the latest record of a key is the schedule, a record without a value takes it away. */
#pragma once
#include "schemas/cron/cron.h"
#include "schemas/job/job.h"

typedef enum hf_overlap { HF_OVERLAP_SKIP, HF_OVERLAP_BUFFER_ONE, HF_OVERLAP_ALLOW } hf_overlap;

enum { HF_CATCHUP_WINDOW_DEFAULT_MS = 3600 * 1000 };

typedef struct hf_schedule { /* Schedule */
    hf_str schedule_id;
    hf_str name, description;
    hf_str schedule;    /* five cron fields, @daily …, or @every 1h30m */
    hf_str time_zone;   /* IANA name; "": UTC */
    int32_t dst_policy; /* hf_dst_policy */
    hf_spec job_template;
    bool enabled;
    int32_t overlap;           /* hf_overlap */
    int64_t catchup_window_ms; /* a run missed by no more than this is made up for, once; 0: none is */
    int64_t jitter_ms;         /* each run is put off by up to this, by the same on every replica: hf_schedule_jitter */
    int64_t start_at, end_at;  /* wall ms; 0: no bound */
    int64_t max_runs;          /* 0: for ever */
    hf_list tags;              /* hf_str */
    int64_t created_at, updated_at;
    hf_str by;     /* who made this version of it */
    hf_str origin; /* "config": the configuration of hyperdispatch manages it; "": requests do */
} hf_schedule;

extern const hf_type HF_TYPE_SCHEDULE;
