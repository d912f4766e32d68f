/* A batch: one byte buffer of entries, replayed by commit.c. */
#include "journal/store/inside.h"
#include "schemas/base/mem.h"

enum { FIRST_BYTES = 64 * 1024, KEEP_BYTES = 1024 * 1024, FIRST_ITEMS = 512, LEAST_CHANGE = 64 };

hf_changes *hf_changes_new(size_t max_bytes) {
    hf_changes *c = hf_alloc(sizeof *c);
    if (c)
        c->max = max_bytes;
    return c;
}

void hf_changes_free(hf_changes *c) {
    if (!c)
        return;
    free(c->data);
    free(c->items);
    free(c);
}

/* A rare large batch must not stay in an idle program's memory. */
void hf_changes_clear(hf_changes *c) {
    if (c->cap > KEEP_BYTES && c->len < c->cap / 8) {
        free(c->data);
        free(c->items);
        c->data = NULL;
        c->items = NULL;
        c->cap = c->item_room = 0;
    }
    c->len = c->count = 0;
}

size_t hf_changes_bytes(const hf_changes *c) { return c->len; }
size_t hf_changes_count(const hf_changes *c) { return c->count; }

static bool make_room(hf_changes *c, size_t more) {
    if (c->cap - c->len >= more)
        return true;
    if (more > c->max - c->len)
        return false;
    size_t cap = c->cap ? c->cap : FIRST_BYTES;
    while (cap < c->len + more)
        cap *= 2;
    if (cap > c->max)
        cap = c->max;
    char *data = hf_realloc(c->data, cap);
    if (!data)
        return false;
    c->data = data;
    c->cap = cap;
    return true;
}

static bool make_item_room(hf_changes *c, size_t more) {
    size_t room = c->item_room ? c->item_room : FIRST_ITEMS;
    if (c->item_room - c->count >= more)
        return true;
    while (room < c->count + more)
        room *= 2;
    hf_change_item *items = hf_realloc(c->items, room * sizeof *items);
    if (!items)
        return false;
    c->items = items;
    c->item_room = room;
    return true;
}

bool hf_changes_reserve(hf_changes *c, size_t bytes) {
    return make_room(c, bytes) && make_item_room(c, bytes / LEAST_CHANGE + 1);
}

/* As they stand in memory: whether that is a number or bytes, the table decides at commit. */
static uint64_t word_at(hf_str key, uint32_t from) {
    uint64_t word = 0;
    if (key.len > from)
        memcpy(&word, key.p + from, key.len - from < 8 ? key.len - from : 8);
    return word;
}

static hf_change_entry *add(hf_changes *c, hf_table table, uint8_t op, hf_str key, uint32_t value_len, unsigned flags) {
    size_t size = sizeof(hf_change_entry) + hf_align8(key.len) +
                  hf_align8(op == CHANGE_PUT_BORROWED ? sizeof(char *) : value_len);
    if (key.len > UINT16_MAX || c->len / 8 > UINT32_MAX || !make_room(c, size) || !make_item_room(c, 1))
        return NULL;
    hf_change_entry *e = (hf_change_entry *)(void *)(c->data + c->len);
    *e = (hf_change_entry){.value_len = value_len, .key_len = (uint16_t)key.len, .op = op, .flags = (uint8_t)flags};
    if (key.len)
        memcpy(e + 1, key.p, key.len);
    c->items[c->count++] = (hf_change_item){word_at(key, 0), word_at(key, 8), table, (uint32_t)(c->len / 8)};
    c->len += size;
    return e;
}

static char *value_of(hf_change_entry *e) { return (char *)(e + 1) + hf_align8(e->key_len); }

static bool add_value(hf_changes *c, hf_table table, uint8_t op, hf_str key, hf_str value, unsigned flags) {
    hf_change_entry *e = add(c, table, op, key, value.len, flags);
    if (e && value.len)
        memcpy(value_of(e), value.p, value.len);
    return e != NULL;
}

bool hf_changes_put(hf_changes *c, hf_table table, hf_str key, hf_str value, unsigned flags) {
    return add_value(c, table, CHANGE_PUT, key, value, flags);
}
bool hf_changes_put_u64(hf_changes *c, hf_table table, uint64_t key, hf_str value, unsigned flags) {
    return add_value(c, table, CHANGE_PUT, hf_key_u64(&key), value, flags);
}
char *hf_changes_put_room(hf_changes *c, hf_table table, hf_str key, uint32_t value_len, unsigned flags) {
    hf_change_entry *e = add(c, table, CHANGE_PUT, key, value_len, flags);
    return e ? value_of(e) : NULL;
}
bool hf_changes_put_borrowed(hf_changes *c, hf_table table, hf_str key, hf_str value, unsigned flags) {
    hf_change_entry *e = add(c, table, CHANGE_PUT_BORROWED, key, value.len, flags);
    if (e)
        memcpy(value_of(e), &value.p, sizeof value.p);
    return e != NULL;
}
bool hf_changes_delete(hf_changes *c, hf_table table, hf_str key) {
    return add(c, table, CHANGE_DELETE, key, 0, 0) != NULL;
}
bool hf_changes_delete_u64(hf_changes *c, hf_table table, uint64_t key) {
    return add(c, table, CHANGE_DELETE, hf_key_u64(&key), 0, 0) != NULL;
}
bool hf_changes_delete_value(hf_changes *c, hf_table table, hf_str key, hf_str value) {
    return add_value(c, table, CHANGE_DELETE_VALUE, key, value, 0);
}
