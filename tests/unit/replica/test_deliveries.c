/* Deliveries of webhooks as the journal folds them: counted once, listed newest first, and what failed waits until it is replayed. */
#include <stdio.h>
#include <string.h>

#include "journal/replica/counters.h"
#include "journal/replica/deliveries.h"
#include "journal/replica/query.h"
#include "rig.h"

enum { AT = 1700000000 };

static int64_t next_offset;

static void feed(rig *r, const char *endpoint, int64_t event_offset, int32_t outcome, int64_t offset) {
    hf_buf out;
    hf_delivery d = {.endpoint = hf_str_of(endpoint),
                     .delivery_id = HF_STR("msg_1"),
                     .event = HF_STR("job.failed"),
                     .event_partition = 1,
                     .event_offset = event_offset,
                     .attempt = 1,
                     .outcome = outcome,
                     .at = AT + offset};
    hf_buf_init(&out, HF_MAX_RECORD);
    assert_ok(hf_encode(r->codec, HF_SCHEMA_DELIVERY, &d, &out, err));
    assert_ok(hf_replica_feed(r->replica,
                              &(hf_log_record){.topic = HF_TOPIC_DELIVERIES,
                                               .partition = 1,
                                               .offset = offset,
                                               .timestamp_ms = AT,
                                               .key = d.endpoint,
                                               .value = hf_buf_str(&out)},
                              err));
    hf_buf_done(&out);
}
static void tell(rig *r, const char *endpoint, int64_t event_offset, int32_t outcome) {
    feed(r, endpoint, event_offset, outcome, next_offset++);
}

typedef struct seen {
    char text[256];
    size_t count;
} seen;
static bool note(void *ctx, hf_position position, const hf_delivery *d) {
    seen *s = ctx;
    size_t len = strlen(s->text);
    snprintf(s->text + len, sizeof s->text - len, "%lld:%s ", (long long)d->event_offset,
             hf_delivery_outcome_name(d->outcome));
    s->count++;
    assert_int_equal(position.partition, 1);
    return true;
}

typedef struct look {
    hf_tables tables;
    hf_read *read;
    hf_arena arena;
} look;
static void begin(rig *r, look *l) {
    hf_arena_init(&l->arena, HF_DECODE_ARENA_BYTES);
    assert_ok(hf_tables_open(r->store, HF_PROFILE_FULL, &l->tables, err));
    assert_ok(hf_read_begin_all(r->store, &l->read, err));
}
static void end(look *l) {
    hf_read_end(l->read);
    hf_arena_done(&l->arena);
}

static void some(rig *r) {
    next_offset = 0;
    tell(r, "a", 10, HF_DELIVERY_RETRYING);
    tell(r, "a", 10, HF_DELIVERY_FAILED);
    tell(r, "ab", 10, HF_DELIVERY_DELIVERED); /* another whose id begins the same */
    tell(r, "a", 11, HF_DELIVERY_DELIVERED);
    tell(r, "a", 12, HF_DELIVERY_REFUSED);
    tell(r, "a", 13, HF_DELIVERY_FAILED);
}

static void what_is_counted(void **state) {
    (void)state;
    rig r = {0};
    look l;
    hf_tally t;
    size_t waiting;
    rig_open(&r, HF_PROFILE_FULL, true);
    some(&r);
    feed(&r, "a", 13, HF_DELIVERY_FAILED, 5); /* the same again */
    rig_commit(&r);
    rig_reopen(&r);
    tell(&r, "a", 13, HF_DELIVERY_REPLAY);
    rig_commit(&r);
    begin(&r, &l);
    assert_ok(hf_query_tally(l.read, &l.tables, HF_STR("a"), &t, err));
    assert_int_equal(t.by_outcome[HF_DELIVERY_FAILED], 2);
    assert_int_equal(t.by_outcome[HF_DELIVERY_DELIVERED], 1);
    assert_int_equal(t.by_outcome[HF_DELIVERY_REPLAY], 1);
    assert_int_equal(t.last_outcome, HF_DELIVERY_FAILED); /* a replay is no attempt */
    assert_int_equal(t.failed_in_row, 2);
    assert_int_equal(t.last_at, AT + 5);
    assert_ok(hf_query_undelivered_count(l.read, &l.tables, HF_STR("a"), 100, &waiting, err));
    assert_int_equal(waiting, 2); /* 10 and 12; 13 is being replayed */
    assert_ok(hf_query_tally(l.read, &l.tables, HF_STR("nobody"), &t, err));
    assert_int_equal(t.last_outcome, -1);
    assert_int_equal(hf_counter_get(hf_replica_counters(r.replica), HF_N_DELIVERIES, HF_DELIVERY_FAILED, 0, 0), 2);
    end(&l);
    rig_close(&r);
}

static void what_is_listed(void **state) {
    (void)state;
    rig r = {0};
    look l;
    uint64_t next;
    rig_open(&r, HF_PROFILE_FULL, true);
    some(&r);
    rig_commit(&r);
    begin(&r, &l);
#define LIST(outcomes, before, limit, wanted)                                                                          \
    do {                                                                                                               \
        seen s = {{0}, 0};                                                                                             \
        assert_ok(hf_query_deliveries(r.store, l.read, &l.tables, r.codec, HF_STR("a"), outcomes, before, limit,       \
                                      &l.arena, note, &s, &next, err));                                                \
        assert_string_equal(s.text, wanted);                                                                           \
    } while (0)
    LIST(0, 0, 10, "13:failed 12:refused 11:delivered 10:failed 10:retrying ");
    assert_int_equal(next, 0);
    LIST(0, 0, 2, "13:failed 12:refused ");
    assert_int_not_equal(next, 0);
    LIST(0, next, 2, "11:delivered 10:failed ");
    LIST(0, next, 2, "10:retrying ");
    LIST(1u << HF_DELIVERY_FAILED, 0, 10, "13:failed 10:failed ");
    seen s = {{0}, 0};
    assert_ok(hf_query_undelivered(r.store, l.read, &l.tables, r.codec, HF_STR("a"), 10, &l.arena, note, &s, err));
    assert_string_equal(s.text, "10:failed 12:refused 13:failed ");
    end(&l);
    rig_close(&r);
}

static void a_foreign_key_is_unreadable(void **state) {
    (void)state;
    rig r = {0};
    rig_open(&r, HF_PROFILE_FULL, true);
    assert_ok(hf_replica_feed(
        r.replica,
        &(hf_log_record){.topic = HF_TOPIC_DELIVERIES, .offset = 0, .key = HF_STR("x"), .value = HF_STR("junk")}, err));
    assert_int_equal(hf_counter_get(hf_replica_counters(r.replica), HF_N_UNREADABLE, HF_TOPIC_DELIVERIES, 0, 0), 1);
    rig_close(&r);
}

static hf_code take_webhook(rig *r, const char *id, bool tombstone) {
    hf_buf out;
    hf_webhook w;
    hf_err err;
    static int64_t offset;
    hf_buf_init(&out, HF_MAX_RECORD);
    hf_type_init(&HF_TYPE_WEBHOOK, &w);
    w.endpoint_id = hf_str_of(id);
    w.url = HF_STR("https://h/");
    assert_int_equal(hf_encode(r->codec, HF_SCHEMA_WEBHOOK, &w, &out, &err), HF_OK);
    hf_code code = hf_replica_feed(r->replica,
                                   &(hf_log_record){.topic = HF_TOPIC_WEBHOOKS,
                                                    .offset = offset++,
                                                    .key = w.endpoint_id,
                                                    .value = tombstone ? HF_STR_NONE : hf_buf_str(&out)},
                                   &err);
    hf_buf_done(&out);
    return code;
}

static bool count_webhook(void *ctx, const hf_webhook *webhook, bool unreadable) {
    assert_false(unreadable);
    assert_true(hf_str_eqz(webhook->url, "https://h/") && webhook->enabled);
    ++*(int *)ctx;
    return true;
}

static void webhooks_are_kept(void **state) {
    (void)state;
    rig r = {0};
    look l;
    hf_webhook w;
    hf_err e;
    int count = 0;
    rig_open(&r, HF_PROFILE_FULL, true);
    assert_int_equal(take_webhook(&r, "a", false), HF_OK);
    assert_int_equal(take_webhook(&r, "b", false), HF_OK);
    assert_int_equal(take_webhook(&r, "a", true), HF_OK);
    rig_commit(&r);
    begin(&r, &l);
    assert_ok(hf_query_webhooks(l.read, &l.tables, r.codec, &l.arena, count_webhook, &count, err));
    assert_int_equal(count, 1);
    assert_ok(hf_query_webhook(l.read, &l.tables, r.codec, HF_STR("b"), &l.arena, &w, err));
    assert_int_equal(hf_query_webhook(l.read, &l.tables, r.codec, HF_STR("a"), &l.arena, &w, &e), HF_E_NOT_FOUND);
    assert_string_equal(e.detail, "webhook not found: a");
    end(&l);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted),
        cmocka_unit_test(what_is_listed),
        cmocka_unit_test(a_foreign_key_is_unreadable),
        cmocka_unit_test(webhooks_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
