/* One job without Kafka: what `hyperworker run-job FILE` calls. */
#pragma once
#include "consumer/operation/operation.h"

/* Runs `spec` in this process as that attempt of job_id, with every path allowed that `roots` allows. Progress goes to
 * stderr, the JobResult (or {"error": …}) as one JSON document to stdout. SIGINT and SIGTERM cancel the job while it runs. threads 0: as many as
 * there are cores. Returns the exit status of errors.def, 0 for success. */
int hf_operation_run_direct(hf_str job_id, int32_t attempt, const hf_spec *spec, const hf_config *config,
                            const hf_roots *roots, int threads);
