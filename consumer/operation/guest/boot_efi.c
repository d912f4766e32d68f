/* The EFI system partition. Firmware that knows nothing of a system starts EFI/BOOT/BOOTX64.EFI, and a machine that comes from elsewhere is not
 * known: so that must be there, and what it loads must find the file system that is there now. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"
#include "schemas/base/mem.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { VENDORS_MAX = 16, STUB_MAX = 4096 };

/* ---- where it is ------------------------------------------------------------------------------------------------------------ */
/* Device of the partition, by its type or by where fstab mounts it. */
static const char *esp_device(hf_guest_session *x) {
    static const char *const places[] = {"/boot/efi", "/efi", "/boot"};
    const hf_guest_os *os = hf_guest_os_of(x);
    if (os->esp[0])
        return os->esp;
    for (char **m = os->mountpoints; *m; m += 2)
        for (size_t i = 0; i < HF_ARRAY_LEN(places); i++) {
            hf_auto_free char *type = strcmp(m[0], places[i]) == 0 ? guestfs_vfs_type(hf_guest_handle(x), m[1]) : NULL;
            if (type && strcmp(type, "vfat") == 0)
                return m[1];
        }
    return "";
}

/* Whether something is mounted there: not what, for the appliance's own names of devices are others. */
static bool is_mounted(hf_guest_session *x, const char *place) {
    char **mounted = guestfs_mountpoints(hf_guest_handle(x));
    bool found = false;
    for (char **m = mounted; place && m && m[0] && m[1]; m += 2)
        found |= strcmp(m[1], place) == 0;
    hf_guest_free_strings(mounted);
    return found;
}

static const char *mount_esp(hf_guest_session *x, const char *device) {
    static const char *const places[] = {"/boot/efi", "/efi", "/mnt"};
    guestfs_h *g = hf_guest_handle(x);
    for (size_t i = 0; i < HF_ARRAY_LEN(places); i++) {
        if (guestfs_is_dir(g, places[i]) != 1 || is_mounted(x, places[i]))
            continue;
        bool fine = (hf_guest_dry(x) ? guestfs_mount_ro(g, device, places[i])
                                     : guestfs_mount_options(g, "", device, places[i])) == 0;
        return fine ? places[i] : NULL;
    }
    return NULL;
}

const char *hf_boot_esp(hf_guest_session *x) {
    hf_boot *boot = *hf_guest_own(x, HF_GUEST_BOOT);
    const char *device = esp_device(x), *at = NULL;
    if (!device[0])
        return "";
    for (char **m = hf_guest_os_of(x)->mountpoints; *m; m += 2)
        if (strcmp(m[1], device) == 0 && is_mounted(x, m[0]))
            at = m[0];
    if (!at && boot->esp_at && is_mounted(x, boot->esp_at))
        at = boot->esp_at;
    if (!at)
        at = boot->esp_at = mount_esp(x, device);
    if (!at)
        hf_guest_finding(x, "error", "esp-not-mounted", "Run fs_repair on the image.",
                         "the EFI system partition %s cannot be mounted", device);
    return at ? at : "";
}

/* ---- what is on it ------------------------------------------------------------------------------------------------------------- */
typedef struct efi {
    hf_guest_session *x;
    hf_boot *boot;
    const char *esp;
    const char *suffix, *target; /* "x64", "x86_64-efi" */
    char path[128], why[64];     /* of the removable loader, and what is wrong with it; "" nothing */
    char **vendors;              /* folders of EFI/ but BOOT's and Microsoft's */
} efi;

static bool is_program(hf_guest_session *x, const char *path) {
    size_t len = 0;
    if (guestfs_is_file_opts(hf_guest_handle(x), path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) != 1)
        return false;
    hf_auto_free char *first = guestfs_pread(hf_guest_handle(x), path, 64, 0, &len);
    return first && len == 64 && first[0] == 'M' && first[1] == 'Z';
}

static void look(efi *e) {
    const char *arch = hf_guest_os_of(e->x)->arch;
    bool arm = strcmp(arch, "aarch64") == 0, small = strcmp(arch, "i386") == 0;
    e->suffix = arm ? "aa64" : small ? "ia32" : "x64";
    e->target = arm ? "arm64-efi" : small ? "i386-efi" : "x86_64-efi";
    snprintf(e->path, sizeof e->path, "%s/EFI/BOOT/BOOT%s.EFI", e->esp, arm ? "AA64" : small ? "IA32" : "X64");
    if (!hf_guest_exists(e->x, e->path))
        snprintf(e->why, sizeof e->why, "absent");
    else if (!is_program(e->x, e->path))
        snprintf(e->why, sizeof e->why, "no program");
    else if (e->boot->force)
        snprintf(e->why, sizeof e->why, "there; asked for anew");
}

/* A folder of the partition's in the arena. */
static const char *in_esp(const efi *e, const char *folder, const char *name) {
    const char *path =
        hf_arena_printf(hf_guest_arena(e->x), "%s/EFI/%s%s%s", e->esp, folder, name ? "/" : "", name ? name : "");
    return path ? path : "/EFI";
}

/* ---- copies -------------------------------------------------------------------------------------------------------------------------- */
static hf_code copy(const efi *e, const char *from, const char *to, hf_err *reterr) {
    guestfs_h *g = hf_guest_handle(e->x);
    bool there = hf_guest_exists(e->x, to);
    if (there && guestfs_equal(g, from, to) == 1)
        return HF_OK;
    if (!hf_guest_dry(e->x) && (guestfs_mkdir_p(g, in_esp(e, "BOOT", NULL)) != 0 || guestfs_cp(g, from, to) != 0))
        return hf_guest_fail(e->x, reterr, "copying the guest's %s", from);
    char *words = hf_arena_printf(hf_guest_arena(e->x), "a copy of %s", from);
    hf_guest_change(e->x, "file", to, there ? "another, or no program" : "absent", words ? words : "a copy");
    return HF_OK;
}

/* shim starts the grubx64.efi beside it; GRUB itself looks into the folder it was built for. */
static hf_code copy_vendor(const efi *e, bool *ret_done, hf_err *reterr) {
    char shim[24], grub[24];
    snprintf(shim, sizeof shim, "shim%s.efi", e->suffix);
    snprintf(grub, sizeof grub, "grub%s.efi", e->suffix);
    for (char **v = e->vendors; v && *v && !*ret_done; v++) {
        const char *with_shim = in_esp(e, *v, shim), *with_grub = in_esp(e, *v, grub);
        if (!is_program(e->x, with_grub))
            continue;
        bool has_shim = is_program(e->x, with_shim);
        hf_code rc = copy(e, has_shim ? with_shim : with_grub, e->path, reterr);
        if (rc == HF_OK && has_shim)
            rc = copy(e, with_grub, in_esp(e, "BOOT", grub), reterr);
        if (rc != HF_OK)
            return rc;
        *ret_done = true;
    }
    return HF_OK;
}

static hf_code copy_systemd(const efi *e, bool *ret_done, hf_err *reterr) {
    char name[32];
    snprintf(name, sizeof name, "systemd-boot%s.efi", e->suffix);
    const char *on_esp = in_esp(e, "systemd", name),
               *packaged = hf_arena_printf(hf_guest_arena(e->x), "/usr/lib/systemd/boot/efi/%s", name),
               *conf = hf_arena_printf(hf_guest_arena(e->x), "%s/loader/loader.conf", e->esp),
               *entries = hf_arena_printf(hf_guest_arena(e->x), "%s/loader/entries", e->esp);
    if (!packaged || !conf || !entries)
        return hf_fail(reterr, HF_E_NO_MEMORY, "systemd-boot");
    bool there = is_program(e->x, on_esp),
         used = there || hf_guest_exists(e->x, conf) || hf_guest_exists(e->x, entries);
    if (!used || (!there && !is_program(e->x, packaged)))
        return HF_OK;
    *ret_done = true;
    return copy(e, there ? on_esp : packaged, e->path, reterr);
}

/* ---- the guest's grub-install ------------------------------------------------------------------------------------------------------------ */
static hf_code install(const efi *e, bool *ret_done, hf_err *reterr) {
    hf_guest_session *x = e->x;
    char *modules = hf_arena_printf(hf_guest_arena(x), "/usr/lib/grub/%s", e->target),
         *target = hf_arena_printf(hf_guest_arena(x), "--target=%s", e->target),
         *folder = hf_arena_printf(hf_guest_arena(x), "--efi-directory=%s", e->esp);
    if (!modules || !target || !folder)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a command");
    /* Fedora's and its kin's has the other name, and refuses: their loader is a package's file. */
    if (!hf_guest_has_program(x, "grub-install") || !hf_guest_exists(x, modules))
        return HF_OK;
    if (!hf_guest_dry(x)) {
        hf_err err = {0};
        hf_code rc = hf_guest_command(
            x, ARGV("grub-install", target, folder, "--removable", "--no-nvram", "--no-floppy"), NULL, &err);
        if (rc == HF_E_TOOL_FAILED) {
            hf_guest_finding(x, "error", "loader-not-installed", NULL, "%s: %.700s", e->path, err.detail);
            return HF_OK;
        }
        if (rc != HF_OK)
            return hf_fail(reterr, rc, "%s", err.detail);
        if (!is_program(x, e->path))
            return HF_OK;
    }
    *ret_done = true;
    hf_guest_change(x, "file", e->path, e->why, "GRUB for UEFI, by the guest's own grub-install");
    return HF_OK;
}

static hf_code put_back(const efi *e, uint32_t *ret_wrong, hf_err *reterr) {
    bool done = false;
    hf_code rc = e->boot->force ? install(e, &done, reterr) : HF_OK;
    if (rc == HF_OK && !done)
        rc = copy_vendor(e, &done, reterr);
    if (rc == HF_OK && !done)
        rc = copy_systemd(e, &done, reterr);
    if (rc == HF_OK && !done && !e->boot->force)
        rc = install(e, &done, reterr);
    if (rc != HF_OK || done)
        return rc;
    hf_guest_finding(
        e->x, "error", "loader-tools-missing",
        "Install its packages again in the guest (Debian: grub-efi-amd64; Fedora and its kin: shim-x64, grub2-efi-x64), and run this again.",
        "%s is %s, the partition has no other copy, and the guest has no grub-install for UEFI", e->path, e->why);
    ++*ret_wrong;
    return HF_OK;
}

/* ---- small configurations that lead to the large one ------------------------------------------------------------------------------------------- */
static bool is_vendor(const char *name) { return strcasecmp(name, "BOOT") != 0 && strcasecmp(name, "Microsoft") != 0; }

/* GRUB as it is signed reads grub.cfg in the folder it was built for, and nothing else. */
static hf_code write_stub(const efi *e, const char *folder, const char *path, const hf_boot_device *holds_boot,
                          hf_err *reterr) {
    char shim[24], grub[24], text[512];
    snprintf(shim, sizeof shim, "shim%s.efi", e->suffix);
    snprintf(grub, sizeof grub, "grub%s.efi", e->suffix);
    const char *home = hf_guest_exists(e->x, "/boot/grub2") ? "grub2" : "grub";
    if (!is_vendor(folder) || strcmp(holds_boot->type, "btrfs") == 0 || !is_program(e->x, in_esp(e, folder, shim)) ||
        !is_program(e->x, in_esp(e, folder, grub)))
        return HF_OK;
    snprintf(text, sizeof text, "search.fs_uuid %.64s root\nset prefix=($root)'%s/%s'\nconfigfile $prefix/grub.cfg\n",
             holds_boot->uuid, strcmp(e->boot->boot, e->boot->root) == 0 ? "/boot" : "", home);
    return hf_guest_write(e->x, path, text, strlen(text), reterr);
}

static hf_code check_stub(const efi *e, const char *folder, hf_err *reterr) {
    const hf_boot_device *holds_boot = hf_boot_device_named(e->boot, e->boot->boot);
    const char *path = in_esp(e, folder, "grub.cfg");
    hf_str text;
    hf_code rc = hf_guest_text(e->x, path, &text, reterr);
    if (rc != HF_OK || text.len > STUB_MAX || !holds_boot || !holds_boot->uuid[0])
        return rc; /* a larger one is made anew as a whole */
    if (!text.p)
        return write_stub(e, folder, path, holds_boot, reterr);
    hf_buf out;
    hf_buf_init(&out, 2 * STUB_MAX);
    bool fine = hf_grub_edit_searches(text, hf_boot_uuid_gone, e->boot, holds_boot->uuid, &out);
    return hf_guest_write_buf(e->x, path, fine, &out, reterr);
}

static char **vendors_of(hf_guest_session *x, const char *esp) {
    char *folder = hf_arena_printf(hf_guest_arena(x), "%s/EFI", esp);
    char **all =
        folder && guestfs_is_dir(hf_guest_handle(x), folder) == 1 ? guestfs_ls(hf_guest_handle(x), folder) : NULL;
    size_t kept = 0;
    for (char **v = all; v && *v; v++)
        if (is_vendor(*v) && kept < VENDORS_MAX)
            all[kept++] = *v;
        else
            free(*v);
    if (all)
        all[kept] = NULL;
    return all;
}

hf_code hf_boot_efi(hf_guest_session *x, hf_boot *boot, const char *esp, uint32_t *ret_wrong, hf_err *reterr) {
    if (!esp[0])
        return HF_OK;
    efi e = {.x = x, .boot = boot, .esp = esp, .vendors = vendors_of(x, esp)};
    look(&e);
    hf_code rc = e.why[0] ? put_back(&e, ret_wrong, reterr) : HF_OK;
    for (char **v = e.vendors; rc == HF_OK && v && *v; v++)
        rc = check_stub(&e, *v, reterr);
    if (rc == HF_OK)
        rc = check_stub(&e, "BOOT", reterr);
    hf_guest_free_strings(e.vendors);
    return rc;
}
