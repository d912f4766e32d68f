/* The functions behind operations.def, and what they share. */
#pragma once
#include "consumer/operation/operation.h"
#include "consumer/provider/provider.h"

#define HF_OPERATION(name, function, needs, summary)                                                                   \
    hf_code function(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);
#include "consumer/operation/operations.def"
#undef HF_OPERATION

/* An opener that allows what the worker's roots allow; ctx is the hf_roots. */
hf_opener hf_run_opener(const hf_run *run);
/* A flow with the run's cancel flag and bandwidth limit, and a progress callback that reports as run's. `phase` and the
 * hf_reporter live as long as the flow. */
typedef struct hf_reporter {
    hf_run *run;
    const char *phase;
    _Atomic(const char *) current; /* disks may be under way in several threads */
    atomic_int files_done;
    int32_t files_total;
    /* the disk under way, where they go one after another; disk 0: not so */
    int32_t disk;
    int64_t disk_from, disk_total; /* bytes_done at its beginning; its own */
    atomic_llong own_limit;        /* where the runner brings no bandwidth limit */
} hf_reporter;
void hf_reporter_flow(hf_reporter *reporter, hf_flow *ret_flow);
/* Says that a phase begins. */
void hf_report_phase(hf_reporter *reporter, const char *phase);
/* A line of the job's log; level: debug, info, warn or error. */
void hf_report_line(hf_reporter *reporter, const char *level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Parameters of the job as an object; a new reference, {} when there are none. NULL is an error. */
json_t *hf_run_parameters(const hf_run *run, hf_err *reterr);
/* text as a file name: what is not a letter, digit, '.', '_' or '-' becomes '-'; never empty, at most 80 bytes. */
void hf_file_name(hf_str text, char name[81]);
