/* The environment: opening, closing, the lock, errors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "journal/store/inside.h"
#include "schemas/base/host.h"
#include "schemas/base/mem.h"

#define GIB ((size_t)1 << 30)

static hf_code code_of(int rc) {
    switch (rc) {
    case MDB_NOTFOUND: return HF_E_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return HF_E_STORE_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
    case MDB_BAD_TXN:
    case MDB_PANIC: return HF_E_STORE_DAMAGED;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE: return HF_E_STORE_FOREIGN;
    case MDB_BAD_VALSIZE:
    case MDB_DBS_FULL:
    case MDB_TXN_FULL: return HF_E_LIMIT;
    case MDB_READERS_FULL: return HF_E_BUSY;
    case ENOMEM: return HF_E_NO_MEMORY;
    case EACCES:
    case EPERM:
    case EROFS: return HF_E_PERMISSION;
    case ENOENT: return HF_E_NOT_FOUND;
    default: return HF_E_IO;
    }
}

static const char *remedy_of(hf_code code) {
    if (code == HF_E_STORE_DAMAGED)
        return "; stop the program and run `hyperjournal rebuild` on the directory";
    if (code == HF_E_STORE_FULL)
        return "; free space on its file system or raise journal.map_max";
    if (code == HF_E_STORE_FOREIGN)
        return "; point state_dir elsewhere or move the file away";
    return "";
}

hf_code hf_store_fail(const hf_store *store, int rc, const char *what, hf_err *reterr) {
    hf_code code = code_of(rc);
    return hf_fail(reterr, code, "%s/data.mdb: %s: %s%s", store->dir, what, mdb_strerror(rc), remedy_of(code));
}

/* ---- one writer a directory --------------------------------------------------------------------- */
static hf_code lock_dir(hf_store *store, hf_err *reterr) {
    hf_auto_free char *path = NULL;
    if (asprintf(&path, "%s/lock", store->dir) < 0) {
        path = NULL;
        return hf_fail(reterr, HF_E_NO_MEMORY, "opening the store in %s", store->dir);
    }
    int fd = store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640); /* hf_store_close closes it */
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return hf_fail_errno(reterr, errno, "%s", path);
        char pid[32] = "";
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        for (ssize_t i = 0; i < n; i++)
            if (pid[i] < '0' || pid[i] > '9')
                pid[i] = 0;
        return hf_fail(reterr, HF_E_STORE_IN_USE,
                       "%s: process %s writes this store; stop it, or open the store read-only", store->dir,
                       pid[0] ? pid : "(unknown)");
    }
    char pid[32];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)len, 0) != len)
        return hf_fail_errno(reterr, errno, "%s", path);
    return HF_OK;
}

/* LMDB found its own file inconsistent where it cannot return: say so as any other damage is said, and end. */
static void on_assert(MDB_env *env, const char *text) {
    const char *path = "";
    mdb_env_get_path(env, &path);
    char line[512];
    int len =
        snprintf(line, sizeof line,
                 "%s/data.mdb is damaged (%.200s); stop the program and run `hyperjournal rebuild` on the directory\n",
                 path, text);
    ssize_t ignored = write(2, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    (void)ignored;
    _exit(hf_code_exit_status(HF_E_STORE_DAMAGED));
}

/* ---- open and close -------------------------------------------------------------------------------- */
static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* The map must hold the file and leave room, whatever the options say. */
static size_t first_map(const hf_store *store, const hf_store_options *o) {
    hf_auto_free char *path = NULL;
    struct stat st;
    size_t want = o->map_bytes ? o->map_bytes : GIB;
    if (asprintf(&path, "%s/data.mdb", store->dir) < 0)
        path = NULL;
    else if (stat(path, &st) == 0 && (size_t)st.st_size > want / 5 * 4)
        want = (size_t)st.st_size / 4 * 5;
    return round_up(want, (size_t)1 << 20);
}

static hf_code open_env(hf_store *store, const hf_store_options *o, hf_err *reterr) {
    unsigned flags = MDB_NOTLS | MDB_NOMETASYNC;
    if (store->readonly)
        flags |= MDB_RDONLY;
    if (o->flags & HF_STORE_FAST)
        flags |= MDB_NOSYNC;
    int rc = mdb_env_create(&store->env);
    if (rc == 0)
        rc = mdb_env_set_assert(store->env, on_assert);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(store->env, store->table_max);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(store->env, o->max_readers ? o->max_readers : 256);
    if (rc == 0)
        rc = mdb_env_set_mapsize(store->env, store->map_bytes);
    if (rc == 0)
        rc = mdb_env_open(store->env, store->dir, flags, 0640);
    if (rc != 0)
        return hf_store_fail(store, rc, "cannot be opened", reterr);
    int dead = 0;
    mdb_reader_check(store->env, &dead);
    MDB_stat st;
    mdb_env_stat(store->env, &st);
    store->page_bytes = st.ms_psize;
    return HF_OK;
}

static hf_code open_all(hf_store *store, const hf_store_options *o, hf_err *reterr) {
    if (!store->readonly) {
        if (hf_make_dirs(store->dir, 0750, reterr) != HF_OK)
            return reterr ? reterr->code : HF_E_IO;
        hf_code rc = lock_dir(store, reterr);
        if (rc != HF_OK)
            return rc;
    }
    hf_code rc = hf_store_check_magic(store, reterr);
    if (rc == HF_OK) {
        store->map_bytes = first_map(store, o);
        rc = open_env(store, o, reterr);
    }
    if (rc == HF_OK)
        rc = hf_store_check_length(store, reterr);
    if (rc == HF_OK)
        rc = hf_store_check_meta(store, o, reterr);
    return rc;
}

hf_code hf_store_open(const char *dir, const hf_store_options *options, hf_store **ret, hf_err *reterr) {
    hf_err unused;
    static const hf_store_options defaults = {0};
    const hf_store_options *o = options ? options : &defaults;
    hf_store *store = hf_alloc(sizeof *store);
    if (!store)
        return hf_fail(reterr, HF_E_NO_MEMORY, "opening the store in %s", dir);
    store->lock_fd = -1;
    store->readonly = o->flags & HF_STORE_READONLY;
    store->map_max_bytes = o->map_max_bytes ? o->map_max_bytes : 1024 * GIB;
    store->table_max = o->max_tables ? o->max_tables : 4096;
    pthread_mutex_init(&store->gate, NULL);
    pthread_mutex_init(&store->tables_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&store->gate_moved, &attr);
    pthread_condattr_destroy(&attr);
    store->dir = hf_strndup(dir, strlen(dir));
    store->tables = hf_alloc(store->table_max * sizeof *store->tables);
    hf_code rc = store->dir && store->tables ? open_all(store, o, reterr ? reterr : &unused)
                                             : hf_fail(reterr, HF_E_NO_MEMORY, "opening the store in %s", dir);
    if (rc != HF_OK) {
        hf_store_close(store);
        return rc;
    }
    *ret = store;
    return HF_OK;
}

void hf_store_close(hf_store *store) {
    if (!store)
        return;
    for (unsigned i = 0; i < store->pooled; i++)
        mdb_txn_abort(store->pool[i]);
    if (store->env)
        mdb_env_close(store->env);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    for (uint32_t i = 0; store->tables && i < store->table_count; i++)
        free(store->tables[i].name);
    free(store->tables);
    free(store->dir);
    pthread_cond_destroy(&store->gate_moved);
    pthread_mutex_destroy(&store->gate);
    pthread_mutex_destroy(&store->tables_lock);
    free(store);
}

hf_code hf_store_sync(hf_store *store, hf_err *reterr) {
    int rc = mdb_env_sync(store->env, 1);
    return rc ? hf_store_fail(store, rc, "cannot be synced", reterr) : HF_OK;
}

void hf_store_tend(hf_store *store) {
    int dead = 0;
    mdb_reader_check(store->env, &dead);
}

hf_code hf_store_copy(hf_store *store, const char *path, hf_err *reterr) {
    hf_auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    hf_gate_enter(store, false);
    int rc = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);
    hf_gate_leave(store, NULL);
    if (rc == 0 && fsync(fd) != 0)
        rc = errno;
    if (rc == 0)
        return HF_OK;
    unlink(path);
    return hf_store_fail(store, rc, "cannot be copied", reterr);
}
