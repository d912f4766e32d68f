/* Step kernel_command_line: root= and resume= wherever a guest keeps the kernel's command line. A resume device that is gone makes the boot wait,
 * so that it is taken out. grub.cfg is made anew from these by the step boot_loader. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"
#include "schemas/base/mem.h"

const char *const hf_boot_entry_folders[] = {"/boot/loader/entries", "/boot/efi/loader/entries", "/efi/loader/entries",
                                             "/mnt/loader/entries", NULL};

/* Inspection has found which file system is the root. */
static hf_word_fate root_word(const hf_boot_words *w, hf_str value, char to[HF_WORD_MAX]) {
    const hf_boot_device *device, *root = hf_boot_device_named(w->boot, w->boot->root);
    hf_boot_found found = hf_boot_find(w->boot, value, HF_STR_NONE, &device);
    if (!(hf_device_changes(value) || found == HF_BOOT_MISSING))
        return HF_WORD_STAYS;
    if (root && hf_boot_tag_for_kernel(w->boot, root, to, HF_WORD_MAX))
        return HF_WORD_CHANGES;
    hf_guest_finding(w->x, "error", "no-uuid", "Give the root file system a UUID of its own.",
                     "%s: root=%.*s stays: %s has no UUID that is its own", w->path, HF_STR_ARG(value), w->boot->root);
    return HF_WORD_STAYS;
}

static hf_word_fate resume_word(hf_boot_words *w, hf_str value, char to[HF_WORD_MAX]) {
    const hf_boot_device *device;
    hf_boot_found found = hf_boot_find(w->boot, value, HF_STR_NONE, &device);
    w->resume_goes |= found == HF_BOOT_MISSING;
    if (found == HF_BOOT_MISSING)
        return HF_WORD_GOES;
    if (found == HF_BOOT_FOUND && hf_device_changes(value) && hf_boot_tag_for_kernel(w->boot, device, to, HF_WORD_MAX))
        return HF_WORD_CHANGES;
    return HF_WORD_STAYS;
}

hf_word_fate hf_boot_each_word(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]) {
    hf_boot_words *w = ctx;
    if (value.len && hf_str_eqz(key, "root"))
        return root_word(w, value, to);
    if (value.len && hf_str_eqz(key, "resume"))
        return resume_word(w, value, to);
    if (hf_str_eqz(key, "resume_offset")) /* of a file on the device that is gone; it comes behind it */
        return w->resume_goes ? HF_WORD_GOES : HF_WORD_STAYS;
    return HF_WORD_STAYS;
}

bool hf_boot_words_wrong(const hf_boot *boot, hf_str line) {
    static const char *const keys[] = {"root", "resume"};
    const hf_boot_device *device;
    for (size_t i = 0; i < HF_ARRAY_LEN(keys); i++) {
        hf_str value = hf_cmdline_get(line, keys[i]);
        if (value.len &&
            (hf_device_changes(value) || hf_boot_find(boot, value, HF_STR_NONE, &device) == HF_BOOT_MISSING))
            return true;
    }
    return false;
}

/* ---- the places ---------------------------------------------------------------------------------------------------------- */
static hf_code edit_shell(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    hf_boot_words w = {.x = x, .boot = ctx, .path = path};
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    bool fine = hf_shell_edit(text, "GRUB_CMDLINE_", hf_boot_each_word, &w, &out);
    if (fine &&
        hf_str_eqz(hf_shell_get(text, "GRUB_DISABLE_LINUX_UUID"), "true")) { /* GRUB would write /dev/sda1 again */
        hf_buf named;
        hf_buf_init(&named, HF_GUEST_TEXT_MAX);
        fine = hf_shell_set(hf_buf_str(&out), "GRUB_DISABLE_LINUX_UUID", "false", &named);
        hf_buf_done(&out);
        out = named;
    }
    return hf_guest_write_buf(x, path, fine, &out, reterr);
}

static hf_code edit_keyed(hf_guest_session *x, const char *path, const char *key, const hf_boot *boot, hf_err *reterr) {
    hf_boot_words w = {.x = x, .boot = boot, .path = path};
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    bool fine = key ? hf_keyed_edit(text, key, hf_boot_each_word, &w, &out)
                    : hf_cmdline_edit(text, hf_boot_each_word, &w, &out);
    return hf_guest_write_buf(x, path, fine, &out, reterr);
}

static hf_code edit_entry(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    return edit_keyed(x, path, "options", ctx, reterr);
}

static hf_code edit_environment(hf_guest_session *x, const char *path, const hf_boot *boot, hf_err *reterr) {
    hf_boot_words w = {.x = x, .boot = boot, .path = path};
    hf_str block;
    char made[HF_GRUBENV_SIZE];
    hf_code rc = hf_guest_text(x, path, &block, reterr);
    hf_str options = rc == HF_OK ? hf_grubenv_get(block, "kernelopts") : HF_STR_NONE;
    if (!options.len)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GRUBENV_SIZE);
    if (!hf_cmdline_edit(options, hf_boot_each_word, &w, &out) ||
        !hf_grubenv_set(block, "kernelopts", hf_buf_str(&out), made))
        hf_guest_finding(x, "error", "grubenv-full", "Take variables out of it with grub2-editenv.",
                         "%s has no room for the kernel's command line", path);
    else
        rc = hf_guest_write(x, path, made, sizeof made, reterr);
    hf_buf_done(&out);
    return rc;
}

/* What initramfs-tools puts into the initramfs as the device to resume from. */
static hf_code edit_resume(hf_guest_session *x, const hf_boot *boot, hf_err *reterr) {
    static const char path[] = "/etc/initramfs-tools/conf.d/resume";
    hf_boot_words w = {.x = x, .boot = boot, .path = path};
    hf_str text;
    char to[HF_WORD_MAX] = "none";
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    hf_str device = rc == HF_OK ? hf_shell_get(text, "RESUME") : HF_STR_NONE;
    if (!device.len || resume_word(&w, device, to) == HF_WORD_STAYS)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    hf_guest_finding(x, "info", "initramfs-resume", "Run initramfs_regenerate.",
                     "the initramfs takes %s over when it is made anew", path);
    return hf_guest_write_buf(x, path, hf_shell_set(text, "RESUME", to, &out), &out, reterr);
}

hf_code hf_boot_command_line(hf_guest_session *x, hf_err *reterr) {
    static const char *const plain[] = {"/etc/kernel/cmdline", "/etc/cmdline"};
    static const char *const grub1[] = {"/boot/grub/menu.lst", "/boot/grub/grub.conf"};
    static const char *const blocks[] = {"/boot/grub2/grubenv", "/boot/grub/grubenv"};
    hf_boot *boot;
    hf_code rc = hf_boot_begin(x, &boot, reterr);
    if (rc != HF_OK || !boot)
        return rc;
    hf_boot_esp(x); /* entries of boot loaders may be there */
    rc = edit_shell(x, "/etc/default/grub", boot, reterr);
    if (rc == HF_OK)
        rc = hf_guest_each_file(x, "/etc/default/grub.d", ".cfg", edit_shell, boot, reterr);
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(plain); i++)
        rc = edit_keyed(x, plain[i], NULL, boot, reterr);
    for (const char *const *f = hf_boot_entry_folders; rc == HF_OK && *f; f++)
        rc = hf_guest_each_file(x, *f, ".conf", edit_entry, boot, reterr);
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(blocks); i++)
        rc = edit_environment(x, blocks[i], boot, reterr);
    /* GRUB 1's two names are one file where one links to the other: the second edit then finds nothing to do. */
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(grub1); i++)
        rc = edit_keyed(x, grub1[i], "kernel", boot, reterr);
    return rc == HF_OK ? edit_resume(x, boot, reterr) : rc;
}
