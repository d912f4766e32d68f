/* What there is of LVM on the disks. */
#include "consumer/operation/guest/lvm_look.h"

#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"

enum { WINDOW = 2 << 20, FILES_MAX = 64 };

/* ---- texts ----------------------------------------------------------------------------------------------------------------- */
typedef struct collector {
    hf_guest_session *x;
    hf_lvm *lvm;
    hf_lvm_device *device; /* NULL: a file */
    const char *from;
    bool no_memory;
} collector;

static void take_text(void *ctx, const char *text, size_t len) {
    collector *c = ctx;
    hf_lvm *lvm = c->lvm;
    hf_auto_free hf_lvm_vg *vg = hf_alloc(sizeof *vg);
    c->no_memory |= !vg;
    if (!vg || len > HF_LVM_TEXT_MAX || !hf_lvm_parse(text, len, vg))
        return;
    if (c->device)
        snprintf(c->device->had_group, sizeof c->device->had_group, "%s", vg->uuid);
    uint32_t i = 0;
    while (i < lvm->copy_count && strcmp(lvm->copies[i].vg.uuid, vg->uuid) != 0)
        i++;
    if (i == HF_LVM_TEXTS_MAX || (i < lvm->copy_count && lvm->copies[i].vg.seqno >= vg->seqno))
        return;
    hf_str kept = hf_arena_str(hf_guest_arena(c->x), (hf_str){text, (uint32_t)len});
    c->no_memory |= !kept.p;
    if (!kept.p)
        return;
    lvm->copies[i] = (hf_lvm_copy){.vg = *vg, .text = kept.p, .len = len, .from = c->from};
    lvm->copy_count += i == lvm->copy_count;
}

static void take_window(collector *c, int64_t at, int64_t bytes) {
    size_t len = 0;
    int64_t want = bytes - at < WINDOW ? bytes - at : WINDOW;
    hf_auto_free char *data =
        want > 0 ? guestfs_pread_device(hf_guest_handle(c->x), c->device->name, (int)want, at, &len) : NULL;
    if (!data)
        return;
    if (at == 0)
        hf_lvm_label(data, len, c->device->label);
    hf_lvm_each(data, len, take_text, c);
}

static hf_code take_device(hf_guest_session *x, hf_lvm *lvm, const char *name, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    if (lvm->device_count == HF_LVM_DEVICES_MAX)
        return HF_OK;
    hf_lvm_device *d = &lvm->devices[lvm->device_count];
    hf_str kept = hf_arena_str(hf_guest_arena(x), hf_str_of(name));
    int64_t bytes = guestfs_blockdev_getsize64(g, name);
    hf_auto_free char *type = guestfs_vfs_type(g, name);
    *d = (hf_lvm_device){.name = kept.p, .sectors = bytes / 512, .free = !type || !*type};
    if (!kept.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of devices");
    lvm->device_count++;
    collector c = {.x = x, .lvm = lvm, .device = d, .from = kept.p};
    take_window(&c, 0, bytes);
    if (bytes > WINDOW)
        take_window(&c, (bytes - WINDOW > WINDOW ? bytes - WINDOW : WINDOW) / 512 * 512, bytes);
    return c.no_memory ? hf_fail(reterr, HF_E_NO_MEMORY, "LVM's metadata") : HF_OK;
}

static bool has_partitions(char **partitions, const char *disk) {
    for (char **p = partitions; p && *p; p++)
        if (strncmp(*p, disk, strlen(disk)) == 0)
            return true;
    return false;
}

static hf_code take_devices(hf_guest_session *x, hf_lvm *lvm, hf_err *reterr) {
    char **partitions = guestfs_list_partitions(hf_guest_handle(x)), **disks = guestfs_list_devices(hf_guest_handle(x));
    hf_code rc = partitions && disks ? HF_OK : hf_guest_fail(x, reterr, "listing devices");
    for (char **p = partitions; rc == HF_OK && p && *p; p++)
        rc = take_device(x, lvm, *p, reterr);
    for (char **d = disks; rc == HF_OK && d && *d; d++)
        if (!has_partitions(partitions, *d))
            rc = take_device(x, lvm, *d, reterr);
    hf_guest_free_strings(partitions);
    hf_guest_free_strings(disks);
    return rc;
}

/* ---- backups in the guest ------------------------------------------------------------------------------------------------------ */
static hf_code take_folder(hf_guest_session *x, hf_lvm *lvm, const char *device, const char *folder, hf_err *reterr) {
    if (guestfs_is_dir(hf_guest_handle(x), folder) != 1)
        return HF_OK;
    char **names = guestfs_ls(hf_guest_handle(x), folder);
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && names && names[i] && i < FILES_MAX; i++) {
        char *text = NULL, *path = hf_arena_printf(hf_guest_arena(x), "%s/%s", folder, names[i]),
             *from = hf_arena_printf(hf_guest_arena(x), "%s/%s of %s", folder, names[i], device);
        size_t len = 0;
        if (!path || !from)
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "a backup of LVM's metadata");
        else if (hf_guest_read(x, path, &text, &len, NULL) == HF_OK && text) { /* one too large is none of LVM's */
            collector c = {.x = x, .lvm = lvm, .from = from};
            take_text(&c, text, len);
        }
    }
    hf_guest_free_strings(names);
    return rc;
}

static hf_code take_backups(hf_guest_session *x, hf_lvm *lvm, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(x);
    char **list = hf_guest_file_systems(x);
    hf_code rc = list ? HF_OK : hf_guest_fail(x, reterr, "looking for file systems");
    for (char **at = list; rc == HF_OK && at && at[0] && at[1]; at += 2) {
        if (strcmp(at[1], "unknown") == 0 || strcmp(at[1], "swap") == 0 || !hf_guest_mount_to_look(x, at[0], at[1]))
            continue;
        rc = take_folder(x, lvm, at[0], "/etc/lvm/backup", reterr);
        if (rc == HF_OK)
            rc = take_folder(x, lvm, at[0], "/etc/lvm/archive", reterr);
        if (guestfs_umount_all(g) != 0 && rc == HF_OK)
            rc = hf_guest_fail(x, reterr, "taking %s off", at[0]);
    }
    hf_guest_free_strings(list);
    return rc;
}

/* ---- what LVM says --------------------------------------------------------------------------------------------------------------- */
/* The next field of a row, without blanks around it. */
static void field(char **at, char *to, size_t size) {
    size_t len = strcspn(*at, "|\n");
    char *from = *at;
    *at += len + ((*at)[len] == '|');
    while (len && *from == ' ') {
        from++;
        len--;
    }
    while (len && from[len - 1] == ' ')
        len--;
    snprintf(to, size, "%.*s", (int)len, from);
}

static uint32_t read_rows(hf_guest_session *x, char *text, hf_lvm_row *rows, uint32_t max) {
    uint32_t n = 0;
    for (char *line = text; line && *line && n < max; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        char word[64], printed[128], *at = line;
        hf_lvm_row *row = &rows[n];
        *row = (hf_lvm_row){0};
        field(&at, printed, sizeof printed);
        hf_guest_device_name(x, printed, row->name, sizeof row->name);
        field(&at, row->uuid, sizeof row->uuid);
        field(&at, row->group, sizeof row->group);
        field(&at, word, sizeof word);
        row->missing = *word && strcmp(word, "0") != 0;
        field(&at, word, sizeof word);
        row->exported = *word != 0;
        n += row->uuid[0] != 0;
    }
    return n;
}

hf_code hf_lvm_list(hf_guest_session *x, hf_lvm *lvm, hf_err *reterr) {
    char *out = (char[]){""};
    int status = 0;
    hf_code rc =
        hf_guest_tool_line(x, "lvm pvs --noheadings --separator '|' -o pv_name,pv_uuid,vg_name,pv_missing,pv_exported",
                           &status, &out, reterr);
    lvm->pv_count = rc == HF_OK ? read_rows(x, out, lvm->pvs, HF_LVM_DEVICES_MAX) : 0;
    if (rc == HF_OK)
        rc = hf_guest_tool_line(
            x, "lvm vgs --noheadings --separator '|' -o vg_name,vg_uuid,vg_name,vg_missing_pv_count,vg_exported",
            &status, &out, reterr);
    lvm->vg_count = rc == HF_OK ? read_rows(x, out, lvm->vgs, HF_LVM_TEXTS_MAX * 2) : 0;
    return rc;
}

hf_code hf_lvm_look(hf_guest_session *x, hf_lvm *lvm, hf_err *reterr) {
    lvm->device_count = lvm->copy_count = 0;
    hf_code rc = take_devices(x, lvm, reterr);
    if (rc == HF_OK)
        rc = take_backups(x, lvm, reterr);
    return rc == HF_OK ? hf_lvm_list(x, lvm, reterr) : rc;
}

const hf_lvm_row *hf_lvm_pv_of(const hf_lvm *lvm, const char *uuid) {
    for (uint32_t i = 0; i < lvm->pv_count; i++)
        if (strcmp(lvm->pvs[i].uuid, uuid) == 0 && lvm->pvs[i].name[0] == '/')
            return &lvm->pvs[i];
    return NULL;
}

const hf_lvm_row *hf_lvm_vg_of(const hf_lvm *lvm, const char *uuid) {
    for (uint32_t i = 0; i < lvm->vg_count; i++)
        if (strcmp(lvm->vgs[i].uuid, uuid) == 0)
            return &lvm->vgs[i];
    return NULL;
}
