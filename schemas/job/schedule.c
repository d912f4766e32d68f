#include "schemas/job/schedule.h"

#include "schemas/job/fields.h"

static const char *const dst_symbols[] = {"vixie", "robfig", NULL};
static const char *const overlap_symbols[] = {"skip", "buffer_one", "allow", NULL};

static const hf_field fields[] = {
    HF_STR_FIELD(hf_schedule, schedule_id, HF_ID_MAX_BYTES),
    HF_STR_FIELD(hf_schedule, name, HF_MAX_TEXT),
    HF_STR_FIELD(hf_schedule, description, HF_MAX_PATH),
    HF_STR_FIELD(hf_schedule, schedule, 256),
    HF_STR_FIELD(hf_schedule, time_zone, 64),
    HF_ENUM_FIELD(hf_schedule, dst_policy, dst_symbols),
    HF_RECORD_FIELD(hf_schedule, job_template, HF_TYPE_SPEC),
    HF_BOOL_FIELD(hf_schedule, enabled, 1),
    HF_ENUM_FIELD(hf_schedule, overlap, overlap_symbols),
    HF_I64_FIELD(hf_schedule, catchup_window_ms, HF_CATCHUP_WINDOW_DEFAULT_MS),
    HF_I64_FIELD(hf_schedule, jitter_ms, 0),
    HF_TIME_FIELD(hf_schedule, start_at),
    HF_TIME_FIELD(hf_schedule, end_at),
    HF_I64_FIELD(hf_schedule, max_runs, 0),
    HF_STRINGS_FIELD(hf_schedule, tags, HF_MAX_TAGS),
    HF_TIME_FIELD(hf_schedule, created_at),
    HF_TIME_FIELD(hf_schedule, updated_at),
    HF_STR_FIELD(hf_schedule, by, HF_MAX_TEXT),
    HF_STR_FIELD(hf_schedule, origin, 32),
};
HF_TYPE(HF_TYPE_SCHEDULE, "Schedule", hf_schedule, fields);
