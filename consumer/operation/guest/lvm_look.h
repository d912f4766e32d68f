/* What there is of LVM on the disks: devices with what is found on them, physical volumes and groups as LVM sees them, and metadata texts. */
#pragma once
#include "consumer/operation/guest/appliance.h"
#include "consumer/operation/guest/lvm_text.h"

enum { HF_LVM_DEVICES_MAX = 128, HF_LVM_TEXTS_MAX = 16 };

typedef struct hf_lvm_device {
    const char *name;
    int64_t sectors;
    bool free;          /* nothing is known to be on it */
    char label[40];     /* UUID in its label, "" none */
    char had_group[40]; /* UUID of a group whose metadata lies on it */
} hf_lvm_device;

typedef struct hf_lvm_copy { /* the newest metadata of a group */
    hf_lvm_vg vg;
    const char *text;
    size_t len;
    const char *from; /* "/dev/sda2", "/etc/lvm/backup/vg of /dev/sda1" */
} hf_lvm_copy;

typedef struct hf_lvm_row { /* of pvs or vgs */
    char name[128], uuid[40], group[128];
    bool missing, exported;
} hf_lvm_row;

typedef struct hf_lvm {
    hf_lvm_device devices[HF_LVM_DEVICES_MAX];
    hf_lvm_copy copies[HF_LVM_TEXTS_MAX];
    hf_lvm_row pvs[HF_LVM_DEVICES_MAX], vgs[HF_LVM_TEXTS_MAX * 2];
    uint32_t device_count, copy_count, pv_count, vg_count;
} hf_lvm;

/* All of it, anew; texts in the guest's arena. */
hf_code hf_lvm_look(hf_guest_session *guest, hf_lvm *lvm, hf_err *reterr);
/* pvs and vgs alone. */
hf_code hf_lvm_list(hf_guest_session *guest, hf_lvm *lvm, hf_err *reterr);
const hf_lvm_row *hf_lvm_pv_of(const hf_lvm *lvm, const char *uuid);
const hf_lvm_row *hf_lvm_vg_of(const hf_lvm *lvm, const char *uuid);
