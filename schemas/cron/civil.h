/* Days and dates of the proleptic Gregorian calendar. Units: days since 1970-01-01, seconds since 1970. Any year that an
 * int64_t of seconds can name; months 1-12, days 1-31, weekdays 0 (Sunday) to 6. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { HF_MINUTE_S = 60, HF_HOUR_S = 3600, HF_DAY_S = 86400 };

typedef struct hf_civil { /* what a clock on the wall shows */
    int64_t year;
    int month, day, weekday, hour, minute, second;
} hf_civil;

static inline int64_t hf_floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); } /* b > 0 */

static inline bool hf_civil_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static inline int hf_civil_month_days(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && hf_civil_leap(year));
}

/* Days until a date. Years are counted from March, so that the leap day is a year's last. A month or day beyond its range
 * means what it would if the calendar went on: month 13 is the next January, day 32 of January the first of February. */
static inline int64_t hf_civil_days(int64_t year, int64_t month, int64_t day) {
    year += hf_floor_div(month - 1, 12);
    month -= 12 * hf_floor_div(month - 1, 12);
    int64_t y = month <= 2 ? year - 1 : year, from_march = (month + 9) % 12;
    int64_t leap_days = hf_floor_div(y, 4) - hf_floor_div(y, 100) + hf_floor_div(y, 400);
    return 365 * y + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

static inline int hf_civil_weekday(int64_t days) { /* 1970-01-01 was a Thursday */
    return (int)(days + 4 - 7 * hf_floor_div(days + 4, 7));
}

static inline hf_civil hf_civil_of(int64_t local_s) {
    int64_t days = hf_floor_div(local_s, HF_DAY_S), in_day = local_s - days * HF_DAY_S;
    int64_t shifted = days + 719468, era = hf_floor_div(shifted, 146097), in_era = shifted - era * 146097;
    int64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * in_year + 2) / 153;
    int month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    return (hf_civil){.year = year_of_era + era * 400 + (month <= 2),
                      .month = month,
                      .day = (int)(in_year - (153 * from_march + 2) / 5) + 1,
                      .weekday = hf_civil_weekday(days),
                      .hour = (int)(in_day / HF_HOUR_S),
                      .minute = (int)(in_day / HF_MINUTE_S % 60),
                      .second = (int)(in_day % 60)};
}
