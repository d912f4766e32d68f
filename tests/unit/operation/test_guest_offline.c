/* labels: guest guest-more slow */
/* offline_fix on a guest made by hand that comes from VMware: what a dry run reports, what the real one then does, and that a second one finds
 * nothing to do; then, in one appliance, what its steps do where the guest's programs fail or its network is not plain. The package managers
 * are scripts, the shell is dash: busybox would run a dpkg of its own. */
#include "tests/unit/operation/rig.h"

#ifdef HF_HAVE_GUESTFS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/inside.h"

static const char make[] =
    "set -e; mkdir -p t/etc/network t/etc/modprobe.d t/etc/modules-load.d t/etc/initramfs-tools t/etc/X11/xorg.conf.d t/etc/ssh "
    "t/etc/udev/rules.d t/etc/systemd/system/multi-user.target.wants t/bin t/usr/bin t/usr/lib/systemd t/boot t/var/lib/dpkg/info "
    "t/var/lib/dbus t/tmp t/proc t/sys t/dev t/run t/lib/modules/6.1.0-9-amd64; "
    "printf 'PRETTY_NAME=\"Debian GNU/Linux 12\"\\nID=debian\\nVERSION_ID=\"12\"\\n' >t/etc/os-release; echo 12.5 >t/etc/debian_version; "
    "touch t/var/lib/dpkg/status t/etc/passwd t/boot/vmlinuz-6.1.0-9-amd64 t/usr/lib/systemd/systemd-udevd; "
    "cp $(command -v busybox) t/bin/busybox; for a in tail cat rm sleep; do ln -s busybox t/bin/$a; done; "
    "cp $(command -v dash) t/bin/sh; ln -s ../../bin/sh t/usr/bin/perl; "
    "for l in $(ldd $(command -v dash) | grep -o '/[^ ]*'); do mkdir -p t$(dirname $l); cp $l t$l; done; "
    "for d in block/virtio_blk scsi/virtio_scsi net/virtio_net nvme/nvme virtio/virtio_pci; do "
    "echo kernel/drivers/$d.ko >>t/lib/modules/6.1.0-9-amd64/modules.builtin; done; touch t/lib/modules/6.1.0-9-amd64/modules.dep";

static const char make_vmware[] =
    "set -e; printf '/dev/sda1 / ext4 defaults 0 1\\n.host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0\\n' >t/etc/fstab; "
    "touch t/var/lib/dpkg/info/open-vm-tools.list t/var/lib/dpkg/info/open-vm-tools-desktop.list; "
    "printf '#!/bin/sh\\ntest $1 = --purge || exit 9\\nshift\\nfor p in \"$@\"; do rm /var/lib/dpkg/info/$p.list; done\\n' >t/usr/bin/dpkg; "
    "printf 'test \"$1\" = --default && rm /usr/bin/vmware-uninstall-tools.pl\\n' >t/usr/bin/vmware-uninstall-tools.pl; "
    "printf '#!/bin/sh\\ntest $1 = -A && echo new >/etc/ssh/ssh_host_rsa_key\\n' >t/usr/bin/ssh-keygen; chmod 755 t/usr/bin/dpkg t/usr/bin/ssh-keygen; "
    "w=t/etc/systemd/system/multi-user.target.wants; ln -s /lib/systemd/system/open-vm-tools.service $w/; ln -s /usr/lib/systemd/systemd-udevd $w/vmtoolsd.service; "
    "printf 'loop\\nvmxnet3\\n' >t/etc/modules; printf 'nbd\\nvmw_pvscsi\\n' >t/etc/modules-load.d/vm.conf; printf '# x\\nvmw_vmci\\next4\\n' >t/etc/initramfs-tools/modules; "
    "printf 'alias eth0 vmxnet3\\nalias a b\\n' >t/etc/modprobe.d/local.conf; "
    "printf 'Section \"Device\"\\n  Driver \"vmware\"\\nEndSection\\n' >t/etc/X11/xorg.conf.d/20-vm.conf; "
    "printf 'auto ens192\\niface ens192 inet dhcp\\n' >t/etc/network/interfaces; "
    "echo 'SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:aa:bb:cc\", NAME=\"eth0\"' >t/etc/udev/rules.d/70-persistent-net.rules; "
    "touch t/etc/udev/rules.d/70-persistent-cd.rules t/etc/ssh/ssh_host_rsa_key.pub; echo old >t/etc/ssh/ssh_host_rsa_key; "
    "echo 0123456789abcdef0123456789abcdef >t/etc/machine-id; cp t/etc/machine-id t/var/lib/dbus/; "
    "truncate -s 64M in/disk.raw; echo 'start=2048' | sfdisk -q in/disk.raw; truncate -s 63M p; "
    "mke2fs -q -t ext4 -U 11111111-1111-1111-1111-111111111111 -d t p; "
    "dd if=p of=in/disk.raw bs=1M seek=1 conv=notrunc,sparse status=none; rm -r p t; sha256sum in/disk.raw >before";

/* ---- whole jobs ---------------------------------------------------------------------------------------------------------------- */
#define ASKED "\"reset_host_keys\": true, \"reset_machine_id\": true, \"skip\": [\"boot_loader\", \"selinux_prep\"]"

static json_t *run_it(rig *r, const char *job, bool dry) {
    hf_spec spec = rig_spec(r, "offline_fix", "disk.raw", dry ? "" : "qcow2");
    if (dry)
        spec.output_dir = HF_STR_NONE;
    spec.parameters = dry ? HF_STR("{\"dry_run\": true, " ASKED "}") : HF_STR("{" ASKED "}");
    if (rig_run(r, job, 1, &spec) != HF_OK)
        fail_msg("%.*s: %s", HF_STR_ARG(r->phase), r->err.detail);
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    return report;
}

static void show(const json_t *value) {
    hf_auto_free char *text = json_dumps(value, JSON_INDENT(1));
    print_message("%s\n", text ? text : "");
}

static const char *result_of(const json_t *report, const char *name, size_t *ret_place) {
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(report, "steps"), i, step)
        if (strcmp(json_string_value(json_object_get(step, "name")), name) == 0) {
            *ret_place = i;
            return json_string_value(json_object_get(step, "result"));
        }
    fail_msg("no step %s", name);
    return "";
}

static bool changes_path(const json_t *report, const char *path) {
    const json_t *change;
    size_t i;
    json_array_foreach(json_object_get(report, "changes"), i, change)
        if (strcmp(json_string_value(json_object_get(change, "path")), path) == 0)
            return true;
    return false;
}

static void all_is_changed_in_order(const json_t *report) {
    static const char *const paths[] = {"open-vm-tools",
                                        "open-vm-tools-desktop",
                                        "/usr/bin/vmware-uninstall-tools.pl",
                                        "/etc/systemd/system/multi-user.target.wants/open-vm-tools.service",
                                        "/etc/modules",
                                        "/etc/modules-load.d/vm.conf",
                                        "/etc/initramfs-tools/modules",
                                        "/etc/modprobe.d/local.conf",
                                        "/etc/fstab",
                                        "/etc/X11/xorg.conf.d/20-vm.conf",
                                        "/etc/systemd/network/10-hyperfleet-ens192.link",
                                        "/etc/udev/rules.d/70-persistent-net.rules",
                                        "/etc/udev/rules.d/70-persistent-cd.rules",
                                        "/etc/ssh/ssh_host_rsa_key",
                                        "/etc/ssh/ssh_host_rsa_key.pub",
                                        "/etc/ssh",
                                        "/etc/machine-id",
                                        "/var/lib/dbus/machine-id"};
    size_t tools, names, fstab, initramfs, at;
    for (size_t i = 0; i < HF_ARRAY_LEN(paths); i++)
        if (!changes_path(report, paths[i]))
            fail_msg("%s was not changed", paths[i]);
    assert_false(changes_path(report, "/etc/systemd/system/multi-user.target.wants/vmtoolsd.service"));
    assert_string_equal(result_of(report, "vmware_tools", &tools), "done");
    assert_string_equal(result_of(report, "network_names", &names), "done");
    assert_string_equal(result_of(report, "fstab", &fstab), "done");
    assert_string_equal(result_of(report, "boot_loader", &at), "skipped");
    assert_string_equal(result_of(report, "selinux_relabel", &at), "skipped");
    result_of(report, "initramfs", &initramfs);
    assert_true(tools < names && names < fstab && fstab < initramfs);
}

/* What the files of the result have in them. */
static const char look[] =
    "sha256sum --quiet -c before && qemu-img convert -O raw out/disk.qcow2 after.raw && dd if=after.raw of=p bs=1M skip=1 status=none; "
    "set -x; c() { debugfs -R \"cat $1\" p 2>/dev/null; }; none() { debugfs -R \"stat $1\" p 2>&1 | grep -q 'not found'; }; "
    "test \"$(c /etc/modules)\" = loop && test \"$(c /etc/modules-load.d/vm.conf)\" = nbd && "
    "c /etc/initramfs-tools/modules | grep -q ext4 && ! c /etc/initramfs-tools/modules | grep -q vmw && "
    "test \"$(c /etc/modprobe.d/local.conf)\" = 'alias a b' && c /etc/X11/xorg.conf.d/20-vm.conf | grep -q '\"modesetting\"' && "
    "c /etc/fstab | grep -q '^#.host' && c /etc/fstab | grep -q '^UUID=11111111-1111-1111-1111-111111111111 / ext4' && "
    "c /etc/systemd/network/10-hyperfleet-ens192.link | grep -q '^Name=ens192' && "
    "test \"$(c /etc/ssh/ssh_host_rsa_key)\" = new && none /etc/ssh/ssh_host_rsa_key.pub && "
    "! none /etc/machine-id && test -z \"$(c /etc/machine-id)\" && none /var/lib/dbus/machine-id && "
    "none /etc/udev/rules.d/70-persistent-net.rules && none /usr/bin/vmware-uninstall-tools.pl && none /var/lib/dpkg/info/open-vm-tools.list && "
    "! none /etc/systemd/system/multi-user.target.wants/vmtoolsd.service && ! none /usr/bin/dpkg && rm p after.raw && mv out/disk.qcow2 in/";

static void a_dry_run_says_what_the_real_one_does(rig *r) {
    json_t *would = run_it(r, "job-1", true);
    assert_int_equal(rig_sh(r, "sha256sum --quiet -c before"), 0);
    assert_true(rig_out_empty(r));
    json_t *did = run_it(r, "job-2", false);
    all_is_changed_in_order(did);
    if (!json_equal(json_object_get(would, "changes"), json_object_get(did, "changes"))) {
        show(would);
        show(did);
        fail_msg("the dry run reported other changes than the real one made");
    }
    assert_true(json_equal(json_object_get(would, "findings"), json_object_get(did, "findings")));
    json_decref(would);
    json_decref(did);
    assert_int_equal(rig_sh(r, "%s", look), 0);
}

/* ---- steps, in one appliance ---------------------------------------------------------------------------------------------------- */
static json_t *given; /* the parameters of the moment: the state has strings of them */

static void again(hf_guest_session *x, const char *parameters) {
    hf_err err = {0};
    json_decref(given);
    given = json_loads(parameters, 0, NULL);
    assert_non_null(given);
    free(*hf_guest_own(x, HF_GUEST_OFFLINE));
    *hf_guest_own(x, HF_GUEST_OFFLINE) = NULL;
    assert_int_equal(hf_offline_plan.prepare(x, given, &err), HF_OK);
}

/* Plays a step by its name; how many changes came of it. */
static uint32_t play(hf_guest_session *x, const char *name) {
    hf_err err = {0};
    uint32_t before = hf_guest_changes(x);
    const hf_guest_step *s = hf_offline_plan.steps;
    while (s->name && strcmp(s->name, name) != 0)
        s++;
    assert_non_null(s->name);
    json_array_append_new(x->steps, json_object());
    if (s->run(x, &err) != HF_OK)
        fail_msg("%s: %s", name, err.detail);
    return hf_guest_changes(x) - before;
}

/* The result that the step played last gave itself. */
static const char *result(const hf_guest_session *x) {
    return json_string_value(json_object_get(json_array_get(x->steps, json_array_size(x->steps) - 1), "result")) ?: "";
}

/* How often a finding of that code was made since the last time. */
static int found(hf_guest_session *x, const char *code) {
    int n = 0;
    size_t i;
    json_t *o;
    json_array_foreach(x->findings, i, o)
        if (strcmp(json_string_value(json_object_get(o, "code")), code) == 0) {
            n++;
            json_object_set_new(o, "code", json_string("seen"));
        }
    return n;
}

static void write_text(hf_guest_session *x, const char *path, const char *text) {
    assert_int_equal(guestfs_write(x->g, path, text, strlen(text)), 0);
    assert_int_equal(guestfs_chmod(x->g, 0755, path), 0);
}

static void a_second_run_changes_nothing(hf_guest_session *x) {
    static const hf_guest_plan *const plans[] = {&hf_offline_plan, &hf_boot_repair_plan, &hf_initramfs_plan};
    hf_err err = {0};
    for (size_t i = 0; i < HF_ARRAY_LEN(plans); i++)
        for (const hf_guest_step *s = plans[i]->steps; s->name; s++) {
            if (strcmp(s->name, "boot_loader") == 0)
                continue;
            if (s->run(x, &err) != HF_OK)
                fail_msg("%s: %s", s->name, err.detail);
            if (hf_guest_changes(x) != 0) {
                show(x->changes);
                fail_msg("%s changed something again", s->name);
            }
        }
}

static void tools_that_cannot_be_taken_out_are_told(hf_guest_session *x) {
    write_text(x, "/var/lib/dpkg/info/open-vm-tools.list", "");
    write_text(x, "/usr/bin/dpkg", "#!/bin/sh\necho no room for dancing; exit 3\n");
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "packages-kept"), 1);
    const char *said =
        json_string_value(json_object_get(json_array_get(x->findings, json_array_size(x->findings) - 1), "message"));
    assert_non_null(strstr(said, "no room for dancing"));
    assert_int_equal(guestfs_rm(x->g, "/usr/bin/dpkg"), 0); /* then nobody is asked */
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "packages-kept"), 0);

    write_text(x, "/usr/bin/vmware-uninstall-tools.pl", "exit 5\n");
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "tools-kept"), 1);
    write_text(x, "/usr/bin/vmware-uninstall-tools.pl", "exit 0\n"); /* and is there still */
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "tools-kept"), 1);
    assert_int_equal(guestfs_mv(x->g, "/usr/bin/perl", "/usr/bin/perl.off"), 0);
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "tools-kept"), 1);
    assert_int_equal(guestfs_mv(x->g, "/usr/bin/perl.off", "/usr/bin/perl"), 0);
    assert_int_equal(guestfs_rm(x->g, "/usr/bin/vmware-uninstall-tools.pl"), 0);
}

/* rpm, as a script: what is installed are files. */
static void packages_of_rpm_go_by_rpm(hf_guest_session *x) {
    assert_int_equal(guestfs_mkdir_p(x->g, "/var/lib/rpm-has"), 0);
    write_text(x, "/var/lib/rpm-has/open-vm-tools", "");
    write_text(x, "/var/lib/rpm-has/open-vm-tools-desktop", "");
    write_text(
        x, "/usr/bin/rpm",
        "#!/bin/sh\ncd /var/lib/rpm-has\ncase $1 in -q) test -e $3;; -e) echo is needed by dancers; exit 1;; esac\n");
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(found(x, "packages-kept"), 1);
    write_text(x, "/usr/bin/rpm",
               "#!/bin/sh\ncd /var/lib/rpm-has\ncase $1 in -q) test -e $3;; -e) shift; rm \"$@\";; *) exit 9;; esac\n");
    x->dry = true; /* which asks no program of the guest's */
    assert_int_equal(play(x, "vmware_tools"), 0);
    x->dry = false;
    assert_int_equal(found(x, "packages-not-looked-at"), 1);
    assert_int_equal(play(x, "vmware_tools"), 2);
    assert_false(hf_guest_exists(x, "/var/lib/rpm-has/open-vm-tools"));
    assert_int_equal(found(x, "packages-kept"), 0);
    assert_int_equal(guestfs_rm(x->g, "/usr/bin/rpm"), 0);
}

#define LINK "/etc/systemd/network/10-hyperfleet-"

static void cards_keep_their_names_where_it_is_known_which_is_which(hf_guest_session *x) {
    write_text(x, "/etc/network/interfaces", "auto ens192 ens224\n");
    assert_int_equal(guestfs_rm(x->g, LINK "ens192.link"), 0);
    assert_int_equal(play(x, "network_names"), 0);
    assert_int_equal(found(x, "interface-name"), 2);
    again(x, "{\"macs\": {\"ens192\": \"52:54:00:00:00:01\", \"ens224\": \"52:54:00:00:00:02\"}}");
    assert_int_equal(play(x, "network_names"), 2);
    hf_auto_free char *text = guestfs_cat(x->g, LINK "ens224.link");
    assert_non_null(text);
    assert_non_null(strstr(text, "MACAddress=52:54:00:00:00:02\n"));
    assert_int_equal(play(x, "network_names"), 0);
    assert_int_equal(found(x, "interface-name"), 0);
    again(x, "{}");
    assert_int_equal(guestfs_rm(x->g, "/etc/network/interfaces"), 0);
    assert_int_equal(guestfs_mkdir(x->g, "/etc/netplan"), 0);
    write_text(x, "/etc/netplan/50.yaml", "network: {version: 2, ethernets: {ens224: {dhcp4: true}}}\n");
    assert_int_equal(play(x, "network_names"), 0);
    assert_string_equal(result(x), "not possible");
    assert_int_equal(found(x, "netplan-flow-style"), 1);
    write_text(x, "/etc/netplan/50.yaml", "network:\n  ethernets:\n    ens224: {dhcp4: true}\n");
    assert_int_equal(guestfs_rm(x->g, LINK "ens224.link"), 0);
    assert_int_equal(play(x, "network_names"), 1);
    assert_int_equal(found(x, "netplan-flow-style"), 0);
}

static void rules_of_several_cards_stay_until_it_is_said(hf_guest_session *x) {
    static const char path[] = "/etc/udev/rules.d/70-persistent-net.rules";
    write_text(x, path,
               "SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:aa:bb:cc\", NAME=\"eth0\"\n"
               "SUBSYSTEM==\"net\", ATTR{address}==\"00:50:56:aa:bb:cd\", NAME=\"eth1\"\n");
    assert_int_equal(play(x, "udev_rules"), 0);
    assert_int_equal(found(x, "persistent-names"), 1);
    again(x, "{\"macs\": {\"eth0\": \"52:54:00:00:00:01\"}}");
    assert_int_equal(play(x, "udev_rules"), 1);
    assert_false(hf_guest_exists(x, path));
    again(x, "{}");
}

static void keys_that_cannot_be_made_are_told(hf_guest_session *x) {
    assert_int_equal(play(x, "host_keys"), 0);
    assert_string_equal(result(x), "nothing to do");
    again(x, "{\"reset_host_keys\": true}");
    write_text(x, "/usr/bin/ssh-keygen", "#!/bin/sh\nexit 4\n");
    assert_int_equal(play(x, "host_keys"), 1);
    assert_int_equal(found(x, "no-host-keys"), 1);
    write_text(x, "/etc/ssh/ssh_host_rsa_key", "k");
    assert_int_equal(guestfs_rm(x->g, "/usr/bin/ssh-keygen"), 0);
    assert_int_equal(play(x, "host_keys"), 1);
    assert_int_equal(found(x, "no-host-keys"), 1);
    again(x, "{}");
}

/* What one step of a dry run would write, the next one sees; the guest has none of it. */
static void a_dry_run_remembers(hf_guest_session *x) {
    hf_err err = {0};
    hf_str text;
    write_text(x, "/etc/modules", "vmxnet3\nloop\n");
    x->dry = true;
    assert_int_equal(play(x, "vmware_tools"), 1);
    assert_int_equal(play(x, "vmware_tools"), 0);
    assert_int_equal(hf_guest_text(x, "/etc/modules", &text, &err), HF_OK);
    assert_true(hf_str_eqz(text, "loop\n"));
    assert_int_equal(hf_guest_remove(x, "/etc/modules", false, &err), HF_OK);
    assert_false(hf_guest_exists(x, "/etc/modules"));
    x->dry = false;
    hf_auto_free char *there = guestfs_cat(x->g, "/etc/modules");
    assert_string_equal(there, "vmxnet3\nloop\n");
    assert_int_equal(play(x, "vmware_tools"), 1);
}

static hf_code all_of_it(hf_guest_session *x, hf_err *reterr) {
    (void)reterr;
    again(x, "{}");
    a_second_run_changes_nothing(x);
    tools_that_cannot_be_taken_out_are_told(x);
    packages_of_rpm_go_by_rpm(x);
    cards_keep_their_names_where_it_is_known_which_is_which(x);
    rules_of_several_cards_stay_until_it_is_said(x);
    keys_that_cannot_be_made_are_told(x);
    a_dry_run_remembers(x);
    write_text(x, "/usr/bin/vmware-uninstall-tools.pl", "sleep 6000\n");
    x->step_seconds = 4; /* of the next step */
    return HF_OK;
}

static hf_code tools(hf_guest_session *x, hf_err *reterr) { return hf_offline_plan.steps[0].run(x, reterr); }

static const hf_guest_step steps[] = {
    {"all", "plays the steps", all_of_it}, {"vmware_tools", "does not end", tools}, {NULL, NULL, NULL}};
static const hf_guest_plan *const after[] = {&hf_boot_repair_plan, &hf_initramfs_plan, NULL};

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    hf_code rc = hf_offline_plan.prepare(x, parameters, reterr);
    for (size_t i = 0; rc == HF_OK && after[i]; i++)
        rc = after[i]->prepare ? after[i]->prepare(x, parameters, reterr) : HF_OK;
    return rc;
}

static const hf_guest_plan plan = {.operation = "offline_fix", .steps = steps, .needs_os = true, .prepare = prepare};

static void on_report(void *ctx, const hf_progress *p) {
    (void)ctx;
    if (p->level.len)
        print_message("%.*s\n", HF_STR_ARG(p->message));
}

static void what_does_not_end_is_ended(rig *r) {
    hf_spec spec = rig_spec(r, "offline_fix", "disk.qcow2", "");
    spec.output_dir = HF_STR_NONE;
    spec.parameters = HF_STR("{\"in_place\": true}");
    hf_run run = {.job_id = HF_STR("job-3"),
                  .attempt = 1,
                  .spec = &spec,
                  .config = r->config,
                  .roots = &r->roots,
                  .threads = r->threads,
                  .arena = &r->arena,
                  .cancel = &r->cancel,
                  .bandwidth_limit = &r->limit,
                  .report = on_report};
    if (hf_guest_run(&run, &plan, &r->result, &r->phase, &r->err) != HF_E_TIMEOUT ||
        !strstr(r->err.detail, "step_seconds"))
        fail_msg("%s", r->err.detail);
    json_decref(given);
}

static void a_guest_of_vmware_is_made_ready(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);
    assert_int_equal(rig_sh(&r, "%s", make_vmware), 0);
    a_dry_run_says_what_the_real_one_does(&r);
    what_does_not_end_is_ended(&r);
    rig_close(&r);
}

static void parameters_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"{\"skip\": [\"reboot\"]}", "reboot"},
                                          {"{\"skip\": [\"offline_fix\"]}", "offline_fix"},
                                          {"{\"macs\": {\"ens192\": \"52:54:00\"}}", "macs"},
                                          {"{\"macs\": {\"../x\": \"52:54:00:00:00:01\"}}", "macs"},
                                          {"{\"macs\": [\"ens192\"]}", "macs"},
                                          {"{\"reset_host_keys\": 1}", "reset_host_keys"},
                                          {"{\"reset_machine_id\": \"yes\"}", "reset_machine_id"},
                                          {"{\"xfs_zero_log\": 1}", "xfs_zero_log"},
                                          {"{\"kernel\": \"../6\"}", "kernel"}};
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "truncate -s 1M in/disk.raw"), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_spec spec = rig_spec(&r, "offline_fix", "disk.raw", "qcow2");
        spec.parameters = hf_str_of(rows[i][0]);
        assert_int_equal(rig_run(&r, "job-1", 1, &spec), HF_E_INVALID);
        if (!strstr(r.err.detail, rows[i][1]))
            fail_msg("%s", r.err.detail);
    }
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL) && rig_have("busybox") && rig_have("dash")) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(parameters_that_are_none_are_refused),
                                           cmocka_unit_test(a_guest_of_vmware_is_made_ready)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here, or busybox or dash is not installed");
    return 77;
}
