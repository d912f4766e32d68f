/* A schedule as people write it, in JSON (or YAML turned into it): in the configuration file, in the bodies of /schedules and
 * /api/v1/schedules, and for `hyperctl schedule add -f`. HyperSDK's ScheduledJob is one of these, its members keep their names:
 *
 *   {"id", "schedule", "job_template": a job of any shape json_submission.h reads, "name"?, "description"?, "enabled"?, "tags"?,
 *    "time_zone"?, "dst_policy"?: "vixie" | "robfig", "overlap"?: "skip" | "buffer_one" | "allow", "catchup_window"?, "jitter"?:
 *    "1h30m" or seconds, "start_at"?, "end_at"?: RFC 3339, "max_runs"?}
 *
 * created_at, updated_at, by, next_run, last_run, run_count and what else an answer of ours has besides are passed over, so that
 * an answer can be sent back changed. Whether the schedule makes sense is hf_schedule_check's to say. */
#pragma once
#include <jansson.h>

#include "schemas/base/err.h"
#include "schemas/job/schedule_check.h"

enum {
    HF_SCHEDULE_LENIENT =
        1, /* unknown members are warnings, not errors; null and "" are as good as absent: as on the older paths */
};

/* Reads what is given over *schedule: for a new one, hf_type_init(&HF_TYPE_SCHEDULE, …) it first; over an existing one, members that
 * are absent stay as they are, null sets back to what absence means, and job_template is replaced as a whole. Strings are copied into
 * arena. Every member that cannot be read is one error, by name. Fails with SECRET (the whole of it is refused, the value never
 * reaches the error), INVALID where json is no object, and NO_MEMORY. */
hf_code hf_schedule_from_json(const json_t *json, unsigned flags, hf_arena *arena, hf_schedule *schedule,
                              hf_intake_errors *errors, hf_intake_errors *warnings, hf_err *reterr);
/* Both at once, hf_schedule_from_json and then hf_schedule_check: every error of either, but none about a member that could not even
 * be read. OK with errors->count > 0 where there are some. */
hf_code hf_schedule_read(const json_t *json, unsigned flags, int64_t now_ms, hf_arena *arena, hf_schedule *schedule,
                         hf_intake_errors *errors, hf_intake_errors *warnings, hf_err *reterr);
/* The same members out: what hf_schedule_from_json makes the same schedule of, with created_at, updated_at and by. Durations as
 * "1h30m". New reference; NULL without memory. */
json_t *hf_schedule_json(const hf_schedule *schedule);
/* A job's specification as json_submission.h reads it: what intake derived and notes of its own are left out. New reference. */
json_t *hf_spec_json(const hf_spec *spec);

#define HF_SPAN_BYTES 32
/* "1h30m", "90s" as hf_duration_parse reads it; "0s" for nothing. Whole milliseconds, not negative. */
const char *hf_span_format(int64_t ms, char text[HF_SPAN_BYTES]);
