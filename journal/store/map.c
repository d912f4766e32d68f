/* The map's size. LMDB changes it only while no transaction of the process is active, and does not
 * check: so reads pass a gate that is shut meanwhile. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/statvfs.h>
#include <time.h>

#include "journal/store/inside.h"

enum { PATIENCE_S = 30 };

size_t hf_store_used(hf_store *store) {
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    return (info.me_last_pgno + 1) * store->page_bytes;
}

MDB_txn *hf_gate_enter(hf_store *store, bool pooled) {
    MDB_txn *txn = NULL;
    pthread_mutex_lock(&store->gate);
    while (store->resizing)
        pthread_cond_wait(&store->gate_moved, &store->gate);
    store->reads++;
    if (pooled && store->pooled > 0)
        txn = store->pool[--store->pooled];
    pthread_mutex_unlock(&store->gate);
    return txn;
}

void hf_gate_leave(hf_store *store, MDB_txn *txn) {
    pthread_mutex_lock(&store->gate);
    if (txn && !store->resizing && store->pooled < POOL) {
        store->pool[store->pooled++] = txn;
        txn = NULL;
    }
    if (txn)
        mdb_txn_abort(txn);
    store->reads--;
    if (store->resizing)
        pthread_cond_broadcast(&store->gate_moved);
    pthread_mutex_unlock(&store->gate);
}

/* Shuts the gate and waits until everybody is out. A thread that begins a read inside another would wait for
 * itself, so the gate opens again after a second, and it is tried anew. */
static bool shut_gate(hf_store *store) {
    for (int second = 0; second < PATIENCE_S; second++) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        store->resizing = true;
        while (store->reads > 0)
            if (pthread_cond_timedwait(&store->gate_moved, &store->gate, &until) == ETIMEDOUT)
                break;
        if (store->reads == 0)
            return true;
        store->resizing = false;
        pthread_cond_broadcast(&store->gate_moved);
        pthread_mutex_unlock(&store->gate);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        pthread_mutex_lock(&store->gate);
    }
    return false;
}

hf_code hf_store_resize(hf_store *store, size_t bytes, hf_err *reterr) {
    pthread_mutex_lock(&store->gate);
    while (store->resizing)
        pthread_cond_wait(&store->gate_moved, &store->gate);
    if (!shut_gate(store)) {
        pthread_mutex_unlock(&store->gate);
        return hf_fail(reterr, HF_E_STORE_FULL, "%s: the map cannot grow: a reader has held its snapshot for %d s",
                       store->dir, PATIENCE_S);
    }
    /* A reset transaction remembers the old map: begin them anew. */
    while (store->pooled > 0)
        mdb_txn_abort(store->pool[--store->pooled]);
    int rc = mdb_env_set_mapsize(store->env, bytes);
    MDB_envinfo info;
    if (rc == 0 && mdb_env_info(store->env, &info) == 0)
        store->map_bytes = info.me_mapsize;
    store->resizing = false;
    pthread_cond_broadcast(&store->gate_moved);
    pthread_mutex_unlock(&store->gate);
    return rc ? hf_store_fail(store, rc, "the map cannot grow", reterr) : HF_OK;
}

hf_code hf_store_grow(hf_store *store, hf_err *reterr) {
    size_t bytes = store->map_bytes >= store->map_max_bytes / 2 ? store->map_max_bytes : store->map_bytes * 2;
    if (bytes <= store->map_bytes)
        return hf_fail(reterr, HF_E_STORE_FULL, "%s/data.mdb has reached its bound of %zu MiB; raise journal.map_max",
                       store->dir, store->map_max_bytes >> 20);
    return hf_store_resize(store, bytes, reterr);
}

void hf_store_stats(hf_store *store, hf_store_stat *ret) {
    MDB_envinfo info;
    struct statvfs fs = {0};
    mdb_env_info(store->env, &info);
    if (statvfs(store->dir, &fs) != 0)
        fs.f_bavail = 0;
    *ret = (hf_store_stat){.map_bytes = info.me_mapsize,
                           .map_max_bytes = store->map_max_bytes,
                           .free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize,
                           .commits = atomic_load(&store->commits),
                           .commit_ns = atomic_load(&store->commit_ns),
                           .used_bytes = (info.me_last_pgno + 1) * store->page_bytes,
                           .readers = info.me_numreaders,
                           .last_txn = info.me_last_txnid};
}
