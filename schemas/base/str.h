/* hf_str: a borrowed run of bytes, not NUL-terminated. It never owns; its lifetime is that of
 * the record, arena or object it points into. {NULL, 0} is the empty string. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct hf_str {
    const char *p;
    uint32_t len;
} hf_str;

#define HF_STR(literal) ((hf_str){"" literal, sizeof(literal) - 1})
/* The same as an initialiser of a static object. */
#define HF_STR_INIT(literal)                                                                                           \
    { "" literal, sizeof(literal) - 1 }
#define HF_STR_NONE ((hf_str){NULL, 0})
/* For printf: "%.*s", HF_STR_ARG(s) */
#define HF_STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline hf_str hf_str_of(const char *z) { return z ? (hf_str){z, (uint32_t)strlen(z)} : HF_STR_NONE; }
static inline bool hf_str_eq(hf_str a, hf_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
static inline bool hf_str_eqz(hf_str a, const char *z) { return hf_str_eq(a, hf_str_of(z)); }
static inline int hf_str_cmp(hf_str a, hf_str b) {
    uint32_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}
static inline bool hf_str_starts(hf_str s, hf_str with) {
    return s.len >= with.len && (with.len == 0 || memcmp(s.p, with.p, with.len) == 0);
}
static inline bool hf_str_ends(hf_str s, hf_str with) {
    return s.len >= with.len && (with.len == 0 || memcmp(s.p + s.len - with.len, with.p, with.len) == 0);
}
