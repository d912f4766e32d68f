/* A POSIX TZ string, the footer of a TZif file: standard time and, where there is one, daylight saving with the two rules of a
 * year. Source: POSIX.1-2024 8.3, with RFC 9636 3.3.1's hours from -167 to 167. Private to schemas/cron. */
#pragma once
#include "schemas/cron/zone.h"

typedef struct hf_tz_day {
    enum { HF_TZ_JULIAN, HF_TZ_ZERO_BASED, HF_TZ_MONTH_WEEK } kind; /* Jn, n, Mm.w.d */
    int day, week, month;
    int32_t time_s; /* of the day, on the clock that is in force before */
} hf_tz_day;

typedef struct hf_tz_rule {
    int32_t standard_s, daylight_s; /* east of Greenwich */
    bool has_daylight;
    hf_tz_day to_daylight, to_standard;
} hf_tz_rule;

hf_code hf_tz_rule_parse(hf_str text, hf_tz_rule *ret, hf_err *reterr);
hf_zone_span hf_tz_rule_at(const hf_tz_rule *rule, int64_t unix_s);
