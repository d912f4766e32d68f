/* Folding the same history gives the same store, however it is cut up. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"
#include "schemas/base/mem.h"

enum { RECORDS = 6000 };

static hf_history *chaos(uint64_t seed, size_t records) {
    hf_history *h = hf_history_new(seed, RIG_PARTITIONS);
    hf_history_chaos(h, records);
    return h;
}

static void batches_of_any_size_give_the_same_store(void **state) {
    (void)state;
    hf_history *h = chaos(1, RECORDS);
    rig a = {0}, b = {0};
    rig_open(&a, HF_PROFILE_FULL, true);
    b.options.jobs_cached = 3; /* and so does reading nearly every job back */
    rig_open(&b, HF_PROFILE_FULL, true);
    rig_feed(&a, h, 0, RECORDS, RECORDS);
    rig_feed(&b, h, 0, RECORDS, 7);
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void replaying_twice_is_replaying_once(void **state) {
    (void)state;
    hf_history *h = chaos(2, RECORDS);
    rig a = {0}, b = {0};
    rig_open(&a, HF_PROFILE_FULL, true);
    rig_open(&b, HF_PROFILE_FULL, true);
    rig_feed(&a, h, 0, RECORDS, 500);
    rig_feed(&b, h, 0, RECORDS, 500);
    rig_feed(&b, h, 0, RECORDS, 500);
    rig_reopen(&b);
    rig_feed(&b, h, 0, RECORDS, 500);
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void a_restart_after_any_batch_changes_nothing(void **state) {
    hf_profile profile = (hf_profile)(uintptr_t)*state;
    hf_history *h = chaos(3, 2000);
    rig a = {0}, b = {0};
    rig_open(&a, profile, true);
    rig_open(&b, profile, true);
    rig_feed(&a, h, 0, 2000, 2000);
    for (size_t at = 0; at < 2000; at += 80) {
        rig_feed(&b, h, at, at + 50, 50);
        rig_feed(&b, h, at + 50, at + 80, 0); /* folded, and lost with the process */
        rig_reopen(&b);
        rig_feed(&b, h, 0, at + 80, 33); /* from the beginning: what it has is passed over */
    }
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void a_snapshot_and_the_tail_are_the_whole(void **state) {
    (void)state;
    hf_history *h = chaos(4, RECORDS);
    rig a = {0}, b = {0};
    char path[HF_TEST_PATH + 16];
    rig_open(&a, HF_PROFILE_FULL, true);
    rig_feed(&a, h, 0, RECORDS / 2, 100);
    rig_open(&b, HF_PROFILE_FULL, true);
    hf_replica_free(b.replica);
    hf_store_close(b.store);
    b.replica = NULL;
    b.store = NULL;
    snprintf(path, sizeof path, "%s/data.mdb", b.dir);
    assert_int_equal(remove(path), 0);
    assert_ok(hf_store_copy(a.store, path, err));
    rig_reopen(&b);
    rig_feed(&a, h, RECORDS / 2, RECORDS, 100);
    rig_feed(&b, h, RECORDS / 2, RECORDS, 64);
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

/* ---- full and live ------------------------------------------------------------------------------------------- */
typedef struct {
    uint8_t *verdicts;
    uint8_t *refused;
    size_t count;
    size_t stubs;
} judged;
static void remember(void *ctx, const hf_change *c) {
    judged *j = ctx;
    j->verdicts[j->count] = (uint8_t)(c->unreadable ? 255 : c->verdict);
    j->refused[j->count++] = (uint8_t)c->refused;
    if (c->verdict == HF_V_ACCEPTED)
        assert_non_null(c->after);
    if (c->after)
        assert_non_null(c->after->spec);
}
static judged judgement(size_t n) { return (judged){calloc(n, 1), calloc(n, 1), 0, 0}; }

static void full_and_live_agree_on_every_verdict(void **state) {
    (void)state;
    bool seen[256] = {0};
    for (uint64_t seed = 10; seed < 14; seed++) {
        hf_history *h = chaos(seed, RECORDS);
        judged j[4];
        rig r[4] = {0};
        for (int i = 0; i < 4; i++) {
            j[i] = judgement(RECORDS);
            r[i].hooks = (hf_replica_hooks){.ctx = &j[i], .on_change = remember};
            r[i].options.jobs_cached = 5;
            rig_open(&r[i], i % 2 ? HF_PROFILE_LIVE : HF_PROFILE_FULL, i < 2);
            rig_feed(&r[i], h, 0, RECORDS, i < 2 ? 50 : 0);
        }
        for (size_t n = 0; n < j[0].count; n++)
            seen[j[0].verdicts[n]] = true;
        for (int i = 1; i < 4; i++) {
            assert_int_equal(j[i].count, j[0].count);
            for (size_t n = 0; n < j[0].count; n++)
                if (j[i].verdicts[n] != j[0].verdicts[n] || j[i].refused[n] != j[0].refused[n])
                    fail_msg("seed %d, job-event %zu: full %s, replica %d %s", (int)seed, n,
                             hf_verdict_name(j[0].verdicts[n]), i, hf_verdict_name(j[i].verdicts[n]));
        }
        for (int i = 0; i < 4; i++) {
            free(j[i].verdicts);
            free(j[i].refused);
            rig_close(&r[i]);
        }
        hf_history_free(h);
    }
    for (int v = 0; v < HF_VERDICT_COUNT; v++)
        if (!seen[v] && v != HF_V_EMPTY && v != HF_V_UNKNOWN_EVENT)
            fail_msg("the history never brings the verdict %s", hf_verdict_name((hf_verdict)v));
    assert_true(seen[255]);
}

typedef struct {
    char ids[HF_HISTORY_CHAOS_JOBS][16];
    int n;
} id_set;
static bool collect(void *ctx, const hf_job *job) {
    id_set *s = ctx;
    snprintf(s->ids[s->n++], 16, "%.*s", HF_STR_ARG(job->id));
    return true;
}
static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void full_and_live_see_the_same_jobs(void **state) {
    (void)state;
    hf_history *h = chaos(21, RECORDS);
    rig f = {0}, l = {0}, m = {0};
    f.options.jobs_cached = 4;
    rig_open(&f, HF_PROFILE_FULL, true);
    rig_open(&l, HF_PROFILE_LIVE, true);
    rig_open(&m, HF_PROFILE_LIVE, false);
    for (size_t at = 0; at < RECORDS; at += 1000) {
        rig_feed(&f, h, at, at + 1000, 300);
        rig_feed(&l, h, at, at + 1000, 170);
        rig_feed(&m, h, at, at + 1000, 0);
        id_set sf = {0}, sl = {0}, sm = {0};
        hf_replica_each_live(f.replica, collect, &sf);
        hf_replica_each_live(l.replica, collect, &sl);
        hf_replica_each_live(m.replica, collect, &sm);
        qsort(sf.ids, (size_t)sf.n, 16, by_text);
        qsort(sl.ids, (size_t)sl.n, 16, by_text);
        qsort(sm.ids, (size_t)sm.n, 16, by_text);
        assert_true(sf.n > 0);
        assert_int_equal(sf.n, sl.n);
        assert_memory_equal(sf.ids, sl.ids, sizeof sf.ids[0] * (size_t)sf.n);
        assert_memory_equal(sf.ids, sm.ids, sizeof sf.ids[0] * (size_t)sf.n);
        for (int i = 0; i < sf.n; i++) {
            const hf_job *a = hf_replica_job(f.replica, hf_str_of(sf.ids[i])),
                         *b = hf_replica_job(l.replica, hf_str_of(sf.ids[i]));
            assert_true(a && b && hf_type_equal(&HF_TYPE_JOB, a, b));
        }
    }
    assert_true(hf_replica_id_known(l.replica, HF_STR("job-1")));
    assert_false(hf_replica_id_known(l.replica, HF_STR("job-none")));
    rig_close(&f);
    rig_close(&l);
    rig_close(&m);
    hf_history_free(h);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------- */
static void a_gap_is_a_truncated_log(void **state) {
    (void)state;
    hf_history *h = chaos(5, 500);
    rig r = {0};
    hf_log_record record;
    hf_err e;
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, 500, 100);
    hf_history_record(h, 0, &record);
    record.topic = HF_TOPIC_JOB_EVENTS;
    record.partition = 1;
    record.offset = hf_replica_next_offset(r.replica, HF_TOPIC_JOB_EVENTS, 1) + 2;
    assert_int_equal(hf_replica_feed(r.replica, &record, &e), HF_E_LOG_TRUNCATED);
    assert_non_null(strstr(e.detail, "job-events/1"));
    assert_non_null(strstr(e.detail, "retention.ms=-1"));
    hf_replica_skip(r.replica, HF_TOPIC_JOB_EVENTS, 1, record.offset); /* it was looked into: nothing was there */
    assert_ok(hf_replica_feed(r.replica, &record, err));
    rig_close(&r);
    memset(&r, 0, sizeof r);
    rig_open(&r, HF_PROFILE_LIVE, false); /* a new replica, of a log that lost its head */
    record.offset = 5;
    assert_int_equal(hf_replica_feed(r.replica, &record, NULL), HF_E_LOG_TRUNCATED);
    record.topic = HF_TOPIC_PROGRESS; /* kept for seven days: not from 0 */
    assert_ok(hf_replica_feed(r.replica, &record, err));
    rig_close(&r);
    hf_history_free(h);
}

static void another_number_of_partitions_is_refused(void **state) {
    (void)state;
    rig r = {0};
    hf_err e;
    rig_open(&r, HF_PROFILE_LIVE, true);
    hf_history *h = chaos(6, 100);
    rig_feed(&r, h, 0, 100, 50);
    hf_replica_free(r.replica);
    r.replica = NULL;
    r.options.partitions = RIG_PARTITIONS + 1;
    assert_int_equal(hf_replica_new(r.store, r.codec, &r.options, NULL, &r.replica, &e), HF_E_TOPIC_MISMATCH);
    r.options.partitions = 0;
    assert_ok(hf_replica_new(r.store, r.codec, &r.options, NULL, &r.replica, err));
    rig_close(&r);
    hf_history_free(h);
}

static void a_failed_commit_loses_nothing(void **state) {
    (void)state;
    hf_history *h = chaos(7, 1000);
    rig a = {0}, b = {0};
    const hf_changes *batch = NULL, *again = NULL;
    rig_open(&a, HF_PROFILE_FULL, true);
    rig_open(&b, HF_PROFILE_FULL, true);
    rig_feed(&a, h, 0, 1000, 100);
    for (size_t at = 0; at < 1000; at += 100) {
        rig_feed(&b, h, at, at + 60, 0);
        assert_ok(hf_replica_seal(b.replica, &batch, err));
        hf_store_fail_commit_after(1, HF_E_STORE_FULL);
        assert_int_equal(hf_store_commit(b.store, batch, NULL), HF_E_STORE_FULL);
        rig_feed(&b, h, at + 60, at + 100, 0); /* folding goes on meanwhile */
        assert_int_equal(hf_replica_seal(b.replica, &again, NULL), HF_E_BUSY);
        assert_ok(hf_store_commit(b.store, batch, err));
        hf_replica_committed(b.replica);
        rig_commit(&b);
    }
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void any_failed_allocation_can_be_tried_again(void **state) {
    hf_profile profile = (hf_profile)(uintptr_t)*state;
    hf_history *h = chaos(8, 600);
    rig a = {0}, b = {0};
    rig_open(&a, profile, true);
    rig_open(&b, profile, true);
    rig_feed(&a, h, 0, 600, 20);
    size_t failed = 0;
    for (size_t i = 0; i < 600; i++) {
        hf_log_record record;
        hf_history_record(h, i, &record);
        for (uint64_t n = 1;; n++) {
            hf_err e = {0};
            hf_alloc_fail_after(n);
            hf_code rc = hf_replica_feed(b.replica, &record, &e);
            hf_alloc_fail_after(0);
            if (rc == HF_OK)
                break;
            assert_int_equal(rc, HF_E_NO_MEMORY);
            failed++;
        }
        if (i % 20 != 19)
            continue;
        const hf_changes *batch = NULL;
        for (uint64_t n = 1;; n++) {
            hf_alloc_fail_after(n);
            hf_code rc = hf_replica_seal(b.replica, &batch, NULL);
            hf_alloc_fail_after(0);
            if (rc == HF_OK)
                break;
            failed++;
        }
        for (uint64_t n = 1;; n++) {
            hf_alloc_fail_after(n);
            hf_code rc = hf_store_commit(b.store, batch, NULL);
            hf_alloc_fail_after(0);
            if (rc == HF_OK)
                break;
            failed++;
        }
        hf_replica_committed(b.replica);
    }
    assert_true(failed > 100);
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void a_batch_at_its_bound_asks_to_be_committed(void **state) {
    (void)state;
    hf_history *h = hf_history_new(9, RIG_PARTITIONS);
    hf_history_queued(h, 20000);
    rig r = {0};
    r.options.batch_max_bytes = 1 << 20;
    rig_open(&r, HF_PROFILE_FULL, true);
    hf_code rc = HF_OK;
    size_t i = 0, asked = 0;
    for (; i < 20000 && rc == HF_OK; i++) {
        hf_log_record record;
        hf_history_record(h, i, &record);
        rc = hf_replica_feed(r.replica, &record, NULL);
        if (!asked && hf_replica_must_commit(r.replica))
            asked = i;
    }
    assert_int_equal(rc, HF_E_BUSY);
    assert_true(asked > 0 && asked < i);
    rig_commit(&r);
    rig_feed(&r, h, 0, 1000, 1000);
    rig_close(&r);
    hf_history_free(h);
}

int main(void) {
    void *full = (void *)(uintptr_t)HF_PROFILE_FULL, *live = (void *)(uintptr_t)HF_PROFILE_LIVE;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_any_size_give_the_same_store),
        cmocka_unit_test(replaying_twice_is_replaying_once),
        {"full: a_restart_after_any_batch_changes_nothing", a_restart_after_any_batch_changes_nothing, NULL, NULL,
         full},
        {"live: a_restart_after_any_batch_changes_nothing", a_restart_after_any_batch_changes_nothing, NULL, NULL,
         live},
        cmocka_unit_test(a_snapshot_and_the_tail_are_the_whole),
        cmocka_unit_test(full_and_live_agree_on_every_verdict),
        cmocka_unit_test(full_and_live_see_the_same_jobs),
        cmocka_unit_test(a_gap_is_a_truncated_log),
        cmocka_unit_test(another_number_of_partitions_is_refused),
        cmocka_unit_test(a_failed_commit_loses_nothing),
        {"full: any_failed_allocation_can_be_tried_again", any_failed_allocation_can_be_tried_again, NULL, NULL, full},
        {"live: any_failed_allocation_can_be_tried_again", any_failed_allocation_can_be_tried_again, NULL, NULL, live},
        cmocka_unit_test(a_batch_at_its_bound_asks_to_be_committed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
