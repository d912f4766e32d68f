/* A program run to its end for what it says: bounded in time and output, cancelled with the job. */
#pragma once
#include "consumer/operation/child.h"
#include "consumer/pipeline/flow.h"
#include "schemas/base/buf.h"

/* Runs it and puts what it writes to stdout into *out and to stderr into *errors (both: up to their bounds, the rest is dropped; NULL: dropped). stdin is
 * empty. *ret_status: its wait status. CANCELLED, or TIMEOUT after `seconds`: then it is killed, with its group. */
hf_code hf_child_output(const hf_child_options *options, int seconds, const hf_flow *flow, hf_buf *out, hf_buf *errors,
                        int *ret_status, hf_err *reterr);
