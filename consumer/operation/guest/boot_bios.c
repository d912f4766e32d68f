/* GRUB for BIOS: the boot sector of the disk that boots, the core image it loads, and the modules that loads. Where one is gone, the guest's own
 * grub-install puts them back. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "consumer/operation/guest/grub_text.h"
#include "schemas/base/mem.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { SECTOR = 512, CODE_BYTES = 440, CORE_AT = 0x5c };
static const char bios_boot_type[] = "21686148-6449-6E6F-744E-656564454649";

/* ---- what is on the disk -------------------------------------------------------------------------------------------------- */
static bool is_zero(const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

static bool sector_has(guestfs_h *g, const char *device, int64_t at, const char *word, bool *ret_zero) {
    size_t len = 0;
    hf_auto_free char *bytes = guestfs_pread_device(g, device, SECTOR, at, &len);
    *ret_zero = bytes && is_zero(bytes, len < CODE_BYTES ? len : CODE_BYTES);
    return bytes && memmem(bytes, len, word, strlen(word));
}

static uint64_t le64(const unsigned char *p) {
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | p[i];
    return n;
}

/* What stands in the boot sector may hand over to that of the active partition. */
static bool handed_over(guestfs_h *g, const char *disk) {
    struct guestfs_partition_list *parts = guestfs_part_list(g, disk);
    bool found = false, zero;
    for (uint32_t i = 0; parts && i < parts->len && !found; i++)
        if (guestfs_part_get_bootable(g, disk, parts->val[i].part_num) == 1)
            found = sector_has(g, disk, (int64_t)parts->val[i].part_start, "GRUB ", &zero);
    guestfs_free_partition_list(parts);
    return found;
}

/* NULL: nothing is wrong that can be seen. */
static const char *boot_sector_wrong(guestfs_h *g, const char *disk) {
    size_t len = 0;
    bool zero;
    hf_auto_free char *first = guestfs_pread_device(g, disk, SECTOR, 0, &len);
    if (!first || len < SECTOR)
        return "its boot sector cannot be read";
    if (is_zero(first, CODE_BYTES))
        return "its boot sector has no code";
    if (!memmem(first, CODE_BYTES, "GRUB ", 5))
        return handed_over(g, disk) ? NULL : "its boot sector is not GRUB's";
    uint64_t core = le64((const unsigned char *)first + CORE_AT);
    if (core == 0 || core > INT64_MAX / SECTOR)
        return "its boot sector names no core image";
    if (sector_has(g, disk, (int64_t)core * SECTOR, "Geom", &zero))
        return NULL;
    return zero ? "GRUB's core image is gone" : "GRUB's core image is overwritten";
}

static const char *modules_folder(hf_guest_session *x) {
    return hf_guest_exists(x, "/boot/grub2/i386-pc") ? "/boot/grub2/i386-pc" : "/boot/grub/i386-pc";
}

static const char *wrong_of(hf_guest_session *x, const char *disk) {
    char path[64];
    const char *why = boot_sector_wrong(hf_guest_handle(x), disk);
    snprintf(path, sizeof path, "%s/normal.mod", modules_folder(x));
    return why ? why : hf_guest_exists(x, path) ? NULL : "GRUB's modules are gone from /boot";
}

/* ---- whether it boots by BIOS --------------------------------------------------------------------------------------------------- */
static bool boots_by_bios(hf_guest_session *x, const char *disk, bool has_esp) {
    guestfs_h *g = hf_guest_handle(x);
    const hf_guest_os *os = hf_guest_os_of(x);
    hf_auto_free char *table = guestfs_part_get_parttype(g, disk);
    if (!table || (strcmp(os->arch, "x86_64") != 0 && strcmp(os->arch, "i386") != 0))
        return false;
    if (strcmp(table, "gpt") != 0)
        return !has_esp || hf_guest_exists(x, modules_folder(x));
    struct guestfs_partition_list *parts = guestfs_part_list(g, disk);
    bool found = false;
    for (uint32_t i = 0; parts && i < parts->len && !found; i++) {
        hf_auto_free char *type = guestfs_part_get_gpt_type(g, disk, parts->val[i].part_num);
        found = type && strcasecmp(type, bios_boot_type) == 0;
    }
    guestfs_free_partition_list(parts);
    return found;
}

/* ---- putting it back ---------------------------------------------------------------------------------------------------------------- */
/* The guest's programs see the disk under the name the appliance's kernel gave it. */
static hf_code own_name(hf_guest_session *x, const char *disk, const char **ret, hf_err *reterr) {
    int status = 0;
    char *out = NULL;
    hf_code rc = hf_guest_tool(x, ARGV("readlink", "-f", disk), &status, &out, reterr);
    if (rc == HF_OK && (status != 0 || strncmp(out, "/dev/", 5) != 0))
        rc = hf_fail(reterr, HF_E_TOOL_FAILED, "the appliance has no name for %s", disk);
    if (rc == HF_OK) {
        out[strcspn(out, "\n")] = 0;
        *ret = out;
    }
    return rc;
}

static hf_code install(hf_guest_session *x, const char *disk, const char *why, uint32_t *ret_wrong, hf_err *reterr) {
    const char *program = hf_boot_grub_program(x, "install"), *name;
    if (!program || !hf_guest_exists(x, "/usr/lib/grub/i386-pc")) {
        hf_guest_finding(
            x, "error", "loader-tools-missing",
            "Install GRUB for BIOS in the guest (Debian: grub-pc; Fedora and its kin: grub2-pc), and run this again.",
            "%s: %s, and the guest has no grub-install for BIOS", disk, why);
        ++*ret_wrong;
        return HF_OK;
    }
    hf_code rc = HF_OK;
    if (!hf_guest_dry(x)) {
        hf_err err = {0};
        rc = own_name(x, disk, &name, reterr);
        if (rc == HF_OK && (rc = hf_guest_command(x, ARGV(program, "--target=i386-pc", "--no-floppy", name), NULL,
                                                  &err)) == HF_E_TOOL_FAILED) {
            hf_guest_finding(x, "error", "loader-not-installed", NULL, "%s: %s: %.700s", disk, why, err.detail);
            ++*ret_wrong;
            return HF_OK;
        }
        if (rc != HF_OK)
            return err.code ? hf_fail(reterr, rc, "%s", err.detail) : rc;
    }
    hf_guest_change(x, "boot loader", disk, why, "GRUB for BIOS, by the guest's own grub-install");
    const char *still = hf_guest_dry(x) ? NULL : wrong_of(x, disk);
    if (still) {
        hf_guest_finding(x, "error", "loader-still-wrong", NULL, "%s: %s, also after grub-install", disk, still);
        ++*ret_wrong;
    }
    return HF_OK;
}

/* GRUB finds the disks without a map; one with names of other hardware misleads it. */
static hf_code drop_map(hf_guest_session *x, hf_err *reterr) {
    static const char *const maps[] = {"/boot/grub/device.map", "/boot/grub2/device.map"};
    hf_code rc = HF_OK;
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(maps); i++) {
        hf_str text;
        rc = hf_guest_text(x, maps[i], &text, reterr);
        if (rc == HF_OK && hf_grub_map_changes(text))
            rc = hf_guest_remove(x, maps[i], false, reterr);
    }
    return rc;
}

hf_code hf_boot_bios(hf_guest_session *x, hf_boot *boot, bool has_esp, uint32_t *ret_wrong, hf_err *reterr) {
    hf_code rc = drop_map(x, reterr);
    const char *disk = hf_boot_disk_of(x, boot->boot);
    if (rc != HF_OK)
        return rc;
    if (!disk || !boots_by_bios(x, disk, has_esp)) {
        if (!has_esp) {
            hf_guest_finding(x, "error", "no-place-for-loader",
                             "Add a BIOS boot partition or an EFI system partition to the disk.",
                             "%s has no partition a boot loader could be on: neither BIOS nor UEFI boots it",
                             disk ? disk : "the system's disk");
            ++*ret_wrong;
        }
        return HF_OK;
    }
    const char *why = wrong_of(x, disk);
    if (!why && boot->force)
        why = "asked for";
    return why ? install(x, disk, why, ret_wrong, reterr) : HF_OK;
}
