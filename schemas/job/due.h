/* When a schedule is due. Its *nominal* times are what its text says, on the calendar or every so often; each run is put off by the
 * schedule's own delay (jitter), always the same, so that runs keep their order and distance and all replicas agree.
 * `@every` counts from the schedule's created_at, so a restart, a change of something else, or another replica does not shift it.
 * Pure but for reading a zone's file once (hf_zones). Wall ms throughout. */
#pragma once
#include "schemas/cron/zones.h"
#include "schemas/job/schedule.h"

typedef struct hf_due { /* a schedule's times, read once */
    hf_cron cron;
    const hf_zone *zone; /* of hf_zones; NULL: UTC */
    hf_dst_policy dst_policy;
    int64_t origin;           /* what @every counts from */
    int64_t delay_ms;         /* from a nominal time to its run: 0 .. jitter_ms */
    int64_t start_at, end_at; /* nominal times are within, both included; 0: no bound */
} hf_due;

/* INVALID: the text or the zone's name is none, a number is negative; NOT_FOUND: no such zone here. */
hf_code hf_due_of(const hf_schedule *schedule, hf_zones *zones, hf_due *ret, hf_err *reterr);
/* The first nominal time that is strictly later than `after_ms`; false: never again. */
bool hf_due_next(const hf_due *due, int64_t after_ms, int64_t *ret_ms);
/* 0 .. jitter_ms, by the id alone: spread over schedules, the same for each run of one. */
int64_t hf_due_delay_ms(hf_str schedule_id, int64_t jitter_ms);

/* "schedule:ID" as a job's spec.origin: the schedule it is a run of. False: it is of none. */
bool hf_origin_schedule(hf_str origin, hf_str *ret_id);
