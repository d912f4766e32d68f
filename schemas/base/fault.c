#include "schemas/base/fault.h"

#ifdef HF_FAULT_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void hf_fault_point(const char *name) {
    static atomic_long passes;
    const char *wanted = getenv("HF_KILL_AT");
    if (!wanted)
        return;
    size_t len = strcspn(wanted, ":");
    if (strlen(name) != len || memcmp(wanted, name, len) != 0)
        return;
    long nth = wanted[len] ? strtol(wanted + len + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&passes, 1) + 1 >= nth)
        raise(SIGKILL);
}
#else
typedef int hf_fault_points_are_off; /* an empty translation unit is not allowed */
#endif
