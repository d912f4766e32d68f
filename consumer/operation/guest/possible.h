/* Whether this worker can run guest operations. */
#pragma once
#include <stdbool.h>

/* Whether libguestfs and what it needs (an appliance can be built: kernel, supermin or a fixed one; qemu) are here. Cheap: nothing is started.
 * *ret_why (static text, "" if it can) may be NULL. A build without libguestfs says so. */
bool hf_guest_possible(const char **ret_why);
