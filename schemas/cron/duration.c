#include "schemas/base/mem.h"
#include "schemas/cron/private.h"

static const uint64_t LEAST_NS = (uint64_t)1 << 63; /* the size of the least int64_t */

typedef struct reader {
    const char *p, *end;
} reader;

static bool at_digit(const reader *r) { return r->p < r->end && *r->p >= '0' && *r->p <= '9'; }

static bool take_whole(reader *r, uint64_t *ret) {
    uint64_t n = 0;
    for (; at_digit(r); r->p++) {
        if (n > LEAST_NS / 10)
            return false;
        n = n * 10 + (uint64_t)(*r->p - '0');
        if (n > LEAST_NS)
            return false;
    }
    *ret = n;
    return true;
}

/* Digits behind the point that no longer fit count for nothing. */
static double take_fraction(reader *r, uint64_t *ret_digits) {
    uint64_t n = 0;
    double scale = 1;
    for (bool full = false; at_digit(r); r->p++) {
        uint64_t more = n * 10 + (uint64_t)(*r->p - '0');
        full = full || n > (LEAST_NS - 1) / 10 || more > LEAST_NS;
        if (full)
            continue;
        n = more;
        scale *= 10;
    }
    *ret_digits = n;
    return scale;
}

static bool take_unit(reader *r, uint64_t *ret_ns) {
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
                 {"\xce\xbcs", 1000},                                         /* mu */
                 {"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};
    const char *from = r->p;
    while (r->p < r->end && *r->p != '.' && !at_digit(r))
        r->p++;
    hf_str name = {from, (uint32_t)(r->p - from)};
    for (size_t i = 0; i < HF_ARRAY_LEN(units); i++)
        if (hf_str_eqz(name, units[i].name)) {
            *ret_ns = units[i].ns;
            return true;
        }
    return false;
}

/* One number with its unit: 1h, 1.5s, .5m */
static bool take_part(reader *r, uint64_t *ret_ns) {
    uint64_t whole, digits = 0, unit;
    const char *from = r->p;
    if (!take_whole(r, &whole))
        return false;
    bool any = r->p > from;
    double scale = 1;
    if (r->p < r->end && *r->p == '.') {
        const char *point = ++r->p;
        scale = take_fraction(r, &digits);
        any = any || r->p > point;
    }
    if (!any || !take_unit(r, &unit) || whole > LEAST_NS / unit)
        return false;
    whole *= unit;
    if (digits > 0)
        whole += (uint64_t)((double)digits * ((double)unit / scale));
    *ret_ns = whole;
    return whole <= LEAST_NS;
}

bool hf_cron_duration(hf_str text, int64_t *ret_ns) {
    reader r = {text.p, text.p + text.len};
    bool negative = r.p < r.end && *r.p == '-';
    r.p += negative || (r.p < r.end && *r.p == '+');
    if (r.p == r.end)
        return false;
    if (r.end - r.p == 1 && *r.p == '0') {
        *ret_ns = 0;
        return true;
    }
    uint64_t all = 0;
    while (r.p < r.end) {
        uint64_t part;
        if (!take_part(&r, &part) || (all += part) > LEAST_NS)
            return false;
    }
    if (all == LEAST_NS && !negative)
        return false;
    *ret_ns = negative ? -(int64_t)(all - (all > 0)) - (all > 0) : (int64_t)all;
    return true;
}
