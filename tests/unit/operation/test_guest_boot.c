/* labels: guest guest-more slow */
/* boot_repair on a system made by hand, whose tables and boot loader name what is not there. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/possible.h"

/* Debian by its files on sda1, swap on sda2, an EFI system partition on sda3 that has lost the removable path. Its grub-mkconfig is a script that
 * knows the right root. Hostile besides: a link out of the root, and a command line of 8 GiB. */
static const char make[] =
    "set -e; d=in/disk.raw; truncate -s 120M $d; "
    "printf 'label: gpt\\nstart=2048,size=131072\\nstart=133120,size=16384,type=swap\\nstart=149504,size=65536,type=uefi\\n' "
    "| sfdisk -q $d; "
    "mkdir -p t/etc/default/grub.d t/etc/kernel t/etc/grub.d t/bin t/usr/sbin t/boot/grub t/boot/efi t/boot/loader/entries "
    "t/lib/modules/6.1.0-9-amd64 t/var/lib/dpkg t/data t/dev t/proc t/sys; cp /bin/true t/bin/ls; "
    "for p in sh env tail; do f=$(readlink -f $(command -v $p)); cp $f t/bin/$p; "
    "for l in $(ldd $f | grep -o '/[^ ]*'); do mkdir -p t$(dirname $l); cp -nL $l t$l; done; done; "
    "printf 'ID=debian\\nVERSION_ID=\"12\"\\nPRETTY_NAME=\"Debian GNU/Linux 12\"\\n' >t/etc/os-release; echo 12.5 >t/etc/debian_version; "
    "echo web-01 >t/etc/hostname; touch t/var/lib/dpkg/status t/boot/vmlinuz-6.1.0-9-amd64; "
    "printf '# the disks\\n/dev/sda1  /\\text4  errors=remount-ro 0 1\\n/dev/disk/by-id/scsi-36000c29-part2 none swap sw 0 0\\n"
    "/dev/sda3 /boot/efi vfat umask=0077 0 1\\nUUID=gone-gone /data ext4 defaults 0 2\\ntmpfs /tmp tmpfs rw 0 0\\n' >t/etc/fstab; "
    "printf 'again /dev/sda2 /dev/urandom swap\\nlost /dev/sdq1 none luks\\n' >t/etc/crypttab; ";

static const char make_loader[] =
    "set -e; d=in/disk.raw; "
    "printf 'GRUB_DEFAULT=\"no such entry\"\\nGRUB_CMDLINE_LINUX=\"root=/dev/sda1 resume=UUID=dead quiet\"\\n"
    "GRUB_DISABLE_LINUX_UUID=true\\n' >t/etc/default/grub; ln -s /../../../../etc/passwd t/etc/default/grub.d/evil.cfg; "
    "truncate -s 8G t/etc/kernel/cmdline; printf '#!/bin/sh\\n: >/prober-ran\\n' >t/etc/grub.d/30_os-prober; chmod 755 t/etc/grub.d/30_os-prober; "
    "printf 'title x\\nversion 6.1.0-9-amd64\\nlinux /boot/vmlinuz-6.1.0-9-amd64\\noptions root=/dev/sda1 ro\\n' >t/boot/loader/entries/x-6.1.0-9.conf; "
    "printf 'title y\\nversion 9\\nlinux /boot/vmlinuz-9\\noptions root=UUID=11111111-1111-1111-1111-111111111111 ro\\n' >t/boot/loader/entries/x-9.conf; "
    "printf 'timeout 3\\ndefault gone-*\\n' >t/boot/loader/loader.conf; echo '(hd0) /dev/sda' >t/boot/grub/device.map; "
    "{ printf '# GRUB Environment Block\\nsaved_entry=gone\\nkernelopts=root=/dev/sda1 ro \\n'; head -c 1024 /dev/zero | tr '\\0' '#'; } | head -c 1024 >t/boot/grub/grubenv; "
    "printf 'menuentry A {\\n linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=not-there ro\\n}\\n' >t/boot/grub/grub.cfg; "
    "printf '#!/bin/sh\\n[ ! -x /etc/grub.d/30_os-prober ] || /etc/grub.d/30_os-prober\\n. /etc/default/grub\\n"
    "echo \"# default $GRUB_DEFAULT\" >$2\\necho \"menuentry B {\" >>$2\\n"
    "echo \" linux /boot/vmlinuz-6.1.0-9-amd64 root=UUID=11111111-1111-1111-1111-111111111111 ro\" >>$2\\necho } >>$2\\n' >t/usr/sbin/grub-mkconfig; "
    "chmod 755 t/usr/sbin/grub-mkconfig; "
    "truncate -s 64M p; mke2fs -q -t ext4 -U 11111111-1111-1111-1111-111111111111 -d t p; "
    "truncate -s 8M s; mkswap -q -U 22222222-2222-2222-2222-222222222222 s; truncate -s 32M e; mkfs.vfat -i 33333333 e >/dev/null; "
    "{ printf MZ; head -c 100 /dev/zero; } >mz; echo 'search.fs_uuid dead-dead root hd0,gpt1' >stub; "
    "mmd -i e ::EFI ::EFI/debian; mcopy -i e mz ::EFI/debian/grubx64.efi; mcopy -i e mz ::EFI/debian/shimx64.efi; mcopy -i e stub ::EFI/debian/grub.cfg; "
    "dd if=p of=$d bs=1M seek=1 conv=notrunc,sparse status=none; dd if=s of=$d bs=1M seek=65 conv=notrunc,sparse status=none; "
    "dd if=e of=$d bs=1M seek=73 conv=notrunc,sparse status=none; rm p s e; sha256sum $d >before";

static bool said(const json_t *report, const char *list, const char *member, const char *word) {
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(report, list), i, o)
        if (strcmp(json_string_value(json_object_get(o, member)) ?: "", word) == 0)
            return true;
    return false;
}

/* The diff of that file in the report has that line. */
static bool diff_has(const json_t *report, const char *path, const char *line) {
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(report, "changes"), i, o)
        if (strcmp(json_string_value(json_object_get(o, "path")), path) == 0 &&
            strstr(json_string_value(json_object_get(o, "diff")) ?: "", line))
            return true;
    return false;
}

static int64_t changed(const json_t *report) { return json_integer_value(json_object_get(report, "changed")); }

static json_t *run_it(rig *r, const char *job, const char *image, bool makes_one, const char *parameters) {
    hf_spec spec = rig_spec(r, "boot_repair", image, makes_one ? "qcow2" : "");
    if (!makes_one)
        spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    if (rig_run(r, job, 1, &spec) != HF_OK)
        fail_msg("%s", r->err.detail);
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    char *text = json_dumps(report, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text);
    free(text);
    return report;
}

static void names_that_change_become_lasting_ones(const json_t *report) {
    assert_true(diff_has(report, "/etc/fstab", "\n+UUID=11111111-1111-1111-1111-111111111111  /\text4"));
    assert_true(diff_has(report, "/etc/fstab", "\n+UUID=22222222-2222-2222-2222-222222222222 none swap sw 0 0"));
    assert_true(diff_has(report, "/etc/fstab", "\n+UUID=3333-3333 /boot/efi"));
    assert_true(diff_has(report, "/etc/fstab", "\n+UUID=gone-gone /data ext4 defaults,nofail 0 2"));
    assert_true(diff_has(report, "/etc/crypttab", "\n+again PARTUUID="));
    assert_true(said(report, "findings", "code", "device-missing"));
}

static void the_loader_finds_what_is_there(const json_t *report) {
    assert_true(diff_has(report, "/etc/default/grub",
                         "\n+GRUB_CMDLINE_LINUX=\"root=UUID=11111111-1111-1111-1111-111111111111 quiet\""));
    assert_true(diff_has(report, "/etc/default/grub", "\n+GRUB_DISABLE_LINUX_UUID=false"));
    assert_true(diff_has(report, "/etc/default/grub", "\n+GRUB_DEFAULT=\"0\""));
    assert_true(diff_has(report, "/boot/loader/entries/x-6.1.0-9.conf",
                         "\n+options root=UUID=11111111-1111-1111-1111-111111111111 ro"));
    assert_true(
        diff_has(report, "/boot/grub/grubenv", "\n+kernelopts=root=UUID=11111111-1111-1111-1111-111111111111 ro "));
    assert_true(diff_has(report, "/boot/grub/grubenv", "\n-saved_entry=gone"));
    assert_true(diff_has(report, "/boot/loader/loader.conf", "\n+default x-6.1.0-9.conf"));
    assert_true(diff_has(report, "/boot/grub/grub.cfg", "\n+menuentry B {"));
    assert_true(diff_has(report, "/boot/grub/grub.cfg", "\n+# default 0"));
    assert_true(diff_has(report, "/boot/efi/EFI/debian/grub.cfg",
                         "\n+search.fs_uuid 11111111-1111-1111-1111-111111111111 root hd0,gpt1"));
    assert_true(said(report, "changes", "path", "/boot/grub/device.map"));
    assert_true(said(report, "changes", "path", "/boot/efi/EFI/BOOT/BOOTX64.EFI"));
    assert_true(said(report, "changes", "path", "/boot/efi/EFI/BOOT/grubx64.efi"));
    assert_true(said(report, "findings", "code", "kernel-missing"));
    assert_true(said(report, "findings", "code", "too-large"));
    assert_false(said(report, "steps", "result", "not possible"));
}

/* A dry run reports what the real one then does, in its order: what is changed and, but for what a program of the guest's makes, how. */
static void the_same_changes(const json_t *would, const json_t *did) {
    const json_t *planned = json_object_get(would, "changes"), *made = json_object_get(did, "changes"), *o;
    static const char *const members[] = {"step", "kind", "path", "before", "after", "diff"};
    size_t i;
    assert_int_equal(changed(would), changed(did));
    assert_int_equal(json_array_size(planned), json_array_size(made));
    json_array_foreach(made, i, o) {
        bool by_program = strcmp(json_string_value(json_object_get(o, "path")), "/boot/grub/grub.cfg") == 0;
        for (size_t m = 0; m < (by_program ? 3 : HF_ARRAY_LEN(members)); m++)
            if (!json_equal(json_object_get(json_array_get(planned, i), members[m]), json_object_get(o, members[m])) &&
                (json_object_get(json_array_get(planned, i), members[m]) || json_object_get(o, members[m])))
                fail_msg("change %zu: %s is another one", i, members[m]);
    }
}

static void a_system_is_made_to_boot_once(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);
    assert_int_equal(rig_sh(&r, "%s", make_loader), 0);
    json_t *would = run_it(&r, "job-0", "disk.raw", false, "{\"dry_run\": true, \"nofail\": true}");
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    assert_true(rig_out_empty(&r));
    json_t *report = run_it(&r, "job-1", "disk.raw", true, "{\"nofail\": true}");
    the_same_changes(would, report);
    json_decref(would);
    names_that_change_become_lasting_ones(report);
    the_loader_finds_what_is_there(report);
    json_decref(report);
    assert_int_equal(
        rig_sh(
            &r,
            "sha256sum --quiet -c before && qemu-img convert -O raw out/disk.qcow2 after.raw && "
            "dd if=after.raw of=p bs=1M skip=1 count=64 status=none && ! debugfs -R 'stat /prober-ran' p 2>&1 | grep -q Inode: && "
            "debugfs -R 'stat /etc/grub.d/30_os-prober' p 2>/dev/null | grep -q 'Mode:  0755' && mv out/disk.qcow2 in/"),
        0);
    report = run_it(&r, "job-2", "disk.qcow2", false, "{\"in_place\": true, \"nofail\": true}");
    assert_int_equal(changed(report), 0);
    json_decref(report);
    rig_close(&r);
}

static void parameters_that_are_none_are_refused(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "truncate -s 1M in/disk.raw"), 0);
    hf_spec spec = rig_spec(&r, "boot_repair", "disk.raw", "qcow2");
    static const char *const bad[] = {"{\"force\": 1}", "{\"nofail\": \"yes\"}", "{\"kernel\": \"a;b c\"}",
                                      "{\"kernel\": 6}", "{\"skip\": [\"repair\"]}"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++) {
        spec.parameters = hf_str_of(bad[i]);
        assert_int_equal(rig_run(&r, "job-1", 1, &spec), HF_E_INVALID);
    }
    assert_true(rig_out_empty(&r));
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL)) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(parameters_that_are_none_are_refused),
                                           cmocka_unit_test(a_system_is_made_to_boot_once)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
