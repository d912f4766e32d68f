/* The vocabulary of a job: what was asked for (spec), what has become of it (job), and the facts
 * proposed about it (record). Plain values; strings are borrowed (str.h), so whoever keeps one
 * past the life of the bytes it came from copies it (hf_type_clone, HF_TYPE_JOB).
 * The structs here and the tables in types.def describe the same fields in the same order; the
 * Avro schemas (schemas/avro) document each of them. */
#pragma once
#include "schemas/base/id.h"
#include "schemas/base/type.h"

typedef enum hf_state {
#define HF_STATE(id, name, status, terminal) HF_S_##id,
#include "schemas/job/states.def"
#undef HF_STATE
    HF_STATE_COUNT,
    HF_S_NONE = -1 /* the job does not exist */
} hf_state;

typedef enum hf_event {
#define HF_EVENT(id, name, from, to, guards, sentence) HF_EV_##id,
#include "schemas/job/transitions.def"
#undef HF_EVENT
    HF_EVENT_COUNT
} hf_event;

typedef enum hf_verdict {
#define HF_VERDICT(id, name, sentence) HF_V_##id,
#include "schemas/job/verdicts.def"
#undef HF_VERDICT
    HF_VERDICT_COUNT
} hf_verdict;

const char *hf_state_name(hf_state state);   /* "queued"; "none" for HF_S_NONE */
const char *hf_state_status(hf_state state); /* the older name: "pending" … */
bool hf_state_terminal(hf_state state);
bool hf_state_from_name(hf_str name, hf_state *ret);  /* wire names only */
static inline bool hf_state_has_attempt(hf_state s) { /* a worker holds it */
    return s == HF_S_ASSIGNED || s == HF_S_RUNNING || s == HF_S_PROGRESSING;
}
const char *hf_event_name(hf_event event); /* "Created" */
const char *hf_verdict_name(hf_verdict verdict);
const char *hf_verdict_sentence(hf_verdict verdict);

/* Bounds of a specification; past them intake says which, the limit and the remedy. */
enum {
    HF_MAX_TEXT = 1024, /* a name, a path's part, a reason */
    HF_MAX_PATH = 4096,
    HF_MAX_JSON = 65536, /* parameters, metadata, a report */
    HF_MAX_DISKS = 64,
    HF_MAX_TAGS = 64,
    HF_MAX_ERRORS = 64,
    HF_MAX_ARTIFACTS = 256,
    HF_MAX_TRANSITIONS = 16,    /* in one record */
    HF_MAX_RECORD = 512 * 1024, /* bytes of any record on any topic */
    HF_MAX_SUBMISSION = 256 * 1024,
    HF_RETRIES_MAX = 5,
    HF_TIMEOUT_MIN_S = 60,
    HF_TIMEOUT_MAX_S = 86400,
    HF_PRIORITY_HIGHEST = 1,
    HF_PRIORITY_LOWEST = 10,
    HF_PRIORITY_DEFAULT = 5,
};

/* ---- what was asked for ---------------------------------------------------------------- */
typedef struct hf_disk { /* one image of a local source */
    hf_str path, format, checksum;
    int64_t size_bytes;
} hf_disk;

typedef struct hf_options {
    int32_t parallel_downloads; /* 0: the worker's choice */
    bool remove_cdrom, create_ova, compress;
    int32_t compress_level;  /* 0: by codec */
    hf_str codec;            /* "", fast, balanced, small */
    int64_t bandwidth_limit; /* bytes/s for the job as a whole; 0: none */
    hf_str manifest;         /* "", sha256, sha1, sha512 */
    hf_list unsupported;     /* hf_str: names of options given that nothing here acts on */
} hf_options;

typedef struct hf_needs { /* capability_requirements */
    bool nbd, lvm, mount, selinux_tools;
    double min_memory_gb, min_disk_space_gb;
} hf_needs;

typedef struct hf_exec_policy { /* execution_policy */
    int32_t retry_count;        /* further attempts after the first, 0..5 */
    int32_t timeout_seconds;    /* of one attempt */
    bool idempotent;
    int32_t priority; /* 1 highest .. 10 */
} hf_exec_policy;

typedef struct hf_artifact_policy { /* artifacts */
    bool log_upload, store_fixed_image, keep_intermediates;
} hf_artifact_policy;

typedef struct hf_audit {
    hf_str requested_by, ticket;
    hf_list tags; /* hf_str */
} hf_audit;

typedef struct hf_spec {
    hf_str name, operation, provider, endpoint;
    hf_str vm_path; /* inventory path, or path or file:// URL of a disk image */
    hf_list disks;  /* hf_disk; empty: vm_path is the one disk */
    hf_str output_dir;
    hf_str format; /* of the result: docs/jobs.md, "Formats" */
    hf_options options;
    hf_list requested_actions; /* hf_str, worker protocol v1 */
    hf_needs needs;
    hf_exec_policy policy;
    hf_artifact_policy artifacts;
    hf_audit audit;
    hf_str parameters;     /* JSON object or "" : for the operation */
    hf_str metadata;       /* JSON object or "" : carried along, never read */
    hf_str origin;         /* "", "schedule:ID", "retry-of:JOB" */
    int64_t scheduled_for; /* wall ms: the nominal time of the schedule's run that it is; 0: none */
} hf_spec;

/* ---- what came of it --------------------------------------------------------------------- */
typedef struct hf_job_error {
    hf_str code; /* wire name of errors.def, or the operation's own */
    hf_str message, phase;
    hf_str details; /* JSON or "" */
} hf_job_error;

typedef struct hf_artifact {
    hf_str path, kind; /* kind: ova, ovf, manifest, disk, report, log */
    int64_t size_bytes;
    hf_str sha256; /* lower-case hex, or "" */
} hf_artifact;

typedef struct hf_result {
    hf_list artifacts; /* hf_artifact */
    int64_t bytes_read, bytes_written, duration_ms;
    hf_str vm_name, os_type;
    hf_str report; /* JSON of the operation's own findings, or "" */
} hf_result;

/* Where a record stands in the log. The creating record's position names the job inside the
 * journal: dense, and in time order. */
typedef struct hf_position {
    int32_t partition;
    int64_t offset;
} hf_position;
/* As one integer key, partitions apart, offsets in order (48 bits of offset). */
static inline uint64_t hf_position_key(hf_position p) {
    return (uint64_t)(uint32_t)p.partition << 48 | (uint64_t)p.offset;
}
static inline hf_position hf_position_of_key(uint64_t k) {
    return (hf_position){(int32_t)(k >> 48), (int64_t)(k & 0xffffffffffff)};
}

typedef struct hf_job {
    hf_str id;
    hf_position created, last; /* creating record; last accepted record */
    int32_t state;             /* hf_state */
    int32_t attempt;           /* attempts so far; the current one while an attempt runs */
    int32_t released;          /* attempts given back unstarted: they cost no retry */
    bool cancel_requested, deleted;
    int64_t created_at, queued_at, assigned_at, started_at, finished_at, updated_at; /* wall ms, 0 none */
    int64_t not_before; /* wall ms: a retry waits until then */
    int64_t lease_ms;
    hf_str worker; /* identity "id/incarnation" of the current or last attempt */
    hf_str phase;
    hf_str cancel_by, cancel_reason;
    const hf_job_error *error; /* of the last failure, or NULL */
    const hf_result *result;   /* or NULL */
    const hf_spec *spec;       /* never NULL in a folded job */
    int32_t priority;          /* it was given since; 0: its spec's. Read it through hf_job_priority */
    int64_t bandwidth_limit; /* bytes/s it was given since, 0 none; -1: its spec's. Read it through hf_job_bandwidth */
} hf_job;

/* What counts now: what it was given while it was alive, or what it was submitted with. */
static inline int32_t hf_job_priority(const hf_job *job) {
    return job->priority > 0 ? job->priority : job->spec->policy.priority;
}
static inline int64_t hf_job_bandwidth(const hf_job *job) {
    return job->bandwidth_limit >= 0 ? job->bandwidth_limit : job->spec->options.bandwidth_limit;
}

/* Attempts the policy still allows: (retry_count + 1) - (attempt - released). */
int32_t hf_job_attempts_left(const hf_job *job);

/* ---- facts proposed about it ------------------------------------------------------------- */
typedef struct hf_ev_created {
    hf_spec spec;
    hf_str submission; /* "topic/partition/offset" or "" */
} hf_ev_created;
typedef struct hf_ev_validated {
    hf_list warnings;
} hf_ev_validated;
typedef struct hf_ev_rejected {
    hf_list errors;     /* hf_str */
    hf_job_error error; /* the same, summed up */
} hf_ev_rejected;
typedef struct hf_ev_queued {
    int64_t not_before;
} hf_ev_queued;
typedef struct hf_ev_assigned {
    hf_str worker;
    int64_t lease_ms;
} hf_ev_assigned;
typedef struct hf_ev_started {
    hf_str runner;
} hf_ev_started;
typedef struct hf_ev_progressing {
    hf_str phase;
} hf_ev_progressing;
typedef struct hf_ev_completed {
    hf_result result;
} hf_ev_completed;
typedef struct hf_ev_retry_scheduled {
    hf_job_error error;
    int64_t not_before;
} hf_ev_retry_scheduled;
typedef struct hf_ev_failed {
    hf_job_error error;
} hf_ev_failed;
typedef struct hf_ev_lease_expired {
    hf_str reason;
    int64_t not_before;
} hf_ev_lease_expired;
typedef struct hf_ev_cancel_requested {
    hf_str reason;
} hf_ev_cancel_requested;
typedef struct hf_ev_cancelled {
    hf_str reason;
} hf_ev_cancelled;
typedef struct hf_ev_released {
    hf_str reason;
} hf_ev_released;
typedef struct hf_ev_deleted {
    hf_str reason;
} hf_ev_deleted;
typedef struct hf_ev_adjusted {
    int32_t priority;        /* 0: as it is */
    int64_t bandwidth_limit; /* bytes/s, 0: none; -1: as it is */
    hf_str reason;
} hf_ev_adjusted;

/* JobEvent: one proposal; all of its transitions are accepted, or none. */
typedef struct hf_record {
    hf_str job_id;
    int32_t attempt;
    int64_t at;          /* wall ms of the proposer */
    hf_str by;           /* a worker's identity, or program@host/incarnation, or who asked */
    hf_list transitions; /* hf_variant: branch is an hf_event, record one of hf_ev_… */
} hf_record;

static inline hf_event hf_record_event(const hf_record *r, uint32_t i) {
    return (hf_event)HF_LIST_AT(r->transitions, hf_variant, i)->branch;
}

/* ---- the other records ------------------------------------------------------------------- */
typedef struct hf_submission { /* JobSubmission */
    hf_str job_id;             /* "" : derived from where the record stands */
    int64_t submitted_at;
    hf_spec spec;
} hf_submission;

typedef struct hf_progress { /* ProgressEvent */
    hf_str job_id;
    int32_t attempt;
    int64_t at;
    hf_str worker, phase;
    double percent; /* 0..100; negative: not known */
    int64_t bytes_done, bytes_total;
    double bytes_per_second;
    int64_t eta_seconds; /* negative: not known */
    int32_t files_done, files_total;
    hf_str current, message;
    hf_str level;   /* "" for progress alone; debug info warn error for a log line */
    hf_str details; /* JSON or "" */
} hf_progress;

typedef struct hf_capabilities {
    bool nbd, lvm, mount, selinux_tools, qemu_img; /* lvm, mount, selinux_tools: of the host, or of the appliance */
    hf_str execution_mode;                         /* host, safe_container, privileged_container */
    hf_str level;                                  /* userspace-only, nbd-inspection, full-offline-fixes */
    double memory_gb, disk_space_gb, max_disk_size_tb;
    int32_t cpus;
    hf_str os_info, kernel_version;
    hf_list operations, providers, endpoints; /* hf_str */
    /* What the worker itself knows of it; not announced. */
    bool host_lvm, host_mount, host_selinux_tools; /* the host has it, without the appliance */
    bool guestfs;                                  /* guest operations can run */
    hf_str guestfs_why;                            /* why they cannot; "" */
} hf_capabilities;

typedef struct hf_attempt_ref {
    hf_str job_id;
    int32_t attempt;
} hf_attempt_ref;

typedef struct hf_heartbeat { /* WorkerHeartbeat */
    hf_str worker_id, incarnation, hostname, version;
    int64_t at, started_at;
    int32_t state; /* hf_worker_state */
    int32_t slots, slots_busy;
    int64_t interval_ms, lease_ms;
    hf_capabilities capabilities;
    hf_list running; /* hf_attempt_ref: every attempt it holds, claimed or running */
    int64_t runner_restarts, jobs_done;
} hf_heartbeat;
typedef enum hf_worker_state { HF_W_ACTIVE, HF_W_QUIET, HF_W_DRAINING, HF_W_STOPPED } hf_worker_state;

extern const hf_type HF_TYPE_SPEC, HF_TYPE_JOB, HF_TYPE_RECORD, HF_TYPE_SUBMISSION, HF_TYPE_PROGRESS, HF_TYPE_HEARTBEAT,
    HF_TYPE_RESULT, HF_TYPE_JOB_ERROR, HF_TYPE_CAPABILITIES, HF_TYPE_DISK, HF_TYPE_ARTIFACT;
extern const hf_type *const HF_TYPES_EVENT[]; /* branch types by hf_event, NULL-terminated */
