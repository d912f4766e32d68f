/* GRUB's configuration: where it names a root, a file system or a kernel that is not there, the guest's own program makes it anew. Where there is no
 * such program, or what it makes is no better, its lines are put right in place. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"
#include "consumer/operation/guest/inside.h"
#include "schemas/base/mem.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { WHY_MAX = 240 };

const char *hf_boot_grub_program(hf_guest_session *x, const char *name) {
    const char *const prefixes[] = {"grub2-", "grub-"};
    for (size_t i = 0; i < HF_ARRAY_LEN(prefixes); i++) {
        char *program = hf_arena_printf(hf_guest_arena(x), "%s%s", prefixes[i], name);
        if (program && hf_guest_has_program(x, program))
            return program;
    }
    return NULL;
}

/* ---- which files ------------------------------------------------------------------------------------------------------------ */
static bool has_menu(hf_guest_session *x, const char *path) {
    hf_str text = HF_STR_NONE;
    hf_grub_config *config = hf_alloc(sizeof *config);
    bool found = false;
    if (config && hf_guest_text(x, path, &text, NULL) == HF_OK && text.len) {
        hf_grub_read(text, config);
        found = config->count > 0 || config->bls;
    }
    free(config);
    return found;
}

/* What the packages of some systems have for UEFI: EFI/redhat/grub.cfg, in full. */
static const char *vendor_config(hf_guest_session *x, const char *esp) {
    char *folder = hf_arena_printf(hf_guest_arena(x), "%s/EFI", esp);
    char **names = *esp && folder && guestfs_is_dir(hf_guest_handle(x), folder) == 1
                       ? guestfs_ls(hf_guest_handle(x), folder)
                       : NULL;
    const char *found = NULL;
    for (char **n = names; n && *n && !found; n++) {
        char *path = hf_arena_printf(hf_guest_arena(x), "%s/%s/grub.cfg", folder, *n);
        if (path && has_menu(x, path))
            found = path;
    }
    hf_guest_free_strings(names);
    return found;
}

void hf_boot_config_paths(hf_guest_session *x, const char *esp, const char *ret[5]) {
    size_t n = 0;
    const char *vendor = vendor_config(x, esp), *program = hf_boot_grub_program(x, "mkconfig");
    bool second = hf_guest_exists(x, "/boot/grub2") && (!program || strncmp(program, "grub2", 5) == 0);
    const char *usual = second ? "/boot/grub2/grub.cfg" : "/boot/grub/grub.cfg";
    if (hf_guest_exists(x, usual) || (!vendor && program))
        ret[n++] = usual;
    if (vendor)
        ret[n++] = vendor;
    ret[n] = NULL;
}

/* ---- what is wrong with one --------------------------------------------------------------------------------------------------- */
bool hf_boot_has_file(hf_guest_session *x, hf_str path) {
    char full[512];
    const char *close = path.len && path.p[0] == '(' ? memchr(path.p, ')', path.len) : NULL; /* "($root)/vmlinuz" */
    if (close)
        path = (hf_str){close + 1, path.len - (uint32_t)(close + 1 - path.p)};
    const char *slash = path.len ? memrchr(path.p, '/', path.len) : NULL;
    if (!slash || path.len > 400)
        return false;
    static const char *const fronts[] = {"/boot", ""};
    for (size_t i = 0; i < HF_ARRAY_LEN(fronts); i++)
        if (snprintf(full, sizeof full, "%s%.*s", fronts[i], HF_STR_ARG(path)) > 0 && hf_guest_exists(x, full))
            return true;
    snprintf(full, sizeof full, "/boot%.*s", (int)(path.p + path.len - slash),
             slash); /* a subvolume's name stands in front */
    return hf_guest_exists(x, full);
}

/* Entries of another system on the same disks are not ours to judge: their kernels are elsewhere. */
static bool is_ours(const hf_boot *boot, const hf_grub_entry *e) {
    const hf_boot_device *device = NULL;
    hf_str root = hf_cmdline_get(e->words, "root");
    return !root.len || hf_boot_find(boot, root, HF_STR_NONE, &device) != HF_BOOT_FOUND ||
           strcmp(device->name, boot->root) == 0;
}

static void entry_wrong(hf_guest_session *x, const hf_boot *boot, const hf_grub_entry *e, char why[WHY_MAX]) {
    if (!e->kernel.len || memchr(e->kernel.p, '$', e->kernel.len))
        return;
    if (hf_boot_words_wrong(boot, e->words))
        snprintf(why, WHY_MAX,
                 "the entry \"%.*s\" names a root or resume device that is not there, or by a name that changes",
                 (int)(e->title.len < 80 ? e->title.len : 80), e->title.p);
    else if (is_ours(boot, e) && !hf_boot_has_file(x, e->kernel))
        snprintf(why, WHY_MAX, "the kernel %.*s is not there", (int)(e->kernel.len < 160 ? e->kernel.len : 160),
                 e->kernel.p);
}

/* why "" : nothing. */
static hf_code find_wrong(hf_guest_session *x, hf_boot *boot, const char *path, char why[WHY_MAX], hf_err *reterr) {
    hf_str text;
    why[0] = 0;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    hf_auto_free hf_grub_config *config = rc == HF_OK ? hf_alloc(sizeof *config) : NULL;
    if (!config)
        return rc != HF_OK ? rc : hf_fail(reterr, HF_E_NO_MEMORY, "%s", path);
    hf_grub_read(text, config);
    if (!text.p)
        snprintf(why, WHY_MAX, "absent");
    else if (config->count == 0 && !config->bls)
        snprintf(why, WHY_MAX, "it has no entries");
    for (uint32_t i = 0; i < config->count && !why[0]; i++)
        entry_wrong(x, boot, &config->entries[i], why);
    for (uint32_t i = 0; i < config->search_count && !why[0]; i++)
        if (hf_boot_uuid_gone(boot, config->searches[i]))
            snprintf(why, WHY_MAX, "it looks for the file system %.*s, which is not there",
                     (int)(config->searches[i].len < 60 ? config->searches[i].len : 60), config->searches[i].p);
    return HF_OK;
}

/* ---- made anew ------------------------------------------------------------------------------------------------------------------- */
/* Its look at other systems is kept off: in the appliance it would find the appliance. */
static hf_code run_program(hf_guest_session *x, const char *program, const char *path, hf_err *reterr) {
    static const char prober[] = "/etc/grub.d/30_os-prober";
    struct guestfs_statns *stat = guestfs_statns(hf_guest_handle(x), prober);
    int mode = stat ? (int)(stat->st_mode & 07777) : -1;
    guestfs_free_statns(stat);
    bool off = mode > 0 && (mode & 0111) && guestfs_chmod(hf_guest_handle(x), mode & 0666, prober) == 0;
    hf_code rc = hf_guest_command(x, ARGV("env", "GRUB_DISABLE_OS_PROBER=true", program, "-o", path), NULL, reterr);
    if (off && guestfs_chmod(hf_guest_handle(x), mode, prober) != 0 && rc == HF_OK)
        rc = hf_guest_fail(x, reterr, "putting the mode of %s back", prober);
    return rc;
}

hf_code hf_boot_make_config(hf_guest_session *x, const char *path, const char *why, bool *ret_fine, hf_err *reterr) {
    const char *program = hf_boot_grub_program(x, "mkconfig");
    hf_str before, after;
    *ret_fine = false;
    hf_code rc = hf_guest_text(x, path, &before, reterr);
    if (rc != HF_OK || !program)
        return rc;
    if (hf_guest_dry(x)) {
        hf_guest_change(x, "file", path, why, "made anew by the guest's own program");
        *ret_fine = true;
        return HF_OK;
    }
    hf_err err = {0};
    rc = run_program(x, program, path, &err);
    if (rc == HF_E_TOOL_FAILED) {
        hf_guest_finding(x, "warning", "configuration-not-made", NULL, "%s: %.700s", path, err.detail);
        return HF_OK;
    }
    if (rc != HF_OK)
        return hf_fail(reterr, rc, "%s", err.detail);
    rc = hf_guest_text(x, path, &after, reterr);
    if (rc == HF_OK && after.p && !(before.p && hf_str_eq(before, after)))
        hf_guest_change_text(x, path, before.p, before.len, after.p, after.len);
    *ret_fine = rc == HF_OK && after.p;
    return rc;
}

/* ---- put right in place ------------------------------------------------------------------------------------------------------------ */
static bool edit_all(hf_boot_words *w, hf_str text, const char *uuid, hf_buf *ret) {
    static const char *const keys[] = {"linux", "linux16", "linuxefi"};
    hf_buf_init(ret, HF_GUEST_TEXT_MAX);
    bool fine = uuid ? hf_grub_edit_searches(text, hf_boot_uuid_gone, (void *)(uintptr_t)w->boot, uuid, ret)
                     : text.len == 0 || hf_buf_put(ret, text.p, text.len);
    for (size_t i = 0; fine && i < HF_ARRAY_LEN(keys); i++) {
        hf_buf next;
        hf_buf_init(&next, HF_GUEST_TEXT_MAX);
        w->resume_goes = false;
        fine = hf_keyed_edit(hf_buf_str(ret), keys[i], hf_boot_each_word, w, &next);
        hf_buf_done(ret);
        *ret = next;
    }
    return fine;
}

static hf_code edit_in_place(hf_guest_session *x, hf_boot *boot, const char *path, hf_err *reterr) {
    const hf_boot_device *holds = hf_boot_device_named(boot, boot->boot);
    hf_boot_words w = {.x = x, .boot = boot, .path = path};
    hf_str text;
    hf_buf out;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    bool fine = edit_all(&w, text, holds && holds->uuid[0] ? holds->uuid : NULL, &out);
    return hf_guest_write_buf(x, path, fine, &out, reterr);
}

static hf_code put_right(hf_guest_session *x, hf_boot *boot, const char *path, char why[WHY_MAX], uint32_t *ret_wrong,
                         hf_err *reterr) {
    bool made = false;
    hf_code rc = hf_boot_make_config(x, path, why, &made, reterr);
    if (rc != HF_OK || (made && hf_guest_dry(x)) ||
        (made && (rc = find_wrong(x, boot, path, why, reterr)) == HF_OK && !why[0]))
        return rc;
    if (rc == HF_OK)
        rc = edit_in_place(x, boot, path, reterr);
    if (rc != HF_OK || hf_guest_dry(x) || (rc = find_wrong(x, boot, path, why, reterr)) != HF_OK || !why[0])
        return rc;
    hf_guest_finding(
        x, "error", "configuration-wrong",
        "Make it anew in the guest (update-grub, grub2-mkconfig), with its kernels and GRUB's packages installed.",
        "%s: %s%s", path, why, made ? ", also after it was made anew" : "; the guest's programs cannot make it anew");
    ++*ret_wrong;
    return HF_OK;
}

hf_code hf_boot_config(hf_guest_session *x, hf_boot *boot, const char *esp, uint32_t *ret_wrong, hf_err *reterr) {
    const char *paths[5];
    hf_code rc = HF_OK;
    hf_boot_config_paths(x, esp, paths);
    for (size_t i = 0; rc == HF_OK && paths[i]; i++) {
        char why[WHY_MAX];
        rc = find_wrong(x, boot, paths[i], why, reterr);
        if (rc == HF_OK && !why[0] && boot->force)
            snprintf(why, sizeof why, "there; asked for anew");
        if (rc == HF_OK && why[0])
            rc = put_right(x, boot, paths[i], why, ret_wrong, reterr);
    }
    return rc;
}
