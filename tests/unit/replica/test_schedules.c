/* The runs of schedules: what the journal says of them is what became of their jobs, after any history, restart and rebuild. */
#include <stdio.h>
#include <string.h>

#include "journal/replica/schedules.h"
#include "journal/replica/tools/rebuild.h"
#include "journal/replica/tools/verify.h"
#include "rig.h"
#include "schemas/base/mem.h"

enum { RECORDS = 3000 };
static const char *const names[] = {"nightly", "hourly", "never"};

/* ---- reckoned anew, from what the replica told of each change ---------------------------------------------- */
typedef struct {
    hf_schedule_runs of[3];
    char last[3][64], ended[3][64];
    int64_t seen; /* offsets that were told before a restart are told again */
    int64_t next[RIG_PARTITIONS];
} tally;

static int of_origin(hf_str origin) {
    for (int i = 0; i < 3; i++)
        if (origin.len > 9 && hf_str_eqz((hf_str){origin.p + 9, origin.len - 9}, names[i]))
            return i;
    return -1;
}
static bool is_over(const hf_job *job) {
    return job && (job->state == HF_S_COMPLETED || job->state == HF_S_FAILED || job->state == HF_S_CANCELLED);
}
static void tell(void *ctx, const hf_change *c) {
    tally *t = ctx;
    if (c->verdict != HF_V_ACCEPTED || c->position.offset < t->next[c->position.partition])
        return;
    t->next[c->position.partition] = c->position.offset + 1;
    int i = of_origin(c->after->spec->origin);
    if (i < 0)
        return;
    hf_schedule_runs *r = &t->of[i];
    if (!c->before) {
        r->count++;
        if (c->after->created_at >= r->last_at) { /* a tie: these histories have none that matters */
            r->last_at = c->after->created_at;
            snprintf(t->last[i], sizeof t->last[i], "%.*s", HF_STR_ARG(c->after->id));
        }
    }
    r->alive += (!is_over(c->after)) - (c->before && !is_over(c->before));
    if (is_over(c->after) && !is_over(c->before) && c->after->finished_at >= r->ended_at) {
        r->ended_at = c->after->finished_at;
        r->outcome = c->after->state;
        snprintf(t->ended[i], sizeof t->ended[i], "%.*s", HF_STR_ARG(c->after->id));
    }
}

static void assert_runs(const tally *t, int i, const hf_schedule_runs *is) {
    assert_int_equal(is->count, t->of[i].count);
    assert_int_equal(is->alive, t->of[i].alive);
    assert_int_equal(is->nominal, 0); /* none of these jobs has a tick's id */
    assert_int_equal(is->last_at, t->of[i].last_at);
    assert_int_equal(is->ended_at, t->of[i].ended_at);
    assert_int_equal(is->outcome, t->of[i].ended_at ? t->of[i].outcome : HF_S_NONE);
    assert_true(hf_str_eqz(is->last_job, t->last[i]));
    assert_true(hf_str_eqz(is->ended_job, t->ended[i]));
}

static void assert_all(rig *r, const tally *t) {
    hf_tables tables;
    hf_read *read = NULL;
    assert_ok(hf_tables_open(r->store, r->profile, &tables, err));
    assert_ok(hf_read_begin_all(r->store, &read, err));
    for (int i = 0; i < 3; i++) {
        hf_schedule_runs is;
        assert_ok(hf_query_schedule_runs(read, &tables, hf_str_of(names[i]), &is, err));
        assert_runs(t, i, &is);
        assert_true(hf_replica_schedule_runs(r->replica, hf_str_of(names[i]), &is));
        assert_runs(t, i, &is);
    }
    hf_read_end(read);
}

static void chaos_with(hf_profile profile, size_t batch) {
    hf_history *h = hf_history_new(11 + batch, RIG_PARTITIONS);
    hf_history_chaos(h, RECORDS);
    tally t = {0};
    rig r = {.hooks = {.ctx = &t, .on_change = tell}};
    rig_open(&r, profile, true);
    for (size_t at = 0; at < RECORDS; at += 300) {
        if (at % 900 == 600) { /* folded, not committed, and gone: the restart folds it again */
            rig_feed(&r, h, at, at + 100, 0);
            rig_reopen(&r);
        }
        rig_feed(&r, h, at, at + 300, batch);
        assert_all(&r, &t);
    }
    assert_true(t.of[0].count > 3 && t.of[1].count > 3 && t.of[0].ended_at > 0);
    rig_reopen(&r);
    assert_all(&r, &t);
    if (profile == HF_PROFILE_FULL) {
        hf_replica_free(r.replica);
        hf_store_close(r.store);
        r.replica = NULL;
        r.store = NULL;
        hf_verify_stats verified;
        assert_ok(hf_verify(r.dir, &(hf_rebuild_options){.threads = 3}, &verified, err));
        hf_rebuild_stats rebuilt;
        assert_ok(hf_rebuild_dir(r.dir, NULL, &(hf_rebuild_options){.threads = 2}, &rebuilt, err));
        rig_reopen(&r);
        assert_all(&r, &t);
    }
    rig_close(&r);
    hf_history_free(h);
}

static void after_any_history_and_restart_the_runs_are_those_of_the_jobs(void **state) {
    (void)state;
    for (size_t batch = 1; batch <= 100; batch *= 10) {
        chaos_with(HF_PROFILE_FULL, batch);
        chaos_with(HF_PROFILE_LIVE, batch);
    }
}

/* ---- records made by hand -------------------------------------------------------------------------------------- */
static int64_t offsets[HF_TOPIC_COUNT][RIG_PARTITIONS];

static void feed(rig *r, hf_topic topic, hf_str key, hf_schema schema, const void *record) {
    hf_buf bytes;
    hf_buf_init(&bytes, HF_MAX_RECORD);
    if (record)
        assert_ok(hf_encode(r->codec, schema, record, &bytes, err));
    int32_t partition = topic == HF_TOPIC_JOB_EVENTS ? hf_klog_partition_of(key, RIG_PARTITIONS) : 0;
    hf_log_record log = {.topic = topic,
                         .partition = partition,
                         .offset = offsets[topic][partition]++,
                         .timestamp_ms = 1768645800000,
                         .key = key,
                         .value = record ? hf_buf_str(&bytes) : HF_STR_NONE};
    assert_ok(hf_replica_feed(r->replica, &log, err));
    hf_buf_done(&bytes);
}

static void create(rig *r, const char *id, const char *origin, int64_t scheduled_for, int64_t at) {
    hf_ev_created created = {0};
    hf_type_init(&HF_TYPE_SPEC, &created.spec);
    created.spec.origin = hf_str_of(origin);
    created.spec.scheduled_for = scheduled_for;
    const hf_variant t[] = {{HF_EV_CREATED, &created}};
    feed(r, HF_TOPIC_JOB_EVENTS, hf_str_of(id), HF_SCHEMA_RECORD,
         &(hf_record){.job_id = hf_str_of(id), .at = at, .by = HF_STR("test"), .transitions = {t, 1}});
}

static void put(rig *r, const char *key, const char *text, int64_t created_at) {
    hf_schedule s;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.schedule_id = hf_str_of(key);
    s.schedule = hf_str_of(text);
    s.created_at = created_at;
    feed(r, HF_TOPIC_SCHEDULES, hf_str_of(key), HF_SCHEMA_SCHEDULE, &s);
}

static void a_nominal_time_counts_only_under_the_id_that_is_derived_from_it(void **state) {
    (void)state;
    char id[HF_UUID_BYTES];
    hf_schedule_runs is;
    rig r = {0};
    memset(offsets, 0, sizeof offsets);
    rig_open(&r, HF_PROFILE_LIVE, true);
    create(&r, hf_id_from_schedule(HF_STR("s"), 60000, id), "schedule:s", 60000, 61000);
    create(&r, "by-hand", "schedule:s", 0, 62000);
    create(&r, "a-lie", "schedule:s", 999000, 63000);
    create(&r, hf_id_from_schedule(HF_STR("other"), 120000, id), "schedule:s", 120000, 64000);
    create(&r, "of-none", "schedule:-", 0, 65000);
    create(&r, "again", "retry-of:by-hand", 0, 66000);
    rig_commit(&r);
    rig_reopen(&r);
    assert_true(hf_replica_schedule_runs(r.replica, HF_STR("s"), &is));
    assert_int_equal(is.nominal, 60000);
    assert_int_equal(is.count, 4);
    assert_int_equal(is.alive, 4);
    assert_int_equal(is.last_at, 64000);
    assert_int_equal(is.outcome, HF_S_NONE);
    assert_true(hf_replica_schedule_runs(r.replica, HF_STR("-"), &is));
    assert_int_equal(is.count, 0);
    rig_close(&r);
}

/* Times that go back and forth over several partitions: the ten latest are those of any order. */
static void the_latest_ten_are_kept_in_order(void **state) {
    (void)state;
    char id[32];
    hf_schedule_runs is;
    rig r = {0};
    memset(offsets, 0, sizeof offsets);
    rig_open(&r, HF_PROFILE_LIVE, true);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof id, "run-%d", i);
        create(&r, id, "schedule:s", 0, 1000 + i * 7 % 30 * 10 / 20 * 20); /* pairs of one time each */
        if (i == 12) {
            rig_commit(&r);
            rig_reopen(&r);
        }
    }
    rig_commit(&r);
    rig_reopen(&r);
    assert_true(hf_replica_schedule_runs(r.replica, HF_STR("s"), &is));
    assert_int_equal(is.count, 30);
    assert_int_equal(is.recent_count, HF_RUNS_RECENT);
    for (uint32_t i = 0; i < is.recent_count; i++)
        assert_int_equal(is.recent[i].created_at, 1000 + 280 - i / 2 * 20);
    for (uint32_t i = 1; i < is.recent_count; i++)
        assert_true(is.recent[i].created_at < is.recent[i - 1].created_at ||
                    is.recent[i].job_key < is.recent[i - 1].job_key);
    rig_close(&r);
}

typedef struct {
    char ids[16][32];
    int64_t counts[16];
    bool unreadable[16];
    size_t n;
} seen;
static bool see(void *ctx, const hf_schedule_view *view) {
    seen *s = ctx;
    assert_true(s->n < 16);
    snprintf(s->ids[s->n], sizeof s->ids[0], "%.*s", HF_STR_ARG(view->schedule.schedule_id));
    s->counts[s->n] = view->runs.count;
    s->unreadable[s->n++] = view->unreadable;
    return true;
}

static void lists_go_on_by_id_and_lack_what_was_taken_away(void **state) {
    (void)state;
    rig r = {0};
    memset(offsets, 0, sizeof offsets);
    rig_open(&r, HF_PROFILE_FULL, true);
    put(&r, "b", "@hourly", 1000);
    put(&r, "a", "@daily", 1000);
    put(&r, "d", "not a schedule", 1000); /* readable, all the same */
    put(&r, "c", "@hourly", 1000);
    feed(&r, HF_TOPIC_SCHEDULES, HF_STR("e"), HF_SCHEMA_CONTROL, &(hf_control){.key = HF_STR("fleet")});
    create(&r, "j1", "schedule:b", 0, 5000);
    create(&r, "j2", "schedule:c", 0, 6000);
    feed(&r, HF_TOPIC_SCHEDULES, HF_STR("c"), HF_SCHEMA_SCHEDULE, NULL);
    rig_commit(&r);

    hf_tables tables;
    hf_read *read = NULL;
    hf_arena arena;
    hf_schedule_view view;
    hf_err e;
    seen s = {0};
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(r.store, HF_PROFILE_FULL, &tables, err));
    assert_ok(hf_read_begin_all(r.store, &read, err));
    assert_ok(hf_query_schedules(read, &tables, r.codec, HF_STR_NONE, 2, &arena, see, &s, err));
    assert_int_equal(s.n, 2);
    assert_ok(hf_query_schedules(read, &tables, r.codec, hf_str_of(s.ids[1]), 10, &arena, see, &s, err));
    assert_int_equal(s.n, 4);
    static const char *const wanted[] = {"a", "b", "d", "e"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(s.ids[i], wanted[i]);
    assert_int_equal(s.counts[1], 1);
    assert_false(s.unreadable[2]);
    assert_true(s.unreadable[3]);
    hf_arena_reset(&arena);
    assert_ok(hf_query_schedule(read, &tables, r.codec, HF_STR("b"), &arena, &view, err));
    assert_true(hf_str_eqz(view.schedule.schedule, "@hourly") && hf_str_eqz(view.runs.last_job, "j1"));
    assert_int_equal(hf_query_schedule(read, &tables, r.codec, HF_STR("c"), &arena, &view, &e), HF_E_NOT_FOUND);
    hf_read_end(read);
    hf_arena_done(&arena);
    rig_close(&r);
}

static void the_next_run_heeds_all_that_a_schedule_says(void **state) {
    (void)state;
    const int64_t day = 86400000, now = 20000 * day + 5000; /* midnight UTC and 5 s */
    hf_schedule_runs runs = {.outcome = HF_S_NONE};
    hf_schedule s;
    int64_t at = 0;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.schedule_id = HF_STR("s");
    s.schedule = HF_STR("0 3 * * *");
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    assert_int_equal(at, 20000 * day + 3 * 3600000);
    runs.nominal = at; /* another's clock was ahead: that one is done */
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    assert_int_equal(at, 20001 * day + 3 * 3600000);
    runs.nominal = 0;
    s.jitter_ms = 600000;
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    assert_in_range(at - (20000 * day + 3 * 3600000), 1, 600000);
    assert_int_equal(at - (20000 * day + 3 * 3600000), hf_due_delay_ms(s.schedule_id, s.jitter_ms));
    s.jitter_ms = 0;
    s.start_at = 20005 * day;
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    assert_int_equal(at, 20005 * day + 3 * 3600000);
    s.end_at = 20005 * day + 3 * 3600000; /* included */
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    s.end_at--;
    assert_false(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    s.start_at = s.end_at = 0;
    s.max_runs = 2;
    runs.count = 1;
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    runs.count = 2;
    assert_false(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    s.max_runs = 0;
    s.enabled = false;
    assert_false(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    s.enabled = true;
    s.time_zone = HF_STR("Nowhere/At_all");
    assert_false(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    s.time_zone = HF_STR("Europe/Berlin");
    assert_true(hf_schedule_next_run(&s, &runs, NULL, now, &at));
    assert_int_equal(at, 20000 * day + 3600000); /* October: 3 o'clock summer time */
}

static void every_counts_from_when_the_schedule_was_made(void **state) {
    (void)state;
    hf_schedule_runs runs = {.outcome = HF_S_NONE};
    hf_schedule s;
    int64_t at = 0;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.schedule_id = HF_STR("s");
    s.schedule = HF_STR("@every 90s");
    s.created_at = 1000000250;
    const int64_t cases[][2] = {{0, 1000090000},          {1000000250, 1000090000}, {1000089999, 1000090000},
                                {1000090000, 1000180000}, {1000100000, 1000180000}, {1000909999, 1000990000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(hf_schedule_next_run(&s, &runs, NULL, cases[i][0], &at));
        assert_int_equal(at, cases[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_any_history_and_restart_the_runs_are_those_of_the_jobs),
        cmocka_unit_test(a_nominal_time_counts_only_under_the_id_that_is_derived_from_it),
        cmocka_unit_test(the_latest_ten_are_kept_in_order),
        cmocka_unit_test(lists_go_on_by_id_and_lack_what_was_taken_away),
        cmocka_unit_test(the_next_run_heeds_all_that_a_schedule_says),
        cmocka_unit_test(every_counts_from_when_the_schedule_was_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
