/* The devices of a guest by all the names they have, and what a name in its configuration means. */
#include <stdio.h>
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "schemas/base/mem.h"

static const char *keep(hf_guest_session *x, const char *text) {
    hf_str kept = hf_arena_str(hf_guest_arena(x), hf_str_of(text));
    return kept.p ? kept.p : "";
}

/* ---- looking ------------------------------------------------------------------------------------------------------------- */
static void look_at(hf_guest_session *x, hf_boot *boot, const char *name, const char *type) {
    if (boot->count == HF_BOOT_DEVICES_MAX)
        return;
    hf_boot_device *d = &boot->devices[boot->count++];
    *d = (hf_boot_device){
        .name = keep(x, name), .type = keep(x, type), .uuid = "", .label = "", .partuuid = "", .partlabel = ""};
    char **facts = guestfs_blkid(hf_guest_handle(x), name);
    for (char **f = facts; f && f[0] && f[1]; f += 2) {
        if (strcmp(f[0], "UUID") == 0)
            d->uuid = keep(x, f[1]);
        else if (strcmp(f[0], "LABEL") == 0)
            d->label = keep(x, f[1]);
        else if (strcmp(f[0], "PART_ENTRY_UUID") == 0)
            d->partuuid = keep(x, f[1]);
        else if (strcmp(f[0], "PART_ENTRY_NAME") == 0)
            d->partlabel = keep(x, f[1]);
    }
    hf_guest_free_strings(facts);
    boot->encrypted |= strcmp(type, "crypto_LUKS") == 0;
}

/* What a file system that is mounted is on: "btrfsvol:/dev/sda2/@" is a subvolume's name. (libguestfs has a call for that, whose answer is the
 * name the appliance's kernel gave the disk.) */
static const char *device_behind(hf_guest_session *x, const hf_boot *boot, const char *mountable) {
    static const char front[] = "btrfsvol:";
    if (strncmp(mountable, front, sizeof front - 1) != 0)
        return keep(x, mountable);
    const char *name = mountable + sizeof front - 1;
    for (uint32_t i = 0; i < boot->count; i++) {
        size_t len = strlen(boot->devices[i].name);
        if (strncmp(name, boot->devices[i].name, len) == 0 && (name[len] == '/' || name[len] == 0))
            return boot->devices[i].name;
    }
    return keep(x, name);
}

static hf_code look(hf_guest_session *x, hf_boot *boot, hf_err *reterr) {
    const hf_guest_os *os = hf_guest_os_of(x);
    char **list = hf_guest_file_systems(x);
    if (!list)
        return hf_guest_fail(x, reterr, "looking for file systems");
    for (char **at = list; at[0] && at[1]; at += 2)
        if (strncmp(at[0], "btrfsvol:", 9) != 0)
            look_at(x, boot, at[0], at[1]);
    hf_guest_free_strings(list);
    boot->root = boot->boot = device_behind(x, boot, os->root);
    for (char **m = os->mountpoints; *m; m += 2)
        if (strcmp(m[0], "/boot") == 0)
            boot->boot = device_behind(x, boot, m[1]);
    boot->looked = true;
    return hf_guest_text(x, "/etc/crypttab", &boot->crypttab, reterr);
}

hf_code hf_boot_begin(hf_guest_session *x, hf_boot **ret, hf_err *reterr) {
    hf_boot *boot = *hf_guest_own(x, HF_GUEST_BOOT);
    const hf_guest_os *os = hf_guest_os_of(x);
    *ret = NULL;
    if (!os || !os->linux_guest) {
        hf_guest_result(x, "not possible", "%s",
                        os && os->windows ? "Windows guests are not changed here: virt-v2v does it"
                                          : "no Linux system was found");
        return HF_OK;
    }
    hf_code rc = hf_guest_mount(x, reterr);
    if (rc == HF_OK && !boot->looked)
        rc = look(x, boot, reterr);
    if (rc == HF_OK)
        *ret = boot;
    return rc;
}

const char *hf_boot_disk_of(hf_guest_session *x, const char *device) {
    guestfs_h *g = hf_guest_handle(x);
    const char *found = NULL;
    bool partition = hf_device_word_of(hf_str_of(device)).kind == HF_DEVICE_KERNEL;
    hf_auto_free char *disk = partition ? guestfs_part_to_dev(g, device) : NULL;
    if (disk)
        return hf_arena_str(hf_guest_arena(x), hf_str_of(disk)).p;
    char **all = guestfs_list_devices(g);
    for (char **d = all; d && *d && !found; d++) {
        hf_auto_free char *table = guestfs_part_get_parttype(g, *d);
        if (table)
            found = hf_arena_str(hf_guest_arena(x), hf_str_of(*d)).p;
    }
    hf_guest_free_strings(all);
    return found;
}

/* ---- names ------------------------------------------------------------------------------------------------------------------ */
bool hf_boot_uuid_gone(void *ctx, hf_str uuid) {
    const hf_boot *boot = ctx;
    const hf_boot_device *device;
    char word[80];
    return snprintf(word, sizeof word, "UUID=%.*s", HF_STR_ARG(uuid)) >= (int)sizeof word ||
           hf_boot_find(boot, hf_str_of(word), HF_STR_NONE, &device) == HF_BOOT_MISSING;
}

const hf_boot_device *hf_boot_device_named(const hf_boot *boot, const char *name) {
    for (uint32_t i = 0; i < boot->count; i++)
        if (strcmp(boot->devices[i].name, name) == 0)
            return &boot->devices[i];
    return NULL;
}

static bool has_tag(const hf_boot_device *d, const char *tag, hf_str value) {
    const char *has = strcmp(tag, "UUID") == 0       ? d->uuid
                      : strcmp(tag, "LABEL") == 0    ? d->label
                      : strcmp(tag, "PARTUUID") == 0 ? d->partuuid
                                                     : d->partlabel;
    return strlen(has) == value.len && strncasecmp(has, value.p, value.len) == 0;
}

static hf_boot_found find_tag(const hf_boot *boot, hf_device_word word, const hf_boot_device **ret) {
    for (uint32_t i = 0; i < boot->count; i++)
        if (has_tag(&boot->devices[i], word.tag, word.value)) {
            *ret = &boot->devices[i];
            return HF_BOOT_FOUND;
        }
    bool of_partition = strncmp(word.tag, "PART", 4) == 0;
    return (boot->encrypted && !of_partition) || boot->count == HF_BOOT_DEVICES_MAX ? HF_BOOT_UNCLEAR : HF_BOOT_MISSING;
}

/* /dev/sda1: of which disk a device is the partition; -1: it is none. */
static int partition_of(const hf_boot_device *d, int *ret_disk) {
    hf_device_word own = hf_device_word_of(hf_str_of(d->name));
    *ret_disk = own.disk;
    return own.kind == HF_DEVICE_KERNEL ? own.partition : -1;
}

/* The disks have the order in which the guest had them, whatever its driver called them. Where a name says nothing of the order, it is the only
 * partition of that number that has what is expected. */
static hf_boot_found find_by_number(const hf_boot *boot, hf_device_word word, hf_str type, const hf_boot_device **ret) {
    uint32_t fits = 0;
    const hf_boot_device *found = NULL;
    for (uint32_t i = 0; i < boot->count; i++) {
        const hf_boot_device *d = &boot->devices[i];
        int disk;
        if (partition_of(d, &disk) != word.partition || !hf_fs_type_fits(type, d->type))
            continue;
        if (word.kind == HF_DEVICE_KERNEL && disk == word.disk) {
            *ret = d;
            return HF_BOOT_FOUND;
        }
        found = d;
        fits++;
    }
    if (word.kind == HF_DEVICE_KERNEL || fits == 0)
        return HF_BOOT_MISSING;
    *ret = fits == 1 ? found : NULL;
    return fits == 1 ? HF_BOOT_FOUND : HF_BOOT_UNCLEAR;
}

static bool in_crypttab(const hf_boot *boot, const char *name) {
    hf_str line;
    for (uint32_t at = 0; hf_text_line(boot->crypttab, &at, &line);)
        if (line.len > strlen(name) && memcmp(line.p, name, strlen(name)) == 0 && strchr(" \t", line.p[strlen(name)]))
            return true;
    return false;
}

static hf_boot_found find_mapped(const hf_boot *boot, hf_str word, const hf_boot_device **ret) {
    char name[256], other[256];
    if (!hf_mapper_name(word, name, sizeof name))
        return HF_BOOT_NO_DEVICE;
    for (uint32_t i = 0; i < boot->count; i++)
        if (hf_mapper_name(hf_str_of(boot->devices[i].name), other, sizeof other) && strcmp(name, other) == 0) {
            *ret = &boot->devices[i];
            return HF_BOOT_FOUND;
        }
    return boot->encrypted || in_crypttab(boot, name) || boot->count == HF_BOOT_DEVICES_MAX ? HF_BOOT_UNCLEAR
                                                                                            : HF_BOOT_MISSING;
}

hf_boot_found hf_boot_find(const hf_boot *boot, hf_str text, hf_str type, const hf_boot_device **ret) {
    hf_device_word word = hf_device_word_of(text);
    *ret = NULL;
    switch (word.kind) {
    case HF_DEVICE_TAG: return find_tag(boot, word, ret);
    case HF_DEVICE_KERNEL:
    case HF_DEVICE_BUS: return find_by_number(boot, word, type, ret);
    case HF_DEVICE_MAPPER: return find_mapped(boot, text, ret);
    case HF_DEVICE_NONE: break;
    }
    return HF_BOOT_NO_DEVICE;
}

bool hf_boot_tag(const hf_boot *boot, const hf_boot_device *device, char *ret, size_t size) {
    bool by_content = device->uuid[0] != 0;
    const char *value = by_content ? device->uuid : device->partuuid;
    uint32_t same = 0;
    for (uint32_t i = 0; i < boot->count; i++)
        same += strcmp(by_content ? boot->devices[i].uuid : boot->devices[i].partuuid, value) == 0;
    return value[0] && same == 1 && strlen(value) <= 64 && strspn(value, "0123456789abcdefABCDEF-") == strlen(value) &&
           snprintf(ret, size, "%s=%s", by_content ? "UUID" : "PARTUUID", value) < (int)size;
}

bool hf_boot_tag_for_kernel(const hf_boot *boot, const hf_boot_device *device, char *ret, size_t size) {
    char name[128];
    if (hf_mapper_name(hf_str_of(device->name), name, sizeof name))
        return snprintf(ret, size, "/dev/mapper/%s", name) < (int)size;
    return hf_boot_tag(boot, device, ret, size);
}

/* ---- files -------------------------------------------------------------------------------------------------------------------- */
