/* What names devices in a guest's configuration, as text: fstab, crypttab, the kernel's command line. Pure functions over bytes of the guest's,
 * whatever they are: each gives back all that it was not told to change. Output goes to a buffer with a bound; false: it did not fit. */
#pragma once
#include "schemas/base/buf.h"

/* ---- names of devices ------------------------------------------------------------------------------------------------- */
typedef enum hf_device_kind {
    HF_DEVICE_NONE,   /* no block device, or one that is not looked for: nfs, tmpfs, a file, /dev/sr0, /dev/md0 */
    HF_DEVICE_KERNEL, /* by the driver and the order it was found in: /dev/sda1, hda1, vda1, xvda1, nvme0n1p1 */
    HF_DEVICE_BUS,    /* by where it was attached or by its serial number: /dev/disk/by-path, by-id */
    HF_DEVICE_TAG,    /* by what is on it: UUID=, LABEL=, PARTUUID=, PARTLABEL=, /dev/disk/by-uuid … */
    HF_DEVICE_MAPPER, /* by the device mapper: /dev/mapper/vg-lv, /dev/vg/lv */
} hf_device_kind;

typedef struct hf_device_word {
    hf_device_kind kind;
    int disk;      /* KERNEL: from 0 */
    int partition; /* KERNEL, BUS: from 1; 0 the whole disk */
    const char *tag;
    hf_str value; /* TAG: of the tag, without quotes; MAPPER: what stands behind /dev/ */
} hf_device_word;

hf_device_word hf_device_word_of(hf_str word);
/* It is a name that another bus, or another order, changes. */
bool hf_device_changes(hf_str word);
/* The name the device mapper has for /dev/mapper/NAME or /dev/VG/LV. false: it is neither. */
bool hf_mapper_name(hf_str device, char *ret, size_t size);
/* Whether a device of type `has` (blkid's word) may be what a table calls `wanted`; "" and "auto" are anything. */
bool hf_fs_type_fits(hf_str wanted, const char *has);

/* ---- fstab and crypttab --------------------------------------------------------------------------------------------------- */
enum { HF_TAB_FIELDS = 6, HF_TAB_DEVICE_MAX = 160 };

typedef struct hf_tab_line {
    hf_str fields[HF_TAB_FIELDS]; /* as they stand, escapes and all */
    uint32_t count;
} hf_tab_line;

typedef struct hf_tab_edit {
    char device[HF_TAB_DEVICE_MAX]; /* takes the place of the field that was asked for; "" it stays */
    bool nofail;                    /* is added to the options (fstab's and crypttab's fourth field) */
} hf_tab_edit;

/* Calls each for every entry; comments, order and spacing stay. device_field: 0 for fstab, 1 for crypttab. */
bool hf_tab_edit_text(hf_str text, uint32_t device_field, void (*each)(void *ctx, const hf_tab_line *, hf_tab_edit *),
                      void *ctx, hf_buf *out);
/* Whether a list of options ("rw,nofail") has that one. */
bool hf_tab_has_option(hf_str options, const char *option);

/* ---- the kernel's command line ------------------------------------------------------------------------------------------------ */
enum { HF_WORD_MAX = 200 };

typedef enum hf_word_fate { HF_WORD_STAYS, HF_WORD_CHANGES, HF_WORD_GOES } hf_word_fate;

/* key and value of a word "key=value" (value HF_STR_NONE where there is no =); CHANGES: its value is then what was put into to. */
typedef hf_word_fate hf_word_each(void *ctx, hf_str key, hf_str value, char to[HF_WORD_MAX]);

/* line may have line ends; blanks within quotes, and what stands behind a backslash, belong to a word. */
bool hf_cmdline_edit(hf_str line, hf_word_each *each, void *ctx, hf_buf *out);
/* The value of the last such word; HF_STR_NONE: there is none. */
hf_str hf_cmdline_get(hf_str line, const char *key);

/* The same on each line of text that begins with the word `key` ("options" of a boot loader entry, "kernel" of GRUB 1), behind it. */
bool hf_keyed_edit(hf_str text, const char *key, hf_word_each *each, void *ctx, hf_buf *out);
/* What stands behind the first such line's key, without blanks around it. */
hf_str hf_keyed_get(hf_str text, const char *key);
/* The text with that line's value exchanged, or a line added in front where there is none. */
bool hf_keyed_set(hf_str text, const char *key, const char *value, hf_buf *out);

/* A line of a text: moves *at behind it; without its line end. false: there is no more. */
bool hf_text_line(hf_str text, uint32_t *at, hf_str *ret);
