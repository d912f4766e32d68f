/* What `hyperjournal run` does: follow the log into the store, and serve HTTP from it. One thread, one poll loop. */
#pragma once
#include <signal.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"

/* Runs on the journal in `dir` until *stop, then commits what is folded. */
hf_code hf_serve_run(const hf_config *config, const char *dir, const volatile sig_atomic_t *stop, hf_err *reterr);
