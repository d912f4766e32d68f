/* What to send now, and what an outcome means. */
#include <utlist.h>

#include "consumer/notify/decide_inside.h"
#include "schemas/base/mem.h"

enum { FILL_EVERY_MS = 5, SWEEP_EVERY_MS = 1000 };

static const char TOO_OLD[] = "older than webhook.max_age: not sent, kept for replay";

/* ---- filling ---------------------------------------------------------------------------------------------------------------- */
static bool too_old(const hf_decide *d, const hf_outbox_entry *entry, int64_t wall_ms) {
    return wall_ms - entry->at > d->options.max_age_ms;
}

/* Of half the pool each has its share, so that many that are slow leave room for the others. */
static bool has_room(const hf_decide *d, const endpoint *e) {
    uint32_t share = POOL_MAX / 2 / (HASH_COUNT(d->endpoints) + 1);
    uint32_t most = share > BLOCKED_QUEUE ? share : BLOCKED_QUEUE;
    return e->queued < (most < d->options.queue_max ? most : d->options.queue_max) && e->reporting < REPORTING_MAX;
}

static bool is_shut(const endpoint *e) { return !e->webhook->enabled || (e->opens && e->queued >= BLOCKED_QUEUE); }

/* Takes one into memory; false without memory. */
static bool enqueue(hf_decide *d, endpoint *e, int32_t partition, const hf_outbox_entry *entry, hf_place place,
                    const hf_mark *mark, int64_t wall_ms, int64_t mono_ms) {
    uint32_t i = hf_item_new(d);
    bool ok = true;
    if (i == NONE)
        return false;
    item *it = &d->items[i];
    it->endpoint = e;
    it->place = place;
    it->partition = partition;
    it->job = entry ? entry->job : 0;
    it->attempt = mark ? mark->attempt : 0;
    it->replay = mark && mark->kind == HF_MARK_REPLAY;
    bool expired = !entry || (!it->replay && too_old(d, entry, wall_ms));
    if (!expired && hf_item_behind(d, e, i, &ok)) {
        e->queued++;
        return true;
    }
    if (!ok) {
        hf_item_free(d, i);
        return false;
    }
    e->queued++;
    if (expired)
        hf_item_expired(d, i);
    else if (mark && mark->at > wall_ms)
        hf_item_wait(d, i, mono_ms + mark->at - wall_ms);
    else
        hf_item_ready(d, i, false);
    return true;
}

/* Replays stand before what the scan will come to. */
static bool fill_replays(hf_decide *d, endpoint *e, int32_t p, int64_t wall_ms, int64_t mono_ms) {
    hf_lane *lane = &e->lanes[p];
    for (uint32_t i = 0; lane->replays && i < lane->count && has_room(d, e) && !is_shut(e); i++) {
        hf_mark *mark = &lane->marks[i];
        if (mark->kind != HF_MARK_REPLAY || mark->loaded)
            continue;
        const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, p, mark->place);
        if (entry && entry->place != mark->place)
            entry = NULL;
        if (!enqueue(d, e, p, entry, mark->place, mark, wall_ms, mono_ms))
            return false;
        mark->loaded = true;
    }
    return true;
}

static bool fill_lane(hf_decide *d, endpoint *e, int32_t p, int64_t wall_ms, int64_t mono_ms) {
    const hf_lane *lane = hf_decide_lane(d, e, p);
    if (!lane || !fill_replays(d, e, p, wall_ms, mono_ms))
        return false;
    if (e->scans[p] < lane->done)
        e->scans[p] = lane->done;
    const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, p, e->scans[p]);
    for (; entry && has_room(d, e); entry = hf_outbox_after(d->outbox, p, entry)) {
        const hf_mark *mark = hf_lane_find(lane, entry->place);
        bool open = hf_decide_wants(e, p, entry->place) && (!mark || mark->kind == HF_MARK_RETRY);
        if (open && (lane->settled >= LANE_AHEAD_MAX || (is_shut(e) && !too_old(d, entry, wall_ms))))
            return true;
        if (open && !enqueue(d, e, p, entry, entry->place, mark, wall_ms, mono_ms))
            return false;
        e->scans[p] = entry->place + 1;
    }
    return true;
}

static void fill(hf_decide *d, endpoint *e, int64_t wall_ms, int64_t mono_ms) {
    e->hungry = false;
    for (int32_t p = 0; e->webhook && p < d->partition_room && has_room(d, e); p++)
        if (d->owned[p] && !fill_lane(d, e, p, wall_ms, mono_ms))
            e->hungry = true; /* no memory: later */
    if (e->hungry)
        d->fill_again_ms = mono_ms + SWEEP_EVERY_MS;
}

static void sweep(hf_decide *d, endpoint *e, int64_t wall_ms) {
    while (e->ready != NONE) {
        item *it = &d->items[e->ready];
        const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, it->partition, it->place);
        if (it->replay || (entry && entry->place == it->place && !too_old(d, entry, wall_ms)))
            return;
        hf_item_expired(d, hf_item_pop(d, e));
    }
}

static void fill_all(hf_decide *d, int64_t wall_ms, int64_t mono_ms) {
    bool swept = mono_ms - d->swept_ms >= SWEEP_EVERY_MS;
    bool news = hf_outbox_added(d->outbox) != d->filled_added;
    bool all = d->fill_all || swept || (news && mono_ms - d->filled_ms >= FILL_EVERY_MS);
    d->fill_again_ms = news && !all ? d->filled_ms + FILL_EVERY_MS : INT64_MAX;
    for (endpoint *e = d->endpoints; e; e = e->hh.next) {
        if (swept && e->webhook)
            sweep(d, e, wall_ms);
        if (all || e->hungry)
            fill(d, e, wall_ms, mono_ms);
    }
    if (all) {
        d->filled_added = hf_outbox_added(d->outbox);
        d->filled_ms = mono_ms;
        d->fill_all = false;
    }
    if (swept)
        d->swept_ms = mono_ms;
}

void hf_decide_turn(hf_decide *d, int64_t wall_ms, int64_t mono_ms) {
    while (d->heap_count && d->items[d->heap[0]].due_ms <= mono_ms) {
        uint32_t i = d->heap[0];
        hf_item_wake(d, i);
        hf_item_ready(d, i, true);
    }
    fill_all(d, wall_ms, mono_ms);
}

/* ---- sending ------------------------------------------------------------------------------------------------------------------ */
/* A delivery is under way until its outcome is on record: that is what a kill makes somebody tell again, so it has the bound. */
static bool may_be_told(const hf_decide *d, const endpoint *e) {
    return e->in_flight + e->reporting < d->options.endpoint_in_flight && (!e->opens || e->in_flight == 0);
}

static int64_t free_at(const endpoint *e) {
    return e->blocked_until > e->held_until ? e->blocked_until : e->held_until;
}

static bool may_send(const hf_decide *d, const endpoint *e, int64_t mono_ms) {
    return e->webhook && e->webhook->enabled && e->ready != NONE && free_at(e) <= mono_ms && may_be_told(d, e);
}

static void start(hf_decide *d, uint32_t i, int64_t wall_ms, hf_decide_send *ret) {
    item *it = &d->items[i];
    endpoint *e = it->endpoint;
    const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, it->partition, it->place);
    if (entry && entry->place != it->place)
        entry = NULL;
    it->expired |= !entry || (!it->replay && too_old(d, entry, wall_ms));
    it->state = ITEM_SENDING;
    it->attempt += !it->expired;
    e->queued--;
    e->in_flight++;
    d->in_flight++;
    d->under_way[it->partition]++;
    *ret = (hf_decide_send){.tag = hf_item_tag(d, i),
                            .webhook = e->webhook,
                            .entry = entry,
                            .place = it->place,
                            .partition = it->partition,
                            .attempt = it->attempt,
                            .expired = it->expired};
}

bool hf_decide_next(hf_decide *d, int64_t wall_ms, int64_t mono_ms, hf_decide_send *ret) {
    if (d->expired != NONE) {
        uint32_t i = d->expired;
        d->expired = d->items[i].next;
        start(d, i, wall_ms, ret);
        return true;
    }
    endpoint *e, *next;
    if (d->in_flight >= d->options.in_flight)
        return false;
    DL_FOREACH_SAFE(d->active, e, next) {
        if (e->ready == NONE) {
            DL_DELETE(d->active, e);
            e->active = false;
            continue;
        }
        if (!may_send(d, e, mono_ms))
            continue;
        start(d, hf_item_pop(d, e), wall_ms, ret);
        DL_DELETE(d->active, e); /* the others first, before it has its next turn */
        DL_APPEND(d->active, e);
        return true;
    }
    return false;
}

static void not_in_flight(hf_decide *d, item *it) {
    it->endpoint->in_flight--;
    d->in_flight--;
}

static void gone_for_good(hf_decide *d, endpoint *e) {
    if (!e->gone || e->in_flight + e->reporting)
        return;
    LL_DELETE(d->leaving, e);
    hf_decide_free_endpoint(d, e);
}

static void let_go(hf_decide *d, uint32_t i) {
    endpoint *e = d->items[i].endpoint;
    d->under_way[d->items[i].partition]--;
    hf_item_free(d, i);
    e->hungry = true;
    gone_for_good(d, e);
}

void hf_decide_unsent(hf_decide *d, uint64_t tag, int64_t until_ms) {
    item *it = hf_item_of(d, tag);
    if (!it || it->state != ITEM_SENDING)
        return;
    not_in_flight(d, it);
    if (it->orphan) {
        let_go(d, (uint32_t)tag);
        return;
    }
    it->attempt -= !it->expired;
    it->endpoint->queued++;
    if (it->endpoint->held_until < until_ms)
        it->endpoint->held_until = until_ms;
    d->under_way[it->partition]--;
    if (it->expired)
        hf_item_expired(d, (uint32_t)tag);
    else
        hf_item_ready(d, (uint32_t)tag, true);
}

/* ---- outcomes -------------------------------------------------------------------------------------------------------------------- */
/* A fifth more or less, so that those that failed together do not come again together. */
static int64_t jittered(const hf_decide *d, int64_t ms) {
    int64_t span = ms * 2 / 5;
    return ms - ms / 5 + (span > 0 ? (int64_t)(hf_random_u64(d->options.random) % (uint64_t)span) : 0);
}

static int64_t doubled(int64_t first_ms, uint32_t times, int64_t most_ms) {
    int64_t ms = times < 30 ? first_ms << times : most_ms;
    return ms < most_ms ? ms : most_ms;
}

static void note_failure(hf_decide *d, endpoint *e, int64_t mono_ms) {
    e->failures++;
    if (e->opens ? e->blocked_until > mono_ms : e->failures < d->options.breaker_failures)
        return; /* a straggler of before it was opened; not enough yet */
    e->blocked_until = mono_ms + jittered(d, doubled(1000, e->opens, d->options.breaker_max_ms));
    e->opens++;
}

static void note_answer(hf_decide *d, endpoint *e, const hf_post_outcome *o, int64_t mono_ms) {
    if (o->class == HF_POST_DELIVERED || o->class == HF_POST_GONE) {
        e->hungry |= e->opens > 0;
        e->failures = e->opens = 0;
    } else
        note_failure(d, e, mono_ms);
    if (o->class == HF_POST_GONE) /* nothing more, while the record that switches it off is on its way */
        e->blocked_until = mono_ms + d->options.breaker_max_ms;
    if (o->retry_after_ms > 0) {
        int64_t most = d->options.retry_after_max_ms;
        int64_t until = mono_ms + (o->retry_after_ms < most ? o->retry_after_ms : most);
        e->blocked_until = until > e->blocked_until ? until : e->blocked_until;
    }
}

static int32_t meaning(const item *it, const hf_post_outcome *o) {
    switch (o->class) {
    case HF_POST_DELIVERED: return HF_DELIVERY_DELIVERED;
    case HF_POST_GONE: return HF_DELIVERY_DISABLED;
    case HF_POST_REFUSED: return o->code == HF_E_TIMEOUT ? HF_DELIVERY_FAILED : HF_DELIVERY_REFUSED;
    case HF_POST_RETRY:
    default:
        return it->attempt > (it->endpoint->webhook ? it->endpoint->webhook->retry : 0) ? HF_DELIVERY_FAILED
                                                                                        : HF_DELIVERY_RETRYING;
    }
}

static int64_t retry_wait(const hf_decide *d, const item *it, const hf_post_outcome *o) {
    int64_t wait = jittered(d, doubled(1000, (uint32_t)it->attempt - 1, d->options.backoff_max_ms));
    int64_t asked =
        o->retry_after_ms < d->options.retry_after_max_ms ? o->retry_after_ms : d->options.retry_after_max_ms;
    return asked > wait ? asked : wait;
}

void hf_decide_outcome(hf_decide *d, uint64_t tag, const hf_post_outcome *outcome, int64_t wall_ms, int64_t mono_ms,
                       hf_delivery *ret, bool *ret_final, bool *ret_switch_off) {
    uint32_t i = (uint32_t)tag;
    item *it = hf_item_of(d, tag);
    bool own_refusal = outcome->class == HF_POST_REFUSED;
    endpoint *e = it->endpoint;
    int32_t what = meaning(it, outcome);
    hf_type_init(&HF_TYPE_DELIVERY, ret);
    ret->endpoint = hf_str_of(e->id);
    ret->event = hf_str_of(hf_webhook_event_name(hf_place_event(it->place)));
    ret->event_partition = it->partition;
    ret->event_offset = hf_place_offset(it->place);
    ret->attempt = it->attempt;
    ret->outcome = what;
    ret->status_code = outcome->status;
    ret->at = wall_ms;
    ret->duration_ms = outcome->duration_ms;
    ret->error = outcome->error[0] ? hf_str_of(outcome->error)
                                   : hf_str_of(own_refusal && what == HF_DELIVERY_FAILED ? TOO_OLD : "");
    not_in_flight(d, it);
    if (!own_refusal)
        note_answer(d, e, outcome, mono_ms);
    *ret_switch_off = what == HF_DELIVERY_DISABLED && !e->gone;
    *ret_final = what != HF_DELIVERY_RETRYING || it->orphan; /* an orphan's next attempt is its new owner's */
    if (!*ret_final) {
        int64_t wait = retry_wait(d, it, outcome);
        ret->next_at = wall_ms + wait;
        d->under_way[it->partition]--;
        e->queued++;
        hf_item_wait(d, i, mono_ms + wait);
        return;
    }
    it->state = ITEM_REPORTING;
    e->reporting++;
    if (!it->orphan)
        hf_item_aside(d, i);
}

void hf_decide_reported(hf_decide *d, uint64_t tag) {
    item *it = hf_item_of(d, tag);
    if (!it || it->state != ITEM_REPORTING)
        return;
    it->endpoint->reporting--;
    let_go(d, (uint32_t)tag);
}

int64_t hf_decide_next_ms(const hf_decide *d) {
    int64_t next = d->fill_again_ms;
    if (d->expired != NONE)
        return 0;
    if (d->heap_count && d->items[d->heap[0]].due_ms < next)
        next = d->items[d->heap[0]].due_ms;
    for (const endpoint *e = d->active; e; e = e->next) {
        bool room = d->in_flight < d->options.in_flight && e->webhook && e->webhook->enabled && e->ready != NONE &&
                    may_be_told(d, e);
        if (room && free_at(e) < next)
            next = free_at(e);
    }
    if (d->endpoints && d->swept_ms + SWEEP_EVERY_MS < next)
        next = d->swept_ms + SWEEP_EVERY_MS;
    return next;
}
