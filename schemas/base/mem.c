#include "schemas/base/mem.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic uint64_t fail_after; /* 0: never; 1: the next one fails */

void hf_alloc_fail_after(uint64_t n) { atomic_store(&fail_after, n); }

static int must_fail(void) {
    uint64_t left = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (left == 0)
        return 0;
    atomic_store(&fail_after, left - 1);
    return left == 1;
}

void *hf_alloc(size_t size_bytes) { return must_fail() ? NULL : calloc(1, size_bytes ? size_bytes : 1); }

void *hf_realloc(void *p, size_t size_bytes) { return must_fail() ? NULL : realloc(p, size_bytes); }

char *hf_strndup(const char *p, size_t len) {
    char *copy = hf_alloc(len + 1);
    if (copy && len)
        memcpy(copy, p, len);
    return copy;
}
