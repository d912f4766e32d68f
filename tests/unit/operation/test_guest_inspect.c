/* labels: guest slow */
/* inspect with "guest": true on a guest made by hand, with what a hostile one may hold. */
#include "tests/unit/operation/rig.h"

#ifdef HF_HAVE_GUESTFS
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/possible.h"

/* Debian by its files; fstab names disks, mounts in a circle; VMware's tools; an SELinux configuration of 8 GiB. */
static const char make[] =
    "set -e; mkdir -p t/etc/selinux t/bin t/usr/bin t/usr/lib t/boot/grub t/lib/modules/6.1.0-9-amd64 t/var/lib/dpkg t/mnt; "
    "printf 'PRETTY_NAME=\"Debian GNU/Linux 12\"\\nID=debian\\nVERSION_ID=\"12\"\\n' >t/etc/os-release; echo 12.5 >t/etc/debian_version; "
    "echo web-01 >t/etc/hostname; cp /bin/true t/bin/ls; touch t/var/lib/dpkg/status; "
    "printf '/dev/sda1 / ext4 defaults 0 1\\n/mnt /mnt/mnt none bind 0 0\\n/mnt/mnt /mnt none bind 0 0\\n"
    "/dev/sdz9 /data ext4 defaults 0 0\\n' >t/etc/fstab; "
    "touch t/boot/grub/grub.cfg t/boot/vmlinuz-6.1.0-9-amd64 t/usr/bin/vmtoolsd; mkdir -p ird/lib; echo x >ird/lib/none.ko; "
    "for i in $(seq 40); do echo x >ird/lib/m$i.ko; done; "
    "(cd ird && find . | cpio -o -H newc 2>/dev/null | gzip) >t/boot/initrd.img-6.1.0-9-amd64; "
    "echo 'kernel/drivers/block/virtio_blk.ko:' >t/lib/modules/6.1.0-9-amd64/modules.dep; truncate -s 8G t/etc/selinux/config; "
    "truncate -s 64M in/disk.raw; echo 'start=2048' | sfdisk -q in/disk.raw; truncate -s 63M p; mke2fs -q -t ext4 -d t p; "
    "dd if=p of=in/disk.raw bs=1M seek=1 conv=notrunc,sparse status=none; sha256sum in/disk.raw >before";

static bool lists(const json_t *list, const char *word) {
    size_t i;
    json_t *o;
    json_array_foreach(list, i, o)
        if (strcmp(json_string_value(o), word) == 0)
            return true;
    return false;
}

static void a_guest_is_told_and_judged(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);
    hf_spec spec = rig_spec(&r, "inspect", "disk.raw", "");
    spec.output_dir = HF_STR_NONE;
    spec.parameters = HF_STR("{\"guest\": true}");
    if (rig_run(&r, "job-1", 1, &spec) != HF_OK)
        fail_msg("%s", r.err.detail);
    json_t *report = json_loadb(r.result.report.p, r.result.report.len, 0, NULL);
    const json_t *guest = json_object_get(report, "guest"), *kvm = json_object_get(guest, "kvm"),
                 *needs = json_object_get(kvm, "needs");
    char *text = json_dumps(guest, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text);
    free(text);
    assert_string_equal(json_string_value(json_object_get(guest, "distribution")), "debian");
    assert_string_equal(json_string_value(json_object_get(guest, "host_name")), "web-01");
    assert_string_equal(json_string_value(json_object_get(guest, "firmware")), "bios");
    assert_string_equal(json_string_value(json_object_get(guest, "boot_loader")), "grub2");
    assert_string_equal(json_string_value(json_object_get(guest, "vmware_tools")), "open-vm-tools");
    const json_t *kernel = json_array_get(json_object_get(guest, "kernels"), 0);
    assert_string_equal(json_string_value(json_object_get(kernel, "virtio_blk")), "module");
    assert_string_equal(json_string_value(json_object_get(kernel, "virtio_net")), "absent");
    assert_true(json_is_false(json_object_get(kernel, "virtio_in_initramfs")));
    assert_string_equal(json_string_value(json_object_get(kvm, "verdict")), "needs");
    assert_true(lists(needs, "boot_repair") && lists(needs, "initramfs_regenerate") && lists(needs, "offline_fix"));
    assert_false(lists(needs, "lvm_repair"));
    assert_true(hf_str_eqz(r.result.os_type, "debian"));
    assert_non_null(json_object_get(json_array_get(json_object_get(report, "disks"), 0), "format"));
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    spec.parameters = HF_STR("{\"guest\": true, \"in_place\": true}");
    assert_int_equal(rig_run(&r, "job-2", 1, &spec), HF_E_INVALID);
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL)) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(a_guest_is_told_and_judged)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
