/* Job files: one job, a list, {jobs: [...]}, in JSON and in YAML; and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "producer/submit/jobfile.h"
#include "schemas/base/mem.h"

static size_t count_of(const char *text) {
    json_t *jobs = NULL;
    hf_err err = {0};
    if (hf_jobs_parse(hf_str_of(text), "test", &jobs, &err))
        fail_msg("%s: %s", text, err.detail);
    size_t count = json_array_size(jobs);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(jobs, i), "name")), "a");
    json_decref(jobs);
    return count;
}

static void all_shapes_are_read(void **state) {
    (void)state;
    assert_int_equal(count_of("{\"name\":\"a\"}"), 1);
    assert_int_equal(count_of("  [{\"name\":\"a\"},{\"name\":\"a\"}]\n"), 2);
    assert_int_equal(count_of("{\"jobs\":[{\"name\":\"a\"},{\"name\":\"a\"},{\"name\":\"a\"}]}"), 3);
    assert_int_equal(count_of("name: a\nvm_path: /x.raw\n"), 1);
    assert_int_equal(count_of("- name: a\n- {name: a}\n"), 2);
    assert_int_equal(count_of("jobs:\n  - name: a\n  - name: a\n"), 2);
    assert_int_equal(count_of("{name: a}"), 1);
}

static void what_is_none_is_refused_and_named(void **state) {
    (void)state;
    static const struct {
        const char *text;
        hf_code code;
        const char *named;
    } bad[] = {{"[]", HF_E_INVALID, "no job"},          {"{\"jobs\":{}}", HF_E_INVALID, "one job"},
               {"[1]", HF_E_INVALID, "job 1"},          {"12", HF_E_INVALID, "one job"},
               {"{\"name\":", HF_E_PARSE, "test"},      {"[{\"name\":\"a\"},\"b\"]", HF_E_INVALID, "job 2"},
               {"a: &x 1\nb: *x\n", HF_E_PARSE, "test"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        json_t *jobs = NULL;
        hf_err err = {0};
        assert_int_equal(hf_jobs_parse(hf_str_of(bad[i].text), "test", &jobs, &err), bad[i].code);
        if (!strstr(err.detail, bad[i].named))
            fail_msg("%s: \"%s\"", bad[i].text, err.detail);
    }
}

static void a_file_that_is_not_there_is_named(void **state) {
    (void)state;
    json_t *jobs = NULL;
    hf_err err = {0};
    assert_int_equal(hf_jobs_read("/nonexistent/jobs.yaml", &jobs, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.detail, "/nonexistent/jobs.yaml"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_shapes_are_read),
                                       cmocka_unit_test(what_is_none_is_refused_and_named),
                                       cmocka_unit_test(a_file_that_is_not_there_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
