#include "check.h"

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static void times_are_written_in_utc(void **state) {
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {1768645800000, "2026-01-17T10:30:00.000Z"},
        {1768645800120, "2026-01-17T10:30:00.120Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {-62167219200000, "0000-01-01T00:00:00.000Z"},
        {-36915264000000, "0800-03-15T00:00:00.000Z"},
        {253402300800000, "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {-62167219200001, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"}, /* past what it can say */
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[HF_RFC3339_BYTES];
        assert_string_equal(hf_time_format(rows[i].ms, text), rows[i].text);
        int64_t back;
        if (i < HF_ARRAY_LEN(rows) - 4) {
            assert_true(hf_time_parse(hf_str_of(text), &back));
            assert_true(back == rows[i].ms);
        }
    }
}

static void offsets_fractions_and_leap_seconds_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2026-01-17T10:30:00Z", 1768645800000},
        {"2026-01-17t10:30:00z", 1768645800000},
        {"2026-01-17 10:30:00Z", 1768645800000},
        {"2026-01-17T11:30:00+01:00", 1768645800000},
        {"2026-01-16T23:30:00-11:00", 1768645800000},
        {"2026-01-17T10:30:00.5Z", 1768645800500},
        {"2026-01-17T10:30:00.123456789Z", 1768645800123},
        {"2026-01-17T10:30:00.0009Z", 1768645800000},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"1969-12-31T23:59:59.999Z", -1},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        int64_t ms;
        if (!hf_time_parse(hf_str_of(rows[i].text), &ms))
            fail_msg("refused: %s", rows[i].text);
        assert_true(ms == rows[i].ms);
    }
}

static void what_is_no_time_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "now",
        "2026-01-17",
        "2026-01-17T10:30Z",
        "2026-01-17T10:30:00",
        "2026-01-17T10:30:00.Z",
        "2026-13-17T10:30:00Z",
        "2026-00-17T10:30:00Z",
        "2026-01-32T10:30:00Z",
        "2026-01-00T10:30:00Z",
        "2025-02-29T10:30:00Z",
        "1900-02-29T10:30:00Z",
        "2026-04-31T10:30:00Z",
        "2026-01-17T24:00:00Z",
        "2026-01-17T10:60:00Z",
        "2026-01-17T10:30:61Z",
        "2026-01-17T10:30:00+1:00",
        "2026-01-17T10:30:00+24:00",
        "2026-01-17T10:30:00+01:60",
        "2026-01-17T10:30:00Zx",
        "2026/01/17T10:30:00Z",
        "+026-01-17T10:30:00Z",
        "2026-01-17T10:30:00Z2026-01-17T10:30:00Z0",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++) {
        int64_t ms = 42;
        if (hf_time_parse(hf_str_of(texts[i]), &ms))
            fail_msg("taken: %s", texts[i]);
        assert_true(ms == 42);
    }
    int64_t ms;
    assert_false(hf_time_parse((hf_str){"2026-01-17T10:30:00\0", 20}, &ms));
    assert_false(hf_time_parse(HF_STR_NONE, &ms));
}

static void durations_are_gos(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0s", 0},    {"250ms", 250}, {"10s", 10000},    {"1.5s", 1500}, {"1h30m", 5400000}, {"1h0m0.5s", 3600500},
        {".5s", 500}, {"2m", 120000}, {"24h", 86400000}, {"0.4ms", 0},   {"0.5ms", 1},       {"1m1ms", 60001},
    };
    static const char *const bad[] = {"",
                                      "10",
                                      "s",
                                      "10 s",
                                      "-1s",
                                      "+1s",
                                      "1d",
                                      "1S",
                                      "1s1",
                                      "ms",
                                      ".",
                                      "1..5s",
                                      "1e3s",
                                      "99999999999999999h",
                                      "1234567890123456789012345678901s"};
    for (size_t i = 0; i < HF_ARRAY_LEN(good); i++) {
        int64_t ms = -1;
        if (!hf_duration_parse(hf_str_of(good[i].text), &ms))
            fail_msg("refused: %s", good[i].text);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        int64_t ms = -7;
        if (hf_duration_parse(hf_str_of(bad[i]), &ms))
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(ms, -7);
    }
}

static void the_machines_clocks_run_forward(void **state) {
    (void)state;
    const hf_clock *c = hf_clock_system();
    assert_true(hf_wall_ms(c) > 1700000000000);
    int64_t mono = hf_mono_ms(c), ns = hf_mono_ns();
    for (int i = 0; i < 1000; i++) {
        assert_true(hf_mono_ms(c) >= mono);
        assert_true(hf_mono_ns() >= ns);
        mono = hf_mono_ms(c);
        ns = hf_mono_ns();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_utc),
        cmocka_unit_test(offsets_fractions_and_leap_seconds_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(durations_are_gos),
        cmocka_unit_test(the_machines_clocks_run_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
