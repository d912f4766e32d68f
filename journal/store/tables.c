/* Tables by name. A handle (hf_table) is an index into rows that never move. */
#include "journal/store/inside.h"
#include "schemas/base/mem.h"

unsigned hf_store_flags_to_lmdb(unsigned flags) {
    unsigned out = 0;
    if (flags & HF_TABLE_INTEGER_KEY)
        out |= MDB_INTEGERKEY;
    if (flags & (HF_TABLE_DUP | HF_TABLE_DUP_INTEGER | HF_TABLE_DUP_FIXED))
        out |= MDB_DUPSORT;
    if (flags & HF_TABLE_DUP_INTEGER)
        out |= MDB_DUPFIXED | MDB_INTEGERDUP;
    if (flags & HF_TABLE_DUP_FIXED)
        out |= MDB_DUPFIXED;
    return out;
}

unsigned hf_store_flags_of_lmdb(unsigned flags) {
    unsigned out = 0;
    if (flags & MDB_INTEGERKEY)
        out |= HF_TABLE_INTEGER_KEY;
    if (flags & MDB_DUPSORT)
        out |= HF_TABLE_DUP;
    if (flags & MDB_INTEGERDUP)
        out |= HF_TABLE_DUP_INTEGER;
    else if (flags & MDB_DUPFIXED)
        out |= HF_TABLE_DUP_FIXED;
    return out;
}

static int open_inside(hf_store *store, const char *name, unsigned lmdb_flags, unsigned *ret_flags, MDB_dbi *ret) {
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, store->readonly ? MDB_RDONLY : 0, &txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, name, lmdb_flags, ret);
    if (rc == 0)
        rc = mdb_dbi_flags(txn, *ret, ret_flags);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn); /* only a commit keeps the handle */
}

static int open_dbi(hf_store *store, const char *name, unsigned lmdb_flags, unsigned *ret_flags, MDB_dbi *ret) {
    int rc = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        hf_gate_enter(store, false);
        rc = open_inside(store, name, lmdb_flags, ret_flags, ret);
        hf_gate_leave(store, NULL);
        if (rc != MDB_MAP_RESIZED || hf_store_resize(store, 0, NULL) != HF_OK)
            break;
    }
    return rc;
}

static bool same_kind(unsigned a, unsigned b) { return hf_store_flags_to_lmdb(a) == hf_store_flags_to_lmdb(b); }

static hf_code find_or_open(hf_store *store, const char *name, unsigned flags, bool as_is, hf_table *ret,
                            hf_err *reterr) {
    for (uint32_t i = 0; i < store->table_count; i++)
        if (strcmp(store->tables[i].name, name) == 0) {
            if (!as_is && !same_kind(store->tables[i].flags, flags))
                return hf_fail(reterr, HF_E_INTERNAL, "table `%s` is opened with other flags than before", name);
            *ret = i;
            return HF_OK;
        }
    if (store->table_count == store->table_max)
        return hf_fail(reterr, HF_E_LIMIT, "%s: more than %u tables", store->dir, store->table_max);
    hf_table_row row = {.name = hf_strndup(name, strlen(name))};
    if (!row.name)
        return hf_fail(reterr, HF_E_NO_MEMORY, "table `%s`", name);
    unsigned has = 0, create = store->readonly || as_is ? 0 : MDB_CREATE;
    int rc = open_dbi(store, name, create | (as_is ? 0 : hf_store_flags_to_lmdb(flags)), &has, &row.dbi);
    row.flags = hf_store_flags_of_lmdb(has);
    if (rc == 0 && !as_is && !same_kind(row.flags, flags))
        rc = MDB_INCOMPATIBLE;
    if (rc != 0) {
        free(row.name);
        return rc == MDB_NOTFOUND ? hf_fail(reterr, HF_E_NOT_FOUND, "%s: there is no table `%s`", store->dir, name)
                                  : hf_store_fail(store, rc, name, reterr);
    }
    store->tables[store->table_count] = row;
    *ret = store->table_count++;
    return HF_OK;
}

hf_code hf_store_table(hf_store *store, const char *name, unsigned flags, hf_table *ret, hf_err *reterr) {
    pthread_mutex_lock(&store->tables_lock);
    hf_code rc = find_or_open(store, name, flags, false, ret, reterr);
    pthread_mutex_unlock(&store->tables_lock);
    return rc;
}

hf_code hf_store_table_as_is(hf_store *store, const char *name, hf_table *ret, unsigned *ret_flags, hf_err *reterr) {
    pthread_mutex_lock(&store->tables_lock);
    hf_code rc = find_or_open(store, name, 0, true, ret, reterr);
    if (rc == HF_OK)
        *ret_flags = store->tables[*ret].flags;
    pthread_mutex_unlock(&store->tables_lock);
    return rc;
}

hf_code hf_read_tables(hf_read *read, hf_table_each each, void *ctx, hf_err *reterr) {
    MDB_dbi root;
    MDB_cursor *cursor;
    int rc = mdb_dbi_open(read->txn, NULL, 0, &root);
    if (rc == 0)
        rc = mdb_cursor_open(read->txn, root, &cursor);
    if (rc != 0)
        return hf_store_fail(read->store, rc, "its list of tables", reterr);
    hf_code code = HF_OK;
    MDB_val key, value;
    while (code == HF_OK && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        char name[HF_KEY_MAX_BYTES + 1];
        if (key.mv_size > HF_KEY_MAX_BYTES)
            continue;
        memcpy(name, key.mv_data, key.mv_size);
        name[key.mv_size] = 0;
        code = each(ctx, name, reterr);
    }
    mdb_cursor_close(cursor);
    if (code == HF_OK && rc != MDB_NOTFOUND)
        code = hf_store_fail(read->store, rc, "its list of tables", reterr);
    return code;
}

void hf_table_names_done(hf_table_names *n) {
    for (size_t i = 0; i < n->count; i++)
        free(n->of[i]);
    free(n->of);
}

hf_code hf_table_names_add(void *ctx, const char *name, hf_err *reterr) {
    hf_table_names *n = ctx;
    if (n->count == n->room) {
        size_t room = n->room ? n->room * 2 : 64;
        char **of = hf_realloc(n->of, room * sizeof *of);
        if (!of)
            return hf_fail(reterr, HF_E_NO_MEMORY, "the list of tables");
        n->of = of;
        n->room = room;
    }
    n->of[n->count] = hf_strndup(name, strlen(name));
    if (!n->of[n->count])
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of tables");
    n->count++;
    return HF_OK;
}

static hf_code open_each(void *ctx, const char *name, hf_err *reterr) {
    hf_table table = 0;
    unsigned flags;
    return hf_store_table_as_is(ctx, name, &table, &flags, reterr);
}

static hf_code open_missing(hf_store *store, hf_err *reterr) {
    hf_read *read = NULL;
    hf_table_names list = {0};
    hf_code rc = hf_read_begin(store, &read, reterr);
    if (rc == HF_OK)
        rc = hf_read_tables(read, hf_table_names_add, &list, reterr);
    hf_read_end(read); /* opening a table needs a transaction of its own */
    for (size_t i = 0; rc == HF_OK && i < list.count; i++)
        rc = open_each(store, list.of[i], reterr);
    hf_table_names_done(&list);
    return rc;
}

hf_code hf_read_begin_all(hf_store *store, hf_read **ret, hf_err *reterr) {
    for (;;) {
        uint32_t open = store->table_count;
        hf_read *read = NULL;
        MDB_dbi root;
        MDB_stat st = {0};
        hf_code rc = hf_read_begin(store, &read, reterr);
        if (rc != HF_OK)
            return rc;
        int err = mdb_dbi_open(read->txn, NULL, 0, &root);
        if (err == 0)
            err = mdb_stat(read->txn, root, &st);
        if (err == 0 && st.ms_entries == open) {
            *ret = read;
            return HF_OK;
        }
        hf_read_end(read);
        rc = err ? hf_store_fail(store, err, "its list of tables", reterr) : open_missing(store, reterr);
        if (rc != HF_OK)
            return rc;
    }
}
