/* What the operation tests share: a scratch directory, a configuration whose one root it is, images made in it, and operations
 * run on them in this process. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/operation/operation.h"
#include "schemas/base/mem.h"

typedef struct rig {
    char dir[64]; /* scratch; the one root, holding in/ and out/ */
    hf_config *config;
    hf_roots roots;
    hf_arena arena;
    atomic_bool cancel;
    atomic_llong limit;
    int threads;
    int reports, logs;
    char phases[256]; /* in the order they came, each once, with spaces */
    void (*on_report)(struct rig *rig, const hf_progress *progress);
    hf_result result;
    hf_str phase;
    hf_err err;
} rig;

void rig_open(rig *r);
/* The same in memory, where the machine has a gibibyte for it: for what would wait for many fsyncs. */
void rig_open_fast(rig *r);
void rig_close(rig *r);
/* Runs spec as attempt `attempt` of job_id. */
hf_code rig_run(rig *r, const char *job_id, int32_t attempt, const hf_spec *spec);
/* A spec of `operation` that reads in/IMAGE and writes to out/. Strings in the rig's arena. */
hf_spec rig_spec(rig *r, const char *operation, const char *image, const char *format);
const char *rig_path(rig *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A shell command in the scratch directory; its exit status. */
int rig_sh(rig *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A raw image of size bytes in in/NAME: holes, zeros, text and noise, the same for the same seed. */
void rig_image(rig *r, const char *name, int64_t size, uint64_t seed);
/* Whether out/ holds nothing at all, hidden files included. */
bool rig_out_empty(rig *r);
/* Each artifact of the last result is there, with the size and the SHA-256 that the result tells. */
void rig_check_artifacts(rig *r);
/* The disk of the one artifact of an export named "disk": its path (archives are unpacked into x/, manifests checked by
 * sha256sum) and the name qemu-img has for its format. */
const char *rig_unpack(rig *r, const char *format, const char **ret_qemu);
bool rig_have(const char *program);
