/* labels: guest guest-more slow */
/* initramfs_regenerate and selinux_prep on a guest made by hand, whose mkinitramfs is a script: what is made again and what is left alone, what
 * stays when it fails, and labels. One appliance for all of it: the operations' steps are played by a plan of the test's own. */
#include "tests/unit/operation/rig.h"

#ifdef HF_HAVE_GUESTFS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumer/operation/guest/inside.h"
#include "consumer/operation/inspect.h"

/* Four kernels: one whose initramfs lacks the drivers, behind microcode; one without; one as it should be; one that has another kernel's, and for
 * which mkinitramfs fails. Its tools are busybox. */
static const char make[] =
    "set -e; mkdir -p t/etc/initramfs-tools t/etc/initramfs/post-update.d t/bin t/usr/sbin t/usr/bin t/boot t/var/lib/dpkg t/tmp t/proc t/sys "
    "t/dev t/run; "
    "printf 'PRETTY_NAME=\"Debian GNU/Linux 12\"\\nID=debian\\nVERSION_ID=\"12\"\\n' >t/etc/os-release; echo 12.5 >t/etc/debian_version; "
    "touch t/var/lib/dpkg/status t/etc/passwd; echo '/dev/sda1 / ext4 defaults 0 1' >t/etc/fstab; cp $(command -v busybox) t/bin/busybox; "
    "for a in sh tail cat echo find cpio gzip mkdir rm ls run-parts sleep; do ln -s busybox t/bin/$a; done; printf '# none\\next4' >t/etc/initramfs-tools/modules; "
    "printf '#!/bin/sh\\nset -e\\ncase $3 in *-12-*) echo half >$2; echo no room for dancing; exit 7;; esac\\n"
    "d=/tmp/d; mkdir -p $d/usr/lib/modules/$3\\n"
    "for m in $(cat /etc/initramfs-tools/modules); do echo x >$d/usr/lib/modules/$3/$m.ko; done\\n"
    "cd $d; find . | cpio -o -H newc 2>/tmp/log | gzip >$2; rm -r $d\\n' >t/usr/sbin/mkinitramfs; chmod 755 t/usr/sbin/mkinitramfs; "
    "printf '#!/bin/sh\\necho $1 $2 >>/tmp/told\\n' >t/etc/initramfs/post-update.d/tell; chmod 755 t/etc/initramfs/post-update.d/tell; "
    "for n in 9 10 11 12; do v=6.1.0-$n-amd64; m=t/lib/modules/$v; mkdir -p $m; touch t/boot/vmlinuz-$v; "
    "for d in block/virtio_blk scsi/virtio_scsi net/virtio_net nvme/nvme; do echo kernel/drivers/$d.ko: >>$m/modules.dep; done; "
    "echo kernel/drivers/virtio/virtio_pci.ko >$m/modules.builtin; done; "
    "mkdir -p u/kernel/x86 i/lib/modules/6.1.0-9-amd64 j/lib/modules/6.1.0-11-amd64; echo m >u/kernel/x86/GenuineIntel.bin; echo x >i/lib/modules/6.1.0-9-amd64/ext4.ko; "
    "for m in virtio_blk virtio_scsi nvme; do echo x >j/lib/modules/6.1.0-11-amd64/$m.ko; done; "
    "pack() { (cd $1 && find . | busybox cpio -o -H newc 2>/dev/null); }; "
    "{ pack u; pack i | gzip; } >t/boot/initrd.img-6.1.0-9-amd64; pack j | gzip >t/boot/initrd.img-6.1.0-11-amd64; "
    "cp t/boot/initrd.img-6.1.0-11-amd64 t/boot/initrd.img-6.1.0-12-amd64; "
    "if s=$(command -v setfiles); then cp $s t/usr/sbin/setfiles.off; "
    "for l in $(ldd $s | grep -o '/[^ ]*'); do mkdir -p t$(dirname $l); cp $l t$l; done; fi; "
    "truncate -s 96M in/disk.raw; echo 'start=2048' | sfdisk -q in/disk.raw; truncate -s 95M p; mke2fs -q -t ext4 -d t p; "
    "dd if=p of=in/disk.raw bs=1M seek=1 conv=notrunc,sparse status=none; rm -r p t";

#define BOOT "/boot/initrd.img-6.1.0-"

static json_t *given; /* the parameters of the moment: the state has strings of them */

static void again(hf_guest_session *x, hf_guest_part part, const hf_guest_plan *plan, const char *parameters) {
    hf_err err = {0};
    json_decref(given);
    given = json_loads(parameters, 0, NULL);
    assert_non_null(given);
    free(*hf_guest_own(x, part));
    *hf_guest_own(x, part) = NULL;
    assert_int_equal(plan->prepare(x, given, &err), HF_OK);
}

/* Plays a step of the plan; how many changes came of it. */
static uint32_t play(hf_guest_session *x, const hf_guest_plan *plan, int step) {
    hf_err err = {0};
    uint32_t before = hf_guest_changes(x);
    if (plan->steps[step].run(x, &err) != HF_OK)
        fail_msg("%s: %s", plan->steps[step].name, err.detail);
    return hf_guest_changes(x) - before;
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

static const char *state_of_kernel(hf_guest_session *x, size_t i, const char *member) {
    return json_string_value(json_object_get(json_array_get(json_object_get(x->notes, "initramfs"), i), member));
}

static bool has(hf_guest_session *x, const char *path, const char *text) {
    char *all = NULL;
    size_t len;
    hf_err err = {0};
    if (hf_guest_read(x, path, &all, &len, &err) != HF_OK)
        fail_msg("%s", err.detail);
    return all && strstr(all, text);
}

static char *sum(hf_guest_session *x, const char *path) {
    char *text = guestfs_checksum(x->g, "sha256", path);
    assert_non_null(text);
    return text;
}

/* ---- initramfs_regenerate --------------------------------------------------------------------------------------------------- */
static void only_those_that_need_it_are_made(hf_guest_session *x) {
    hf_auto_free char *fine = sum(x, BOOT "11-amd64"), *old = sum(x, BOOT "12-amd64");
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 3); /* two initramfs and the list of modules */
    static const char *const states[][3] = {{"6.1.0-10-amd64", "made", "missing"},
                                            {"6.1.0-11-amd64", "as it should be", ""},
                                            {"6.1.0-12-amd64", "not made", "made for another kernel"},
                                            {"6.1.0-9-amd64", "made", "without virtio_blk, virtio_scsi, nvme"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(states); i++) {
        assert_string_equal(state_of_kernel(x, i, "kernel"), states[i][0]);
        assert_string_equal(state_of_kernel(x, i, "state"), states[i][1]);
        assert_string_equal(state_of_kernel(x, i, "reason"), states[i][2]);
    }
    assert_true(has(x, "/etc/initramfs-tools/modules", "# none\next4\nvirtio_blk\nvirtio_scsi\nnvme\nvirtio_net\n"));
    assert_true(has(x, "/tmp/told", "6.1.0-9-amd64 " BOOT "9-amd64\n"));
    hf_auto_free char *fine_now = sum(x, BOOT "11-amd64"), *old_now = sum(x, BOOT "12-amd64");
    assert_string_equal(fine, fine_now);
    assert_string_equal(old, old_now); /* its program failed halfway: the old one is whole */
    assert_false(hf_guest_exists(x, BOOT "12-amd64.hf-new"));
    assert_int_equal(found(x, "initramfs-failed"), 1);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 0); /* a second time nothing is changed */
    assert_int_equal(found(x, "initramfs-failed"), 1);
}

static void what_cannot_be_made_leaves_the_old_one(hf_guest_session *x) {
    hf_err err = {0};
    again(x, HF_GUEST_INITRAMFS, &hf_initramfs_plan, "{\"kernel\": \"9.9.9\"}");
    assert_int_equal(hf_initramfs_plan.steps[0].run(x, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.detail, "6.1.0-10-amd64, 6.1.0-11-amd64"));

    again(x, HF_GUEST_INITRAMFS, &hf_initramfs_plan, "{\"kernel\": \"6.1.0-9-amd64\", \"force\": true}");
    hf_auto_free char *old = sum(x, BOOT "9-amd64");
    struct guestfs_statvfs *use = guestfs_statvfs(x->g, "/");
    assert_non_null(use);
    assert_int_equal(guestfs_fallocate64(x->g, "/fill", (use->bavail * use->frsize) - (3 << 20)), 0);
    guestfs_free_statvfs(use);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 0);
    assert_int_equal(found(x, "no-space"), 1);
    assert_int_equal(guestfs_rm(x->g, "/fill"), 0);
    /* A program that does what it is not told to: what it made is looked at before it is used. */
    assert_int_equal(guestfs_mv(x->g, "/usr/sbin/mkinitramfs", "/usr/sbin/mkinitramfs.off"), 0);
    assert_int_equal(guestfs_write(x->g, "/usr/sbin/mkinitramfs", "#!/bin/sh\necho nothing >$2\n", 27), 0);
    assert_int_equal(guestfs_chmod(x->g, 0755, "/usr/sbin/mkinitramfs"), 0);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 0);
    assert_int_equal(found(x, "initramfs-failed"), 1);
    hf_auto_free char *now = sum(x, BOOT "9-amd64");
    assert_string_equal(old, now);
    assert_int_equal(guestfs_mv(x->g, "/usr/sbin/mkinitramfs.off", "/usr/sbin/mkinitramfs"), 0);
    x->dry = true;
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 1);
    assert_string_equal(state_of_kernel(x, 0, "state"), "would be made");
    x->dry = false;
    hf_auto_free char *still = sum(x, BOOT "9-amd64");
    assert_string_equal(old, still);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 1); /* as asked for */
    /* Modules that came later. */
    again(x, HF_GUEST_INITRAMFS, &hf_initramfs_plan, "{\"kernel\": \"6.1.0-9-amd64\"}");
    assert_int_equal(guestfs_utimens(x->g, BOOT "9-amd64", 1000, 0, 1000, 0), 0);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 1);
    assert_string_equal(state_of_kernel(x, 0, "reason"), "older than the kernel's modules");
    /* Cut off; and a guest that has no program for it. */
    assert_int_equal(guestfs_truncate_size(x->g, BOOT "9-amd64", 100), 0);
    assert_int_equal(guestfs_rm(x->g, "/usr/sbin/mkinitramfs"), 0);
    assert_int_equal(play(x, &hf_initramfs_plan, 0), 0);
    assert_string_equal(state_of_kernel(x, 0, "reason"), "damaged");
    assert_int_equal(found(x, "no-generator"), 1);
}

/* ---- selinux_prep -------------------------------------------------------------------------------------------------------------- */
static void write_text(hf_guest_session *x, const char *path, const char *text) {
    assert_int_equal(guestfs_write(x->g, path, text, strlen(text)), 0);
}

static void what_stops_the_start_is_put_right(hf_guest_session *x) {
    assert_int_equal(play(x, &hf_selinux_plan, 0), 0); /* no SELinux */
    assert_int_equal(play(x, &hf_selinux_plan, 1), 0);
    assert_int_equal(guestfs_mkdir_p(x->g, "/etc/selinux/targeted/policy"), 0);
    assert_int_equal(guestfs_mkdir_p(x->g, "/etc/selinux/targeted/contexts/files"), 0);
    assert_int_equal(guestfs_mkdir_p(x->g, "/etc/default"), 0);
    write_text(x, "/etc/selinux/targeted/policy/policy.33", "p");
    write_text(x, "/etc/selinux/targeted/contexts/files/file_contexts",
               "/.*\tsystem_u:object_r:default_t:s0\n/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n");
    write_text(x, "/etc/selinux/config", "# of the guest\nSELINUX=enforcng\nSELINUXTYPE=strict\n");
    write_text(x, "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet enforcing=0\"\n");
    x->change_count = 0;
    assert_int_equal(play(x, &hf_selinux_plan, 0), 2);
    assert_true(has(x, "/etc/selinux/config", "# of the guest\nSELINUX=permissive\nSELINUXTYPE=targeted\n"));
    assert_int_equal(found(x, "selinux-mode-unknown") + found(x, "selinux-policy-missing"), 2);
    assert_int_equal(found(x, "selinux-not-enforcing"), 1);
    assert_int_equal(found(x, "selinux-off"), 0);
    assert_int_equal(play(x, &hf_selinux_plan, 0), 0);
}

static void labels_are_put_at_once_or_at_the_next_start(hf_guest_session *x) {
    size_t len = 0;
    assert_int_equal(play(x, &hf_selinux_plan, 1), 1);
    assert_true(hf_guest_exists(x, "/.autorelabel")); /* the guest has no setfiles, as yet */
    assert_int_equal(play(x, &hf_selinux_plan, 1), 0);
    assert_int_equal(guestfs_rm(x->g, "/.autorelabel"), 0);
    if (!hf_guest_exists(x, "/usr/sbin/setfiles.off")) {
        print_message("without setfiles: labels at once are not tested\n");
        return;
    }
    assert_int_equal(guestfs_mv(x->g, "/usr/sbin/setfiles.off", "/usr/sbin/setfiles"), 0);
    assert_int_equal(play(x, &hf_selinux_plan, 1), 1);
    assert_false(hf_guest_exists(x, "/.autorelabel"));
    hf_auto_free char *label = guestfs_lgetxattr(x->g, "/etc/passwd", "security.selinux", &len);
    assert_non_null(label);
    assert_memory_equal(label, "system_u:object_r:etc_t:s0", 26);
    x->change_count = 0;
    assert_int_equal(play(x, &hf_selinux_plan, 1), 0); /* a second job */
    assert_int_equal(guestfs_lremovexattr(x->g, "security.selinux", "/etc/passwd"), 0);
    assert_int_equal(play(x, &hf_selinux_plan, 1), 1);
    write_text(x, "/etc/selinux/config", "SELINUX=disabled\n");
    again(x, HF_GUEST_SELINUX, &hf_selinux_plan, "{\"force\": true}");
    assert_int_equal(play(x, &hf_selinux_plan, 1), 0);
}

/* ---- cancelled in the middle -------------------------------------------------------------------------------------------------- */
static atomic_bool cancel;
static char *kept; /* SHA-256 of the initramfs that is being replaced */

static void on_alarm(int number) {
    (void)number;
    atomic_store(&cancel, true);
}

static void a_cancel_ends_it_in_the_middle(hf_guest_session *x) {
    static const char slow[] = "#!/bin/sh\necho half >$2\nsleep 600\n";
    hf_err err = {0};
    write_text(x, "/usr/sbin/mkinitramfs", slow);
    assert_int_equal(guestfs_chmod(x->g, 0755, "/usr/sbin/mkinitramfs"), 0);
    again(x, HF_GUEST_INITRAMFS, &hf_initramfs_plan, "{\"kernel\": \"6.1.0-10-amd64\", \"force\": true}");
    kept = sum(x, BOOT "10-amd64");
    signal(SIGALRM, on_alarm);
    alarm(4);
    assert_int_equal(hf_initramfs_plan.steps[0].run(x, &err), HF_E_CANCELLED);
}

/* ---- one appliance for all -------------------------------------------------------------------------------------------------------- */
static hf_code all_of_it(hf_guest_session *x, hf_err *reterr) {
    only_those_that_need_it_are_made(x);
    what_cannot_be_made_leaves_the_old_one(x);
    what_stops_the_start_is_put_right(x);
    labels_are_put_at_once_or_at_the_next_start(x);
    a_cancel_ends_it_in_the_middle(x);
    return hf_fail(reterr, HF_E_CANCELLED, "the whole way");
}

static hf_code prepare_both(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    hf_code rc = hf_initramfs_plan.prepare(x, parameters, reterr);
    return rc == HF_OK ? hf_selinux_plan.prepare(x, parameters, reterr) : rc;
}

static const hf_guest_step steps[] = {{"all", "plays both operations", all_of_it}, {NULL, NULL, NULL}};
static const hf_guest_plan plan = {.operation = "fs_repair", .steps = steps, .needs_os = true, .prepare = prepare_both};

static void on_report(void *ctx, const hf_progress *p) {
    (void)ctx;
    if (p->level.len)
        print_message("%.*s\n", HF_STR_ARG(p->message));
}

static void kernels_get_what_they_need_and_files_their_labels(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);
    hf_spec spec = rig_spec(&r, "fs_repair", "disk.raw", "");
    spec.output_dir = HF_STR_NONE;
    spec.parameters = HF_STR("{\"in_place\": true}");
    hf_run run = {.job_id = HF_STR("job-1"),
                  .attempt = 1,
                  .spec = &spec,
                  .config = r.config,
                  .roots = &r.roots,
                  .threads = r.threads,
                  .arena = &r.arena,
                  .cancel = &cancel,
                  .bandwidth_limit = &r.limit,
                  .report = on_report};
    if (hf_guest_run(&run, &plan, &r.result, &r.phase, &r.err) != HF_E_CANCELLED ||
        !strstr(r.err.detail, "the whole way"))
        fail_msg("%s", r.err.detail);
    json_decref(given);
    /* The image was worked on in place: its file is the one from before. */
    assert_int_equal(
        rig_sh(&r,
               "dd if=in/disk.raw of=p bs=1M skip=1 status=none; e2fsck -fy p >/dev/null 2>&1; test $? -le 1 && "
               "debugfs -R 'dump " BOOT "10-amd64 now' p 2>/dev/null && echo '%s  now' | sha256sum -c --quiet",
               kept),
        0);
    free(kept);
    rig_close(&r);
}

static void parameters_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const rows[][3] = {{"initramfs_regenerate", "{\"kernel\": \"../6\"}", "kernel"},
                                          {"initramfs_regenerate", "{\"force\": 1}", "force"},
                                          {"selinux_prep", "{\"force\": \"yes\"}", "force"}};
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "truncate -s 1M in/disk.raw"), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_spec spec = rig_spec(&r, rows[i][0], "disk.raw", "qcow2");
        spec.parameters = hf_str_of(rows[i][1]);
        assert_int_equal(rig_run(&r, "job-1", 1, &spec), HF_E_INVALID);
        assert_non_null(strstr(r.err.detail, rows[i][2]));
    }
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL) && rig_have("busybox") && rig_have("cpio")) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(parameters_that_are_none_are_refused),
                                           cmocka_unit_test(kernels_get_what_they_need_and_files_their_labels)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here, or busybox is not installed");
    return 77;
}
