/* What a journal says: counters, state as of then, queries, and whether anybody tampered with it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/replica/asof.h"
#include "journal/replica/counters.h"
#include "journal/replica/logcopy.h"
#include "journal/replica/tools/snapshot.h"
#include "journal/replica/tools/verify.h"
#include "rig.h"

enum { RECORDS = 3000 };

static hf_history *chaos(uint64_t seed, size_t records) {
    hf_history *h = hf_history_new(seed, RIG_PARTITIONS);
    hf_history_chaos(h, records);
    return h;
}

typedef struct view {
    hf_read *read;
    hf_tables tables;
    hf_arena arena;
} view;
static view look(rig *r) {
    view v = {0};
    hf_arena_init(&v.arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(r->store, HF_PROFILE_FULL, &v.tables, err));
    assert_ok(hf_read_begin_all(r->store, &v.read, err));
    return v;
}
static void look_away(view *v) {
    hf_read_end(v->read);
    hf_arena_done(&v->arena);
}

/* ---- counters ---------------------------------------------------------------------------------------------- */
typedef struct tally {
    int64_t state[HF_STATE_COUNT], verdicts[HF_VERDICT_COUNT], created, unreadable;
} tally;
static bool tally_job(void *ctx, const hf_job *job) {
    ((tally *)ctx)->state[job->state]++;
    return true;
}
static void tally_change(void *ctx, const hf_change *c) {
    tally *t = ctx;
    t->unreadable += c->unreadable;
    if (!c->unreadable)
        t->verdicts[c->verdict]++;
    t->created += c->verdict == HF_V_ACCEPTED && !c->before;
}

static void counters_agree_with_a_recount(void **state) {
    (void)state;
    hf_history *h = chaos(51, RECORDS);
    tally told = {0}, found = {0};
    rig r = {.hooks = {&told, tally_change, NULL}, .options = {.jobs_cached = 7}};
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, RECORDS, 40);
    rig_reopen(&r); /* they are read back */
    const hf_counters *k = hf_replica_counters(r.replica);
    view v = look(&r);
    assert_ok(hf_query_jobs(v.read, &v.tables, 0, SIZE_MAX, &v.arena, tally_job, &found, err));
    for (uint32_t s = 0; s < HF_STATE_COUNT; s++)
        assert_int_equal(hf_counter_get(k, HF_N_JOBS_STATE, s, 0, 0), found.state[s]);
    for (uint32_t n = 0; n < HF_VERDICT_COUNT; n++)
        assert_int_equal(hf_counter_get(k, HF_N_VERDICTS, n, 0, 0), told.verdicts[n]);
    assert_int_equal(hf_counter_get(k, HF_N_UNREADABLE, HF_TOPIC_JOB_EVENTS, 0, 0), told.unreadable);
    int64_t created = 0, ended = 0, observed = 0;
    for (uint32_t p = 0; p < HF_PROVIDERS; p++) {
        created += hf_counter_get(k, HF_N_JOBS_CREATED, p, 0, 0);
        for (uint32_t s = 0; s < 3; s++) {
            ended += hf_counter_get(k, HF_N_JOBS_ENDED, s, p, 0);
            for (uint32_t b = 0; b + 1 < hf_dim_count(HF_D_B_SECONDS); b++)
                observed += hf_counter_get(k, HF_N_DURATION, s, p, b);
        }
    }
    assert_int_equal(created, told.created);
    assert_int_equal(observed, ended);
    assert_true(ended > 0 && created >= ended);
    look_away(&v);
    rig_close(&r);
    hf_history_free(h);
}

/* ---- as of then ------------------------------------------------------------------------------------------------ */
typedef struct remembered {
    hf_position position;
    int64_t timestamp;
    hf_job *after;
} remembered;
typedef struct memory {
    remembered of[RECORDS];
    size_t count;
} memory;
static void remember(void *ctx, const hf_change *c) {
    memory *m = ctx;
    if (c->verdict == HF_V_ACCEPTED)
        m->of[m->count++] = (remembered){c->position, c->source->timestamp_ms, hf_type_clone(&HF_TYPE_JOB, c->after)};
}

static void state_as_of_any_offset_is_what_it_was_then(void **state) {
    (void)state;
    hf_history *h = chaos(52, RECORDS);
    memory *m = calloc(1, sizeof *m);
    rig r = {.hooks = {m, remember, NULL}};
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, RECORDS, 100);
    view v = look(&r);
    assert_true(m->count > 100);
    for (size_t i = 0; i < m->count; i++) {
        const remembered *then = &m->of[i];
        hf_job *job = NULL;
        const hf_asof at = {.by = HF_ASOF_OFFSET, .partition = -1, .offset = then->position.offset};
        uint64_t key = hf_position_key(then->after->created);
        assert_ok(hf_asof_job(r.store, v.read, &v.tables, r.codec, key, &at, &job, err));
        assert_true(hf_type_equal(&HF_TYPE_JOB, job, then->after));
        free(job);
        const hf_asof before = {.by = HF_ASOF_TIME, .time_ms = then->timestamp - 100000};
        if (i == 0) {
            assert_int_equal(hf_asof_job(r.store, v.read, &v.tables, r.codec, key, &before, &job, NULL),
                             HF_E_NOT_FOUND);
        }
    }
    for (size_t i = 0; i < m->count; i++)
        free(m->of[i].after);
    free(m);
    look_away(&v);
    rig_close(&r);
    hf_history_free(h);
}

static void as_of_is_read_as_a_time_an_offset_or_a_position(void **state) {
    (void)state;
    hf_asof at;
    assert_ok(hf_asof_parse(HF_STR("2026-01-17T10:30:00Z"), &at, err));
    assert_true(at.by == HF_ASOF_TIME && at.time_ms == 1768645800000);
    assert_ok(hf_asof_parse(HF_STR("17"), &at, err));
    assert_true(at.by == HF_ASOF_OFFSET && at.partition == -1 && at.offset == 17);
    assert_ok(hf_asof_parse(HF_STR("3/17"), &at, err));
    assert_true(at.by == HF_ASOF_OFFSET && at.partition == 3 && at.offset == 17);
    static const char *const wrong[] = {"", "-1", "3/", "/3", "3/x", "yesterday", "3/17/1", "99999/1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(hf_asof_parse(hf_str_of(wrong[i]), &at, NULL), HF_E_USAGE);
}

/* ---- queries ------------------------------------------------------------------------------------------------------ */
typedef struct seen {
    int64_t last;
    size_t count;
    uint32_t states;
    hf_str path;
} seen;
static bool later_first(void *ctx, const hf_job *job) {
    seen *s = ctx;
    assert_true(job->updated_at <= s->last);
    assert_true(!s->states || s->states & 1u << job->state);
    assert_false(job->deleted);
    if (s->path.len)
        assert_true(hf_str_eq(job->spec->vm_path, s->path));
    s->last = job->updated_at;
    s->count++;
    return true;
}
static bool of_path(void *ctx, const hf_job *job) {
    seen *s = ctx;
    assert_true(hf_str_eq(job->spec->vm_path, s->path));
    s->count++;
    return true;
}

static void jobs_are_listed_by_state_and_path_last_updated_first(void **state) {
    (void)state;
    hf_history *h = hf_history_new(53, RIG_PARTITIONS);
    hf_history_jobs(h, 1000, 10);
    hf_history_queued(h, 300);
    rig r = {0};
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, hf_history_count(h), 100);
    view v = look(&r);
    seen all = {.last = INT64_MAX}, queued = {.last = INT64_MAX, .states = 1u << HF_S_QUEUED},
         ten = {.last = INT64_MAX};
    assert_ok(hf_query_jobs(v.read, &v.tables, 0, SIZE_MAX, &v.arena, later_first, &all, err));
    assert_int_equal(all.count, 1300);
    assert_ok(hf_query_jobs(v.read, &v.tables, queued.states, SIZE_MAX, &v.arena, later_first, &queued, err));
    assert_int_equal(queued.count, 300);
    assert_ok(hf_query_jobs(v.read, &v.tables, 0, 10, &v.arena, later_first, &ten, err));
    assert_int_equal(ten.count, 10);
    seen path = {.path = HF_STR("/dc1/vm/web-007")}, none = {.path = HF_STR("/dc1/vm/web-00")};
    assert_ok(hf_query_jobs_of_path(v.read, &v.tables, path.path, SIZE_MAX, &v.arena, of_path, &path, err));
    assert_true(path.count >= 2);
    assert_ok(hf_query_jobs_of_path(v.read, &v.tables, none.path, SIZE_MAX, &v.arena, of_path, &none, err));
    assert_int_equal(none.count, 0);
    look_away(&v);
    rig_close(&r);
    hf_history_free(h);
}

/* ---- the log copy --------------------------------------------------------------------------------------------------- */
static void a_copied_record_reads_back_and_a_cut_one_is_refused(void **state) {
    (void)state;
    hf_log_record in = {.topic = HF_TOPIC_JOB_EVENTS,
                        .partition = 2,
                        .offset = 7,
                        .timestamp_ms = 1768645800123,
                        .key = HF_STR("k"),
                        .value = HF_STR("value"),
                        .header_count = 2,
                        .headers = {{HF_STR("hf-type"), HF_STR("JobEvent")}, {HF_STR("empty"), HF_STR("")}}};
    hf_log_record out;
    char row[256];
    uint32_t size = hf_logcopy_size(&in);
    hf_logcopy_write(&in, row);
    assert_ok(hf_logcopy_read(in.topic, 2, 7, (hf_str){row, size}, &out, err));
    assert_true(out.timestamp_ms == in.timestamp_ms && hf_str_eq(out.key, in.key) && hf_str_eq(out.value, in.value));
    assert_int_equal(out.header_count, 2);
    assert_true(hf_str_eqz(out.headers[0].value, "JobEvent") && out.headers[1].value.len == 0);
    for (uint32_t cut = 0; cut < size - in.value.len; cut++)
        assert_int_equal(hf_logcopy_read(in.topic, 2, 7, (hf_str){row, cut}, &out, NULL), HF_E_RECORD_MALFORMED);
    in.value = HF_STR_NONE;
    hf_logcopy_write(&in, row);
    assert_ok(hf_logcopy_read(in.topic, 2, 7, (hf_str){row, hf_logcopy_size(&in)}, &out, err));
    assert_null(out.value.p);
    in.value = HF_STR("");
    hf_logcopy_write(&in, row);
    assert_ok(hf_logcopy_read(in.topic, 2, 7, (hf_str){row, hf_logcopy_size(&in)}, &out, err));
    assert_non_null(out.value.p); /* empty is not absent */
}

/* ---- tampering --------------------------------------------------------------------------------------------------------- */
static void close_store(rig *r) {
    hf_replica_free(r->replica);
    hf_store_close(r->store);
    r->replica = NULL;
    r->store = NULL;
}

static hf_code verify(rig *r, hf_err *err) {
    hf_verify_stats stats;
    return hf_verify(r->dir, &(hf_rebuild_options){.threads = 2, .batch_max_bytes = 1 << 20}, &stats, err);
}

/* Changes the last byte of one row of a table, or takes the row out. */
static void tamper(rig *r, const char *name, bool take_out) {
    hf_store_options o = {.flags = HF_STORE_FAST};
    hf_store *s = NULL;
    hf_table table;
    unsigned flags;
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    char k[512], v[4096];
    assert_ok(hf_store_open(r->dir, &o, &s, err));
    assert_ok(hf_store_table_as_is(s, name, &table, &flags, err));
    assert_ok(hf_read_begin(s, &read, err));
    assert_ok(hf_cursor_open(read, table, &cursor, err));
    for (int i = 0; i < 5; i++)
        assert_ok(hf_cursor_move(cursor, HF_NEXT, &key, &value, err));
    memcpy(k, key.p, key.len);
    memcpy(v, value.p, value.len);
    if (value.len > 0)
        v[value.len - 1] ^= 1;
    hf_changes *c = hf_changes_new(1 << 20);
    if (take_out)
        assert_true(hf_changes_delete(c, table, (hf_str){k, key.len}));
    else
        assert_true(hf_changes_put(c, table, (hf_str){k, key.len}, (hf_str){v, value.len}, 0));
    hf_cursor_close(cursor);
    hf_read_end(read);
    assert_ok(hf_store_commit(s, c, err));
    hf_changes_free(c);
    hf_store_close(s);
}

static void verify_names_what_was_tampered_with(void **state) {
    (void)state;
    static const struct {
        const char *table, *named;
        bool take_out;
    } cases[] = {{"jobs", "`jobs`", false},        {"events", "`events`", false},     {"ids", "`ids`", true},
                 {"by_state", "`by_state`", true}, {"counters", "`counters`", false}, {"log/job-events/0", "", false},
                 {"log/job-events/1", "", true}};
    hf_history *h = chaos(54, 1500);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig r = {0};
        hf_err e = {0};
        rig_open(&r, HF_PROFILE_FULL, true);
        rig_feed(&r, h, 0, 1500, 100);
        close_store(&r);
        assert_ok(verify(&r, err));
        tamper(&r, cases[i].table, cases[i].take_out);
        assert_int_equal(verify(&r, &e), HF_E_VERIFY_FAILED);
        if (!strstr(e.detail, cases[i].named) || !strstr(e.detail, "table `"))
            fail_msg("%s: %s", cases[i].table, e.detail);
        rig_close(&r);
    }
    hf_history_free(h);
}

static void a_rebuilt_journal_is_the_same_and_of_the_new_version(void **state) {
    (void)state;
    hf_history *h = chaos(55, RECORDS);
    rig a = {0}, b = {0};
    hf_err e = {0};
    rig_open(&a, HF_PROFILE_FULL, true);
    rig_open(&b, HF_PROFILE_FULL, true);
    rig_feed(&a, h, 0, RECORDS, 100);
    rig_feed(&b, h, 0, RECORDS, 333);
    close_store(&b);
    tamper(&b, "jobs", true); /* something to mend, and a version to raise */
    hf_store *s = NULL;
    hf_table meta;
    hf_changes *c = hf_changes_new(4096);
    assert_ok(hf_store_open(b.dir, NULL, &s, err));
    assert_ok(hf_store_table(s, "meta", 0, &meta, err));
    assert_true(hf_changes_put(c, meta, HF_STR("version"), HF_STR("1"), 0));
    assert_ok(hf_store_commit(s, c, err));
    hf_changes_free(c);
    hf_store_close(s);
    assert_int_equal(verify(&b, &e), HF_E_STORE_VERSION);
    for (int threads = 1; threads <= 3; threads++) {
        hf_rebuild_stats stats;
        assert_ok(hf_rebuild_dir(b.dir, NULL, &(hf_rebuild_options){.threads = threads, .batch_max_bytes = 1 << 20},
                                 &stats, err));
        assert_int_equal(stats.records, RECORDS);
    }
    rig_reopen(&b);
    rig_assert_same(&a, &b);
    rig_close(&a);
    rig_close(&b);
    hf_history_free(h);
}

static void a_snapshot_is_restored_into_a_new_directory_only(void **state) {
    (void)state;
    hf_history *h = chaos(56, 500);
    char file[HF_TEST_PATH + 16], to[HF_TEST_PATH + 16];
    rig r = {0};
    hf_err e = {0};
    rig_open(&r, HF_PROFILE_FULL, true);
    rig_feed(&r, h, 0, 500, 100);
    close_store(&r);
    snprintf(file, sizeof file, "%s/snapshot", r.dir);
    snprintf(to, sizeof to, "%s/restored", r.dir);
    assert_ok(hf_snapshot(r.dir, file, err));
    assert_int_equal(hf_snapshot(r.dir, file, NULL), HF_E_EXISTS);
    assert_int_equal(hf_restore(file, r.dir, NULL), HF_E_EXISTS);
    assert_ok(hf_restore(file, to, err));
    hf_verify_stats stats;
    assert_ok(hf_verify(to, &(hf_rebuild_options){0}, &stats, err));
    int fd = open(file, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "not a snapshot", 14), 14);
    close(fd);
    strcat(to, "2");
    assert_int_equal(hf_restore(file, to, &e), HF_E_STORE_FOREIGN);
    rig_close(&r);
    hf_history_free(h);
}

/* ---- memory --------------------------------------------------------------------------------------------------------------- */
static void jobs_in_memory_stay_bounded_as_jobs_grow(void **state) {
    (void)state;
    hf_history *h = hf_history_new(57, RIG_PARTITIONS);
    rig r = {.options = {.jobs_cached = 500}};
    rig_open(&r, HF_PROFILE_FULL, true);
    for (size_t at = 0; at < 40000;) {
        hf_history_queued(h, 1000); /* none of them ever ends */
        rig_feed(&r, h, at, hf_history_count(h), 250);
        at = hf_history_count(h);
        assert_true(hf_replica_jobs_in_memory(r.replica) <= 500 + 250);
    }
    rig_close(&r);
    hf_history_free(h);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(counters_agree_with_a_recount),
                                       cmocka_unit_test(state_as_of_any_offset_is_what_it_was_then),
                                       cmocka_unit_test(as_of_is_read_as_a_time_an_offset_or_a_position),
                                       cmocka_unit_test(jobs_are_listed_by_state_and_path_last_updated_first),
                                       cmocka_unit_test(a_copied_record_reads_back_and_a_cut_one_is_refused),
                                       cmocka_unit_test(verify_names_what_was_tampered_with),
                                       cmocka_unit_test(a_rebuilt_journal_is_the_same_and_of_the_new_version),
                                       cmocka_unit_test(a_snapshot_is_restored_into_a_new_directory_only),
                                       cmocka_unit_test(jobs_in_memory_stay_bounded_as_jobs_grow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
