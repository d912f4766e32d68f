/* Operations that are external programs, declared in the configuration:
 *
 *   worker.operations:
 *     checksum: {command: [/usr/lib/site/checksum, --fast], needs: [qemu_img], timeout: 60s, environment: {LANG: C}}
 *
 * Such a program speaks worker protocol v1: one JobSpec (JSON) on stdin, then on stdout one JSON object a line:
 * ProgressEvents, and last of all one JobResult. It runs with a clean environment (PATH, HOME, LANG, TMPDIR and what
 * `environment` names; HF_JOB_ID; HF_BANDWIDTH_FILE, the path of a file that always holds the job's bandwidth limit, in bytes a second,
 * 0 for none: replaced within 50 ms when the limit is changed, for programs that care to look again), in a process group of its own, in the job's private directory; files it names in
 * `outputs` must lie there, are hashed and published into output_dir. Every way of misbehaving has its error:
 * a line that is no JSON, a wrong job_id, a line over 64 KiB, over 64 MiB in all, no result, success with an exit status
 * other than 0 are PROTOCOL; a program that reports failure or dies is TOOL_FAILED with the last of its stderr; the time limit is
 * TIMEOUT (SIGTERM to the group, then SIGKILL). */
#pragma once
#include "consumer/operation/operation.h"

enum {
    HF_EXTERNAL_LINE_MAX = 64 * 1024,
    HF_EXTERNAL_OUTPUT_MAX = 64 * 1024 * 1024,
    HF_EXTERNAL_MAX = 64,      /* programs in the configuration */
    HF_EXTERNAL_ARGS_MAX = 64, /* words of a command, needs, environment entries: each */
};

/* Checks the whole `worker.operations` section; the error names the operation, the member and what it should be. */
hf_code hf_external_check(const hf_config *config, hf_err *reterr);
bool hf_external_has(const hf_config *config, hf_str name);
/* Calls each(ctx, name, needs) for every declared program; needs is a JSON array of strings or NULL. */
void hf_external_each(const hf_config *config, void (*each)(void *ctx, const char *name, const json_t *needs),
                      void *ctx);
/* Runs the program of run->spec->operation. */
hf_code hf_external_run(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr);
