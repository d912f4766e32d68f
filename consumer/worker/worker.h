/* hyperworker's shell: one thread, one poll loop, round the pure core (decide.h). It follows job-events, workers and
 * controls into a live replica in <state_dir>/worker-<id> (whose lock makes it the only worker of that id on this
 * machine), produces what the core proposes, and passes jobs to its runners.
 * SIGTERM or SIGINT drain; a second one stops at once: what ran is then given to others when the lease ends, or by the
 * next start of this worker. */
#pragma once
#include "schemas/base/config.h"
#include "schemas/base/err.h"

typedef struct hf_worker_run_options {
    const hf_config *config;
    char *const *runner_arguments; /* configuration options of the command line, for the runners */
    bool any_root;                 /* dev: paths are not confined where no roots are configured */
} hf_worker_run_options;

/* Blocks SIGTERM, SIGINT and SIGHUP for this and all later threads: call it before any thread is made. */
void hf_worker_block_signals(void);
/* Runs until it has drained or was told to stop at once (BUSY when that left work undone). */
hf_code hf_worker_run(const hf_worker_run_options *options, hf_err *reterr);
