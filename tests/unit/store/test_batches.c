/* What a batch does, and how tables are read. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/mem.h"
#include "scratch.h"

static void put(hf_changes *c, hf_table t, const char *k, const char *v) {
    assert_true(hf_changes_put(c, t, hf_str_of(k), hf_str_of(v), 0));
}
static void expect(hf_store *s, hf_table t, const char *k, const char *want) {
    hf_read *r = NULL;
    hf_str v = HF_STR_NONE;
    assert_ok(hf_read_begin(s, &r, err));
    hf_code rc = hf_read_get(r, t, hf_str_of(k), &v, NULL);
    if (want) {
        assert_int_equal(rc, HF_OK);
        assert_true(hf_str_eqz(v, want));
    } else
        assert_int_equal(rc, HF_E_NOT_FOUND);
    hf_read_end(r);
}

static void later_wins_over_earlier_in_a_batch(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t;
    assert_ok(hf_store_table(s, "t", 0, &t, err));
    hf_changes *c = hf_changes_new(1 << 20);
    put(c, t, "b", "1");
    put(c, t, "a", "1");
    put(c, t, "a", "2");
    assert_true(hf_changes_delete(c, t, HF_STR("b")));
    assert_true(hf_changes_delete(c, t, HF_STR("z")));
    put(c, t, "z", "last");
    assert_int_equal(hf_changes_count(c), 6);
    assert_ok(hf_store_commit(s, c, err));
    expect(s, t, "a", "2");
    expect(s, t, "b", NULL);
    expect(s, t, "z", "last");
    hf_changes_clear(c);
    assert_ok(hf_store_commit(s, c, err)); /* empty is fine */
    hf_changes_free(c);
    hf_store_close(s);
}

static void append_falls_back_to_a_plain_put(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t;
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    assert_ok(scratch_fill(s, t, 100, 10, 8, err));
    assert_ok(scratch_fill(s, t, 50, 10, 8, err));  /* below the last */
    assert_ok(scratch_fill(s, t, 105, 10, 8, err)); /* overlapping */
    assert_int_equal(scratch_count(s, t), 10 + 15);
    hf_store_close(s);
}

static void cursor_walks_integer_keys_in_order_across_bytes(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t;
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    hf_changes *c = hf_changes_new(1 << 20);
    const uint64_t keys[] = {1, 255, 256, 65536, 1ull << 48, (1ull << 48) + 1};
    for (size_t i = HF_ARRAY_LEN(keys); i-- > 0;)
        assert_true(hf_changes_put_u64(c, t, keys[i], HF_STR("x"), 0));
    assert_ok(hf_store_commit(s, c, err));
    hf_changes_free(c);
    hf_read *r = NULL;
    hf_cursor *cur = NULL;
    assert_ok(hf_read_begin(s, &r, err));
    assert_ok(hf_cursor_open(r, t, &cur, err));
    hf_str k = HF_STR_NONE, v;
    for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++) {
        assert_ok(hf_cursor_move(cur, HF_NEXT, &k, &v, err));
        assert_true(hf_u64_of(k) == keys[i]);
    }
    assert_int_equal(hf_cursor_move(cur, HF_NEXT, &k, &v, NULL), HF_E_NOT_FOUND);
    uint64_t from = 257;
    k = hf_key_u64(&from);
    assert_ok(hf_cursor_move(cur, HF_SEEK, &k, &v, err));
    assert_true(hf_u64_of(k) == 65536);
    assert_ok(hf_cursor_move(cur, HF_PREV, &k, &v, err));
    assert_true(hf_u64_of(k) == 256);
    hf_cursor_close(cur);
    hf_read_end(r);
    hf_store_close(s);
}

static void dup_tables_keep_several_values_and_delete_one(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t, f;
    assert_ok(hf_store_table(s, "d", HF_TABLE_DUP | HF_TABLE_DUP_INTEGER, &t, err));
    assert_ok(hf_store_table(s, "f", HF_TABLE_INTEGER_KEY | HF_TABLE_DUP | HF_TABLE_DUP_FIXED, &f, err));
    hf_changes *c = hf_changes_new(1 << 20);
    for (uint64_t i = 5; i-- > 0;) {
        assert_true(hf_changes_put(c, t, HF_STR("path"), hf_key_u64(&i), 0));
        char v[10] = {0, 0, 0, 0, 0, 0, 0, (char)i, 1, 2};
        assert_true(hf_changes_put_u64(c, f, 7, (hf_str){v, sizeof v}, 0));
    }
    uint64_t three = 3;
    assert_true(hf_changes_delete_value(c, t, HF_STR("path"), hf_key_u64(&three)));
    assert_ok(hf_store_commit(s, c, err));
    assert_int_equal(scratch_count(s, t), 4);
    assert_int_equal(scratch_count(s, f), 5);
    hf_changes_clear(c);
    assert_true(hf_changes_delete(c, t, HF_STR("path")));
    assert_ok(hf_store_commit(s, c, err));
    assert_int_equal(scratch_count(s, t), 0);
    hf_changes_free(c);
    hf_store_close(s);
}

static void a_batch_is_bounded(void **state) {
    (void)state;
    hf_changes *c = hf_changes_new(200);
    assert_true(hf_changes_put(c, 0, HF_STR("k"), HF_STR("v"), 0));
    size_t bytes = hf_changes_bytes(c);
    char big[300] = {0};
    assert_false(hf_changes_put(c, 0, HF_STR("k"), (hf_str){big, sizeof big}, 0));
    assert_int_equal(hf_changes_bytes(c), bytes);
    assert_int_equal(hf_changes_count(c), 1);
    hf_changes_free(c);
}

static void too_long_a_key_is_a_limit_and_nothing_is_written(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t;
    char key[600];
    memset(key, 'k', sizeof key);
    assert_ok(hf_store_table(s, "t", 0, &t, err));
    hf_changes *c = hf_changes_new(1 << 20);
    put(c, t, "a", "1");
    assert_true(hf_changes_put(c, t, (hf_str){key, sizeof key}, HF_STR("v"), 0));
    assert_int_equal(hf_store_commit(s, c, NULL), HF_E_LIMIT);
    expect(s, t, "a", NULL);
    hf_changes_free(c);
    hf_store_close(s);
}

static void tables_are_found_by_name_with_their_flags(void **state) {
    hf_store_options o = {.kind = "test", .fleet = "f", .version = 3};
    hf_store *s = scratch_store(state, &o);
    hf_table t, again;
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &again, err));
    assert_int_equal(t, again);
    assert_int_equal(hf_store_table(s, "n", 0, &again, NULL), HF_E_INTERNAL);
    hf_store_close(s);
    o.flags = HF_STORE_READONLY;
    s = scratch_store(state, &o);
    unsigned flags = 0;
    assert_ok(hf_store_table_as_is(s, "n", &t, &flags, err));
    assert_int_equal(flags, HF_TABLE_INTEGER_KEY);
    hf_err e;
    assert_int_equal(hf_store_table(s, "absent", 0, &t, &e), HF_E_NOT_FOUND);
    assert_non_null(strstr(e.detail, "absent"));
    hf_changes *c = hf_changes_new(1 << 20);
    assert_true(hf_changes_put_u64(c, t, 1, HF_STR("x"), 0));
    assert_int_equal(hf_store_commit(s, c, NULL), HF_E_INTERNAL);
    hf_changes_free(c);
    hf_store_close(s);
}

static void a_copy_holds_the_same(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t;
    char to[512];
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    assert_ok(scratch_fill(s, t, 0, 1000, 100, err));
    mkdir(scratch_path(state, "copy", to), 0700);
    assert_ok(hf_store_copy(s, scratch_path(state, "copy/data.mdb", to), err));
    assert_int_equal(hf_store_copy(s, to, NULL), HF_E_EXISTS);
    hf_store_close(s);
    assert_ok(hf_store_open(scratch_path(state, "copy", to), NULL, &s, err));
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    assert_int_equal(scratch_count(s, t), 1000);
    hf_store_close(s);
}

static void every_failing_allocation_is_survived(void **state) {
    for (uint64_t n = 1; n < 200; n++) {
        hf_alloc_fail_after(n);
        hf_store *s = NULL;
        hf_table t;
        hf_read *r = NULL;
        hf_cursor *cur = NULL;
        hf_changes *c = NULL;
        hf_err e = {0};
        bool done = hf_store_open(*state, NULL, &s, &e) == HF_OK && hf_store_table(s, "t", 0, &t, &e) == HF_OK &&
                    (c = hf_changes_new(1 << 20)) && hf_changes_put(c, t, HF_STR("k"), HF_STR("v"), 0) &&
                    hf_store_commit(s, c, &e) == HF_OK && hf_read_begin(s, &r, &e) == HF_OK &&
                    hf_cursor_open(r, t, &cur, &e) == HF_OK;
        hf_alloc_fail_after(0);
        hf_cursor_close(cur);
        hf_read_end(r);
        hf_changes_free(c);
        hf_store_close(s);
        if (done) {
            assert_true(n > 5);
            return;
        }
    }
    fail_msg("never came through");
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {T(later_wins_over_earlier_in_a_batch),
                                       T(append_falls_back_to_a_plain_put),
                                       T(cursor_walks_integer_keys_in_order_across_bytes),
                                       T(dup_tables_keep_several_values_and_delete_one),
                                       T(a_batch_is_bounded),
                                       T(too_long_a_key_is_a_limit_and_nothing_is_written),
                                       T(tables_are_found_by_name_with_their_flags),
                                       T(a_copy_holds_the_same),
                                       T(every_failing_allocation_is_survived)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
