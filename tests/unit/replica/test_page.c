/* Lists by pages: put together they are the whole list, in order, each job once, whatever the page's size; also while jobs come. */
#include <stdlib.h>
#include <string.h>

#include "journal/replica/page.h"
#include "rig.h"

enum { RECORDS = 3000, JOBS_MAX = 4000 };

typedef struct row {
    char id[HF_ID_MAX_BYTES + 1];
    int64_t created, updated;
    uint64_t key;
    int32_t state;
} row;
typedef struct rows {
    row of[JOBS_MAX];
    size_t count;
} rows;

static bool keep(void *ctx, const hf_job *job) {
    rows *r = ctx;
    assert_true(r->count < JOBS_MAX);
    row *to = &r->of[r->count++];
    *to = (row){.created = job->created_at,
                .updated = job->updated_at,
                .key = hf_position_key(job->created),
                .state = job->state};
    snprintf(to->id, sizeof to->id, "%.*s", HF_STR_ARG(job->id));
    return true;
}

static int by_created(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->created != y->created)
        return x->created < y->created ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}
static int by_updated(const void *a, const void *b) {
    const row *x = a, *y = b;
    if (x->updated != y->updated)
        return x->updated < y->updated ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static void turn(rows *r) {
    for (size_t i = 0; i < r->count / 2; i++) {
        row t = r->of[i];
        r->of[i] = r->of[r->count - 1 - i];
        r->of[r->count - 1 - i] = t;
    }
}

/* All pages of `limit`, one after another, each with a snapshot of its own. */
static void all_pages(rig *g, const hf_job_filter *f, hf_page_sort sort, size_t limit, rows *ret) {
    hf_arena arena;
    hf_tables tables;
    char cursor[HF_PAGE_CURSOR_BYTES] = "";
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(g->store, HF_PROFILE_FULL, &tables, err));
    ret->count = 0;
    do {
        hf_read *read = NULL;
        hf_page page = {.sort = sort, .cursor = hf_str_of(cursor), .limit = limit};
        assert_ok(hf_read_begin(g->store, &read, err));
        assert_ok(hf_query_page(read, &tables, f, &page, &arena, keep, ret, err));
        hf_read_end(read);
        assert_true(page.found <= limit);
        memcpy(cursor, page.next, sizeof cursor);
    } while (*cursor);
    hf_arena_done(&arena);
}

static void expected(rig *g, const hf_job_filter *f, hf_page_sort sort, rows *ret) {
    static rows all;
    all_pages(g, &(hf_job_filter){0}, HF_SORT_UPDATED_UP, JOBS_MAX, &all);
    ret->count = 0;
    for (size_t i = 0; i < all.count; i++)
        if ((!f->states || f->states & 1u << all.of[i].state) && all.of[i].created >= f->created_from_ms &&
            (!f->created_until_ms || all.of[i].created < f->created_until_ms))
            ret->of[ret->count++] = all.of[i];
    qsort(ret->of, ret->count, sizeof *ret->of,
          sort == HF_SORT_CREATED_DOWN || sort == HF_SORT_CREATED_UP ? by_created : by_updated);
    if (sort == HF_SORT_CREATED_DOWN || sort == HF_SORT_UPDATED_DOWN)
        turn(ret);
}

static bool count_job(void *ctx, const hf_job *job) {
    (void)job;
    ++*(size_t *)ctx;
    return true;
}

static void pages_together_are_the_whole_list_in_order(void **state) {
    (void)state;
    static rows got, want;
    hf_history *h = hf_history_new(77, RIG_PARTITIONS);
    hf_history_chaos(h, RECORDS);
    rig g = {.options = {.jobs_cached = 11}};
    rig_open(&g, HF_PROFILE_FULL, true);
    rig_feed(&g, h, 0, RECORDS, 50);
    expected(&g, &(hf_job_filter){0}, HF_SORT_CREATED_UP, &want);
    assert_true(want.count > 20);
    int64_t middle = want.of[want.count / 2].created;
    const hf_job_filter filters[] = {
        {0},
        {.states = 1u << HF_S_QUEUED | 1u << HF_S_COMPLETED},
        {.created_from_ms = middle},
        {.created_until_ms = middle},
        {.states = 1u << HF_S_FAILED, .created_from_ms = middle - 1000, .created_until_ms = middle + 1000}};
    static const size_t limits[] = {1, 7, 100, JOBS_MAX};
    for (size_t f = 0; f < sizeof filters / sizeof *filters; f++)
        for (int sort = HF_SORT_CREATED_DOWN; sort <= HF_SORT_UPDATED_UP; sort++) {
            expected(&g, &filters[f], (hf_page_sort)sort, &want);
            for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
                all_pages(&g, &filters[f], (hf_page_sort)sort, limits[l], &got);
                assert_int_equal(got.count, want.count);
                for (size_t i = 0; i < got.count; i++)
                    assert_string_equal(got.of[i].id, want.of[i].id);
            }
        }
    /* the same number that a plain walk of the states finds */
    hf_arena arena;
    hf_tables tables;
    hf_read *read = NULL;
    size_t n = 0;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(g.store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin(g.store, &read, err));
    assert_ok(hf_query_jobs(read, &tables, 0, SIZE_MAX, &arena, count_job, &n, err));
    hf_read_end(read);
    hf_arena_done(&arena);
    all_pages(&g, &(hf_job_filter){0}, HF_SORT_CREATED_DOWN, 100, &got);
    assert_int_equal(n, got.count);
    rig_close(&g);
    hf_history_free(h);
}

/* Newest first, while more jobs come and others change between the pages: what was there at the start is met exactly once. */
static void what_comes_meanwhile_hides_and_repeats_nothing(void **state) {
    (void)state;
    static rows before, got;
    hf_history *h = hf_history_new(78, RIG_PARTITIONS);
    hf_history_chaos(h, RECORDS);
    rig g = {.options = {.jobs_cached = 11}};
    rig_open(&g, HF_PROFILE_FULL, true);
    rig_feed(&g, h, 0, RECORDS / 2, 50);
    all_pages(&g, &(hf_job_filter){0}, HF_SORT_CREATED_DOWN, JOBS_MAX, &before);
    hf_arena arena;
    hf_tables tables;
    char cursor[HF_PAGE_CURSOR_BYTES] = "";
    size_t fed = RECORDS / 2;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(g.store, HF_PROFILE_FULL, &tables, err));
    got.count = 0;
    do {
        hf_read *read = NULL;
        hf_page page = {.sort = HF_SORT_CREATED_DOWN, .cursor = hf_str_of(cursor), .limit = 10};
        assert_ok(hf_read_begin(g.store, &read, err));
        assert_ok(hf_query_page(read, &tables, &(hf_job_filter){0}, &page, &arena, keep, &got, err));
        hf_read_end(read);
        memcpy(cursor, page.next, sizeof cursor);
        if (fed + 20 <= RECORDS)
            rig_feed(&g, h, fed, fed + 20, 20);
        fed += 20;
    } while (*cursor);
    size_t found = 0, gone = 0;
    for (size_t i = 0; i < before.count; i++) {
        size_t times = 0;
        for (size_t k = 0; k < got.count; k++)
            times += strcmp(before.of[i].id, got.of[k].id) == 0;
        assert_true(times <= 1);
        found += times;
        gone += times == 0; /* deleted meanwhile */
    }
    rows after;
    all_pages(&g, &(hf_job_filter){0}, HF_SORT_CREATED_DOWN, JOBS_MAX, &after);
    for (size_t i = 0; i < before.count; i++) { /* whoever is still there was met */
        bool there = false, met = false;
        for (size_t k = 0; k < after.count; k++)
            there |= strcmp(before.of[i].id, after.of[k].id) == 0;
        for (size_t k = 0; k < got.count; k++)
            met |= strcmp(before.of[i].id, got.of[k].id) == 0;
        assert_true(met || !there);
    }
    assert_int_equal(found + gone, before.count);
    hf_arena_done(&arena);
    rig_close(&g);
    hf_history_free(h);
}

static void cursors_that_no_page_gave_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"x", "0-1", "0-1-2-3", "9-1-2", "0-zz-1", "2-1-1", "0-01-1", "0-1-1 "};
    rig g = {0};
    hf_arena arena;
    hf_tables tables;
    hf_read *read = NULL;
    rig_open(&g, HF_PROFILE_FULL, true);
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(g.store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin(g.store, &read, err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hf_page page = {.sort = HF_SORT_CREATED_DOWN, .cursor = hf_str_of(bad[i]), .limit = 10};
        hf_err err;
        size_t n = 0;
        assert_int_equal(hf_query_page(read, &tables, &(hf_job_filter){0}, &page, &arena, count_job, &n, &err),
                         HF_E_INVALID);
    }
    hf_read_end(read);
    hf_arena_done(&arena);
    rig_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_together_are_the_whole_list_in_order),
                                       cmocka_unit_test(what_comes_meanwhile_hides_and_repeats_nothing),
                                       cmocka_unit_test(cursors_that_no_page_gave_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
