/* Operation offline_fix: the whole way from VMware to KVM. What belonged to VMware goes out, what a guest on KVM needs is looked at, the network keeps its
 * names; then boot_repair, initramfs_regenerate and selinux_prep do their parts. Where no operating system is found, volumes and
 * file systems are repaired first. A second run changes nothing. */
#include <string.h>

#include "consumer/operation/guest/kernels.h"
#include "consumer/operation/guest/offline.h"
#include "schemas/base/mem.h"

static hf_code check_macs(const json_t *macs, hf_err *reterr) {
    const char *name;
    const json_t *address;
    if (macs && (!json_is_object(macs) || json_object_size(macs) > HF_NET_NAMES_MAX))
        return hf_fail(reterr, HF_E_INVALID,
                       "parameters.macs must be an object of at most %d interfaces' names and their cards' addresses, "
                       "such as {\"ens192\": \"00:50:56:01:02:03\"}",
                       HF_NET_NAMES_MAX);
    json_object_foreach((json_t *)(uintptr_t)macs, name, address)
        if (!hf_net_is_card(hf_str_of(name)) || !hf_net_address_ok(hf_str_of(json_string_value(address))))
            return hf_fail(
                reterr, HF_E_INVALID,
                "parameters.macs: \"%.40s\" must be a card's name and have an address of six octets, such as "
                "\"00:50:56:01:02:03\"",
                name);
    return HF_OK;
}

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    hf_offline *o = hf_alloc(sizeof *o);
    if (!o)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    *hf_guest_own(x, HF_GUEST_OFFLINE) = o;
    o->macs = json_object_get(parameters, "macs");
    hf_code rc = hf_guest_flag(parameters, "reset_host_keys", &o->host_keys, reterr);
    if (rc == HF_OK)
        rc = hf_guest_flag(parameters, "reset_machine_id", &o->machine_id, reterr);
    return rc == HF_OK ? check_macs(o->macs, reterr) : rc;
}

hf_code hf_offline_begin(hf_guest_session *x, bool *ret_linux, hf_err *reterr) {
    const hf_guest_os *os = hf_guest_os_of(x);
    *ret_linux = os && os->linux_guest;
    if (*ret_linux)
        return hf_guest_mount(x, reterr);
    hf_guest_result(x, "not possible", "%s",
                    os && os->windows ? "Windows: virt-v2v converts it, with the drivers of virtio-win"
                                      : "no Linux was found");
    return HF_OK;
}

/* ---- drivers -------------------------------------------------------------------------------------------------------------- */
hf_code hf_offline_drivers(hf_guest_session *x, hf_err *reterr) {
    hf_guest_kernel kernels[HF_GUEST_KERNELS_MAX];
    uint32_t count = 0, without = 0;
    bool linux_guest;
    hf_code rc = hf_offline_begin(x, &linux_guest, reterr);
    if (rc != HF_OK || !linux_guest || (rc = hf_guest_kernels(x, kernels, &count, reterr)) != HF_OK)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        bool disk = hf_guest_driver(&kernels[i], "virtio_blk") != HF_DRIVER_ABSENT ||
                    hf_guest_driver(&kernels[i], "virtio_scsi") != HF_DRIVER_ABSENT;
        if (disk && hf_guest_driver(&kernels[i], "virtio_net") != HF_DRIVER_ABSENT)
            continue;
        without++;
        hf_guest_finding(
            x, "warning", "no-virtio",
            "Start it with SATA disks and an e1000e card, or install the distribution's full kernel first.",
            "kernel %s has no driver for virtio %s", kernels[i].version, disk ? "cards" : "disks");
    }
    if (count == 0)
        hf_guest_result(x, "not possible", "no kernel with modules was found");
    else if (without)
        hf_guest_result(x, "not possible", "%u of %u kernels have no virtio: they cannot be given one here",
                        (unsigned)without, (unsigned)count);
    else
        hf_guest_result(x, "nothing to do", "each of %u kernels has virtio's drivers", (unsigned)count);
    return HF_OK;
}

/* ---- what makes it a machine of its own ------------------------------------------------------------------------------ */
static hf_code remove_key(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    (void)ctx;
    return strstr(path, "/ssh_host_") ? hf_guest_remove(x, path, false, reterr) : HF_OK;
}

/* A step that is taken only if the job asks for it. */
static hf_code begin_asked(hf_guest_session *x, bool asked, const char *parameter, bool *ret_go, hf_err *reterr) {
    *ret_go = false;
    if (asked)
        return hf_offline_begin(x, ret_go, reterr);
    hf_guest_result(x, "nothing to do", "not asked for (parameters.%s)", parameter);
    return HF_OK;
}

hf_code hf_offline_host_keys(hf_guest_session *x, hf_err *reterr) {
    const hf_offline *o = *hf_guest_own(x, HF_GUEST_OFFLINE);
    bool go;
    hf_code rc = begin_asked(x, o->host_keys, "reset_host_keys", &go, reterr);
    if (rc != HF_OK || !go)
        return rc;
    uint32_t before = hf_guest_changes(x);
    if ((rc = hf_guest_each_file(x, "/etc/ssh", "_key", remove_key, NULL, reterr)) != HF_OK ||
        (rc = hf_guest_each_file(x, "/etc/ssh", "_key.pub", remove_key, NULL, reterr)) != HF_OK)
        return rc;
    if (hf_guest_changes(x) == before)
        return HF_OK;
    if (!hf_guest_has_program(x, "ssh-keygen")) {
        hf_guest_finding(x, "warning", "no-host-keys", "Run ssh-keygen -A in the started guest.",
                         "the guest has no ssh-keygen: its SSH host keys are gone, and none were made");
        return HF_OK;
    }
    const char *const argv[] = {"ssh-keygen", "-A", NULL};
    hf_err err = {0};
    rc = hf_guest_dry(x) ? HF_OK : hf_guest_command(x, argv, NULL, &err);
    if (rc == HF_E_TOOL_FAILED) {
        hf_guest_finding(x, "error", "no-host-keys", "Run ssh-keygen -A in the started guest.",
                         "the guest's SSH host keys are gone, and none were made: %s", err.detail);
        return HF_OK;
    }
    if (rc == HF_OK)
        hf_guest_change(x, "keys", "/etc/ssh", "the host keys it had", "new ones, made by ssh-keygen -A");
    else if (reterr)
        *reterr = err;
    return rc;
}

hf_code hf_offline_machine_id(hf_guest_session *x, hf_err *reterr) {
    const hf_offline *o = *hf_guest_own(x, HF_GUEST_OFFLINE);
    bool go;
    hf_code rc = begin_asked(x, o->machine_id, "reset_machine_id", &go, reterr);
    if (rc != HF_OK || !go)
        return rc;
    /* machine-id(5): empty, it is made at the next start. D-Bus' own is a link to it, or a copy. */
    if (hf_guest_exists(x, "/etc/machine-id"))
        rc = hf_guest_write(x, "/etc/machine-id", "", 0, reterr);
    if (rc == HF_OK && guestfs_is_file(hf_guest_handle(x), "/var/lib/dbus/machine-id") == 1)
        rc = hf_guest_remove(x, "/var/lib/dbus/machine-id", false, reterr);
    return rc;
}

static const hf_guest_step steps[] = {
    {"vmware_tools", "takes VMware's tools and drivers out", hf_offline_tools},
    {"virtio_drivers", "looks whether the kernels have virtio's drivers", hf_offline_drivers},
    {"network_names", "keeps the names that the network's configuration has", hf_offline_names},
    {"udev_rules", "takes out rules that name devices of the old hardware", hf_offline_rules},
    {"host_keys", "makes SSH's host keys anew, if asked", hf_offline_host_keys},
    {"machine_id", "empties the machine's id, if asked", hf_offline_machine_id},
    {NULL, NULL, NULL}};
static const hf_guest_plan *const rescue[] = {&hf_lvm_repair_plan, &hf_fs_repair_plan, NULL};
static const hf_guest_plan *const after[] = {&hf_boot_repair_plan, &hf_initramfs_plan, &hf_selinux_plan, NULL};
const hf_guest_plan hf_offline_plan = {
    .operation = "offline_fix", .steps = steps, .needs_os = true, .prepare = prepare, .rescue = rescue, .after = after};

hf_code hf_op_offline_fix(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_offline_plan, ret_result, ret_phase, reterr);
}
