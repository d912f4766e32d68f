/* The gauge of discovered VMs is that of the discover job that ended last, however partitions are read and added up. */
#include "journal/replica/counters.h"
#include "rig.h"
#include "schemas/base/mem.h"

enum { VSPHERE = 1, ON = 0, OFF = 1, UNKNOWN = 3, OTHER = 4 };

static int64_t vms(const hf_counters *k, uint32_t power) {
    return hf_counter_get(k, HF_N_DISCOVERED, VSPHERE, power, 0);
}

static void ends(hf_counters *k, int64_t at, hf_position where, const char *report) {
    hf_spec spec = {.operation = HF_STR("discover"), .provider = HF_STR("vsphere")};
    hf_result result = {.report = hf_str_of(report)};
    hf_job before = {.state = HF_S_RUNNING, .spec = &spec}, after = before;
    after.state = HF_S_COMPLETED;
    after.finished_at = at;
    after.last = where;
    after.result = &result;
    hf_record nothing = {0};
    hf_counters_change(k, &nothing, HF_V_ACCEPTED, &before, &after);
}

static hf_counters made(void) {
    hf_counters k = {0};
    assert_ok(hf_counters_init(&k, err));
    return k;
}

static void the_last_to_end_is_what_counts(void **state) {
    (void)state;
    hf_counters k = made();
    ends(&k, 1000, (hf_position){0, 5}, "{\"power_states\": {\"poweredOn\": 7, \"poweredOff\": 3, \"unknown\": 1}}");
    assert_int_equal(vms(&k, ON), 7);
    assert_int_equal(vms(&k, UNKNOWN), 1);
    ends(&k, 2000, (hf_position){2, 1}, "{\"power_states\": {\"poweredOff\": 4, \"hibernating\": 2}}");
    assert_int_equal(vms(&k, ON), 0);
    assert_int_equal(vms(&k, OFF), 4);
    assert_int_equal(vms(&k, OTHER), 2);
    ends(&k, 1500, (hf_position){1, 9}, "{\"power_states\": {\"poweredOn\": 99}}"); /* read late, ended before */
    assert_int_equal(vms(&k, ON), 0);
    ends(&k, 2000, (hf_position){2, 2}, "{\"power_states\": {\"poweredOn\": 6}}"); /* the same millisecond */
    assert_int_equal(vms(&k, ON), 6);
    hf_counters_done(&k);
}

static void reports_that_say_nothing_known_are_left_alone(void **state) {
    static const char *const reports[] = {"",
                                          "no JSON",
                                          "[]",
                                          "{\"power_states\": 5}",
                                          "{\"power_states\": [1, 2]}",
                                          "{\"power_states\": {\"poweredOn\": ",
                                          "{\"vms\": []}"};
    (void)state;
    hf_counters k = made();
    ends(&k, 1000, (hf_position){0, 5}, "{\"power_states\": {\"poweredOn\": 7}}");
    for (size_t i = 0; i < HF_ARRAY_LEN(reports); i++)
        ends(&k, 5000, (hf_position){0, 6}, reports[i]);
    assert_int_equal(vms(&k, ON), 7);
    ends(&k, 6000, (hf_position){0, 7}, "{\"power_states\": {\"poweredOn\": -4, \"poweredOff\": \"many\"}}");
    assert_int_equal(vms(&k, ON), 0);
    assert_int_equal(vms(&k, OFF), 0);
    hf_counters_done(&k);
}

/* A rebuild counts partitions apart and adds them up, in any order. */
static void partitions_add_up_in_any_order(void **state) {
    (void)state;
    hf_counters a = made(), b = made(), ab = made(), ba = made();
    ends(&a, 3000, (hf_position){0, 1}, "{\"power_states\": {\"poweredOn\": 1}}");
    ends(&b, 2000, (hf_position){1, 1}, "{\"power_states\": {\"poweredOn\": 2, \"poweredOff\": 8}}");
    hf_counters_add(&ab, &a);
    hf_counters_add(&ab, &b);
    hf_counters_add(&ba, &b);
    hf_counters_add(&ba, &a);
    assert_memory_equal(ab.now, ba.now, ab.cells * sizeof *ab.now);
    assert_int_equal(vms(&ab, ON), 1);
    assert_int_equal(vms(&ab, OFF), 0);
    assert_int_equal(hf_counter_get(&ab, HF_N_JOBS_ENDED, 0, VSPHERE, 0), 2); /* the others are sums */
    hf_counters_done(&a), hf_counters_done(&b), hf_counters_done(&ab), hf_counters_done(&ba);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_to_end_is_what_counts),
                                       cmocka_unit_test(reports_that_say_nothing_known_are_left_alone),
                                       cmocka_unit_test(partitions_add_up_in_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
