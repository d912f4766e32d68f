/* labels: guest slow */
/* lvm_repair on groups that lost labels and metadata in three ways. The appliance itself makes them. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include <unistd.h>

#include "consumer/operation/guest/guest.h"
#include "consumer/operation/guest/lvm_text.h"

/* ---- texts ---------------------------------------------------------------------------------------------------------------------- */
static const char uuid[] = "abcdef-abcd-abcd-abcd-abcd-abcd-abcdef";

static void metadata_is_read_whole_or_not_at_all(void **state) {
    (void)state;
    hf_lvm_vg vg;
    char text[2048];
    int len =
        snprintf(text, sizeof text,
                 "# made by hand\ncontents = \"Text Format Volume Group\"\n\nthe-group {\n\tid = \"%s\"\n\tseqno = 7\n"
                 "\tphysical_volumes {\n\n\t\tpv0 {\n\t\t\tid = \"%s\"\n\t\t\tdevice = \"/dev/sda2\"\t# Hint only\n"
                 "\t\t\tdev_size = 4096\t# 2 Megabytes\n\t\t}\n\t}\n}\n",
                 uuid, uuid);
    assert_true(hf_lvm_parse(text, (size_t)len, &vg));
    assert_string_equal(vg.name, "the-group");
    assert_int_equal(vg.seqno, 7);
    assert_int_equal(vg.pv_count, 1);
    assert_string_equal(vg.pvs[0].device, "/dev/sda2");
    assert_int_equal(vg.pvs[0].sectors, 4096);
    for (int cut = 0; cut < len - 2; cut++) /* without its last brace it is not whole */
        assert_false(hf_lvm_parse(text, (size_t)cut, &vg));
    char *deep = malloc(200000);
    assert_non_null(deep);
    for (size_t i = 0; i + 4 < 200000; i += 4)
        memcpy(deep + i, "a {\n", 4);
    assert_false(hf_lvm_parse(deep, 199996, &vg));
    free(deep);
    assert_false(hf_lvm_parse("}\n}\n", 4, &vg));
    char label[2048] = "", found[40];
    assert_false(hf_lvm_label(label, sizeof label, found));
    memcpy(label + 512, "LABELONE", 8);
    memcpy(label + 512 + 24, "LVM2 001", 8);
    label[512 + 20] = (char)0xff; /* points out of the sector */
    label[512 + 21] = (char)0xff;
    assert_false(hf_lvm_label(label, sizeof label, found));
}

/* ---- disks ----------------------------------------------------------------------------------------------------------------------- */
static void must_be(guestfs_h *g, int result) {
    if (result != 0)
        fail_msg("%s", guestfs_last_error(g));
}

static void make_group(guestfs_h *g, const char *group, char *const *volumes) {
    char device[64];
    for (char *const *v = volumes; *v; v++)
        must_be(g, guestfs_pvcreate(g, *v));
    must_be(g, guestfs_vgcreate(g, group, volumes));
    must_be(g, guestfs_lvcreate(g, "data", group, 12));
    snprintf(device, sizeof device, "/dev/%s/data", group);
    must_be(g, guestfs_mkfs(g, "ext4", device));
    must_be(g, guestfs_mount(g, device, "/"));
    must_be(g, guestfs_write(g, "/name", group, strlen(group)));
    must_be(g, guestfs_umount_all(g));
}

/* Group one on sda1, two on sda2 and sda3, three on sda4, whose backup is in the ext4 of sda5. */
static void make(rig *r) {
    assert_int_equal(
        rig_sh(
            r,
            "truncate -s 120M in/disk.raw && printf 'label: gpt\\nstart=2048,size=40960\\nstart=43008,size=40960\\n"
            "start=83968,size=49152\\nstart=133120,size=57344\\nstart=190464,size=32768\\n' | sfdisk -q in/disk.raw"),
        0);
    guestfs_h *g = guestfs_create_flags(GUESTFS_CREATE_NO_ENVIRONMENT);
    assert_non_null(g);
    guestfs_set_error_handler(g, NULL, NULL);
    must_be(g, guestfs_set_backend(g, "direct"));
    must_be(g, guestfs_set_backend_setting(g, "force_tcg", "1"));
    must_be(g, guestfs_add_drive_opts(g, rig_path(r, "in/disk.raw"), GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1));
    must_be(g, guestfs_launch(g));
    char one[] = "/dev/sda1", two[] = "/dev/sda2", more[] = "/dev/sda3", three[] = "/dev/sda4";
    make_group(g, "one", (char *[]){one, NULL});
    make_group(g, "two", (char *[]){two, more, NULL});
    make_group(g, "three", (char *[]){three, NULL});
    must_be(g, guestfs_mkfs(g, "ext4", "/dev/sda5"));
    must_be(g, guestfs_mount(g, "/dev/sda5", "/"));
    must_be(g, guestfs_mkdir_p(g, "/etc/lvm/backup"));
    must_be(g, guestfs_touch(g, "/etc/lvm/backup/gigantic"));
    must_be(g, guestfs_truncate_size(g, "/etc/lvm/backup/gigantic", (int64_t)1 << 33));
    must_be(g, guestfs_ln_s(g, "/../../../../etc/passwd", "/etc/lvm/backup/elsewhere"));
    char line[] = "lvm vgcfgbackup -f /sysroot/etc/lvm/backup/three three";
    char *said = guestfs_debug(g, "sh", (char *[]){line, NULL});
    if (!said)
        fail_msg("%s", guestfs_last_error(g));
    free(said);
    must_be(g, guestfs_umount_all(g));
    must_be(g, guestfs_shutdown(g));
    guestfs_close(g);
    /* one loses its label, two a whole physical volume's beginning, three all but the backup */
    assert_int_equal(
        rig_sh(r, "for p in '2048 8' '83968 2048' '133120 2048'; do set -- $p; "
                  "dd if=/dev/zero of=in/disk.raw bs=512 seek=$1 count=$2 conv=notrunc status=none || exit 1; done; "
                  "sha256sum in/disk.raw >before"),
        0);
}

static json_t *run_it(rig *r, const char *job, const char *image, const char *format, const char *parameters) {
    hf_spec spec = rig_spec(r, "lvm_repair", image, format ? format : "");
    if (!format)
        spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    if (rig_run(r, job, 1, &spec) != HF_OK)
        fail_msg("%s", r->err.detail);
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    return report;
}

static size_t active(const json_t *report) {
    size_t i, n = 0;
    json_t *o;
    json_array_foreach(json_object_get(json_object_get(report, "guest"), "volumes"), i, o)
        n += json_is_true(json_object_get(o, "active")) && !*json_string_value(json_object_get(o, "health"));
    return n;
}

static void lost_labels_and_metadata_come_back(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    make(&r);
    json_t *report = run_it(&r, "job-0", "disk.raw", NULL, "{\"dry_run\": true}"); /* the damage is real */
    char *text = json_dumps(report, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text);
    free(text);
    assert_true(active(report) < 3);
    json_int_t would = json_integer_value(json_object_get(report, "changed"));
    json_decref(report);

    report = run_it(&r, "job-1", "disk.raw", "qcow2", "{}");
    text = json_dumps(report, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text);
    free(text);
    assert_int_equal(json_integer_value(json_object_get(report, "changed")), would);
    assert_int_equal(would, 6); /* a label and a group, three times */
    assert_int_equal(active(report), 3);
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    rig_check_artifacts(&r);
    /* The volumes begin behind the first MiB of their partitions. */
    assert_int_equal(
        rig_sh(&r, "qemu-img convert -O raw out/disk.qcow2 a && for p in '1 one' '21 two' '65 three'; do set -- $p; "
                   "dd if=a of=v bs=1M skip=$(($1 + 1)) count=12 status=none && e2fsck -fn v >/dev/null 2>&1 && "
                   "debugfs -R 'cat /name' v 2>/dev/null | grep -qx $2 || exit 1; done; mv out/disk.qcow2 in/"),
        0);
    report = run_it(&r, "job-2", "disk.qcow2", NULL, "{\"in_place\": true}");
    assert_int_equal(json_integer_value(json_object_get(report, "changed")), 0);
    assert_int_equal(active(report), 3);
    json_decref(report);
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    const struct CMUnitTest pure[] = {cmocka_unit_test(metadata_is_read_whole_or_not_at_all)};
    const struct CMUnitTest tests[] = {cmocka_unit_test(lost_labels_and_metadata_come_back)};
    int failed = cmocka_run_group_tests(pure, NULL, NULL);
    if (failed || hf_guest_possible(NULL))
        return failed ? failed : cmocka_run_group_tests(tests, NULL, NULL);
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
