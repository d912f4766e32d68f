/* Query parameters: what each kind takes, and what it refuses by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "journal/http/request.h"

static const int64_t now = 1800000000000;

static void values_are_read_and_bounded(void **state) {
    (void)state;
    static const struct {
        hf_param param;
        const char *text;
        int64_t number; /* -1: refused */
    } cases[] = {
        {HF_P_LIMIT, "100", 100},
        {HF_P_LIMIT, "0", -1},
        {HF_P_LIMIT, "10001", -1},
        {HF_P_LIMIT, "-5", -1},
        {HF_P_LIMIT, "", -1},
        {HF_P_LIMIT, "1e3", -1},
        {HF_P_LIMIT, "99999999999999999999999", -1},
        {HF_P_ALL, "true", 1},
        {HF_P_ALL, "", 1},
        {HF_P_ALL, "no", 0},
        {HF_P_ALL, "maybe", -1},
        {HF_P_STATE, "queued", 1 << HF_S_QUEUED},
        {HF_P_STATE, "queued,retrying", 1 << HF_S_QUEUED | 1 << HF_S_RETRYING},
        {HF_P_STATE, "completed", 1 << HF_S_COMPLETED},
        {HF_P_STATE, "queued,nonsense", -1},
        {HF_P_STATE, "", -1},
        {HF_P_SINCE, "2026-01-17T10:30:00Z", 1768645800000},
        {HF_P_SINCE, "24h", 1800000000000 - 86400000},
        {HF_P_SINCE, "7d", 1800000000000 - 7 * 86400000LL},
        {HF_P_SINCE, "yesterday", -1},
        {HF_P_SINCE, "-1h", -1},
        {HF_P_WORKER, "w1", 0},
        {HF_P_WORKER, "../w1", -1},
        {HF_P_TAG, "", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hf_param_value value = {0};
        hf_err err = {0};
        hf_code code = hf_param_read(cases[i].param, cases[i].text, now, &value, &err);
        assert_int_equal(code == HF_OK, cases[i].number >= 0);
        if (code == HF_OK)
            assert_int_equal(value.number, cases[i].number);
        else
            assert_non_null(strstr(err.detail, HF_PARAMS[cases[i].param].name));
    }
}

static void every_name_that_a_route_lists_is_a_parameter(void **state) {
    (void)state;
    for (int i = 0; i < HF_ROUTE_COUNT; i++)
        for (const char *at = HF_ROUTES[i].params; *at; at += strspn(at, " ")) {
            char name[64] = {0};
            size_t n = strcspn(at, " ");
            assert_true(n < sizeof name);
            memcpy(name, at, n);
            assert_int_not_equal(hf_param_find(name), HF_PARAM_COUNT);
            assert_true(hf_param_listed(HF_ROUTES[i].params, hf_param_find(name)));
            at += n;
        }
    assert_false(hf_param_listed("all status", HF_P_LIMIT));
    assert_false(hf_param_listed("since_when", HF_P_SINCE));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_are_read_and_bounded),
                                       cmocka_unit_test(every_name_that_a_route_lists_is_a_parameter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
