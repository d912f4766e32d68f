/* Text on the wire is UTF-8 (RFC 3629) without NUL: other languages' readers stop at anything else, and a NUL
 * would end a path early in C. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* True where all of it may be text; overlong forms, surrogates and code points past U+10FFFF are not. */
bool hf_utf8_valid_slow(const uint8_t *p, size_t len);

/* Nearly all text is ASCII: eight bytes at a time, the last eight overlapping. */
static inline bool hf_utf8_valid(const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    if (len < 8) {
        for (size_t i = 0; i < len; i++)
            if (p[i] == 0 || p[i] > 0x7f)
                return hf_utf8_valid_slow(p, len);
        return true;
    }
    uint64_t odd = 0, word;
    for (size_t i = 0; i + 8 < len; i += 8) {
        memcpy(&word, p + i, 8);
        odd |= word | (word - ones);
    }
    memcpy(&word, p + len - 8, 8);
    odd |= word | (word - ones);
    return (odd & tops) == 0 || hf_utf8_valid_slow(p, len);
}
