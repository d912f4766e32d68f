/* Temporary directories and free ports of tests. Failures end the test (cmocka). */
#pragma once
#include <stddef.h>

enum { HF_TEST_PATH = 512 };

/* Makes a new directory under $TMPDIR or /tmp; `what` becomes part of its name. */
const char *hf_test_dir_make(const char *what, char path[HF_TEST_PATH]);
/* Removes it with all that is in it. */
void hf_test_dir_remove(const char *path);
/* A port on 127.0.0.1 that nobody listens on. Below the ephemeral range: in it, a client that keeps trying a
 * dead port ends up connected to itself. */
int hf_test_free_port(void);
