/* A log of one, for tests of the worker's core: jobs folded by the real fold, proposals taken in order, time by hand. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consumer/worker/decide.h"
#include "schemas/job/fold.h"

enum { FLEET_JOBS = 64, FLEET_ACTIONS = 256, FLEET_LIMITS = 8 };

typedef struct fleet {
    hf_worker_core *core;
    hf_now now;
    hf_job *jobs[FLEET_JOBS];
    int job_count;
    int64_t offset;
    hf_record *log[4096]; /* proposals not folded yet */
    uint64_t tags[4096];
    int head, tail;
    bool hold; /* proposals stay in the log unread */
    hf_limit *limits[FLEET_LIMITS];
    hf_limit_event *limit_log[1024]; /* of the topic limits: not folded yet */
    uint64_t limit_tags[1024];
    int limit_count, limit_head, limit_tail;
    int64_t limit_offset;
    bool hold_limits;
    bool ack_heartbeats;
    /* seen in actions */
    struct {
        hf_action_kind kind;
        int slot;
        char id[64];
        int attempt;
        hf_stop_reason reason;
        uint32_t serial;
        hf_code code;
        int64_t bandwidth;
    } acts[1024];
    int act_count;
    int heartbeats, proposals, refused;
    hf_heartbeat last;
} fleet;

hf_worker_options fleet_options(void);
void fleet_init(fleet *f, const hf_worker_options *options);
void fleet_done(fleet *f);
/* A job that is queued; policy as given (retry_count, timeout, idempotent, priority; 0 priority: 5). */
void fleet_submit(fleet *f, const char *id, hf_exec_policy policy);
void fleet_submit_tagged(fleet *f, const char *id, const char *tag, hf_exec_policy policy);
/* Folds one record as if somebody had produced it. */
hf_verdict fleet_fold(fleet *f, const hf_record *record);
/* One transition by somebody. */
hf_verdict fleet_event(fleet *f, const char *id, int attempt, const char *by, hf_event event, const void *payload);
hf_job *fleet_job(fleet *f, const char *id);
hf_state fleet_state(fleet *f, const char *id);
/* Steps until nothing comes out; folds what was proposed unless `hold`. */
void fleet_run(fleet *f);
void fleet_read_log(fleet *f);
void fleet_pass(fleet *f, int64_t ms); /* time goes by, in steps of at most 50 ms */
/* Folds one record of `limits`; the offset it had is f->limit_offset - 1. */
hf_limit_verdict fleet_limit(fleet *f, const hf_limit_event *event);
hf_limit_verdict fleet_limit_set(fleet *f, const char *key, int32_t max);
/* Takes a grant, or frees the one that was taken at that offset, as somebody. */
hf_limit_verdict fleet_limit_taken(fleet *f, const char *key, const char *id, int attempt, const char *by);
hf_limit_verdict fleet_limit_freed(fleet *f, const char *key, int64_t grant, int attempt, const char *by);
const hf_limit *fleet_limit_of(const fleet *f, const char *key); /* as it is */
/* Folds what was asked for on `limits` and not read yet. */
void fleet_read_limits(fleet *f);
/* The newest action of that kind for that job, or NULL; slot of a START. */
int fleet_find(const fleet *f, hf_action_kind kind, const char *id);
int fleet_slot(const fleet *f, const char *id);
void fleet_finish(fleet *f, const char *id, hf_code code);
void fleet_peer(fleet *f, const char *id, int slots, int busy);
