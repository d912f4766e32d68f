/* Job files as people write them, JSON or YAML: one job, a list of jobs, or {"jobs": [...]}, turned into one JSON list.
 * What a single job may look like is json_submission.h's business. Bounds: HF_JOBFILE_MAX bytes, HF_JOBS_MAX jobs. */
#pragma once
#include <jansson.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum { HF_JOBFILE_MAX = 256 << 20, HF_JOBS_MAX = 1000000 };

/* *ret_jobs: a new reference, a list of at least one object. `source` is how errors name the text. */
hf_code hf_jobs_parse(hf_str text, const char *source, json_t **ret_jobs, hf_err *reterr);
/* The same from a file, or from standard input where path is "-". */
hf_code hf_jobs_read(const char *path, json_t **ret_jobs, hf_err *reterr);
