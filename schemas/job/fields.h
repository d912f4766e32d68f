/* How a row of a field table is written: for the .c files that define an hf_type, and nobody else. */
#pragma once
#include "schemas/base/type.h"

#define HF_TYPE(var, name_, struct_, fields_)                                                                          \
    const hf_type var = {name_, sizeof(struct_), (uint32_t)(sizeof(fields_) / sizeof *(fields_)), fields_}
#define HF_FIELD(s, f, name_, kind_) .name = name_, .kind = HF_K_##kind_, .offset = (uint32_t)offsetof(s, f)
#define HF_STR_FIELD(s, f, max_)                                                                                       \
    { HF_FIELD(s, f, #f, STR), .max = max_ }
#define HF_BOOL_FIELD(s, f, def_)                                                                                      \
    { HF_FIELD(s, f, #f, BOOL), .def = def_ }
#define HF_I32_FIELD(s, f, def_)                                                                                       \
    { HF_FIELD(s, f, #f, I32), .def = def_ }
#define HF_I64_FIELD(s, f, def_)                                                                                       \
    { HF_FIELD(s, f, #f, I64), .def = def_ }
#define HF_TIME_FIELD(s, f)                                                                                            \
    { HF_FIELD(s, f, #f, TIME) }
#define HF_ENUM_FIELD(s, f, symbols_)                                                                                  \
    { HF_FIELD(s, f, #f, ENUM), .symbols = symbols_ }
#define HF_RECORD_FIELD(s, f, sub_)                                                                                    \
    { HF_FIELD(s, f, #f, RECORD), .sub = &sub_ }
#define HF_STRINGS_FIELD(s, f, max_)                                                                                   \
    { HF_FIELD(s, f, #f, LIST), .max = max_ }
