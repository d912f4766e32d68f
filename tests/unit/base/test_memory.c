/* Buffers, arenas and the one place memory comes from. */
#include "check.h"

#include "schemas/base/arena.h"
#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

/* ---- allocation -------------------------------------------------------------------------------- */
static void the_nth_allocation_fails_once(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 5; n++) {
        hf_alloc_fail_after(n);
        for (uint64_t i = 1; i <= 8; i++) {
            void *p = hf_alloc(16);
            assert_int_equal(p == NULL, i == n);
            free(p);
        }
    }
    hf_alloc_fail_after(2);
    void *p = hf_alloc(1);
    assert_null(hf_realloc(p, 100)); /* and p is still there */
    free(p);
    hf_alloc_fail_after(1);
    assert_null(hf_strndup("abc", 3));
    hf_alloc_fail_after(0);
}

static void memory_comes_zeroed_and_copies_end(void **state) {
    (void)state;
    hf_auto_free unsigned char *p = hf_alloc(1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(p[i], 0);
    hf_auto_free char *copy = hf_strndup("abcdef", 3), *empty = hf_strndup(NULL, 0);
    assert_string_equal(copy, "abc");
    assert_string_equal(empty, "");
    hf_auto_free char *taken = NULL;
    {
        hf_auto_free char *owner = hf_strndup("x", 1);
        taken = HF_TAKE(owner);
        assert_null(owner);
    }
    assert_string_equal(taken, "x");
}

/* ---- buffer ------------------------------------------------------------------------------------ */
static void a_buffer_grows_up_to_its_bound_and_no_further(void **state) {
    (void)state;
    hf_buf b;
    hf_buf_init(&b, 1000);
    for (int i = 0; i < 100; i++)
        assert_true(hf_buf_put(&b, "0123456789", 10));
    assert_int_equal(b.len, 1000);
    assert_true(b.cap <= 1000);
    assert_true(hf_buf_put(&b, "", 0));
    assert_false(hf_buf_put(&b, "x", 1));
    assert_true(b.failed);
    assert_int_equal(b.len, 1000); /* as it was */
    assert_false(hf_buf_put(&b, "", 0));
    hf_buf_clear(&b);
    assert_true(hf_buf_puts(&b, "again") && hf_str_eqz(hf_buf_str(&b), "again"));
    assert_null(hf_buf_reserve(&b, SIZE_MAX - 2));
    assert_true(b.failed);
    hf_buf_done(&b);
}

static void formatted_text_needs_room_for_its_end(void **state) {
    (void)state;
    hf_buf b;
    hf_buf_init(&b, 8);
    assert_true(hf_buf_printf(&b, "%s", "1234567"));
    assert_int_equal(b.len, 7);
    assert_false(hf_buf_printf(&b, "%s", "8"));
    assert_true(hf_str_eqz(hf_buf_str(&b), "1234567"));
    hf_buf_done(&b);
}

static void a_buffer_survives_each_failing_allocation(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 6; n++) {
        hf_buf b;
        hf_buf_init(&b, 100000);
        hf_alloc_fail_after(n);
        size_t good = 0;
        for (int i = 0; i < 1000; i++)
            good += hf_buf_put(&b, "0123456789", 10);
        hf_alloc_fail_after(0);
        assert_true(b.failed && good < 1000);
        assert_int_equal(b.len, good * 10);
        hf_buf_done(&b);
        assert_int_equal(b.max_bytes, 100000); /* to be used again */
        assert_true(hf_buf_put(&b, "x", 1));
        hf_buf_done(&b);
    }
}

/* ---- arena ------------------------------------------------------------------------------------- */
static void an_arena_hands_out_aligned_zeroed_memory_up_to_its_bound(void **state) {
    (void)state;
    hf_arena a;
    hf_arena_init(&a, 100000);
    size_t total = 0;
    for (size_t size = 0;; size = (size * 7 + 1) % 4001) {
        unsigned char *p = hf_arena_alloc(&a, size);
        if (!p)
            break;
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xaa, size); /* the next one must still come zeroed, and ASan sees an overlap's end */
        total += size;
    }
    assert_true(total > 90000 && total <= 100000 && a.used_bytes <= 100000);
    assert_null(hf_arena_alloc(&a, SIZE_MAX));
    assert_null(hf_arena_alloc(&a, SIZE_MAX - 8));
    hf_arena_reset(&a);
    assert_int_equal(a.used_bytes, 0);
    const unsigned char *again = hf_arena_alloc(&a, 64);
    assert_non_null(again);
    for (int i = 0; i < 64; i++)
        assert_int_equal(again[i], 0);
    hf_arena_done(&a);
    hf_arena_done(&a); /* twice does no harm */
}

static void a_loop_over_one_arena_stops_allocating(void **state) {
    (void)state;
    hf_arena a;
    hf_arena_init(&a, 1 << 20);
    assert_non_null(hf_arena_alloc(&a, 1000));
    for (int i = 0; i < 100; i++) {
        hf_arena_reset(&a);
        hf_alloc_fail_after(1); /* would be noticed */
        assert_non_null(hf_arena_alloc(&a, 1000));
    }
    hf_alloc_fail_after(0);
    hf_arena_done(&a);
}

static void texts_in_an_arena_end_with_nul(void **state) {
    (void)state;
    hf_arena a;
    hf_arena_init(&a, 4096);
    hf_str s = hf_arena_str(&a, (hf_str){"abcdef", 3}), empty = hf_arena_str(&a, HF_STR_NONE);
    assert_string_equal(s.p, "abc");
    assert_int_equal(s.len, 3);
    assert_non_null(empty.p);
    assert_string_equal(hf_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    char big[5000] = {0};
    hf_str none = hf_arena_str(&a, (hf_str){big, sizeof big});
    assert_true(none.p == NULL && none.len > 0);
    memset(big, 'x', sizeof big - 1);
    assert_null(hf_arena_printf(&a, "%s", big));
    hf_arena_done(&a);
}

static void an_arena_survives_each_failing_allocation(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 4; n++) {
        hf_arena a;
        hf_arena_init(&a, 1 << 20);
        hf_alloc_fail_after(n);
        int failed = 0;
        for (int i = 0; i < 100; i++)
            failed += hf_arena_alloc(&a, 1000) == NULL;
        hf_alloc_fail_after(0);
        assert_int_equal(failed, 1); /* and it goes on afterwards */
        hf_arena_done(&a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(memory_comes_zeroed_and_copies_end),
        cmocka_unit_test(a_buffer_grows_up_to_its_bound_and_no_further),
        cmocka_unit_test(formatted_text_needs_room_for_its_end),
        cmocka_unit_test(a_buffer_survives_each_failing_allocation),
        cmocka_unit_test(an_arena_hands_out_aligned_zeroed_memory_up_to_its_bound),
        cmocka_unit_test(a_loop_over_one_arena_stops_allocating),
        cmocka_unit_test(texts_in_an_arena_end_with_nul),
        cmocka_unit_test(an_arena_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
