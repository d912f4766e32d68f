/* The pure intake: a submission in, one proposal out. The dispatcher and the sidecar call the same
 * function, so a job means the same whichever way it came.
 *
 * It fills what was left out (provider from the text of vm_path alone, format, policy), checks
 * every bound, and lists *every* error it finds, each naming the field, the limit and the remedy.
 * Valid: Created + Validated + Queued in one record. Invalid: Created + Rejected{errors}. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/job/job.h"

typedef struct hf_intake_errors {
    hf_str text[HF_MAX_ERRORS]; /* in the arena */
    uint32_t count;             /* of all found; beyond the bound only counted */
} hf_intake_errors;

/* Normalises *spec in place (strings into arena) and collects errors and warnings (named options that
 * nothing here acts on). A field that cannot stand in a record (not UTF-8, control characters, over its bound, or
 * something that looks like a secret) is emptied besides, so that a rejected job's record holds none of it. A text of
 * {NULL, 0} among the errors means that memory was short. */
void hf_intake_check(hf_spec *spec, hf_arena *arena, hf_intake_errors *errors, hf_intake_errors *warnings);

/* Builds the proposal for `submission` as job `job_id`. `submission_at` names where it came from ("" for
 * HTTP). Everything in *ret_record borrows from submission or lives in arena. *ret_errors (may be NULL)
 * says what was wrong; the record is then Created + Rejected. Fails without memory, and with INVALID where job_id is
 * none (hf_id_valid): no record of such a job could ever be folded. */
hf_code hf_intake(hf_submission *submission, hf_str job_id, hf_str submission_at, hf_str by, int64_t now_ms,
                  hf_arena *arena, hf_record *ret_record, hf_intake_errors *ret_errors, hf_err *reterr);

/* "local" where vm_path begins with file:// or ends in an image's extension (case-insensitive), else "vsphere". */
hf_str hf_intake_provider_of(hf_str vm_path);
