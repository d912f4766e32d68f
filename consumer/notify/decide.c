#include "consumer/notify/decide_inside.h"

#include <utlist.h>

#include "schemas/base/mem.h"

enum { TOLD_SETS = 16384, TOLD_WAYS = 4, ATTEMPTS_MAX = 1000000 };
#define TIME_MAX_MS (INT64_C(1) << 50)

hf_decide *hf_decide_new(const hf_decide_options *options, hf_outbox *outbox) {
    hf_decide *d = hf_alloc(sizeof *d);
    if (!d)
        return NULL;
    d->options = *options;
    hf_decide_options *o = &d->options;
    o->random = o->random ? o->random : hf_random_system();
    o->in_flight = o->in_flight ? o->in_flight : 256;
    o->endpoint_in_flight = o->endpoint_in_flight ? o->endpoint_in_flight : 8;
    o->queue_max = o->queue_max ? o->queue_max : 256;
    o->max_age_ms = o->max_age_ms ? o->max_age_ms : 86400000;
    o->keep_ms = o->keep_ms ? o->keep_ms : 7 * 86400000LL;
    o->backoff_max_ms = o->backoff_max_ms ? o->backoff_max_ms : 300000;
    o->retry_after_max_ms = o->retry_after_max_ms ? o->retry_after_max_ms : 3600000;
    o->breaker_failures = o->breaker_failures ? o->breaker_failures : 10;
    o->breaker_max_ms = o->breaker_max_ms ? o->breaker_max_ms : 60000;
    o->grace_ms = o->grace_ms ? o->grace_ms : 60000;
    d->outbox = outbox;
    d->free_items = d->expired = d->expired_last = NONE;
    d->filled_ms = d->swept_ms = INT64_MIN / 2;
    d->fill_again_ms = INT64_MAX;
    return d;
}

void hf_decide_free(hf_decide *d) {
    endpoint *e, *next;
    if (!d)
        return;
    HASH_ITER(hh, d->endpoints, e, next) {
        HASH_DEL(d->endpoints, e);
        hf_decide_free_endpoint(d, e);
    }
    for (e = d->leaving; e; e = next) {
        next = e->next;
        hf_decide_free_endpoint(d, e);
    }
    hold *h = d->holds, *after;
    HASH_CLEAR(hh, d->holds); /* the table; its elements are still linked */
    for (; h; h = after) {
        after = h->hh.next;
        free(h);
    }
    free(d->items);
    free(d->heap);
    free(d->under_way);
    free(d->owned);
    free(d->told);
    free(d->gone_ids);
    free(d);
}

/* ---- endpoints and lanes --------------------------------------------------------------------------------------------- */
void hf_decide_free_endpoint(hf_decide *d, endpoint *e) {
    (void)d;
    for (int32_t p = 0; p < e->lane_count; p++)
        hf_lane_done(&e->lanes[p]);
    chain *c = e->chains, *next;
    HASH_CLEAR(hh, e->chains); /* the table; its elements are still linked */
    for (; c; c = next) {
        next = c->hh.next;
        free(c);
    }
    free(e->lanes);
    free(e->scans);
    free(e->webhook);
    free(e);
}

bool hf_decide_room(hf_decide *d, int32_t partition) {
    if (partition < 0 || partition >= HF_OUTBOX_PARTITIONS_MAX)
        return false;
    if (partition < d->partition_room)
        return true;
    size_t room = (size_t)partition + 1, had = (size_t)d->partition_room;
    uint32_t *under_way = hf_realloc(d->under_way, room * sizeof *under_way);
    d->under_way = under_way ? under_way : d->under_way;
    bool *owned = hf_realloc(d->owned, room * sizeof *owned);
    d->owned = owned ? owned : d->owned;
    if (!under_way || !owned)
        return false;
    memset(under_way + had, 0, (room - had) * sizeof *under_way);
    memset(owned + had, 0, (room - had) * sizeof *owned);
    d->partition_room = partition + 1;
    return true;
}

static endpoint *find(const hf_decide *d, hf_str id) {
    endpoint *e = NULL;
    HASH_FIND(hh, d->endpoints, id.p, id.len, e);
    return e;
}

endpoint *hf_decide_endpoint(hf_decide *d, hf_str id) {
    endpoint *e = find(d, id);
    if (e || !id.len || id.len > HF_ID_MAX_BYTES)
        return e;
    e = hf_alloc(sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->id, id.p, id.len);
    e->ready = e->ready_last = NONE;
    HASH_ADD_KEYPTR(hh, d->endpoints, e->id, id.len, e);
    return e;
}

static hf_place from_of(const endpoint *e, int32_t partition) {
    for (uint32_t i = 0; e->webhook && i < e->webhook->from.count; i++) {
        const hf_position *from = HF_LIST_AT(e->webhook->from, hf_position, i);
        if (from->partition == partition && from->offset > 0)
            return (from->offset < HF_PLACE_OFFSET_MAX ? from->offset : HF_PLACE_OFFSET_MAX) * HF_PLACE_EVENTS;
    }
    return 0;
}

hf_lane *hf_decide_lane(hf_decide *d, endpoint *e, int32_t partition) {
    if (!hf_decide_room(d, partition))
        return NULL;
    if (partition < e->lane_count)
        return &e->lanes[partition];
    size_t room = (size_t)partition + 1, had = (size_t)e->lane_count;
    hf_lane *lanes = hf_realloc(e->lanes, room * sizeof *lanes);
    e->lanes = lanes ? lanes : e->lanes;
    hf_place *scans = hf_realloc(e->scans, room * sizeof *scans);
    e->scans = scans ? scans : e->scans;
    if (!lanes || !scans)
        return NULL;
    memset(lanes + had, 0, (room - had) * sizeof *lanes);
    e->lane_count = partition + 1;
    for (size_t p = had; p < room; p++)
        lanes[p].done = scans[p] = from_of(e, (int32_t)p);
    return &lanes[partition];
}

bool hf_decide_wants(const endpoint *e, int32_t partition, hf_place place) {
    (void)partition;
    return e->webhook && hf_webhook_wants(e->webhook, hf_place_event(place));
}

bool hf_decide_hold(hf_decide *d, int32_t partition, hf_place place, int by) {
    uint64_t key = hf_outbox_key(partition, place);
    hold *h = NULL;
    HASH_FIND(hh, d->holds, &key, sizeof key, h);
    if (!h && by > 0) {
        h = hf_alloc(sizeof *h);
        if (!h)
            return false;
        h->key = key;
        HASH_ADD(hh, d->holds, key, sizeof h->key, h);
    }
    if (h && (h->count += (uint32_t)by) == 0) {
        HASH_DEL(d->holds, h);
        free(h);
    }
    return true;
}

bool hf_decide_mark(hf_decide *d, endpoint *e, int32_t partition, hf_place place, int32_t kind, int32_t attempt,
                    int64_t at) {
    hf_lane *lane = hf_decide_lane(d, e, partition);
    if (!lane)
        return false;
    const hf_mark *before = hf_lane_find(lane, place);
    bool held = before && hf_mark_holds(before->kind), holds = hf_mark_holds(kind);
    if (holds && !held && !hf_decide_hold(d, partition, place, 1))
        return false;
    if (!hf_lane_mark(lane, place, kind, attempt, at)) {
        if (holds && !held)
            hf_decide_hold(d, partition, place, -1);
        return false;
    }
    if (held && !holds)
        hf_decide_hold(d, partition, place, -1);
    e->dirty = true;
    return true;
}

/* ---- webhooks --------------------------------------------------------------------------------------------------------- */
const hf_webhook *hf_decide_find(const hf_decide *d, hf_str id) {
    const endpoint *e = find(d, id);
    return e ? e->webhook : NULL;
}

void hf_decide_each(const hf_decide *d, void (*each)(void *ctx, const hf_webhook *webhook), void *ctx) {
    endpoint *e, *next;
    HASH_ITER(hh, d->endpoints, e, next)
        if (e->webhook)
            each(ctx, e->webhook);
}

bool hf_decide_wanted(const hf_decide *d, hf_webhook_event event) {
    for (const endpoint *e = d->endpoints; e; e = e->hh.next)
        if (e->webhook && e->webhook->enabled && hf_webhook_wants(e->webhook, event))
            return true;
    return false;
}

hf_code hf_decide_webhook(hf_decide *d, const hf_webhook *webhook, hf_err *reterr) {
    hf_webhook *copy = hf_type_clone(&HF_TYPE_WEBHOOK, webhook);
    endpoint *e = copy ? hf_decide_endpoint(d, webhook->endpoint_id) : NULL;
    if (!e) {
        free(copy);
        return hf_fail(reterr, HF_E_NO_MEMORY, "webhook %.*s", HF_STR_ARG(webhook->endpoint_id));
    }
    bool changed = !e->webhook || !hf_str_eq(e->webhook->url, copy->url) || (!e->webhook->enabled && copy->enabled);
    free(e->webhook);
    e->webhook = copy;
    for (int32_t p = 0; p < e->lane_count; p++) {
        hf_place from = from_of(e, p);
        hf_lane_move(&e->lanes[p], from);
        if (e->scans[p] < from)
            e->scans[p] = from;
    }
    if (changed) { /* another address, or a fresh start: what was learnt of the old one does not count */
        e->failures = e->opens = 0;
        e->blocked_until = 0;
    }
    e->hungry = e->dirty = true;
    d->fill_all = true;
    return HF_OK;
}

static void note_gone(hf_decide *d, const endpoint *e) {
    if (!e->stored)
        return;
    if (d->gone_count == d->gone_room) {
        uint32_t room = d->gone_room ? d->gone_room * 2 : 16;
        void *ids = hf_realloc(d->gone_ids, room * sizeof *d->gone_ids);
        if (!ids)
            return; /* its row is met again at the next start, and goes then */
        d->gone_ids = ids;
        d->gone_room = room;
    }
    memcpy(d->gone_ids[d->gone_count++], e->id, sizeof e->id);
}

static void remove_endpoint(hf_decide *d, endpoint *e) {
    for (int32_t p = 0; p < e->lane_count; p++)
        for (uint32_t i = 0; i < e->lanes[p].count; i++)
            if (hf_mark_holds(e->lanes[p].marks[i].kind))
                hf_decide_hold(d, p, e->lanes[p].marks[i].place, -1);
    hf_decide_drop_items(d, e, -1);
    note_gone(d, e);
    if (e->active)
        DL_DELETE(d->active, e);
    e->active = false;
    HASH_DEL(d->endpoints, e);
    if (e->in_flight + e->reporting == 0) {
        hf_decide_free_endpoint(d, e);
        return;
    }
    e->gone = true;
    e->next = d->leaving;
    d->leaving = e;
}

void hf_decide_webhook_gone(hf_decide *d, hf_str id) {
    endpoint *e = find(d, id);
    if (e)
        remove_endpoint(d, e);
}

void hf_decide_caught_up(hf_decide *d) {
    endpoint *e, *next;
    d->caught_up = true;
    HASH_ITER(hh, d->endpoints, e, next)
        if (!e->webhook)
            remove_endpoint(d, e);
    d->fill_all = true;
}

/* ---- deliveries --------------------------------------------------------------------------------------------------------- */
static bool replay(hf_decide *d, endpoint *e, int32_t partition, hf_place place) {
    const hf_lane *lane = &e->lanes[partition];
    const hf_mark *mark = hf_lane_find(lane, place);
    bool open = mark ? mark->kind == HF_MARK_RETRY || mark->kind == HF_MARK_REPLAY : place >= lane->done;
    e->hungry = true;
    return open || hf_decide_mark(d, e, partition, place, HF_MARK_REPLAY, 0, 0);
}

static bool take(hf_decide *d, endpoint *e, const hf_delivery *r, hf_place place, int64_t wall_ms) {
    int32_t p = r->event_partition;
    const hf_lane *lane = hf_decide_lane(d, e, p);
    if (!lane)
        return false;
    const hf_mark *mark = hf_lane_find(lane, place);
    int32_t had = mark ? mark->kind : 0;
    bool before = place < lane->done, settled = had == HF_MARK_SETTLED || (before && !had);
    switch (r->outcome) {
    case HF_DELIVERY_DELIVERED: return hf_decide_mark(d, e, p, place, before ? 0 : HF_MARK_SETTLED, 0, 0);
    case HF_DELIVERY_RETRYING:
        if (settled || had == HF_MARK_FAILED)
            return true;
        return hf_decide_mark(d, e, p, place, had == HF_MARK_REPLAY ? HF_MARK_REPLAY : HF_MARK_RETRY, r->attempt,
                              r->next_at);
    case HF_DELIVERY_REPLAY: return wall_ms - r->at > d->options.keep_ms || replay(d, e, p, place);
    default: return settled || hf_decide_mark(d, e, p, place, HF_MARK_FAILED, r->attempt, r->at);
    }
}

/* An event that this hook never took up, as it was too old then. */
static bool bygone(const hf_decide *d, const hf_delivery *r, hf_place place, int64_t wall_ms) {
    const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, r->event_partition, place);
    return wall_ms - r->at > d->options.max_age_ms && r->outcome != HF_DELIVERY_REPLAY &&
           (!entry || entry->place != place);
}

/* Whoever may write to the topic may write anything: numbers are added up here. */
static bool is_sound(const hf_delivery *r) {
    return r->event_partition >= 0 && r->event_partition < HF_OUTBOX_PARTITIONS_MAX && r->event_offset >= 0 &&
           r->event_offset <= HF_PLACE_OFFSET_MAX && r->attempt >= 0 && r->attempt <= ATTEMPTS_MAX && r->at >= 0 &&
           r->at <= TIME_MAX_MS && r->next_at >= 0 && r->next_at <= TIME_MAX_MS;
}

hf_code hf_decide_delivery(hf_decide *d, const hf_delivery *r, int64_t wall_ms, hf_err *reterr) {
    hf_webhook_event event;
    if (!hf_webhook_event_from_name(r->event, &event) || event == HF_WE_JOB_PROGRESS || !is_sound(r))
        return HF_OK; /* not of ours */
    hf_place place = hf_place_of(r->event_offset, event);
    if (bygone(d, r, place, wall_ms) || (d->caught_up && !find(d, r->endpoint)))
        return HF_OK;
    endpoint *e = hf_decide_endpoint(d, r->endpoint);
    return e && take(d, e, r, place, wall_ms)
               ? HF_OK
               : hf_fail(reterr, HF_E_NO_MEMORY, "deliveries of webhook %.*s", HF_STR_ARG(r->endpoint));
}

/* ---- progress ------------------------------------------------------------------------------------------------------------ */
bool hf_decide_progress(hf_decide *d, const hf_webhook *w, hf_str job_id, int64_t mono_ms) {
    endpoint *e = find(d, w->endpoint_id);
    uint64_t key = (hf_job_hash(job_id) ^ hf_job_hash(w->endpoint_id) * 31) | 1;
    if (!d->told && !(d->told = hf_alloc((size_t)TOLD_SETS * TOLD_WAYS * sizeof *d->told)))
        return false;
    if (!e || !e->webhook || !w->enabled || e->blocked_until > mono_ms || e->opens)
        return false;
    told *set = &d->told[(key >> 20) % TOLD_SETS * TOLD_WAYS], *oldest = set;
    for (int i = 0; i < TOLD_WAYS; i++) {
        if (set[i].key == key && mono_ms - set[i].at < w->progress_interval_ms)
            return false;
        if (set[i].key == key) {
            set[i].at = mono_ms;
            return true;
        }
        if (set[i].at < oldest->at)
            oldest = &set[i];
    }
    *oldest = (told){key, mono_ms};
    return true;
}

void hf_decide_stats(const hf_decide *d, hf_decide_stat *ret) {
    *ret = (hf_decide_stat){.in_flight = d->in_flight};
    for (const endpoint *e = d->endpoints; e; e = e->hh.next) {
        ret->endpoints += e->webhook != NULL;
        ret->blocked += e->opens > 0;
        ret->queued += e->queued;
        ret->reporting += e->reporting;
        for (int32_t p = 0; p < e->lane_count; p++)
            ret->failed_kept += e->lanes[p].failed;
    }
}
