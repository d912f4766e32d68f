#include "check.h"

#include <errno.h>

#include "schemas/base/err.h"

static void every_code_has_a_unique_name_and_a_sentence(void **state) {
    (void)state;
    for (int a = 0; a < HF_CODE_COUNT; a++) {
        const char *name = hf_code_name((hf_code)a), *sentence = hf_code_sentence((hf_code)a);
        if (strspn(name, "abcdefghijklmnopqrstuvwxyz-") != strlen(name) || !*name)
            fail_msg("\"%s\" is no wire name", name);
        if (strlen(sentence) < 9 || sentence[strlen(sentence) - 1] != '.')
            fail_msg("%s: \"%s\" is no sentence", name, sentence);
        assert_int_equal(hf_code_from_name(name, strlen(name)), a);
        for (int b = a + 1; b < HF_CODE_COUNT; b++)
            assert_string_not_equal(name, hf_code_name((hf_code)b));
    }
}

static void statuses_are_of_the_kinds_the_policy_needs(void **state) {
    (void)state;
    for (int i = 1; i < HF_CODE_COUNT; i++) {
        hf_code code = (hf_code)i;
        int http = hf_code_http_status(code), status = hf_code_exit_status(code);
        if (http < 400 || http > 599 || status < 64 || status > 78)
            fail_msg("%s: HTTP %d, exit %d", hf_code_name(code), http, status);
        if (hf_code_policy(code) == HF_POLICY_STOP && http < 500)
            fail_msg("%s stops the program but blames the client (%d)", hf_code_name(code), http);
    }
    assert_int_equal(hf_code_http_status(HF_OK), 200);
    assert_int_equal(hf_code_exit_status(HF_OK), 0);
}

static void unknown_codes_and_names_are_bugs(void **state) {
    (void)state;
    assert_string_equal(hf_code_name((hf_code)9999), "internal");
    assert_string_equal(hf_code_name((hf_code)-1), "internal");
    assert_int_equal(hf_code_from_name("no-such", 7), HF_E_INTERNAL);
    assert_int_equal(hf_code_from_name("store-fullx", 10), HF_E_STORE_FULL); /* the length counts */
    assert_int_equal(hf_code_from_name("", 0), HF_E_INTERNAL);
}

static void a_detail_is_filled_and_context_goes_in_front(void **state) {
    (void)state;
    hf_err err;
    assert_int_equal(hf_fail(&err, HF_E_STORE_FULL, "job %s", "x"), HF_E_STORE_FULL);
    assert_int_equal(err.code, HF_E_STORE_FULL);
    assert_string_equal(err.detail, "job x");
    assert_int_equal(hf_context(&err, "offset %d", 7), HF_E_STORE_FULL);
    assert_string_equal(err.detail, "offset 7: job x");
    /* Its own detail as an argument. */
    hf_fail(&err, HF_E_IO, "again (%s)", err.detail);
    assert_string_equal(err.detail, "again (offset 7: job x)");
}

static void nobody_has_to_take_the_detail(void **state) {
    (void)state;
    assert_int_equal(hf_fail(NULL, HF_E_IO, "x"), HF_E_IO);
    assert_int_equal(hf_fail_errno(NULL, ENOSPC, "x"), HF_E_NO_SPACE);
    hf_context(NULL, "x");
}

static void long_details_are_cut_not_overrun(void **state) {
    (void)state;
    char big[4000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    struct {
        hf_err err;
        char after[16];
    } s;
    memset(s.after, 'g', sizeof s.after);
    hf_fail(&s.err, HF_E_IO, "%s", big);
    assert_int_equal(strlen(s.err.detail), HF_ERR_DETAIL_BYTES - 1);
    hf_fail_errno(&s.err, EIO, "%s", big);
    assert_int_equal(strlen(s.err.detail), HF_ERR_DETAIL_BYTES - 1);
    hf_fail(&s.err, HF_E_IO, "tail");
    hf_context(&s.err, "%s", big);
    assert_int_equal(strlen(s.err.detail), HF_ERR_DETAIL_BYTES - 1);
    for (int i = 0; i < 100; i++)
        hf_context(&s.err, "front %d", i);
    assert_memory_equal(s.err.detail, "front 99: front 98: ", 20);
    for (size_t i = 0; i < sizeof s.after; i++)
        assert_int_equal(s.after[i], 'g');
}

static void errno_becomes_a_code_and_words(void **state) {
    (void)state;
    static const struct {
        int err;
        hf_code code;
    } rows[] = {{ENOSPC, HF_E_NO_SPACE},  {EDQUOT, HF_E_NO_SPACE},  {EACCES, HF_E_PERMISSION},
                {EPERM, HF_E_PERMISSION}, {ENOENT, HF_E_NOT_FOUND}, {EEXIST, HF_E_EXISTS},
                {ENOMEM, HF_E_NO_MEMORY}, {EIO, HF_E_IO},           {EPIPE, HF_E_IO}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hf_err err;
        char words[300];
        assert_int_equal(hf_fail_errno(&err, rows[i].err, "open %s", "/x"), rows[i].code);
        snprintf(words, sizeof words, "open /x: %s", strerror(rows[i].err));
        assert_string_equal(err.detail, words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_unique_name_and_a_sentence),
        cmocka_unit_test(statuses_are_of_the_kinds_the_policy_needs),
        cmocka_unit_test(unknown_codes_and_names_are_bugs),
        cmocka_unit_test(a_detail_is_filled_and_context_goes_in_front),
        cmocka_unit_test(nobody_has_to_take_the_detail),
        cmocka_unit_test(long_details_are_cut_not_overrun),
        cmocka_unit_test(errno_becomes_a_code_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
