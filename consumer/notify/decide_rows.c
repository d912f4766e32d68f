/* What the core remembers over a restart: a row for each endpoint, and what the outbox need not keep. */
#include "consumer/notify/decide_inside.h"

#include "schemas/base/mem.h"

/* ---- tidying ----------------------------------------------------------------------------------------------------------- */
static void move_on(hf_decide *d, endpoint *e, int32_t partition) {
    hf_lane *lane = hf_decide_lane(d, e, partition);
    if (!lane)
        return;
    hf_place at = lane->done;
    const hf_outbox_entry *entry = hf_outbox_seek(d->outbox, partition, at);
    while (entry && (!hf_decide_wants(e, partition, entry->place) || hf_lane_find(lane, entry->place))) {
        const hf_mark *mark = hf_lane_find(lane, entry->place);
        if (hf_decide_wants(e, partition, entry->place) && mark && mark->kind == HF_MARK_RETRY)
            break;
        entry = hf_outbox_after(d->outbox, partition, entry);
    }
    at = entry ? entry->place : hf_outbox_end(d->outbox, partition);
    if (at <= lane->done)
        return;
    hf_lane_move(lane, at);
    e->dirty = true;
}

typedef struct forgetting {
    hf_decide *d;
    int32_t partition;
} forgetting;
static void forgotten(void *ctx, hf_place place) {
    const forgetting *f = ctx;
    hf_decide_hold(f->d, f->partition, place, -1);
}

static bool held(void *ctx, int32_t partition, hf_place place) {
    const hf_decide *d = ctx;
    uint64_t key = hf_outbox_key(partition, place);
    const hold *h = NULL;
    HASH_FIND(hh, d->holds, &key, sizeof key, h);
    return h != NULL;
}

void hf_decide_tidy(hf_decide *d, int64_t wall_ms, int64_t mono_ms) {
    if (!d->caught_up)
        return;
    for (int32_t p = 0; p < hf_outbox_partitions(d->outbox); p++) {
        hf_place least = hf_outbox_end(d->outbox, p);
        for (endpoint *e = d->endpoints; e; e = e->hh.next) {
            move_on(d, e, p);
            forgetting f = {d, p};
            if (p < e->lane_count && hf_lane_forget(&e->lanes[p], wall_ms - d->options.keep_ms, forgotten, &f))
                e->dirty = true;
            hf_place done = p < e->lane_count ? e->lanes[p].done : 0; /* without a lane (no memory): nothing is */
            least = done < least ? done : least;
        }
        hf_outbox_trim(d->outbox, p, least, mono_ms - d->options.grace_ms, held, d);
    }
}

/* ---- rows: version, lanes; each: partition, marks, done, then its marks -------------------------------------------------- */
enum { ROW_VERSION = 1 };
typedef struct row_head {
    uint32_t version, lanes;
} row_head;
typedef struct row_lane {
    int32_t partition;
    uint32_t marks;
    hf_place done;
} row_lane;

static bool put_row(hf_changes *changes, hf_table table, const endpoint *e) {
    size_t size = sizeof(row_head);
    for (int32_t p = 0; p < e->lane_count; p++)
        size += sizeof(row_lane) + e->lanes[p].count * sizeof(hf_mark);
    if (size > UINT32_MAX)
        return false;
    char *to = hf_changes_put_room(changes, table, hf_str_of(e->id), (uint32_t)size, 0);
    if (!to)
        return false;
    row_head head = {ROW_VERSION, (uint32_t)e->lane_count};
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    for (int32_t p = 0; p < e->lane_count; p++) {
        const hf_lane *lane = &e->lanes[p];
        row_lane one = {p, lane->count, lane->done};
        memcpy(to, &one, sizeof one);
        to += sizeof one;
        if (lane->count)
            memcpy(to, lane->marks, lane->count * sizeof *lane->marks);
        to += lane->count * sizeof *lane->marks;
    }
    return true;
}

bool hf_decide_seal(hf_decide *d, hf_changes *changes, hf_table table) {
    for (uint32_t i = 0; i < d->gone_count; i++)
        if (!hf_changes_delete(changes, table, hf_str_of(d->gone_ids[i])))
            return false;
    for (const endpoint *e = d->endpoints; e; e = e->hh.next)
        if (e->dirty && !put_row(changes, table, e))
            return false;
    d->gone_count = 0;
    for (endpoint *e = d->endpoints; e; e = e->hh.next) {
        e->stored |= e->dirty;
        e->dirty = false;
    }
    return true;
}

static bool take_lane(hf_decide *d, endpoint *e, hf_str *row, bool *ret_memory) {
    row_lane one;
    if (row->len < sizeof one)
        return false;
    memcpy(&one, row->p, sizeof one);
    *row = (hf_str){row->p + sizeof one, row->len - (uint32_t)sizeof one};
    if (one.partition < 0 || one.partition >= HF_OUTBOX_PARTITIONS_MAX || one.done < 0 ||
        one.marks > row->len / sizeof(hf_mark))
        return false;
    hf_lane *lane = hf_decide_lane(d, e, one.partition);
    *ret_memory = lane != NULL;
    for (uint32_t i = 0; *ret_memory && i < one.marks; i++) {
        hf_mark mark;
        memcpy(&mark, row->p + i * sizeof mark, sizeof mark);
        if (mark.kind < HF_MARK_SETTLED || mark.kind > HF_MARK_REPLAY || mark.place < 0)
            return false;
        *ret_memory = hf_decide_mark(d, e, one.partition, mark.place, mark.kind, mark.attempt, mark.at);
    }
    if (*ret_memory)
        e->lanes[one.partition].done = e->scans[one.partition] = one.done;
    uint32_t bytes = one.marks * (uint32_t)sizeof(hf_mark);
    *row = (hf_str){row->p + bytes, row->len - bytes};
    return true;
}

hf_code hf_decide_load(hf_decide *d, hf_str key, hf_str row, hf_err *reterr) {
    row_head head = {0};
    bool memory = true, sound = row.len >= sizeof head;
    if (sound) {
        memcpy(&head, row.p, sizeof head);
        row = (hf_str){row.p + sizeof head, row.len - (uint32_t)sizeof head};
        sound = head.version == ROW_VERSION && head.lanes <= HF_OUTBOX_PARTITIONS_MAX && hf_id_valid(key);
    }
    endpoint *e = sound ? hf_decide_endpoint(d, key) : NULL;
    memory = !sound || e;
    for (uint32_t i = 0; sound && memory && i < head.lanes; i++)
        sound = take_lane(d, e, &row, &memory);
    if (e) {
        e->stored = true;
        e->dirty = false;
    }
    if (!memory)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the deliveries of webhook %.*s", HF_STR_ARG(key));
    return sound && row.len == 0
               ? HF_OK
               : hf_fail(reterr, HF_E_STORE_DAMAGED,
                         "a row of `deliveries` is damaged; remove the hook's folder, it is made anew");
}
