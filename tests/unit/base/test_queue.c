#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/base/queue.h"

static bool readable(hf_queue *q) {
    struct pollfd p = {.fd = hf_queue_fd(q), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void items_come_out_in_order_and_full_is_an_answer(void **state) {
    (void)state;
    hf_queue *q = hf_queue_new(sizeof(int), 3);
    assert_non_null(q);
    int item;
    assert_false(hf_queue_pop(q, &item, 0));
    for (int round = 0; round < 5; round++) { /* so that the ring wraps */
        for (int i = 0; i < 3; i++)
            assert_true(hf_queue_push(q, &(int){10 * round + i}, 0));
        assert_false(hf_queue_push(q, &(int){99}, 0));
        assert_int_equal(hf_queue_len(q), 3);
        for (int i = 0; i < 2; i++) {
            assert_true(hf_queue_pop(q, &item, 0));
            assert_int_equal(item, 10 * round + i);
        }
        assert_true(hf_queue_pop(q, &item, -1));
        assert_int_equal(item, 10 * round + 2);
    }
    hf_queue_free(q);
    hf_queue_free(NULL);
}

static void waiting_ends_in_time(void **state) {
    (void)state;
    hf_queue *q = hf_queue_new(sizeof(int), 1);
    int item = 1;
    int64_t start = hf_mono_ns();
    assert_false(hf_queue_pop(q, &item, 30));
    assert_true(hf_queue_push(q, &item, 30));
    assert_false(hf_queue_push(q, &item, 30));
    int64_t took_ms = (hf_mono_ns() - start) / 1000000;
    assert_true(took_ms >= 58 && took_ms < 5000);
    hf_queue_free(q);
}

static void the_descriptor_is_readable_while_there_is_something(void **state) {
    (void)state;
    hf_queue *q = hf_queue_new(sizeof(int), 4);
    int item = 0;
    assert_false(readable(q));
    hf_queue_push(q, &item, 0);
    hf_queue_push(q, &item, 0);
    assert_true(readable(q));
    hf_queue_pop(q, &item, 0);
    assert_true(readable(q));
    hf_queue_pop(q, &item, 0);
    assert_false(readable(q));
    hf_queue_close(q);
    assert_true(readable(q)); /* a poll loop must notice the end */
    hf_queue_free(q);
}

static void a_closed_queue_takes_nothing_and_drains(void **state) {
    (void)state;
    hf_queue *q = hf_queue_new(sizeof(int), 4);
    int item = 7;
    assert_true(hf_queue_push(q, &item, 0));
    hf_queue_close(q);
    hf_queue_close(q);
    assert_false(hf_queue_push(q, &item, -1));
    item = 0;
    assert_true(hf_queue_pop(q, &item, -1));
    assert_int_equal(item, 7);
    assert_false(hf_queue_pop(q, &item, -1));
    hf_queue_free(q);
}

static void *pop_for_ever(void *q) {
    int item;
    return hf_queue_pop(q, &item, -1) ? q : NULL;
}
static void *push_for_ever(void *q) { return hf_queue_push(q, &(int){1}, -1) ? q : NULL; }

static void closing_wakes_those_who_wait(void **state) {
    (void)state;
    hf_queue *empty = hf_queue_new(sizeof(int), 1), *full = hf_queue_new(sizeof(int), 1);
    pthread_t threads[4];
    hf_queue_push(full, &(int){1}, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? pop_for_ever : push_for_ever, i < 2 ? empty : full),
                         0);
    usleep(20000);
    hf_queue_close(empty);
    hf_queue_close(full);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    hf_queue_free(empty);
    hf_queue_free(full);
}

enum { PRODUCERS = 3, CONSUMERS = 3, EACH = 5000 };
typedef struct shared {
    hf_queue *q;
    _Atomic uint64_t sum;
    _Atomic int count, next_producer;
} shared;
typedef struct wide {
    int producer, n;
    char pad[40]; /* an item torn in two would show */
} wide;

static void *produce(void *arg) {
    shared *s = arg;
    wide item = {.producer = atomic_fetch_add(&s->next_producer, 1)};
    for (item.n = 0; item.n < EACH; item.n++) {
        memset(item.pad, item.n & 0x7f, sizeof item.pad);
        if (!hf_queue_push(s->q, &item, -1))
            return NULL;
    }
    return s;
}

static void *consume(void *arg) {
    shared *s = arg;
    int last[PRODUCERS] = {-1, -1, -1};
    wide item;
    while (hf_queue_pop(s->q, &item, -1)) {
        if (item.pad[0] != (item.n & 0x7f) || item.pad[39] != item.pad[0] || item.n <= last[item.producer])
            return NULL; /* torn, or out of order */
        last[item.producer] = item.n;
        atomic_fetch_add(&s->sum, (uint64_t)item.n);
        atomic_fetch_add(&s->count, 1);
    }
    return s;
}

static void many_threads_lose_nothing(void **state) {
    (void)state;
    shared s = {.q = hf_queue_new(sizeof(wide), 16)};
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &s), 0);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &s), 0);
    void *result;
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], &result);
        assert_non_null(result);
    }
    hf_queue_close(s.q);
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], &result);
        assert_non_null(result);
    }
    assert_int_equal(s.count, PRODUCERS * EACH);
    assert_int_equal(s.sum, (uint64_t)PRODUCERS * EACH * (EACH - 1) / 2);
    hf_queue_free(s.q);
}

static void no_memory_is_an_answer(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        hf_alloc_fail_after(n);
        assert_null(hf_queue_new(8, 8));
    }
    hf_alloc_fail_after(0);
    assert_null(hf_queue_new(8, 0));
    assert_null(hf_queue_new(SIZE_MAX / 2, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_full_is_an_answer),
        cmocka_unit_test(waiting_ends_in_time),
        cmocka_unit_test(the_descriptor_is_readable_while_there_is_something),
        cmocka_unit_test(a_closed_queue_takes_nothing_and_drains),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(many_threads_lose_nothing),
        cmocka_unit_test(no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
