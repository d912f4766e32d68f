/* labels: tsan */
/* Answers that are kept: given for their own transaction alone, bounded, and whole however many threads use them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "journal/http/answers.h"

static void one_is_given_for_its_own_transaction_alone(void **state) {
    (void)state;
    hf_answers *answers = hf_answers_new();
    assert_non_null(answers);
    assert_null(hf_answers_find(answers, HF_STR("a"), 1));
    hf_answers_keep(answers, HF_STR("a"), 1, "W/\"1\"", false, (const uint8_t *)"one", 3);
    hf_answer *held = hf_answers_find(answers, HF_STR("a"), 1);
    assert_non_null(held);
    assert_null(hf_answers_find(answers, HF_STR("a"), 2));
    assert_null(hf_answers_find(answers, HF_STR("b"), 1));
    hf_answers_keep(answers, HF_STR("a"), 2, "W/\"2\"", true, (const uint8_t *)"two!", 4);
    hf_answers_keep(answers, HF_STR("a"), 1, "W/\"1\"", false, (const uint8_t *)"one", 3); /* too late */
    assert_null(hf_answers_find(answers, HF_STR("a"), 1));
    hf_answer *later = hf_answers_find(answers, HF_STR("a"), 2);
    assert_non_null(later);
    assert_true(later->compressed && later->len == 4 && memcmp(later->bytes, "two!", 4) == 0);
    assert_true(!held->compressed && held->len == 3 && memcmp(held->bytes, "one", 3) == 0);
    hf_answer_drop(later);
    hf_answers_free(answers);
    assert_string_equal(held->etag, "W/\"1\""); /* as long as somebody holds it */
    hf_answer_drop(held);
}

static void they_are_bounded_and_the_oldest_give_way(void **state) {
    (void)state;
    hf_answers *answers = hf_answers_new();
    static uint8_t large[HF_ANSWER_MAX_BYTES + 1];
    hf_answers_keep(answers, HF_STR("large"), 1, "", false, large, sizeof large);
    assert_null(hf_answers_find(answers, HF_STR("large"), 1));
    char key[24];
    int kept = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        hf_answers_keep(answers, hf_str_of(key), 1, "", false, large, 1);
        hf_answer *a = hf_answers_find(answers, hf_str_of(key), 1);
        assert_non_null(a);
        hf_answer_drop(a);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key %d", i);
        hf_answer *a = hf_answers_find(answers, hf_str_of(key), 1);
        kept += a != NULL;
        hf_answer_drop(a);
    }
    assert_int_equal(kept, HF_ANSWERS_SHARDS * HF_ANSWERS_WAYS);
    hf_answers_free(answers);
}

enum { THREADS = 4, ROUNDS = 5000, KEYS = 100 };

static void *use(void *ctx) {
    hf_answers *answers = ctx;
    uint8_t bytes[512];
    char key[24];
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t txn = i / 500 + 1;
        uint8_t fill = (uint8_t)((i % KEYS) * 7 + txn);
        snprintf(key, sizeof key, "key %u", i % KEYS);
        hf_answer *a = hf_answers_find(answers, hf_str_of(key), txn);
        if (!a) {
            memset(bytes, fill, sizeof bytes);
            hf_answers_keep(answers, hf_str_of(key), txn, "W/\"x\"", false, bytes, sizeof bytes);
            continue;
        }
        for (size_t n = 0; n < a->len; n++)
            if (a->bytes[n] != fill)
                return ctx;
        hf_answer_drop(a);
    }
    return NULL;
}

static void many_threads_see_whole_answers(void **state) {
    (void)state;
    hf_answers *answers = hf_answers_new();
    pthread_t threads[THREADS];
    void *wrong;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, answers), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    hf_answers_free(answers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_given_for_its_own_transaction_alone),
        cmocka_unit_test(they_are_bounded_and_the_oldest_give_way),
        cmocka_unit_test(many_threads_see_whole_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
