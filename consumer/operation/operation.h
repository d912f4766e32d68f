/* Operations: what a worker can do with a job. An operation is a row in a table (operations.def); one
 * kind of row is an external program (external.h). Operations run inside a runner, a child process with one job at
 * a time, and know nothing of Kafka, LMDB or the fleet: they get a context and fill a result. */
#pragma once
#include <stdatomic.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"
#include "schemas/job/job.h"

/* A directory tree a worker may use, opened once (openat2 RESOLVE_BENEATH below it). */
typedef struct hf_root {
    char *path;
    int fd;
} hf_root;
typedef struct hf_roots {
    hf_root *roots;
    size_t count;
    bool any; /* dev: every path is allowed */
} hf_roots;

typedef struct hf_run {
    hf_str job_id;
    int32_t attempt;
    const hf_spec *spec;
    const hf_config *config;
    const hf_roots *roots;
    int threads;                   /* how many this job may use */
    hf_arena *arena;               /* lives until the result is sent */
    atomic_bool *cancel;           /* set from outside: stop soon, return HF_E_CANCELLED, leave nothing behind */
    atomic_llong *bandwidth_limit; /* bytes/s, may change while running; 0: none */
    /* Tells how far it is; cheap to call often (the runner throttles). progress->job_id, attempt, at and worker are
     * filled in by the runner. level "" for progress, else a log line. May be called from any thread of the operation. */
    void (*report)(void *ctx, const hf_progress *progress);
    /* Puts `text` (at most HF_ID_MAX_BYTES) on the job's record and waits until it is there: what must be known of, should this process
     * die, before it is done. CANCELLED; TIMEOUT; LEASE_LOST: the attempt is not ours any more, so it must not be done. One at a
     * time; from any thread. NULL: nobody keeps a record. */
    hf_code (*announce)(void *ctx, hf_str text, hf_err *reterr);
    /* Whether a job has ended, by the fleet's log: OK, it has; CONFLICT, it lives; NOT_FOUND, this fleet never had it; else it could not be
     * asked. Like announce. NULL: there is nobody to ask. */
    hf_code (*job_ended)(void *ctx, hf_str job_id, hf_err *reterr);
    void *report_ctx; /* of report, announce and job_ended */
} hf_run;

/* Fills *ret_result (strings in run->arena). On failure: reterr's code decides about retries; *ret_phase names the phase. */
typedef hf_code (*hf_operation_fn)(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);

typedef struct hf_operation {
    const char *name;    /* "export" */
    const char *summary; /* one line for `hyperworker capabilities` and the docs */
    hf_operation_fn run;
    const char *needs; /* capabilities it cannot do without: "", "qemu_img", … */
} hf_operation;

/* The built-in operation of that name, or NULL. */
const hf_operation *hf_operation_find(hf_str name);
/* All of them, NULL-named last. */
const hf_operation *hf_operations(void);

/* Whether this worker offers it: `sleep` only where `worker.sleep_operation` says so. */
bool hf_operation_offered(const hf_config *config, const hf_operation *operation);
/* Runs what run->spec->operation names: the built-in row, else the external program of that name (external.h), else
 * OPERATION_UNKNOWN. What a runner calls. */
hf_code hf_operation_run(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);

/* Roots from `worker.roots`; any = true where `allow_any` (dev) and none are configured. */
hf_code hf_roots_open(const hf_config *config, bool allow_any, hf_roots *ret, hf_err *reterr);
void hf_roots_close(hf_roots *roots);
/* Opens `path` (absolute, or file:// URL) below one of the roots, symlinks only within it; OUTSIDE_ROOT names path and roots. */
hf_code hf_roots_open_file(const hf_roots *roots, hf_str path, int flags, unsigned mode, int *ret_fd, hf_err *reterr);
/* The directory `path` as a descriptor, made with its parents when `make`. */
hf_code hf_roots_open_dir(const hf_roots *roots, hf_str path, bool make, int *ret_fd, hf_err *reterr);
