/* Is the file one of ours, and whole? Looked at before LMDB trusts it, as far as that is cheap. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "journal/store/inside.h"
#include "schemas/base/mem.h"

/* Page 0 begins with a 16-byte header; then MDB_meta: magic, version (lmdb 0.9, mdb.c). */
enum { MAGIC_AT = 16, MAGIC = (int)0xBEEFC0DE, DATA_VERSION = 1 };

static int open_data(const hf_store *store, int flags) {
    hf_auto_free char *path = NULL;
    if (asprintf(&path, "%s/data.mdb", store->dir) < 0) {
        path = NULL;
        errno = ENOMEM;
        return -1;
    }
    return open(path, flags | O_CLOEXEC);
}

hf_code hf_store_check_magic(const hf_store *store, hf_err *reterr) {
    hf_auto_fd int fd = open_data(store, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT && !store->readonly ? HF_OK
               : errno == ENOENT ? hf_fail(reterr, HF_E_NOT_FOUND, "%s: no store is here (no data.mdb)", store->dir)
                                 : hf_fail_errno(reterr, errno, "%s/data.mdb", store->dir);
    struct stat st;
    uint32_t words[2] = {0};
    if (fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s/data.mdb", store->dir);
    if (st.st_size == 0)
        return HF_OK;
    if (!S_ISREG(st.st_mode) || pread(fd, words, sizeof words, MAGIC_AT) != sizeof words ||
        words[0] != (uint32_t)MAGIC || words[1] != DATA_VERSION)
        return hf_fail(reterr, HF_E_STORE_FOREIGN,
                       "%s/data.mdb is not an LMDB file; point state_dir elsewhere or move the file away", store->dir);
    return HF_OK;
}

/* How many of the pages from `first` on are on LMDB's free list (table 0: transaction -> count, page numbers). */
static int count_free_from(hf_store *store, size_t first, size_t *ret) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    rc = mdb_cursor_open(txn, 0, &cursor);
    if (rc == 0) {
        MDB_val key, data;
        while ((rc = mdb_cursor_get(cursor, &key, &data, MDB_NEXT)) == 0) {
            size_t count, page;
            memcpy(&count, data.mv_data, sizeof count);
            for (size_t i = 1; i <= count && (i + 1) * sizeof page <= data.mv_size; i++) {
                memcpy(&page, (const char *)data.mv_data + i * sizeof page, sizeof page);
                *ret += page >= first;
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Reading a page behind the end of the file is SIGBUS. LMDB leaves the file short only by pages it freed in the
 * transaction that made them, so whatever else is missing was cut off. The file is first made as long as it says it is,
 * then the missing pages are looked for on the free list. */
hf_code hf_store_check_length(hf_store *store, hf_err *reterr) {
    size_t need = hf_store_used(store), missing_free = 0;
    hf_auto_fd int fd = open_data(store, O_RDWR);
    if (fd < 0)
        fd = open_data(store, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s/data.mdb", store->dir);
    size_t has = (size_t)st.st_size;
    if (has >= need)
        return HF_OK;
    if (store->readonly) { /* a living writer knows what it does */
        hf_auto_free char *path = NULL;
        if (asprintf(&path, "%s/lock", store->dir) < 0)
            return hf_fail(reterr, HF_E_NO_MEMORY, "%s", store->dir);
        hf_auto_fd int lock = open(path, O_RDWR | O_CLOEXEC);
        if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0)
            return HF_OK;
    }
    size_t first = has / store->page_bytes, missing = need / store->page_bytes - first;
    if (ftruncate(fd, (off_t)need) != 0)
        return hf_fail_errno(reterr, errno, "%s/data.mdb is shorter than it should be and cannot be mended",
                             store->dir);
    int rc = count_free_from(store, first, &missing_free);
    if (rc == 0 && missing_free >= missing)
        return HF_OK;
    return hf_fail(
        reterr, HF_E_STORE_DAMAGED,
        "%s/data.mdb was cut off: %zu bytes of %zu are there; stop the program and run `hyperjournal rebuild` on the directory",
        store->dir, has, need);
}
