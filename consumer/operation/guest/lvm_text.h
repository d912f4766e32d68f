/* LVM's metadata as text: what lies on physical volumes, and in /etc/lvm/backup and archive. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_LVM_PVS_MAX = 32, HF_LVM_TEXT_MAX = 1 << 20 };

typedef struct hf_lvm_pv {
    char uuid[40], device[64]; /* device: where it was when the text was written, a hint */
    int64_t sectors;
} hf_lvm_pv;

typedef struct hf_lvm_vg {
    char name[128], uuid[40];
    int64_t seqno;
    hf_lvm_pv pvs[HF_LVM_PVS_MAX];
    uint32_t pv_count;
} hf_lvm_vg;

/* Reads the first group of `text` (len bytes, ended by NUL or the length). false: it holds none that is whole. */
bool hf_lvm_parse(const char *text, size_t len, hf_lvm_vg *ret);
/* Calls found for each metadata text that begins at a sector of data (len bytes, the beginning or end of a device). */
void hf_lvm_each(const char *data, size_t len, void (*found)(void *ctx, const char *text, size_t len), void *ctx);
/* The UUID in a physical volume's label (the first four sectors of data); false: there is no label. */
bool hf_lvm_label(const char *data, size_t len, char uuid[40]);
