/* hyperhook's shell: one thread, one poll loop, round the pure core (decide.h). It follows job-events into a live replica, webhooks,
 * webhook-deliveries and progress; keeps what must be told in its outbox (outbox.h), in one batch with the offsets; sends for the partitions of
 * job-events that the group `hook` gives it; and writes what came of it to webhook-deliveries, which all hooks read back.
 * Any number may run for one fleet; each keeps its replica in <state_dir>/hook-<id>. */
#pragma once
#include <signal.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"

typedef struct hf_hook_options {
    const hf_config *config;
    const char *id;                    /* folder name; empty: host name */
    const volatile sig_atomic_t *stop; /* set by a signal handler; poll is interrupted by it */
} hf_hook_options;

/* Runs until *stop, then waits (bounded) for what is under way and leaves the group. */
hf_code hf_hook_run(const hf_hook_options *options, hf_err *reterr);
