/* Names of the snapshots that exports make: whose they are can be told, and nobody else's is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/provider/vsphere/own_snapshots.h"

static void a_name_says_job_and_attempt(void **state) {
    char name[HF_SNAPSHOT_NAME_MAX + 1];
    hf_err err;
    hf_str job;
    int32_t attempt = 0;
    (void)state;
    assert_int_equal(hf_snapshot_name(HF_STR("a-b.c"), 12, name, &err), HF_OK);
    assert_string_equal(name, "hyperfleet-a-b.c-12");
    assert_true(hf_snapshot_name_parse(hf_str_of(name), &job, &attempt));
    assert_true(hf_str_eqz(job, "a-b.c"));
    assert_int_equal(attempt, 12);
}

static void a_long_job_id_fits_and_stays_apart_from_others(void **state) {
    char id[HF_ID_MAX_BYTES + 1] = {0}, one[HF_SNAPSHOT_NAME_MAX + 1], other[HF_SNAPSHOT_NAME_MAX + 1];
    hf_err err;
    (void)state;
    memset(id, 'x', HF_ID_MAX_BYTES);
    assert_int_equal(hf_snapshot_name(hf_str_of(id), 9999999, one, &err), HF_OK);
    assert_true(strlen(one) <= HF_SNAPSHOT_NAME_MAX);
    id[HF_ID_MAX_BYTES - 1] = 'y';
    assert_int_equal(hf_snapshot_name(hf_str_of(id), 9999999, other, &err), HF_OK);
    assert_string_not_equal(one, other);
    id[60] = 0; /* the longest that stands as it is */
    assert_int_equal(hf_snapshot_name(hf_str_of(id), 9999999, one, &err), HF_OK);
    assert_non_null(strstr(one, id));
}

static void what_others_made_is_not_ours(void **state) {
    static const char *const names[] = {"",
                                        "before the update",
                                        "hyperfleet",
                                        "hyperfleet-",
                                        "hyperfleet--1",
                                        "hyperfleet-1",
                                        "hyperfleet-a",
                                        "hyperfleet-a-",
                                        "hyperfleet-a-1 ",
                                        "hyperfleet-a-x1",
                                        "Hyperfleet-a-1",
                                        "hyperfleet-a-123456789012"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        hf_str job;
        int32_t attempt;
        if (hf_snapshot_name_parse(hf_str_of(names[i]), &job, &attempt))
            fail_msg("\"%s\" was taken for one of ours", names[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_name_says_job_and_attempt),
                                       cmocka_unit_test(a_long_job_id_fits_and_stays_apart_from_others),
                                       cmocka_unit_test(what_others_made_is_not_ours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
