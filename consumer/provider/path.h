/* The paths that jobs name: absolute ones, or file:// URLs. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/job/job.h"

/* The path as text, its URL form taken off: file:///a%20b -> /a b. INVALID when it is neither. */
hf_code hf_path_plain(hf_str path, char to[HF_MAX_PATH + 1], hf_err *reterr);
