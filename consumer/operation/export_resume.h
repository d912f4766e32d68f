/* Going on where an attempt was killed. While disks are written, a checkpoint is made every worker.checkpoint_bytes; the next attempt
 * that finds one (stage.h) whose options and sources are still the same goes on behind it, after it read what is there
 * again and found it whole. Anything else: from zero, and it says so. */
#pragma once
#include "consumer/pipeline/aside.h"
#include "consumer/pipeline/checkpoint.h"
#include "consumer/pipeline/pipeline.h"

typedef struct hf_export hf_export;

typedef struct hf_resume {
    bool on;            /* checkpoints are made */
    bool going;         /* `found` is gone on from */
    int64_t from_bytes; /* of the sources: done by older attempts */
    hf_checkpoint found, made;
    hf_sink_mark mark; /* of found's disk; borrows from it */
    /* of the run under way */
    int fd; /* the file it goes to: borrowed */
    int64_t unit, done_at_last, written_at_last;
    hf_aside *aside; /* stores `made` */
    int64_t space_looked_ns;
} hf_resume;

void hf_resume_init(hf_resume *resume);
void hf_resume_done(hf_resume *resume);
/* Once sources, names and stage are known: decides, and says what it decided. */
hf_code hf_resume_begin(hf_export *x, hf_err *reterr);
/* What was found could not be used after all: empties the stage, forgets what was done. */
hf_code hf_resume_start_over(hf_export *x, const char *why, hf_err *reterr);
/* A fresh file for disk i (or for all disks, i 0), or the one an older attempt left. VERIFY_FAILED if that is not there. */
hf_code hf_resume_file(hf_export *x, int dir_fd, const char *name, uint32_t i, int *ret_fd, hf_err *reterr);
/* NULL unless disk i is whole already. */
const hf_checkpoint_disk *hf_resume_whole(const hf_export *x, uint32_t i);
/* NULL unless disk i is begun already. */
const hf_sink_mark *hf_resume_mark(const hf_export *x, uint32_t i);
/* For disk i that is whole: counts it as done. */
void hf_resume_count(hf_export *x, uint32_t i);
/* Runs disk i, whose bytes go to fd, through the pipeline. */
hf_code hf_resume_run(hf_export *x, uint32_t i, hf_sink *sink, hf_err *reterr);
/* NO_SPACE once the stage's file system has less free than worker.min_free_space; looks at most four times a second. Whoever
 * writes without hf_resume_run calls it now and then. */
hf_code hf_export_check_reserve(hf_export *x, hf_err *reterr);
