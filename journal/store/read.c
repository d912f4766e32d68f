/* Snapshots and cursors. */
#include <errno.h>

#include "journal/store/inside.h"
#include "schemas/base/mem.h"

struct hf_cursor {
    hf_read *read;
    MDB_cursor *cursor;
    bool dup;
};

static MDB_val val(hf_str s) {
    union {
        const char *in;
        void *out;
    } u = {s.p};
    return (MDB_val){s.len, u.out};
}
static hf_str str(MDB_val v) { return (hf_str){v.mv_data, (uint32_t)v.mv_size}; }

static int begin(hf_store *store, MDB_txn **txn) {
    if (!*txn)
        return mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
    int rc = mdb_txn_renew(*txn);
    if (rc) {
        mdb_txn_abort(*txn);
        *txn = NULL;
    }
    return rc;
}

hf_code hf_read_begin(hf_store *store, hf_read **ret, hf_err *reterr) {
    hf_read *read = hf_alloc(sizeof *read);
    if (!read)
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading %s", store->dir);
    read->store = store;
    int rc = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        read->txn = hf_gate_enter(store, true);
        rc = begin(store, &read->txn);
        if (rc == 0) {
            *ret = read;
            return HF_OK;
        }
        hf_gate_leave(store, NULL);
        if (rc == MDB_READERS_FULL)
            hf_store_tend(store);
        else if (rc != MDB_MAP_RESIZED || hf_store_resize(store, 0, reterr) != HF_OK)
            break;
    }
    free(read);
    return hf_store_fail(store, rc, "cannot be read", reterr);
}

void hf_read_end(hf_read *read) {
    if (!read)
        return;
    mdb_txn_reset(read->txn);
    hf_gate_leave(read->store, read->txn);
    free(read);
}

uint64_t hf_read_txn(const hf_read *read) { return mdb_txn_id(read->txn); }

hf_code hf_read_get(hf_read *read, hf_table table, hf_str key, hf_str *ret, hf_err *reterr) {
    const hf_table_row *row = &read->store->tables[table];
    MDB_val k = val(key), v;
    int rc = mdb_get(read->txn, row->dbi, &k, &v);
    if (rc == MDB_NOTFOUND || rc == MDB_BAD_VALSIZE) /* a key that cannot be in the table is not in it */
        return HF_E_NOT_FOUND;
    if (rc)
        return hf_store_fail(read->store, rc, row->name, reterr);
    *ret = str(v);
    return HF_OK;
}

hf_code hf_read_get_u64(hf_read *read, hf_table table, uint64_t key, hf_str *ret, hf_err *reterr) {
    return hf_read_get(read, table, hf_key_u64(&key), ret, reterr);
}

hf_code hf_read_count(hf_read *read, hf_table table, uint64_t *ret_entries, hf_err *reterr) {
    MDB_stat st;
    int rc = mdb_stat(read->txn, read->store->tables[table].dbi, &st);
    if (rc)
        return hf_store_fail(read->store, rc, read->store->tables[table].name, reterr);
    *ret_entries = st.ms_entries;
    return HF_OK;
}

hf_code hf_cursor_open(hf_read *read, hf_table table, hf_cursor **ret, hf_err *reterr) {
    hf_cursor *c = hf_alloc(sizeof *c);
    if (!c)
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading `%s`", read->store->tables[table].name);
    c->read = read;
    c->dup = hf_store_flags_to_lmdb(read->store->tables[table].flags) & MDB_DUPSORT;
    int rc = mdb_cursor_open(read->txn, read->store->tables[table].dbi, &c->cursor);
    if (rc) {
        free(c);
        if (rc == EINVAL)
            return hf_fail(reterr, HF_E_INTERNAL, "table `%s` was opened after the snapshot began",
                           read->store->tables[table].name);
        return hf_store_fail(read->store, rc, read->store->tables[table].name, reterr);
    }
    *ret = c;
    return HF_OK;
}

void hf_cursor_close(hf_cursor *c) {
    if (!c)
        return;
    mdb_cursor_close(c->cursor);
    free(c);
}

hf_code hf_cursor_move(hf_cursor *c, hf_move move, hf_str *key, hf_str *value, hf_err *reterr) {
    static const MDB_cursor_op ops[] = {
        [HF_FIRST] = MDB_FIRST,    [HF_LAST] = MDB_LAST,           [HF_NEXT] = MDB_NEXT,          [HF_PREV] = MDB_PREV,
        [HF_SEEK] = MDB_SET_RANGE, [HF_NEXT_KEY] = MDB_NEXT_NODUP, [HF_PREV_KEY] = MDB_PREV_NODUP};
    MDB_val k = val(*key), v = {0, NULL};
    int rc = mdb_cursor_get(c->cursor, &k, &v, ops[move]);
    if (rc == MDB_NOTFOUND)
        return HF_E_NOT_FOUND;
    if (rc)
        return hf_store_fail(c->read->store, rc, "a table cannot be read", reterr);
    *key = str(k);
    *value = str(v);
    return HF_OK;
}
