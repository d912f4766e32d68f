/* A batch becomes one transaction. Entries are taken table by table in key order (equal keys in the order they came):
 * a tree written in key order touches each page once, which is worth a factor of ten (docs/PERFORMANCE.md). */
#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "journal/store/inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { AHEAD = 6 };

static _Atomic uint64_t fail_after;
static _Atomic int fail_code;

void hf_store_fail_commit_after(uint64_t n, hf_code code) {
    atomic_store(&fail_code, (int)code);
    atomic_store(&fail_after, n);
}

static bool must_fail(void) {
    uint64_t left = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (left > 0)
        atomic_store(&fail_after, left - 1);
    return left == 1;
}

/* ---- replay: the first error sticks -------------------------------------------------------------- */
typedef const hf_change_entry *entry;

typedef struct {
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc;
} writer;

static MDB_val val(const char *p, size_t len) {
    union {
        const char *in;
        void *out;
    } u = {p};
    return (MDB_val){len, u.out};
}

static void put(writer *w, entry e, const char *value) {
    MDB_val k = val(hf_entry_key(e), e->key_len), v = val(value, e->value_len);
    w->rc = mdb_cursor_put(w->cursor, &k, &v, e->flags & HF_PUT_APPEND ? MDB_APPEND : 0);
    if (w->rc == MDB_KEYEXIST && e->flags & HF_PUT_APPEND) {
        k = val(hf_entry_key(e), e->key_len);
        v = val(value, e->value_len);
        w->rc = mdb_cursor_put(w->cursor, &k, &v, 0);
    }
}

static void apply_one(writer *w, entry e) {
    const char *value = hf_entry_value(e);
    if (e->op == CHANGE_PUT_BORROWED)
        memcpy(&value, hf_entry_value(e), sizeof value);
    if (e->op == CHANGE_PUT || e->op == CHANGE_PUT_BORROWED) {
        put(w, e, value);
        return;
    }
    MDB_val key = val(hf_entry_key(e), e->key_len), value_wanted = val(value, e->value_len);
    bool one = e->op == CHANGE_DELETE_VALUE;
    w->rc = mdb_cursor_get(w->cursor, &key, &value_wanted, one ? MDB_GET_BOTH : MDB_SET);
    if (w->rc == 0) {
        unsigned flags = 0;
        MDB_dbi dbi = mdb_cursor_dbi(w->cursor);
        if (!one && mdb_dbi_flags(w->txn, dbi, &flags) == 0)
            flags = flags & MDB_DUPSORT ? MDB_NODUPDATA : 0;
        w->rc = mdb_cursor_del(w->cursor, flags);
    } else if (w->rc == MDB_NOTFOUND)
        w->rc = 0;
}

static bool superseded(entry e, entry next, unsigned table_flags) {
    return !(table_flags & (HF_TABLE_DUP | HF_TABLE_DUP_INTEGER | HF_TABLE_DUP_FIXED)) && e->key_len == next->key_len &&
           memcmp(hf_entry_key(e), hf_entry_key(next), e->key_len) == 0;
}

static void apply_run(writer *w, const hf_changes *c, const hf_table_row *table, const hf_change_item *run,
                      size_t count) {
    if (w->rc || count == 0)
        return;
    w->rc = mdb_cursor_open(w->txn, table->dbi, &w->cursor);
    if (w->rc)
        return;
    for (size_t i = 0; i < count && w->rc == 0; i++) {
        if (i + AHEAD < count) /* entries lie in the order they came: each is a cache miss otherwise */
            __builtin_prefetch(hf_item_entry(c, &run[i + AHEAD]));
        entry e = hf_item_entry(c, &run[i]);
        if (i + 1 == count || run[i].prefix != run[i + 1].prefix || run[i].more != run[i + 1].more ||
            !superseded(e, hf_item_entry(c, &run[i + 1]), table->flags))
            apply_one(w, e);
    }
    mdb_cursor_close(w->cursor);
}

static int try_commit(hf_store *store, const hf_changes *c, uint32_t tables, const hf_change_item *order,
                      const size_t *ends, int *ret_injected) {
    writer w = {0};
    w.rc = mdb_txn_begin(store->env, NULL, 0, &w.txn);
    if (w.rc)
        return w.rc;
    for (uint32_t t = 0; t < tables; t++)
        apply_run(&w, c, &store->tables[t], order + (t ? ends[t - 1] : 0), ends[t] - (t ? ends[t - 1] : 0));
    if (w.rc == 0 && must_fail())
        *ret_injected = atomic_load(&fail_code);
    if (w.rc != 0 || *ret_injected) {
        mdb_txn_abort(w.txn);
        return w.rc;
    }
    return mdb_txn_commit(w.txn);
}

/* LMDB calls a write that stopped half-way EIO. Was it for want of room? */
static int reason_of(const hf_store *store, int rc, size_t batch_bytes) {
    struct statvfs fs;
    struct rlimit limit;
    if (rc != EIO)
        return rc;
    if (statvfs(store->dir, &fs) == 0 && fs.f_bavail * fs.f_frsize < batch_bytes + store->page_bytes)
        return ENOSPC;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? EFBIG : rc;
}

static hf_code replay(hf_store *store, const hf_changes *c, uint32_t tables, const hf_change_item *order,
                      const size_t *ends, hf_err *reterr) {
    for (;;) {
        int injected = 0;
        int rc = try_commit(store, c, tables, order, ends, &injected);
        if (injected)
            return hf_fail(reterr, (hf_code)injected, "%s: a fault test made this commit fail", store->dir);
        if (rc == 0)
            return HF_OK;
        if (rc != MDB_MAP_FULL && rc != MDB_MAP_RESIZED)
            return hf_store_fail(store, reason_of(store, rc, c->len), "a batch cannot be written", reterr);
        hf_code code = rc == MDB_MAP_FULL ? hf_store_grow(store, reterr) : hf_store_resize(store, 0, reterr);
        if (code != HF_OK)
            return code;
    }
}

hf_code hf_store_commit(hf_store *store, const hf_changes *changes, hf_err *reterr) {
    uint32_t tables = store->table_count;
    if (store->readonly)
        return hf_fail(reterr, HF_E_INTERNAL, "%s was opened read-only", store->dir);
    if (changes->count == 0)
        return HF_OK;
    hf_auto_free hf_change_item *order = hf_alloc(2 * changes->count * sizeof *order);
    hf_auto_free size_t *ends = hf_alloc((tables + 1) * sizeof *ends);
    if (!order || !ends)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu changes", changes->count);
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].table >= tables)
            return hf_fail(reterr, HF_E_INTERNAL, "%s: a change names a table that was not opened", store->dir);
    hf_changes_order(changes, store->tables, tables, order, order + changes->count, ends);
    int64_t begun = hf_mono_ns();
    hf_code rc = replay(store, changes, tables, order, ends, reterr);
    if (rc == HF_OK) {
        atomic_fetch_add(&store->commits, 1);
        atomic_fetch_add(&store->commit_ns, (uint64_t)(hf_mono_ns() - begun));
    }
    /* Ahead of need, so that a batch seldom has to be tried twice; a failure shows when the room is needed. */
    if (rc == HF_OK && hf_store_used(store) > store->map_bytes / 5 * 4 && store->map_bytes < store->map_max_bytes)
        hf_store_grow(store, NULL);
    return rc;
}
