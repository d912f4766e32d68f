/* When schedules are due: the calendar, and the nights in which clocks are set, with both policies. Times are written down by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/cron/cron.h"

typedef struct row {
    const char *zone, *text, *from, *due; /* due: times apart by spaces; "never" at the end where none follows */
} row;

static void check(const row *r, hf_dst_policy policy) {
    hf_cron cron;
    hf_err err = {0};
    hf_auto(hf_zone_free_p) hf_zone *zone = NULL;
    int64_t at;
    if (hf_cron_parse(hf_str_of(r->text), &cron, NULL, &err) || hf_cron_zone(&cron, hf_str_of(r->zone), &zone, &err))
        fail_msg("%s: %s", r->text, err.detail);
    assert_true(hf_time_parse(hf_str_of(r->from), &at));
    char due[512] = "", text[HF_ZONE_TIME_BYTES];
    while (strlen(due) < strlen(r->due)) {
        bool is = hf_cron_next(&cron, zone, policy, at, &at);
        snprintf(due + strlen(due), sizeof due - strlen(due), "%s%s", due[0] ? " " : "",
                 is ? hf_zone_format(zone, at / 1000, text) : "never");
        if (!is)
            break;
    }
    if (strcmp(due, r->due) != 0)
        fail_msg("%s in %s from %s, policy %d:\n  %s\n  should be\n  %s", r->text, r->zone, r->from, (int)policy, due,
                 r->due);
}

static void check_all(const row *rows, size_t count, hf_dst_policy policy) {
    for (size_t i = 0; i < count; i++)
        check(&rows[i], policy);
}

static void test_the_calendar(void **state) {
    (void)state;
    static const row rows[] = {
        {"", "* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z 2026-01-01T00:02:00Z"},
        {"", "* * * * *", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"},
        {"", "0 0 * * *", "2025-12-31T23:59:59.999Z", "2026-01-01T00:00:00Z 2026-01-02T00:00:00Z"},
        {"", "30 12 29 2 *", "2024-02-29T12:29:59Z", "2024-02-29T12:30:00Z 2028-02-29T12:30:00Z"},
        {"", "0 0 29 2 *", "2096-02-29T00:00:00Z", "never"},                /* 2100 is no leap year, 2104 too far */
        {"", "0 0 29 2 *", "2099-01-01T00:00:00Z", "2104-02-29T00:00:00Z"}, /* the year's last day counts */
        {"", "0 0 30 2 *", "2026-01-01T00:00:00Z", "never"},
        {"", ", 0 1 1 *", "2026-01-01T00:00:00Z", "never"},
        {"", "0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z 2026-05-31T00:00:00Z"},
        {"", "0 0 13 * 5", "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z 2026-02-13T00:00:00Z"}, /* either */
        {"", "0 0 13 * *", "2026-02-14T00:00:00Z", "2026-03-13T00:00:00Z 2026-04-13T00:00:00Z"},
        {"", "0 0 */1 * 5", "2026-02-07T00:00:00Z", "2026-02-13T00:00:00Z 2026-02-20T00:00:00Z"}, /* both */
        {"", "0 0 */10 * 5", "2026-02-07T00:00:00Z", "2026-02-11T00:00:00Z 2026-02-13T00:00:00Z 2026-02-20T00:00:00Z"},
        {"", "0 0 1-7 * ?", "2026-02-07T00:00:00Z", "2026-03-01T00:00:00Z"},
        {"", "@yearly", "2026-02-07T00:00:00Z", "2027-01-01T00:00:00Z 2028-01-01T00:00:00Z"},
        {"", "@monthly", "2026-02-07T00:00:00Z", "2026-03-01T00:00:00Z"},
        {"", "@weekly", "2026-02-07T00:00:00Z", "2026-02-08T00:00:00Z 2026-02-15T00:00:00Z"},
        {"", "@midnight", "2026-02-07T00:00:00Z", "2026-02-08T00:00:00Z"},
        {"", "@hourly", "2026-02-07T23:10:00Z", "2026-02-08T00:00:00Z 2026-02-08T01:00:00Z"},
        {"", "@every 1h30m", "2026-02-07T23:10:07.900Z", "2026-02-08T00:40:07Z 2026-02-08T02:10:07Z"},
        {"Europe/Berlin", "@every 1h", "2026-03-29T00:30:00Z", "2026-03-29T03:30:00+02:00"},
        {"", "0/20 9-10 * * mon-fri", "2026-11-20T10:20:00Z", "2026-11-20T10:40:00Z 2026-11-23T09:00:00Z"},
        {"America/New_York", "TZ=Asia/Tokyo 0 9 * * *", "2026-02-07T23:59:00Z", "2026-02-08T09:00:00+09:00"},
        {"Asia/Kathmandu", "0 0 * * *", "2026-02-07T00:00:00Z", "2026-02-08T00:00:00+05:45"},
        {"", "59 23 31 12 *", "1969-01-01T00:00:00Z", "1969-12-31T23:59:00Z"},
    };
    check_all(rows, HF_ARRAY_LEN(rows), HF_DST_VIXIE);
    check_all(rows, HF_ARRAY_LEN(rows), HF_DST_ROBFIG); /* no clock is set here, so both say the same */
}

static void test_vixie_when_clocks_are_set(void **state) {
    (void)state;
    static const row rows[] = {
        /* 02:00 to 03:00 on 2026-03-29, back at 03:00 on 2026-10-25 */
        {"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00+02:00 2026-03-30T02:30:00+02:00"},
        {"Europe/Berlin", "0,20,40 2 * * *", "2026-03-29T00:00:00Z",
         "2026-03-29T03:00:00+02:00 2026-03-30T02:00:00+02:00"},
        {"Europe/Berlin", "0 2,3 29 3 *", "2026-03-29T00:00:00Z",
         "2026-03-29T03:00:00+02:00 2027-03-29T02:00:00+02:00"},
        {"Europe/Berlin", "0 2 29 3 *", "2026-03-29T01:00:00Z",
         "2027-03-29T02:00:00+02:00"}, /* at the change: it was due then */
        {"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00 2026-10-26T02:30:00+01:00"},
        {"Europe/Berlin", "30 2 * * *", "2026-10-25T01:00:00Z", "2026-10-26T02:30:00+01:00"}, /* in the second pass */
        {"Europe/Berlin", "0 3 * * *", "2026-10-25T00:59:00Z", "2026-10-25T03:00:00+01:00"},
        {"Europe/Berlin", "*/30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T02:00:00+02:00"},
        {"Europe/Berlin", "*/30 2 25 10 *", "2026-10-24T12:00:00Z",
         "2026-10-25T02:00:00+02:00 2026-10-25T02:30:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T02:30:00+01:00"},
        {"Europe/Berlin", "@hourly", "2026-03-28T23:30:00Z", "2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00"},
        {"Europe/Berlin", "@hourly", "2026-10-24T23:30:00Z",
         "2026-10-25T02:00:00+02:00 2026-10-25T02:00:00+01:00 2026-10-25T03:00:00+01:00"},
        {"Europe/Berlin", "30 */2 * * *", "2026-03-28T23:30:00Z", "2026-03-29T04:30:00+02:00"},
        {"America/New_York", "15 2 * * sun", "2026-03-07T12:00:00Z",
         "2026-03-08T03:00:00-04:00 2026-03-15T02:15:00-04:00"},
        {"America/New_York", "15 1 * * *", "2026-11-01T00:00:00Z",
         "2026-11-01T01:15:00-04:00 2026-11-02T01:15:00-05:00"},
        /* half an hour: 02:00 to 02:30 on 2026-10-04, 02:00 back to 01:30 on 2026-04-05 */
        {"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z",
         "2026-10-04T02:30:00+11:00 2026-10-05T02:15:00+11:00"},
        {"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T00:00:00Z",
         "2026-04-05T01:45:00+11:00 2026-04-06T01:45:00+10:30"},
        {"Australia/Lord_Howe", "*/15 1 5 4 *", "2026-04-04T14:29:00Z",
         "2026-04-05T01:30:00+11:00 2026-04-05T01:45:00+11:00 2026-04-05T01:30:00+10:30 2026-04-05T01:45:00+10:30"},
        /* midnight to 01:00 on 2026-03-08, 01:00 back to midnight on 2026-11-01 */
        {"America/Havana", "0 0 * * *", "2026-03-07T12:00:00Z", "2026-03-08T01:00:00-04:00 2026-03-09T00:00:00-04:00"},
        {"America/Havana", "30 0 8 3 *", "2026-03-07T12:00:00Z", "2026-03-08T01:00:00-04:00"},
        {"America/Havana", "@daily", "2026-10-31T12:00:00Z", "2026-11-01T00:00:00-04:00 2026-11-02T00:00:00-05:00"},
        /* 24:00 to 01:00: the last hour of Saturday comes twice in April, the first of Sunday is missing in September */
        {"America/Santiago", "30 23 * * *", "2026-04-04T12:00:00Z",
         "2026-04-04T23:30:00-03:00 2026-04-05T23:30:00-04:00"},
        {"America/Santiago", "@daily", "2026-09-05T12:00:00Z", "2026-09-06T01:00:00-03:00 2026-09-07T00:00:00-03:00"},
        /* Ramadan: 03:00 back to 02:00 on 2026-02-15, 02:00 to 03:00 on 2026-03-22 */
        {"Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00:00Z", "2026-02-15T02:30:00+01:00 2026-02-16T02:30:00Z"},
        {"Africa/Casablanca", "30 2 * * *", "2026-03-21T12:00:00Z",
         "2026-03-22T03:00:00+01:00 2026-03-23T02:30:00+01:00"},
        /* a whole day left out, 2011-12-30 */
        {"Pacific/Apia", "0 9 * * *", "2011-12-29T00:00:00Z",
         "2011-12-29T09:00:00-10:00 2011-12-31T00:00:00+14:00 2011-12-31T09:00:00+14:00"},
        /* two hours, beyond the table's end */
        {"Antarctica/Troll", "30 1 * * *", "2060-03-27T12:00:00Z", "2060-03-28T03:00:00+02:00"},
    };
    check_all(rows, HF_ARRAY_LEN(rows), HF_DST_VIXIE);
}

static void test_robfig_when_clocks_are_set(void **state) {
    (void)state;
    static const row rows[] = {
        {"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T02:30:00+02:00"},
        {"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z",
         "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 2026-10-26T02:30:00+01:00"},
        {"America/New_York", "15 2 * * sun", "2026-03-07T12:00:00Z", "2026-03-15T02:15:00-04:00"},
        {"Europe/Berlin", "@hourly", "2026-03-28T23:30:00Z", "2026-03-29T01:00:00+01:00 2026-03-29T03:00:00+02:00"},
        {"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-05T02:15:00+11:00"},
        {"America/Havana", "0 0 8 3 *", "2026-03-07T12:00:00Z", "2027-03-08T00:00:00-05:00"},
    };
    check_all(rows, HF_ARRAY_LEN(rows), HF_DST_ROBFIG);
}

static void test_outside_of_the_years(void **state) {
    (void)state;
    hf_cron cron;
    int64_t at = 7;
    assert_int_equal(hf_cron_parse(HF_STR("* * * * *"), &cron, NULL, NULL), HF_OK);
    assert_false(hf_cron_next(&cron, NULL, HF_DST_VIXIE, INT64_MAX, &at));
    assert_false(hf_cron_next(&cron, NULL, HF_DST_ROBFIG, INT64_MIN, &at));
    assert_int_equal(at, 7);
    assert_true(hf_cron_next(&cron, NULL, HF_DST_VIXIE, -1, &at));
    assert_int_equal(at, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_calendar),
        cmocka_unit_test(test_vixie_when_clocks_are_set),
        cmocka_unit_test(test_robfig_when_clocks_are_set),
        cmocka_unit_test(test_outside_of_the_years),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
