#include "consumer/operation/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "consumer/pipeline/checkpoint.h"
#include "consumer/provider/path.h"
#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

enum { TREE_DEPTH_MAX = 16, MARK_FILE_MAX = 64 * 1024 };
#define LOCK_NAME ".lock"
#define MARK_XATTR "user.hyperfleet.attempt"

/* ---- removing -------------------------------------------------------------------------------------- */
static void remove_level(int dir_fd, const char *name, int depth) {
    if (unlinkat(dir_fd, name, 0) == 0 || (errno != EISDIR && errno != EPERM) || depth == 0)
        return;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        hf_close_p(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_level(fd, e->d_name, depth - 1);
    closedir(dir);
    unlinkat(dir_fd, name, AT_REMOVEDIR);
}

void hf_remove_tree(int dir_fd, const char *name) { remove_level(dir_fd, name, TREE_DEPTH_MAX); }

static void private_name(const hf_stage *stage, int64_t attempt, char name[HF_STAGE_NAME_MAX + 1]) {
    snprintf(name, HF_STAGE_NAME_MAX + 1, ".hf-%.*s-%" PRId64 ".partial", HF_STR_ARG(stage->job_id), attempt);
}

static void remove_private(const hf_stage *stage, int64_t attempt) {
    char name[HF_STAGE_NAME_MAX + 1];
    private_name(stage, attempt, name);
    if (attempt >= 0)
        hf_remove_tree(stage->out_fd, name);
}

/* ---- the private directory ----------------------------------------------------------------------------- */
/* The attempt in `.hf-<job_id>-<attempt>.partial`, or -1 if name is not one of this job's. */
static int64_t attempt_of_name(const hf_stage *stage, const char *name) {
    char *end;
    if (strncmp(name, ".hf-", 4) != 0 || strncmp(name + 4, stage->job_id.p, stage->job_id.len) != 0 ||
        name[4 + stage->job_id.len] != '-')
        return -1;
    const char *digits = name + 5 + stage->job_id.len;
    if (*digits < '0' || *digits > '9')
        return -1;
    long long n = strtoll(digits, &end, 10);
    return strcmp(end, ".partial") == 0 ? n : -1;
}

/* Takes the lock of the private directory dir_fd. False where somebody holds it, or locks do not work. */
static bool lock_private(int dir_fd, int flags, int *ret_fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    hf_auto_fd int fd = openat(dir_fd, LOCK_NAME, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) != 0)
        return false;
    *ret_fd = fd;
    fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): the caller's now, not closed here */
    return true;
}

/* Makes the directory that attempt `attempt` left our own, if its owner is dead and there is a checkpoint in it. */
static bool adopt(hf_stage *stage, int64_t attempt) {
    char name[HF_STAGE_NAME_MAX + 1];
    struct stat st;
    private_name(stage, attempt, name);
    hf_auto_fd int dir_fd = openat(stage->out_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int lock_fd = -1;
    if (dir_fd < 0 || faccessat(dir_fd, HF_CHECKPOINT_NAME, R_OK, 0) != 0 || !lock_private(dir_fd, 0, &lock_fd))
        return false;
    private_name(stage, stage->attempt, stage->dir_name);
    struct stat now;
    if (fstat(dir_fd, &st) != 0 || fstatat(stage->out_fd, name, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
        st.st_ino != now.st_ino ||
        (attempt != stage->attempt && renameat(stage->out_fd, name, stage->out_fd, stage->dir_name) != 0)) {
        close(lock_fd);
        return false;
    }
    stage->dir_fd = dir_fd;
    stage->lock_fd = lock_fd;
    stage->adopted = (int32_t)attempt;
    dir_fd = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): the stage's now, not closed here */
    return true;
}

/* Removes what older attempts (and a former run of this one) left, but for the newest; a newer attempt than this means that we are late. */
static hf_code clear_older(const hf_stage *stage, int64_t *ret_newest, hf_err *reterr) {
    int fd = openat(stage->out_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        hf_code rc = hf_fail_errno(reterr, errno, "reading output_dir %s", stage->out_path);
        hf_close_p(&fd);
        return rc;
    }
    hf_code rc = HF_OK;
    *ret_newest = -1;
    for (struct dirent *e; rc == HF_OK && (e = readdir(dir)) != NULL;) {
        int64_t attempt = attempt_of_name(stage, e->d_name);
        if (attempt > stage->attempt)
            rc = hf_fail(reterr, HF_E_CONFLICT,
                         "attempt %" PRId64 " of this job is at work in %s, and this is attempt %" PRId32, attempt,
                         stage->out_path, stage->attempt);
        else if (attempt >= 0 && attempt > *ret_newest) {
            remove_private(stage, *ret_newest);
            *ret_newest = attempt;
        } else if (attempt >= 0)
            hf_remove_tree(stage->out_fd, e->d_name);
    }
    closedir(dir);
    return rc;
}

static hf_code make_private(hf_stage *stage, hf_err *reterr) {
    private_name(stage, stage->attempt, stage->dir_name);
    if (mkdirat(stage->out_fd, stage->dir_name, 0700) != 0)
        return hf_fail_errno(reterr, errno, "making %s/%s", stage->out_path, stage->dir_name);
    stage->dir_fd = openat(stage->out_fd, stage->dir_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (stage->dir_fd < 0)
        return hf_fail_errno(reterr, errno, "opening %s/%s", stage->out_path, stage->dir_name);
    if (!lock_private(stage->dir_fd, O_CREAT | O_EXCL, &stage->lock_fd))
        unlinkat(stage->dir_fd, LOCK_NAME, 0); /* where nobody can lock, nobody can take over */
    return HF_OK;
}

static hf_code open_stage(const hf_run *run, bool may_adopt, hf_stage *ret, hf_err *reterr) {
    hf_stage stage = {.out_fd = -1, .dir_fd = -1, .lock_fd = -1, .job_id = run->job_id, .attempt = run->attempt};
    hf_str dir = run->spec->output_dir;
    if (dir.len == 0)
        return hf_fail(reterr, HF_E_INVALID, "the job has no output_dir, and this operation writes files: give one");
    if (!hf_id_valid(run->job_id))
        return hf_fail(reterr, HF_E_INVALID, "job id %.*s cannot be part of a file name", HF_STR_ARG(run->job_id));
    hf_code rc = hf_path_plain(dir, stage.out_path, reterr);
    for (size_t n = strlen(stage.out_path); rc == HF_OK && n > 1 && stage.out_path[n - 1] == '/'; n--)
        stage.out_path[n - 1] = 0;
    if (rc == HF_OK)
        rc = hf_roots_open_dir(run->roots, dir, true, &stage.out_fd, reterr);
    if (rc != HF_OK)
        return hf_context(reterr, "output_dir");
    int64_t newest = -1;
    if ((rc = clear_older(&stage, &newest, reterr)) == HF_OK && !(may_adopt && newest >= 0 && adopt(&stage, newest))) {
        remove_private(&stage, newest);
        rc = make_private(&stage, reterr);
    }
    if (rc != HF_OK) {
        hf_stage_close(&stage);
        return rc;
    }
    *ret = stage;
    return HF_OK;
}

hf_code hf_stage_open(const hf_run *run, hf_stage *ret, hf_err *reterr) { return open_stage(run, false, ret, reterr); }
hf_code hf_stage_open_or_adopt(const hf_run *run, hf_stage *ret, hf_err *reterr) {
    return open_stage(run, true, ret, reterr);
}

hf_code hf_stage_empty(hf_stage *stage, hf_err *reterr) {
    hf_remove_tree(stage->out_fd, stage->dir_name);
    hf_close_p(&stage->dir_fd);
    hf_close_p(&stage->lock_fd);
    stage->adopted = 0;
    return make_private(stage, reterr);
}

void hf_stage_close(hf_stage *stage) {
    if (stage->dir_fd >= 0) {
        hf_remove_tree(stage->out_fd, stage->dir_name);
        hf_close_p(&stage->lock_fd);
    }
    hf_close_p(&stage->dir_fd);
    hf_close_p(&stage->out_fd);
}

hf_code hf_stage_create(int dir_fd, const char *name, int *ret_fd, hf_err *reterr) {
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return hf_fail_errno(reterr, errno, "making %s", name);
    *ret_fd = fd;
    return HF_OK;
}

hf_code hf_stage_check_space(const hf_stage *stage, int64_t needed_bytes, hf_err *reterr) {
    struct statvfs fs;
    if (fstatvfs(stage->out_fd, &fs) != 0)
        return hf_fail_errno(reterr, errno, "free space of %s", stage->out_path);
    int64_t room = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (room >= needed_bytes || fs.f_blocks == 0) /* no blocks at all: it does not tell */
        return HF_OK;
    return hf_fail(reterr, HF_E_NO_SPACE,
                   "%s has %" PRId64 " MiB free and the job may need %" PRId64
                   " MiB: free some, or set parameters.space_check to false if the data is known to compress well",
                   stage->out_path, room >> 20, (needed_bytes + (1 << 20) - 1) >> 20);
}

/* ---- marks: who put an entry in place -------------------------------------------------------------------- */
static void mark_file_name(const hf_stage *stage, char name[HF_STAGE_NAME_MAX + 1]) {
    snprintf(name, HF_STAGE_NAME_MAX + 1, ".hf-%.*s.published", HF_STR_ARG(stage->job_id));
}

/* Where the file system has no extended attributes: a line "attempt dev ino" in the mark file. */
static hf_code mark_in_file(const hf_stage *stage, const struct stat *st, hf_err *reterr) {
    char name[HF_STAGE_NAME_MAX + 1];
    mark_file_name(stage, name);
    hf_auto_fd int fd = openat(stage->out_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 ||
        dprintf(fd, "%" PRId32 " %llu %llu\n", stage->attempt, (unsigned long long)st->st_dev,
                (unsigned long long)st->st_ino) < 0 ||
        hf_fsync(fd) != 0)
        return hf_fail_errno(reterr, errno, "marking what attempt %" PRId32 " publishes", stage->attempt);
    return HF_OK;
}

static hf_code mark_entry(const hf_stage *stage, const char *name, hf_err *reterr) {
    char mark[HF_ID_MAX_BYTES + 32];
    struct stat st;
    int n = snprintf(mark, sizeof mark, "%.*s %" PRId32, HF_STR_ARG(stage->job_id), stage->attempt);
    hf_auto_fd int fd = openat(stage->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", name);
    if (fsetxattr(fd, MARK_XATTR, mark, (size_t)n, 0) == 0)
        return hf_fsync(fd) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "%s", name);
    return errno == EOPNOTSUPP ? mark_in_file(stage, &st, reterr) : hf_fail_errno(reterr, errno, "marking %s", name);
}

static int64_t attempt_in_mark_file(const hf_stage *stage, const struct stat *st) {
    char name[HF_STAGE_NAME_MAX + 1];
    mark_file_name(stage, name);
    hf_auto_fd int fd = openat(stage->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    hf_auto_free char *text = hf_alloc(MARK_FILE_MAX);
    int64_t found = -1, attempt;
    if (fd < 0 || !text || read(fd, text, MARK_FILE_MAX - 1) < 0)
        return -1;
    unsigned long long dev, ino;
    for (char *line = text; line && sscanf(line, "%" SCNd64 " %llu %llu", &attempt, &dev, &ino) == 3;) {
        if (dev == st->st_dev && ino == st->st_ino)
            found = attempt;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return found;
}

/* The attempt of this job that put `name` in place; -1 if it was anyone else. *ret_st says what is there. */
static int64_t attempt_in_place(const hf_stage *stage, const char *name, struct stat *ret_st) {
    char mark[HF_ID_MAX_BYTES + 32];
    hf_auto_fd int fd = openat(stage->out_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_st) != 0)
        return -1;
    ssize_t n = fgetxattr(fd, MARK_XATTR, mark, sizeof mark - 1);
    if (n < 0)
        return attempt_in_mark_file(stage, ret_st);
    mark[n] = 0;
    if ((size_t)n <= stage->job_id.len + 1 || strncmp(mark, stage->job_id.p, stage->job_id.len) != 0 ||
        mark[stage->job_id.len] != ' ')
        return -1;
    return strtoll(mark + stage->job_id.len + 1, NULL, 10);
}

static hf_code check_replaceable(const hf_stage *stage, const char *name, struct stat *ret_st, hf_err *reterr) {
    int64_t attempt = attempt_in_place(stage, name, ret_st);
    if (attempt < 0)
        return hf_fail(
            reterr, HF_E_EXISTS,
            "%s/%s is there already, and not from an earlier attempt of this job: move it away, or give the job another "
            "name or output_dir",
            stage->out_path, name);
    if (attempt > stage->attempt)
        return hf_fail(reterr, HF_E_LEASE_LOST, "attempt %" PRId64 " has published %s/%s, and this is attempt %" PRId32,
                       attempt, stage->out_path, name, stage->attempt);
    return HF_OK;
}

hf_code hf_stage_check_free(const hf_stage *stage, const char *name, hf_err *reterr) {
    struct stat st;
    if (fstatat(stage->out_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? HF_OK : hf_fail_errno(reterr, errno, "%s/%s", stage->out_path, name);
    return check_replaceable(stage, name, &st, reterr);
}

/* ---- publishing ----------------------------------------------------------------------------------------------- */
typedef enum placed { NOT_PLACED, PLACED_NEW, PLACED_OVER } placed;

/* Without RENAME_NOREPLACE (some network file systems): link(2) does not replace either, and a directory only replaces an empty one. */
static int rename_new(const hf_stage *stage, const char *name) {
    if (renameat2(stage->dir_fd, name, stage->out_fd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    struct stat st;
    if (fstatat(stage->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return renameat(stage->dir_fd, name, stage->out_fd, name);
    return linkat(stage->dir_fd, name, stage->out_fd, name, 0) == 0 ? unlinkat(stage->dir_fd, name, 0) : -1;
}

static int exchange(const hf_stage *stage, const char *name) {
    return renameat2(stage->dir_fd, name, stage->out_fd, name, RENAME_EXCHANGE);
}

static hf_code place(const hf_stage *stage, const char *name, placed *ret_how, hf_err *reterr) {
    if (rename_new(stage, name) == 0) {
        *ret_how = PLACED_NEW;
        return HF_OK;
    }
    if (errno != EEXIST && errno != ENOTEMPTY)
        return hf_fail_errno(reterr, errno, "renaming %s into %s", name, stage->out_path);
    struct stat old = {0}, out;
    hf_code rc = check_replaceable(stage, name, &old, reterr);
    if (rc != HF_OK)
        return rc;
    if (exchange(stage, name) != 0)
        return hf_fail_errno(reterr, errno, "replacing %s/%s", stage->out_path, name);
    if (fstatat(stage->dir_fd, name, &out, AT_SYMLINK_NOFOLLOW) == 0 && out.st_ino == old.st_ino &&
        out.st_dev == old.st_dev) {
        *ret_how = PLACED_OVER;
        return HF_OK;
    }
    exchange(stage, name); /* somebody put another file there between look and rename: give it back */
    return hf_fail(reterr, HF_E_EXISTS, "%s/%s was changed by somebody else just now: move it away", stage->out_path,
                   name);
}

static void take_back(const hf_stage *stage, const char *name, placed how) {
    if (how == PLACED_OVER)
        exchange(stage, name);
    else if (how == PLACED_NEW)
        renameat(stage->out_fd, name, stage->dir_fd, name);
}

hf_code hf_stage_publish(hf_stage *stage, const char *const *names, uint32_t count, hf_err *reterr) {
    placed how[HF_STAGE_ENTRIES_MAX] = {NOT_PLACED};
    hf_code rc = count <= HF_STAGE_ENTRIES_MAX ? HF_OK
                                               : hf_fail(reterr, HF_E_LIMIT, "%" PRIu32 " files to publish; at most %d",
                                                         count, HF_STAGE_ENTRIES_MAX);
    for (uint32_t i = 0; rc == HF_OK && i < count; i++)
        rc = mark_entry(stage, names[i], reterr);
    if (rc == HF_OK && hf_fsync(stage->dir_fd) != 0)
        rc = hf_fail_errno(reterr, errno, "fsync of the private directory");
    if (rc != HF_OK)
        return rc;
    hf_fault_point("publish-before");
    for (uint32_t i = 0; rc == HF_OK && i < count; i++)
        rc = place(stage, names[i], &how[i], reterr);
    if (rc == HF_OK && hf_fsync(stage->out_fd) != 0)
        rc = hf_fail_errno(reterr, errno, "fsync of %s", stage->out_path);
    for (uint32_t i = 0; rc != HF_OK && i < count; i++)
        take_back(stage, names[i], how[i]);
    hf_fault_point("publish-after");
    return rc;
}
