/* Steps fstab and crypttab: names that change with a disk's bus become UUIDs. What names nothing that is there is told. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "schemas/base/mem.h"

typedef struct table {
    hf_guest_session *x;
    const hf_boot *boot;
    const char *path;
} table;

static void exchange(const table *t, hf_str word, const hf_boot_device *device, hf_tab_edit *ret) {
    if (!hf_boot_tag(t->boot, device, ret->device, sizeof ret->device)) {
        ret->device[0] = 0;
        hf_guest_finding(t->x, "warning", "no-uuid",
                         "Give it a UUID of its own in the running guest, or leave a copied disk out.",
                         "%s: %.*s is %s, which has no UUID that is its own: the name stays", t->path, HF_STR_ARG(word),
                         device->name);
    }
}

static void tell_missing(const table *t, hf_str word, const char *where, bool waits, hf_boot_found found) {
    if (found == HF_BOOT_UNCLEAR && hf_device_changes(word))
        hf_guest_finding(t->x, "warning", "device-unclear", "Name it by UUID there.",
                         "%s: which device %.*s is (%s) cannot be told: it stays as it is", t->path, HF_STR_ARG(word),
                         where);
    else if (found == HF_BOOT_MISSING)
        hf_guest_finding(t->x, waits ? "error" : "info", "device-missing",
                         "Give the job all of the VM's disks, take the line out, or ask for \"nofail\": true.",
                         "%s: no disk of the job has %.*s (%s)%s", t->path, HF_STR_ARG(word), where,
                         waits ? ": the boot waits for it" : "");
}

static void fstab_entry(void *ctx, const hf_tab_line *line, hf_tab_edit *ret) {
    const table *t = ctx;
    hf_str word = line->fields[0], where = line->count > 1 ? line->fields[1] : HF_STR_NONE,
           type = line->count > 2 ? line->fields[2] : HF_STR_NONE,
           options = line->count > 3 ? line->fields[3] : HF_STR_NONE;
    const hf_boot_device *device = NULL, *root = hf_boot_device_named(t->boot, t->boot->root);
    char place[128];
    snprintf(place, sizeof place, "%.*s", HF_STR_ARG(where.len ? where : type));
    hf_boot_found found = hf_boot_find(t->boot, word, type, &device);
    if (found == HF_BOOT_NO_DEVICE || hf_tab_has_option(options, "bind") || hf_tab_has_option(options, "rbind"))
        return;
    bool is_root = hf_str_eqz(where, "/");
    if (is_root && root && (found != HF_BOOT_FOUND || hf_device_changes(word)))
        exchange(t, word, root, ret); /* inspection has found what is / */
    else if (found == HF_BOOT_FOUND && hf_device_changes(word))
        exchange(t, word, device, ret);
    bool waits = !hf_tab_has_option(options, "noauto") && !hf_tab_has_option(options, "nofail");
    if (is_root || found == HF_BOOT_FOUND)
        return;
    ret->nofail = t->boot->nofail && waits && found == HF_BOOT_MISSING && line->count > 3;
    tell_missing(t, word, place, waits && !ret->nofail, found);
}

static void crypttab_entry(void *ctx, const hf_tab_line *line, hf_tab_edit *ret) {
    const table *t = ctx;
    hf_str word = line->fields[1], options = line->count > 3 ? line->fields[3] : HF_STR_NONE;
    const hf_boot_device *device = NULL;
    char place[128];
    snprintf(place, sizeof place, "%.*s", HF_STR_ARG(line->fields[0]));
    /* A volume that is made anew at each boot has nothing on it to know it by. */
    bool anew =
        hf_tab_has_option(options, "swap") || hf_tab_has_option(options, "tmp") || hf_tab_has_option(options, "plain");
    hf_boot_found found = hf_boot_find(t->boot, word, anew ? HF_STR_NONE : HF_STR("crypto_LUKS"), &device);
    if (found == HF_BOOT_NO_DEVICE)
        return;
    hf_boot_device part; /* its place is what lasts */
    if (found == HF_BOOT_FOUND && anew) {
        part = *device;
        part.uuid = "";
        device = &part;
    }
    if (found == HF_BOOT_FOUND && hf_device_changes(word))
        exchange(t, word, device, ret);
    if (found == HF_BOOT_FOUND)
        return;
    bool waits = !hf_tab_has_option(options, "noauto") && !hf_tab_has_option(options, "nofail");
    ret->nofail = t->boot->nofail && waits && found == HF_BOOT_MISSING && line->count > 3;
    tell_missing(t, word, place, waits && !ret->nofail, found);
}

static hf_code edit(hf_guest_session *x, const char *path, uint32_t field,
                    void (*each)(void *ctx, const hf_tab_line *, hf_tab_edit *), hf_err *reterr) {
    hf_boot *boot;
    hf_str text;
    hf_code rc = hf_boot_begin(x, &boot, reterr);
    if (rc != HF_OK || !boot || (rc = hf_guest_text(x, path, &text, reterr)) != HF_OK)
        return rc;
    if (!text.p) {
        hf_guest_result(x, "nothing to do", "there is no %s", path);
        return HF_OK;
    }
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX);
    table t = {.x = x, .boot = boot, .path = path};
    return hf_guest_write_buf(x, path, hf_tab_edit_text(text, field, each, &t, &out), &out, reterr);
}

hf_code hf_boot_fstab(hf_guest_session *x, hf_err *reterr) { return edit(x, "/etc/fstab", 0, fstab_entry, reterr); }

hf_code hf_boot_crypttab(hf_guest_session *x, hf_err *reterr) {
    return edit(x, "/etc/crypttab", 1, crypttab_entry, reterr);
}
