#include "schemas/cron/rule.h"

#include "schemas/cron/civil.h"

typedef struct reader {
    const char *p, *end;
} reader;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool take(reader *r, char c) {
    bool there = r->p < r->end && *r->p == c;
    r->p += there;
    return there;
}

static bool take_number(reader *r, int most, int *ret) {
    int n = 0, digits = 0;
    for (; r->p < r->end && is_digit(*r->p) && digits < 3; r->p++, digits++)
        n = n * 10 + (*r->p - '0');
    *ret = n;
    return digits > 0 && n <= most;
}

/* Three letters or more, or anything of letters, digits and signs between < and >. */
static bool skip_name(reader *r) {
    bool quoted = take(r, '<');
    const char *from = r->p;
    while (r->p < r->end && (is_letter(*r->p) || (quoted && (is_digit(*r->p) || *r->p == '+' || *r->p == '-'))))
        r->p++;
    bool long_enough = r->p - from >= 3;
    return long_enough && (!quoted || take(r, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(reader *r, int most_hours, int32_t *ret) {
    bool negative = take(r, '-');
    if (!negative)
        take(r, '+');
    int hours, minutes = 0, seconds = 0;
    if (!take_number(r, most_hours, &hours))
        return false;
    if (take(r, ':') && (!take_number(r, 59, &minutes) || (take(r, ':') && !take_number(r, 59, &seconds))))
        return false;
    int32_t all = hours * HF_HOUR_S + minutes * HF_MINUTE_S + seconds;
    *ret = negative ? -all : all;
    return true;
}

static bool take_day(reader *r, hf_tz_day *day) {
    *day = (hf_tz_day){.kind = HF_TZ_ZERO_BASED, .time_s = 2 * HF_HOUR_S};
    bool ok;
    if (take(r, 'M')) {
        day->kind = HF_TZ_MONTH_WEEK;
        ok = take_number(r, 12, &day->month) && day->month >= 1 && take(r, '.') && take_number(r, 5, &day->week) &&
             day->week >= 1 && take(r, '.') && take_number(r, 6, &day->day);
    } else if (take(r, 'J')) {
        day->kind = HF_TZ_JULIAN;
        ok = take_number(r, 365, &day->day) && day->day >= 1;
    } else
        ok = take_number(r, 365, &day->day);
    return ok && (!take(r, '/') || take_time(r, 167, &day->time_s));
}

static bool take_rule(reader *r, hf_tz_rule *rule) {
    if (!skip_name(r) || !take_time(r, 24, &rule->standard_s))
        return false;
    rule->standard_s = -rule->standard_s; /* POSIX counts west */
    if (r->p == r->end)
        return true;
    rule->has_daylight = true;
    if (!skip_name(r))
        return false;
    rule->daylight_s = rule->standard_s + HF_HOUR_S;
    if (r->p < r->end && *r->p != ',') {
        if (!take_time(r, 24, &rule->daylight_s))
            return false;
        rule->daylight_s = -rule->daylight_s;
    }
    return take(r, ',') && take_day(r, &rule->to_daylight) && take(r, ',') && take_day(r, &rule->to_standard) &&
           r->p == r->end;
}

hf_code hf_tz_rule_parse(hf_str text, hf_tz_rule *ret, hf_err *reterr) {
    hf_tz_rule rule = {0};
    reader r = {text.p, text.p + text.len};
    if (!take_rule(&r, &rule))
        return hf_fail(reterr, HF_E_PARSE, "the footer is no POSIX TZ string from its byte %d on",
                       (int)(r.p - text.p) + 1);
    *ret = rule;
    return HF_OK;
}

static int64_t day_of_year(const hf_tz_day *day, int64_t year) {
    if (day->kind == HF_TZ_ZERO_BASED)
        return hf_civil_days(year, 1, 1) + day->day;
    if (day->kind == HF_TZ_JULIAN) /* never counts February 29 */
        return hf_civil_days(year, 1, 1) + day->day - 1 + (hf_civil_leap(year) && day->day >= 60);
    int64_t first = hf_civil_days(year, day->month, 1);
    int ahead = (day->day - hf_civil_weekday(first) + 7) % 7 + 7 * (day->week - 1);
    if (ahead >= hf_civil_month_days(year, day->month)) /* week 5 is the last there is */
        ahead -= 7;
    return first + ahead;
}

/* Walks the changes of the years around the instant, in order. On a tie daylight saving wins: that is how a zone says that it
 * has it all year ("XXX3EDT4,0/0,J365/23"). */
hf_zone_span hf_tz_rule_at(const hf_tz_rule *rule, int64_t unix_s) {
    if (!rule->has_daylight)
        return (hf_zone_span){INT64_MIN, INT64_MAX, rule->standard_s};
    struct change {
        int64_t at_s;
        int32_t offset_s;
    } changes[6];
    int count = 0;
    int64_t year = hf_civil_of(unix_s).year;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t back = day_of_year(&rule->to_standard, y) * HF_DAY_S + rule->to_standard.time_s - rule->daylight_s;
        int64_t forth = day_of_year(&rule->to_daylight, y) * HF_DAY_S + rule->to_daylight.time_s - rule->standard_s;
        const struct change both[2] = {{back, rule->standard_s}, {forth, rule->daylight_s}};
        for (int i = 0; i < 2; i++) {
            int at = count++;
            for (; at > 0 && changes[at - 1].at_s > both[i].at_s; at--)
                changes[at] = changes[at - 1];
            changes[at] = both[i];
        }
    }
    int next = 0;
    while (next < count && changes[next].at_s <= unix_s)
        next++;
    if (next == 0) /* only rules that lie outside their own year come here */
        return (hf_zone_span){INT64_MIN, changes[0].at_s, rule->standard_s};
    return (hf_zone_span){changes[next - 1].at_s, next < count ? changes[next].at_s : INT64_MAX,
                          changes[next - 1].offset_s};
}
