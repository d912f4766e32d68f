/* Step default_entry: what is started without anybody choosing must exist. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"
#include "schemas/base/mem.h"

enum { ENTRIES_MAX = 64, NAME_MAX_BYTES = 256 };

/* Entries that are files (BLS), with what they start. */
typedef struct files {
    struct {
        const char *name; /* without ".conf" */
        bool starts;      /* its kernel is there */
        bool wanted;      /* it is of parameters.kernel */
    } all[ENTRIES_MAX];
    uint32_t count;
    const hf_boot *boot;
    const char *folder;
} files;

static bool has_word(hf_str text, const char *word) {
    return *word && text.len && memmem(text.p, text.len, word, strlen(word));
}

static hf_code add_file(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    files *f = ctx;
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p || f->count == ENTRIES_MAX)
        return rc;
    hf_str kernel = hf_keyed_get(text, "linux");
    if (!kernel.len)
        kernel = hf_keyed_get(text, "efi");
    size_t front = strlen(f->folder) + 1, len = strlen(path) - front - 5;
    hf_str name = hf_arena_str(hf_guest_arena(x), (hf_str){path + front, (uint32_t)len});
    if (!name.p || len == 0)
        return name.p ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "%s", path);
    /* The path is of the file system the entry is on, or of the one that holds /boot. */
    char beside[512];
    snprintf(beside, sizeof beside, "%.*s%.*s", (int)(front - sizeof "/loader/entries"), f->folder, HF_STR_ARG(kernel));
    bool starts =
        kernel.len && (memchr(kernel.p, '$', kernel.len) || hf_guest_exists(x, beside) || hf_boot_has_file(x, kernel));
    f->all[f->count].name = name.p;
    f->all[f->count].starts = starts;
    f->all[f->count].wanted =
        starts && (has_word(hf_keyed_get(text, "version"), f->boot->kernel) || has_word(kernel, f->boot->kernel));
    f->count++;
    if (!starts)
        hf_guest_finding(x, "warning", "kernel-missing", "Take the entry away, or install the kernel again.",
                         "%s names the kernel %.*s, which is not there", path, HF_STR_ARG(kernel));
    return HF_OK;
}

/* The newest by name that starts: versions are compared as numbers. */
static const char *best_file(const files *f) {
    const char *best = NULL;
    for (uint32_t i = 0; i < f->count; i++) {
        bool fits = f->boot->kernel[0] ? f->all[i].wanted : f->all[i].starts && !strstr(f->all[i].name, "rescue");
        if (fits && (!best || strverscmp(f->all[i].name, best) > 0))
            best = f->all[i].name;
    }
    return best;
}

static bool file_fits(const files *f, const char *pattern, bool wanted) {
    for (uint32_t i = 0; i < f->count; i++) {
        char with[NAME_MAX_BYTES];
        bool named = snprintf(with, sizeof with, "%s.conf", f->all[i].name) < (int)sizeof with &&
                     (fnmatch(pattern, f->all[i].name, 0) == 0 || fnmatch(pattern, with, 0) == 0);
        if (named && f->all[i].starts && (!wanted || f->all[i].wanted))
            return true;
    }
    return false;
}

/* Reads the entries of a folder. */
static hf_code read_files(hf_guest_session *x, const hf_boot *boot, const char *folder, files *ret, hf_err *reterr) {
    *ret = (files){.boot = boot, .folder = folder};
    return hf_guest_each_file(x, folder, ".conf", add_file, ret, reterr);
}

static void tell_no_kernel(hf_guest_session *x, const hf_boot *boot, const char *where) {
    hf_guest_finding(x, "warning", "kernel-not-found", "Name a kernel that is installed.",
                     "%s has no entry for the kernel %s", where, boot->kernel);
}

/* ---- systemd-boot ------------------------------------------------------------------------------------------------------------ */
static hf_code systemd_default(hf_guest_session *x, const files *f, hf_err *reterr) {
    char *path = hf_arena_printf(hf_guest_arena(x), "%.*s/loader.conf", (int)(strlen(f->folder) - strlen("/entries")),
                                 f->folder);
    char pattern[NAME_MAX_BYTES], with[NAME_MAX_BYTES];
    hf_str text;
    hf_code rc = path ? hf_guest_text(x, path, &text, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "%s", f->folder);
    const char *best = best_file(f);
    hf_str now = rc == HF_OK ? hf_keyed_get(text, "default") : HF_STR_NONE;
    if (rc != HF_OK || !text.p || !best || (!now.len && !f->boot->kernel[0]) || (now.len && now.p[0] == '@') ||
        hf_str_starts(now, HF_STR("auto-")) ||
        snprintf(pattern, sizeof pattern, "%.*s", HF_STR_ARG(now)) >= (int)sizeof pattern ||
        file_fits(f, pattern, f->boot->kernel[0] != 0) ||
        snprintf(with, sizeof with, "%s.conf", best) >= (int)sizeof with)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    return hf_guest_write_buf(x, path, hf_keyed_set(text, "default", with, &out), &out, reterr);
}

/* ---- GRUB's environment --------------------------------------------------------------------------------------------------------- */
static hf_code save_entry(hf_guest_session *x, const char *path, hf_str block, const char *entry, hf_err *reterr) {
    char made[HF_GRUBENV_SIZE];
    if (hf_grubenv_set(block, "saved_entry", entry ? hf_str_of(entry) : HF_STR_NONE, made))
        return hf_guest_write(x, path, made, sizeof made, reterr);
    hf_guest_finding(x, "warning", "grubenv-full", "Take variables out of it with grub2-editenv.", "%s has no room",
                     path);
    return HF_OK;
}

/* The saved entry is a file's name where GRUB reads files, else a name of its menu. */
static hf_code saved_default(hf_guest_session *x, const hf_boot *boot, const hf_grub_config *config, const files *f,
                             hf_err *reterr) {
    static const char *const blocks[] = {"/boot/grub2/grubenv", "/boot/grub/grubenv"};
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(blocks); i++) {
        hf_str block;
        char name[NAME_MAX_BYTES];
        rc = hf_guest_text(x, blocks[i], &block, reterr);
        hf_str saved = rc == HF_OK ? hf_grubenv_get(block, "saved_entry") : HF_STR_NONE;
        bool asked = boot->kernel[0] && f->count;
        if (rc != HF_OK || !hf_grubenv_is(block) || (!saved.len && !asked))
            continue;
        bool number = strspn(saved.len ? saved.p : "x", "0123456789") >= saved.len;
        if (snprintf(name, sizeof name, "%.*s", HF_STR_ARG(saved)) >= (int)sizeof name ||
            (config->count && hf_grub_find(config, saved) >= 0 && !asked) || (config->bls && number && !asked))
            continue;
        bool there = false;
        for (uint32_t k = 0; k < f->count; k++)
            there |= strcmp(f->all[k].name, name) == 0 && f->all[k].starts && (!asked || f->all[k].wanted);
        if (there)
            continue;
        const char *best = config->bls ? best_file(f) : NULL;
        if (best || (saved.len && !config->bls))
            rc = save_entry(x, blocks[i], block, best, reterr);
    }
    return rc;
}

/* ---- GRUB_DEFAULT ---------------------------------------------------------------------------------------------------------------- */
static int32_t entry_of_kernel(const hf_grub_config *c, const char *kernel) {
    for (uint32_t i = 0; i < c->count; i++) {
        const hf_grub_entry *e = &c->entries[i];
        bool recovery = has_word(e->words, "single") || has_word(e->words, "recovery");
        if (e->kernel.len && !e->submenu && !recovery && has_word(e->kernel, kernel))
            return (int32_t)i;
    }
    return -1;
}

static hf_code set_default(hf_guest_session *x, const char *value, const char *config_path, hf_err *reterr) {
    static const char path[] = "/etc/default/grub";
    bool made;
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p || hf_str_eqz(hf_shell_get(text, "GRUB_DEFAULT"), value))
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    if (!hf_shell_set(text, "GRUB_DEFAULT", value, &out)) {
        hf_buf_done(&out);
        hf_guest_finding(x, "warning", "default-not-set", "Set GRUB_DEFAULT by hand.", "%s cannot take \"%s\"", path,
                         value);
        return HF_OK;
    }
    rc = hf_guest_write_buf(x, path, true, &out, reterr);
    if (rc == HF_OK)
        rc = hf_boot_make_config(x, config_path, "its default entry", &made, reterr);
    if (rc == HF_OK && !made)
        hf_guest_finding(x, "warning", "configuration-not-made", "Run update-grub or grub2-mkconfig in the guest.",
                         "%s has the new default entry, %s does not yet", path, config_path);
    return rc;
}

static hf_code grub_default(hf_guest_session *x, const hf_boot *boot, const hf_grub_config *config,
                            const char *config_path, hf_err *reterr) {
    hf_str text;
    char value[NAME_MAX_BYTES];
    hf_code rc = hf_guest_text(x, "/etc/default/grub", &text, reterr);
    if (rc != HF_OK || !text.p || config->count == 0 || config->bls || config->cut)
        return rc;
    hf_str now = hf_shell_get(text, "GRUB_DEFAULT");
    if (boot->kernel[0]) {
        int32_t entry = entry_of_kernel(config, boot->kernel), is = hf_grub_find(config, now);
        if (entry < 0 || !hf_grub_path(config, (uint32_t)entry, value, sizeof value)) {
            tell_no_kernel(x, boot, config_path);
            return HF_OK;
        }
        return is == entry ? HF_OK : set_default(x, value, config_path, reterr);
    }
    if (!now.len || hf_str_eqz(now, "saved") || memchr(now.p, '$', now.len) || hf_grub_find(config, now) >= 0)
        return HF_OK;
    return set_default(x, "0", config_path, reterr);
}

/* ---- the step ------------------------------------------------------------------------------------------------------------------------ */
static hf_code with_config(hf_guest_session *x, const hf_boot *boot, hf_grub_config *config, const char *esp,
                           hf_err *reterr) {
    const char *paths[5];
    files f = {.boot = boot, .folder = ""};
    hf_str text = HF_STR_NONE;
    hf_boot_config_paths(x, esp, paths);
    hf_code rc = paths[0] ? hf_guest_text(x, paths[0], &text, reterr) : HF_OK;
    hf_grub_read(text, config);
    for (const char *const *folder = hf_boot_entry_folders; rc == HF_OK && *folder; folder++) {
        files these;
        rc = read_files(x, boot, *folder, &these, reterr);
        if (rc == HF_OK && these.count)
            rc = systemd_default(x, &these, reterr);
        if (these.count > f.count)
            f = these;
    }
    if (rc == HF_OK && f.count && boot->kernel[0] && !best_file(&f))
        tell_no_kernel(x, boot, f.folder);
    if (rc == HF_OK && paths[0])
        rc = saved_default(x, boot, config, &f, reterr);
    return rc == HF_OK && paths[0] ? grub_default(x, boot, config, paths[0], reterr) : rc;
}

hf_code hf_boot_default(hf_guest_session *x, hf_err *reterr) {
    hf_boot *boot;
    hf_code rc = hf_boot_begin(x, &boot, reterr);
    if (rc != HF_OK || !boot)
        return rc;
    const char *esp = hf_boot_esp(x);
    hf_auto_free hf_grub_config *config = hf_alloc(sizeof *config);
    return config ? with_config(x, boot, config, esp, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "GRUB's entries");
}
