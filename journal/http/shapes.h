/* The JSON shapes of the older API (docs/reference): what HyperSDK's daemon answered, from our jobs. */
#pragma once
#include "journal/http/request.h"

/* {definition, status, progress?, result?, error?, started_at?, completed_at?, updated_at} and, beside the older fields,
 * state, attempt, worker and cancel_requested. progress may be NULL. New reference. */
json_t *hf_shape_job(const hf_job *job, const hf_progress *progress);
json_t *hf_shape_definition(const hf_job *job);
json_t *hf_shape_time(int64_t wall_ms); /* null for 0 */
json_t *hf_shape_str(hf_str s);
