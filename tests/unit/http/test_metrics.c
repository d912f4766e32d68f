/* How numbers print, which format Accept gets, what is a trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "journal/http/metrics.h"
#include "schemas/base/mem.h"

static void numbers_print_as_go_prints_them(void **state) {
    static const struct {
        double value;
        const char *text, *open;
    } cases[] = {{0, "0", "0.0"},
                 {1, "1", "1.0"},
                 {2048, "2048", "2048.0"},
                 {.005, "0.005", "0.005"},
                 {2.5, "2.5", "2.5"},
                 {123456, "123456", "123456.0"},
                 {1e6, "1e+06", "1e+06"},
                 {1048576, "1.048576e+06", "1.048576e+06"},
                 {536870912, "5.36870912e+08", "5.36870912e+08"},
                 {.0001, "0.0001", "0.0001"},
                 {.00001, "1e-05", "1e-05"},
                 {.1 + .2, "0.30000000000000004", "0.30000000000000004"},
                 {-1.5, "-1.5", "-1.5"},
                 {INFINITY, "+Inf", "+Inf"},
                 {-INFINITY, "-Inf", "-Inf"},
                 {NAN, "NaN", "NaN"}};
    char text[HF_METRICS_NUMBER];
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        assert_string_equal(hf_metrics_number(cases[i].value, false, text), cases[i].text);
        assert_string_equal(hf_metrics_number(cases[i].value, true, text), cases[i].open);
    }
}

static void accept_decides_the_format(void **state) {
    (void)state;
    assert_false(hf_metrics_wants_open(NULL));
    assert_false(hf_metrics_wants_open(""));
    assert_false(hf_metrics_wants_open("*/*"));
    assert_false(hf_metrics_wants_open("text/plain"));
    assert_true(hf_metrics_wants_open("application/openmetrics-text"));
    assert_true(hf_metrics_wants_open("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_true(hf_metrics_wants_open(
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")); /* Prometheus' own */
    assert_false(hf_metrics_wants_open("application/openmetrics-text;version=0.0.1"));
    assert_false(hf_metrics_wants_open("application/openmetrics-text;version=1.0.0;q=0"));
    assert_false(hf_metrics_wants_open("application/openmetrics-text;q=0.2, text/plain;q=0.9"));
    assert_false(hf_metrics_wants_open(";;,,;q=,;version="));
}

static void only_a_whole_traceparent_is_carried(void **state) {
    (void)state;
    assert_true(hf_trace_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_false(hf_trace_valid(NULL));
    assert_false(hf_trace_valid(""));
    assert_false(hf_trace_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"));
    assert_false(hf_trace_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"));
    assert_false(hf_trace_valid("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"));
    assert_false(hf_trace_valid("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
    assert_false(hf_trace_valid("00-4bf92f3577b34da6a3ce929d0e0e47\"6-00f067aa0ba902b7-01"));
    assert_false(hf_trace_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_print_as_go_prints_them),
                                       cmocka_unit_test(accept_decides_the_format),
                                       cmocka_unit_test(only_a_whole_traceparent_is_carried)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
