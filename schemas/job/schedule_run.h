/* The job that a run of a schedule submits: its template, named after it and marked as its own. */
#pragma once
#include "schemas/job/schedule.h"

/* Builds the submission of one run into *ret, which borrows from the schedule and lives in arena: the name (intake's where the template
 * has none) gets " (scheduled)", the schedule's tags are added, origin is "schedule:ID", scheduled_for the nominal time (0: somebody
 * triggered it). The job's id is the caller's to set: hf_id_from_schedule for a tick. False without memory. */
bool hf_schedule_run(const hf_schedule *schedule, int64_t nominal_ms, hf_arena *arena, hf_submission *ret);
