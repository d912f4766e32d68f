#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/host.h"
#include "schemas/base/id.h"

static void a_host_name_is_an_id(void **state) {
    (void)state;
    char name[64], tiny[4];
    assert_true(hf_id_valid(hf_str_of(hf_host_name(name, sizeof name))));
    assert_null(strchr(name, '.'));
    hf_host_name(tiny, sizeof tiny);
    assert_true(strlen(tiny) < sizeof tiny && strlen(tiny) > 0);
}

static void a_producer_says_who_where_and_which_run(void **state) {
    (void)state;
    char host[64], expected[200], text[200], tiny[8];
    snprintf(expected, sizeof expected, "hyperworker@%s/0190", hf_host_name(host, sizeof host));
    hf_producer_name("hyperworker", "0190", text, sizeof text);
    assert_string_equal(text, expected);
    hf_producer_name("hyperworker", "0190", tiny, sizeof tiny);
    assert_string_equal(tiny, "hyperwo");
}

static void directories_are_made_down_the_path(void **state) {
    (void)state;
    char root[] = "/tmp/hf-host-XXXXXX", path[128];
    assert_non_null(mkdtemp(root));
    struct stat st;
    snprintf(path, sizeof path, "%s/a//b/c/", root);
    CHECK_OK(hf_make_dirs(path, 0750, err));
    CHECK_OK(hf_make_dirs(path, 0750, err)); /* again */
    assert_true(stat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0750);

    snprintf(path, sizeof path, "%s/file", root);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    hf_err e;
    assert_int_equal(hf_make_dirs(path, 0750, &e), HF_E_EXISTS);
    snprintf(path, sizeof path, "%s/file/below", root);
    assert_int_not_equal(hf_make_dirs(path, 0750, &e), HF_OK);
    CHECK_HAS(e.detail, "/file exists and is not a directory"); /* the part that failed, not the whole */
    CHECK_HAS_NOT(e.detail, "below");
    assert_int_equal(hf_make_dirs("", 0750, &e), HF_E_INVALID);
    assert_int_not_equal(hf_make_dirs("/proc/nope/x", 0750, &e), HF_OK);
    CHECK_HAS(e.detail, "/proc/nope");

    static const char *const gone[] = {"a/b/c", "a/b", "a", "file"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        snprintf(path, sizeof path, "%s/%s", root, gone[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(rmdir(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_name_is_an_id),
        cmocka_unit_test(a_producer_says_who_where_and_which_run),
        cmocka_unit_test(directories_are_made_down_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
