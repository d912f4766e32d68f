/* Building proposals: a record in an arena, one transition after another. All of them live as long as
 * the arena and what they borrow. NULL without memory. */
#pragma once
#include "schemas/job/job.h"

/* A record with no transition yet. */
hf_record *hf_propose(hf_arena *arena, hf_str job_id, int32_t attempt, int64_t now_ms, hf_str by);
/* Adds a transition and returns its zeroed hf_ev_… to fill in; NULL past HF_MAX_TRANSITIONS or without memory. */
void *hf_propose_add(hf_arena *arena, hf_record *record, hf_event event);
