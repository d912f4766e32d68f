#define HASH_NONFATAL_OOM 1
#include "journal/replica/limits.h"

#include "journal/replica/inside.h"
#include "schemas/base/mem.h"

/* ---- the map ------------------------------------------------------------------------------------------------- */
hf_limit_slot *hf_limits_find(const hf_limits *limits, hf_str key) {
    hf_limit_slot *slot = NULL;
    if (key.len)
        HASH_FIND(hh, limits->by_key, key.p, key.len, slot);
    return slot;
}

static void slot_free(hf_limit_slot *slot) {
    if (slot)
        hf_limit_free(slot->limit);
    free(slot);
}

static void drop(hf_limits *limits, hf_limit_slot *slot) {
    HASH_DEL(limits->by_key, slot);
    slot_free(slot);
}

void hf_limits_done(hf_limits *limits) {
    hf_limit_slot *slot, *next;
    HASH_ITER(hh, limits->by_key, slot, next)
        drop(limits, slot);
}

static hf_limit_slot *slot_new(int32_t partition) {
    hf_limit_slot *slot = hf_alloc(sizeof *slot);
    if (slot && !(slot->limit = hf_limit_new())) {
        free(slot);
        return NULL;
    }
    if (slot)
        slot->partition = partition;
    return slot;
}

static bool put_in(hf_limits *limits, hf_limit_slot *slot, hf_str key) {
    memcpy(slot->key, key.p, key.len); /* valid, so within its bound */
    HASH_ADD_KEYPTR(hh, limits->by_key, slot->key, key.len, slot);
    return slot->hh.tbl != NULL;
}

static uint32_t count_in(const hf_limits *limits, int32_t partition) {
    uint32_t n = 0;
    for (const hf_limit_slot *slot = limits->by_key; slot; slot = slot->hh.next)
        n += slot->partition == partition;
    return n;
}

/* ---- folding ---------------------------------------------------------------------------------------------------- */
static bool in_its_place(const hf_replica *r, const hf_log_record *record, hf_str key) {
    return hf_str_eq(record->key, key) &&
           (r->options.partitions <= 0 ||
            hf_klog_partition_of(record->key, r->options.partitions) == record->partition);
}

static bool is_unreadable(hf_code code) {
    return code == HF_E_FRAME_UNKNOWN || code == HF_E_SCHEMA_UNKNOWN || code == HF_E_RECORD_MALFORMED ||
           code == HF_E_PARSE || code == HF_E_LIMIT || code == HF_E_INVALID;
}

static bool gone_after(const hf_limit *limit, const hf_limit_event *event) {
    if (event->kind == HF_LIMIT_SET)
        return event->max < 0 && limit->held == 0;
    return event->kind == HF_LIMIT_FREED && limit->max < 0 && limit->held == 1;
}

/* The rows that an accepted event writes and takes away. Put again when the record is fed again: later wins. */
static hf_code write_rows(hf_replica *r, const hf_limit *limit, const hf_limit_event *event, int64_t offset,
                          hf_err *reterr) {
    char key[HF_GRANT_KEY_BYTES];
    bool put = true;
    if (!r->store)
        return HF_OK;
    hf_buf_clear(&r->row);
    hf_code rc = event->kind == HF_LIMIT_FREED ? HF_OK : hf_encode_body(HF_SCHEMA_LIMIT, event, &r->row, reterr);
    if (rc != HF_OK)
        return rc;
    hf_table limits = r->tables.of[HF_TB_LIMITS], grants = r->tables.of[HF_TB_LIMIT_GRANTS];
    if (event->kind == HF_LIMIT_SET)
        put = hf_changes_put(r->open, limits, event->key, hf_buf_str(&r->row), 0);
    else if (event->kind == HF_LIMIT_TAKEN)
        put = hf_changes_put(r->open, grants, hf_grant_key(event->key, offset, key), hf_buf_str(&r->row), 0);
    else
        put = hf_changes_delete(r->open, grants, hf_grant_key(event->key, event->grant, key));
    if (put && gone_after(limit, event))
        put = hf_changes_delete(r->open, limits, event->key);
    return put ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a limit's rows");
}

/* Everything that may fail for an accepted event. */
static hf_code prepare(hf_replica *r, const hf_log_record *record, hf_limit_folding *f, hf_err *reterr) {
    if (!f->slot && (f->slot = slot_new(record->partition)))
        f->fresh = put_in(&r->limits, f->slot, f->event.key);
    if (f->slot && !f->slot->hh.tbl) {
        slot_free(f->slot);
        f->slot = NULL;
    }
    if (!f->slot || !hf_limit_prepare(f->slot->limit, &f->event, record->offset, &f->parts))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a limit");
    return write_rows(r, f->slot->limit, &f->event, record->offset, reterr);
}

hf_code hf_replica_limit_begin(hf_replica *r, const hf_log_record *record, hf_limit_folding *f, hf_err *reterr) {
    hf_err err = {0};
    *f = (hf_limit_folding){0};
    hf_arena_reset(&r->arena);
    hf_code rc = !record->value.p ? HF_E_RECORD_MALFORMED
                                  : hf_decode(r->codec, HF_SCHEMA_LIMIT, record->value, &r->arena, &f->event, &err);
    f->unreadable = is_unreadable(rc) || (rc == HF_OK && !in_its_place(r, record, f->event.key));
    if (f->unreadable)
        return HF_OK;
    if (rc != HF_OK)
        return hf_fail(reterr, rc, "%s", err.detail);
    f->slot = hf_limits_find(&r->limits, f->event.key);
    f->verdict = hf_limit_fold(f->slot ? f->slot->limit : NULL, &f->event,
                               f->slot ? 0 : count_in(&r->limits, record->partition), &f->index);
    rc = f->verdict == HF_LV_ACCEPTED ? prepare(r, record, f, reterr) : HF_OK;
    if (rc != HF_OK)
        hf_replica_limit_undo(r, f);
    return rc;
}

void hf_replica_limit_undo(hf_replica *r, hf_limit_folding *f) {
    hf_limit_parts_free(&f->parts);
    if (f->fresh)
        drop(&r->limits, f->slot);
    f->fresh = false;
    f->slot = NULL;
}

void hf_replica_limit_finish(hf_replica *r, const hf_log_record *record, hf_limit_folding *f) {
    hf_grant *freed = NULL;
    if (f->unreadable)
        return;
    if (f->verdict == HF_LV_ACCEPTED)
        hf_limit_apply(f->slot->limit, &f->event, f->index, &f->parts, &freed);
    if (r->hooks.on_limit)
        r->hooks.on_limit(r->hooks.ctx, &(hf_limit_change){.position = {record->partition, record->offset},
                                                           .event = &f->event,
                                                           .verdict = f->verdict,
                                                           .limit = f->slot ? f->slot->limit : NULL,
                                                           .freed = freed});
    free(freed);
    if (f->slot && hf_limit_gone(f->slot->limit))
        drop(&r->limits, f->slot);
}

const hf_limit *hf_replica_limit(const hf_replica *r, hf_str key) {
    const hf_limit_slot *slot = hf_limits_find(&r->limits, key);
    return slot ? slot->limit : NULL;
}

void hf_replica_each_limit(const hf_replica *r, bool (*each)(void *ctx, const hf_limit *limit), void *ctx) {
    const hf_limit_slot *next;
    for (const hf_limit_slot *slot = r->limits.by_key; slot; slot = next) {
        next = slot->hh.next;
        if (!each(ctx, slot->limit))
            return;
    }
}

/* ---- what the store holds ------------------------------------------------------------------------------------------ */
static hf_code adopt(hf_limit *limit, const hf_limit_event *event, int64_t offset, hf_err *reterr) {
    hf_limit_parts parts;
    if (!hf_limit_prepare(limit, event, offset, &parts))
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading a limit back");
    hf_limit_apply(limit, event, 0, &parts, NULL);
    return HF_OK;
}

static hf_code read_event(hf_replica *r, hf_str row, hf_limit_event *ret, hf_err *reterr) {
    hf_arena_reset(&r->side);
    hf_code rc = hf_decode_body(HF_SCHEMA_LIMIT, row, &r->side, ret, reterr);
    return rc == HF_OK ? rc
                       : hf_fail(reterr, rc == HF_E_NO_MEMORY ? rc : HF_E_STORE_DAMAGED,
                                 "a row of `limits` or `limit_grants` cannot be read; run `hyperjournal rebuild`");
}

hf_code hf_limits_take_limit(hf_replica *r, hf_str key, hf_str value, hf_err *reterr) {
    hf_limit_event event;
    hf_code rc = read_event(r, value, &event, reterr);
    if (rc != HF_OK)
        return rc;
    hf_limit_slot *slot = slot_new(r->options.partitions > 0 ? hf_klog_partition_of(key, r->options.partitions) : 0);
    if (!slot)
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading a limit back");
    rc = hf_limit_key_valid(event.key) ? adopt(slot->limit, &event, 0, reterr) : HF_E_STORE_DAMAGED;
    if (rc == HF_OK && !put_in(&r->limits, slot, event.key))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "reading a limit back");
    if (rc != HF_OK)
        slot_free(slot);
    return rc;
}

static bool grant_offset(hf_str key, int64_t *ret) {
    uint64_t at;
    if (key.len < 9)
        return false;
    memcpy(&at, key.p + key.len - 8, 8);
    *ret = (int64_t)be64toh(at);
    return true;
}

hf_code hf_limits_take_grant(hf_replica *r, hf_str key, hf_str value, hf_err *reterr) {
    hf_limit_event event;
    int64_t offset = 0;
    hf_code rc = read_event(r, value, &event, reterr);
    hf_limit_slot *slot = rc == HF_OK ? hf_limits_find(&r->limits, event.key) : NULL;
    if (rc == HF_OK && (!slot || !grant_offset(key, &offset)))
        rc = hf_fail(reterr, HF_E_STORE_DAMAGED,
                     "`limit_grants` names a limit that `limits` lacks; run `hyperjournal rebuild`");
    return rc == HF_OK ? adopt(slot->limit, &event, offset, reterr) : rc;
}

/* ---- queries ---------------------------------------------------------------------------------------------------------- */
static hf_code walk_grants(hf_read *read, const hf_tables *tables, hf_str key, size_t limit, hf_arena *arena,
                           hf_query_each_grant each, void *ctx, uint32_t *ret_count, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    char from[HF_GRANT_KEY_BYTES];
    hf_str at = hf_grant_key(key, 0, from), prefix = {from, key.len + 1}, row;
    hf_limit_event event;
    *ret_count = 0;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_LIMIT_GRANTS], &cursor, reterr);
    char first[HF_GRANT_KEY_BYTES];
    memcpy(first, from, at.len);
    prefix.p = first;
    for (hf_move move = HF_SEEK; rc == HF_OK && *ret_count < limit; move = HF_NEXT) {
        int64_t offset = 0;
        rc = hf_cursor_move(cursor, move, &at, &row, reterr);
        if (rc != HF_OK || at.len != prefix.len + 8 || !hf_str_starts(at, prefix))
            break;
        ++*ret_count;
        if (!each)
            continue;
        hf_arena_reset(arena);
        rc = hf_decode_body(HF_SCHEMA_LIMIT, row, arena, &event, reterr);
        if (rc == HF_OK && grant_offset(at, &offset) && !each(ctx, &event, offset))
            break;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

hf_code hf_query_grants(hf_read *read, const hf_tables *tables, hf_str key, size_t limit, hf_arena *arena,
                        hf_query_each_grant each, void *ctx, hf_err *reterr) {
    uint32_t count;
    return walk_grants(read, tables, key, limit, arena, each, ctx, &count, reterr);
}

static hf_code view_of(hf_read *read, const hf_tables *tables, hf_str row, hf_arena *arena, hf_limit_view *ret,
                       hf_err *reterr) {
    *ret = (hf_limit_view){0};
    hf_code rc = hf_decode_body(HF_SCHEMA_LIMIT, row, arena, &ret->set, reterr);
    return rc == HF_OK
               ? walk_grants(read, tables, ret->set.key, HF_LIMIT_GRANTS_MAX, NULL, NULL, NULL, &ret->held, reterr)
               : rc;
}

hf_code hf_query_limit(hf_read *read, const hf_tables *tables, hf_str key, hf_arena *arena, hf_limit_view *ret,
                       hf_err *reterr) {
    hf_str row;
    if (!hf_limit_key_valid(key))
        return hf_fail(reterr, HF_E_NOT_FOUND, "limit not found: %.*s", HF_STR_ARG(key));
    hf_code rc = hf_read_get(read, tables->of[HF_TB_LIMITS], key, &row, reterr);
    if (rc == HF_E_NOT_FOUND)
        return hf_fail(reterr, HF_E_NOT_FOUND, "limit not found: %.*s", HF_STR_ARG(key));
    return rc == HF_OK ? view_of(read, tables, row, arena, ret, reterr) : rc;
}

hf_code hf_query_limits(hf_read *read, const hf_tables *tables, hf_str after, size_t limit, hf_arena *arena,
                        hf_query_each_limit each, void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = after, row;
    hf_limit_view view;
    hf_move move = after.len ? HF_SEEK : HF_FIRST;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_LIMITS], &cursor, reterr);
    for (size_t n = 0; rc == HF_OK && n < limit; move = HF_NEXT) {
        rc = hf_cursor_move(cursor, move, &key, &row, reterr);
        if (rc != HF_OK || (move == HF_SEEK && hf_str_eq(key, after)))
            continue;
        hf_arena_reset(arena);
        rc = view_of(read, tables, row, arena, &view, reterr);
        n++;
        if (rc == HF_OK && !each(ctx, &view))
            break;
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}
