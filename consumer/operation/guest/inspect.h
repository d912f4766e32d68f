/* What inspect says of the guest, where the job's parameters have "guest": true. */
#pragma once
#include "consumer/operation/builtin.h"

/* Looks into the disks of run->spec, read-only, through the appliance; the result's report is hf_guest_run's, with the guest's description and the
 * readiness verdict in its "guest". */
hf_code hf_guest_inspect(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);
