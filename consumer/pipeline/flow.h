/* What all disks of one job share: the cancel flag, the bandwidth bucket, and how far the job is.
 * The bucket is charged with the bytes that are really read from the source, before they are read, by any
 * thread; its rate may change at any time, from outside (an atomic). A wait ends within 50 ms of a cancel or a new rate. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"

typedef struct hf_flow_progress {
    int64_t bytes_done, bytes_total; /* of what the sources have allocated */
    double bytes_per_second;         /* smoothed over some seconds */
    int64_t eta_seconds;             /* negative: not known yet */
} hf_flow_progress;

typedef struct hf_flow {
    const atomic_bool *cancel; /* may be NULL */
    const atomic_bool *stop;   /* the same, of those who work: one failed, the others need not go on; may be NULL */
    const atomic_llong *bandwidth_limit; /* bytes/s, 0 none; may be NULL */
    void (*progress)(void *ctx,
                     const hf_flow_progress *progress); /* at most 10 times a second, one call at a time; may be NULL */
    void *progress_ctx;
    int64_t bytes_total;
    atomic_llong bytes_read, bytes_written;

    /* private */
    pthread_mutex_t lock; /* of all below, and of bytes_total once work is under way */
    double tokens;        /* may be negative: bytes let through ahead of their time */
    int64_t filled_ns;
    int64_t bytes_done, reported_ns, reported_bytes;
    double rate;
    bool reporting;
} hf_flow;

void hf_flow_init(hf_flow *flow); /* zeroes all; the caller then sets the first block */
void hf_flow_done(hf_flow *flow);
/* HF_E_CANCELLED once a flag is up. */
hf_code hf_flow_check(const hf_flow *flow, hf_err *reterr);
/* Waits until the job may read so many bytes more. Any thread. */
hf_code hf_flow_charge(hf_flow *flow, int64_t bytes, hf_err *reterr);
/* So many were done by an earlier attempt: before the first advance. */
void hf_flow_start_at(hf_flow *flow, int64_t bytes);
int64_t hf_flow_bytes_done(hf_flow *flow); /* any thread */
/* So many allocated bytes of a source are done. Any thread. */
void hf_flow_advance(hf_flow *flow, int64_t bytes);
/* Work that has to be done again (done below zero), or turned out to be more or less than was thought. Any thread. */
void hf_flow_correct(hf_flow *flow, int64_t done, int64_t total);
