/* Exports on the vSphere side: the lease under which disks can be fetched, and snapshots of running VMs.
 *
 * Whoever opens a lease completes it, or aborts it on every other path; a lease nobody renews ends by itself after its time-out.
 * Whoever makes a snapshot has put its name on record before, and removes it. */
#pragma once
#include "consumer/provider/vsphere/inventory.h"

enum { HF_LEASE_FILES_MAX = HF_MAX_DISKS + 4, HF_LEASE_URL_MAX = 2048, HF_LEASE_DESCRIPTOR_MAX = 4 * 1024 * 1024 };

typedef struct hf_lease_file {  /* HttpNfcLeaseDeviceUrl, with what GetManifest says of it */
    char url[HF_LEASE_URL_MAX]; /* `*` replaced */
    char key[256], import_key[256], target_id[256];
    bool disk;
    int64_t size_bytes; /* of the file, as the lease announces it: a hint, may be 0 */
    hf_tls_trust tls;   /* the pin of the URL's host where the lease brings one, else the endpoint's */
    int32_t device;     /* index of the VM's disk by device key; -1: not found */
    /* of the manifest; sizes -1 and texts "" where there is none */
    int64_t manifest_bytes, capacity_bytes, populated_bytes;
    char sha1[41], sha256[65];
} hf_lease_file;

typedef struct hf_lease {
    hf_moref ref, vm;
    int64_t timeout_ms; /* of the lease without progress */
    int64_t total_capacity_bytes;
    uint32_t file_count;
    hf_lease_file *files; /* owned; HF_LEASE_FILES_MAX of room */
} hf_lease;

/* ExportVm of a VM that is off, or ExportSnapshot; waits until the lease is ready. A lease that fails while it gets ready is
 * aborted here. On success hf_lease_complete or hf_lease_abort is due, then hf_lease_done. */
hf_code hf_lease_export_vm(hf_vsphere *v, const hf_vsphere_vm *vm, hf_lease *ret, hf_err *reterr);
hf_code hf_lease_export_snapshot(hf_vsphere *v, const hf_vsphere_vm *vm, const hf_moref *snapshot, hf_lease *ret,
                                 hf_err *reterr);
/* Fills the manifest's fields of lease->files; UNSUPPORTED where the server has none. Allowed while the lease is ready. */
hf_code hf_lease_manifest(hf_vsphere *v, hf_lease *lease, hf_err *reterr);
hf_code hf_lease_complete(hf_vsphere *v, const hf_lease *lease, hf_err *reterr);
/* why: for vCenter's list of events. */
hf_code hf_lease_abort(hf_vsphere *v, const hf_lease *lease, const char *why, hf_err *reterr);
void hf_lease_done(hf_lease *lease);

/* Keeps a lease alive from a thread of its own, with a handle of its own on v's session, every endpoint.keepalive_ms, at most a third
 * of the lease's time-out. Transport errors are tried again until the lease's time-out is over; then, or on a fault that says that
 * the lease is no more, it is lost. */
typedef struct hf_lease_keeper hf_lease_keeper;
hf_code hf_lease_keep(hf_vsphere *v, const hf_lease *lease, hf_lease_keeper **ret, hf_err *reterr);
void hf_lease_keeper_percent(hf_lease_keeper *keeper, int percent); /* 0..100; any thread */
hf_code hf_lease_keeper_check(hf_lease_keeper *keeper,
                              hf_err *reterr);      /* EXPORT_LEASE_LOST with the reason; any thread */
void hf_lease_keeper_stop(hf_lease_keeper *keeper); /* joins and frees; takes NULL */

/* OvfManager.CreateDescriptor: the OVF text, appended to `to`. Servers that lack it, or fault: their error; the caller then writes one from hf_machine.
 * Sizes and names of files as given in lease order; file_names[i] NULL leaves a file out. */
hf_code hf_lease_descriptor(hf_vsphere *v, const hf_lease *lease, const char *vm_name, const char *const *file_names,
                            const int64_t *file_bytes, hf_buf *to, hf_err *reterr);

typedef struct hf_snapshot_options {
    hf_str name, description;
    bool quiesce;
} hf_snapshot_options;
/* CreateSnapshot_Task without memory; waits for the task within endpoint.task_wait_ms. On a cancel or time-out the task may still
 * make it: look for it by its name. */
hf_code hf_snapshot_create(hf_vsphere *v, const hf_moref *vm, const hf_snapshot_options *options, hf_moref *ret,
                           hf_err *reterr);
/* RemoveSnapshot_Task without its children, disks consolidated; one that is no more is no error. Waits for the task. */
hf_code hf_snapshot_remove(hf_vsphere *v, const hf_moref *snapshot, hf_err *reterr);
/* Snapshots of the VM whose name begins with prefix; at most max in ret, *ret_count all there are. */
hf_code hf_snapshot_find(hf_vsphere *v, const hf_moref *vm, hf_str prefix, hf_vsphere_snapshot *ret, uint32_t max,
                         uint32_t *ret_count, hf_err *reterr);
/* Waits for a task; *ret_result (may be NULL) is the object it made, empty where none. */
hf_code hf_task_wait(hf_vsphere *v, const hf_moref *task, int64_t timeout_ms, hf_moref *ret_result, hf_err *reterr);
