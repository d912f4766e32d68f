/* What the steps of boot_repair share: the devices there are, by every name they have, and what the job asks. */
#pragma once
#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/guest/boot_text.h"

enum { HF_BOOT_DEVICES_MAX = 64 };

typedef struct hf_boot_device {
    const char *name;                                       /* as libguestfs has it: /dev/sda1, /dev/vg/lv */
    const char *type, *uuid, *label, *partuuid, *partlabel; /* "" none */
} hf_boot_device;

typedef struct hf_boot {
    bool force, nofail; /* parameters */
    char kernel[128];   /* parameters.kernel: the version that is to be the default; "" as it is */
    bool looked, encrypted;
    const char *esp_at;      /* where hf_boot_esp has mounted it; NULL it has not */
    const char *root, *boot; /* devices of / and of what holds /boot */
    hf_boot_device devices[HF_BOOT_DEVICES_MAX];
    uint32_t count;
    hf_str crypttab; /* as it stands */
} hf_boot;

/* Mounts the guest and looks for its devices, once. *ret NULL: it is no Linux system; the step has its result. */
hf_code hf_boot_begin(hf_guest_session *guest, hf_boot **ret, hf_err *reterr);

typedef enum hf_boot_found {
    HF_BOOT_FOUND,
    HF_BOOT_MISSING,  /* no device is it */
    HF_BOOT_UNCLEAR,  /* it cannot be told: several could be it, or it lies in what is encrypted */
    HF_BOOT_NO_DEVICE /* the word means no block device */
} hf_boot_found;
/* What a name means. type: what is expected on it, "" anything. */
hf_boot_found hf_boot_find(const hf_boot *boot, hf_str word, hf_str type, const hf_boot_device **ret);
const hf_boot_device *hf_boot_device_named(const hf_boot *boot, const char *name);
/* For hf_grub_edit_searches: no file system of the job has that UUID. ctx is the hf_boot. */
bool hf_boot_uuid_gone(void *ctx, hf_str uuid);
/* The lasting name of a device, for a table: UUID=…. false: it has none that is its own. */
bool hf_boot_tag(const hf_boot *boot, const hf_boot_device *device, char *ret, size_t size);
/* The same for the kernel's command line: a logical volume is /dev/mapper/…, by which an initramfs knows that it must activate it. */
bool hf_boot_tag_for_kernel(const hf_boot *boot, const hf_boot_device *device, char *ret, size_t size);
/* The disk of a partition, or the first one with partitions where the device is none. In the arena; NULL: there is no such. */
const char *hf_boot_disk_of(hf_guest_session *guest, const char *device);

/* Where boot loader entries are (BLS), ended by NULL. */
extern const char *const hf_boot_entry_folders[];
/* Where the EFI system partition is mounted; it is mounted where it is not. "": there is none, or it cannot be mounted. */
const char *hf_boot_esp(hf_guest_session *guest);

/* A word of a command line put right as the step kernel_command_line does it; ctx is such: */
typedef struct hf_boot_words {
    hf_guest_session *x;
    const hf_boot *boot;
    const char *path; /* for findings */
    bool resume_goes; /* false at first */
} hf_boot_words;
hf_word_fate hf_boot_each_word(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]);
/* Whether root= or resume= of a command line names what changes or is not there. */
bool hf_boot_words_wrong(const hf_boot *boot, hf_str line);

/* Parts of the step boot_loader. Each puts right what it finds wrong, or says by a finding why it cannot; *ret_wrong counts those. */
hf_code hf_boot_bios(hf_guest_session *guest, hf_boot *boot, bool has_esp, uint32_t *ret_wrong, hf_err *reterr);
hf_code hf_boot_efi(hf_guest_session *guest, hf_boot *boot, const char *esp, uint32_t *ret_wrong, hf_err *reterr);
hf_code hf_boot_config(hf_guest_session *guest, hf_boot *boot, const char *esp, uint32_t *ret_wrong, hf_err *reterr);
/* GRUB's configuration files of the guest that have a menu, or should: at most four, ended by NULL. */
void hf_boot_config_paths(hf_guest_session *guest, const char *esp, const char *ret[5]);
/* Makes one anew by the guest's own program, without a look at other systems; *ret_fine false: it could not, a finding says why. */
hf_code hf_boot_make_config(hf_guest_session *guest, const char *path, const char *why, bool *ret_fine, hf_err *reterr);
/* Whether the file a boot loader's path means is there: the path is of the file system that holds /boot. */
bool hf_boot_has_file(hf_guest_session *guest, hf_str path);
/* "grub2-" + name or "grub-" + name, whichever program the guest has; NULL: neither. */
const char *hf_boot_grub_program(hf_guest_session *guest, const char *name);

/* The steps. */
hf_code hf_boot_fstab(hf_guest_session *guest, hf_err *reterr);
hf_code hf_boot_crypttab(hf_guest_session *guest, hf_err *reterr);
hf_code hf_boot_command_line(hf_guest_session *guest, hf_err *reterr);
hf_code hf_boot_loader(hf_guest_session *guest, hf_err *reterr);
hf_code hf_boot_default(hf_guest_session *guest, hf_err *reterr);
