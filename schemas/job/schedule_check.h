/* Whether a schedule makes sense: the same answer for the configuration file, the API and the command line. Its JSON is
 * schemas/event/json_schedule.h's.
 *
 * *Every* error is listed, each naming the field, the limit and the remedy. The job is judged as intake would judge it
 * (schemas/job/intake.h), under "job_template."; what intake fills in stays out of the schedule, so that a later change
 * of vm_path does not meet a provider that was derived from the one before. */
#pragma once
#include "schemas/job/intake.h"
#include "schemas/job/schedule.h"

enum {
    HF_SCHEDULES_MAX = 100000, /* in a fleet: what the API takes */
    HF_SCHEDULE_RUNS_MAX = 1000000000,
};
#define HF_CATCHUP_WINDOW_MAX_MS (INT64_C(31) * 86400 * 1000)
#define HF_JITTER_MAX_MS (INT64_C(24) * 3600 * 1000)

/* Collects errors and warnings (a schedule that is never due, options of the job that nothing here acts on). The schedule stays
 * as it is. A text of {NULL, 0} among them means that memory was short. Reads the file of the time zone. */
void hf_schedule_check(const hf_schedule *schedule, int64_t now_ms, hf_arena *arena, hf_intake_errors *errors,
                       hf_intake_errors *warnings);
