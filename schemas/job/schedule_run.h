/* The job that a run of a schedule submits: its template, named after it and marked as its own. */
#pragma once
#include "schemas/job/schedule.h"

/* Builds the submission of one run into *ret, which borrows from the schedule and lives in arena: the name (intake's where the template
 * has none) gets " (scheduled)", the schedule's tags are added, origin is "schedule:ID", scheduled_for the nominal time (0: somebody
 * triggered it). In name and output_dir, "{date}" is put as 20261122 and "{time}" as 20261122T023000Z: those of at_ms, which is the
 * nominal time of a tick, so that every dispatcher makes the same job of it. The job's id is the caller's to set:
 * hf_id_from_schedule for a tick. False without memory. */
bool hf_schedule_run(const hf_schedule *schedule, int64_t nominal_ms, int64_t at_ms, hf_arena *arena,
                     hf_submission *ret);
/* Whether every run's output has names of its own, as far as name and output_dir tell. */
bool hf_schedule_names_differ(const hf_spec *template);
