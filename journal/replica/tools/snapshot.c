#include "journal/replica/tools/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "journal/replica/tools/rebuild.h"
#include "schemas/base/host.h"
#include "schemas/base/mem.h"

hf_code hf_snapshot(const char *dir, const char *path, hf_err *reterr) {
    hf_store *store = NULL;
    hf_store_options o = {.flags = HF_STORE_READONLY};
    hf_layout_options(HF_PROFILE_FULL, NULL, &o);
    o.version = 0; /* a snapshot before an upgrade is fine */
    hf_code rc = hf_store_open(dir, &o, &store, reterr);
    if (rc == HF_OK)
        rc = hf_store_copy(store, path, reterr);
    hf_store_close(store);
    return rc;
}

static hf_code copy_file(const char *from, const char *to, hf_err *reterr) {
    struct stat st;
    hf_auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", from);
    hf_auto_fd int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (out < 0)
        return hf_fail_errno(reterr, errno, "%s", to);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left < (1u << 30) ? (size_t)left : 1u << 30);
        if (n <= 0)
            return hf_fail_errno(reterr, n < 0 ? errno : EIO, "copying %s to %s", from, to);
        left -= n;
    }
    return fsync(out) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "%s", to);
}

hf_code hf_restore(const char *path, const char *dir, hf_err *reterr) {
    char place[4096], aside[4096], file[4200];
    hf_store *store = NULL;
    hf_store_options o = {.flags = HF_STORE_READONLY};
    hf_layout_options(HF_PROFILE_FULL, NULL, &o);
    o.version = 0;
    if (snprintf(place, sizeof place, "%s/data.mdb", dir) >= (int)sizeof place)
        return hf_fail(reterr, HF_E_LIMIT, "the path %.100s… is too long", dir);
    if (access(place, F_OK) == 0)
        return hf_fail(reterr, HF_E_EXISTS, "%s holds a journal already; restore into a new directory", dir);
    hf_code rc = hf_make_dirs(dir, 0750, reterr);
    if (rc == HF_OK)
        rc = hf_rebuild_aside(dir, aside, reterr);
    snprintf(file, sizeof file, "%s/data.mdb", aside);
    if (rc == HF_OK)
        rc = copy_file(path, file, reterr);
    if (rc == HF_OK)
        rc = hf_store_open(aside, &o, &store, reterr);
    hf_store_close(store);
    if (rc != HF_OK) {
        unlink(file);
        return hf_context(reterr, "%s cannot be restored", path), rc;
    }
    return hf_rebuild_swap(dir, aside, reterr);
}
