/* The state directory of `hyperctl dev`: made when it is not there, locked against a second fleet, removed at the end when it
 * is a temporary one. In it: a folder for each program, log/ and dev.lock. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "schemas/base/err.h"

typedef struct hf_dev_state {
    char dir[2048]; /* absolute */
    char log_dir[2100];
    bool temporary;
    int lock_fd;
} hf_dev_state;

/* dir NULL: a temporary one below $TMPDIR or /tmp. STORE_IN_USE when another fleet runs on it. */
hf_code hf_dev_state_open(const char *dir, hf_dev_state *ret, hf_err *reterr);
void hf_dev_state_close(hf_dev_state *state);
/* Writes bytes to path through a file beside it and rename(2), so a reader sees all of it or the former. */
hf_code hf_dev_write_file(const char *path, const char *bytes, size_t len, hf_err *reterr);
hf_code hf_dev_remove_tree(const char *dir, hf_err *reterr);
