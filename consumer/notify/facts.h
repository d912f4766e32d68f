/* What an accepted record of job-events says that a webhook may want to know. Pure. */
#pragma once
#include "schemas/job/job.h"
#include "schemas/webhook/payload.h"

enum { HF_FACTS_MAX = 8 }; /* of one record */

/* `after` is the job as the record left it. Texts borrow from record and job; lists and JSON are in arena. Returns how many. */
uint32_t hf_facts_of(const hf_record *record, const hf_job *after, hf_arena *arena, hf_webhook_facts ret[HF_FACTS_MAX]);
/* job.progress. */
hf_webhook_facts hf_facts_of_progress(const hf_progress *progress, const hf_job *job);
