/* Files of the guest. All paths are resolved by the appliance, inside the guest's root: no link of the guest's leads anywhere else. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/operation/child_output.h"
#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/guest/inside.h"
#include "consumer/pipeline/digest.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/mem.h"

enum { DIFF_SECONDS = 10 };

/* ---- what a dry run would have written: the steps that come after see it, so that they report what a real one then does ---- */
static const hf_guest_would *would_be(const hf_guest_session *x, const char *path) {
    for (const hf_guest_would *w = x->dry ? x->would : NULL; w; w = w->next)
        if (strcmp(w->path, path) == 0)
            return w;
    return NULL;
}

static hf_code would_write(hf_guest_session *x, const char *path, const char *text, size_t len, hf_err *reterr) {
    hf_guest_would *w = hf_arena_alloc(&x->arena, sizeof *w);
    char *copy = text ? hf_arena_alloc(&x->arena, len + 1) : NULL, *name = hf_arena_printf(&x->arena, "%s", path);
    if (!w || !name || (text && !copy))
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", path);
    if (text)
        memcpy(copy, text, len);
    *w = (hf_guest_would){.next = x->would, .path = name, .text = copy, .len = len};
    x->would = w;
    return HF_OK;
}

bool hf_guest_exists(hf_guest_session *x, const char *path) {
    const hf_guest_would *w = would_be(x, path);
    return w ? w->text != NULL : guestfs_exists(x->g, path) == 1;
}

static bool is_plain_file(hf_guest_session *x, const char *path) {
    struct guestfs_is_file_opts_argv o = {.bitmask = GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS_BITMASK, .followsymlinks = 1};
    return guestfs_is_file_opts_argv(x->g, path, &o) == 1;
}

hf_code hf_guest_read(hf_guest_session *x, const char *path, char **ret, size_t *ret_len, hf_err *reterr) {
    *ret = NULL;
    *ret_len = 0;
    const hf_guest_would *w = would_be(x, path);
    if (w) {
        *ret = w->text ? hf_arena_alloc(&x->arena, w->len + 1) : NULL;
        if (*ret)
            memcpy(*ret, w->text, *ret_len = w->len);
        return *ret || !w->text ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", path);
    }
    if (!is_plain_file(x, path))
        return HF_OK;
    int64_t size = guestfs_filesize(x->g, path);
    if (size > HF_GUEST_TEXT_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the guest's %s has %lld bytes; a text that is looked at may have %d", path,
                       (long long)size, HF_GUEST_TEXT_MAX);
    size_t len = 0;
    hf_auto_free char *text = size < 0 ? NULL : guestfs_read_file(x->g, path, &len);
    if (!text)
        return hf_guest_fail(x, reterr, "reading the guest's %s", path);
    if (len > HF_GUEST_TEXT_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "the guest's %s grew past %d bytes", path, HF_GUEST_TEXT_MAX);
    char *kept = hf_arena_alloc(&x->arena, len + 1);
    if (!kept)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", path);
    memcpy(kept, text, len);
    *ret = kept;
    *ret_len = len;
    return HF_OK;
}

/* ---- what a change looks like ---------------------------------------------------------------------------------------------- */
/* A file in memory with that text. */
static int text_fd(const char *text) {
    int fd = memfd_create("text", MFD_CLOEXEC);
    if (fd >= 0 && hf_write_fully(fd, text, strlen(text), 0, NULL) != HF_OK)
        hf_close_p(&fd);
    return fd;
}

char *hf_text_diff(const char *before, const char *after) {
    hf_auto_fd int old = text_fd(before), new = text_fd(after), root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char from[64], to[64];
    int status = 0;
    snprintf(from, sizeof from, "/proc/%d/fd/%d", (int)getpid(), old);
    snprintf(to, sizeof to, "/proc/%d/fd/%d", (int)getpid(), new);
    char *argv[] = {
        (char[]){"diff"}, (char[]){"-u"}, (char[]){"--label=before"}, (char[]){"--label=after"}, from, to, NULL};
    char *envp[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C.UTF-8"}, NULL};
    hf_child_options options = {.argv = argv, .envp = envp, .cwd_fd = root};
    hf_flow flow = {0};
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_DIFF_MAX);
    char *text = NULL;
    if (old >= 0 && new >= 0 && root >= 0 &&
        hf_child_output(&options, DIFF_SECONDS, &flow, &out, NULL, &status, NULL) == HF_OK && !out.failed)
        text = hf_strndup(hf_buf_str(&out).p, hf_buf_str(&out).len);
    hf_buf_done(&out);
    return text;
}

/* "sha256:… (N bytes)", or "absent". */
static void describe(const char *text, size_t len, char words[192]) {
    char hex[HF_DIGEST_HEX_MAX];
    if (!text)
        snprintf(words, 192, "absent");
    else if (hf_digest_bytes(HF_DIGEST_SHA256, text, len, hex, NULL) == HF_OK)
        snprintf(words, 192, "sha256:%s (%zu bytes)", hex, len);
    else
        snprintf(words, 192, "%zu bytes", len);
}

void hf_guest_change_text(hf_guest_session *x, const char *path, const char *before, size_t before_len,
                          const char *after, size_t after_len) {
    char old[192], new[192];
    describe(before, before_len, old);
    describe(after, after_len, new);
    bool text = !memchr(after, 0, after_len) && (!before || !memchr(before, 0, before_len));
    hf_auto_free char *copy = text ? hf_strndup(after, after_len) : NULL; /* a caller's text may end without a NUL */
    hf_auto_free char *diff = copy ? hf_text_diff(before ? before : "", copy) : NULL;
    hf_guest_change_diff(x, "file", path, old, new, diff);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------- */
/* Through a neighbour that takes its place: what a kill leaves is the old text or the new one. A link is written through. */
static hf_code put(hf_guest_session *x, const char *path, const char *text, size_t len, bool existed, hf_err *reterr) {
    hf_auto_free char *real = existed ? guestfs_realpath(x->g, path) : hf_strndup(path, strlen(path));
    if (!real)
        return hf_guest_fail(x, reterr, "the guest's %s", path);
    char *aside = hf_arena_printf(&x->arena, "%s.hf-new", real);
    if (!aside)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", path);
    bool fine = guestfs_write(x->g, aside, text, len) == 0;
    if (fine && existed) {
        struct guestfs_copy_attributes_argv o = {.bitmask = GUESTFS_COPY_ATTRIBUTES_ALL_BITMASK, .all = 1};
        fine = guestfs_copy_attributes_argv(x->g, real, aside, &o) == 0;
    } else if (fine)
        fine = guestfs_chmod(x->g, 0644, aside) == 0;
    fine = fine && guestfs_mv(x->g, aside, real) == 0;
    return fine ? HF_OK : hf_guest_fail(x, reterr, "writing the guest's %s", path);
}

hf_code hf_guest_write(hf_guest_session *x, const char *path, const char *text, size_t len, hf_err *reterr) {
    char *before;
    size_t before_len;
    hf_code rc = hf_guest_read(x, path, &before, &before_len, reterr);
    if (rc != HF_OK)
        return rc;
    if (before && before_len == len && memcmp(before, text, len) == 0)
        return HF_OK;
    if (!before && hf_guest_exists(x, path))
        return hf_fail(reterr, HF_E_CONFLICT, "the guest's %s is no regular file: it is left as it is", path);
    rc = x->dry ? would_write(x, path, text, len, reterr) : put(x, path, text, len, before != NULL, reterr);
    if (rc != HF_OK)
        return rc;
    hf_guest_change_text(x, path, before, before_len, text, len);
    return HF_OK;
}

hf_code hf_guest_remove(hf_guest_session *x, const char *path, bool tree, hf_err *reterr) {
    char *before = NULL;
    size_t len = 0;
    char words[192] = "there";
    if (guestfs_is_symlink(x->g, path) != 1 && !hf_guest_exists(x, path))
        return HF_OK;
    if (is_plain_file(x, path) && hf_guest_read(x, path, &before, &len, NULL) == HF_OK && before)
        describe(before, len, words);
    if (!x->dry && (tree ? guestfs_rm_rf(x->g, path) : guestfs_rm(x->g, path)) != 0)
        return hf_guest_fail(x, reterr, "removing the guest's %s", path);
    if (x->dry && would_write(x, path, NULL, 0, reterr) != HF_OK)
        return HF_E_NO_MEMORY;
    hf_guest_change(x, tree ? "directory" : "file", path, words, "absent");
    return HF_OK;
}

/* ---- configuration ------------------------------------------------------------------------------------------------- */
enum { FILES_MAX = 64 };

hf_code hf_guest_text(hf_guest_session *x, const char *path, hf_str *ret, hf_err *reterr) {
    char *text = NULL;
    size_t len = 0;
    hf_err err = {0};
    *ret = HF_STR_NONE;
    hf_code rc = hf_guest_read(x, path, &text, &len, &err);
    if (rc == HF_E_LIMIT) {
        hf_guest_finding(x, "warning", "too-large", "Look at it by hand: nothing of that size is a configuration.",
                         "%s", err.detail);
        return HF_OK;
    }
    if (rc != HF_OK) {
        if (reterr)
            *reterr = err;
        return rc;
    }
    *ret = (hf_str){text, (uint32_t)len};
    return HF_OK;
}

hf_code hf_guest_write_buf(hf_guest_session *x, const char *path, bool fine, hf_buf *text, hf_err *reterr) {
    hf_str made = hf_buf_str(text);
    hf_code rc = fine ? hf_guest_write(x, path, made.len ? made.p : "", made.len, reterr)
                      : hf_fail(reterr, HF_E_NO_MEMORY, "the new text of %s", path);
    hf_buf_done(text);
    return rc;
}

hf_code hf_guest_each_file(hf_guest_session *x, const char *folder, const char *ending,
                           hf_code (*each)(hf_guest_session *, const char *path, void *ctx, hf_err *), void *ctx,
                           hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    char **names =
        guestfs_is_dir_opts(g, folder, GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1) == 1 ? guestfs_ls(g, folder) : NULL;
    hf_code rc = HF_OK;
    uint32_t seen = 0;
    for (char **n = names; rc == HF_OK && n && *n && seen < FILES_MAX; n++) {
        if (!hf_str_ends(hf_str_of(*n), hf_str_of(ending)))
            continue;
        char *path = hf_arena_printf(hf_guest_arena(x), "%s/%s", folder, *n);
        rc = path ? each(x, path, ctx, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "the files of %s", folder);
        seen++;
    }
    hf_guest_free_strings(names);
    return rc;
}
