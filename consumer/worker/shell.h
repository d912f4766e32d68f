/* The inside of the worker's shell: worker.c (the loop), wire.c (records out, records in). */
#pragma once
#include "consumer/worker/runner.h"
#include "consumer/worker/worker.h"
#include "journal/log/registry_codec.h"
#include "journal/replica/follow.h"

enum {
    HF_SHELL_ACTIONS = 256,
    HF_SHELL_STEP_RECORDS = 512,
    HF_PROGRESS_MS = 250,
    HF_PROGRESS_TAG_BIT = 62, /* a tag with this bit is of a record nobody waits for */
};

typedef struct hf_shell {
    const hf_worker_run_options *o;
    const hf_config *config;
    char id[HF_ID_MAX_BYTES + 1], incarnation[HF_UUID_BYTES], host[256], producer[512];
    const hf_clock *clock;
    hf_now now; /* read a few times a turn, not for each of the thousands of records in it */
    hf_registry_link *registry;
    hf_codec *codec;
    hf_klog *log;
    hf_follow *follow;
    hf_worker_core *core;
    hf_runners *runners;
    hf_arena in_arena, probe_arena;
    hf_buf out;
    int signal_fd;
    bool caught_up, bulk, stop_now, limits_new /* one was set that was not: jobs are to be matched anew */, fleet_quiet;
    int32_t told; /* hf_control_action: what this worker was told last */
    int stops_asked;
    int64_t drain_end_ms, quiet_since_ms, started_ms /* wall */;
    uint32_t produced;           /* in this turn */
    int64_t progress_at_ms[256]; /* by slot */
    uint64_t progress_dropped;
    int64_t complained_ms;
    hf_code failed;
    hf_err err;
} hf_shell;

static inline void hf_shell_tick(hf_shell *s) { s->now = (hf_now){hf_wall_ms(s->clock), hf_mono_ms(s->clock)}; }
void hf_shell_fail(hf_shell *s, hf_code code); /* keeps the first; s->err holds its text */
void hf_shell_stop(hf_shell *s);               /* as on SIGTERM */

/* ---- wire.c ---- */
void hf_shell_propose(hf_shell *s, const hf_action *action);
void hf_shell_limit(hf_shell *s, const hf_action *action);
void hf_shell_heartbeat(hf_shell *s, uint64_t tag, const hf_heartbeat *heartbeat);
void hf_shell_progress(void *ctx, int32_t slot, const hf_progress *progress);
void hf_shell_announce(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str text);
void hf_shell_ask(void *ctx, int32_t slot, hf_str job_id, int32_t attempt, uint32_t serial, hf_str asked);
void hf_shell_on_report(void *ctx, uint64_t tag, const hf_report *report);
void hf_shell_on_change(void *ctx, const hf_change *change);
void hf_shell_on_limit(void *ctx, const hf_limit_change *change);
void hf_shell_on_record(void *ctx, const hf_log_record *record);
