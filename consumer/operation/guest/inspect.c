/* What inspect says of the guest: what it is, how it boots, what it has of virtio and VMware, and whether it is ready for KVM. Nothing of the
 * guest's is run, and nothing is written. */
#include "consumer/operation/guest/inspect.h"

#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

enum { KERNELS_MAX = 32, NAMES_MAX = 400 };

typedef struct state {
    bool fstab_by_name, no_loader, vmware_tools, selinux, no_kernel;
    bool initramfs_without, initramfs_missing, unmounted;
} state;

static state *state_of(hf_guest_session *x) { return *hf_guest_own(x, HF_GUEST_INSPECT); }

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    (void)parameters;
    *hf_guest_own(x, HF_GUEST_INSPECT) = hf_alloc(sizeof(state));
    return *hf_guest_own(x, HF_GUEST_INSPECT) ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
}

/* ---- the system -------------------------------------------------------------------------------------------------------------- */
static void note_text(hf_guest_session *x, const char *key, const char *text) {
    hf_guest_note(x, key, *text ? hf_inspect_text(text) : json_null());
}

static void note_mounts(hf_guest_session *x, const hf_guest_os *os) {
    guestfs_h *g = hf_guest_handle(x);
    json_t *list = json_array();
    for (char **m = os->mountpoints; *m && json_array_size(list) < 64; m += 2) {
        struct guestfs_statvfs *use = guestfs_statvfs(g, m[0]);
        json_t *o = json_pack("{s:o, s:o}", "path", hf_inspect_text(m[0]), "device", hf_inspect_text(m[1]));
        if (use) {
            json_object_set_new(o, "bytes", json_integer(use->blocks * use->frsize));
            json_object_set_new(o, "free_bytes", json_integer(use->bfree * use->frsize));
            guestfs_free_statvfs(use);
        } else
            state_of(x)->unmounted = true;
        json_array_append_new(list, o);
    }
    hf_guest_note(x, "mount_points", list);
}

static hf_code system_step(hf_guest_session *x, hf_err *reterr) {
    hf_code rc = hf_guest_look(x, reterr);
    const hf_guest_os *os = rc == HF_OK ? hf_guest_os_of(x) : NULL;
    if (!os)
        return rc;
    note_text(x, "type", os->type);
    note_text(x, "distribution", os->distro);
    note_text(x, "product", os->product);
    note_text(x, "architecture", os->arch);
    note_text(x, "host_name", os->hostname);
    note_text(x, "root", os->root);
    note_text(x, "package_format", os->package_format);
    hf_guest_note(x, "version", json_pack("{s:i, s:i}", "major", os->major, "minor", os->minor));
    hf_guest_note(x, "firmware", json_string(os->uefi ? "uefi" : "bios"));
    rc = hf_guest_mount(x, reterr);
    if (rc == HF_OK)
        note_mounts(x, os);
    return rc;
}

/* ---- how it boots --------------------------------------------------------------------------------------------------------------- */
/* Names in a folder, at most NAMES_MAX of them; NULL: none such. */
static char **names_in(hf_guest_session *x, const char *folder) {
    if (guestfs_is_dir(hf_guest_handle(x), folder) != 1)
        return NULL;
    return guestfs_ls(hf_guest_handle(x), folder);
}

static bool any_exists(hf_guest_session *x, const char *const *paths) {
    for (; *paths; paths++)
        if (hf_guest_exists(x, *paths))
            return true;
    return false;
}

/* A table whose lines name devices by /dev/sd, hd or vd: they will have other names. Its mounts are not followed, so cycles do no harm. */
static void look_at_fstab(hf_guest_session *x) {
    char *text = NULL;
    size_t len = 0;
    hf_err err = {0};
    if (hf_guest_read(x, "/etc/fstab", &text, &len, &err) != HF_OK) {
        hf_guest_finding(x, "warning", "fstab-unreadable", NULL, "%s", err.detail);
        return;
    }
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        line += strspn(line, " \t");
        if (strncmp(line, "/dev/sd", 7) != 0 && strncmp(line, "/dev/hd", 7) != 0)
            continue;
        state_of(x)->fstab_by_name = true;
        hf_guest_finding(x, "warning", "fstab-by-name", "boot_repair names it by UUID.",
                         "/etc/fstab: %.*s is a name that changes with the disk's bus", (int)strcspn(line, " \t\n"),
                         line);
    }
}

static hf_code boot_step(hf_guest_session *x, hf_err *reterr) {
    (void)reterr;
    static const char *const grub2[] = {"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/efi/EFI/debian/grub.cfg",
                                        NULL};
    static const char *const systemd[] = {"/boot/loader/loader.conf", "/boot/efi/loader/loader.conf",
                                          "/efi/loader/loader.conf", NULL};
    static const char *const grub1[] = {"/boot/grub/menu.lst", "/boot/grub/grub.conf", NULL};
    static const char *const syslinux[] = {"/boot/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg",
                                           "/extlinux.conf", NULL};
    const hf_guest_os *os = hf_guest_os_of(x);
    if (!os || !os->linux_guest)
        return HF_OK;
    const char *loader = any_exists(x, systemd)    ? "systemd-boot"
                         : any_exists(x, grub2)    ? "grub2"
                         : any_exists(x, grub1)    ? "grub1"
                         : any_exists(x, syslinux) ? "syslinux"
                                                   : NULL;
    state_of(x)->no_loader = !loader;
    hf_guest_note(x, "boot_loader", loader ? json_string(loader) : json_null());
    look_at_fstab(x);
    return HF_OK;
}

/* ---- kernels and their drivers ------------------------------------------------------------------------------------------------------- */
static const char *find_path(hf_guest_session *x, const char *const *formats, const char *version) {
    for (; *formats; formats++) {
        const char *star = strchr(*formats, '*');
        char *path =
            hf_arena_printf(hf_guest_arena(x), "%.*s%s%s", (int)(star - *formats), *formats, version, star + 1);
        if (path && guestfs_is_file_opts(hf_guest_handle(x), path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) == 1)
            return path;
    }
    return NULL;
}

/* Built into the kernel, or a module of it; initrd_list of the appliance knows single-segment archives alone, so the initramfs is read by
 * the names that are in it only where that works. */
static const char *driver(hf_guest_session *x, const char *folder, const char *name) {
    char *builtin = NULL, *modules = NULL, path[300], word[64];
    size_t len = 0;
    snprintf(word, sizeof word, "/%s.ko", name);
    snprintf(path, sizeof path, "%s/modules.builtin", folder);
    if (hf_guest_read(x, path, &builtin, &len, NULL) == HF_OK && builtin && strstr(builtin, word))
        return "built in";
    snprintf(path, sizeof path, "%s/modules.dep", folder);
    return hf_guest_read(x, path, &modules, &len, NULL) == HF_OK && modules && strstr(modules, word) ? "module"
                                                                                                     : "absent";
}

/* Whether the initramfs has virtio_blk or virtio_scsi: 1, 0; -1: it cannot be told. */
static int initramfs_has(hf_guest_session *x, const char *path) {
    int64_t size = guestfs_filesize(hf_guest_handle(x), path);
    if (size <= 0 || size > (256 << 20))
        return -1;
    char **names = guestfs_initrd_list(hf_guest_handle(x), path);
    int found = names && names[0] ? 0 : -1;
    size_t count = 0;
    for (char **n = names; n && *n; n++, count++)
        if (strstr(*n, "/virtio_blk.ko") || strstr(*n, "/virtio_scsi.ko"))
            found = 1;
    /* Only microcode was listed: what follows it is compressed. */
    if (found == 0 && count < 32)
        found = -1;
    hf_guest_free_strings(names);
    return found;
}

static void one_kernel(hf_guest_session *x, const char *version, json_t *list) {
    static const char *const images[] = {"/boot/vmlinuz-*", "/lib/modules/*/vmlinuz", "/usr/lib/modules/*/vmlinuz",
                                         NULL};
    static const char *const initramfs[] = {"/boot/initrd.img-*", "/boot/initramfs-*.img", "/boot/initrd-*", NULL};
    const char *image = find_path(x, images, version), *initrd = find_path(x, initramfs, version);
    char folder[256];
    snprintf(folder, sizeof folder, "/lib/modules/%.200s", version);
    if (!image)
        return; /* modules that an older kernel left */
    const char *blk = driver(x, folder, "virtio_blk"), *net = driver(x, folder, "virtio_net");
    int inside = initrd ? initramfs_has(x, initrd) : -1;
    bool needs_it = strcmp(blk, "module") == 0;
    state_of(x)->initramfs_missing |= needs_it && !initrd;
    state_of(x)->initramfs_without |= needs_it && inside == 0;
    json_array_append_new(list, json_pack("{s:o, s:s, s:s?, s:s, s:s, s:o}", "version", hf_inspect_text(version),
                                          "image", image, "initramfs", initrd, "virtio_blk", blk, "virtio_net", net,
                                          "virtio_in_initramfs", inside < 0 ? json_null() : json_boolean(inside)));
}

static hf_code kernel_step(hf_guest_session *x, hf_err *reterr) {
    (void)reterr;
    const hf_guest_os *os = hf_guest_os_of(x);
    if (!os || !os->linux_guest)
        return HF_OK;
    json_t *list = json_array();
    char **names = names_in(x, "/lib/modules");
    for (size_t i = 0; names && names[i] && i < NAMES_MAX && json_array_size(list) < KERNELS_MAX; i++)
        one_kernel(x, names[i], list);
    hf_guest_free_strings(names);
    state_of(x)->no_kernel = json_array_size(list) == 0;
    hf_guest_note(x, "kernels", list);
    return HF_OK;
}

/* ---- what VMware left ------------------------------------------------------------------------------------------------------------------- */
static hf_code tools_step(hf_guest_session *x, hf_err *reterr) {
    (void)reterr;
    static const char *const open_tools[] = {"/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd", NULL};
    static const char *const old_tools[] = {"/etc/vmware-tools/locations", "/usr/lib/vmware-tools/configurator", NULL};
    static const char *const windows[] = {"/Program Files/VMware/VMware Tools/vmtoolsd.exe", NULL};
    static const char *const drivers[] = {"/Windows/System32/drivers/viostor.sys",
                                          "/Windows/System32/drivers/vioscsi.sys", NULL};
    const hf_guest_os *os = hf_guest_os_of(x);
    if (!os)
        return HF_OK;
    const char *tools = NULL;
    if (os->windows) {
        tools = any_exists(x, windows) ? "VMware Tools" : NULL;
        hf_guest_note(x, "virtio_drivers", json_boolean(any_exists(x, drivers)));
    } else
        tools = any_exists(x, old_tools) ? "vmware-tools" : any_exists(x, open_tools) ? "open-vm-tools" : NULL;
    state_of(x)->vmware_tools = tools != NULL;
    hf_guest_note(x, "vmware_tools", tools ? json_string(tools) : json_null());
    char *selinux = NULL;
    size_t len = 0;
    if (os->linux_guest && hf_guest_read(x, "/etc/selinux/config", &selinux, &len, NULL) == HF_OK && selinux)
        state_of(x)->selinux = strstr(selinux, "\nSELINUX=enforcing") || strstr(selinux, "\nSELINUX=permissive");
    if (os->linux_guest)
        hf_guest_note(x, "selinux", json_boolean(state_of(x)->selinux));
    return HF_OK;
}

/* ---- the verdict -------------------------------------------------------------------------------------------------------------------------- */
static void reason(json_t *needs, json_t *reasons, const char *operation, const char *why) {
    size_t i;
    json_t *there;
    bool known = !operation;
    json_array_foreach(needs, i, there)
        known |= operation && strcmp(json_string_value(there), operation) == 0;
    if (!known)
        json_array_append_new(needs, json_string(operation));
    json_array_append_new(reasons, json_string(why));
}

static const char *judge_linux(const state *s, json_t *needs, json_t *reasons) {
    if (s->no_kernel) {
        reason(needs, reasons, NULL, "there is no kernel with modules on the disks that were given");
        return "not possible";
    }
    if (s->unmounted)
        reason(needs, reasons, "fs_repair", "a file system of the guest cannot be mounted");
    if (s->fstab_by_name)
        reason(needs, reasons, "boot_repair", "/etc/fstab names disks that have other names on virtio");
    if (s->no_loader)
        reason(needs, reasons, "boot_repair", "no boot loader's configuration was found");
    if (s->initramfs_without)
        reason(needs, reasons, "initramfs_regenerate", "an initramfs has no driver for virtio disks");
    if (s->initramfs_missing)
        reason(needs, reasons, "initramfs_regenerate", "a kernel has no initramfs, and its virtio driver is a module");
    if (s->vmware_tools)
        reason(needs, reasons, "offline_fix", "VMware Tools are installed");
    return json_array_size(needs) ? "needs" : "ready";
}

static hf_code verdict_step(hf_guest_session *x, hf_err *reterr) {
    (void)reterr;
    const hf_guest_os *os = hf_guest_os_of(x);
    json_t *needs = json_array(), *reasons = json_array();
    const char *verdict = "not possible";
    if (!os) {
        reason(needs, reasons, "fs_repair", "no operating system was found: its file systems may be damaged");
        reason(needs, reasons, "lvm_repair", "or its volumes");
        verdict = "needs";
    } else if (os->windows) {
        reason(needs, reasons, NULL,
               "Windows guests are not changed here: virt-v2v converts them, with the drivers of virtio-win");
        hf_guest_finding(
            x, "info", "windows", "virt-v2v -i disk, with virtio-win installed.",
            "drivers, boot configuration and VMware Tools of Windows guests are not changed by any operation");
    } else if (!os->linux_guest)
        reason(needs, reasons, NULL, "it is neither Linux nor Windows: nothing is known of how it boots");
    else
        verdict = judge_linux(state_of(x), needs, reasons);
    hf_guest_result(x, "done", "for KVM: %s", verdict);
    hf_guest_note(x, "kvm", json_pack("{s:s, s:o, s:o}", "verdict", verdict, "needs", needs, "reasons", reasons));
    return HF_OK;
}

static const hf_guest_step steps[] = {
    {"system", "looks for an operating system", system_step},        {"boot", "looks at how it boots", boot_step},
    {"kernels", "looks at kernels and their drivers", kernel_step},  {"tools", "looks for VMware's tools", tools_step},
    {"verdict", "judges whether it is ready for KVM", verdict_step}, {NULL, NULL, NULL}};
static const hf_guest_plan plan = {.operation = "inspect", .steps = steps, .read_only = true, .prepare = prepare};

hf_code hf_guest_inspect(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &plan, ret_result, ret_phase, reterr);
}
