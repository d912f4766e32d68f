/* What says what goes into an initramfs, and what is in one, as text and bytes: no appliance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/initramfs_scan.h"
#include "consumer/operation/guest/initramfs_text.h"
#include "consumer/operation/guest/selinux_text.h"
#include "schemas/base/mem.h"

/* ---- archives made here ------------------------------------------------------------------------------------------------------ */
typedef struct bytes {
    char *at;
    size_t len, taken;
} bytes;

static void put(bytes *to, const void *from, size_t len) {
    to->at = realloc(to->at, to->len + len);
    assert_non_null(to->at);
    memcpy(to->at + to->len, from, len);
    to->len += len;
}

static void pad(bytes *to, size_t unit) {
    while (to->len % unit)
        put(to, "", 1);
}

static void put_file(bytes *to, const char *name, const char *text) {
    char header[111];
    snprintf(header, sizeof header, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1U, 0100644U, 0U, 0U,
             1U, 0U, (unsigned)strlen(text), 0U, 0U, 0U, 0U, (unsigned)strlen(name) + 1, 0U);
    put(to, header, 110);
    put(to, name, strlen(name) + 1);
    pad(to, 4);
    put(to, text, strlen(text));
    pad(to, 4);
}

/* A cpio archive of those names. */
static bytes cpio_of(const char *const *names) {
    bytes b = {0};
    for (; *names; names++)
        put_file(&b, *names, "bytes of it");
    put_file(&b, "TRAILER!!!", "");
    return b;
}

static bytes squeeze(const bytes *from, int (*filter)(struct archive *a)) {
    bytes b = {0};
    size_t room = from->len + 65536, used = 0;
    b.at = malloc(room);
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "x");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)from->len);
    assert_int_equal(filter(a), ARCHIVE_OK);
    assert_int_equal(archive_write_set_format_raw(a), ARCHIVE_OK);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open_memory(a, b.at, room, &used), ARCHIVE_OK);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, from->at, from->len), from->len);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    archive_entry_free(e);
    b.len = used;
    return b;
}

static ssize_t take(void *ctx, void *to, size_t len) {
    bytes *b = ctx;
    size_t n = b->len - b->taken < len ? b->len - b->taken : len;
    n = n > 1000 ? 1000 : n; /* in pieces */
    memcpy(to, b->at + b->taken, n);
    b->taken += n;
    return (ssize_t)n;
}

static const char *const wanted[] = {"virtio_blk", "nvme", "virtio_net", NULL};

static hf_initramfs_scan look(bytes b, bool whole) {
    hf_initramfs_scan scan;
    b.taken = 0;
    assert_int_equal(hf_initramfs_look(take, &b, "6.1.0-9", wanted, whole, 64 << 20, &scan, NULL), HF_OK);
    return scan;
}

static const char *const microcode[] = {"kernel", "kernel/x86/microcode/GenuineIntel.bin", NULL};
static const char *const modules[] = {"usr/lib/modules/6.1.0-9/kernel/drivers/block/virtio-blk.ko.xz",
                                      "./lib/modules/6.1.0-9/kernel/drivers/nvme/host/nvme.ko", "etc/modprobe.d",
                                      "lib/modules/6.1.0-9/kernel/net/not_virtio_net.ko", NULL};
static const char *const others[] = {"lib/modules/5.10.0/kernel/virtio_blk.ko", "lib/modules/6.1.0-91/nvme.ko", NULL};

static void modules_are_found_behind_microcode_and_compression(void **state) {
    (void)state;
    int (*const filters[])(struct archive *) = {archive_write_add_filter_gzip,  archive_write_add_filter_xz,
                                                archive_write_add_filter_zstd,  archive_write_add_filter_lz4,
                                                archive_write_add_filter_bzip2, archive_write_add_filter_lzma};
    for (size_t i = 0; i <= HF_ARRAY_LEN(filters); i++) {
        bytes front = cpio_of(microcode), body = cpio_of(modules),
              last = i < HF_ARRAY_LEN(filters) ? squeeze(&body, filters[i]) : (bytes){0};
        pad(&front, 512);
        put(&front, last.at ? last.at : body.at, last.at ? last.len : body.len);
        hf_initramfs_scan scan = look(front, true);
        assert_int_equal(scan.state, HF_INITRAMFS_READ);
        assert_int_equal(scan.found, 3); /* another's name that ends alike is none */
        assert_true(scan.for_kernel && !scan.other_kernels);
        assert_int_equal(scan.entries, 6);
        front.len -= last.at ? last.len / 2 : 200; /* cut off */
        assert_int_equal(look(front, true).state, HF_INITRAMFS_DAMAGED);
        free(front.at);
        free(body.at);
        free(last.at);
    }
}

static void what_is_no_initramfs_is_told(void **state) {
    (void)state;
    bytes none = {calloc(1, 1), 0, 0}, zeros = {calloc(1, 4096), 4096, 0}, text = {0}, lzo = {0},
          other = cpio_of(others);
    put(&text, "this is no archive", 18);
    put(&lzo, "\x89LZO\0\r\n\x1a\n", 9);
    assert_int_equal(look(none, true).state, HF_INITRAMFS_DAMAGED);
    assert_int_equal(look(zeros, true).state, HF_INITRAMFS_DAMAGED);
    assert_int_equal(look(text, true).state, HF_INITRAMFS_DAMAGED);
    assert_int_equal(look(lzo, true).state, HF_INITRAMFS_UNKNOWN);
    hf_initramfs_scan scan = look(other, true);
    assert_int_equal(scan.state, HF_INITRAMFS_READ);
    assert_int_equal(scan.found, 0);
    assert_true(!scan.for_kernel && scan.other_kernels);
    bytes large = cpio_of(microcode);
    assert_int_equal(hf_initramfs_look(take, &large, "6.1.0-9", wanted, true, 100, &scan, NULL), HF_OK);
    assert_int_equal(scan.state, HF_INITRAMFS_UNKNOWN); /* 100 bytes were looked at */
    free(none.at);
    free(zeros.at);
    free(text.at);
    free(lzo.at);
    free(other.at);
    free(large.at);
}

static void short_memory_is_an_error(void **state) {
    (void)state;
    bytes body = cpio_of(modules), b = squeeze(&body, archive_write_add_filter_gzip);
    hf_initramfs_scan scan;
    for (uint64_t n = 1; n <= 2; n++) {
        b.taken = 0;
        hf_alloc_fail_after(n);
        assert_int_not_equal(hf_initramfs_look(take, &b, "6.1.0-9", wanted, true, 1 << 20, &scan, NULL), HF_OK);
        hf_alloc_fail_after(0);
    }
    free(b.at);
    free(body.at);
}

/* ---- text ---------------------------------------------------------------------------------------------------------------------- */
typedef bool edit(const char *before, const char *const *names, hf_buf *to);

/* What comes of it, checked to be whole after one time. */
static void edits(edit *with, const char *before, const char *const *names, const char *after) {
    hf_buf once, twice;
    hf_buf_init(&once, 1 << 16);
    hf_buf_init(&twice, 1 << 16);
    assert_true(with(before, names, &once));
    char *text = hf_strndup((const char *)once.data, once.len);
    assert_string_equal(text, after);
    assert_true(with(text, names, &twice));
    assert_int_equal(twice.len, once.len);
    assert_memory_equal(twice.data, once.data, once.len);
    free(text);
    hf_buf_done(&once);
    hf_buf_done(&twice);
}

static const char *const two[] = {"virtio_blk", "nvme", NULL};

static void drivers_are_added_once_to_each_configuration(void **state) {
    (void)state;
    edits(hf_tools_with, NULL, two, "virtio_blk\nnvme\n");
    edits(hf_tools_with, "# virtio_blk\n  nvme # there\nraid1", two,
          "# virtio_blk\n  nvme # there\nraid1\nvirtio_blk\n");
    edits(hf_tools_with, "nvme\nvirtio-blk", two, "nvme\nvirtio-blk");
    static const char head[] = "# What this guest boots with as a virtual machine on KVM.\n";
    char after[256];
    snprintf(after, sizeof after, "%sadd_drivers+=\" virtio_blk nvme \"\n", head);
    edits(hf_dracut_with, NULL, two, after);
    snprintf(after, sizeof after, "%sadd_drivers+=\" virtio_scsi virtio_blk nvme \"\n", head);
    edits(hf_dracut_with, "add_drivers+=\" virtio_scsi nvme \"\n", two, after);
    edits(hf_dracut_with, "force_drivers=\"virtio_blk\"\nadd_drivers='nvme'", two,
          "force_drivers=\"virtio_blk\"\nadd_drivers='nvme'");
    edits(hf_mkinitcpio_with, "MODULES=()\nHOOKS=(base)\n", two, "MODULES=( virtio_blk nvme)\nHOOKS=(base)\n");
    edits(hf_mkinitcpio_with, "#MODULES=(nvme)\n MODULES=(a\n  nvme)\n", two,
          "#MODULES=(nvme)\n MODULES=(a\n  nvme virtio_blk)\n");
    edits(hf_mkinitcpio_with, "MODULES=\"ext4\"\nMODULES+=(nvme)\n", two,
          "MODULES=\"ext4 virtio_blk\"\nMODULES+=(nvme)\n");
    edits(hf_mkinitcpio_with, "HOOKS=(base)", two, "HOOKS=(base)\nMODULES=( virtio_blk nvme )\n");
    edits(hf_mkinitcpio_with, "MODULES=(nvme)\nMODULES=()\n", two, "MODULES=(nvme)\nMODULES=( virtio_blk nvme)\n");
    hf_buf to;
    hf_buf_init(&to, 1 << 12);
    assert_false(hf_mkinitcpio_with("MODULES=(a", two, &to));
    assert_false(hf_mkinitcpio_with("MODULES=(a # why)\n)\n", two, &to));
    assert_false(hf_mkinitcpio_with("MODULES=$MORE\n", two, &to));
    assert_false(to.failed);
    hf_buf_done(&to);
}

static void names_are_told_from_their_likes(void **state) {
    (void)state;
    static const char dep[] = "kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz\n"
                              "kernel/fs/ext4.ko: kernel/lib/nvme.ko\n";
    assert_true(hf_modules_list(dep, "virtio_blk"));
    assert_false(hf_modules_list(dep, "nvme")); /* only depended on */
    assert_false(hf_modules_list(dep, "blk"));
    assert_true(hf_is_module("virtio-blk.ko", 13, "virtio_blk"));
    assert_false(hf_is_module("virtio_blk.ko.sig", 17, "virtio_blk"));
    assert_true(hf_kernel_version_ok("6.1.0-18-amd64") && hf_kernel_version_ok("5.14.0-362.el9.x86_64+rt"));
    assert_false(hf_kernel_version_ok("../6.1") || hf_kernel_version_ok("6.1;id") || hf_kernel_version_ok("-k"));
    char image[64];
    assert_true(hf_mkinitcpio_image("#default_image=\"/x\"\ndefault_image=\"/boot/initramfs-linux.img\"\n", image,
                                    sizeof image));
    assert_string_equal(image, "/boot/initramfs-linux.img");
    assert_false(hf_mkinitcpio_image("default_image=\"/boot/../etc/shadow\"\n", image, sizeof image));
    assert_false(hf_mkinitcpio_image("default_image=\"$(id)\"\n", image, sizeof image));
}

/* ---- SELinux ------------------------------------------------------------------------------------------------------------------------ */
static void selinux_is_read_as_libselinux_does(void **state) {
    (void)state;
    static const struct {
        const char *text, *type;
        hf_selinux_mode mode;
        bool type_ok;
    } rows[] = {
        {"# SELINUX=disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n", "targeted", HF_SELINUX_ENFORCING, true},
        {"SELINUX=Permissive \r\nSELINUXTYPE=default \n", "default", HF_SELINUX_PERMISSIVE, true},
        {"  SELINUX=off\nSELINUXTYPE=a\nSELINUXTYPE=b", "b", HF_SELINUX_BAD, true},
        {"SELINUX=off\nSELINUX=disabled\nSELINUX=enforcing", "", HF_SELINUX_DISABLED, true},
        {"SELINUX = enforcing\nSELINUXTYPE=../../tmp\n", "../../tmp", HF_SELINUX_UNSET, false},
        {"", "", HF_SELINUX_UNSET, true}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_selinux_config c;
        hf_selinux_parse(rows[i].text, &c);
        assert_int_equal(c.mode, rows[i].mode);
        assert_string_equal(c.type, rows[i].type);
        assert_int_equal(c.type_ok, rows[i].type_ok);
    }
}

static void selinux_is_set_in_place(void **state) {
    (void)state;
    static const char *const rows[][4] = {
        {"# c\nSELINUX=enforcng\nSELINUXTYPE=x\n", "SELINUX", "permissive", "# c\nSELINUX=permissive\nSELINUXTYPE=x\n"},
        {"SELINUX=a\r\n#SELINUXTYPE=y", "SELINUXTYPE", "t", "SELINUX=a\r\n#SELINUXTYPE=y\nSELINUXTYPE=t\n"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_buf to;
        hf_buf_init(&to, 1 << 12);
        assert_true(hf_selinux_set(rows[i][0], rows[i][1], rows[i][2], &to) && hf_buf_put(&to, "", 1));
        assert_string_equal((const char *)to.data, rows[i][3]);
        hf_buf_done(&to);
    }
    assert_true(hf_selinux_word("options root=/dev/vda1 selinux=0\n", "selinux=0"));
    assert_true(hf_selinux_word("GRUB_CMDLINE_LINUX=\"selinux=0\"", "selinux=0"));
    assert_false(hf_selinux_word("# selinux=0\nquiet xselinux=0 selinux=01\n", "selinux=0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(modules_are_found_behind_microcode_and_compression),
                                       cmocka_unit_test(what_is_no_initramfs_is_told),
                                       cmocka_unit_test(short_memory_is_an_error),
                                       cmocka_unit_test(drivers_are_added_once_to_each_configuration),
                                       cmocka_unit_test(names_are_told_from_their_likes),
                                       cmocka_unit_test(selinux_is_read_as_libselinux_does),
                                       cmocka_unit_test(selinux_is_set_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
