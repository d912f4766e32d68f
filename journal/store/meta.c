/* The table `meta`: what this store is. */
#include <stdio.h>
#include <stdlib.h>

#include "journal/store/inside.h"

static int get_text(MDB_txn *txn, MDB_dbi meta, const char *name, char *text, size_t size) {
    union {
        const char *in;
        void *out;
    } n = {name};
    MDB_val key = {strlen(name), n.out}, value;
    int rc = mdb_get(txn, meta, &key, &value);
    if (rc == 0)
        snprintf(text, size, "%.*s", (int)(value.mv_size < size ? value.mv_size : size - 1),
                 (const char *)value.mv_data);
    return rc;
}

static hf_code compare(hf_store *store, MDB_txn *txn, MDB_dbi meta, const hf_store_options *o, hf_err *reterr) {
    const struct { const char *name, *want; } texts[] = {{"kind", o->kind}, {"fleet", o->fleet}};
    char has[KIND_MAX * 2] = "";
    for (size_t i = 0; i < 2; i++) {
        if (!texts[i].want)
            continue;
        int rc = get_text(txn, meta, texts[i].name, has, sizeof has);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return hf_store_fail(store, rc, "`meta` cannot be read", reterr);
        if (rc == MDB_NOTFOUND || strcmp(has, texts[i].want) != 0)
            return hf_fail(reterr, HF_E_STORE_FOREIGN, "%s: its %s is `%s`, not `%s`; point state_dir elsewhere",
                           store->dir, texts[i].name, rc ? "" : has, texts[i].want);
    }
    if (o->version == 0)
        return HF_OK;
    int rc = get_text(txn, meta, "version", has, sizeof has);
    if (rc == 0 && strtoul(has, NULL, 10) == o->version)
        return HF_OK;
    return hf_fail(reterr, HF_E_STORE_VERSION,
                   "%s: written by version %s of layout and fold, this program has %u: run `hyperjournal rebuild`",
                   store->dir, rc ? "?" : has, o->version);
}

static int put_text(MDB_txn *txn, MDB_dbi meta, const char *name, const char *text) {
    union {
        const char *in;
        void *out;
    } n = {name}, t = {text};
    MDB_val key = {strlen(name), n.out}, value = {strlen(text), t.out};
    return mdb_put(txn, meta, &key, &value, 0);
}

static int write_all(MDB_txn *txn, const hf_store_options *o) {
    MDB_dbi meta;
    char version[16];
    snprintf(version, sizeof version, "%u", o->version);
    int rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta);
    if (rc == 0 && o->kind)
        rc = put_text(txn, meta, "kind", o->kind);
    if (rc == 0 && o->fleet)
        rc = put_text(txn, meta, "fleet", o->fleet);
    if (rc == 0 && o->version)
        rc = put_text(txn, meta, "version", version);
    return rc;
}

/* A new file is marked; one that has tables but no `meta` is somebody else's. */
static hf_code mark_new(hf_store *store, const hf_store_options *o, hf_err *reterr) {
    MDB_stat st;
    MDB_txn *txn;
    mdb_env_stat(store->env, &st);
    if (st.ms_entries > 0 && (o->kind || o->fleet))
        return hf_fail(reterr, HF_E_STORE_FOREIGN,
                       "%s/data.mdb is an LMDB file, but not Hyperfleet's; point state_dir elsewhere", store->dir);
    if (store->readonly)
        return o->kind ? hf_fail(reterr, HF_E_NOT_FOUND, "%s: the store is empty", store->dir) : HF_OK;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc == 0) {
        rc = write_all(txn, o);
        if (rc == 0)
            rc = mdb_txn_commit(txn);
        else
            mdb_txn_abort(txn);
    }
    return rc ? hf_store_fail(store, rc, "cannot be marked", reterr) : HF_OK;
}

hf_code hf_store_check_meta(hf_store *store, const hf_store_options *o, hf_err *reterr) {
    MDB_txn *txn;
    MDB_dbi meta;
    if (!o->kind && !o->fleet && !o->version)
        return HF_OK;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return hf_store_fail(store, rc, "cannot be read", reterr);
    rc = mdb_dbi_open(txn, "meta", 0, &meta);
    if (rc == 0) {
        hf_code code = compare(store, txn, meta, o, reterr);
        mdb_txn_abort(txn);
        return code;
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? mark_new(store, o, reterr) : hf_store_fail(store, rc, "`meta` cannot be read", reterr);
}
