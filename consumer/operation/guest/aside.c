/* A session's private directory in /var/tmp: the appliance's own files, and the overlays' names where the job has no output_dir. A session that was
 * killed leaves its directory; the next one on this machine removes it. Who lives is told by a lock, which ends with its owner. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "consumer/operation/guest/inside.h"
#include "schemas/base/mem.h"

enum { TRIES = 3, FRESH_SECONDS = 3600 };
static const char base_path[] = "/var/tmp", front[] = "hf-guest-", lock_name[] = ".lock", early_name[] = ".lock-new";

static bool lock(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

/* ---- what the dead left ------------------------------------------------------------------------------------------------- */
static void remove_if_dead(int base, const char *name) {
    struct stat st;
    if (strncmp(name, front, sizeof front - 1) != 0 || fstatat(base, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return;
    hf_auto_fd int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    hf_auto_fd int held = dir >= 0 ? openat(dir, lock_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1;
    /* One without a lock was killed before it had one, or is just being made. */
    if (held >= 0 ? lock(held) : dir >= 0 && errno == ENOENT && time(NULL) - st.st_mtime > FRESH_SECONDS)
        hf_remove_tree(base, name);
}

static void remove_dead(void) {
    DIR *dir = opendir(base_path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        remove_if_dead(dirfd(dir), e->d_name);
    closedir(dir);
}

/* ---- our own ----------------------------------------------------------------------------------------------------------------- */
/* The lock has its name only when it is held: nobody finds it free. */
static bool take_lock(hf_guest_session *x) {
    x->aside_lock = openat(x->aside_fd, early_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return lock(x->aside_lock) && renameat(x->aside_fd, early_name, x->aside_fd, lock_name) == 0;
}

static bool make(hf_guest_session *x) {
    snprintf(x->aside, sizeof x->aside, "%s/%sXXXXXX", base_path, front);
    if (!mkdtemp(x->aside)) {
        x->aside[0] = 0;
        return false;
    }
    x->aside_fd = open(x->aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return x->aside_fd >= 0 && take_lock(x);
}

hf_code hf_guest_aside_open(hf_guest_session *x, hf_err *reterr) {
    remove_dead();
    for (int i = 0; i < TRIES; i++) {
        if (make(x))
            return HF_OK;
        int error = errno;
        hf_guest_aside_close(x);
        errno = error;
    }
    return hf_fail_errno(reterr, errno, "a private directory in %s", base_path);
}

void hf_guest_aside_close(hf_guest_session *x) {
    if (x->aside[0])
        hf_remove_tree(AT_FDCWD, x->aside);
    x->aside[0] = 0;
    hf_close_p(&x->aside_fd);
    hf_close_p(&x->aside_lock);
}
