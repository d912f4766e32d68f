/* What the text of a schedule means, and when it is due next. Pure: no clock, no I/O but reading a time zone's file once
 * (hf_cron_zone); a parsed schedule is a plain value that any number of threads may read.
 *
 * Grammar: that of ParseStandard in robfig/cron v3.0.1, byte for byte (tests/integration/test_cron.py compares them):
 *   - five fields apart by white space: minute 0-59, hour 0-23, day of month 1-31, month 1-12 or jan-dec, day of week 0-6 or
 *     sun-sat (any case). A field is a list, apart by commas, of `*`, `?` (the same), N, N-M, each with /STEP; N/STEP is N-last/STEP.
 *     What follows the hyphen of `*-` is not looked at, and an empty item of a list means nothing: a field of commas only is
 *     valid and never due;
 *   - @yearly @annually @monthly @weekly @daily @midnight @hourly, in lower case and with nothing behind;
 *   - `@every ` and a duration of Go (1h30m, 1.5h): cut to seconds, and 1 s where it is less, which a negative one is too;
 *   - in front of either `TZ=NAME ` or `CRON_TZ=NAME `, apart by a space.
 * A day is due when day of month AND day of week agree if one of these two has a star (`*` or `?` without a step above 1), else
 * when one of them does.
 *
 * Deviations from it: a prefix without anything behind is an error (there it ends the program), names of months and days are
 * ASCII, zones go by the names tzdata lists (no "Europe//Berlin"), and those that count leap seconds ("right/…") are refused.
 *
 * Units: wall time in milliseconds since 1970 UTC, as everywhere; schedules are due on whole seconds. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/base/str.h"
#include "schemas/cron/zone.h"

/* What happens when clocks are set.
 *   VIXIE   a schedule of fixed times (neither minute nor hour has an item that begins with `*` or `?`) is due at once when clocks
 *           are set forward over its time, and once, the first time, when a time comes twice; others follow the clock.
 *   ROBFIG  what robfig/cron does: a time that clocks are set forward over is skipped, one that comes twice is due twice. Where the
 *           change is at midnight or not by whole hours it has oddities of its own, which are kept. Over a day that a zone left out (Pacific/Apia, 2011-12-30) its search may
 *           not end; here that is "never". */
typedef enum hf_dst_policy { HF_DST_VIXIE, HF_DST_ROBFIG } hf_dst_policy;

enum {
    HF_CRON_TEXT_MAX = 1024, /* bytes of an expression */
    HF_CRON_YEARS = 5,       /* what is not due until the end of this year and so many further ones is never due */
};

typedef struct hf_cron {
    uint64_t minutes, hours, days, months, weekdays; /* bit n: the value n; sets of one schedule */
    bool day_star, weekday_star;                     /* see the rule of days above */
    bool follows_clock;                              /* wildcard in minute or hour; see VIXIE */
    int64_t every_s;                                 /* > 0: @every, and the sets mean nothing */
    bool has_zone;                                   /* it names its own: */
    char zone[HF_ZONE_NAME_MAX + 1];                 /* "" is UTC; NUL-terminated */
} hf_cron;

/* INVALID: the detail says what is wrong and in which column (bytes, from 1); *ret_at, which may be NULL, is set to that place
 * (bytes, from 0) on every error. LIMIT: longer than HF_CRON_TEXT_MAX. The text may hold any bytes. Allocates nothing. */
hf_code hf_cron_parse(hf_str text, hf_cron *ret, size_t *ret_at, hf_err *reterr);

/* The zone to reckon in: the schedule's own if it names one, else `otherwise` ("" is UTC). Errors as of hf_zone_load. `TZ=Local`
 * means `otherwise` too. */
hf_code hf_cron_zone(const hf_cron *cron, hf_str otherwise, hf_zone **ret, hf_err *reterr);

/* The first time that is strictly later; false: never (see HF_CRON_YEARS), or `after_ms` lies outside of the years 0 to 9999.
 * A zone of NULL is UTC. @every counts from `after_ms`, cut to seconds. Takes microseconds, at worst (a schedule that is never
 * due, ROBFIG) some ten thousand steps. */
bool hf_cron_next(const hf_cron *cron, const hf_zone *zone, hf_dst_policy policy, int64_t after_ms, int64_t *ret_ms);
