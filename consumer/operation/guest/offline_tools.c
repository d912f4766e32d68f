/* Steps vmware_tools, udev_rules and network_names of offline_fix: what was there for VMware's hardware. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/offline.h"
#include "schemas/base/mem.h"

/* ---- files ------------------------------------------------------------------------------------------------------------------ */
typedef bool edit(hf_str text, hf_buf *to);

static hf_code edit_file(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    edit *const *how = ctx;
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    hf_buf out;
    hf_buf_init(&out, HF_GUEST_TEXT_MAX + 1024);
    bool fine = (*how)(text, &out);
    return hf_guest_write_buf(x, path, fine, &out, reterr);
}

static hf_code edit_one(hf_guest_session *x, const char *path, edit *how, hf_err *reterr) {
    return edit_file(x, path, &how, reterr);
}

static hf_code edit_lists(hf_guest_session *x, hf_err *reterr) {
    edit *aliases = hf_vmware_out_of_aliases, *lines = hf_vmware_out_of_lines, *words = hf_vmware_out_of_words,
         *xorg = hf_vmware_out_of_xorg;
    hf_code rc = edit_one(x, "/etc/modules", lines, reterr);
    if (rc == HF_OK)
        rc = edit_one(x, "/etc/fstab", hf_vmware_out_of_fstab, reterr);
    if (rc == HF_OK)
        rc = hf_guest_each_file(x, "/etc/modprobe.d", ".conf", edit_file, &aliases, reterr);
    if (rc == HF_OK)
        rc = edit_one(x, "/etc/initramfs-tools/modules", lines, reterr);
    if (rc == HF_OK)
        rc = hf_guest_each_file(x, "/etc/modules-load.d", ".conf", edit_file, &lines, reterr);
    if (rc == HF_OK)
        rc = edit_one(x, "/etc/dracut.conf", words, reterr);
    if (rc == HF_OK)
        rc = hf_guest_each_file(x, "/etc/dracut.conf.d", ".conf", edit_file, &words, reterr);
    if (rc == HF_OK)
        rc = edit_one(x, "/etc/mkinitcpio.conf", words, reterr);
    if (rc == HF_OK)
        rc = edit_one(x, "/etc/X11/xorg.conf", xorg, reterr);
    return rc == HF_OK ? hf_guest_each_file(x, "/etc/X11/xorg.conf.d", ".conf", edit_file, &xorg, reterr) : rc;
}

/* ---- packages ----------------------------------------------------------------------------------------------------------------- */
enum { PACKAGES = 8 };
static const char *const packages[PACKAGES] = {
    "open-vm-tools-desktop",     "open-vm-tools-dkms", "open-vm-tools-dev", "open-vm-tools-containerinfo",
    "open-vm-tools-salt-minion", "open-vm-tools-sdmp", "open-vm-tools-gui", "open-vm-tools"};

static bool has_deb(hf_guest_session *x, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "/var/lib/dpkg/info/%s.list", name);
    if (hf_guest_exists(x, path))
        return true;
    snprintf(path, sizeof path, "/var/lib/dpkg/info/%s:amd64.list", name);
    return hf_guest_exists(x, path);
}

static bool has_rpm(hf_guest_session *x, const char *name) {
    const char *const argv[] = {"rpm", "-q", "--quiet", name, NULL};
    return hf_guest_command(x, argv, NULL, NULL) == HF_OK;
}

/* By the guest's own manager, without a network. Its scripts run in the appliance. */
static hf_code remove_packages(hf_guest_session *x, hf_err *reterr) {
    bool dpkg = hf_guest_has_program(x, "dpkg"), rpm = !dpkg && hf_guest_has_program(x, "rpm");
    const char *argv[PACKAGES + 4] = {dpkg ? "dpkg" : "rpm", dpkg ? "--purge" : "-e"};
    uint32_t count = 0;
    if (rpm && hf_guest_dry(x)) { /* who is asked is the guest's rpm, which a dry run does not start */
        hf_guest_finding(x, "info", "packages-not-looked-at", NULL,
                         "a dry run does not ask the guest's rpm whether open-vm-tools is installed");
        return HF_OK;
    }
    for (int i = 0; i < PACKAGES && (dpkg || rpm); i++)
        if (dpkg ? has_deb(x, packages[i]) : has_rpm(x, packages[i]))
            argv[2 + count++] = packages[i];
    if (count == 0)
        return HF_OK;
    if (!hf_guest_dry(x)) {
        hf_err err = {0};
        hf_code rc = hf_guest_command(x, argv, NULL, &err);
        if (rc == HF_E_TOOL_FAILED) {
            hf_guest_finding(x, "error", "packages-kept", "Remove open-vm-tools in the started guest.",
                             "the guest's %s could not remove VMware's packages: %s", argv[0], err.detail);
            return HF_OK;
        }
        if (rc != HF_OK) {
            if (reterr)
                *reterr = err;
            return rc;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        hf_guest_change(x, "package", argv[2 + i], "installed", "removed");
    return HF_OK;
}

/* The tools that came as an archive with a program that takes them away again. */
static hf_code remove_archive(hf_guest_session *x, hf_err *reterr) {
    static const char program[] = "/usr/bin/vmware-uninstall-tools.pl";
    if (!hf_guest_exists(x, program))
        return HF_OK;
    if (!hf_guest_dry(x)) {
        const char *const argv[] = {"perl", program, "--default", NULL};
        hf_err err = {0};
        hf_code rc = hf_guest_command(x, argv, NULL, &err);
        if (rc != HF_OK && rc != HF_E_TOOL_FAILED) {
            if (reterr)
                *reterr = err;
            return rc;
        }
        if (rc != HF_OK || hf_guest_exists(x, program)) {
            hf_guest_finding(x, "warning", "tools-kept", "Run /usr/bin/vmware-uninstall-tools.pl in the started guest.",
                             "VMware Tools came as an archive and could not be taken out: %s",
                             rc != HF_OK ? err.detail : "its program is still there");
            return HF_OK;
        }
    }
    hf_guest_change(x, "tools", program, "VMware Tools from an archive", "taken out by their own program");
    return HF_OK;
}

/* guestfs_exists says of a link that it is there, wherever it leads. */
static bool leads_nowhere(hf_guest_session *x, const char *link) {
    hf_auto_free char *real = guestfs_realpath(hf_guest_handle(x), link);
    return !real;
}

/* Links by which systemd would start what is not there any more. */
static hf_code remove_links(hf_guest_session *x, hf_err *reterr) {
    static const char *const links[] = {"/etc/systemd/system/multi-user.target.wants/open-vm-tools.service",
                                        "/etc/systemd/system/multi-user.target.wants/vmtoolsd.service",
                                        "/etc/systemd/system/multi-user.target.wants/vmware-tools.service",
                                        "/etc/systemd/system/multi-user.target.wants/vgauthd.service",
                                        "/etc/systemd/system/open-vm-tools.service.requires/vgauth.service",
                                        "/etc/systemd/system/vmtoolsd.service"};
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(links); i++)
        if (guestfs_is_symlink(hf_guest_handle(x), links[i]) == 1 && leads_nowhere(x, links[i])) {
            if (!hf_guest_dry(x) && guestfs_rm(hf_guest_handle(x), links[i]) != 0)
                rc = hf_guest_fail(x, reterr, "removing %s", links[i]);
            else
                hf_guest_change(x, "link", links[i], "to a unit that is not there", "removed");
        }
    return rc;
}

hf_code hf_offline_tools(hf_guest_session *x, hf_err *reterr) {
    bool linux_guest;
    hf_code rc = hf_offline_begin(x, &linux_guest, reterr);
    if (rc != HF_OK || !linux_guest)
        return rc;
    if ((rc = remove_packages(x, reterr)) == HF_OK && (rc = remove_archive(x, reterr)) == HF_OK &&
        (rc = remove_links(x, reterr)) == HF_OK)
        rc = edit_lists(x, reterr);
    return rc;
}

/* Where several cards have their names by address, those still hold if the new machine's cards keep the addresses: a person must say. */
static hf_code remove_rules(hf_guest_session *x, const char *path, const hf_offline *o, hf_err *reterr) {
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    if (hf_net_rules_count(text) < 2 || json_object_size(o->macs) > 0)
        return hf_guest_remove(x, path, false, reterr);
    hf_guest_finding(x, "warning", "persistent-names",
                     "Give the new machine's cards the same addresses, or say which is which in parameters.macs.",
                     "%s names several cards by their addresses, and stays", path);
    return HF_OK;
}

hf_code hf_offline_rules(hf_guest_session *x, hf_err *reterr) {
    static const char *const rules[] = {
        "/etc/udev/rules.d/70-persistent-net.rules", "/etc/udev/rules.d/z25_persistent-net.rules",
        "/etc/udev/rules.d/70-persistent-cd.rules", "/etc/udev/rules.d/99-vmware-scsi-udev.rules"};
    const hf_offline *o = *hf_guest_own(x, HF_GUEST_OFFLINE);
    bool linux_guest;
    hf_code rc = hf_offline_begin(x, &linux_guest, reterr);
    for (size_t i = 0; rc == HF_OK && linux_guest && i < HF_ARRAY_LEN(rules); i++)
        rc = remove_rules(x, rules[i], o, reterr);
    return rc;
}

/* ---- the network's names --------------------------------------------------------------------------------------------------------- */
typedef struct network {
    hf_net_names names;
    void (*read)(hf_str text, hf_net_names *names);
    bool pinned, unread;
} network;

static hf_code read_one(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    network *n = ctx;
    hf_str text;
    hf_code rc = hf_guest_text(x, path, &text, reterr);
    if (rc != HF_OK || !text.p)
        return rc;
    if (n->read)
        n->read(text, &n->names);
    hf_str flow = n->read == hf_net_of_netplan ? hf_net_of_flow(text, &n->names) : HF_STR("");
    if (flow.len) {
        n->unread = true;
        hf_guest_finding(x, "warning", "netplan-flow-style",
                         "Write it in block style (netplan get does), or name the card in the started guest.",
                         "%s configures %.*s in YAML's flow style, which is not read: it may have another name on KVM",
                         path, HF_STR_ARG(flow));
    }
    if (hf_net_pins_address(text)) {
        n->pinned = true;
        hf_guest_finding(x, "info", "pinned-address",
                         "Give the new machine's card the same address, or take it out of the file.",
                         "%s is for a card with a certain address", path);
    }
    return HF_OK;
}

static hf_code read_ifcfg(hf_guest_session *x, const char *path, void *ctx, hf_err *reterr) {
    network *n = ctx;
    const char *name = strstr(path, "/ifcfg-");
    if (!name)
        return HF_OK;
    hf_net_add(&n->names, hf_str_of(name + strlen("/ifcfg-")));
    return read_one(x, path, ctx, reterr);
}

static hf_code read_network(hf_guest_session *x, network *n, hf_err *reterr) {
    static const struct {
        const char *folder, *ending;
        void (*read)(hf_str, hf_net_names *);
        bool ifcfg;
    } places[] = {{"/etc/network/interfaces.d", "", hf_net_of_interfaces, false},
                  {"/etc/netplan", ".yaml", hf_net_of_netplan, false},
                  {"/etc/NetworkManager/system-connections", "", hf_net_of_keyfile, false},
                  {"/etc/systemd/network", ".network", hf_net_of_keyfile, false},
                  {"/etc/sysconfig/network-scripts", "", NULL, true},
                  {"/etc/sysconfig/network", "", NULL, true}};
    n->read = hf_net_of_interfaces;
    hf_code rc = read_one(x, "/etc/network/interfaces", n, reterr);
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(places); i++) {
        n->read = places[i].read;
        rc = hf_guest_each_file(x, places[i].folder, places[i].ending, places[i].ifcfg ? read_ifcfg : read_one, n,
                                reterr);
    }
    return rc;
}

static bool has_links(hf_guest_session *x) {
    return hf_guest_exists(x, "/usr/lib/systemd/systemd-udevd") || hf_guest_exists(x, "/lib/systemd/systemd-udevd");
}

static hf_code write_link(hf_guest_session *x, const char *name, const char *address, hf_err *reterr) {
    char path[96];
    hf_buf text;
    hf_buf_init(&text, 1024);
    snprintf(path, sizeof path, "/etc/systemd/network/10-hyperfleet-%s.link", name);
    bool fine = hf_net_link(name, address, &text);
    if (!hf_guest_dry(x) && guestfs_mkdir_p(hf_guest_handle(x), "/etc/systemd/network") != 0) {
        hf_buf_done(&text);
        return hf_guest_fail(x, reterr, "making /etc/systemd/network");
    }
    return hf_guest_write_buf(x, path, fine, &text, reterr);
}

hf_code hf_offline_names(hf_guest_session *x, hf_err *reterr) {
    const hf_offline *o = *hf_guest_own(x, HF_GUEST_OFFLINE);
    network n = {0};
    hf_str defaults;
    bool linux_guest;
    hf_code rc = hf_offline_begin(x, &linux_guest, reterr);
    if (rc != HF_OK || !linux_guest || (rc = read_network(x, &n, reterr)) != HF_OK)
        return rc;
    if (n.names.count == 0) {
        hf_guest_result(x, n.unread ? "not possible" : "nothing to do", "%s",
                        n.unread ? "cards are configured in a style that is not read"
                                 : "no card is configured by name");
        return HF_OK;
    }
    if ((rc = hf_guest_text(x, "/etc/default/grub", &defaults, reterr)) != HF_OK)
        return rc;
    if (hf_net_kernel_names(defaults)) {
        hf_guest_result(x, "nothing to do", "cards have the kernel's names (net.ifnames=0)");
        return HF_OK;
    }
    if (!has_links(x)) {
        hf_guest_result(x, "not possible", "the guest has no systemd-udevd: look at %s by hand", n.names.all[0]);
        hf_guest_finding(x, "warning", "interface-name",
                         "Name the card in the started guest as its configuration has it.",
                         "the network is configured for %s, and the card may have another name on KVM", n.names.all[0]);
        return HF_OK;
    }
    for (uint32_t i = 0; rc == HF_OK && i < n.names.count; i++) {
        const char *name = n.names.all[i], *address = json_string_value(json_object_get(o->macs, name));
        if (address || n.names.count == 1)
            rc = write_link(x, name, address ? address : "", reterr);
        else
            hf_guest_finding(
                x, "warning", "interface-name",
                "Give parameters.macs the addresses that the cards will have, such as {\"ens192\": \"00:50:56:01:02:03\"}.",
                "several cards are configured by name, and it is not known which one will be %s", name);
    }
    return rc;
}
