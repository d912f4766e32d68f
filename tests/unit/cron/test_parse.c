/* The grammar's edges, and that errors say where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "schemas/base/mem.h"
#include "schemas/cron/cron.h"

static hf_cron parsed(const char *text) {
    hf_cron cron;
    hf_err err = {0};
    if (hf_cron_parse(hf_str_of(text), &cron, NULL, &err))
        fail_msg("'%s': %s", text, err.detail);
    return cron;
}

static uint64_t bits(int first, int last, int step) {
    uint64_t set = 0;
    for (int i = first; i <= last; i += step)
        set |= (uint64_t)1 << i;
    return set;
}

static void test_items_make_sets(void **state) {
    (void)state;
    static const struct {
        const char *item;
        int first, last, step;
    } rows[] = {{"*", 0, 59, 1},        {"?", 0, 59, 1},    {"*/1", 0, 59, 1},   {"*/15", 0, 59, 15},
                {"*/61", 0, 59, 61},    {"7", 7, 7, 1},     {"007", 7, 7, 1},    {"+7", 7, 7, 1},
                {"5-9", 5, 9, 1},       {"5-9/2", 5, 9, 2}, {"50/3", 50, 59, 3}, {"10/1", 10, 59, 1},
                {"0-59/59", 0, 59, 59}, {"*-", 0, 59, 1},   {"*-x/2", 0, 59, 2}, {",,4,,", 4, 4, 1},
                {"59", 59, 59, 1},      {"5-5", 5, 5, 1}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s * * * *", rows[i].item);
        assert_int_equal(parsed(text).minutes, bits(rows[i].first, rows[i].last, rows[i].step));
    }
    assert_int_equal(parsed("*/9223372036854775807 * * * *").minutes, 1);
    assert_int_equal(parsed("1,2,3,2 * * * *").minutes, bits(1, 3, 1));
    assert_int_equal(parsed(", * * * *").minutes, 0);
    assert_int_equal(parsed("* * * jAn,DEC,mar-may *").months, 1 << 1 | 1 << 12 | 7 << 3);
    assert_int_equal(parsed("* * * * sun,TUE-6").weekdays, 1 | 31 << 2);
    assert_int_equal(parsed("* 22/1 31 * *").hours, 3 << 22);
}

static void test_stars(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool day, weekday, clock;
    } rows[] = {{"0 0 * * *", true, true, false},     {"0 0 1 * 1", false, false, false},
                {"0 0 ? * 1", true, false, false},    {"0 0 */1 * 1", true, false, false},
                {"0 0 *,5 * 1", true, false, false},  {"0 0 */2 * 1", false, false, false},
                {"0 0 1 * */2", false, false, false}, {"0 0 1-31 * 1", false, false, false},
                {"* 0 1 * 1", false, false, true},    {"0 */2 1 * 1", false, false, true},
                {"0 ?/5 1 * 1", false, false, true},  {"0/5 0-23 1 * 1", false, false, false},
                {"@hourly", true, true, true},        {"@daily", true, true, false}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_cron cron = parsed(rows[i].text);
        if (cron.day_star != rows[i].day || cron.weekday_star != rows[i].weekday || cron.follows_clock != rows[i].clock)
            fail_msg("%s: %d %d %d", rows[i].text, cron.day_star, cron.weekday_star, cron.follows_clock);
    }
}

static void test_white_space_of_all_kinds(void **state) {
    (void)state;
    assert_int_equal(parsed("\t1\n2\v3\f4\r5 ").weekdays, 1 << 5);
    assert_int_equal(parsed("1\xc2\xa0"
                            "2\xe3\x80\x80"
                            "3\xe2\x80\x83"
                            "4\xc2\x85"
                            "5")
                         .months,
                     1 << 4);
}

static void test_every(void **state) {
    (void)state;
    static const struct {
        const char *duration;
        int64_t s;
    } rows[] = {{"1h30m", 5400},
                {"90s", 90},
                {"1.5s", 1},
                {"999ms", 1},
                {"0", 1},
                {"-5m", 1},
                {"+1h", 3600},
                {".5m", 30},
                {"5.m", 300},
                {"1.25h", 4500},
                {"1h1h1h", 10800},
                {"2562047h47m16.854775807s", 9223372036},
                {"-9223372036854775808ns", 1},
                {"3000000us", 3},
                {"3000000\xc2\xb5s", 3}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[64];
        snprintf(text, sizeof text, "@every %s", rows[i].duration);
        assert_int_equal(parsed(text).every_s, rows[i].s);
    }
}

static void test_time_zone_in_front(void **state) {
    (void)state;
    assert_string_equal(parsed("TZ=Europe/Berlin 0 2 * * *").zone, "Europe/Berlin");
    assert_string_equal(parsed("CRON_TZ=America/Argentina/Buenos_Aires   @daily").zone,
                        "America/Argentina/Buenos_Aires");
    assert_true(parsed("TZ= @daily").has_zone);
    assert_string_equal(parsed("TZ= @daily").zone, "");
    assert_false(parsed("TZ=Local @daily").has_zone);
    assert_int_equal(parsed("TZ=Etc/GMT+12 @every 2s").every_s, 2);
}

static void test_errors_say_where(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t at;
        const char *told;
    } rows[] = {{"", 0, "empty"},
                {"60 * * * *", 0, "60 is above 59"},
                {"* 24 * * *", 2, "24 is above 23"},
                {"* * 0 * *", 4, "0 is below 1"},
                {"* * 32 * *", 4, "32 is above 31"},
                {"* * * 13 *", 6, "13 is above 12"},
                {"* * * * 7", 8, "7 is above 6"},
                {"* * * * 1,2,7", 12, "7 is above 6"},
                {"* * * january *", 6, "neither a number nor a name"},
                {"* * * * sat-sun", 8, "begins (6) behind its end (0)"},
                {"* 22-2 * * *", 2, "begins (22)"},
                {"* * L * *", 4, "neither"},
                {"* * 15W * *", 4, "neither"},
                {"* * * * 2#1", 8, "neither"},
                {"jan * * * *", 0, "neither"},
                {"*/0 * * * *", 2, "1 or more"},
                {"*/-1 * * * *", 2, "negative"},
                {"1/2/3 * * * *", 3, "slashes"},
                {"1-2-3 * * * *", 3, "hyphens"},
                {"1- * * * *", 2, "missing"},
                {"-1 * * * *", 0, "missing"},
                {"/5 * * * *", 0, "missing"},
                {"5/ * * * *", 2, "missing"},
                {"99999999999999999999 * * * *", 0, "too large"},
                {"** * * * *", 0, "neither"},
                {"* * * *", 7, "day of week is missing"},
                {"*", 1, "hour is missing"},
                {"* * * * * *", 10, "one too many"},
                {" @daily", 7, "hour is missing"},
                {"@Daily", 0, "@yearly"},
                {"@daily ", 0, "@yearly"},
                {"@every", 0, "@yearly"},
                {"@every  1h", 7, "duration"},
                {"@every 1d", 7, "duration"},
                {"@every 5", 7, "duration"},
                {"@every 2562048h", 7, "duration"},
                {"@every 9223372036854775808ns", 7, "duration"},
                {"TZ=UTC", 6, "space"},
                {"TZ=../etc/passwd * * * * *", 3, "time zone"},
                {"TZ=/etc/localtime * * * * *", 3, "time zone"},
                {"CRON_TZ=Europe/ * * * * *", 8, "time zone"},
                {"TZ=UTC\t* * * * *", 3, "time zone"},
                {"TZ=UTC * * * * 8", 15, "8 is above 6"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_cron cron;
        hf_err err = {0};
        size_t at = 999;
        char column[32];
        snprintf(column, sizeof column, "column %zu: ", rows[i].at + 1);
        assert_int_equal(hf_cron_parse(hf_str_of(rows[i].text), &cron, &at, &err), HF_E_INVALID);
        if (at != rows[i].at || !strstr(err.detail, rows[i].told) || strncmp(err.detail, column, strlen(column)) != 0)
            fail_msg("'%s': %zu, %s", rows[i].text, at, err.detail);
    }
    char *text = calloc(HF_CRON_TEXT_MAX + 2, 1);
    memset(text, ' ', HF_CRON_TEXT_MAX + 1);
    hf_cron cron;
    assert_int_equal(hf_cron_parse(hf_str_of(text), &cron, NULL, NULL), HF_E_LIMIT);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_make_sets),          cmocka_unit_test(test_stars),
        cmocka_unit_test(test_white_space_of_all_kinds), cmocka_unit_test(test_every),
        cmocka_unit_test(test_time_zone_in_front),       cmocka_unit_test(test_errors_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
