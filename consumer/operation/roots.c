/* Which paths a job may touch. The kernel decides: openat2(2) below the root, so that neither `..` nor a symlink leads out. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "consumer/operation/operation.h"
#include "consumer/provider/path.h"
#include "schemas/base/mem.h"

enum { ROOTS_MAX = 64 };

static hf_code outside(const hf_roots *roots, const char *path, hf_err *reterr) {
    char list[256] = "";
    for (size_t i = 0, n = 0; i < roots->count && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", roots->roots[i].path);
    return hf_fail(reterr, HF_E_OUTSIDE_ROOT, "%s is not below the directories this worker may use (worker.roots: %s)",
                   path, *list ? list : "none");
}

/* The root path lies in, and what is left of path behind it ("." for the root itself). */
static const hf_root *root_of(const hf_roots *roots, const char *path, const char **ret_rest) {
    for (size_t i = 0; i < roots->count; i++) {
        size_t n = strlen(roots->roots[i].path);
        while (n > 0 && roots->roots[i].path[n - 1] == '/')
            n--;
        if (strncmp(path, roots->roots[i].path, n) != 0 || (path[n] != '/' && path[n] != 0))
            continue;
        const char *rest = path + n + strspn(path + n, "/");
        *ret_rest = *rest ? rest : ".";
        return &roots->roots[i];
    }
    return NULL;
}

static int open_below(const hf_root *root, const char *path, int flags, unsigned mode) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .mode = flags & O_CREAT ? mode : 0,
                           .resolve = RESOLVE_NO_MAGICLINKS | (root ? RESOLVE_BENEATH : 0)};
    long fd;
    do /* EAGAIN: a rename raced the resolution */
        fd = syscall(SYS_openat2, root ? root->fd : AT_FDCWD, path, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return (int)fd;
}

static hf_code locate(const hf_roots *roots, hf_str path, char text[HF_MAX_PATH + 1], const hf_root **ret_root,
                      const char **ret_rest, hf_err *reterr) {
    hf_code rc = hf_path_plain(path, text, reterr);
    if (rc != HF_OK)
        return rc;
    *ret_root = NULL;
    *ret_rest = text;
    if (roots->any)
        return HF_OK;
    *ret_root = root_of(roots, text, ret_rest);
    return *ret_root ? HF_OK : outside(roots, text, reterr);
}

static hf_code fail_open(const hf_roots *roots, const char *path, hf_err *reterr) {
    if (errno == EXDEV || errno == ELOOP)
        return outside(roots, path, reterr);
    return hf_fail_errno(reterr, errno, "%s", path);
}

hf_code hf_roots_open_file(const hf_roots *roots, hf_str path, int flags, unsigned mode, int *ret_fd, hf_err *reterr) {
    char text[HF_MAX_PATH + 1];
    const hf_root *root;
    const char *rest;
    hf_code rc = locate(roots, path, text, &root, &rest, reterr);
    if (rc != HF_OK)
        return rc;
    int fd = open_below(root, rest, flags, mode);
    if (fd < 0)
        return fail_open(roots, text, reterr);
    *ret_fd = fd;
    return HF_OK;
}

/* Makes the last part of rest[0..len) in its parent directory. */
static int make_dir(const hf_root *root, const char *rest, size_t len) {
    char parent[HF_MAX_PATH + 1], name[NAME_MAX + 1];
    size_t slash = len;
    while (slash > 0 && rest[slash - 1] != '/')
        slash--;
    if (len - slash > NAME_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(name, rest + slash, len - slash);
    name[len - slash] = 0;
    memcpy(parent, rest, slash);
    parent[slash] = 0;
    hf_auto_fd int fd = open_below(root, slash ? parent : ".", O_PATH | O_DIRECTORY, 0);
    return fd < 0 || (mkdirat(fd, name, 0777) != 0 && errno != EEXIST) ? -1 : 0;
}

hf_code hf_roots_open_dir(const hf_roots *roots, hf_str path, bool make, int *ret_fd, hf_err *reterr) {
    char text[HF_MAX_PATH + 1], part[HF_MAX_PATH + 1];
    const hf_root *root;
    const char *rest;
    hf_code rc = locate(roots, path, text, &root, &rest, reterr);
    if (rc != HF_OK)
        return rc;
    int fd = open_below(root, rest, O_RDONLY | O_DIRECTORY, 0);
    for (size_t len = 0; fd < 0 && errno == ENOENT && make && rest[len];) { /* one part after the other, from the top */
        len += strspn(rest + len, "/");
        len += strcspn(rest + len, "/");
        memcpy(part, rest, len);
        part[len] = 0;
        hf_auto_fd int have = open_below(root, part, O_PATH | O_DIRECTORY, 0);
        if (have < 0 && (errno != ENOENT || make_dir(root, rest, len) != 0))
            return fail_open(roots, text, reterr);
        if (!rest[len])
            fd = open_below(root, rest, O_RDONLY | O_DIRECTORY, 0);
        else
            errno = ENOENT;
    }
    if (fd < 0)
        return fail_open(roots, text, reterr);
    *ret_fd = fd;
    return HF_OK;
}

static hf_code add_root(hf_roots *roots, const char *path, hf_err *reterr) {
    if (!path || path[0] != '/')
        return hf_fail(reterr, HF_E_CONFIG, "worker.roots: \"%s\" is not an absolute path",
                       path ? path : "(not a string)");
    hf_root *root = &roots->roots[roots->count];
    *root = (hf_root){.path = hf_strndup(path, strlen(path)), .fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    roots->count++;
    if (!root->path)
        return hf_fail(reterr, HF_E_NO_MEMORY, "worker.roots");
    return root->fd >= 0 ? HF_OK : hf_fail_errno(reterr, errno, "worker.roots: %s", path);
}

hf_code hf_roots_open(const hf_config *config, bool allow_any, hf_roots *ret, hf_err *reterr) {
    const json_t *list = hf_config_json(config, HF_C_WORKER_ROOTS);
    hf_roots roots = {0};
    size_t count = json_array_size(list);
    if (list && !json_is_array(list))
        return hf_fail(reterr, HF_E_CONFIG, "worker.roots must be a list of directories");
    if (count > ROOTS_MAX)
        return hf_fail(reterr, HF_E_CONFIG, "worker.roots has %zu directories; at most %d", count, ROOTS_MAX);
    if (count > 0 && !(roots.roots = hf_alloc(count * sizeof *roots.roots)))
        return hf_fail(reterr, HF_E_NO_MEMORY, "worker.roots");
    for (size_t i = 0; i < count; i++) {
        hf_code rc = add_root(&roots, json_string_value(json_array_get(list, i)), reterr);
        if (rc != HF_OK) {
            hf_roots_close(&roots);
            return rc;
        }
    }
    roots.any = allow_any && count == 0;
    *ret = roots;
    return HF_OK;
}

void hf_roots_close(hf_roots *roots) {
    for (size_t i = 0; i < roots->count; i++) {
        hf_close_p(&roots->roots[i].fd);
        free(roots->roots[i].path);
    }
    free(roots->roots);
    *roots = (hf_roots){0};
}
