/* The outbox and its rows: what is added, what is kept over a restart, what leaves memory, what may go; and want of memory anywhere. */
#include "rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/store/store.h"
#include "schemas/base/mem.h"

static hf_store *store;
static hf_table entries, rows;
static char dir[] = "/tmp/hf-outbox-XXXXXX";

static void add(rig *r, hf_outbox *o, int32_t partition, int64_t offset) {
    hf_str row = rig_row(r, HF_WE_JOB_CREATED, "j", r->wall, 0);
    assert_ok(hf_outbox_add(o, partition, hf_place_of(offset, HF_WE_JOB_CREATED), r->mono, row, err));
}

static void seal_and_commit(hf_outbox *o) {
    hf_changes *c = hf_changes_new(1 << 24);
    assert_non_null(c);
    assert_true(hf_outbox_seal(o, c, entries));
    assert_ok(hf_store_commit(store, c, err));
    hf_changes_free(c);
}

static void each_row(hf_table table, void (*row)(void *ctx, hf_str key, hf_str value), void *ctx) {
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_err no_more;
    assert_ok(hf_read_begin(store, &read, err));
    assert_ok(hf_cursor_open(read, table, &cursor, err));
    while (hf_cursor_move(cursor, HF_NEXT, &key, &value, &no_more) == HF_OK)
        row(ctx, key, value);
    hf_cursor_close(cursor);
    hf_read_end(read);
}

static void load_entry(void *ctx, hf_str key, hf_str value) {
    assert_ok(hf_outbox_load(ctx, hf_u64_of(key), value, err));
}
static void load_row(void *ctx, hf_str key, hf_str value) { assert_ok(hf_decide_load(ctx, key, value, err)); }

static bool by_nobody(void *ctx, int32_t partition, hf_place place) {
    (void)ctx, (void)partition, (void)place;
    return false;
}
static bool every_third(void *ctx, int32_t partition, hf_place place) {
    (void)ctx, (void)partition;
    return hf_place_offset(place) % 3 == 0;
}

static void clear(void) {
    hf_outbox *o = hf_outbox_new(1 << 16, 1 << 20);
    each_row(entries, load_entry, o);
    for (int32_t p = 0; p < hf_outbox_partitions(o); p++)
        hf_outbox_trim(o, p, INT64_MAX, INT64_MAX, by_nobody, NULL);
    seal_and_commit(o);
    hf_outbox_free(o);
}

/* What is in the store after each batch is what the outbox held when the batch was closed. */
static void a_restart_finds_what_was_committed(void **state) {
    (void)state;
    rig r = {.seed = 7};
    rig_open(&r, (hf_decide_options){0});
    hf_outbox *o = hf_outbox_new(1 << 16, 1 << 20);
    int64_t next[3] = {0};
    for (int round = 0; round < 200; round++) {
        for (uint64_t n = hf_random_u64(&r.random) % 12; n; n--) {
            int32_t p = (int32_t)(hf_random_u64(&r.random) % 3);
            add(&r, o, p, next[p]++);
        }
        r.mono += 10;
        int32_t p = (int32_t)(hf_random_u64(&r.random) % 3);
        hf_outbox_trim(o, p, hf_place_of((int64_t)(hf_random_u64(&r.random) % (uint64_t)(next[p] + 1)), 0), r.mono,
                       round % 2 ? every_third : by_nobody, NULL);
        seal_and_commit(o);
        hf_outbox *again = hf_outbox_new(1 << 16, 1 << 20);
        each_row(entries, load_entry, again);
        assert_int_equal(hf_outbox_count(again), hf_outbox_count(o));
        for (p = 0; p < 3; p++) {
            const hf_outbox_entry *a = hf_outbox_seek(o, p, 0), *b = hf_outbox_seek(again, p, 0);
            for (; a && b; a = hf_outbox_after(o, p, a), b = hf_outbox_after(again, p, b)) {
                assert_true(a->place == b->place && a->job == b->job && a->at == b->at);
                assert_null(b->row);
            }
            assert_true(!a && !b);
        }
        if (round % 20 == 19) { /* and goes on from there */
            hf_outbox_free(o);
            o = again;
        } else
            hf_outbox_free(again);
    }
    hf_outbox_free(o);
    rig_close(&r);
    clear();
}

static void only_what_may_go_is_trimmed(void **state) {
    (void)state;
    rig r = {.seed = 7};
    rig_open(&r, (hf_decide_options){0});
    hf_outbox *o = hf_outbox_new(1 << 16, 1 << 20);
    for (int64_t i = 0; i < 30; i++) {
        r.mono += 10;
        add(&r, o, 0, i);
    }
    hf_outbox_trim(o, 0, hf_place_of(20, 0), r.mono - 140, every_third, NULL); /* the first 15 are old enough */
    assert_int_equal(hf_outbox_count(o), 30 - 10);
    for (int64_t i = 0; i < 30; i++) {
        const hf_outbox_entry *e = hf_outbox_seek(o, 0, hf_place_of(i, 0));
        assert_non_null(e);
        assert_int_equal(hf_place_offset(e->place), i >= 15 || i % 3 == 0 ? i : (i / 3 + 1) * 3);
    }
    hf_outbox_trim(o, 0, hf_place_of(20, 0), INT64_MAX, by_nobody, NULL);
    assert_int_equal(hf_place_offset(hf_outbox_seek(o, 0, 0)->place), 20);
    add(&r, o, 0, 5); /* seen already */
    assert_int_equal(hf_outbox_count(o), 10);
    hf_outbox_free(o);
    rig_close(&r);
}

static void it_is_bounded(void **state) {
    (void)state;
    rig r = {.seed = 7};
    rig_open(&r, (hf_decide_options){0});
    hf_outbox *o = hf_outbox_new(500, 2000);
    for (int64_t i = 0; i < 2000; i++) {
        add(&r, o, (int32_t)(i % 2), i);
        assert_true(hf_outbox_count(o) <= 500);
        if (i % 50 == 49)
            seal_and_commit(o);
    }
    assert_int_equal(hf_outbox_given_up(o), 2000 - hf_outbox_count(o));
    assert_int_equal(hf_place_offset(hf_outbox_seek(o, 1, hf_place_of(1999, 0))->place), 1999); /* the oldest went */
    seal_and_commit(o);
    seal_and_commit(o);
    assert_true(hf_outbox_bytes(o) <= 2000); /* what is stored leaves memory, and is found there */
    assert_null(hf_outbox_seek(o, 0, 0)->row);
    uint64_t key = hf_outbox_key(0, hf_outbox_seek(o, 0, 0)->place);
    hf_read *read = NULL;
    hf_str row;
    hf_arena arena;
    hf_webhook_facts facts;
    hf_arena_init(&arena, 1 << 16);
    assert_ok(hf_read_begin(store, &read, err));
    assert_ok(hf_read_get_u64(read, entries, key, &row, err));
    assert_true(hf_facts_read(row, &arena, &facts));
    assert_true(hf_str_eqz(facts.job_id, "j"));
    for (uint32_t n = 0; n < row.len; n++)
        assert_false(hf_facts_read((hf_str){row.p, n}, &arena, &facts)); /* a torn row is none */
    hf_read_end(read);
    hf_arena_done(&arena);
    hf_outbox_free(o);
    rig_close(&r);
    clear();
}

/* The rows of endpoints: marks, attempts and what is settled are there again. */
static void deliveries_survive_a_restart(void **state) {
    (void)state;
    rig r = {.seed = 7}, s = {.seed = 8};
    hf_webhook a = rig_webhook("a");
    a.retry = 1;
    rig_open(&r, (hf_decide_options){0});
    rig_hook(&r, &a);
    hf_decide_caught_up(r.core);
    hf_decide_own(r.core, 0, true);
    for (int64_t o = 0; o < 4; o++)
        rig_event(&r, 0, o, HF_WE_JOB_CREATED, "j");
    rig_pass(&r, 10);
    hf_decide_send sent[3] = {rig_must(&r), rig_must(&r), rig_must(&r)};
    rig_fail(&r, &sent[0]); /* again later */
    rig_deliver(&r, &sent[1]);
    rig_fail(&r, &sent[2]);
    rig_pass(&r, 2000);
    hf_decide_send t = rig_must(&r);
    int64_t failed = hf_place_offset(t.place);
    rig_fail(&r, &t); /* given up */
    hf_changes *c = hf_changes_new(1 << 20);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_true(hf_decide_seal(r.core, c, rows) && hf_outbox_seal(r.outbox, c, entries));
    assert_ok(hf_store_commit(store, c, err));
    rig_open(&s, (hf_decide_options){0});
    s.wall = r.wall;
    each_row(entries, load_entry, s.outbox);
    each_row(rows, load_row, s.core);
    rig_hook(&s, &a);
    hf_decide_caught_up(s.core);
    assert_int_equal(rig_stat(&s).failed_kept, 1);
    hf_decide_own(s.core, 0, true);
    rig_pass(&s, 5000);
    bool told[4] = {[1] = true};
    told[failed] = true;
    for (int i = 0; i < 2; i++) {
        hf_decide_send x = rig_must(&s);
        int64_t o = hf_place_offset(x.place);
        assert_false(told[o]);
        told[o] = true;
        assert_int_equal(x.attempt, o == 3 ? 1 : 2); /* the attempts of before count */
    }
    rig_nothing(&s);
    hf_decide_webhook_gone(s.core, HF_STR("a"));
    hf_changes_clear(c);
    assert_true(hf_decide_seal(s.core, c, rows));
    assert_ok(hf_store_commit(store, c, err));
    hf_read *read = NULL;
    uint64_t n = 1;
    assert_ok(hf_read_begin(store, &read, err));
    assert_ok(hf_read_count(read, rows, &n, err));
    hf_read_end(read);
    assert_int_equal(n, 0);
    hf_changes_free(c);
    rig_close(&r);
    rig_close(&s);
    clear();
}

/* Everything once, while the nth allocation fails: what fails says so and can be done again, and in the end all are told. */
static bool try_all(uint64_t nth) {
    rig r = {.seed = nth};
    hf_webhook w = rig_webhook("a");
    w.ordered = true;
    rig_open(&r, (hf_decide_options){.grace_ms = 1});
    hf_str row = rig_row(&r, HF_WE_JOB_CREATED, "j", r.wall, 0);
    hf_alloc_fail_after(nth);
    hf_err err;
    hf_code code;
    bool failed = false, told[6] = {0};
    while ((code = hf_decide_webhook(r.core, &w, &err)) != HF_OK)
        failed = true;
    hf_decide_caught_up(r.core);
    for (int64_t o = 0; o < 6; o++)
        while ((code = hf_outbox_add(r.outbox, (int32_t)(o % 2), hf_place_of(o, HF_WE_JOB_CREATED), r.mono, row,
                                     &err)) != HF_OK) {
            assert_int_equal(code, HF_E_NO_MEMORY);
            failed = true;
        }
    hf_changes *c = NULL;
    while (!(c = hf_changes_new(1 << 20)))
        failed = true;
    for (int turn = 0; turn < 60; turn++) {
        hf_decide_send s;
        hf_decide_own(r.core, 0, true);
        hf_decide_own(r.core, 1, true);
        rig_pass(&r, 1100);
        while (rig_next(&r, &s)) {
            int64_t o = hf_place_offset(s.place);
            bool final, off, ok = s.attempt > 1;
            assert_false(told[o] || s.expired);
            for (int64_t before = o - 2; before >= 0; before -= 2)
                assert_true(told[before]); /* in order */
            told[o] = ok;
            hf_delivery d =
                rig_outcome(&r, &s, ok ? HF_POST_DELIVERED : HF_POST_RETRY, ok ? 200 : 500, -1, &final, &off);
            if (final)
                hf_decide_reported(r.core, s.tag);
            while (hf_decide_delivery(r.core, &d, r.wall, &err) != HF_OK)
                failed = true;
        }
        hf_decide_tidy(r.core, r.wall, r.mono);
        while (!hf_decide_seal(r.core, c, rows) || !hf_outbox_seal(r.outbox, c, entries))
            failed = true;
    }
    hf_alloc_fail_after(0);
    for (int o = 0; o < 6; o++)
        assert_true(told[o]);
    hf_decide_tidy(r.core, r.wall, r.mono);
    assert_int_equal(hf_outbox_count(r.outbox), 0);
    hf_changes_free(c);
    rig_close(&r);
    return failed;
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    uint32_t noticed = 0;
    for (uint64_t nth = 1; nth <= 80; nth++)
        noticed += try_all(nth);
    assert_true(noticed > 5);
    assert_false(try_all(10000)); /* there are not so many */
}

static int open_store(void **state) {
    (void)state;
    hf_err err;
    hf_store_options options = {.flags = HF_STORE_FAST, .map_bytes = 64 << 20};
    return mkdtemp(dir) && hf_store_open(dir, &options, &store, &err) == HF_OK &&
                   hf_store_table(store, "outbox", HF_TABLE_INTEGER_KEY, &entries, &err) == HF_OK &&
                   hf_store_table(store, "deliveries", 0, &rows, &err) == HF_OK
               ? 0
               : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int close_store(void **state) {
    (void)state;
    hf_store_close(store);
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_finds_what_was_committed),
        cmocka_unit_test(only_what_may_go_is_trimmed),
        cmocka_unit_test(it_is_bounded),
        cmocka_unit_test(deliveries_survive_a_restart),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
