/* Deliveries in memory. Each is in its endpoint's list, behind another of its job, in the heap until its next attempt, under way, or
 * waiting for the acknowledgement of its outcome's record. And whose partitions they are. */
#include <utlist.h>

#include "consumer/notify/decide_inside.h"
#include "schemas/base/mem.h"

/* ---- items ----------------------------------------------------------------------------------------------------------- */
uint32_t hf_item_new(hf_decide *d) {
    if (d->free_items == NONE) {
        uint32_t room = d->item_room ? d->item_room * 2 : 256;
        item *items = room <= POOL_MAX ? hf_realloc(d->items, room * sizeof *items) : NULL;
        if (!items)
            return NONE;
        d->items = items;
        for (uint32_t i = room; i-- > d->item_room;) {
            items[i] = (item){.next = d->free_items};
            d->free_items = i;
        }
        d->item_room = room;
    }
    uint32_t i = d->free_items;
    uint32_t generation = d->items[i].generation + 1;
    d->free_items = d->items[i].next;
    d->items[i] = (item){.next = NONE, .follow = NONE, .generation = generation};
    return i;
}

void hf_item_free(hf_decide *d, uint32_t i) {
    d->items[i].state = ITEM_FREE;
    d->items[i].next = d->free_items;
    d->free_items = i;
}

uint64_t hf_item_tag(const hf_decide *d, uint32_t i) { return (uint64_t)d->items[i].generation << 32 | i; }
item *hf_item_of(hf_decide *d, uint64_t tag) {
    uint32_t i = (uint32_t)tag;
    return i < d->item_room && d->items[i].generation == tag >> 32 && d->items[i].state != ITEM_FREE ? &d->items[i]
                                                                                                     : NULL;
}

static void make_active(hf_decide *d, endpoint *e) {
    if (!e->active)
        DL_APPEND(d->active, e);
    e->active = true;
}

void hf_item_ready(hf_decide *d, uint32_t i, bool front) {
    endpoint *e = d->items[i].endpoint;
    d->items[i].state = ITEM_READY;
    d->items[i].next = front ? e->ready : NONE;
    if (e->ready == NONE)
        e->ready_last = i;
    else if (!front)
        d->items[e->ready_last].next = i;
    if (front || e->ready == NONE)
        e->ready = i;
    if (!front)
        e->ready_last = i;
    make_active(d, e);
}

uint32_t hf_item_pop(hf_decide *d, endpoint *e) {
    uint32_t i = e->ready;
    if (i == NONE)
        return NONE;
    e->ready = d->items[i].next;
    if (e->ready == NONE)
        e->ready_last = NONE;
    return i;
}

void hf_item_expired(hf_decide *d, uint32_t i) {
    d->items[i].state = ITEM_EXPIRED;
    d->items[i].expired = true;
    d->items[i].next = NONE;
    if (d->expired == NONE)
        d->expired = i;
    else
        d->items[d->expired_last].next = i;
    d->expired_last = i;
}

/* ---- the heap of what waits ------------------------------------------------------------------------------------------- */
static bool sooner(const hf_decide *d, uint32_t a, uint32_t b) {
    return d->items[d->heap[a]].due_ms < d->items[d->heap[b]].due_ms;
}
static void place_at(hf_decide *d, uint32_t at, uint32_t i) {
    d->heap[at] = i;
    d->items[i].heap_at = at;
}
static void swap(hf_decide *d, uint32_t a, uint32_t b) {
    uint32_t i = d->heap[a];
    place_at(d, a, d->heap[b]);
    place_at(d, b, i);
}
static void sift(hf_decide *d, uint32_t at) {
    for (; at && sooner(d, at, (at - 1) / 2); at = (at - 1) / 2)
        swap(d, at, (at - 1) / 2);
    for (uint32_t child; (child = 2 * at + 1) < d->heap_count; at = child) {
        child += child + 1 < d->heap_count && sooner(d, child + 1, child);
        if (!sooner(d, child, at))
            return;
        swap(d, child, at);
    }
}
static bool heap_push(hf_decide *d, uint32_t i, int64_t due_ms) {
    if (d->heap_count == d->heap_room) {
        uint32_t room = d->heap_room ? d->heap_room * 2 : 64;
        uint32_t *heap = hf_realloc(d->heap, room * sizeof *heap);
        if (!heap)
            return false;
        d->heap = heap;
        d->heap_room = room;
    }
    d->items[i].due_ms = due_ms;
    d->items[i].state = ITEM_WAITING;
    place_at(d, d->heap_count++, i);
    sift(d, d->heap_count - 1);
    return true;
}
void hf_item_wake(hf_decide *d, uint32_t i) {
    uint32_t at = d->items[i].heap_at;
    uint32_t last = d->heap[--d->heap_count];
    if (at == d->heap_count)
        return;
    place_at(d, at, last);
    sift(d, at);
}
/* Without memory to wait in order it is ready at once: sooner than it should, but not lost. */
void hf_item_wait(hf_decide *d, uint32_t i, int64_t due_ms) {
    if (!heap_push(d, i, due_ms))
        hf_item_ready(d, i, false);
}

/* ---- order by job ------------------------------------------------------------------------------------------------------- */
/* True: another of the job is before it, and the item waits behind that one. */
bool hf_item_behind(hf_decide *d, endpoint *e, uint32_t i, bool *ret_ok) {
    chain *c = NULL;
    uint64_t job = d->items[i].job;
    *ret_ok = true;
    if (!e->webhook->ordered)
        return false;
    HASH_FIND(hh, e->chains, &job, sizeof job, c);
    if (c) {
        d->items[c->last].follow = i;
        d->items[i].state = ITEM_BEHIND;
        c->last = i;
        return true;
    }
    c = hf_alloc(sizeof *c);
    *ret_ok = c != NULL;
    if (!c)
        return false;
    c->job = job;
    c->last = i;
    HASH_ADD(hh, e->chains, job, sizeof c->job, c);
    return false;
}

/* The item is through with its job's turn: the next one's. */
void hf_item_aside(hf_decide *d, uint32_t i) {
    item *it = &d->items[i];
    endpoint *e = it->endpoint;
    chain *c = NULL;
    uint32_t follow = it->follow;
    it->follow = NONE;
    if (follow != NONE) {
        if (d->items[follow].state == ITEM_BEHIND)
            hf_item_ready(d, follow, false);
        return;
    }
    HASH_FIND(hh, e->chains, &it->job, sizeof it->job, c);
    if (c && c->last == i) {
        HASH_DEL(e->chains, c);
        free(c);
    }
}

/* ---- ownership --------------------------------------------------------------------------------------------------------------- */
bool hf_decide_owns(const hf_decide *d, int32_t partition) {
    return partition >= 0 && partition < d->partition_room && d->owned[partition];
}

uint32_t hf_decide_under_way(const hf_decide *d, int32_t partition) {
    uint32_t n = 0;
    for (int32_t p = 0; p < d->partition_room; p++)
        n += partition < 0 || partition == p ? d->under_way[p] : 0;
    return n;
}

/* Lets go of what is not under way. Order needs no care: what is let go of is taken up again whole, or by another hook. */
void hf_decide_drop_items(hf_decide *d, const endpoint *e, int32_t partition) {
    for (uint32_t i = 0; i < d->item_room; i++) {
        item *it = &d->items[i];
        if (it->state == ITEM_FREE || (e && it->endpoint != e) || (partition >= 0 && it->partition != partition))
            continue;
        it->follow = NONE;
        if (it->state == ITEM_SENDING || it->state == ITEM_REPORTING) {
            it->orphan = true;
            continue;
        }
        if (it->state == ITEM_WAITING)
            hf_item_wake(d, i);
        it->endpoint->queued--;
        it->replay = false;
        it->endpoint = NULL; /* still in a list: swept out below */
    }
    for (endpoint *o = d->endpoints; o; o = o->hh.next) {
        uint32_t list = o->ready;
        o->ready = o->ready_last = NONE;
        for (uint32_t i = list, next; i != NONE; i = next) {
            next = d->items[i].next;
            if (d->items[i].endpoint)
                hf_item_ready(d, i, false);
        }
        chain *c, *after;
        HASH_ITER(hh, o->chains, c, after)
            if (!d->items[c->last].endpoint || d->items[c->last].orphan) {
                HASH_DEL(o->chains,
                         c); /* NOLINT(clang-analyzer-unix.Malloc): the table is freed with its last element */
                free(c);
            }
    }
    uint32_t list = d->expired;
    d->expired = d->expired_last = NONE;
    for (uint32_t i = list, next; i != NONE; i = next) {
        next = d->items[i].next;
        if (d->items[i].endpoint)
            hf_item_expired(d, i);
    }
    for (uint32_t i = 0; i < d->item_room; i++)
        if (d->items[i].state != ITEM_FREE && !d->items[i].endpoint)
            hf_item_free(d, i);
}

void hf_decide_own(hf_decide *d, int32_t partition, bool own) {
    if (!hf_decide_room(d, partition) || d->owned[partition] == own)
        return;
    d->owned[partition] = own;
    if (!own)
        hf_decide_drop_items(d, NULL, partition);
    for (endpoint *e = d->endpoints; e; e = e->hh.next) {
        if (partition >= e->lane_count)
            continue;
        e->scans[partition] = e->lanes[partition].done;
        for (uint32_t i = 0; i < e->lanes[partition].count; i++)
            e->lanes[partition].marks[i].loaded = false;
    }
    d->fill_all = true;
}
