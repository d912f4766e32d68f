/* The store: all of LMDB that Hyperfleet knows, and the only code that includes lmdb.h.
 *
 * One environment, in one directory, with named tables. Writes come as a batch: puts and deletes collected by value,
 * then applied by hf_store_commit in one transaction, so a kill -9 anywhere leaves all of a batch or
 * none. One thread commits; any number read, each read transaction begun and ended in one function.
 *
 * States behaviour for what goes wrong:
 *   map full        grows the map (x2, up to map_max_bytes) and tries the batch again; past it STORE_FULL
 *   disk full       STORE_FULL, the batch is not applied, the store stays usable
 *   stale readers   cleared at open and by hf_store_tend
 *   two writers     the second gets STORE_IN_USE (flock on DIR/lock), naming the pid of the first
 *   foreign file    STORE_FOREIGN (the `meta` table says what it is: kind, fleet, versions)
 *   damaged file    STORE_DAMAGED, from open or from any read: the message says to rebuild
 *   after a fork    undefined: never
 * Durability: MDB_NOMETASYNC (a power cut may lose the last batch, offsets included, never the file's soundness);
 * `fast` (NOSYNC) only for rebuilding aside, with hf_store_sync at its end. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef struct hf_store hf_store;

enum { HF_STORE_READONLY = 1, HF_STORE_FAST = 2 };
typedef struct hf_store_options {
    unsigned flags;
    size_t map_bytes, map_max_bytes; /* 0: 1 GiB, 1 TiB */
    unsigned max_tables;             /* 0: 4096 */
    unsigned max_readers;            /* 0: 256 */
    const char *kind, *fleet;        /* checked against, or written into, `meta`; NULL: not checked */
    uint32_t version;                /* of the layout and fold: STORE_VERSION if it differs; 0: not checked */
} hf_store_options;

/* Opens or makes DIR/data.mdb. Read-only opening works while another process writes. */
hf_code hf_store_open(const char *dir, const hf_store_options *options, hf_store **ret, hf_err *reterr);
void hf_store_close(hf_store *store); /* NULL is fine */
hf_code hf_store_sync(hf_store *store, hf_err *reterr);
void hf_store_tend(hf_store *store); /* clears stale readers; about once a minute */

enum {
    HF_TABLE_INTEGER_KEY = 1, /* keys are native uint64_t */
    HF_TABLE_DUP = 2,         /* several values a key, sorted */
    HF_TABLE_DUP_INTEGER = 4, /* DUP of native uint64_t values */
    HF_TABLE_DUP_FIXED = 8,   /* DUP of values that are all of one length (packed without a header each) */
};
enum { HF_KEY_MAX_BYTES = 511, HF_DUP_VALUE_MAX_BYTES = 511 }; /* LMDB's bounds: LIMIT past them */
typedef uint32_t hf_table;
/* Opens (or makes, when writable) a table; the same name gives the same handle. Any thread. NOT_FOUND when read-only and absent. */
hf_code hf_store_table(hf_store *store, const char *name, unsigned flags, hf_table *ret, hf_err *reterr);

/* ---- writing ------------------------------------------------------------------------------- */
typedef struct hf_changes hf_changes;         /* a batch being collected */
hf_changes *hf_changes_new(size_t max_bytes); /* NULL without memory */
void hf_changes_free(hf_changes *changes);
void hf_changes_clear(hf_changes *changes);
size_t hf_changes_bytes(const hf_changes *changes);
size_t hf_changes_count(const hf_changes *changes);
enum { HF_PUT_APPEND = 1 }; /* the key is greater than all in the table (sorted callers; falls back to a plain put) */
/* Copies key and value. False: no room (max_bytes) or no memory; the batch is as before. Within a batch later wins over earlier. */
bool hf_changes_put(hf_changes *changes, hf_table table, hf_str key, hf_str value, unsigned flags);
bool hf_changes_put_u64(hf_changes *changes, hf_table table, uint64_t key, hf_str value, unsigned flags);
bool hf_changes_delete(hf_changes *changes, hf_table table, hf_str key);
bool hf_changes_delete_u64(hf_changes *changes, hf_table table, uint64_t key);
/* DUP tables: that one value of the key. */
bool hf_changes_delete_value(hf_changes *changes, hf_table table, hf_str key, hf_str value);
/* Makes sure that puts and deletes of `bytes` (keys, values, 64 for each change) and no more cannot fail. */
bool hf_changes_reserve(hf_changes *changes, size_t bytes);
/* A put whose value the caller writes itself, into the returned place, before the next call. NULL: as false above. */
char *hf_changes_put_room(hf_changes *changes, hf_table table, hf_str key, uint32_t value_len, unsigned flags);
/* A put whose value stays where it is and must stay there, unchanged, until the batch is committed and cleared. */
bool hf_changes_put_borrowed(hf_changes *changes, hf_table table, hf_str key, hf_str value, unsigned flags);
/* Applies the batch in order in one transaction. On error nothing of it is in the store. */
hf_code hf_store_commit(hf_store *store, const hf_changes *changes, hf_err *reterr);

/* Fault tests: the Nth commit from now on fails with `code` just before it would take effect, once (0: never). */
void hf_store_fail_commit_after(uint64_t n, hf_code code);

/* ---- reading ------------------------------------------------------------------------------- */
typedef struct hf_read hf_read; /* a snapshot; short-lived */
/* A thread begins one read at a time: while the map is grown, new reads wait for the running ones to end. A snapshot knows
 * the tables that were opened before it began. */
hf_code hf_read_begin(hf_store *store, hf_read **ret, hf_err *reterr);
/* The same, with every table that the store has opened before it (hf_store_table_as_is finds them then). */
hf_code hf_read_begin_all(hf_store *store, hf_read **ret, hf_err *reterr);
void hf_read_end(hf_read *read); /* NULL is fine */
/* The last transaction that the snapshot holds: two snapshots of the same number are the same. */
uint64_t hf_read_txn(const hf_read *read);
/* Values borrow from the map until hf_read_end. NOT_FOUND leaves *ret alone and is not worth an error text. */
hf_code hf_read_get(hf_read *read, hf_table table, hf_str key, hf_str *ret, hf_err *reterr);
hf_code hf_read_get_u64(hf_read *read, hf_table table, uint64_t key, hf_str *ret, hf_err *reterr);
hf_code hf_read_count(hf_read *read, hf_table table, uint64_t *ret_entries, hf_err *reterr);

typedef struct hf_cursor hf_cursor;
hf_code hf_cursor_open(hf_read *read, hf_table table, hf_cursor **ret, hf_err *reterr);
void hf_cursor_close(hf_cursor *cursor); /* before hf_read_end */
typedef enum hf_move {
    HF_FIRST,
    HF_LAST,
    HF_NEXT,
    HF_PREV,
    HF_SEEK /* first >= key */,
    HF_NEXT_KEY,
    HF_PREV_KEY
} hf_move;
/* HF_OK with key and value, NOT_FOUND at the end. For HF_SEEK *key is the input. */
hf_code hf_cursor_move(hf_cursor *cursor, hf_move move, hf_str *key, hf_str *value, hf_err *reterr);
static inline hf_str hf_key_u64(const uint64_t *key) { return (hf_str){(const char *)key, sizeof *key}; }
static inline uint64_t hf_u64_of(hf_str bytes) {
    uint64_t v = 0;
    if (bytes.len == sizeof v)
        memcpy(&v, bytes.p, sizeof v);
    return v;
}

typedef struct hf_store_stat {
    uint64_t map_bytes, map_max_bytes, used_bytes, free_bytes /* of the file system */, readers, last_txn;
    uint64_t commits, commit_ns; /* since it was opened, and the time they took */
} hf_store_stat;
void hf_store_stats(hf_store *store, hf_store_stat *ret);
/* Names of all tables as of the snapshot, in byte order. Stops at the first answer that is not HF_OK and returns it. */
typedef hf_code (*hf_table_each)(void *ctx, const char *name, hf_err *reterr);
hf_code hf_read_tables(hf_read *read, hf_table_each each, void *ctx, hf_err *reterr);
/* The names kept, to be worked through outside of the snapshot: hf_read_tables(read, hf_table_names_add, &names, reterr). */
typedef struct hf_table_names {
    char **of;
    size_t count, room;
} hf_table_names; /* begins as {0} */
hf_code hf_table_names_add(void *ctx, const char *name, hf_err *reterr);
void hf_table_names_done(hf_table_names *names);
/* Flags (HF_TABLE_...) an existing table was made with, for tools that meet tables by name. */
hf_code hf_store_table_as_is(hf_store *store, const char *name, hf_table *ret, unsigned *ret_flags, hf_err *reterr);
/* A consistent, compacted copy as of now into the new file at `path` (EXISTS if it is there), synced; writers go on. */
hf_code hf_store_copy(hf_store *store, const char *path, hf_err *reterr);
