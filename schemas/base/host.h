/* Allocation-light helpers every program's main() shares. */
#pragma once
#include "schemas/base/config.h"
#include "schemas/base/err.h"

/* "hyperworker@host/0190…": who writes a record. text is NUL-terminated; cut at size. */
void hf_producer_name(const char *program, const char *incarnation, char *text, size_t size);
/* Host name without domain, [A-Za-z0-9.-] only, never empty. */
const char *hf_host_name(char *text, size_t size);
/* mkdir -p with mode; errors name the part that failed. */
hf_code hf_make_dirs(const char *path, unsigned mode, hf_err *reterr);
