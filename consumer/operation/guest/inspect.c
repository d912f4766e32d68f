/* What inspect says of the guest: what it is, how it boots, what it has of virtio and VMware, and whether it is ready for KVM. Nothing of the
 * guest's is run, and nothing is written. */
#include "consumer/operation/guest/inspect.h"

#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/kernels.h"
#include "consumer/operation/inspect.h"
#include "schemas/base/mem.h"

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
/* Whether the initramfs has virtio_blk or virtio_scsi for that kernel: 1, 0; -1: it cannot be told. */
static int initramfs_has(hf_guest_session *x, const hf_guest_kernel *k, hf_err *reterr) {
    static const char *const disks[] = {"virtio_blk", "virtio_scsi", NULL};
    hf_initramfs_scan scan;
    hf_code rc = hf_guest_initramfs_look(x, k->initramfs, k->version, disks, false, &scan, reterr);
    if (rc != HF_OK || scan.state == HF_INITRAMFS_UNKNOWN)
        return -1;
    if (scan.state == HF_INITRAMFS_DAMAGED)
        hf_guest_finding(x, "warning", "initramfs-damaged", "initramfs_regenerate makes it again.", "%s: %s",
                         k->initramfs, scan.why);
    return scan.found != 0;
}

static void one_kernel(hf_guest_session *x, const hf_guest_kernel *k, json_t *list) {
    hf_err err = {0};
    int inside = k->initramfs ? initramfs_has(x, k, &err) : -1;
    hf_driver blk = hf_guest_driver(k, "virtio_blk"), net = hf_guest_driver(k, "virtio_net");
    bool needs_it = blk == HF_DRIVER_MODULE;
    state_of(x)->initramfs_missing |= needs_it && !k->initramfs;
    state_of(x)->initramfs_without |= needs_it && inside == 0;
    json_array_append_new(list, json_pack("{s:o, s:s, s:s?, s:s, s:s, s:o}", "version", hf_inspect_text(k->version),
                                          "image", k->image, "initramfs", k->initramfs, "virtio_blk",
                                          hf_guest_driver_says(blk), "virtio_net", hf_guest_driver_says(net),
                                          "virtio_in_initramfs", inside < 0 ? json_null() : json_boolean(inside)));
}

static hf_code kernel_step(hf_guest_session *x, hf_err *reterr) {
    const hf_guest_os *os = hf_guest_os_of(x);
    hf_guest_kernel *kernels = hf_arena_alloc(hf_guest_arena(x), HF_GUEST_KERNELS_MAX * sizeof *kernels);
    uint32_t count = 0;
    if (!os || !os->linux_guest)
        return HF_OK;
    hf_code rc =
        kernels ? hf_guest_kernels(x, kernels, &count, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "the guest's kernels");
    if (rc != HF_OK)
        return rc;
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        one_kernel(x, &kernels[i], list);
    state_of(x)->no_kernel = count == 0;
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
