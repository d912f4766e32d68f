/* GRUB's files as text: /etc/default/grub (a shell's assignments), its environment block, and grub.cfg, which is only read. Pure functions over
 * bytes of the guest's, whatever they are. */
#pragma once
#include "consumer/operation/guest/boot_text.h"

/* ---- assignments of a shell ------------------------------------------------------------------------------------------- */
/* What is within the quotes of the last `name=` of the text; HF_STR_NONE: there is none that can be read. */
hf_str hf_shell_get(hf_str text, const char *name);
/* Edits the words in the value of each assignment whose name begins with prefix. */
bool hf_shell_edit(hf_str text, const char *prefix, hf_word_each *each, void *ctx, hf_buf *out);
/* Each assignment of name gets that value; without one, a line is added. false: value has what a shell would read, or it does not fit. */
bool hf_shell_set(hf_str text, const char *name, const char *value, hf_buf *out);

/* ---- the environment block ---------------------------------------------------------------------------------------------- */
enum { HF_GRUBENV_SIZE = 1024 };
bool hf_grubenv_is(hf_str block);
hf_str hf_grubenv_get(hf_str block, const char *name);
/* value HF_STR_NONE takes it out. false: it is no such block, or is full. */
bool hf_grubenv_set(hf_str block, const char *name, hf_str value, char ret[HF_GRUBENV_SIZE]);

/* ---- grub.cfg -------------------------------------------------------------------------------------------------------------- */
enum { HF_GRUB_ENTRIES_MAX = 128, HF_GRUB_SEARCHES_MAX = 64, HF_GRUB_DEPTH_MAX = 8 };

typedef struct hf_grub_entry {
    hf_str title, id;
    hf_str kernel, words; /* of its "linux" line: the path, and what stands behind it; NONE: it has none */
    hf_str initrd;        /* its paths */
    int32_t parent;       /* the submenu it is in; -1 none */
    bool submenu;
} hf_grub_entry;

typedef struct hf_grub_config {
    hf_grub_entry entries[HF_GRUB_ENTRIES_MAX];
    uint32_t count;
    hf_str searches[HF_GRUB_SEARCHES_MAX]; /* UUIDs of file systems it looks for */
    uint32_t search_count;
    hf_str fallback; /* what "set default=" gives it last, without a variable in it */
    bool bls;        /* its entries are files of /boot/loader/entries */
    bool cut;        /* it has more entries than are kept */
} hf_grub_config;

void hf_grub_read(hf_str text, hf_grub_config *ret);
/* The entry that GRUB_DEFAULT or saved_entry means: "0", "title", "id", "submenu>entry"; -1: none. */
int32_t hf_grub_find(const hf_grub_config *config, hf_str value);
/* How an entry is named so that hf_grub_find and GRUB find it: ids where there are such, else titles. */
bool hf_grub_path(const hf_grub_config *config, uint32_t entry, char *ret, size_t size);

/* Exchanges what "search --fs-uuid" and "search.fs_uuid" look for, where `wrong` says so. */
bool hf_grub_edit_searches(hf_str text, bool (*wrong)(void *ctx, hf_str uuid), void *ctx, const char *uuid,
                           hf_buf *out);
/* Whether a device map names disks in a way that changes with their bus. */
bool hf_grub_map_changes(hf_str text);
