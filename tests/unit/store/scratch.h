/* A directory for one test, gone at its end. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/store/store.h"

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        hf_err e_ = {0};                                                                                               \
        hf_err *err = &e_;                                                                                             \
        if ((call) != HF_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(e_.code), e_.detail);                                           \
    } while (0)

/* cmocka set-up and tear-down: *state is the path. */
int scratch_make(void **state);
int scratch_remove(void **state);
/* Copies `dir`/name into text. */
const char *scratch_path(void **state, const char *name, char text[512]);

hf_store *scratch_store(void **state, const hf_store_options *options);
/* Puts keys 0..count-1 of INTEGER table with `value` of `bytes` 'v's each, in one batch, from key `first`. */
hf_code scratch_fill(hf_store *store, hf_table table, uint64_t first, uint64_t count, uint32_t bytes, hf_err *reterr);
uint64_t scratch_count(hf_store *store, hf_table table);
