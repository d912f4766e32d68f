/* Limits in a replica: what it holds is the same after a restart and in a rebuild, whichever profile; what stands in another
 * partition than its key's does not count; a gap is told. */
#include <stdio.h>
#include <string.h>

#include "journal/replica/tools/rebuild.h"
#include "journal/replica/tools/verify.h"
#include "rig.h"
#include "schemas/base/mem.h"

static int64_t offsets[RIG_PARTITIONS];

static hf_code put_at(rig *r, int32_t partition, int64_t offset, const char *key, hf_limit_event event) {
    hf_buf buf;
    hf_err e;
    hf_buf_init(&buf, HF_MAX_RECORD);
    event.key = hf_str_of(key);
    event.at = 1700000000000 + offset;
    assert_ok(hf_encode(r->codec, HF_SCHEMA_LIMIT, &event, &buf, err));
    hf_log_record record = {.topic = HF_TOPIC_LIMITS,
                            .partition = partition,
                            .offset = offset,
                            .timestamp_ms = event.at,
                            .key = event.key,
                            .value = hf_buf_str(&buf)};
    hf_code rc = hf_replica_feed(r->replica, &record, &e);
    hf_buf_done(&buf);
    return rc;
}

/* Into its partition; returns the offset. */
static int64_t put(rig *r, const char *key, hf_limit_event event) {
    int32_t p = hf_klog_partition_of(hf_str_of(key), RIG_PARTITIONS);
    assert_int_equal(put_at(r, p, offsets[p], key, event), HF_OK);
    return offsets[p]++;
}
static int64_t set(rig *r, const char *key, int32_t max) {
    return put(r, key, (hf_limit_event){.kind = HF_LIMIT_SET, .max = max, .by = HF_STR("alice")});
}
static int64_t take(rig *r, const char *key, const char *job) {
    return put(
        r, key,
        (hf_limit_event){
            .kind = HF_LIMIT_TAKEN, .by = HF_STR("w/1"), .job_id = hf_str_of(job), .attempt = 1, .ttl_ms = 60000});
}
static void free_grant(rig *r, const char *key, const char *job, int64_t grant) {
    put(r, key,
        (hf_limit_event){
            .kind = HF_LIMIT_FREED, .by = HF_STR("w/1"), .job_id = hf_str_of(job), .attempt = 1, .grant = grant});
}
static int held(const rig *r, const char *key) {
    const hf_limit *limit = hf_replica_limit(r->replica, hf_str_of(key));
    return limit ? (int)limit->held : -1;
}
static void begin(rig *r, hf_profile profile) {
    memset(offsets, 0, sizeof offsets);
    r->options.partitions = RIG_PARTITIONS;
    rig_open(r, profile, true);
}

static void what_is_held_survives_a_restart(hf_profile profile) {
    rig r = {0};
    begin(&r, profile);
    set(&r, "tag/a", 2);
    set(&r, "endpoint/vc1", 1);
    set(&r, "tag/gone", 5);
    set(&r, "tag/gone", -1);
    int64_t a = take(&r, "tag/a", "j1");
    int64_t b = take(&r, "tag/a", "j2");
    take(&r, "tag/a", "j3"); /* refused */
    take(&r, "endpoint/vc1", "j1");
    rig_commit(&r);
    rig_reopen(&r);
    assert_int_equal(held(&r, "tag/a"), 2);
    assert_int_equal(held(&r, "endpoint/vc1"), 1);
    assert_int_equal(held(&r, "tag/gone"), -1);
    const hf_limit *limit = hf_replica_limit(r.replica, HF_STR("tag/a"));
    assert_int_equal(limit->max, 2);
    assert_true(hf_str_eqz(limit->set_by, "alice"));
    assert_true(hf_str_eqz(hf_limit_grant(limit, b)->job_id, "j2"));
    set(&r, "endpoint/vc1", -1);
    free_grant(&r, "tag/a", "j1", a);
    rig_reopen(&r); /* not committed: it is fed again, from where the store says */
    int32_t p = hf_klog_partition_of(HF_STR("tag/a"), RIG_PARTITIONS),
            q = hf_klog_partition_of(HF_STR("endpoint/vc1"), RIG_PARTITIONS);
    offsets[p] = hf_replica_next_offset(r.replica, HF_TOPIC_LIMITS, p);
    offsets[q] = hf_replica_next_offset(r.replica, HF_TOPIC_LIMITS, q);
    assert_int_equal(held(&r, "tag/a"), 2);
    free_grant(&r, "tag/a", "j1", a);
    set(&r, "endpoint/vc1", -1);
    rig_commit(&r);
    rig_reopen(&r);
    assert_int_equal(held(&r, "tag/a"), 1);
    assert_int_equal(held(&r, "endpoint/vc1"), 1); /* taken away, and held until it is freed */
    assert_int_equal(hf_replica_limit(r.replica, HF_STR("endpoint/vc1"))->max, -1);
    rig_close(&r);
}
static void full_and_restarted(void **state) {
    (void)state;
    what_is_held_survives_a_restart(HF_PROFILE_FULL);
}
static void live_and_restarted(void **state) {
    (void)state;
    what_is_held_survives_a_restart(HF_PROFILE_LIVE);
}

static void a_rebuild_by_several_threads_is_the_journal(void **state) {
    (void)state;
    rig r = {0};
    hf_verify_stats stats;
    char key[32], job[32];
    begin(&r, HF_PROFILE_FULL);
    int64_t grants[400];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "tag/t%d", i);
        set(&r, key, i % 7);
        for (int n = 0; n < 10; n++) {
            snprintf(job, sizeof job, "j%d", n);
            grants[i * 10 + n] = take(&r, key, job);
            if (n % 3 == 2)
                free_grant(&r, key, job, grants[i * 10 + n - n % 2]);
        }
        if (i % 5 == 0)
            set(&r, key, -1);
        if (i % 11 == 0)
            rig_commit(&r);
    }
    rig_commit(&r);
    assert_ok(hf_verify(r.dir, &(hf_rebuild_options){.threads = 3, .codec = r.codec}, &stats, err));
    rig_close(&r);
}

static bool count_grant(void *ctx, const hf_limit_event *taken, int64_t offset) {
    assert_true(offset >= 0 && taken->kind == HF_LIMIT_TAKEN);
    ++*(int *)ctx;
    return true;
}
static bool list_limit(void *ctx, const hf_limit_view *view) {
    char *text = ctx;
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%.*s=%u/%d ", HF_STR_ARG(view->set.key), view->held, (int)view->set.max);
    return true;
}
static void queries_say_max_and_who_holds(void **state) {
    (void)state;
    rig r = {0};
    begin(&r, HF_PROFILE_FULL);
    set(&r, "tag/a", 3);
    set(&r, "tag/ab", 3);
    set(&r, "endpoint/vc1", 0);
    take(&r, "tag/a", "j1");
    take(&r, "tag/ab", "j1");
    take(&r, "tag/ab", "j2");
    rig_commit(&r);
    hf_tables tables;
    hf_read *read = NULL;
    hf_arena arena;
    hf_limit_view view;
    hf_err e;
    char text[256] = "";
    int n = 0;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(r.store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin_all(r.store, &read, err));
    assert_ok(hf_query_limits(read, &tables, HF_STR_NONE, 10, &arena, list_limit, text, err));
    assert_string_equal(text, "endpoint/vc1=0/0 tag/a=1/3 tag/ab=2/3 ");
    text[0] = 0;
    assert_ok(hf_query_limits(read, &tables, HF_STR("endpoint/vc1"), 1, &arena, list_limit, text, err));
    assert_string_equal(text, "tag/a=1/3 ");
    assert_ok(hf_query_limit(read, &tables, HF_STR("tag/ab"), &arena, &view, err));
    assert_int_equal(view.held, 2);
    assert_int_equal(hf_query_limit(read, &tables, HF_STR("tag/b"), &arena, &view, &e), HF_E_NOT_FOUND);
    assert_ok(hf_query_grants(read, &tables, HF_STR("tag/ab"), 100, &arena, count_grant, &n, err));
    assert_int_equal(n, 2);
    hf_read_end(read);
    hf_arena_done(&arena);
    rig_close(&r);
}

static void what_is_not_in_its_place_does_not_count(void **state) {
    (void)state;
    rig r = {0};
    begin(&r, HF_PROFILE_LIVE);
    int32_t p = hf_klog_partition_of(HF_STR("tag/a"), RIG_PARTITIONS), other = (p + 1) % RIG_PARTITIONS;
    assert_int_equal(put_at(&r, other, 0, "tag/a", (hf_limit_event){.kind = HF_LIMIT_SET, .max = 3}), HF_OK);
    assert_int_equal(held(&r, "tag/a"), -1);
    assert_int_equal(put_at(&r, p, 0, "tag/a", (hf_limit_event){.kind = HF_LIMIT_SET, .max = 3}), HF_OK);
    assert_int_equal(held(&r, "tag/a"), 0);
    assert_int_equal(put_at(&r, p, 5, "tag/a", (hf_limit_event){.kind = HF_LIMIT_SET, .max = 4}), HF_E_LOG_TRUNCATED);
    assert_int_equal(hf_replica_limit(r.replica, HF_STR("tag/a"))->max, 3);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_restarted),
        cmocka_unit_test(live_and_restarted),
        cmocka_unit_test(a_rebuild_by_several_threads_is_the_journal),
        cmocka_unit_test(queries_say_max_and_who_holds),
        cmocka_unit_test(what_is_not_in_its_place_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
