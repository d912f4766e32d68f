#define HASH_NONFATAL_OOM 1
#include "journal/replica/deliveries.h"

#include "journal/replica/query.h"
#include "schemas/base/mem.h"

static const hf_tally none = {.last_outcome = -1};

/* ---- folding ----------------------------------------------------------------------------------------------- */
void hf_tallies_done(hf_tallies *tallies) {
    hf_tally_slot *slot, *next;
    HASH_ITER(hh, tallies->by_id, slot, next) {
        HASH_DEL(tallies->by_id, slot);
        free(slot);
    }
}

static hf_code read_tally(hf_store *store, const hf_tables *tables, hf_str id, hf_tally *ret, hf_err *reterr) {
    hf_read *read = NULL;
    hf_code rc = hf_read_begin(store, &read, reterr);
    if (rc == HF_OK)
        rc = hf_query_tally(read, tables, id, ret, reterr);
    hf_read_end(read);
    return rc;
}

/* NULL with HF_OK: there are too many. */
static hf_code slot_of(hf_tallies *t, hf_store *store, const hf_tables *tables, hf_str id, hf_tally_slot **ret,
                       hf_err *reterr) {
    hf_tally_slot *slot = NULL;
    HASH_FIND(hh, t->by_id, id.p, id.len, slot);
    *ret = slot;
    if (slot || HASH_COUNT(t->by_id) >= HF_TALLIES_MAX)
        return HF_OK;
    slot = hf_alloc(sizeof *slot);
    if (!slot)
        return hf_fail(reterr, HF_E_NO_MEMORY, "counting deliveries");
    memcpy(slot->id, id.p, id.len);
    hf_code rc = read_tally(store, tables, id, &slot->tally, reterr);
    if (rc == HF_OK) {
        HASH_ADD_KEYPTR(hh, t->by_id, slot->id, id.len, slot);
        if (!slot->hh.tbl)
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "counting deliveries");
    }
    if (rc != HF_OK)
        free(slot);
    else
        *ret = slot;
    return rc;
}

static void count(hf_tally *t, uint64_t key, const hf_delivery *d) {
    if (t->last_key >= key && t->last_at)
        return; /* this record was counted: it is fed again */
    t->by_outcome[d->outcome]++;
    t->last_key = key;
    if (d->outcome == HF_DELIVERY_REPLAY)
        return;
    t->last_at = d->at ? d->at : 1;
    t->last_outcome = d->outcome;
    t->failed_in_row = d->outcome == HF_DELIVERY_DELIVERED ? 0 : t->failed_in_row + 1;
}

hf_code hf_tallies_keep(hf_tallies *tallies, hf_store *store, const hf_tables *tables, hf_changes *changes,
                        hf_position position, const hf_delivery *d, hf_err *reterr) {
    char key[HF_DELIVERY_KEY_BYTES];
    const char outcome = (char)d->outcome;
    uint64_t at = hf_position_key(position);
    hf_tally_slot *slot = NULL;
    hf_code rc = slot_of(tallies, store, tables, d->endpoint, &slot, reterr);
    if (rc != HF_OK)
        return rc;
    bool put = hf_changes_put(changes, tables->of[HF_TB_DELIVERIES], hf_delivery_key(d->endpoint, position, key),
                              (hf_str){&outcome, 1}, 0);
    hf_position event = {d->event_partition, d->event_offset};
    hf_str event_key = hf_delivery_key(d->endpoint, event, key);
    if (put && hf_delivery_is_failed(d->outcome) && d->delivery_id.len)
        put = hf_changes_put(changes, tables->of[HF_TB_UNDELIVERED], event_key, hf_key_u64(&at), 0);
    else if (put && d->outcome != HF_DELIVERY_RETRYING)
        put = hf_changes_delete(changes, tables->of[HF_TB_UNDELIVERED], event_key);
    if (put && slot) {
        count(&slot->tally, at, d);
        put = hf_changes_put(changes, tables->of[HF_TB_TALLIES], d->endpoint,
                             (hf_str){(const char *)&slot->tally, sizeof slot->tally}, 0);
    }
    return put ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "keeping a delivery");
}

/* ---- queries ----------------------------------------------------------------------------------------------- */
hf_code hf_query_tally(hf_read *read, const hf_tables *tables, hf_str endpoint, hf_tally *ret, hf_err *reterr) {
    hf_str row;
    hf_code rc = hf_read_get(read, tables->of[HF_TB_TALLIES], endpoint, &row, reterr);
    *ret = none;
    if (rc != HF_OK)
        return rc == HF_E_NOT_FOUND ? HF_OK : rc;
    if (row.len != sizeof *ret)
        return hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `tallies` is damaged; run `hyperjournal rebuild`");
    memcpy(ret, row.p, sizeof *ret);
    return HF_OK;
}

typedef struct walk {
    hf_store *store;
    hf_read *read;
    hf_codec *codec;
    hf_arena *arena;
    hf_query_each_delivery each;
    void *ctx;
} walk;

/* *ret_more stays true where the record is no longer in the copy. */
static hf_code show(const walk *w, uint64_t key, bool *ret_shown, bool *ret_more, hf_err *reterr) {
    hf_position at = hf_position_of_key(key);
    hf_log_record record;
    hf_delivery d;
    hf_code rc = hf_query_log(w->store, w->read, HF_TOPIC_DELIVERIES, at.partition, at.offset, &record, reterr);
    *ret_shown = false;
    if (rc != HF_OK)
        return rc == HF_E_NOT_FOUND ? HF_OK : rc;
    hf_arena_reset(w->arena);
    if (hf_decode(w->codec, HF_SCHEMA_DELIVERY, record.value, w->arena, &d, NULL) != HF_OK)
        return HF_OK;
    *ret_shown = true;
    *ret_more = w->each(w->ctx, at, &d);
    return HF_OK;
}

static bool is_of(hf_str key, hf_str endpoint) {
    return key.len == endpoint.len + 9 && memcmp(key.p, endpoint.p, endpoint.len) == 0 && key.p[endpoint.len] == 0;
}
static uint64_t position_of(hf_str key) {
    uint64_t at;
    memcpy(&at, key.p + key.len - 8, 8);
    return be64toh(at);
}

/* The last key that is below (or of) the endpoint's rows before `before`. */
static hf_code seek_before(hf_cursor *cursor, hf_str endpoint, uint64_t before, hf_str *key, hf_str *value,
                           hf_err *reterr) {
    char place[HF_DELIVERY_KEY_BYTES];
    uint64_t big = htobe64(before ? before : UINT64_MAX);
    *key = hf_delivery_key(endpoint, (hf_position){0}, place);
    memcpy(place + key->len - 8, &big, 8);
    hf_code rc = hf_cursor_move(cursor, HF_SEEK, key, value, reterr);
    return rc == HF_E_NOT_FOUND ? hf_cursor_move(cursor, HF_LAST, key, value, reterr)
           : rc == HF_OK        ? hf_cursor_move(cursor, HF_PREV, key, value, reterr)
                                : rc;
}

hf_code hf_query_deliveries(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str endpoint,
                            uint32_t outcomes, uint64_t before, size_t limit, hf_arena *arena,
                            hf_query_each_delivery each, void *ctx, uint64_t *ret_next, hf_err *reterr) {
    enum { LOOK_MAX = 100000 };
    const walk w = {store, read, codec, arena, each, ctx};
    hf_cursor *cursor = NULL;
    hf_str key, value;
    bool more = true, shown;
    size_t n = 0;
    *ret_next = 0;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_DELIVERIES], &cursor, reterr);
    if (rc == HF_OK)
        rc = seek_before(cursor, endpoint, before, &key, &value, reterr);
    for (size_t looked = 0; rc == HF_OK && more && is_of(key, endpoint); looked++) {
        uint64_t at = position_of(key);
        if (n == limit || looked == LOOK_MAX) {
            *ret_next = at + 1;
            break;
        }
        if (value.len == 1 && (!outcomes || outcomes & 1u << (uint8_t)value.p[0])) {
            rc = show(&w, at, &shown, &more, reterr);
            n += shown;
        }
        if (rc == HF_OK)
            rc = hf_cursor_move(cursor, HF_PREV, &key, &value, reterr);
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

hf_code hf_query_undelivered(hf_store *store, hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str endpoint,
                             size_t limit, hf_arena *arena, hf_query_each_delivery each, void *ctx, hf_err *reterr) {
    const walk w = {store, read, codec, arena, each, ctx};
    char place[HF_DELIVERY_KEY_BYTES];
    hf_str key = hf_delivery_key(endpoint, (hf_position){0}, place), value;
    hf_cursor *cursor = NULL;
    bool more = true, shown;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_UNDELIVERED], &cursor, reterr);
    hf_move move = HF_SEEK;
    for (size_t n = 0; rc == HF_OK && more && n < limit; n++, move = HF_NEXT) {
        rc = hf_cursor_move(cursor, move, &key, &value, reterr);
        if (rc != HF_OK || !is_of(key, endpoint))
            break;
        rc = show(&w, hf_u64_of(value), &shown, &more, reterr);
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

hf_code hf_query_undelivered_count(hf_read *read, const hf_tables *tables, hf_str endpoint, size_t max,
                                   size_t *ret_count, hf_err *reterr) {
    char place[HF_DELIVERY_KEY_BYTES];
    hf_str key = hf_delivery_key(endpoint, (hf_position){0}, place), value;
    hf_cursor *cursor = NULL;
    *ret_count = 0;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_UNDELIVERED], &cursor, reterr);
    for (hf_move move = HF_SEEK; rc == HF_OK && *ret_count < max; move = HF_NEXT, ++*ret_count)
        if ((rc = hf_cursor_move(cursor, move, &key, &value, reterr)) != HF_OK || !is_of(key, endpoint))
            break;
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

/* ---- webhooks ---------------------------------------------------------------------------------------------- */
static bool decode(hf_codec *codec, hf_str id, hf_str bytes, hf_arena *arena, hf_webhook *ret) {
    hf_type_init(&HF_TYPE_WEBHOOK, ret);
    bool read = hf_decode(codec, HF_SCHEMA_WEBHOOK, bytes, arena, ret, NULL) == HF_OK;
    if (!read)
        hf_type_init(&HF_TYPE_WEBHOOK, ret);
    ret->endpoint_id = id;
    return read;
}

hf_code hf_query_webhooks(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_arena *arena,
                          hf_query_each_webhook each, void *ctx, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    bool more = true;
    hf_code rc = hf_cursor_open(read, tables->of[HF_TB_WEBHOOKS], &cursor, reterr);
    while (rc == HF_OK && more && (rc = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK) {
        hf_webhook webhook;
        hf_arena_reset(arena);
        bool readable = decode(codec, key, value, arena, &webhook);
        more = each(ctx, &webhook, !readable);
    }
    hf_cursor_close(cursor);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}

hf_code hf_query_webhook(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str id, hf_arena *arena,
                         hf_webhook *ret, hf_err *reterr) {
    hf_str value;
    hf_code rc = id.len > HF_KEY_MAX_BYTES || id.len == 0
                     ? HF_E_NOT_FOUND
                     : hf_read_get(read, tables->of[HF_TB_WEBHOOKS], id, &value, reterr);
    if (rc != HF_OK)
        return rc == HF_E_NOT_FOUND ? hf_fail(reterr, rc, "webhook not found: %.*s", HF_STR_ARG(id)) : rc;
    if (!decode(codec, id, value, arena, ret))
        return hf_fail(reterr, HF_E_RECORD_MALFORMED, "the record of webhook %.*s cannot be read; put it anew",
                       HF_STR_ARG(id));
    return HF_OK;
}
