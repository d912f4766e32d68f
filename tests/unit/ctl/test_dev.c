/* The parts of `hyperctl dev` that need no fleet: its directory, its files, what of its children's output matters, back-off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "producer/ctl/dev/child.h"
#include "producer/ctl/dev/state.h"
#include "schemas/base/mem.h"

static void a_temporary_state_is_removed_at_the_end(void **state) {
    (void)state;
    hf_dev_state s;
    hf_err err;
    assert_int_equal(hf_dev_state_open(NULL, &s, &err), HF_OK);
    char dir[sizeof s.dir], inside[sizeof s.log_dir + 16];
    memcpy(dir, s.dir, sizeof dir);
    snprintf(inside, sizeof inside, "%s/x.log", s.log_dir);
    assert_int_equal(hf_dev_write_file(inside, "x", 1, &err), HF_OK);
    hf_dev_state_close(&s);
    assert_int_not_equal(access(dir, F_OK), 0);
}

static void one_directory_holds_one_fleet(void **state) {
    (void)state;
    char dir[] = "/tmp/hf-ctl-test-XXXXXX";
    assert_non_null(mkdtemp(dir));
    hf_dev_state first, second;
    hf_err err = {0};
    assert_int_equal(hf_dev_state_open(dir, &first, &err), HF_OK);
    assert_int_equal(hf_dev_state_open(dir, &second, &err), HF_E_STORE_IN_USE);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    assert_non_null(strstr(err.detail, pid));
    hf_dev_state_close(&first);
    assert_int_equal(access(dir, F_OK), 0); /* a given one stays */
    assert_int_equal(hf_dev_state_open(dir, &second, &err), HF_OK);
    hf_dev_state_close(&second);
    assert_int_equal(hf_dev_remove_tree(dir, &err), HF_OK);
}

static void a_file_is_replaced_whole_and_a_link_in_its_way_is_not_followed(void **state) {
    (void)state;
    char dir[] = "/tmp/hf-ctl-test-XXXXXX", path[64], other[64], text[16] = "";
    assert_non_null(mkdtemp(dir));
    hf_err err = {0};
    snprintf(path, sizeof path, "%s/ready.json", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    assert_int_equal(hf_dev_write_file(other, "keep", 4, &err), HF_OK);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(hf_dev_write_file(path, "new", 3, &err), HF_OK);
    FILE *file = fopen(other, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "keep");
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode) && st.st_size == 3);
    snprintf(path, sizeof path, "%s/none/ready.json", dir);
    assert_int_equal(hf_dev_write_file(path, "x", 1, &err), HF_E_NOT_FOUND);
    assert_int_equal(hf_dev_remove_tree(dir, &err), HF_OK);
}

static void errors_and_plain_lines_reach_the_terminal(void **state) {
    (void)state;
    assert_true(hf_child_line_matters("ts=2026-01-17T10:30:00.000Z level=error program=hyperworker event=ended"));
    assert_false(hf_child_line_matters(
        "ts=2026-01-17T10:30:00.000Z level=info program=hyperworker event=ready detail=\"no error\""));
    assert_true(hf_child_line_matters("{\"ts\":\"x\",\"level\":\"error\"}"));
    assert_false(hf_child_line_matters("{\"ts\":\"x\",\"level\":\"warn\"}"));
    assert_true(hf_child_line_matters("==12==ERROR: AddressSanitizer: heap-use-after-free"));
    assert_false(hf_child_line_matters(""));
}

static void restarts_wait_longer_and_longer_up_to_a_bound(void **state) {
    (void)state;
    assert_int_equal(hf_child_backoff_ms(1), 100);
    assert_int_equal(hf_child_backoff_ms(2), 200);
    assert_int_equal(hf_child_backoff_ms(5), 1600);
    assert_int_equal(hf_child_backoff_ms(1000000), HF_CHILD_BACKOFF_MAX_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_temporary_state_is_removed_at_the_end),
        cmocka_unit_test(one_directory_holds_one_fleet),
        cmocka_unit_test(a_file_is_replaced_whole_and_a_link_in_its_way_is_not_followed),
        cmocka_unit_test(errors_and_plain_lines_reach_the_terminal),
        cmocka_unit_test(restarts_wait_longer_and_longer_up_to_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
