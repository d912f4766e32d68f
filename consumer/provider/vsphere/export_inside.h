/* Inside of provider vsphere: provider.c (opening and ending), guest.c (the snapshot of a running VM), disks.c (its disks as streams). */
#pragma once
#include "consumer/provider/provider.h"
#include "consumer/provider/vsphere/own_snapshots.h"

typedef struct hf_vsphere_export hf_vsphere_export;

typedef struct hf_vsphere_stream { /* hf_vm_disk.stream_ctx */
    hf_vsphere_export *export;
    uint32_t file;   /* index into lease.files */
    char sha256[65]; /* as the manifest had it before anything was read; "" where it had none */
} hf_vsphere_stream;

struct hf_vsphere_export {
    hf_endpoint endpoint;
    hf_opener opener;
    hf_str job_id; /* borrowed from the run */
    const hf_flow *flow;
    hf_vsphere *v;
    hf_vsphere_vm *vm;
    bool snapshot_tried; /* one may exist */
    hf_moref snapshot;
    bool crash_consistent_allowed, crash_consistent;
    bool leased;
    hf_lease lease;
    hf_lease_keeper *keeper;
    hf_vsphere_stream streams[HF_MAX_DISKS];
    int64_t total_bytes; /* announced; a hint */
    atomic_llong received_bytes;
};

void hf_vsphere_export_tell(const hf_vsphere_export *x, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- guest.c: makes the snapshot of a VM that is not off, announced before. */
hf_code hf_vsphere_export_snapshot(hf_vsphere_export *x, hf_err *reterr);

/* ---- disks.c */
/* Fills vm->disks from the lease. SOURCE_INVALID when a disk of the VM is not in it. */
hf_code hf_vsphere_export_disks(hf_vsphere_export *x, hf_vm *vm, hf_err *reterr);
hf_code hf_vsphere_export_verify(hf_vm *vm, const hf_vm_received *received, hf_err *reterr);
