/* Text for people: units, tables that line up, and nothing that could drive a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "producer/ctl/text.h"
#include "schemas/base/mem.h"

static void bytes_and_durations_read_well(void **state) {
    (void)state;
    char text[HF_TEXT_BYTES];
    static const struct {
        double bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},           {1023, "1023 B"},    {1024, "1.0 KiB"},   {1536, "1.5 KiB"},
                 {1 << 30, "1.0 GiB"}, {5.5e12, "5.0 TiB"}, {1e19, "8881.8 PiB"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++)
        assert_string_equal(hf_text_bytes(sizes[i].bytes, text), sizes[i].text);
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {{-5, "0ms"},       {350, "350ms"},     {1000, "1s"},        {59999, "59s"},
                 {185000, "3m05s"}, {7620000, "2h07m"}, {273600000, "3d04h"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(times); i++)
        assert_string_equal(hf_text_duration(times[i].ms, text), times[i].text);
}

static void a_bar_fills_and_stays_in_its_bounds(void **state) {
    (void)state;
    char text[128];
    assert_string_equal(hf_text_bar(0, 10, text), "[..........]");
    assert_string_equal(hf_text_bar(50, 10, text), "[#####.....]");
    assert_string_equal(hf_text_bar(250, 10, text), "[##########]");
    assert_string_equal(hf_text_bar(-1, 4, text), "[????]");
    assert_int_equal(strlen(hf_text_bar(99, 1000, text)), 122);
}

static void control_characters_and_broken_utf8_become_harmless(void **state) {
    (void)state;
    char text[64];
    assert_string_equal(hf_text_harmless("a\033[31mb\nc\x7f", text, sizeof text), "a?[31mb?c?");
    assert_string_equal(hf_text_harmless("M\xc3\xbcnchen \xe2\x82\xac", text, sizeof text),
                        "M\xc3\xbcnchen \xe2\x82\xac");
    assert_string_equal(hf_text_harmless("\xc2\x9b"
                                         "31m \xff\xc3",
                                         text, sizeof text),
                        "?31m ??");
    assert_string_equal(hf_text_harmless("abcdef", text, 4), "abc");
    assert_string_equal(hf_text_harmless("ab\xc3\xbc", text, 4), "ab"); /* never half a character */
}

static char *print(const hf_table *table, hf_code wanted) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(hf_table_print(table, out, NULL), wanted);
    fclose(out);
    return text;
}

static void columns_line_up_by_characters(void **state) {
    (void)state;
    static const char *const headings[] = {"ID", "NAME", "END"};
    hf_table *table = hf_table_new(headings, 3);
    hf_table_put(table, "1");
    hf_table_put(table, "M\xc3\xbcnchen");
    hf_table_putf(table, "%d", 7);
    hf_table_put(table, "22");
    hf_table_put(table, NULL);
    hf_table_put(table, "x\ty");
    hf_auto_free char *text = print(table, HF_OK);
    assert_string_equal(text, "ID  NAME     END\n"
                              "1   M\xc3\xbcnchen  7\n"
                              "22  -        x?y\n");
    hf_table_free(table);
}

static void a_cell_that_was_lost_is_an_error_and_prints_nothing(void **state) {
    (void)state;
    static const char *const headings[] = {"A"};
    for (uint64_t n = 2; n < 5; n++) {
        hf_table *table = NULL;
        hf_alloc_fail_after(n);
        table = hf_table_new(headings, 1);
        hf_table_put(table, "cell");
        hf_alloc_fail_after(0);
        hf_auto_free char *text = print(table, HF_E_NO_MEMORY);
        assert_string_equal(text, "");
        hf_table_free(table);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_durations_read_well),
        cmocka_unit_test(a_bar_fills_and_stays_in_its_bounds),
        cmocka_unit_test(control_characters_and_broken_utf8_become_harmless),
        cmocka_unit_test(columns_line_up_by_characters),
        cmocka_unit_test(a_cell_that_was_lost_is_an_error_and_prints_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
