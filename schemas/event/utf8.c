#include "schemas/event/utf8.h"

/* Bytes of the sequence that begins at p, or 0. `left` is at least 1. */
static size_t sequence(const uint8_t *p, size_t left) {
    uint8_t a = p[0];
    if (a == 0)
        return 0;
    if (a < 0x80)
        return 1;
    size_t len = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;
    if (a < 0xc2 || a > 0xf4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (a == 0xe0 && p[1] < 0xa0) || (a == 0xf0 && p[1] < 0x90);
    bool surrogate = a == 0xed && p[1] > 0x9f;
    bool beyond = a == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : len;
}

bool hf_utf8_valid_slow(const uint8_t *p, size_t len) {
    while (len) {
        size_t n = sequence(p, len);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}
