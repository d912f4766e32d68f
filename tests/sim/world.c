/* Time, messages on their way, and the log. */
#include <stdarg.h>
#include <stdlib.h>

#include "schemas/base/mem.h"
#include "tests/sim/sim.h"

void *sim_must(void *p) {
    if (!p) {
        fputs("sim: no memory\n", stderr);
        exit(70);
    }
    return p;
}

void sim_violation(sim_world *w, const char *format, ...) {
    va_list args;
    if (w->violation[0])
        return;
    va_start(args, format);
    vsnprintf(w->violation, sizeof w->violation, format, args);
    va_end(args);
    SIM_SAY(w, "VIOLATION: %s", w->violation);
}

/* ---- time: a heap of what will happen ------------------------------------------------------------------- */
static bool sooner(const sim_event *a, const sim_event *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->seq < b->seq;
}

static void swap(sim_world *w, size_t i, size_t k) {
    sim_event e = w->events[i];
    w->events[i] = w->events[k];
    w->events[k] = e;
}

void sim_at(sim_world *w, int64_t at_ms, sim_event event) {
    if (w->event_count == w->event_cap) {
        w->event_cap = w->event_cap ? w->event_cap * 2 : 1024;
        w->events = sim_must(hf_realloc(w->events, w->event_cap * sizeof *w->events));
    }
    event.at_ms = at_ms > w->now_ms ? at_ms : w->now_ms;
    event.seq = w->seq++;
    size_t i = w->event_count++;
    w->events[i] = event;
    for (; i > 0 && sooner(&w->events[i], &w->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(w, i, (i - 1) / 2);
}

bool sim_next(sim_world *w, sim_event *ret) {
    if (w->event_count == 0)
        return false;
    *ret = w->events[0];
    w->events[0] = w->events[--w->event_count];
    for (size_t i = 0, child; (child = 2 * i + 1) < w->event_count; i = child) {
        if (child + 1 < w->event_count && sooner(&w->events[child + 1], &w->events[child]))
            child++;
        if (!sooner(&w->events[child], &w->events[i]))
            break;
        swap(w, i, child);
    }
    w->now_ms = ret->at_ms;
    return true;
}

/* ---- messages ---------------------------------------------------------------------------------------------- */
int64_t sim_delay(sim_world *w) {
    int64_t kind = w->calm ? 0 : sim_roll(w, 100);
    if (kind < 80)
        return 1 + sim_roll(w, w->calm ? 4 : 20);
    return kind < 95 ? 20 + sim_roll(w, 500) : 500 + sim_roll(w, 20000);
}

static const hf_type *type_of(sim_topic topic) {
    return topic == SIM_LIMITS        ? &HF_TYPE_LIMIT_EVENT
           : topic == SIM_EVENTS      ? &HF_TYPE_RECORD
           : topic == SIM_SUBMISSIONS ? &HF_TYPE_SUBMISSION
                                      : &HF_TYPE_HEARTBEAT;
}
static hf_schema schema_of(sim_topic topic) {
    return topic == SIM_LIMITS        ? HF_SCHEMA_LIMIT
           : topic == SIM_EVENTS      ? HF_SCHEMA_RECORD
           : topic == SIM_SUBMISSIONS ? HF_SCHEMA_SUBMISSION
                                      : HF_SCHEMA_HEARTBEAT;
}

int sim_partition_of(hf_str key) { return hf_klog_partition_of(key, SIM_PARTITIONS); }

static void count_in(sim_world *w, const sim_message *m, int by) {
    if (m->topic != SIM_HEARTBEATS && !m->lost)
        w->in_flight += by;
}

/* The same record again, later: a producer that was made anew, or a person's second try. */
static void send_again(sim_world *w, const sim_message *m) {
    sim_message *again = sim_must(hf_arena_alloc(&w->arena, sizeof *again));
    *again = *m;
    again->actor = -1;
    again->lost = false;
    w->counts.duplicates++;
    count_in(w, again, 1);
    sim_at(w, w->now_ms + 1 + sim_roll(w, sim_chance(w, 500) ? 60000 : 300),
           (sim_event){.kind = SIM_AT_APPEND, .message = again});
}

/* The same record in another worker's name: what a split brain would say. */
static void send_forged(sim_world *w, const sim_message *m) {
    const hf_record *record = m->record;
    hf_event first = hf_record_event(record, 0);
    const sim_actor *other = &w->actors[sim_roll(w, w->actor_count)];
    if (first == HF_EV_CREATED || first == HF_EV_ASSIGNED || other->kind != SIM_WORKER ||
        hf_str_eqz(record->by, other->identity))
        return;
    hf_record *forged = sim_must(hf_arena_alloc(&w->arena, sizeof *forged));
    sim_message *copy = sim_must(hf_arena_alloc(&w->arena, sizeof *copy));
    *forged = *record;
    forged->by = hf_arena_str(&w->arena, hf_str_of(other->identity));
    *copy = *m;
    copy->record = forged;
    copy->actor = -1;
    copy->lost = false;
    w->counts.forged++;
    count_in(w, copy, 1);
    sim_at(w, w->now_ms + sim_roll(w, 30), (sim_event){.kind = SIM_AT_APPEND, .message = copy});
}

static void draw_fate(sim_world *w, sim_message *m) {
    m->lost = sim_storm_chance(w, 30);
    if (m->lost || sim_storm_chance(w, 30))
        m->answer = HF_E_LOG_NOT_ACKED; /* it may be on the log all the same */
}

void sim_send(sim_world *w, sim_actor *from, sim_topic topic, int partition, const void *record, uint64_t tag) {
    sim_message *m = sim_must(hf_arena_alloc(&w->arena, sizeof *m));
    *m = (sim_message){.topic = topic,
                       .partition = partition,
                       .actor = from ? from->index : -1,
                       .incarnation = from ? from->incarnation : 0,
                       .tag = tag};
    m->record = sim_must(hf_type_copy(type_of(topic), record, &w->arena));
    draw_fate(w, m);
    int64_t at = w->now_ms + sim_delay(w);
    if (from && at < from->last_append[topic])
        at = from->last_append[topic];
    if (from)
        from->last_append[topic] = at;
    count_in(w, m, 1);
    if (topic == SIM_EVENTS && from && sim_storm_chance(w, 200))
        send_forged(w, m);
    sim_at(w, at, (sim_event){.kind = SIM_AT_APPEND, .message = m});
}

/* ---- the log --------------------------------------------------------------------------------------------------- */
/* What is on the log went through bytes: every record of every schedule is a test of the codec, too. */
static sim_entry through_bytes(sim_world *w, const sim_message *m) {
    const hf_type *type = type_of(m->topic);
    void *record = sim_must(hf_arena_alloc(&w->arena, type->size_bytes));
    sim_entry e = {.at_ms = w->now_ms, .record = record};
    hf_err err = {0};
    hf_buf_clear(&w->bytes);
    if (hf_encode(w->codec, schema_of(m->topic), m->record, &w->bytes, &err) != HF_OK)
        sim_violation(w, "a %s cannot be encoded: %s", type->name, err.detail);
    e.bytes = hf_arena_str(&w->arena, hf_buf_str(&w->bytes));
    if (hf_decode(w->codec, schema_of(m->topic), e.bytes, &w->arena, record, &err) != HF_OK)
        sim_violation(w, "a %s cannot be decoded: %s", type->name, err.detail);
    return e;
}

hf_str sim_submission_id(sim_world *w, int partition, uint32_t offset) {
    const sim_entry *e = &w->log[SIM_SUBMISSIONS][partition].entries[offset];
    hf_str given = ((const hf_submission *)e->record)->job_id;
    char text[HF_UUID_BYTES];
    if (given.len)
        return given;
    return hf_arena_str(&w->arena,
                        hf_str_of(hf_id_from_position(HF_STR("submissions"), partition, offset, e->at_ms, text)));
}

static void wake_followers(sim_world *w, sim_topic topic) {
    for (int i = 0; i < w->actor_count; i++) {
        sim_actor *a = &w->actors[i];
        if (topic == SIM_EVENTS || topic == SIM_LIMITS || (topic == SIM_HEARTBEATS && a->kind != SIM_JOURNAL) ||
            (topic == SIM_SUBMISSIONS && a->kind == SIM_DISPATCHER))
            sim_actor_wake(w, a, w->now_ms + a->lag_ms);
    }
}

static void answer(sim_world *w, const sim_message *m) {
    if (m->actor >= 0)
        sim_at(w, w->now_ms + sim_delay(w),
               (sim_event){.kind = SIM_AT_ANSWER,
                           .actor = m->actor,
                           .incarnation = m->incarnation,
                           .message = (sim_message *)(uintptr_t)m});
}

void sim_append(sim_world *w, sim_message *m) {
    count_in(w, m, -1);
    answer(w, m);
    bool orphaned = m->actor >= 0 && w->actors[m->actor].incarnation != m->incarnation;
    if (m->lost || (orphaned && sim_chance(w, 500))) { /* its producer died with it in hand */
        w->counts.lost++;
        return;
    }
    sim_partition *p = &w->log[m->topic][m->partition];
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->entries = sim_must(hf_realloc(p->entries, p->cap * sizeof *p->entries));
    }
    sim_entry *e = &p->entries[p->count];
    *e = through_bytes(w, m);
    if (w->violation[0])
        return;
    if (m->topic == SIM_EVENTS)
        e->digest = sim_referee_judge(w, m->partition, e->record);
    if (m->topic == SIM_LIMITS)
        sim_limits_judge(w, m->partition, p->count, e->record);
    p->count++;
    w->counts.records++;
    if (m->topic == SIM_SUBMISSIONS) /* from now on the fleet owes it an end */
        sim_referee_model(w, sim_submission_id(w, m->partition, p->count - 1));
    if ((m->topic == SIM_EVENTS || m->topic == SIM_LIMITS) && sim_storm_chance(w, 60))
        send_again(w, m);
    wake_followers(w, m->topic);
}
