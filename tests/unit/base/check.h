/* What every test of this layer includes: cmocka with the headers it wants first, and a few checks
 * that say more than "assertion failed". */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK_HAS(text, part)                                                                                          \
    do {                                                                                                               \
        const char *text_ = (text), *part_ = (part);                                                                   \
        if (!strstr(text_, part_))                                                                                     \
            fail_msg("\"%s\" is not in: %s", part_, text_);                                                            \
    } while (0)
#define CHECK_HAS_NOT(text, part)                                                                                      \
    do {                                                                                                               \
        const char *text_ = (text), *part_ = (part);                                                                   \
        if (strstr(text_, part_))                                                                                      \
            fail_msg("\"%s\" is in: %s", part_, text_);                                                                \
    } while (0)
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        hf_err err_ = {0};                                                                                             \
        hf_err *err = &err_;                                                                                           \
        hf_code code_ = (call);                                                                                        \
        if (code_ != HF_OK)                                                                                            \
            fail_msg("%s: %s: %s", #call, hf_code_name(code_), err->detail);                                           \
    } while (0)
