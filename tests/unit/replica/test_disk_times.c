/* How long disks and descriptors took is counted as the result's report says, once for each. */
#include "journal/replica/counters.h"
#include "rig.h"
#include "schemas/base/mem.h"

enum { VSPHERE = 1, SMALL = 0, MEDIUM = 1, SUM = 13 };

static void ends(hf_counters *k, const char *report) {
    hf_spec spec = {.operation = HF_STR("export"), .provider = HF_STR("vsphere")};
    hf_result result = {.report = hf_str_of(report), .bytes_read = 1000, .duration_ms = 25000};
    hf_job before = {.state = HF_S_RUNNING, .spec = &spec}, after = before;
    after.state = HF_S_COMPLETED;
    after.finished_at = 1000;
    after.result = &result;
    hf_record nothing = {0};
    hf_counters_change(k, &nothing, HF_V_ACCEPTED, &before, &after);
}

static int64_t disks(const hf_counters *k, uint32_t size, uint32_t cell) {
    return hf_counter_get(k, HF_N_TRANSFER, VSPHERE, size, cell);
}

static void each_disk_and_each_descriptor_counts_once(void **state) {
    (void)state;
    hf_counters k = {0};
    assert_ok(hf_counters_init(&k, err));
    ends(&k, "{\"ovf_seconds\": 0.007, \"disks\": [{\"seconds\": 3.5, \"capacity_bytes\": 1000}, {\"seconds\": 15, "
             "\"capacity_bytes\": 21474836480}]}");
    assert_int_equal(disks(&k, SMALL, 0), 1); /* up to 10 s */
    assert_int_equal(disks(&k, SMALL, SUM), 3500);
    assert_int_equal(disks(&k, MEDIUM, 1), 1); /* up to 20 s */
    assert_int_equal(disks(&k, MEDIUM, SUM), 15000);
    assert_int_equal(hf_counter_get(&k, HF_N_OVF, 1, 0, 0), 1); /* above 5 ms, up to 10 */
    assert_int_equal(hf_counter_get(&k, HF_N_OVF, 12, 0, 0), 7);
    hf_counters_done(&k);
}

static void a_report_that_says_nothing_counts_the_whole_export(void **state) {
    static const char *const reports[] = {"", "no JSON", "{\"disks\": 3}",
                                          "{\"disks\": [1, {}, {\"seconds\": \"9\"}, {\"seconds\": -1}]}",
                                          "{\"disks\": [{\"seconds\": 1e300}], \"ovf_seconds\": -3}"};
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(reports); i++) {
        hf_counters k = {0};
        assert_ok(hf_counters_init(&k, err));
        ends(&k, reports[i]);
        assert_int_equal(disks(&k, SMALL, 2), 1); /* 25 s */
        assert_int_equal(disks(&k, SMALL, SUM), 25000);
        for (uint32_t c = 0; c < 13; c++)
            assert_int_equal(hf_counter_get(&k, HF_N_OVF, c, 0, 0), 0);
        hf_counters_done(&k);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_disk_and_each_descriptor_counts_once),
                                       cmocka_unit_test(a_report_that_says_nothing_counts_the_whole_export)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
