#include "producer/ctl/dev/state.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schemas/base/host.h"
#include "schemas/base/mem.h"

static hf_code make_temporary(hf_dev_state *s, hf_err *reterr) {
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof s->dir, "%s/hyperfleet-dev-XXXXXX",
             tmp && *tmp == '/' && strlen(tmp) < 1024 ? tmp : "/tmp");
    s->temporary = true;
    return mkdtemp(s->dir) ? HF_OK : hf_fail_errno(reterr, errno, "temporary directory %s", s->dir);
}

static hf_code make_given(hf_dev_state *s, const char *dir, hf_err *reterr) {
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code)
        return hf_context(reterr, "--state %.300s", dir);
    hf_auto_free char *real = realpath(dir, NULL);
    if (!real)
        return hf_fail_errno(reterr, errno, "--state %.300s", dir);
    if (strlen(real) >= 1024)
        return hf_fail(reterr, HF_E_LIMIT, "--state: the path is longer than 1024 bytes");
    snprintf(s->dir, sizeof s->dir, "%s", real);
    return HF_OK;
}

static hf_code lock(hf_dev_state *s, hf_err *reterr) {
    char path[2100], pid[32] = "";
    snprintf(path, sizeof path, "%s/dev.lock", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (s->lock_fd < 0)
        return hf_fail_errno(reterr, errno, "%.400s", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(s->lock_fd, pid, sizeof pid - 1);
        pid[n > 0 ? n : 0] = 0;
        return hf_fail(reterr, HF_E_STORE_IN_USE,
                       "another `hyperctl dev`%s%s runs on %.300s; stop it or give another --state",
                       *pid ? ", pid " : "", pid, s->dir);
    }
    int len = snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || write(s->lock_fd, pid, (size_t)len) != len)
        return hf_fail_errno(reterr, errno, "%.400s", path);
    return HF_OK;
}

hf_code hf_dev_state_open(const char *dir, hf_dev_state *ret, hf_err *reterr) {
    hf_dev_state s = {.lock_fd = -1};
    hf_code code = dir ? make_given(&s, dir, reterr) : make_temporary(&s, reterr);
    if (!code)
        code = lock(&s, reterr);
    snprintf(s.log_dir, sizeof s.log_dir, "%s/log", s.dir);
    if (!code)
        code = hf_make_dirs(s.log_dir, 0750, reterr);
    if (code && s.lock_fd >= 0)
        close(s.lock_fd);
    if (!code)
        *ret = s;
    return code;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    (void)st, (void)type, (void)where;
    return remove(path);
}

hf_code hf_dev_remove_tree(const char *dir, hf_err *reterr) {
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
        return hf_fail_errno(reterr, errno, "remove %.300s", dir);
    return HF_OK;
}

void hf_dev_state_close(hf_dev_state *state) {
    hf_err err;
    if (state->temporary && *state->dir && hf_dev_remove_tree(state->dir, &err))
        fprintf(stderr, "hyperctl dev: %s\n", err.detail);
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    *state = (hf_dev_state){.lock_fd = -1};
}

hf_code hf_dev_write_file(const char *path, const char *bytes, size_t len, hf_err *reterr) {
    char beside[2200];
    int n = snprintf(beside, sizeof beside, "%s.%d.new", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof beside)
        return hf_fail(reterr, HF_E_LIMIT, "the path of a ready file is too long");
    unlink(beside);
    hf_auto_fd int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "%.300s", beside);
    ssize_t written = write(fd, bytes, len);
    if (written == (ssize_t)len && rename(beside, path) == 0)
        return HF_OK;
    int why = written >= 0 && written != (ssize_t)len ? ENOSPC : errno;
    unlink(beside);
    return hf_fail_errno(reterr, why, "%.300s", path);
}
