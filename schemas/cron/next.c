#include "schemas/cron/civil.h"
#include "schemas/cron/private.h"

/* Lists bounds that even a damaged zone cannot push: spans looked at for one answer, and minutes of an overlap. */
enum { SPANS_MAX = 8192, REPEATED_MAX = 3 * 24 * 60 };

static bool has(uint64_t bits, int n) { return bits >> n & 1; }

bool hf_cron_has_day(const hf_cron *cron, int64_t days) {
    hf_civil c = hf_civil_of(days * HF_DAY_S);
    bool day = has(cron->days, c.day), weekday = has(cron->weekdays, c.weekday);
    return cron->day_star || cron->weekday_star ? day && weekday : day || weekday;
}

/* The first day from `days` on that is due, no later than the end of `last_year`. */
static bool next_day(const hf_cron *cron, int64_t days, int64_t last_year, int64_t *ret) {
    for (;;) {
        hf_civil c = hf_civil_of(days * HF_DAY_S);
        if (c.year > last_year)
            return false;
        if (!has(cron->months, c.month))
            days = hf_civil_days(c.year, c.month + 1, 1);
        else if (!hf_cron_has_day(cron, days))
            days++;
        else {
            *ret = days;
            return true;
        }
    }
}

/* The first minute of a day at or after `minute` (0 to 1440), or -1. */
static int next_minute(const hf_cron *cron, int minute) {
    for (int hour = minute / 60; hour < 24; hour++) {
        uint64_t left = has(cron->hours, hour) ? cron->minutes >> minute % 60 : 0;
        if (left)
            return minute + __builtin_ctzll(left);
        minute = (hour + 1) * 60;
    }
    return -1;
}

/* On the calendar alone: the first minute that is due at or after a local time, as a local time. */
static bool next_local(const hf_cron *cron, int64_t local_s, int64_t last_year, int64_t *ret_s) {
    int64_t up = hf_floor_div(local_s + HF_MINUTE_S - 1, HF_MINUTE_S);
    int64_t days = hf_floor_div(up, 24 * 60), day;
    int minute = (int)(up - days * 24 * 60);
    for (; next_day(cron, days, last_year, &day); days = day + 1, minute = 0) {
        int due = next_minute(cron, day == days ? minute : 0);
        if (due >= 0) {
            *ret_s = day * HF_DAY_S + due * HF_MINUTE_S;
            return true;
        }
    }
    return false;
}

/* Each time on the calendar is an instant, or the one at which clocks were set over it; those that are past came twice. */
static bool next_fixed(const hf_cron *cron, const hf_zone *zone, int64_t after_s, int64_t last_year, int64_t *ret_s) {
    int64_t local = after_s + hf_zone_at(zone, after_s).offset_s;
    local = hf_floor_div(local, HF_MINUTE_S) * HF_MINUTE_S;
    for (int i = 0; i < REPEATED_MAX && next_local(cron, local, last_year, &local); i++) {
        int64_t at = hf_zone_first(zone, local);
        if (at > after_s) {
            *ret_s = at;
            return true;
        }
        local += HF_MINUTE_S;
    }
    return false;
}

/* Span by span of one offset: what the clock shows there, and nothing else. */
static bool next_shown(const hf_cron *cron, const hf_zone *zone, int64_t after_s, int64_t last_year, int64_t *ret_s) {
    int64_t from = after_s + 1, local;
    for (int i = 0; i < SPANS_MAX; i++) {
        hf_zone_span span = hf_zone_at(zone, from);
        if (!next_local(cron, from + span.offset_s, last_year, &local))
            return false;
        if (local - span.offset_s < span.end_s) {
            *ret_s = local - span.offset_s;
            return true;
        }
        from = span.end_s;
    }
    return false;
}

static bool is_never(const hf_cron *cron) {
    bool days = cron->day_star || cron->weekday_star ? cron->days && cron->weekdays : cron->days || cron->weekdays;
    return !cron->minutes || !cron->hours || !cron->months || !days;
}

static bool next_s(const hf_cron *cron, const hf_zone *zone, hf_dst_policy policy, int64_t after_s, int64_t *ret_s) {
    if (is_never(cron))
        return false;
    if (policy == HF_DST_ROBFIG)
        return hf_cron_next_robfig(cron, zone, after_s, ret_s);
    int64_t last_year = hf_civil_of(after_s + 1 + hf_zone_at(zone, after_s + 1).offset_s).year + HF_CRON_YEARS;
    return (cron->follows_clock ? next_shown : next_fixed)(cron, zone, after_s, last_year, ret_s);
}

bool hf_cron_next(const hf_cron *cron, const hf_zone *zone, hf_dst_policy policy, int64_t after_ms, int64_t *ret_ms) {
    int64_t after_s = hf_floor_div(after_ms, 1000), at_s;
    int64_t year = hf_civil_of(after_s).year;
    if (year < 0 || year > 9999)
        return false;
    if (cron->every_s > 0)
        at_s = after_s + cron->every_s;
    else if (!next_s(cron, zone, policy, after_s, &at_s))
        return false;
    *ret_ms = at_s * 1000;
    return true;
}
