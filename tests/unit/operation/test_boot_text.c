/* fstab, crypttab, command lines and boot loaders' configurations as text: what is to change changes, every other byte stays. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/boot_text.h"

static hf_device_word word_of(const char *text) { return hf_device_word_of(hf_str_of(text)); }

static void a_name_says_what_it_is_by(void **state) {
    (void)state;
    static const struct {
        const char *name;
        hf_device_kind kind;
        int disk, partition;
    } names[] = {{"/dev/sda1", HF_DEVICE_KERNEL, 0, 1},
                 {"/dev/hdb", HF_DEVICE_KERNEL, 1, 0},
                 {"/dev/vdc12", HF_DEVICE_KERNEL, 2, 12},
                 {"/dev/xvda2", HF_DEVICE_KERNEL, 0, 2},
                 {"/dev/sdaa3", HF_DEVICE_KERNEL, 26, 3},
                 {"/dev/nvme1n1p2", HF_DEVICE_KERNEL, 1, 2},
                 {"/dev/nvme0n1", HF_DEVICE_KERNEL, 0, 0},
                 {"\"/dev/sda1\"", HF_DEVICE_KERNEL, 0, 1},
                 {"/dev/sda0", HF_DEVICE_NONE, 0, 0},
                 {"/dev/sda1x", HF_DEVICE_NONE, 0, 0},
                 {"/dev/sda99999999999", HF_DEVICE_NONE, 0, 0},
                 {"/dev/sd", HF_DEVICE_NONE, 0, 0},
                 {"/dev/sdabc", HF_DEVICE_NONE, 0, 0},
                 {"/dev/nvme0n", HF_DEVICE_NONE, 0, 0},
                 {"/dev/nvme0n1px", HF_DEVICE_NONE, 0, 0},
                 {"/dev/disk/by-id/scsi-36000c29-part2", HF_DEVICE_BUS, 0, 2},
                 {"/dev/disk/by-id/wwn-0x5000", HF_DEVICE_BUS, 0, 0},
                 {"/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0-part1", HF_DEVICE_BUS, 0, 1},
                 {"/dev/disk/by-id/dm-name-vg-root", HF_DEVICE_NONE, 0, 0},
                 {"UUID=ab-cd", HF_DEVICE_TAG, 0, 0},
                 {"LABEL=\"root\"", HF_DEVICE_TAG, 0, 0},
                 {"/dev/disk/by-uuid/ab-cd", HF_DEVICE_TAG, 0, 0},
                 {"UUID=", HF_DEVICE_NONE, 0, 0},
                 {"/dev/mapper/vg-root", HF_DEVICE_MAPPER, 0, 0},
                 {"/dev/vg/root", HF_DEVICE_MAPPER, 0, 0},
                 {"/dev/md/0", HF_DEVICE_NONE, 0, 0},
                 {"/dev/sr0", HF_DEVICE_NONE, 0, 0},
                 {"/dev/", HF_DEVICE_NONE, 0, 0},
                 {"server:/export", HF_DEVICE_NONE, 0, 0},
                 {"", HF_DEVICE_NONE, 0, 0},
                 {"tmpfs", HF_DEVICE_NONE, 0, 0}};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        hf_device_word w = word_of(names[i].name);
        if (w.kind != names[i].kind || w.disk != names[i].disk || w.partition != names[i].partition)
            fail_msg("%s: kind %d, disk %d, partition %d", names[i].name, (int)w.kind, w.disk, w.partition);
    }
    assert_true(hf_str_eqz(word_of("LABEL=\"root\"").value, "root"));
    assert_string_equal(word_of("/dev/disk/by-partuuid/x").tag, "PARTUUID");
    char name[64], small[8];
    assert_true(hf_mapper_name(HF_STR("/dev/my-vg/root"), name, sizeof name));
    assert_string_equal(name, "my--vg-root");
    assert_true(hf_mapper_name(HF_STR("/dev/mapper/my--vg-root"), name, sizeof name));
    assert_string_equal(name, "my--vg-root");
    assert_false(hf_mapper_name(HF_STR("/dev/sda1"), name, sizeof name));
    assert_false(hf_mapper_name(HF_STR("/dev/mapper/a-long-name"), small, sizeof small));
    assert_true(hf_fs_type_fits(HF_STR("ext3"), "ext4") && hf_fs_type_fits(HF_STR("auto"), "xfs") &&
                hf_fs_type_fits(HF_STR("xfs"), "xfs"));
    assert_false(hf_fs_type_fits(HF_STR("ext4"), "swap"));
}

/* ---- tables -------------------------------------------------------------------------------------------------------------------- */
static void to_uuid(void *ctx, const hf_tab_line *line, hf_tab_edit *ret) {
    uint32_t field = *(uint32_t *)ctx;
    if (word_of(hf_str_eqz(line->fields[field], "/dev/sda9") ? "" : "/dev/sda1").kind != HF_DEVICE_KERNEL)
        ret->nofail = true;
    else if (hf_str_starts(line->fields[field], HF_STR("/dev/sd")))
        snprintf(ret->device, sizeof ret->device, "UUID=u");
}

static void expect_table(uint32_t field, const char *text, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    assert_true(hf_tab_edit_text(hf_str_of(text), field, to_uuid, &field, &out));
    hf_str made = hf_buf_str(&out);
    if (!hf_str_eqz(made, after))
        fail_msg("\"%s\" became \"%.*s\"", text, HF_STR_ARG(made));
    hf_buf_done(&out);
}

static void tables_keep_all_but_the_device(void **state) {
    (void)state;
    expect_table(0, "", "");
    expect_table(0, "\n\n", "\n\n");
    expect_table(0, "# /dev/sda1 / ext4\n  #/dev/sda1\n", "# /dev/sda1 / ext4\n  #/dev/sda1\n");
    expect_table(0, "/dev/sda1\t/  ext4 defaults\t0 1  # tail\nproc /proc proc defaults",
                 "UUID=u\t/  ext4 defaults\t0 1  # tail\nproc /proc proc defaults");
    expect_table(0, "  /dev/sda1 none swap sw\r\n", "  UUID=u none swap sw\r\n");
    expect_table(0, "/dev/sda9 /data ext4 rw,noatime 0 2\n", "/dev/sda9 /data ext4 rw,noatime,nofail 0 2\n");
    expect_table(0, "/dev/sda9 /data ext4 nofail,rw 0 2\n", "/dev/sda9 /data ext4 nofail,rw 0 2\n");
    expect_table(0, "/dev/sda9 /data ext4\n", "/dev/sda9 /data ext4\n"); /* no options to add it to */
    expect_table(1, "home /dev/sda1 none luks\n#x\nalone\n", "home UUID=u none luks\n#x\nalone\n");
    expect_table(1, "home\t/dev/sda9\tnone\tluks", "home\t/dev/sda9\tnone\tluks,nofail");
    assert_true(hf_tab_has_option(HF_STR("rw,nofail"), "nofail"));
    assert_false(hf_tab_has_option(HF_STR("x-nofail,nofail=1,"), "nofail"));
    hf_buf small;
    uint32_t field = 0;
    hf_buf_init(&small, 4);
    assert_false(hf_tab_edit_text(HF_STR("/dev/sda1 / ext4\n"), 0, to_uuid, &field, &small));
    hf_buf_done(&small);
}

/* ---- command lines --------------------------------------------------------------------------------------------------------------- */
static hf_word_fate rooted(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]) {
    (void)ctx;
    (void)value;
    if (hf_str_eqz(key, "root"))
        snprintf(to, HF_WORD_MAX, "UUID=u");
    return hf_str_eqz(key, "root") ? HF_WORD_CHANGES : hf_str_eqz(key, "resume") ? HF_WORD_GOES : HF_WORD_STAYS;
}

static void expect_line(const char *text, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    assert_true(hf_cmdline_edit(hf_str_of(text), rooted, NULL, &out));
    hf_str made = hf_buf_str(&out);
    if (!hf_str_eqz(made, after))
        fail_msg("\"%s\" became \"%.*s\"", text, HF_STR_ARG(made));
    hf_buf_done(&out);
}

static void words_change_and_go_and_all_else_stays(void **state) {
    (void)state;
    expect_line("", "");
    expect_line("  ro  quiet ", "  ro  quiet ");
    expect_line("root=/dev/sda1 ro  quiet\n", "root=UUID=u ro  quiet\n");
    expect_line("ro resume=/dev/sda5 quiet", "ro quiet");
    expect_line("resume=/dev/sda5 ro", "ro");
    expect_line("resume=/dev/sda5", "");
    expect_line("ro resume=/dev/sda5", "ro");
    expect_line("resume=a resume=b ro", "ro");
    expect_line("ro resume=a\nresume=b\n", "ro\n");
    expect_line("a=\"x root=/dev/sda1 y\" root=z", "a=\"x root=/dev/sda1 y\" root=UUID=u");
    expect_line("a=\\\"x resume=b\\\" c", "a=\\\"x c");
    expect_line("xroot=/dev/sda1 roott=1", "xroot=/dev/sda1 roott=1");
    expect_line("open=\"never ends root=1", "open=\"never ends root=1");
    expect_line("\\", "\\");
    assert_true(hf_str_eqz(hf_cmdline_get(HF_STR("root=a ro root=b"), "root"), "b"));
    assert_null(hf_cmdline_get(HF_STR("rooty=a ro"), "root").p);
    assert_null(hf_cmdline_get(HF_STR_NONE, "root").p);
}

static void expect_keyed(const char *key, const char *text, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    assert_true(hf_keyed_edit(hf_str_of(text), key, rooted, NULL, &out));
    if (!hf_str_eqz(hf_buf_str(&out), after))
        fail_msg("\"%s\" became \"%.*s\"", text, HF_STR_ARG(hf_buf_str(&out)));
    hf_buf_done(&out);
}

static void expect_set(const char *text, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    assert_true(hf_keyed_set(hf_str_of(text), "default", "new", &out));
    if (!hf_str_eqz(hf_buf_str(&out), after))
        fail_msg("\"%s\" became \"%.*s\"", text, HF_STR_ARG(hf_buf_str(&out)));
    hf_buf_done(&out);
}

static void entries_of_boot_loaders_are_edited_behind_their_key(void **state) {
    (void)state;
    expect_keyed("options", "title root=/dev/sda1\noptions\troot=/dev/sda1 ro\nlinux /vmlinuz",
                 "title root=/dev/sda1\noptions\troot=UUID=u ro\nlinux /vmlinuz");
    expect_keyed("kernel", "title x\n\tkernel /vmlinuz root=/dev/sda1 resume=x ro\n",
                 "title x\n\tkernel /vmlinuz root=UUID=u ro\n");
    expect_keyed("options", "optionsx root=1\noptions\n", "optionsx root=1\noptions\n");
    assert_true(hf_str_eqz(hf_keyed_get(HF_STR("a 1\n default  x-* \r\ndefault y\n"), "default"), "x-*"));
    expect_set("timeout 3\ndefault  old\ndefault older\n", "timeout 3\ndefault  new\ndefault older\n");
    expect_set("timeout 3\n", "default new\ntimeout 3\n");
    expect_set("", "default new\n");
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_name_says_what_it_is_by),
                                       cmocka_unit_test(tables_keep_all_but_the_device),
                                       cmocka_unit_test(words_change_and_go_and_all_else_stays),
                                       cmocka_unit_test(entries_of_boot_loaders_are_edited_behind_their_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
#else
    puts("skipped: built without libguestfs");
    return 77;
#endif
}
