/* Two hooks over one log, by chance and by seed: events come in, deliveries are answered late or never, receivers fail, batches are
 * committed late, hooks are killed at any point and lose what was not committed, partitions change hands. Whatever happens:
 *
 *   every living endpoint is told of every event, under one webhook-id
 *   ordered: of a job's events none is told before those that stand before it
 *   no more repeats of a delivery than times it was under way when its hook was killed or lost the partition
 *
 * And so that it is known to find something, the same with a mistake in it: each of them is found. */
#include "rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "journal/store/store.h"
#include "schemas/base/mem.h"

enum {
    HOOKS = 2,
    PARTS = 2,
    ENDPOINTS = 4,
    DEAD = 3,
    ORDERED = 1,
    RECORDS = 24, /* of a partition */
    JOBS = 3,     /* of a partition */
    LOG_MAX = 8192,
    QUEUE_MAX = 1024,
    STEPS = 400,
    SEEDS = 2000,
};
static hf_store *store;
static const char *const names[ENDPOINTS] = {"plain", "ordered", "flaky", "dead"};

typedef enum mistake {
    NONE_AT_ALL,
    COUNTED_WHEN_POSTED, /* the record of success is produced before there is an answer */
    TRIMMED_EARLY,       /* an entry goes while somebody still wants it */
    OFFSETS_FIRST,       /* offsets are committed, and the batch that belongs to them later */
    TAKEN_UNREAD,        /* a partition is worked on before its former owner's last words are read */
    UNORDERED,           /* the endpoint is not asked to be ordered */
    MISTAKES
} mistake;

typedef struct post {
    uint64_t tag;
    int endpoint, partition;
    hf_place place;
    bool received; /* the receiver has it; its answer is on its way */
    bool ok;
} post;
typedef struct word { /* a record on its way into the log */
    hf_delivery record;
    uint64_t tag; /* 0: nobody waits */
    int partition;
    hf_place place;
    bool appended;
} word;
typedef struct offsets {
    int64_t events[PARTS], deliveries;
} offsets;

typedef struct hook {
    bool up, ready, given[PARTS], writing;
    int64_t until, ready_at[PARTS], ready_deliveries;
    hf_outbox *outbox;
    hf_decide *core;
    hf_changes *batch;
    hf_table outbox_table, rows_table;
    offsets at, closed, stored;
    post posts[QUEUE_MAX];
    word words[QUEUE_MAX];
    int post_count, word_count;
} hook;

typedef struct world {
    rig die; /* clocks, chance, rows */
    mistake mistake;
    hook hooks[HOOKS];
    int owner[PARTS];
    int jobs[PARTS][RECORDS];
    bool twice[PARTS][RECORDS]; /* a record of two events */
    int64_t times[PARTS][RECORDS];
    int written[PARTS];
    hf_delivery log[LOG_MAX];
    int log_count;
    int got[ENDPOINTS][PARTS][RECORDS][2], may[ENDPOINTS][PARTS][RECORDS][2];
    char ids[ENDPOINTS][PARTS][RECORDS][2][HF_DELIVERY_ID_BYTES];
    bool calm;
    const char *wrong; /* the first thing that was */
    uint64_t repeats, kills, losses, told;
} world;

static const hf_webhook_event events[2] = {HF_WE_JOB_COMPLETED, HF_WE_VM_DISCOVERED};
static int nth_of(hf_place place) { return hf_place_event(place) == HF_WE_VM_DISCOVERED; }
static uint64_t chance(world *w, uint64_t of) { return hf_random_u64(&w->die.random) % of; }
static void wrong(world *w, const char *what) { w->wrong = w->wrong ? w->wrong : what; }

/* ---- a hook's life ------------------------------------------------------------------------------------------------------ */
static void take_rows(hook *h, hf_table table, bool outbox) {
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_err no_more;
    assert_ok(hf_read_begin(store, &read, err));
    assert_ok(hf_cursor_open(read, table, &cursor, err));
    while (hf_cursor_move(cursor, HF_NEXT, &key, &value, &no_more) == HF_OK)
        assert_ok(outbox ? hf_outbox_load(h->outbox, hf_u64_of(key), value, err)
                         : hf_decide_load(h->core, key, value, err));
    hf_cursor_close(cursor);
    hf_read_end(read);
}

static void start_hook(world *w, hook *h) {
    hf_decide_options options = {.random = &w->die.random,
                                 .queue_max = 6,
                                 .in_flight = 12,
                                 .endpoint_in_flight = 3,
                                 .breaker_failures = 4,
                                 .breaker_max_ms = 4000,
                                 .backoff_max_ms = 4000,
                                 .grace_ms = 2000};
    h->outbox = hf_outbox_new(1 << 16, 600); /* so small that facts leave memory */
    h->core = hf_decide_new(&options, h->outbox);
    h->batch = hf_changes_new(1 << 24);
    assert_true(h->outbox && h->core && h->batch);
    take_rows(h, h->outbox_table, true);
    take_rows(h, h->rows_table, false);
    for (int i = 0; i < ENDPOINTS; i++) {
        hf_webhook one = rig_webhook(names[i]);
        one.retry = i == DEAD ? 2 : 20;
        one.ordered = i == ORDERED && w->mistake != UNORDERED;
        assert_ok(hf_decide_webhook(h->core, &one, err));
    }
    h->at = h->closed = h->stored;
    h->ready = h->writing = false;
    h->up = true;
    h->ready_deliveries = w->log_count;
    for (int p = 0; p < PARTS; p++) {
        h->ready_at[p] = w->written[p];
        h->given[p] = false;
    }
}

static void may_repeat(world *w, const hook *h, int partition) {
    for (int i = 0; i < h->post_count; i++)
        if (partition < 0 || h->posts[i].partition == partition)
            w->may[h->posts[i].endpoint][h->posts[i].partition][hf_place_offset(h->posts[i].place)]
                  [nth_of(h->posts[i].place)]++;
    for (int i = 0; i < h->word_count; i++)
        for (int e = 0; e < ENDPOINTS; e++)
            if (hf_str_eqz(h->words[i].record.endpoint, names[e]) &&
                (partition < 0 || h->words[i].partition == partition))
                w->may[e][h->words[i].partition][hf_place_offset(h->words[i].place)][nth_of(h->words[i].place)]++;
}

static void append(world *w, const hf_delivery *record) {
    assert_true(w->log_count < LOG_MAX);
    w->log[w->log_count] = *record;
    for (int e = 0; e < ENDPOINTS; e++)
        if (hf_str_eqz(record->endpoint, names[e]))
            w->log[w->log_count].endpoint = hf_str_of(names[e]);
    w->log[w->log_count++].error = HF_STR_NONE;
}

static void stop_hook(hook *h) {
    hf_decide_free(h->core);
    hf_outbox_free(h->outbox);
    hf_changes_free(h->batch);
    h->up = false;
    h->core = NULL;
    h->outbox = NULL;
    h->batch = NULL;
    h->post_count = h->word_count = 0;
}

static void kill_hook(world *w, hook *h) {
    may_repeat(w, h, -1);
    for (int i = 0; i < h->word_count && chance(w, 2); i++) /* what it had said may have arrived yet: the first of it */
        if (!h->words[i].appended)
            append(w, &h->words[i].record);
    stop_hook(h);
    w->kills++;
}

/* ---- the log ------------------------------------------------------------------------------------------------------------- */
static void write_event(world *w) {
    int p = (int)chance(w, PARTS);
    if (w->written[p] == RECORDS)
        return;
    int o = w->written[p]++;
    w->jobs[p][o] = (int)chance(w, JOBS);
    w->twice[p][o] = chance(w, 4) == 0;
    w->times[p][o] = w->die.wall;
}

static void read_events(world *w, hook *h) {
    int p = (int)chance(w, PARTS);
    for (uint64_t n = chance(w, 6); n && h->at.events[p] < w->written[p]; n--) {
        int64_t o = h->at.events[p]++;
        char job[16];
        snprintf(job, sizeof job, "j%d.%d", p, w->jobs[p][o]);
        for (uint8_t i = 0; i < 1 + w->twice[p][o]; i++) {
            hf_str row = rig_row(&w->die, events[i], job, w->times[p][o], i);
            assert_ok(hf_outbox_add(h->outbox, p, hf_place_of(o, events[i]), w->die.mono, row, err));
        }
    }
}

static void read_deliveries(world *w, hook *h) {
    for (uint64_t n = chance(w, 12); n && h->at.deliveries < w->log_count; n--)
        assert_ok(hf_decide_delivery(h->core, &w->log[h->at.deliveries++], w->die.wall, err));
    bool all = h->at.deliveries >= h->ready_deliveries;
    for (int p = 0; p < PARTS; p++)
        all &= h->at.events[p] >= h->ready_at[p];
    if (all && !h->ready)
        hf_decide_caught_up(h->core);
    h->ready |= all;
}

static bool by_nobody(void *ctx, int32_t partition, hf_place place) {
    return (void)ctx, (void)partition, (void)place, false;
}

static void close_batch(world *w, hook *h) {
    if (h->writing)
        return;
    hf_decide_tidy(h->core, w->die.wall, w->die.mono);
    if (w->mistake == TRIMMED_EARLY && chance(w, 8) == 0)
        for (int p = 0; p < PARTS; p++) {
            const hf_outbox_entry *first = hf_outbox_seek(h->outbox, p, 0);
            if (first)
                hf_outbox_trim(h->outbox, p, first->place + 1, INT64_MAX, by_nobody, NULL);
        }
    hf_changes_clear(h->batch);
    assert_true(hf_decide_seal(h->core, h->batch, h->rows_table));
    assert_true(hf_outbox_seal(h->outbox, h->batch, h->outbox_table));
    h->closed = h->at;
    h->writing = true;
    if (w->mistake == OFFSETS_FIRST)
        h->stored = h->closed;
}

static void commit_batch(hook *h) {
    if (!h->writing)
        return;
    assert_ok(hf_store_commit(store, h->batch, err));
    h->stored = h->closed;
    h->writing = false;
}

/* ---- whose partition it is ----------------------------------------------------------------------------------------------- */
static void share(world *w, hook *h, int me) {
    for (int p = 0; p < PARTS; p++) {
        bool mine = w->owner[p] == me;
        if (!mine && h->given[p]) {
            if (hf_decide_owns(h->core, p)) {
                w->losses++;
                may_repeat(w, h, p);
            }
            hf_decide_own(h->core, p, false);
        }
        if (mine && !h->given[p])
            h->until = w->log_count;
        h->given[p] = mine;
        bool read = h->at.deliveries >= h->until || w->mistake == TAKEN_UNREAD;
        if (mine && h->ready && read && hf_decide_under_way(h->core, p) == 0)
            hf_decide_own(h->core, p, true);
    }
}

static void hand_over(world *w) {
    int p = (int)chance(w, PARTS);
    w->owner[p] = (int)chance(w, HOOKS);
    for (int i = 0; i < HOOKS; i++) /* who loses it knows before who gets it */
        if (w->hooks[i].up && w->owner[p] != i)
            share(w, &w->hooks[i], i);
}

/* ---- sending --------------------------------------------------------------------------------------------------------------- */
static void say(world *w, hook *h, const post *at, bool ok) {
    hf_post_outcome o = {.class = ok ? HF_POST_DELIVERED : HF_POST_RETRY,
                         .status = ok ? 200 : 500,
                         .retry_after_ms = !ok && chance(w, 8) == 0 ? 1500 : -1};
    bool final = false, off = false;
    assert_true(h->word_count < QUEUE_MAX);
    word *said = &h->words[h->word_count++];
    *said = (word){.partition = at->partition, .place = at->place};
    hf_decide_outcome(h->core, at->tag, &o, w->die.wall, w->die.mono, &said->record, &final, &off);
    said->tag = final ? at->tag : 0;
    if (said->record.outcome == HF_DELIVERY_FAILED && at->endpoint != DEAD)
        wrong(w, "a living endpoint was given up");
}

static void send_some(world *w, hook *h) {
    hf_decide_send s;
    hf_decide_turn(h->core, w->die.wall, w->die.mono);
    for (uint64_t n = 1 + chance(w, 6); n && h->post_count < QUEUE_MAX &&
                                        rig_next(&(rig){.core = h->core, .wall = w->die.wall, .mono = w->die.mono}, &s);
         n--) {
        if (chance(w, 20) == 0) {
            hf_decide_unsent(h->core, s.tag, 0);
            return;
        }
        post one = {.tag = s.tag, .partition = s.partition, .place = s.place};
        while (!hf_str_eqz(s.webhook->endpoint_id, names[one.endpoint]))
            one.endpoint++;
        if (s.expired || !s.entry) {
            wrong(w, "its entry is gone before it was told");
            hf_decide_unsent(h->core, s.tag, 0);
            return;
        }
        char id[HF_DELIVERY_ID_BYTES], *known;
        hf_webhook_delivery_id(s.webhook->endpoint_id,
                               (hf_position){s.partition + s.entry->nth * (1 << 16), hf_place_offset(s.place)}, id);
        known = w->ids[one.endpoint][s.partition][hf_place_offset(s.place)][nth_of(s.place)];
        if (*known && strcmp(known, id) != 0)
            wrong(w, "another webhook-id");
        memcpy(known, id, sizeof id);
        if (w->mistake == COUNTED_WHEN_POSTED) {
            say(w, h, &one, true);
            one.tag = 0;
        }
        h->posts[h->post_count++] = one;
    }
}

static void check_order(world *w, const post *at) {
    int64_t o = hf_place_offset(at->place);
    for (int64_t before = 0; before < o; before++)
        for (int n = 0; n < 1 + w->twice[at->partition][before]; n++)
            if (w->jobs[at->partition][before] == w->jobs[at->partition][o] &&
                !w->got[at->endpoint][at->partition][before][n])
                wrong(w, "told out of order");
}

static void receive(world *w, post *at) {
    if (at->received)
        return;
    at->received = true;
    at->ok = at->endpoint != DEAD && (w->calm || chance(w, at->endpoint == 2 ? 2 : 8) != 0);
    if (!at->ok)
        return;
    int *got = &w->got[at->endpoint][at->partition][hf_place_offset(at->place)][nth_of(at->place)];
    if (at->endpoint == ORDERED)
        check_order(w, at);
    w->told += *got == 0;
    w->repeats += *got > 0;
    if (++*got > 1 + w->may[at->endpoint][at->partition][hf_place_offset(at->place)][nth_of(at->place)])
        wrong(w, "repeated, and was not under way");
}

static void answer(world *w, hook *h) {
    if (!h->post_count)
        return;
    int i = (int)chance(w, (uint64_t)h->post_count);
    post at = h->posts[i];
    receive(w, &h->posts[i]);
    at = h->posts[i];
    if (chance(w, 3) == 0)
        return; /* the answer comes later */
    h->posts[i] = h->posts[--h->post_count];
    if (at.tag)
        say(w, h, &at, at.ok);
}

static void acknowledge(world *w, hook *h) {
    if (!h->word_count)
        return;
    word *first = &h->words[0];
    if (!first->appended) {
        append(w, &first->record);
        first->appended = true;
        if (chance(w, 2))
            return;
    }
    if (first->tag)
        hf_decide_reported(h->core, first->tag);
    memmove(first, first + 1, (size_t)--h->word_count * sizeof *first);
}

/* ---- a run ------------------------------------------------------------------------------------------------------------------ */
static void one_step(world *w) {
    int me = (int)chance(w, HOOKS);
    hook *h = &w->hooks[me];
    uint64_t what = chance(w, 100);
    rig *t = &w->die;
    if (chance(w, 3) == 0) {
        int64_t ms = (int64_t)chance(w, 800);
        t->wall += ms;
        t->mono += ms;
    }
    if (what < 10 && !w->calm)
        write_event(w);
    else if (what < 13 && !w->calm)
        hand_over(w);
    else if (!h->up)
        start_hook(w, h);
    else if (what < 15 && !w->calm)
        kill_hook(w, h);
    else if (what < 28)
        read_events(w, h);
    else if (what < 42)
        read_deliveries(w, h);
    else if (what < 46)
        close_batch(w, h);
    else if (what < 50)
        commit_batch(h);
    else if (what < 56)
        share(w, h, me);
    else if (what < 70 && h->ready)
        send_some(w, h);
    else if (what < 86)
        answer(w, h);
    else
        acknowledge(w, h);
}

static bool all_told(const world *w) {
    for (int e = 0; e < ENDPOINTS; e++)
        for (int p = 0; p < PARTS && e != DEAD; p++)
            for (int o = 0; o < w->written[p]; o++)
                for (int n = 0; n < 1 + w->twice[p][o]; n++)
                    if (!w->got[e][p][o][n])
                        return false;
    return true;
}

static void empty(world *w) {
    hf_changes *c = hf_changes_new(1 << 24);
    assert_non_null(c);
    for (int i = 0; i < HOOKS; i++)
        for (int t = 0; t < 2; t++) {
            hf_table table = t ? w->hooks[i].outbox_table : w->hooks[i].rows_table;
            hf_read *read = NULL;
            hf_cursor *cursor = NULL;
            hf_str key = HF_STR_NONE, value;
            hf_err no_more;
            assert_ok(hf_read_begin(store, &read, err));
            assert_ok(hf_cursor_open(read, table, &cursor, err));
            while (hf_cursor_move(cursor, HF_NEXT, &key, &value, &no_more) == HF_OK)
                assert_true(hf_changes_delete(c, table, key));
            hf_cursor_close(cursor);
            hf_read_end(read);
        }
    assert_ok(hf_store_commit(store, c, err));
    hf_changes_free(c);
}

/* NULL, or what went wrong. */
static const char *run(world *w, uint64_t seed, mistake made) {
    memset(w, 0, sizeof *w);
    w->die.seed = seed * 7919;
    rig_open(&w->die, (hf_decide_options){0});
    w->mistake = made;
    for (int i = 0; i < HOOKS; i++) {
        char name[24];
        snprintf(name, sizeof name, "outbox%d", i);
        assert_ok(hf_store_table(store, name, HF_TABLE_INTEGER_KEY, &w->hooks[i].outbox_table, err));
        snprintf(name, sizeof name, "rows%d", i);
        assert_ok(hf_store_table(store, name, 0, &w->hooks[i].rows_table, err));
    }
    empty(w);
    for (int i = 0; i < STEPS && !w->wrong; i++)
        one_step(w);
    w->calm = true;
    for (int i = 0; i < 20000 && !w->wrong && !all_told(w); i++)
        one_step(w);
    if (!w->wrong && !all_told(w))
        wrong(w, "a living endpoint was never told");
    for (int i = 0; i < HOOKS; i++)
        if (w->hooks[i].up)
            stop_hook(&w->hooks[i]);
    rig_close(&w->die);
    return w->wrong;
}

/* ---- the tests ---------------------------------------------------------------------------------------------------------------- */
static char dir[] = "/tmp/hf-takeover-XXXXXX";

static void at_least_once_whatever_happens(void **state) {
    (void)state;
    world *w = calloc(1, sizeof *w);
    uint64_t told = 0, repeats = 0, kills = 0, losses = 0;
    assert_non_null(w);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *what = run(w, seed, NONE_AT_ALL);
        if (what)
            fail_msg("seed %lu: %s", (unsigned long)seed, what);
        told += w->told;
        repeats += w->repeats;
        kills += w->kills;
        losses += w->losses;
    }
    print_message("%d seeds: %lu told, %lu repeats, %lu kills, %lu partitions lost\n", SEEDS, (unsigned long)told,
                  (unsigned long)repeats, (unsigned long)kills, (unsigned long)losses);
    assert_true(repeats && kills && losses); /* it did happen */
    free(w);
}

static void each_mistake_is_found(void **state) {
    (void)state;
    static const char *const called[MISTAKES] = {
        "", "counted when posted", "trimmed early", "offsets first", "taken unread", "unordered"};
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    for (mistake m = NONE_AT_ALL + 1; m < MISTAKES; m++) {
        const char *what = NULL;
        uint64_t seed = 0;
        while (!what && seed < 300)
            what = run(w, ++seed, m);
        if (!what)
            fail_msg("%s: not found", called[m]);
        print_message("%s: seed %lu: %s\n", called[m], (unsigned long)seed, what);
    }
    free(w);
}

static int open_store(void **state) {
    (void)state;
    hf_err err;
    hf_store_options options = {.flags = HF_STORE_FAST, .map_bytes = 64 << 20};
    return mkdtemp(dir) && hf_store_open(dir, &options, &store, &err) == HF_OK ? 0 : -1;
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
        cmocka_unit_test(at_least_once_whatever_happens),
        cmocka_unit_test(each_mistake_is_found),
    };
    return cmocka_run_group_tests(tests, open_store, close_store);
}
