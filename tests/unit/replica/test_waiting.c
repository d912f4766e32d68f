/* The index of what waits, and its gauges, say what the jobs say: after any history, batches of any size and a rebuild. */
#include <stdio.h>
#include <string.h>

#include "journal/replica/counters.h"
#include "journal/replica/query.h"
#include "journal/replica/tools/rebuild.h"
#include "rig.h"
#include "schemas/base/mem.h"

enum { RECORDS = 4000, ROWS_MAX = 4096 };

typedef struct {
    char rows[ROWS_MAX][HF_BY_WAIT_BYTES];
    size_t count;
    int64_t depth[HF_OPERATIONS][HF_PRIORITIES], needing[HF_REQUIREMENTS];
    size_t queued;
} expected;

static bool expect(void *ctx, const hf_job *job) {
    expected *e = ctx;
    const hf_spec *spec = job->spec;
    if (job->state != HF_S_QUEUED)
        return true;
    uint32_t operation = hf_counters_operation(spec->operation), priority = hf_counters_priority(hf_job_priority(job));
    assert_true(e->count < ROWS_MAX);
    hf_by_wait_key(operation, priority, job->queued_at, hf_position_key(job->created), e->rows[e->count++]);
    e->depth[operation][priority]++;
    uint32_t wants = hf_counters_asked(spec);
    for (uint32_t i = 0; i < HF_REQUIREMENTS; i++)
        e->needing[i] += wants >> i & 1;
    return true;
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, HF_BY_WAIT_BYTES); }

static void assert_gauges(const hf_counters *k, const expected *e) {
    for (uint32_t o = 0; o < HF_OPERATIONS; o++)
        for (uint32_t p = 0; p < HF_PRIORITIES; p++)
            assert_int_equal(hf_counter_get(k, HF_N_JOBS_QUEUED, o, p, 0), e->depth[o][p]);
    for (uint32_t i = 0; i < HF_REQUIREMENTS; i++)
        assert_int_equal(hf_counter_get(k, HF_N_JOBS_NEEDING, i, 0, 0), e->needing[i]);
}

static void assert_rows(hf_store *store, const expected *e) {
    hf_tables tables;
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_str key, value;
    size_t n = 0;
    assert_ok(hf_tables_open(store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin_all(store, &read, err));
    assert_ok(hf_cursor_open(read, tables.of[HF_TB_BY_WAIT], &cursor, err));
    for (; hf_cursor_move(cursor, HF_NEXT, &key, &value, NULL) == HF_OK; n++) {
        assert_true(n < e->count);
        assert_int_equal(key.len, HF_BY_WAIT_BYTES);
        assert_memory_equal(key.p, e->rows[n], HF_BY_WAIT_BYTES);
    }
    assert_int_equal(n, e->count);
    hf_cursor_close(cursor);
    hf_read_end(read);
}

static void assert_says_what_the_jobs_say(rig *r, size_t *ret_waiting) {
    expected *e = calloc(1, sizeof *e);
    hf_replica_each_live(r->replica, expect, e);
    qsort(e->rows, e->count, sizeof *e->rows, by_bytes);
    assert_gauges(hf_replica_counters(r->replica), e);
    assert_rows(r->store, e);
    *ret_waiting = e->count;
    free(e);
}

static void after_any_history_it_says_what_the_jobs_say(void **state) {
    (void)state;
    size_t waiting = 0, most = 0;
    for (size_t batch = 1; batch <= 1000; batch *= 10) {
        hf_history *h = hf_history_new(70 + batch, RIG_PARTITIONS);
        hf_history_chaos(h, RECORDS);
        rig r = {0};
        r.options.jobs_cached = 5;
        rig_open(&r, HF_PROFILE_FULL, true);
        for (size_t at = 0; at < RECORDS; at += 500) {
            rig_feed(&r, h, at, at + 500, batch);
            assert_says_what_the_jobs_say(&r, &waiting);
            most = waiting > most ? waiting : most;
        }
        rig_close(&r);
        hf_history_free(h);
    }
    assert_true(most > 1);
}

static void a_journal_of_the_layout_before_is_rebuilt_with_it(void **state) {
    (void)state;
    hf_history *h = hf_history_new(7, RIG_PARTITIONS);
    hf_history_queued(h, 300);
    rig r = {0};
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, hf_history_count(h), 50);
    hf_replica_free(r.replica);
    r.replica = NULL;
    /* what a version before had: no such rows, and its number */
    hf_tables tables;
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_str key, value;
    hf_changes *c = hf_changes_new(1 << 20);
    assert_ok(hf_tables_open(r.store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin_all(r.store, &read, err));
    assert_ok(hf_cursor_open(read, tables.of[HF_TB_BY_WAIT], &cursor, err));
    while (hf_cursor_move(cursor, HF_NEXT, &key, &value, NULL) == HF_OK)
        assert_true(hf_changes_delete(c, tables.of[HF_TB_BY_WAIT], key));
    hf_cursor_close(cursor);
    hf_read_end(read);
    assert_true(hf_changes_put(c, tables.of[HF_TB_META], HF_STR("version"), HF_STR("2001000"), 0));
    assert_ok(hf_store_commit(r.store, c, err));
    hf_changes_free(c);
    hf_store_close(r.store);

    hf_store_options o = {0};
    hf_err e = {0};
    hf_layout_options(HF_PROFILE_FULL, "test", &o);
    r.store = NULL;
    assert_int_equal(hf_store_open(r.dir, &o, &r.store, &e), HF_E_STORE_VERSION);
    hf_rebuild_stats stats;
    assert_ok(hf_rebuild_dir(r.dir, NULL, &(hf_rebuild_options){.threads = 2}, &stats, err));
    rig_reopen(&r);
    size_t waiting = 0;
    assert_says_what_the_jobs_say(&r, &waiting);
    assert_int_equal(waiting, 300);
    rig_close(&r);
    hf_history_free(h);
}

static void what_is_not_in_a_list_is_other(void **state) {
    (void)state;
    char text[32];
    assert_string_equal(hf_dim_label(HF_D_OPERATION, hf_counters_operation(HF_STR("ova-validate")), text),
                        "ova-validate");
    assert_string_equal(hf_dim_label(HF_D_OPERATION, hf_counters_operation(HF_STR("a-site's-own")), text), "other");
    assert_string_equal(hf_dim_label(HF_D_PRIORITY, hf_counters_priority(1), text), "1");
    assert_string_equal(hf_dim_label(HF_D_PRIORITY, hf_counters_priority(10), text), "10");
    for (int i = -1; i <= 11; i += 12)
        assert_string_equal(hf_dim_label(HF_D_PRIORITY, hf_counters_priority(i), text), "other");
    assert_string_equal(hf_dim_label(HF_D_PRIORITY, hf_counters_priority(INT32_MIN), text), "other");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(after_any_history_it_says_what_the_jobs_say),
                                       cmocka_unit_test(a_journal_of_the_layout_before_is_rebuilt_with_it),
                                       cmocka_unit_test(what_is_not_in_a_list_is_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
