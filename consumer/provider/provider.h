/* Providers: where a VM comes from. One row a kind (providers.def); each opens what a job names as an hf_vm: what is known of
 * the machine, and its disks as sources. The operations above never ask which provider it was. */
#pragma once
#include "consumer/pipeline/flow.h"
#include "consumer/pipeline/probe.h"
#include "consumer/pipeline/source.h"
#include "schemas/job/job.h"

typedef struct hf_vm_disk {
    hf_source *source;
    hf_probe probe;
    hf_str path; /* as the job named it */
} hf_vm_disk;

typedef struct hf_vm {
    char name[256];          /* "" when the provider does not know one */
    char os_type[64];        /* VMware's guest id; "" when not known */
    int32_t cpus, memory_mb; /* 0 when not known */
    hf_vm_disk *disks;
    uint32_t disk_count;
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
