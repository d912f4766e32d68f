/* OVA operations: create, extract and validate appliances, and tell what is in one. As jobs (operations.def) and on the command line
 * (cli.h), with the same functions: a command is a run without a worker. */
#pragma once
#include <pthread.h>

#include "consumer/operation/builtin.h"
#include "consumer/operation/stage.h"
#include "consumer/pipeline/ova_read.h"
#include "consumer/pipeline/tar.h"

typedef struct hf_ova_work {
    hf_run *run;
    hf_reporter reporter;
    hf_flow flow;
    hf_findings findings;
    hf_appliance *appliance;
    char path[HF_MAX_PATH + 1]; /* of the appliance, for people */
    hf_stage stage;
    bool hash_outputs;    /* disks made in another format: worth their SHA-256, which takes half of the time */
    json_t *parameters;   /* never NULL after begin */
    pthread_mutex_t lock; /* of artifacts and of the run's arena while two threads write */
    hf_artifact artifacts[HF_STAGE_ENTRIES_MAX];
    uint32_t artifact_count;
    json_t *outputs; /* what was made of each disk, or NULL */
    /* Called once all outputs are known and before any is in place: what fails here leaves nothing. May be NULL. */
    hf_code (*ready)(struct hf_ova_work *work, hf_err *reterr);
    hf_result *result; /* for ready; NULL once it is filled */
} hf_ova_work;

/* Opens nothing; hf_ova_end is due after OK and after an error. */
hf_code hf_ova_begin(hf_ova_work *work, hf_run *run, hf_err *reterr);
void hf_ova_end(hf_ova_work *work);
/* The appliance at spec->vm_path: an OVA, a directory with one descriptor, or a descriptor. */
hf_code hf_ova_open(hf_ova_work *work, hf_err *reterr);

/* Reads all of it; what is wrong is in work->findings. flags: hf_pass_flags. */
hf_code hf_ova_validate(hf_ova_work *work, unsigned flags, hf_err *reterr);
/* Into output_dir, by rename at the end; format "", "vmdk" (files as they are), or what extract_disk.c has. Any error among the findings:
 * SOURCE_INVALID and nothing is there. */
hf_code hf_ova_extract(hf_ova_work *work, hf_str format, hf_err *reterr);
/* Packs the descriptor and its files as output_dir/NAME.ova. */
hf_code hf_ova_pack(hf_ova_work *work, hf_str name, hf_err *reterr);
/* Whether ova-create packs what is at vm_path (a descriptor or directory), rather than exporting images. */
bool hf_ova_packs(const hf_run *run);

/* A file of output_dir that will be published; strings are copied into the run's arena. */
hf_code hf_ova_add_artifact(hf_ova_work *work, const char *name, const char *kind, int64_t size_bytes,
                            const char *sha256, hf_err *reterr);
hf_code hf_ova_publish(hf_ova_work *work, hf_err *reterr);

/* All that is known: machine, disks, members, findings. At most `limit` members and findings each; what is left out is counted. NULL
 * without memory. */
json_t *hf_ova_report(const hf_ova_work *work, uint32_t limit);
const char *hf_ova_verdict(const hf_findings *findings); /* "sound", "warnings", "errors" */
