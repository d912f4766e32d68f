/* `hyperworker endpoint check NAME` and `hyperworker endpoint list`: what this worker's endpoints are, and whether they work. */
#pragma once
#include <stdbool.h>

#include "schemas/base/config.h"

/* Prints a table or JSON on stdout. verb: check (with a name) or list. The error of a failed check is in reterr, told already. */
hf_code hf_endpoint_command(const hf_config *config, const char *verb, const char *name, bool json, hf_err *reterr);
