/* Builds proposals: one hf_record with its transitions, everything in one arena. A NULL anywhere is
 * carried along, so that a chain of calls is checked once, at its end. */
#pragma once
#include "schemas/job/job.h"

enum { HF_PROPOSAL_MAX = 4 }; /* transitions in one of a worker's proposals */

hf_record *hf_worker_propose(hf_arena *arena, hf_str job_id, int32_t attempt, hf_str by, int64_t wall_ms);
/* Adds a transition whose payload is copied as it stands (strings and pointers inside are borrowed). */
hf_record *hf_worker_propose_add(hf_arena *arena, hf_record *record, hf_event event, const void *payload);
