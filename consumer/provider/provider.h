/* Providers: where a VM comes from. One row a kind (providers.def); each opens what a job names as an hf_vm: what is known of
 * the machine, and its disks as sources. The operations above never ask which provider it was. */
#pragma once
#include "consumer/pipeline/digest.h"
#include "consumer/pipeline/flow.h"
#include "consumer/pipeline/machine.h"
#include "consumer/pipeline/probe.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/stream.h"
#include "schemas/base/config.h"
#include "schemas/job/job.h"

/* A disk is a source (read at any place), or comes as a stream: a streamOptimized VMDK that can be fetched again from its start. */
typedef struct hf_vm_disk {
    hf_source *source; /* NULL: open_stream gives it */
    hf_probe probe;
    hf_str path; /* as the job, or the provider, named it */
    hf_machine_place place;
    int64_t capacity_bytes; /* of a stream's disk; of a source: source->size_bytes */
    bool hash_known;        /* of a stream: its source says its SHA-256 beforehand, and `verify` compares it */
    int64_t stream_bytes;   /* announced size of the stream's file, a hint; 0 or less: not known */
    /* Opens the download anew; closed before it is opened again, and before the VM is. May be called from a thread per disk. */
    hf_code (*open_stream)(struct hf_vm_disk *disk, hf_flow *flow, hf_stream **ret, hf_err *reterr);
    void *stream_ctx; /* the provider's */
} hf_vm_disk;

/* What came of a disk's stream when it was read whole. */
typedef struct hf_vm_received {
    int64_t bytes;
    char sha256[HF_DIGEST_HEX_MAX], sha1[HF_DIGEST_HEX_MAX]; /* sha1 "" where it was not computed */
} hf_vm_received;

typedef struct hf_vm {
    hf_machine machine;
    hf_vm_disk *disks;
    uint32_t disk_count;
    const char *provider; /* "local": label of metrics */
    int32_t streams_max;  /* how many streams the provider wants open at a time; 0: one */
    char note[256];       /* what people should know of how it was read, "" nothing: goes into the result's report */
    /* Compares what came (one for each disk) with what the source says it sent; VERIFY_FAILED. Called when every stream was read
     * whole. NULL: nothing to compare with. */
    hf_code (*verify)(struct hf_vm *vm, const hf_vm_received *received, hf_err *reterr);
    /* Ends what the provider holds open (leases, snapshots, sessions); ended well only when all disks were taken whole.
     * NULL: nothing to end. Called once, by hf_vm_close. */
    void (*release)(struct hf_vm *vm, bool ended_well);
    void *ctx; /* the provider's */
    bool ended_well;
} hf_vm;

/* What a provider has to ask its caller for. */
typedef struct hf_opener {
    /* Files: the caller decides which paths are allowed. */
    hf_code (*open)(void *ctx, hf_str path, int *ret_fd, hf_err *reterr); /* read-only */
    void *ctx;
    /* The job it is for; a provider with endpoints needs all of it (config NULL: there are none). */
    const hf_config *config;
    hf_str job_id;
    int32_t attempt;
    hf_code (*announce)(void *job, hf_str text, hf_err *reterr);  /* hf_run's; NULL: nobody keeps a record */
    void (*tell)(void *job, const char *level, const char *text); /* a line of the job's log; may be NULL */
    void *job;
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
