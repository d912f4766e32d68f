/* GRUB's files as text: assignments, the environment block, and which entries a menu has. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/grub_text.h"

static hf_word_fate rooted(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]) {
    (void)ctx;
    (void)value;
    if (hf_str_eqz(key, "root"))
        snprintf(to, HF_WORD_MAX, "UUID=u");
    return hf_str_eqz(key, "root") ? HF_WORD_CHANGES : hf_str_eqz(key, "resume") ? HF_WORD_GOES : HF_WORD_STAYS;
}

static void check(hf_buf *out, bool fine, const char *text, const char *after) {
    assert_true(fine);
    if (!hf_str_eqz(hf_buf_str(out), after))
        fail_msg("\"%s\" became \"%.*s\"", text, HF_STR_ARG(hf_buf_str(out)));
    hf_buf_done(out);
}

static void expect_edit(const char *text, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    bool fine = hf_shell_edit(hf_str_of(text), "GRUB_CMDLINE_", rooted, NULL, &out);
    check(&out, fine, text, after);
}

static void expect_set(const char *text, const char *value, const char *after) {
    hf_buf out;
    hf_buf_init(&out, 4096);
    bool fine = hf_shell_set(hf_str_of(text), "GRUB_DEFAULT", value, &out);
    check(&out, fine, text, after);
}

static void assignments_are_edited_within_their_quotes(void **state) {
    (void)state;
    expect_edit("", "");
    expect_edit("A=\"root=1\"\n# GRUB_CMDLINE_LINUX=\"root=1\"\n", "A=\"root=1\"\n# GRUB_CMDLINE_LINUX=\"root=1\"\n");
    expect_edit("GRUB_CMDLINE_LINUX=\"root=/dev/sda1 resume=x quiet\" # why\nX=1",
                "GRUB_CMDLINE_LINUX=\"root=UUID=u quiet\" # why\nX=1");
    expect_edit("  export GRUB_CMDLINE_LINUX_DEFAULT='ro root=a'\n",
                "  export GRUB_CMDLINE_LINUX_DEFAULT='ro root=UUID=u'\n");
    expect_edit("GRUB_CMDLINE_LINUX+=\" root=a\"", "GRUB_CMDLINE_LINUX+=\" root=UUID=u\"");
    expect_edit("GRUB_CMDLINE_LINUX=root=a; x", "GRUB_CMDLINE_LINUX=root=UUID=u; x");
    expect_edit("GRUB_CMDLINE_LINUX=\"x=\\\"a b\\\" root=a\"", "GRUB_CMDLINE_LINUX=\"x=\\\"a b\\\" root=UUID=u\"");
    expect_edit("GRUB_CMDLINE_LINUX=\"open root=a\n", "GRUB_CMDLINE_LINUX=\"open root=a\n"); /* goes on: left alone */
    expect_edit("GRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX=\"\"", "GRUB_CMDLINE_LINUX=\nGRUB_CMDLINE_LINUX=\"\"");
    assert_true(hf_str_eqz(hf_shell_get(HF_STR("A=1\nA='2 3'\nAB=4"), "A"), "2 3"));
    assert_null(hf_shell_get(HF_STR("AB=4\n"), "A").p);
    expect_set("GRUB_DEFAULT=7\n", "0", "GRUB_DEFAULT=0\n");
    expect_set("GRUB_DEFAULT='a b'\nX=1\n", "c>d", "GRUB_DEFAULT=\"c>d\"\nX=1\n");
    expect_set("X=1", "0", "X=1\nGRUB_DEFAULT=\"0\"\n");
    hf_buf out;
    hf_buf_init(&out, 4096);
    assert_false(hf_shell_set(HF_STR("GRUB_DEFAULT=0\n"), "GRUB_DEFAULT", "$(reboot)", &out));
    assert_false(hf_shell_set(HF_STR("GRUB_DEFAULT=0\n"), "GRUB_DEFAULT", "a\nb", &out));
    hf_buf_done(&out);
}

static hf_str block_of(char block[HF_GRUBENV_SIZE], const char *text) {
    memset(block, '#', HF_GRUBENV_SIZE);
    memcpy(block, text, strlen(text));
    return (hf_str){block, HF_GRUBENV_SIZE};
}

static void an_environment_block_keeps_its_size(void **state) {
    (void)state;
    static char block[HF_GRUBENV_SIZE], made[HF_GRUBENV_SIZE], large[1000];
    hf_str b = block_of(block,
                        "# GRUB Environment Block\n# WARNING\nsaved_entry=a\nkernelopts=root=/dev/sda1 ro \nx=1\n"),
           m = {made, HF_GRUBENV_SIZE};
    assert_true(hf_str_eqz(hf_grubenv_get(b, "kernelopts"), "root=/dev/sda1 ro "));
    assert_null(hf_grubenv_get(b, "saved").p);
    assert_true(hf_grubenv_set(b, "saved_entry", HF_STR("longer-than-that"), made));
    assert_true(hf_grubenv_is(m) && hf_str_eqz(hf_grubenv_get(m, "saved_entry"), "longer-than-that"));
    assert_true(hf_str_eqz(hf_grubenv_get(m, "x"), "1") && made[HF_GRUBENV_SIZE - 1] == '#');
    assert_true(hf_grubenv_set(b, "saved_entry", HF_STR_NONE, made));
    assert_null(hf_grubenv_get(m, "saved_entry").p);
    assert_true(hf_grubenv_set(b, "new", HF_STR("2"), made) && hf_str_eqz(hf_grubenv_get(m, "new"), "2"));
    assert_true(hf_grubenv_set(b, "x", HF_STR("1"), made) && memcmp(made, block, HF_GRUBENV_SIZE) == 0);
    memset(large, 'x', sizeof large);
    assert_false(hf_grubenv_set(b, "new", (hf_str){large, sizeof large}, made));
    assert_false(hf_grubenv_is((hf_str){block, 1023}) || hf_grubenv_is(HF_STR_NONE));
    assert_false(hf_grubenv_set((hf_str){block, 1000}, "x", HF_STR("1"), made));
}

static const char menu[] =
    "set default=\"0\"\nif [ x = y ]; then\n  set default=\"${saved_entry}\"\nfi\nfunction load {\n  search --no-floppy\n}\n"
    "menuentry 'Debian' --class debian $menuentry_id_option 'simple' {\n\tload\n"
    "\tsearch --no-floppy --fs-uuid --set=root --hint-bios=hd0 aaaa-1\n\techo 'linux /no root=x'\n"
    "\tlinux\t/boot/vmlinuz-6.1 root=UUID=aaaa-1 ro  quiet\n\tinitrd\t/boot/initrd-6.1\n}\n"
    "submenu 'More > of it' $menuentry_id_option 'more' {\n"
    "\tmenuentry 'Debian, 6.1' --id a {\n\t\tlinux16 /vmlinuz-6.1\n\t}\n"
    "\tmenuentry \"Debian, 6.0\" {\n\t\tlinuxefi ($root)/vmlinuz-6.0 root=/dev/sda1\n\t}\n}\n"
    "menuentry Firmware { fwsetup\n}\nmenuentry 'Last' {\n}\n";

static void a_menu_is_read_with_its_submenus(void **state) {
    (void)state;
    static hf_grub_config c;
    hf_grub_read(hf_str_of(menu), &c);
    assert_int_equal(c.count, 6);
    assert_true(hf_str_eqz(c.entries[0].title, "Debian") && hf_str_eqz(c.entries[0].id, "simple"));
    assert_true(hf_str_eqz(c.entries[0].kernel, "/boot/vmlinuz-6.1"));
    assert_true(hf_str_eqz(hf_cmdline_get(c.entries[0].words, "root"), "UUID=aaaa-1"));
    assert_true(hf_str_eqz(c.entries[0].initrd, "\t/boot/initrd-6.1"));
    assert_true(c.entries[1].submenu && c.entries[2].parent == 1 && c.entries[3].parent == 1 &&
                c.entries[4].parent == -1);
    assert_int_equal(c.search_count, 1);
    assert_true(hf_str_eqz(c.searches[0], "aaaa-1") && hf_str_eqz(c.fallback, "0"));
    static const struct {
        const char *value;
        int32_t entry;
    } names[] = {{"0", 0},
                 {"1", 1},
                 {"1>1", 3},
                 {"simple", 0},
                 {"Debian", 0},
                 {"more>a", 2},
                 {"2", 4},
                 {"more>1", 3},
                 {"more>b", -1},
                 {"4", -1},
                 {"nothing", -1},
                 {"", -1},
                 {"a", -1},
                 {"1>2", -1},
                 {"Last", 5},
                 {"99999999", -1},
                 {"More >> of it>Debian, 6.0", 3},
                 {">", -1},
                 {"more>", 1}};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++)
        if (hf_grub_find(&c, hf_str_of(names[i].value)) != names[i].entry)
            fail_msg("\"%s\" is %d", names[i].value, (int)hf_grub_find(&c, hf_str_of(names[i].value)));
    char path[64];
    assert_true(hf_grub_path(&c, 2, path, sizeof path));
    assert_string_equal(path, "more>a");
    assert_true(hf_grub_path(&c, 3, path, sizeof path));
    assert_string_equal(path, "more>Debian, 6.0");
    assert_false(hf_grub_path(&c, 3, path, 8));
    hf_grub_read(HF_STR("insmod blscfg\nblscfg\n"), &c);
    assert_true(c.bls && c.count == 0);
    hf_grub_read(HF_STR("}\n}\nmenuentry x {\nlinux\n"), &c);
    assert_true(c.count == 1 && c.entries[0].kernel.len == 0);
}

static void what_is_too_much_is_cut(void **state) {
    (void)state;
    static char text[200000];
    static hf_grub_config c;
    size_t n = 0;
    for (int i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "submenu 's%d' {\nmenuentry 'e%d' {\n", i, i);
    hf_grub_read((hf_str){text, (uint32_t)n}, &c);
    assert_true(c.cut && c.count <= HF_GRUB_ENTRIES_MAX);
    memset(text, '\'', sizeof text);
    hf_grub_read((hf_str){text, sizeof text}, &c);
    assert_int_equal(c.count, 0);
}

static bool old_one(void *ctx, hf_str uuid) { return hf_str_eqz(uuid, ctx); }

static void what_is_looked_for_is_exchanged(void **state) {
    (void)state;
    hf_buf out;
    hf_buf_init(&out, 4096);
    char old[] = "old";
    bool fine =
        hf_grub_edit_searches(HF_STR("search.fs_uuid old root hd0,gpt1 \nsearch --no-floppy --fs-uuid --set=dev old\n"
                                     "search --label old\nset prefix=($root)'/boot/grub'\nsearch -u kept"),
                              old_one, old, "new", &out);
    check(&out, fine, "a stub",
          "search.fs_uuid new root hd0,gpt1 \nsearch --no-floppy --fs-uuid --set=dev new\n"
          "search --label old\nset prefix=($root)'/boot/grub'\nsearch -u kept");
    assert_true(hf_grub_map_changes(HF_STR("# map\n(hd0) /dev/sda\n")));
    assert_true(hf_grub_map_changes(HF_STR("(hd0)\t/dev/disk/by-id/scsi-3600")));
    assert_false(hf_grub_map_changes(HF_STR("(hd0) /dev/mapper/vg-x\n#(hd1) /dev/sda\n")));
    assert_false(hf_grub_map_changes(HF_STR_NONE));
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assignments_are_edited_within_their_quotes),
        cmocka_unit_test(an_environment_block_keeps_its_size), cmocka_unit_test(a_menu_is_read_with_its_submenus),
        cmocka_unit_test(what_is_too_much_is_cut), cmocka_unit_test(what_is_looked_for_is_exchanged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
#else
    puts("skipped: built without libguestfs");
    return 77;
#endif
}
