/* A journal in one file, and back. */
#pragma once
#include "schemas/base/err.h"

/* A consistent, compacted copy of the journal in `dir` into the new file `path`, while it goes on. */
hf_code hf_snapshot(const char *dir, const char *path, hf_err *reterr);
/* Puts a snapshot into `dir`, which must not hold a journal yet (EXISTS). Looked at before it is put in place. */
hf_code hf_restore(const char *path, const char *dir, hf_err *reterr);
