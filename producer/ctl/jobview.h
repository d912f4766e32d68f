/* A job as the sidecar tells it (GET /jobs/{id}, /jobs/query), read once into plain values. Strings borrow from the JSON. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct hf_job_view {
    const char *id, *name, *vm_path, *output_dir, *format, *provider, *operation; /* NULL: not told */
    const char *status; /* pending, running, completed, failed, cancelled */
    const char *state;  /* the finer state, where the sidecar tells it; else status */
    const char *phase, *worker, *error;
    int64_t attempt;                                         /* -1: not told */
    double percent;                                          /* negative: not known */
    double bytes_done, bytes_total;                          /* negative: not known */
    int64_t created_ms, started_ms, finished_ms, updated_ms; /* wall, 0: none */
    bool ended;
} hf_job_view;

void hf_job_view_read(const json_t *job, hf_job_view *ret);
