#define HASH_NONFATAL_OOM 1
#include "producer/schedule/ticker.h"

#include <stdlib.h>
#include <uthash.h>

#include "schemas/base/mem.h"
#include "schemas/job/intake.h"
#include "schemas/job/schedule_run.h"

enum { OWNED_WORDS = 16, SAID_MAX = 12 };

/* Broken on purpose: builds of the simulator that must notice (tests/sim). */
#ifndef HF_TICKER_MUTATION
#define HF_TICKER_MUTATION 0
#endif
enum {
    RUNS_HOLD_BACK = HF_TICKER_MUTATION != 1,
    THE_LOG_SETTLES = HF_TICKER_MUTATION != 2,
    EVERY_HAS_AN_ORIGIN = HF_TICKER_MUTATION != 3,
};
#define NEVER_MS INT64_MAX

/* One schedule. Nominal times are wall ms; 0: none. */
typedef struct entry {
    UT_hash_handle hh;
    hf_due due;
    int64_t count, alive, nominal, ended_at; /* of its runs */
    int64_t created_at, updated_at, window_ms, max_runs;
    hf_overlap overlap;
    bool enabled;
    bool held;           /* its policy held runs back at the last look */
    bool fresh;          /* not looked at since it was put */
    int32_t partition;   /* whose owner is its owner */
    int64_t since;       /* nominal times up to it are settled, or `pending` */
    int64_t next;        /* the first behind it */
    int64_t pending;     /* one to be run: buffered, or a stand-in's that waits for its owner */
    int64_t seen_mono;   /* when it became that */
    int64_t proposed;    /* one that was proposed and not read back */
    int64_t said_mono;   /* when it was, last */
    int said;            /* how often */
    int64_t wake;        /* wall: when to look again; place in the heap */
    size_t at;           /* index in the heap */
    uint32_t body_bytes; /* the schedule as Avro */
    char *body;
    char id[HF_ID_MAX_BYTES + 1];
} entry;

struct hf_ticker {
    hf_ticker_options options;
    entry *by_id;
    entry **heap;
    size_t count, capacity;
    uint64_t owned[OWNED_WORDS];
    int64_t offset_ms; /* wall less monotonic, at the last call */
    bool began;
    hf_zones *zones;
    hf_buf buf;
};

/* ---- the heap, by wake ---------------------------------------------------------------------------------- */
static void place(hf_ticker *t, entry *e, size_t at) {
    t->heap[at] = e;
    e->at = at;
}

static void sift(hf_ticker *t, entry *e) {
    size_t i = e->at;
    for (; i > 0 && t->heap[(i - 1) / 2]->wake > e->wake; i = (i - 1) / 2)
        place(t, t->heap[(i - 1) / 2], i);
    for (size_t child; (child = 2 * i + 1) < t->count; i = child) {
        if (child + 1 < t->count && t->heap[child + 1]->wake < t->heap[child]->wake)
            child++;
        if (t->heap[child]->wake >= e->wake)
            break;
        place(t, t->heap[child], i);
    }
    place(t, e, i);
}

static void wake_at(hf_ticker *t, entry *e, int64_t wall_ms) {
    e->wake = wall_ms;
    sift(t, e);
}

static void wake_all(hf_ticker *t) {
    for (size_t i = 0; i < t->count; i++)
        t->heap[i]->wake = 0;
}

static bool heap_room(hf_ticker *t) {
    if (t->count < t->capacity)
        return true;
    size_t capacity = t->capacity ? t->capacity * 2 : 64;
    entry **heap = hf_realloc(t->heap, capacity * sizeof(*heap));
    if (!heap)
        return false;
    t->heap = heap;
    t->capacity = capacity;
    return true;
}

static void heap_remove(hf_ticker *t, entry *e) {
    size_t at = e->at;
    entry *last = t->heap[--t->count];
    if (last == e)
        return;
    place(t, last, at);
    sift(t, last);
}

/* ---- schedules -------------------------------------------------------------------------------------------- */
hf_ticker *hf_ticker_new(const hf_ticker_options *options) {
    hf_ticker *t = hf_alloc(sizeof *t);
    if (!t)
        return NULL;
    t->options = *options;
    hf_buf_init(&t->buf, HF_MAX_RECORD);
    t->zones = hf_zones_new();
    if (t->zones)
        return t;
    free(t);
    return NULL;
}

static void drop(hf_ticker *t, entry *e) {
    heap_remove(t, e);
    HASH_DEL(t->by_id, e);
    free(e->body);
    free(e);
}

void hf_ticker_free(hf_ticker *t) {
    if (!t)
        return;
    while (t->count)
        drop(t, t->heap[t->count - 1]);
    free(t->heap);
    hf_zones_free(t->zones);
    hf_buf_done(&t->buf);
    free(t);
}

static entry *find(const hf_ticker *t, hf_str id) {
    entry *e = NULL;
    HASH_FIND(hh, t->by_id, id.p, id.len, e);
    return e;
}

void hf_ticker_drop(hf_ticker *t, hf_str id) {
    entry *e = find(t, id);
    if (e)
        drop(t, e);
}

size_t hf_ticker_count(const hf_ticker *t) { return t->count; }

static hf_str id_of(const entry *e) { return (hf_str){e->id, e->hh.keylen}; }

bool hf_ticker_schedule(const hf_ticker *t, hf_str id, hf_arena *arena, hf_schedule *ret) {
    const entry *e = find(t, id);
    return e && hf_decode_body(HF_SCHEMA_SCHEDULE, (hf_str){e->body, e->body_bytes}, arena, ret, NULL) == HF_OK;
}

void hf_ticker_each(const hf_ticker *t, bool (*each)(void *ctx, hf_str id), void *ctx) {
    for (const entry *e = t->by_id; e && each(ctx, id_of(e)); e = e->hh.next) {}
}

static entry *add(hf_ticker *t, hf_str id) {
    entry *e = heap_room(t) ? hf_alloc(sizeof *e) : NULL;
    if (!e)
        return NULL;
    memcpy(e->id, id.p, id.len);
    HASH_ADD_KEYPTR(hh, t->by_id, e->id, id.len, e);
    if (!e->hh.tbl) {
        free(e);
        return NULL;
    }
    place(t, e, t->count++);
    return e;
}

static void note_runs(entry *e, const hf_schedule_runs *runs) {
    e->count = runs->count;
    e->alive = runs->alive;
    e->ended_at = runs->ended_at;
    if (runs->nominal > e->nominal && e->pending <= runs->nominal)
        e->pending = 0;
    e->nominal = runs->nominal;
    if (e->proposed <= runs->nominal)
        e->proposed = 0;
}

static bool same_times(const hf_due *a, const hf_due *b) {
    return a->zone == b->zone && a->dst_policy == b->dst_policy && a->origin == b->origin &&
           a->delay_ms == b->delay_ms && a->cron.minutes == b->cron.minutes && a->cron.hours == b->cron.hours &&
           a->cron.days == b->cron.days && a->cron.months == b->cron.months && a->cron.weekdays == b->cron.weekdays &&
           a->cron.every_s == b->cron.every_s;
}

/* A change begins anew: what came before it is not made up for. What is buffered stays, while the times are the same. */
static void take(entry *e, const hf_schedule *s, const hf_due *due, int32_t partition) {
    if (!same_times(&e->due, due) || !s->enabled)
        e->pending = 0;
    e->due = *due;
    e->created_at = s->created_at;
    e->updated_at = s->updated_at;
    e->window_ms = s->catchup_window_ms > HF_ON_TIME_MS ? s->catchup_window_ms : HF_ON_TIME_MS;
    e->max_runs = s->max_runs;
    e->overlap = (hf_overlap)s->overlap;
    e->enabled = s->enabled;
    e->partition = partition;
    e->fresh = true;
}

hf_code hf_ticker_put(hf_ticker *t, const hf_schedule *schedule, int32_t partition, const hf_schedule_runs *runs,
                      hf_err *reterr) {
    hf_due due;
    hf_str id = schedule->schedule_id;
    hf_buf_clear(&t->buf);
    hf_code rc = hf_id_valid(id) ? hf_due_of(schedule, t->zones, &due, reterr)
                                 : hf_fail(reterr, HF_E_INVALID, "the schedule's id is none");
    if (rc == HF_OK)
        rc = hf_encode_body(HF_SCHEMA_SCHEDULE, schedule, &t->buf, reterr);
    if (rc != HF_OK) {
        if (rc != HF_E_NO_MEMORY)
            hf_ticker_drop(t, id);
        return rc;
    }
    entry *e = find(t, id);
    char *body = hf_alloc(t->buf.len);
    if (!body || (!e && !(e = add(t, id)))) {
        free(body);
        return hf_fail(reterr, HF_E_NO_MEMORY, "schedule %.*s", HF_STR_ARG(id));
    }
    memcpy(body, t->buf.data, t->buf.len);
    free(e->body);
    e->body = body;
    e->body_bytes = (uint32_t)t->buf.len;
    take(e, schedule, &due, partition);
    note_runs(e, runs);
    wake_at(t, e, 0);
    return HF_OK;
}

void hf_ticker_runs(hf_ticker *t, hf_str id, const hf_schedule_runs *runs) {
    entry *e = find(t, id);
    if (!e)
        return;
    note_runs(e, runs);
    wake_at(t, e, 0);
}

void hf_ticker_owned(hf_ticker *t, const uint64_t *bits, size_t words) {
    memset(t->owned, 0, sizeof t->owned);
    memcpy(t->owned, bits, (words < OWNED_WORDS ? words : OWNED_WORDS) * sizeof *bits);
    wake_all(t); /* what we own now may be due earlier; rebalances are rare */
}

/* ---- what is due ------------------------------------------------------------------------------------------ */
static bool owns(const hf_ticker *t, const entry *e) {
    uint32_t p = (uint32_t)e->partition;
    return p < OWNED_WORDS * 64 && (t->owned[p / 64] >> (p % 64) & 1);
}

static bool spent(const entry *e) {
    return !e->enabled || (e->max_runs > 0 && e->count + (e->proposed > 0) >= e->max_runs);
}
static bool busy(const entry *e) { return RUNS_HOLD_BACK && (e->alive > 0 || e->proposed > 0); }

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

/* Where looking begins. Runs are told of by others' clocks, and one that was ahead must not hold up the future: what it had run
 * already is refused by the fold. */
static int64_t settled(const entry *e, int64_t now_wall) {
    int64_t until = now_wall - e->due.delay_ms;
    int64_t at = max64(min64(e->nominal, until), max64(e->created_at, e->updated_at - e->due.delay_ms));
    return e->overlap == HF_OVERLAP_SKIP ? max64(at, min64(e->ended_at - e->due.delay_ms, until)) : at;
}

static void set_since(entry *e, int64_t since) {
    e->since = since;
    if (!hf_due_next(&e->due, since, &e->next))
        e->next = NEVER_MS;
}

/* The last nominal time in (after, until], which has one; looked for from its end, in steps that double, so that a year of minutes
 * costs no more than what lies near its end. */
static int64_t last_between(const hf_due *due, int64_t after, int64_t until) {
    int64_t at = 0, later;
    if (due->end_at > 0 && until > due->end_at)
        until = due->end_at;
    for (int64_t back = 60000;; back *= 2) {
        int64_t from = until - after > back ? until - back : after;
        if (hf_due_next(due, from, &at) && at <= until)
            break;
        if (from <= after)
            return 0;
    }
    if (due->cron.every_s > 0)
        return at + (until - at) / (due->cron.every_s * 1000) * (due->cron.every_s * 1000);
    while (hf_due_next(due, at, &later) && later <= until)
        at = later;
    return at;
}

static bool holds(const entry *e) { return e->overlap != HF_OVERLAP_ALLOW && busy(e); }

/* Nominal times that have come since the last look: the last of them is to be run, unless it is too late or the policy says no. */
static void look(entry *e, int64_t repeat_ms, int64_t now_wall, int64_t now_mono) {
    int64_t until = now_wall - e->due.delay_ms;
    if (e->held && !holds(e))
        e->seen_mono = now_mono; /* a stand-in gives the owner its time from here */
    e->held = holds(e);
    if (e->proposed <= e->nominal)
        e->proposed = 0; /* it came to nothing: a clock that was ahead had it run */
    if (e->said >= SAID_MAX && now_mono >= e->said_mono + repeat_ms)
        e->proposed = 0; /* its id is another job's: the schedule goes on */
    if (e->fresh) {
        e->fresh = false;
        e->due.origin = EVERY_HAS_AN_ORIGIN ? e->due.origin : now_wall / 1000 * 1000;
        set_since(e, THE_LOG_SETTLES ? settled(e, now_wall) : until + e->window_ms / 40);
        if (e->pending > until)
            e->pending = 0; /* of a clock that has been set back */
    }
    if (e->next > until)
        return;
    int64_t last = last_between(&e->due, max64(e->since, until - e->window_ms - 1), until);
    set_since(e, until);
    if (last == 0 || last == e->nominal || spent(e) || (e->overlap == HF_OVERLAP_SKIP && busy(e)))
        return;
    if (e->pending == 0)
        e->seen_mono = now_mono;
    e->pending = last;
}

/* Monotonic time at which to propose what is pending or was not read back; NEVER_MS: not before something happens. */
static int64_t acts_mono(const hf_ticker *t, const entry *e) {
    if (!e->enabled)
        return NEVER_MS;
    if (e->proposed)
        return e->said_mono + t->options.repeat_ms;
    if (!e->pending || spent(e) || holds(e))
        return NEVER_MS;
    return e->seen_mono + (owns(t, e) ? 0 : t->options.stand_in_ms);
}

static void sleep_until(hf_ticker *t, entry *e, int64_t now_wall, int64_t now_mono) {
    int64_t acts = acts_mono(t, e);
    int64_t wake = e->next == NEVER_MS || spent(e) ? NEVER_MS : e->next + e->due.delay_ms;
    if (acts != NEVER_MS && now_wall + (acts - now_mono) < wake)
        wake = now_wall + (acts - now_mono);
    wake_at(t, e, wake);
}

static bool propose(hf_ticker *t, const entry *e, int64_t nominal, int64_t now_wall, hf_arena *arena, hf_record *ret) {
    hf_schedule *schedule = hf_arena_alloc(arena, sizeof *schedule);
    hf_submission *run = hf_arena_alloc(arena, sizeof *run);
    char *id = hf_arena_alloc(arena, HF_UUID_BYTES);
    if (!schedule || !run || !id ||
        hf_decode_body(HF_SCHEMA_SCHEDULE, (hf_str){e->body, e->body_bytes}, arena, schedule, NULL) != HF_OK)
        return false;
    if (!hf_schedule_run(schedule, nominal, nominal, arena, run))
        return false;
    run->job_id = hf_str_of(hf_id_from_schedule(schedule->schedule_id, nominal, id));
    return hf_intake(run, run->job_id, HF_STR_NONE, t->options.me, now_wall, arena, ret, NULL, NULL) == HF_OK;
}

/* 1: *ret is a proposal. 0: none. -1: the arena is full. */
static int act(hf_ticker *t, entry *e, int64_t now_wall, int64_t now_mono, hf_arena *arena, hf_record *ret) {
    if (acts_mono(t, e) > now_mono)
        return 0;
    int64_t nominal = e->proposed ? e->proposed : e->pending;
    if (!propose(t, e, nominal, now_wall, arena, ret))
        return -1;
    if (!e->proposed)
        e->pending = 0;
    e->said = e->proposed ? e->said + 1 : 1;
    e->proposed = nominal;
    e->said_mono = now_mono;
    return 1;
}

/* What waited (a stand-in's, or while intake was paused) and should not be any more. */
static void let_pass(entry *e, int64_t now_wall) {
    bool late = e->overlap != HF_OVERLAP_BUFFER_ONE && e->pending + e->due.delay_ms + e->window_ms < now_wall;
    if (e->pending && (late || spent(e) || (e->overlap == HF_OVERLAP_SKIP && busy(e))))
        e->pending = 0;
}

static void note_clock(hf_ticker *t, int64_t now_wall, int64_t now_mono) {
    int64_t offset = now_wall - now_mono, moved = t->began ? offset - t->offset_ms : 0;
    bool jumped = moved > HF_CLOCK_JUMP_MS || moved < -HF_CLOCK_JUMP_MS;
    if (jumped)
        wake_all(t);
    for (size_t i = 0; jumped && moved < 0 && i < t->count; i++)
        t->heap[i]->fresh = true; /* what was settled by a clock that was ahead is not */
    if (jumped || !t->began)
        t->offset_ms = offset;
    t->began = true;
}

size_t hf_ticker_due(hf_ticker *t, int64_t now_wall_ms, int64_t now_mono_ms, hf_arena *arena, hf_record *ret,
                     size_t max) {
    size_t n = 0;
    note_clock(t, now_wall_ms, now_mono_ms);
    while (n < max && t->count && t->heap[0]->wake <= now_wall_ms) {
        entry *e = t->heap[0];
        look(e, t->options.repeat_ms, now_wall_ms, now_mono_ms);
        let_pass(e, now_wall_ms);
        int acted = act(t, e, now_wall_ms, now_mono_ms, arena, &ret[n]);
        if (acted < 0)
            break; /* what is left stays due */
        n += (size_t)acted;
        sleep_until(t, e, now_wall_ms, now_mono_ms);
    }
    return n;
}

void hf_ticker_give_up(hf_ticker *t, const hf_record *record) {
    const hf_ev_created *created = HF_LIST_AT(record->transitions, hf_variant, 0)->record;
    hf_str id;
    entry *e = hf_origin_schedule(created->spec.origin, &id) ? find(t, id) : NULL;
    if (e && e->proposed == created->spec.scheduled_for) {
        e->proposed = 0;
        wake_at(t, e, 0);
    }
}

int64_t hf_ticker_idle_ms(const hf_ticker *t, int64_t now_wall_ms) {
    if (t->count == 0 || t->heap[0]->wake == NEVER_MS)
        return INT64_MAX;
    return t->heap[0]->wake > now_wall_ms ? t->heap[0]->wake - now_wall_ms : 0;
}
