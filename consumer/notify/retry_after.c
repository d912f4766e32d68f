#include "consumer/notify/retry_after.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "schemas/base/mem.h"

static const int64_t MOST_MS = 100LL * 366 * 86400 * 1000;

static hf_str trimmed(hf_str s) {
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = (hf_str){s.p + 1, s.len - 1};
    while (s.len && strchr(" \t\r\n", s.p[s.len - 1]))
        s.len--;
    return s;
}

static bool seconds(hf_str s, int64_t *ret_ms) {
    int64_t value = 0;
    for (uint32_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.p[i]))
            return false;
        if (value <= MOST_MS / 1000)
            value = value * 10 + (s.p[i] - '0');
    }
    if (s.len)
        *ret_ms = value > MOST_MS / 1000 ? MOST_MS : value * 1000;
    return s.len > 0;
}

/* Two digits of a year mean the nearest one. */
static int full_year(int two, int64_t now_wall_ms) {
    time_t now = (time_t)(now_wall_ms / 1000);
    struct tm tm;
    int this_year = gmtime_r(&now, &tm) ? tm.tm_year + 1900 : 2000;
    int year = this_year - this_year % 100 + two;
    return year > this_year + 50 ? year - 100 : year <= this_year - 50 ? year + 100 : year;
}

static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Against a pattern: letters stand for themselves, D M Y h m s for digits, N for a month's three letters, w for a day's, W for any
 * letters, _ for a blank or a digit. */
typedef struct fields {
    int day, month, year, year_digits, hour, minute, second;
} fields;

static bool month_of(hf_str s, uint32_t at, int *ret) {
    for (int i = 0; at + 3 <= s.len && i < 12; i++)
        if (!memcmp(s.p + at, months + 3 * i, 3)) {
            *ret = i + 1;
            return true;
        }
    return false;
}

static int *field_of(fields *f, char p) {
    switch (p) {
    case 'D':
    case '_': return &f->day;
    case 'Y': return &f->year;
    case 'h': return &f->hour;
    case 'm': return &f->minute;
    case 's': return &f->second;
    default: return NULL;
    }
}

static bool matches(hf_str s, const char *pattern, fields *f) {
    uint32_t at = 0;
    *f = (fields){0};
    for (const char *p = pattern; *p; p++) {
        if (*p == 'W') {
            uint32_t from = at;
            while (at < s.len && isalpha((unsigned char)s.p[at]))
                at++;
            if (at - from < 3 || at - from > 9)
                return false;
            continue;
        }
        if (*p == 'N') {
            if (!month_of(s, at, &f->month))
                return false;
            at += 3;
            continue;
        }
        if (at >= s.len)
            return false;
        int *number = field_of(f, *p);
        char c = s.p[at++];
        if (!number ? c != *p : !isdigit((unsigned char)c) && !(*p == '_' && c == ' '))
            return false;
        if (number && c != ' ')
            *number = *number * 10 + (c - '0');
        f->year_digits += *p == 'Y';
    }
    return at == s.len;
}

static bool http_date(hf_str s, int64_t now_wall_ms, int64_t *ret_wall_ms) {
    static const char *const forms[] = {
        "W, DD N YYYY hh:mm:ss GMT", /* IMF-fixdate */
        "W, DD-N-YY hh:mm:ss GMT",   /* RFC 850 */
        "W N _D hh:mm:ss YYYY",      /* asctime() */
    };
    fields f;
    size_t form = 0;
    while (form < HF_ARRAY_LEN(forms) && !matches(s, forms[form], &f))
        form++;
    if (form == HF_ARRAY_LEN(forms))
        return false;
    int year = f.year_digits == 2 ? full_year(f.year, now_wall_ms) : f.year;
    if (f.day < 1 || f.day > 31 || f.hour > 23 || f.minute > 59 || f.second > 60 || year < 1900)
        return false;
    struct tm tm = {.tm_mday = f.day,
                    .tm_mon = f.month - 1,
                    .tm_year = year - 1900,
                    .tm_hour = f.hour,
                    .tm_min = f.minute,
                    .tm_sec = f.second};
    *ret_wall_ms = (int64_t)timegm(&tm) * 1000;
    return tm.tm_mday == f.day || f.second == 60; /* not the 31st of February */
}

bool hf_retry_after_parse(hf_str text, int64_t now_wall_ms, int64_t *ret_ms) {
    hf_str s = trimmed(text);
    int64_t at;
    if (seconds(s, ret_ms))
        return true;
    if (!http_date(s, now_wall_ms, &at))
        return false;
    int64_t wait = at > now_wall_ms ? at - now_wall_ms : 0;
    *ret_ms = wait > MOST_MS ? MOST_MS : wait;
    return true;
}
