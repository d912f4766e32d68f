#include "check.h"

#include <ctype.h>

#include "schemas/base/id.h"

static int64_t now_ms;
static int64_t test_wall(void *self) {
    (void)self;
    return now_ms;
}
static const hf_clock test_clock = {test_wall, test_wall, NULL};

static uint64_t counter;
static uint64_t count_up(void *self) {
    (void)self;
    return counter++;
}
static const hf_random test_random = {count_up, NULL};

static void check_uuid(const char *text, char version) {
    assert_int_equal(strlen(text), 36);
    for (int i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(text[i], '-');
        else
            assert_true(isxdigit((unsigned char)text[i]) && !isupper((unsigned char)text[i]));
    }
    assert_int_equal(text[14], version);
    assert_true(strchr("89ab", text[19]));
    assert_true(hf_id_valid(hf_str_of(text)));
}

static void new_ids_sort_by_time_and_carry_it(void **state) {
    (void)state;
    char last[HF_UUID_BYTES] = "", text[HF_UUID_BYTES];
    static const int64_t times[] = {
        0, 1, 255, 256, 1768645800000, 1768645800001, 4102444800000, (INT64_C(1) << 48) - 1};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        now_ms = times[i];
        check_uuid(hf_id_new(&test_clock, &test_random, text), '7');
        assert_true(strcmp(last, text) < 0);
        char head[40];
        snprintf(head, sizeof head, "%08llx-%04llx", (unsigned long long)now_ms >> 16,
                 (unsigned long long)now_ms & 0xffff);
        assert_memory_equal(text, head, 13);
        memcpy(last, text, sizeof last);
    }
}

static void new_ids_of_one_millisecond_differ(void **state) {
    (void)state;
    char a[HF_UUID_BYTES], b[HF_UUID_BYTES];
    for (int i = 0; i < 1000; i++)
        assert_string_not_equal(hf_id_new(&test_clock, hf_random_system(), a),
                                hf_id_new(&test_clock, hf_random_system(), b));
}

static void derived_ids_are_the_same_everywhere(void **state) {
    (void)state;
    char a[HF_UUID_BYTES], b[HF_UUID_BYTES];
    hf_str topic = HF_STR("hyperfleet.main.submissions");
    hf_id_from_position(topic, 3, 12345, 1768645800000, a);
    check_uuid(a, '8');
    assert_string_equal(a, hf_id_from_position(topic, 3, 12345, 1768645800000, b));
    /* Computed with Python's hashlib and written down: another build, machine or release must come to the same id. */
    assert_string_equal(a, "019bcb81-3040-8148-8dbe-5016a052d0fa");
    assert_string_equal(hf_id_from_schedule(HF_STR("nightly"), 1768645800000, b),
                        "019bcb81-3040-8e27-8dd5-cea161108a06");
}

static void whatever_differs_gives_another_id(void **state) {
    (void)state;
    char ids[8][HF_UUID_BYTES];
    hf_id_from_position(HF_STR("t"), 0, 1, 5, ids[0]);
    hf_id_from_position(HF_STR("u"), 0, 1, 5, ids[1]);
    hf_id_from_position(HF_STR("t"), 1, 1, 5, ids[2]);
    hf_id_from_position(HF_STR("t"), 0, 2, 5, ids[3]);
    hf_id_from_position(HF_STR("t"), 1, 0, 5, ids[4]);
    hf_id_from_position(HF_STR("t"), -1, 5, 5, ids[5]);
    hf_id_from_schedule(HF_STR("s"), 5, ids[6]);
    hf_id_from_schedule(HF_STR("s"), 6, ids[7]);
    for (int i = 0; i < 8; i++)
        for (int j = i + 1; j < 8; j++)
            assert_string_not_equal(ids[i], ids[j]);
}

static void ids_are_safe_as_file_names_urls_and_keys(void **state) {
    (void)state;
    static const char *const good[] = {"a",  "web-01", "0190f3c2-6f3e-7c1a-9a55-0d5c3d1f2b10", "a.b_c:d@e+f=g~h", "_x",
                                       "~x", "A"};
    static const char *const bad[] = {"",    ".",   "..", ".a", "-a", "a b", "a/b", "a\\b",
                                      "a%b", "a\n", "é",  "a?", "a#", "a*",  "a\"", "a'"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!hf_id_valid(hf_str_of(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hf_id_valid(hf_str_of(bad[i])))
            fail_msg("taken: %s", bad[i]);
    assert_false(hf_id_valid(HF_STR_NONE));
    assert_false(hf_id_valid((hf_str){"a\0b", 3}));
    char longest[HF_ID_MAX_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(hf_id_valid((hf_str){longest, HF_ID_MAX_BYTES}));
    assert_false(hf_id_valid((hf_str){longest, HF_ID_MAX_BYTES + 1}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ids_sort_by_time_and_carry_it),        cmocka_unit_test(new_ids_of_one_millisecond_differ),
        cmocka_unit_test(derived_ids_are_the_same_everywhere),      cmocka_unit_test(whatever_differs_gives_another_id),
        cmocka_unit_test(ids_are_safe_as_file_names_urls_and_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
