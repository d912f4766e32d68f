#include "schemas/base/clock.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static int64_t system_wall(void *self) {
    (void)self;
    return read_ms(CLOCK_REALTIME);
}
static int64_t system_mono(void *self) {
    (void)self;
    return read_ms(CLOCK_BOOTTIME);
}

const hf_clock *hf_clock_system(void) {
    static const hf_clock clock = {system_wall, system_mono, NULL};
    return &clock;
}

int64_t hf_mono_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* By hand: printf would cost an answer of a hundred jobs more than all else in it. */
static char *put_digits(char *at, int n, int count) {
    for (int i = count - 1; i >= 0; i--, n /= 10)
        at[i] = (char)('0' + n % 10);
    return at + count;
}

const char *hf_time_format(int64_t wall_ms, char text[HF_RFC3339_BYTES]) {
    int64_t ms = wall_ms % 1000, seconds = wall_ms / 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm tm;
    time_t t = (time_t)seconds;
    bool fits = gmtime_r(&t, &tm) != NULL;
    if (!fits || tm.tm_year > 8099 || tm.tm_year < -1900) { /* RFC 3339 has four digits for a year */
        snprintf(text, HF_RFC3339_BYTES, seconds < 0 ? "0000-01-01T00:00:00.000Z" : "9999-12-31T23:59:59.999Z");
        return text;
    }
    const int parts[] = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    char *at = text;
    for (int i = 0; i < 6; i++) {
        at = put_digits(at, parts[i], i == 0 ? 4 : 2);
        *at++ = "--T::."[i];
    }
    at = put_digits(at, (int)ms, 3);
    *at++ = 'Z';
    *at = 0;
    return text;
}

static bool digits(const char **p, const char *end, int count, int *ret) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (*p >= end || !isdigit((unsigned char)**p))
            return false;
        value = value * 10 + (*(*p)++ - '0');
    }
    *ret = value;
    return true;
}
static bool literal(const char **p, const char *end, const char *any_of) {
    if (*p >= end || !**p || !strchr(any_of, **p))
        return false;
    (*p)++;
    return true;
}

bool hf_time_parse(hf_str text, int64_t *ret_wall_ms) {
    const char *p = text.p, *end = text.p + text.len;
    if (text.len < 20 || text.len > 40)
        return false;
    struct tm tm = {0};
    int ms = 0, offset_minutes = 0;
    if (!digits(&p, end, 4, &tm.tm_year) || !literal(&p, end, "-") || !digits(&p, end, 2, &tm.tm_mon) ||
        !literal(&p, end, "-") || !digits(&p, end, 2, &tm.tm_mday) || !literal(&p, end, "Tt ") ||
        !digits(&p, end, 2, &tm.tm_hour) || !literal(&p, end, ":") || !digits(&p, end, 2, &tm.tm_min) ||
        !literal(&p, end, ":") || !digits(&p, end, 2, &tm.tm_sec))
        return false;
    if (p < end && *p == '.') {
        int scale = 100;
        for (p++; p < end && isdigit((unsigned char)*p); p++, scale /= 10)
            ms += (*p - '0') * scale;
        if (p[-1] == '.')
            return false;
    }
    if (p < end && (*p == '+' || *p == '-')) {
        int sign = *p++ == '-' ? -1 : 1, h, m;
        if (!digits(&p, end, 2, &h) || !literal(&p, end, ":") || !digits(&p, end, 2, &m) || h > 23 || m > 59)
            return false;
        offset_minutes = sign * (h * 60 + m);
    } else if (!literal(&p, end, "Zz"))
        return false;
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (p != end || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > days[tm.tm_mon - 1] ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    bool leap = (tm.tm_year % 4 == 0 && tm.tm_year % 100 != 0) || tm.tm_year % 400 == 0;
    if (tm.tm_mon == 2 && tm.tm_mday == 29 && !leap)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_wall_ms = ((int64_t)timegm(&tm) - offset_minutes * 60) * 1000 + ms;
    return true;
}

bool hf_duration_parse(hf_str text, int64_t *ret_ms) {
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
    const char *p = text.p, *end = text.p + text.len;
    double total = 0;
    if (text.len == 0 || text.len > 32)
        return false;
    while (p < end) {
        double value = 0, scale = 1;
        const char *start = p;
        for (; p < end && isdigit((unsigned char)*p); p++)
            value = value * 10 + (*p - '0');
        if (p < end && *p == '.')
            for (p++; p < end && isdigit((unsigned char)*p); p++)
                value += (*p - '0') * (scale /= 10);
        if (p == start)
            return false;
        size_t i = 0;
        for (; i < sizeof units / sizeof *units; i++) {
            size_t n = strlen(units[i].unit);
            if ((size_t)(end - p) >= n && memcmp(p, units[i].unit, n) == 0) {
                p += n;
                break;
            }
        }
        if (i == sizeof units / sizeof *units)
            return false;
        total += value * units[i].ms;
    }
    if (total > 1e15)
        return false;
    *ret_ms = (int64_t)(total + 0.5);
    return true;
}
