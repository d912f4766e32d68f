/* Providers: where a VM comes from. One row a kind (providers.def); each opens what a job names as an hf_vm: what is known of
 * the machine, and its disks as sources. The operations above never ask which provider it was. */
#pragma once
#include "consumer/pipeline/flow.h"
#include "consumer/pipeline/machine.h"
#include "consumer/pipeline/probe.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/stream.h"
#include "schemas/job/job.h"

/* A disk is a source (read at any place), or comes as a stream: a streamOptimized VMDK that can be fetched again from its start. */
typedef struct hf_vm_disk {
    hf_source *source; /* NULL: open_stream gives it */
    hf_probe probe;
    hf_str path; /* as the job, or the provider, named it */
    hf_machine_place place;
    int64_t capacity_bytes; /* of a stream's disk; of a source: source->size_bytes */
    int64_t stream_bytes;   /* announced size of the stream's file; 0 or less: not known */
    /* Opens the download anew; closed before it is opened again, and before the VM is. May be called from a thread per disk. */
    hf_code (*open_stream)(struct hf_vm_disk *disk, hf_flow *flow, hf_stream **ret, hf_err *reterr);
    void *stream_ctx; /* the provider's */
} hf_vm_disk;

typedef struct hf_vm {
    hf_machine machine;
    hf_vm_disk *disks;
    uint32_t disk_count;
    const char *provider; /* "local": label of metrics */
    /* Ends what the provider holds open (leases, snapshots, sessions); ended well only when all disks were taken whole.
     * NULL: nothing to end. Called once, by hf_vm_close. */
    void (*release)(struct hf_vm *vm, bool ended_well);
    void *ctx; /* the provider's */
    bool ended_well;
} hf_vm;

/* How a provider gets at files: the caller decides which paths are allowed. */
typedef struct hf_opener {
    hf_code (*open)(void *ctx, hf_str path, int *ret_fd, hf_err *reterr); /* read-only */
    void *ctx;
} hf_opener;

typedef struct hf_provider {
    const char *name;
    hf_code (*open)(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr);
} hf_provider;

/* By name; "" is local. NULL if there is none. */
const hf_provider *hf_provider_find(hf_str name);
const hf_provider *hf_providers(size_t *ret_count);
/* Opens what spec names; NOT_BUILT for a provider that is not in the table. On success hf_vm_close is due. */
hf_code hf_vm_open(const hf_spec *spec, const hf_opener *opener, const hf_flow *flow, hf_vm *ret, hf_err *reterr);
void hf_vm_close(hf_vm *vm);
