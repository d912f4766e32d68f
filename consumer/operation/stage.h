/* Where a job's output comes to be: a private directory `.hf-<job_id>-<attempt>.partial` inside the job's output_dir, from which whole
 * entries (files, or directories of files) are renamed into place at the end, all or none. Nothing that is not whole is
 * ever seen under its name, and whatever goes wrong, closing the stage leaves nothing behind.
 *
 * What is in place already is never replaced, unless an older attempt of the same job left it: each published
 * entry carries the mark "job_id attempt" (the extended attribute user.hyperfleet.attempt; where the file system has none, a
 * file `.hf-<job_id>.published` beside it).
 *
 * An attempt holds a lock (an open file description lock on `.lock` in its private directory) as long as it lives. What a killed one left is
 * removed by the next, or taken over by it where there is a checkpoint and nobody holds the lock. */
#pragma once
#include "consumer/operation/operation.h"

enum { HF_STAGE_NAME_MAX = 255, HF_STAGE_ENTRIES_MAX = 128 };

typedef struct hf_stage {
    int out_fd, dir_fd; /* output_dir; the private directory in it */
    int lock_fd;        /* counts while dir_fd does */
    int32_t adopted;    /* the attempt whose directory it was; 0: it is new */
    char dir_name[HF_STAGE_NAME_MAX + 1];
    char out_path[HF_MAX_PATH + 1]; /* of output_dir, for people */
    hf_str job_id;
    int32_t attempt;
} hf_stage;

/* Makes output_dir where it is missing, removes what older attempts left half-done, makes the private directory.
 * CONFLICT when a newer attempt is at work there. */
hf_code hf_stage_open(const hf_run *run, hf_stage *ret, hf_err *reterr);
/* The same, but takes over the newest older attempt's directory if it holds a checkpoint and its owner is dead: ret->adopted. */
hf_code hf_stage_open_or_adopt(const hf_run *run, hf_stage *ret, hf_err *reterr);
/* Removes all that is in the private directory: it is as new. */
hf_code hf_stage_empty(hf_stage *stage, hf_err *reterr);
/* A fresh file of that name in directory dir_fd (the private one, or one below it). */
hf_code hf_stage_create(int dir_fd, const char *name, int *ret_fd, hf_err *reterr);
/* Whether `name` could be published: EXISTS, with the remedy, if something else is there. */
hf_code hf_stage_check_free(const hf_stage *stage, const char *name, hf_err *reterr);
/* NO_SPACE, naming both, unless output_dir's file system has needed bytes free. */
hf_code hf_stage_check_space(const hf_stage *stage, int64_t needed_bytes, hf_err *reterr);
/* Renames the entries from the private directory into output_dir and makes that durable. Their contents were fsynced before. */
hf_code hf_stage_publish(hf_stage *stage, const char *const *names, uint32_t count, hf_err *reterr);
/* Removes the private directory and all in it. */
void hf_stage_close(hf_stage *stage);
/* Removes the entry `name` of dir_fd, whatever it is; errors are left to the next attempt. */
void hf_remove_tree(int dir_fd, const char *name);
