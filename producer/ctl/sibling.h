/* The other programs of Hyperfleet, found next to this one. */
#pragma once
#include <stddef.h>

#include "schemas/base/err.h"

/* Path of `program` in the directory of /proc/self/exe. NOT_BUILT names it when it is not there. */
hf_code hf_sibling_path(const char *program, char *ret_path, size_t size, hf_err *reterr);
/* Replaces this process; returns only on failure. arguments: NULL-terminated, without the program's name. */
hf_code hf_sibling_exec(const char *program, char *const *arguments, hf_err *reterr);
