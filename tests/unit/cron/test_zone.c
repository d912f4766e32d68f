/* TZif files: the table, the footer beyond it, what is refused; every byte of a file changed, and cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/cron/rule.h"
#include "schemas/cron/zone.h"

static int64_t seconds(const char *text) {
    int64_t ms;
    if (!hf_time_parse(hf_str_of(text), &ms))
        fail_msg("%s", text);
    return ms / 1000;
}

static void test_offsets_of_the_world(void **state) {
    (void)state;
    static const struct {
        const char *zone, *at, *shown;
    } rows[] = {{"", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"},
                {"Etc/UTC", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"},
                {"Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"},
                {"Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"},
                {"Europe/Berlin", "2026-10-25T00:59:59Z", "2026-10-25T02:59:59+02:00"},
                {"Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00"},
                {"Europe/Berlin", "2999-07-01T00:00:00Z", "2999-07-01T02:00:00+02:00"},
                {"Europe/Dublin", "2050-07-01T00:00:00Z", "2050-07-01T01:00:00+01:00"}, /* winter is the exception */
                {"Europe/Dublin", "2050-12-01T00:00:00Z", "2050-12-01T00:00:00Z"},
                {"Australia/Sydney", "2090-01-01T00:00:00Z", "2090-01-01T11:00:00+11:00"}, /* over the year's end */
                {"Australia/Lord_Howe", "2090-07-01T00:00:00Z", "2090-07-01T10:30:00+10:30"},
                {"America/Nuuk", "2050-03-27T00:59:59Z", "2050-03-26T22:59:59-02:00"}, /* at -1 o'clock of a Sunday */
                {"America/Nuuk", "2050-03-27T01:00:00Z", "2050-03-27T00:00:00-01:00"},
                {"Asia/Gaza", "2086-01-01T00:00:00Z", "2086-01-01T02:00:00+02:00"},
                {"America/St_Johns", "2026-01-01T00:00:00Z", "2025-12-31T20:30:00-03:30"},
                {"Africa/Monrovia", "1971-06-01T00:00:00Z", "1971-05-31T23:16:00-00:44"}, /* -00:44:30 */
                {"Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31T00:00:00+14:00"},
                {"Asia/Tehran", "2050-07-01T00:00:00Z", "2050-07-01T03:30:00+03:30"},
                {"Asia/Tokyo", "1850-01-01T00:00:00Z", "1850-01-01T09:18:00+09:18"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_auto(hf_zone_free_p) hf_zone *zone = NULL;
        hf_err err = {0};
        char text[HF_ZONE_TIME_BYTES];
        if (hf_zone_load(hf_str_of(rows[i].zone), &zone, &err))
            fail_msg("%s: %s", rows[i].zone, err.detail);
        assert_string_equal(hf_zone_format(zone, seconds(rows[i].at), text), rows[i].shown);
    }
}

static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        hf_code code;
    } rows[] = {{"../etc/passwd", HF_E_INVALID},
                {"/etc/localtime", HF_E_INVALID},
                {"Europe/../UTC", HF_E_INVALID},
                {".", HF_E_INVALID},
                {"Europe/", HF_E_INVALID},
                {"Europe//Berlin", HF_E_INVALID},
                {"./UTC", HF_E_INVALID},
                {"Europe\\Berlin", HF_E_INVALID},
                {"Mars/Olympus", HF_E_NOT_FOUND},
                {"UTC/x", HF_E_NOT_FOUND},
                {"Europe", HF_E_NOT_FOUND},
                {"zone.tab", HF_E_PARSE},
                {"a123456789012345678901234567890123456789012345678901234567890123456789", HF_E_INVALID}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_zone *zone = NULL;
        hf_err err = {0};
        assert_int_equal(hf_zone_load(hf_str_of(rows[i].name), &zone, &err), rows[i].code);
        assert_null(zone);
    }
}

static void test_footers(void **state) {
    (void)state;
    static const char *const good[] = {"UTC0",
                                       "<+0330>-3:30",
                                       "CET-1CEST,M3.5.0,M10.5.0/3",
                                       "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
                                       "EST5EDT,0/0,J365/25",
                                       "IST-1GMT0,M10.5.0,M3.5.0/1",
                                       "EET-2EEST,M3.4.4/50,M10.4.4/50",
                                       "AAA-1:30:15BBB-2,J60,365/-167"};
    static const char *const bad[] = {"",
                                      "A0",
                                      "UTC",
                                      "CET-1CEST",
                                      "CET-1CEST,M3.5.0",
                                      "CET-1CEST,M13.5.0,M10.5.0",
                                      "CET-25",
                                      "CET-1CEST,M3.6.0,M10.5.0",
                                      "CET-1CEST,M3.5.7,M10.5.0",
                                      "CET-1CEST,J0,J3",
                                      "CET-1CEST,366,1",
                                      "<+03-3",
                                      "CET-1CEST,M3.5.0,M10.5.0/168",
                                      "CET-1CEST,M3.5.0,M10.5.0/3x",
                                      "CET-1:60",
                                      "C3T-1"};
    hf_tz_rule rule;
    hf_err err = {0};
    for (size_t i = 0; i < HF_ARRAY_LEN(good); i++)
        if (hf_tz_rule_parse(hf_str_of(good[i]), &rule, &err))
            fail_msg("%s: %s", good[i], err.detail);
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        if (hf_tz_rule_parse(hf_str_of(bad[i]), &rule, NULL) != HF_E_PARSE)
            fail_msg("%s is taken", bad[i]);
    assert_int_equal(hf_tz_rule_parse(HF_STR("XXX3EDT4,0/0,J365/23"), &rule, NULL),
                     HF_OK); /* daylight saving all year */
    for (int64_t at = seconds("2030-01-01T00:00:00Z"); at < seconds("2031-01-02T00:00:00Z"); at += 3600)
        assert_int_equal(hf_tz_rule_at(&rule, at).offset_s, -4 * 3600);
    assert_int_equal(hf_tz_rule_parse(HF_STR("AAA0BBB,J60/0,J61/0"), &rule, NULL),
                     HF_OK); /* J60 is March 1, leap year or not */
    assert_int_equal(hf_tz_rule_at(&rule, seconds("2028-02-29T12:00:00Z")).offset_s, 0);
    assert_int_equal(hf_tz_rule_at(&rule, seconds("2028-03-01T12:00:00Z")).offset_s, 3600);
}

/* Each span ends where another begins, with no instant in none or in two. */
static void test_spans_join(void **state) {
    (void)state;
    hf_auto(hf_zone_free_p) hf_zone *zone = NULL;
    assert_int_equal(hf_zone_load(HF_STR("Europe/Berlin"), &zone, NULL), HF_OK);
    hf_zone_span span = hf_zone_at(zone, seconds("1850-01-01T00:00:00Z"));
    assert_true(span.start_s == INT64_MIN);
    for (int i = 0; i < 1000; i++) {
        hf_zone_span next = hf_zone_at(zone, span.end_s), before = hf_zone_at(zone, span.end_s - 1);
        assert_true(next.start_s == span.end_s && next.end_s > next.start_s);
        assert_true(before.start_s == span.start_s && before.end_s == span.end_s && before.offset_s == span.offset_s);
        span = next;
    }
    assert_true(span.start_s > seconds("2300-01-01T00:00:00Z"));
}

static void ask(const hf_zone *zone) {
    static const int64_t times[] = {-62167219200, -5000000000, 0, 1774746000, 4102444800, 253402300799};
    for (size_t i = 0; i < HF_ARRAY_LEN(times); i++) {
        hf_zone_span span = hf_zone_at(zone, times[i]);
        assert_true(span.start_s <= times[i] && times[i] < span.end_s);
        hf_zone_first(zone, times[i]);
    }
}

static void test_damaged_files(void **state) {
    (void)state;
    uint8_t bytes[8192];
    FILE *file = fopen(HF_ZONE_FOLDER "/Europe/Berlin", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    hf_zone *zone;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = hf_alloc(cut + 1); /* of its own, so that a byte too far is seen */
        part = hf_realloc(part, cut ? cut : 1);
        memcpy(part, bytes, cut);
        assert_int_equal(hf_zone_parse(part, cut, &zone, NULL), HF_E_PARSE);
        free(part);
    }
    for (size_t at = 0; at < size; at++) {
        uint8_t was = bytes[at];
        bytes[at] = (uint8_t)(was ^ (at % 2 ? 0x80 : 0x01));
        if (!hf_zone_parse(bytes, size, &zone, NULL)) {
            ask(zone);
            hf_zone_free(zone);
        }
        bytes[at] = was;
    }
    assert_int_equal(hf_zone_parse(bytes, HF_ZONE_FILE_MAX + 1, &zone, NULL), HF_E_LIMIT);
    assert_int_equal(hf_zone_parse(bytes, size, &zone, NULL), HF_OK);
    hf_zone_free(zone);
}

static void test_no_memory(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        hf_zone *zone = NULL;
        hf_alloc_fail_after(n);
        hf_code code = hf_zone_load(HF_STR("Europe/Berlin"), &zone, NULL);
        hf_alloc_fail_after(0);
        assert_int_equal(code, HF_E_NO_MEMORY);
        assert_null(zone);
    }
    hf_zone *zone;
    hf_alloc_fail_after(3); /* it is only not made smaller */
    assert_int_equal(hf_zone_load(HF_STR("Europe/Berlin"), &zone, NULL), HF_OK);
    hf_alloc_fail_after(0);
    ask(zone);
    hf_zone_free(zone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_of_the_world),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_footers),
        cmocka_unit_test(test_spans_join),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
