/* The pure fold: state and record in, state and verdict out. No I/O, no clock, no randomness: every
 * replica that folds the same log has the same state, and the first valid proposal in log order
 * wins (docs/adr/0001). A change of behaviour here raises HF_FOLD_VERSION, which makes journals
 * rebuild from their own copy of the log. */
#pragma once
#include "schemas/job/job.h"

enum { HF_FOLD_VERSION = 2 };

/* Folds `record`, which stands at `position`, into the job. before == NULL: no such job yet.
 * Accepted: returns HF_V_ACCEPTED and fills *after, whose strings and pointers borrow from both
 * `before` and `record` (hf_type_clone it to keep it).
 * Refused: returns the reason, *after is not touched; *ret_refused (may be NULL) is the index of
 * the transition that was refused: none of the record's transitions took effect. */
hf_verdict hf_fold(const hf_job *before, const hf_record *record, hf_position position, hf_job *after,
                   uint32_t *ret_refused);
