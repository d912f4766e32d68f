/* What the files of the store share. Nothing outside journal/store includes this: lmdb.h stays here.
 *
 * Lock order: gate, then tables (neither is held across I/O but the growing of the map). LMDB's own writer lock is
 * taken inside both by hf_store_table alone. */
#pragma once
#include <lmdb.h>
#include <pthread.h>

#include "journal/store/store.h"

enum { POOL = 16, KIND_MAX = 64 };

typedef struct hf_table_row {
    char *name;
    unsigned flags; /* HF_TABLE_... */
    MDB_dbi dbi;
} hf_table_row;

struct hf_store {
    char *dir;
    MDB_env *env;
    int lock_fd; /* flock on DIR/lock; -1 when read-only */
    bool readonly;
    size_t map_bytes, map_max_bytes, page_bytes;

    /* The gate: reads pass; while the map changes its size nobody is inside. */
    pthread_mutex_t gate;
    pthread_cond_t gate_moved;
    unsigned reads;
    bool resizing;
    MDB_txn *pool[POOL]; /* reset read transactions: beginning one anew costs a large calloc */
    unsigned pooled;

    _Atomic uint64_t commits, commit_ns; /* the committer adds to them */
    pthread_mutex_t tables_lock;
    hf_table_row *tables;         /* max_tables of them, so that rows never move */
    _Atomic uint32_t table_count; /* the committer reads it while another thread opens a table */
    uint32_t table_max;
};

/* Turns LMDB's answer into ours: "DIR/data.mdb: <what>: <why, and the remedy>". */
hf_code hf_store_fail(const hf_store *store, int rc, const char *what, hf_err *reterr);
/* Every transaction that is not the committer's own is inside the gate. Entering may hand out a reset read transaction
 * (NULL: none); leaving takes one back, or NULL. */
MDB_txn *hf_gate_enter(hf_store *store, bool pooled);
void hf_gate_leave(hf_store *store, MDB_txn *reset);
/* Gives the map a new size (0: the one the file says) while no read of this process is under way. */
hf_code hf_store_resize(hf_store *store, size_t bytes, hf_err *reterr);
/* Twice the size, up to the bound: STORE_FULL at it. */
hf_code hf_store_grow(hf_store *store, hf_err *reterr);
size_t hf_store_used(hf_store *store);
unsigned hf_store_flags_of_lmdb(unsigned flags);
unsigned hf_store_flags_to_lmdb(unsigned flags);
/* DIR/data.mdb against its kind, fleet and version (meta.c). */
hf_code hf_store_check_meta(hf_store *store, const hf_store_options *options, hf_err *reterr);
/* A file shorter than its own last page (check.c). */
hf_code hf_store_check_length(hf_store *store, hf_err *reterr);
hf_code hf_store_check_magic(const hf_store *store, hf_err *reterr);

/* One change in a batch: this, the key, the value; each aligned to 8. */
enum { CHANGE_PUT, CHANGE_PUT_BORROWED /* the value is a pointer to it */, CHANGE_DELETE, CHANGE_DELETE_VALUE };
typedef struct hf_change_entry {
    uint32_t value_len;
    uint16_t key_len;
    uint8_t op, flags;
} hf_change_entry;
/* What a batch is sorted by, apart from the entries: they are large, and sorting must not walk through them. */
typedef struct hf_change_item {
    uint64_t prefix, more; /* an integer key and 0, or the first 16 bytes of another as numbers in their order */
    uint32_t table;
    uint32_t at; /* of the entry in the data, in units of 8 */
} hf_change_item;
struct hf_changes {
    char *data;
    hf_change_item *items;
    size_t len, cap, max, count, item_room;
};
static inline size_t hf_align8(size_t n) { return (n + 7) & ~(size_t)7; }
static inline const char *hf_entry_key(const hf_change_entry *e) { return (const char *)(e + 1); }
static inline const char *hf_entry_value(const hf_change_entry *e) { return hf_entry_key(e) + hf_align8(e->key_len); }
static inline const hf_change_entry *hf_item_entry(const hf_changes *c, const hf_change_item *item) {
    return (const hf_change_entry *)(const void *)(c->data + (size_t)item->at * 8);
}
/* Groups by table and sorts each group by key, equal keys in the order they came (order.c). `order` and `spare` have room for
 * all items, ends for all tables. */
void hf_changes_order(const hf_changes *c, const hf_table_row *tables, uint32_t table_count, hf_change_item *order,
                      hf_change_item *spare, size_t *ends);

struct hf_read {
    hf_store *store;
    MDB_txn *txn;
};
