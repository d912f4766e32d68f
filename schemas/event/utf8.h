/* Text on the wire is UTF-8 (RFC 3629) without NUL: other languages' readers stop at anything else, and a NUL
 * would end a path early in C. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* True where all of it may be text; overlong forms, surrogates and code points past U+10FFFF are not. */
bool hf_utf8_valid_slow(const uint8_t *p, size_t len);

/* Nearly all text is ASCII: a word at a time, the last word overlapping the one before. */
static inline bool hf_utf8_valid(const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t odd = 0, word;
    if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(&word, p + i, 8);
            odd |= word | (word - ones);
        }
        memcpy(&word, p + len - 8, 8);
        odd |= word | (word - ones);
    } else if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + len - 4, 4);
        word = (uint64_t)first << 32 | last;
        odd = word | (word - ones);
    } else if (len) {
        word = ones << 24 | (uint64_t)p[0] << 16 | (uint64_t)p[len >> 1] << 8 | p[len - 1];
        odd = word | (word - ones);
    }
    return __builtin_expect((odd & tops) == 0, 1) || hf_utf8_valid_slow(p, len);
}
