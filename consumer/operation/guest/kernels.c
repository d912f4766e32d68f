/* Kernels as distributions lay them out: Debian, Fedora and SUSE in /boot, Arch by its package's name, systemd's kernel-install by the machine's
 * identifier. */
#include "consumer/operation/guest/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/guest/initramfs_text.h"
#include "schemas/base/mem.h"

enum { NAMES_MAX = 400, LIST_BYTES_MAX = 8 << 20, PIECE = 1 << 20 };

const char *const hf_kvm_drivers[HF_KVM_DRIVERS + 1] = {"virtio_blk", "virtio_scsi", "virtio_pci",
                                                        "nvme",       "virtio_net",  NULL};

/* ---- files larger than a text that is edited ---------------------------------------------------------------------------------- */
typedef struct reader {
    hf_guest_session *x;
    const char *path;
    int64_t at;
} reader;

static ssize_t read_some(void *ctx, void *to, size_t len) {
    reader *r = ctx;
    size_t got = 0;
    hf_auto_free char *piece =
        guestfs_pread(hf_guest_handle(r->x), r->path, (int)(len < PIECE ? len : PIECE), r->at, &got);
    if (!piece)
        return -1;
    memcpy(to, piece, got < len ? got : len);
    r->at += (int64_t)got;
    return (ssize_t)got;
}

static bool is_file(hf_guest_session *x, const char *path) {
    return guestfs_is_file_opts(hf_guest_handle(x), path, GUESTFS_IS_FILE_OPTS_FOLLOWSYMLINKS, 1, -1) == 1;
}

/* NULL where there is none, or it is larger than any kernel's. free() it. */
static char *read_list(hf_guest_session *x, const char *folder, const char *name) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int64_t size = is_file(x, path) ? guestfs_filesize(hf_guest_handle(x), path) : 0;
    hf_auto_free char *text = size > 0 && size <= LIST_BYTES_MAX ? hf_alloc((size_t)size + 1) : NULL;
    reader r = {.x = x, .path = path};
    size_t have = 0;
    for (ssize_t n = 1; text && n > 0 && have<(size_t)size; have += n> 0 ? (size_t)n : 0)
        n = read_some(&r, text + have, (size_t)size - have);
    return text && have == (size_t)size ? HF_TAKE(text) : NULL;
}

static void find_drivers(hf_guest_session *x, hf_guest_kernel *k) {
    hf_auto_free char *built_in = read_list(x, k->folder, "modules.builtin"),
                      *modules = read_list(x, k->folder, "modules.dep");
    for (int i = 0; i < HF_KVM_DRIVERS; i++)
        k->drivers[i] = hf_modules_list(built_in, hf_kvm_drivers[i])  ? HF_DRIVER_BUILT_IN
                        : hf_modules_list(modules, hf_kvm_drivers[i]) ? HF_DRIVER_MODULE
                                                                      : HF_DRIVER_ABSENT;
}

/* ---- what belongs to a kernel -------------------------------------------------------------------------------------------------- */
/* The first file that exists of those patterns, whose * is the word. */
static const char *find_path(hf_guest_session *x, const char *const *formats, const char *word) {
    for (; *formats && *word; formats++) {
        const char *star = strchr(*formats, '*');
        char *path = hf_arena_printf(hf_guest_arena(x), "%.*s%s%s", (int)(star - *formats), *formats, word, star + 1);
        if (path && is_file(x, path))
            return path;
    }
    return NULL;
}

/* A short text's first word; "" if it is none that may stand in a path. */
static const char *word_in(hf_guest_session *x, const char *path) {
    char *text = NULL;
    size_t len = 0;
    if (hf_guest_read(x, path, &text, &len, NULL) != HF_OK || !text)
        return "";
    text[strcspn(text, " \t\r\n")] = 0;
    return hf_kernel_version_ok(text) ? text : "";
}

/* The image that the package's preset makes on Arch. */
static const char *preset_image(hf_guest_session *x, const char *package) {
    char path[200], image[256], *text = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "/etc/mkinitcpio.d/%.128s.preset", package);
    if (!*package || hf_guest_read(x, path, &text, &len, NULL) != HF_OK || !text ||
        !hf_mkinitcpio_image(text, image, sizeof image))
        return NULL;
    return is_file(x, image) ? hf_arena_str(hf_guest_arena(x), hf_str_of(image)).p : NULL;
}

static void fill(hf_guest_session *x, const char *machine, hf_guest_kernel *k) {
    static const char *const images[] = {"/boot/vmlinuz-*", "/lib/modules/*/vmlinuz", "/boot/vmlinux-*",
                                         "/boot/Image-*",   "/lib/modules/*/vmlinux", NULL};
    static const char *const initramfs[] = {"/boot/initrd.img-*", "/boot/initramfs-*.img", "/boot/initrd-*", NULL};
    static const char *const by_machine[] = {"/boot/*/linux", "/efi/*/linux", "/boot/efi/*/linux", NULL};
    static const char *const initrd_by_machine[] = {"/boot/*/initrd", "/efi/*/initrd", "/boot/efi/*/initrd", NULL};
    char both[300] = "", file[300];
    if (*machine)
        snprintf(both, sizeof both, "%s/%s", machine, k->version);
    snprintf(file, sizeof file, "%s/pkgbase", k->folder);
    const char *package = word_in(x, file);
    k->image = find_path(x, images, k->version);
    if (!k->image)
        k->image = find_path(x, by_machine, both);
    k->initramfs = preset_image(x, package);
    if (!k->initramfs)
        k->initramfs = find_path(x, initramfs, k->version);
    if (!k->initramfs)
        k->initramfs = find_path(x, initrd_by_machine, both);
    if (!k->initramfs)
        k->initramfs = find_path(x, initramfs, package);
}

hf_code hf_guest_kernels(hf_guest_session *x, hf_guest_kernel list[HF_GUEST_KERNELS_MAX], uint32_t *ret_count,
                         hf_err *reterr) {
    *ret_count = 0;
    if (guestfs_is_dir_opts(hf_guest_handle(x), "/lib/modules", GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1) != 1)
        return HF_OK;
    char **names = guestfs_ls(hf_guest_handle(x), "/lib/modules");
    if (!names)
        return hf_guest_fail(x, reterr, "looking for kernels");
    const char *machine = word_in(x, "/etc/machine-id");
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && names[i] && i < NAMES_MAX && *ret_count < HF_GUEST_KERNELS_MAX; i++) {
        if (!hf_kernel_version_ok(names[i]))
            continue;
        hf_guest_kernel k = {.version = hf_arena_str(hf_guest_arena(x), hf_str_of(names[i])).p,
                             .folder = hf_arena_printf(hf_guest_arena(x), "/lib/modules/%s", names[i])};
        if (!k.version || !k.folder) {
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "the guest's kernels");
            break;
        }
        fill(x, machine, &k);
        if (!k.image) /* modules that an older kernel left */
            continue;
        find_drivers(x, &k);
        list[(*ret_count)++] = k;
    }
    hf_guest_free_strings(names);
    return rc;
}

/* ---- drivers --------------------------------------------------------------------------------------------------------------------- */
hf_driver hf_guest_driver(const hf_guest_kernel *k, const char *name) {
    for (int i = 0; i < HF_KVM_DRIVERS; i++)
        if (strcmp(hf_kvm_drivers[i], name) == 0)
            return k->drivers[i];
    return HF_DRIVER_ABSENT;
}

const char *hf_guest_driver_says(hf_driver driver) {
    return driver == HF_DRIVER_BUILT_IN ? "built in" : driver == HF_DRIVER_MODULE ? "module" : "absent";
}

hf_code hf_guest_initramfs_look(hf_guest_session *x, const char *path, const char *version, const char *const *wanted,
                                bool whole, hf_initramfs_scan *ret, hf_err *reterr) {
    reader r = {.x = x, .path = path};
    hf_code rc = hf_initramfs_look(read_some, &r, version, wanted, whole, HF_INITRAMFS_MOST, ret, reterr);
    return rc == HF_E_TOOL_FAILED ? hf_guest_fail(x, reterr, "reading the guest's %s", path) : rc;
}
