/* What is in a vCenter: VMs by path, moref or name; their hardware, place and snapshots; all of them, page by page. */
#pragma once
#include "consumer/pipeline/machine.h"
#include "consumer/provider/vsphere/client.h"
#include "schemas/job/job.h"

enum { HF_VSPHERE_SNAPSHOTS_MAX = 64, HF_VSPHERE_NAMES_MAX = 10, HF_VSPHERE_VMS_MAX = 100000 };

typedef enum hf_power { HF_POWER_UNKNOWN, HF_POWER_OFF, HF_POWER_ON, HF_POWER_SUSPENDED } hf_power;
const char *hf_power_name(hf_power power); /* as vSphere writes it: poweredOff, poweredOn, suspended; "unknown" */

typedef struct hf_vsphere_disk {
    char label[80];    /* "Hard disk 1" */
    char backing[256]; /* "[datastore1] web/web.vmdk" */
    int64_t capacity_bytes;
    int32_t key, controller_key; /* device keys inside the VM */
    hf_machine_place place;      /* controller: index into machine.controllers */
    bool left_out;               /* not in a snapshot: independent, or a raw device mapping in physical mode */
} hf_vsphere_disk;

typedef struct hf_vsphere_snapshot {
    hf_moref ref;
    char name[128];
    int32_t depth; /* 0 at the root of the tree */
    bool quiesced;
} hf_vsphere_snapshot;

/* One flat value of some 60 KB: keep it on the heap. */
typedef struct hf_vsphere_vm {
    hf_moref ref, host_ref, parent;
    char path[HF_MAX_PATH]; /* inventory path, "/DC0/vm/web/web-01"; "" where the parents cannot be read */
    char host[256];
    char uuid[48]; /* instance UUID */
    hf_power power;
    bool is_template;
    hf_machine machine; /* name, guest, CPUs, memory, firmware, controllers, NICs, drives */
    uint32_t disk_count;
    hf_vsphere_disk disks[HF_MAX_DISKS];
    uint32_t snapshot_count, snapshots_total; /* those listed; all there are */
    hf_vsphere_snapshot snapshots[HF_VSPHERE_SNAPSHOTS_MAX];
} hf_vsphere_vm;

/* "/DC0/vm/web-01" (path), "vm-123" or "moref:vm-123", or a name. NOT_FOUND names what was looked for; a name of several VMs is
 * INVALID and lists the first HF_VSPHERE_NAMES_MAX paths. */
hf_code hf_vsphere_find_vm(hf_vsphere *v, hf_str what, hf_moref *ret, hf_err *reterr);
hf_code hf_vsphere_read_vm(hf_vsphere *v, const hf_moref *ref, hf_vsphere_vm *ret, hf_err *reterr);
/* Every VM at or below an inventory path ("" or "/": all). `each` gets one at a time, not kept; a code it returns ends the walk.
 * VMs that cannot be read are counted in *ret_unreadable and left out. LIMIT past HF_VSPHERE_VMS_MAX. */
hf_code hf_vsphere_each_vm(hf_vsphere *v, hf_str below,
                           hf_code (*each)(void *ctx, const hf_vsphere_vm *vm, hf_err *reterr), void *ctx,
                           uint32_t *ret_unreadable, hf_err *reterr);
