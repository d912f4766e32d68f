/* Clean-up by scope, and the one place memory comes from.
 *
 * hf_auto_free char *p = …;   freed when p leaves scope
 * hf_auto_fd int fd = …;      closed when >= 0
 * return HF_TAKE(p);          hands p over: returns it and leaves NULL behind
 *
 * hf_alloc/hf_realloc return NULL when memory is short, or when a fault test said so
 * (hf_alloc_fail_after); callers turn that into HF_E_NO_MEMORY. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

void *hf_alloc(size_t size_bytes); /* zeroed */
void *hf_realloc(void *p, size_t size_bytes);
char *hf_strndup(const char *p, size_t len);
/* Fault tests: the Nth allocation from now on fails, once (0: never). Not for programs. */
void hf_alloc_fail_after(uint64_t n);

static inline void hf_free_p(void *pp) {
    void **p = pp;
    free(*p);
    *p = NULL;
}
static inline void hf_close_p(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
#define hf_auto_free __attribute__((cleanup(hf_free_p)))
#define hf_auto_fd __attribute__((cleanup(hf_close_p)))
#define hf_auto(destructor) __attribute__((cleanup(destructor)))

#define HF_TAKE(p)                                                                                                     \
    __extension__({                                                                                                    \
        __typeof__(p) taken_ = (p);                                                                                    \
        (p) = NULL;                                                                                                    \
        taken_;                                                                                                        \
    })
#define HF_ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
