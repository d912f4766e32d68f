/* hyperdispatch's shell: one thread, one poll loop, round the pure deciders. It follows job-events and workers
 * into a live replica, takes submissions in, proposes what decide.h says is due, and publishes job states.
 * Any number may run for one fleet; each keeps its replica in <state_dir>/dispatch-<id>. */
#pragma once
#include <signal.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"

typedef struct hf_dispatcher_options {
    const hf_config *config;
    const char *id;                    /* folder name; empty: host name */
    const volatile sig_atomic_t *stop; /* set by a signal handler; poll is interrupted by it */
} hf_dispatcher_options;

/* Runs until *stop, then finishes what is in flight (bounded) and leaves the group. */
hf_code hf_dispatcher_run(const hf_dispatcher_options *options, hf_err *reterr);
