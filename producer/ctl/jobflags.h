/* One job from the flags of `hyperctl submit`, in the JSON of job files (schemas/event/json_submission.h). */
#pragma once
#include <jansson.h>

#include "producer/ctl/args.h"

/* *ret_job: a new reference. Relative local paths are completed with `cwd`; `user` is requested_by unless a flag says
 * another (NULL: left out). USAGE names the flag, its value and what would do. */
hf_code hf_job_from_args(const hf_args *args, const char *cwd, const char *user, json_t **ret_job, hf_err *reterr);
/* Was any flag given that describes a job? (Those and -f exclude each other.) Its name, or NULL. */
const char *hf_job_flag_given(const hf_args *args);
