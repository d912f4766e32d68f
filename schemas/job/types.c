/* Field tables of every record, in the order of its Avro schema. */
#include "schemas/job/job.h"

/* clang-format off: one row a field */

#define COUNT(a) (uint32_t)(sizeof(a) / sizeof *(a))
#define TYPE(var, name_, struct_, fields_) const hf_type var = {name_, sizeof(struct_), COUNT(fields_), fields_}
#define AT(s, f) (uint32_t) offsetof(s, f)
#define STR(s, f, name_, max_)                                                                                         \
    { .name = name_, .kind = HF_K_STR, .offset = AT(s, f), .max = max_ }
#define RAW(s, f, name_, max_)                                                                                         \
    { .name = name_, .kind = HF_K_RAW, .offset = AT(s, f), .max = max_ }
#define BOOL(s, f, name_, def_)                                                                                        \
    { .name = name_, .kind = HF_K_BOOL, .offset = AT(s, f), .def = def_ }
#define I32(s, f, name_, def_)                                                                                         \
    { .name = name_, .kind = HF_K_I32, .offset = AT(s, f), .def = def_ }
#define I64(s, f, name_, def_)                                                                                         \
    { .name = name_, .kind = HF_K_I64, .offset = AT(s, f), .def = def_ }
#define TIME(s, f, name_)                                                                                              \
    { .name = name_, .kind = HF_K_TIME, .offset = AT(s, f) }
#define F64(s, f, name_, def_)                                                                                         \
    { .name = name_, .kind = HF_K_F64, .offset = AT(s, f), .def = def_ }
#define ENUM(s, f, name_, symbols_)                                                                                    \
    { .name = name_, .kind = HF_K_ENUM, .offset = AT(s, f), .symbols = symbols_ }
#define RECORD(s, f, name_, sub_)                                                                                      \
    { .name = name_, .kind = HF_K_RECORD, .offset = AT(s, f), .sub = &sub_ }
#define OPTION(s, f, name_, sub_)                                                                                      \
    { .name = name_, .kind = HF_K_OPTION, .offset = AT(s, f), .sub = &sub_ }
#define LIST(s, f, name_, sub_, max_)                                                                                  \
    { .name = name_, .kind = HF_K_LIST, .offset = AT(s, f), .sub = sub_, .max = max_ }

static const char *const state_symbols[] = {
#define HF_STATE(id, name, status, terminal) name,
#include "schemas/job/states.def"
#undef HF_STATE
    NULL};
static const char *const worker_state_symbols[] = {"active", "quiet", "draining", "stopped", NULL};

static const hf_field disk_fields[] = {STR(hf_disk, path, "path", HF_MAX_PATH), STR(hf_disk, format, "format", 64),
                                       STR(hf_disk, checksum, "checksum", 256),
                                       I64(hf_disk, size_bytes, "size_bytes", 0)};
TYPE(HF_TYPE_DISK, "Disk", hf_disk, disk_fields);

static const hf_field options_fields[] = {I32(hf_options, parallel_downloads, "parallel_downloads", 0),
                                          BOOL(hf_options, remove_cdrom, "remove_cdrom", 0),
                                          BOOL(hf_options, create_ova, "create_ova", 0),
                                          BOOL(hf_options, compress, "compress", 1),
                                          I32(hf_options, compress_level, "compress_level", 0),
                                          STR(hf_options, codec, "codec", 32),
                                          I64(hf_options, bandwidth_limit, "bandwidth_limit", 0),
                                          STR(hf_options, manifest, "manifest", 16),
                                          LIST(hf_options, unsupported, "unsupported", NULL, HF_MAX_TAGS)};
static TYPE(type_options, "Options", hf_options, options_fields);

static const hf_field needs_fields[] = {BOOL(hf_needs, nbd, "needs_nbd", 0),
                                        BOOL(hf_needs, lvm, "needs_lvm", 0),
                                        BOOL(hf_needs, mount, "needs_mount", 0),
                                        BOOL(hf_needs, selinux_tools, "needs_selinux_tools", 0),
                                        F64(hf_needs, min_memory_gb, "min_memory_gb", 0),
                                        F64(hf_needs, min_disk_space_gb, "min_disk_space_gb", 0)};
static TYPE(type_needs, "CapabilityRequirements", hf_needs, needs_fields);

static const hf_field policy_fields[] = {I32(hf_exec_policy, retry_count, "retry_count", 2),
                                         I32(hf_exec_policy, timeout_seconds, "timeout_seconds", HF_TIMEOUT_MAX_S),
                                         BOOL(hf_exec_policy, idempotent, "idempotent", 1),
                                         I32(hf_exec_policy, priority, "priority", HF_PRIORITY_DEFAULT)};
static TYPE(type_policy, "ExecutionPolicy", hf_exec_policy, policy_fields);

static const hf_field artifact_policy_fields[] = {
    BOOL(hf_artifact_policy, log_upload, "log_upload", 0),
    BOOL(hf_artifact_policy, store_fixed_image, "store_fixed_image", 0),
    BOOL(hf_artifact_policy, keep_intermediates, "keep_intermediates", 0)};
static TYPE(type_artifact_policy, "ArtifactPolicy", hf_artifact_policy, artifact_policy_fields);

static const hf_field audit_fields[] = {STR(hf_audit, requested_by, "requested_by", HF_MAX_TEXT),
                                        STR(hf_audit, ticket, "ticket", HF_MAX_TEXT),
                                        LIST(hf_audit, tags, "tags", NULL, HF_MAX_TAGS)};
static TYPE(type_audit, "Audit", hf_audit, audit_fields);

static const hf_field spec_fields[] = {STR(hf_spec, name, "name", HF_MAX_TEXT),
                                       STR(hf_spec, operation, "operation", 128),
                                       STR(hf_spec, provider, "provider", 64),
                                       STR(hf_spec, endpoint, "endpoint", 128),
                                       STR(hf_spec, vm_path, "vm_path", HF_MAX_PATH),
                                       LIST(hf_spec, disks, "disks", &HF_TYPE_DISK, HF_MAX_DISKS),
                                       STR(hf_spec, output_dir, "output_dir", HF_MAX_PATH),
                                       STR(hf_spec, format, "format", 32),
                                       RECORD(hf_spec, options, "options", type_options),
                                       LIST(hf_spec, requested_actions, "requested_actions", NULL, HF_MAX_TAGS),
                                       RECORD(hf_spec, needs, "capability_requirements", type_needs),
                                       RECORD(hf_spec, policy, "execution_policy", type_policy),
                                       RECORD(hf_spec, artifacts, "artifacts", type_artifact_policy),
                                       RECORD(hf_spec, audit, "audit", type_audit),
                                       RAW(hf_spec, parameters, "parameters", HF_MAX_JSON),
                                       RAW(hf_spec, metadata, "metadata", HF_MAX_JSON),
                                       STR(hf_spec, origin, "origin", 256),
                                       TIME(hf_spec, scheduled_for, "scheduled_for")};
TYPE(HF_TYPE_SPEC, "JobSpec", hf_spec, spec_fields);

static const hf_field error_fields[] = {
    STR(hf_job_error, code, "code", 128), STR(hf_job_error, message, "message", 4096),
    STR(hf_job_error, phase, "phase", 128), RAW(hf_job_error, details, "details", HF_MAX_JSON)};
TYPE(HF_TYPE_JOB_ERROR, "JobError", hf_job_error, error_fields);

static const hf_field artifact_fields[] = {
    STR(hf_artifact, path, "path", HF_MAX_PATH), STR(hf_artifact, kind, "kind", 32),
    I64(hf_artifact, size_bytes, "size_bytes", 0), STR(hf_artifact, sha256, "sha256", 64)};
TYPE(HF_TYPE_ARTIFACT, "Artifact", hf_artifact, artifact_fields);

static const hf_field result_fields[] = {LIST(hf_result, artifacts, "artifacts", &HF_TYPE_ARTIFACT, HF_MAX_ARTIFACTS),
                                         I64(hf_result, bytes_read, "bytes_read", 0),
                                         I64(hf_result, bytes_written, "bytes_written", 0),
                                         I64(hf_result, duration_ms, "duration_ms", 0),
                                         STR(hf_result, vm_name, "vm_name", HF_MAX_TEXT),
                                         STR(hf_result, os_type, "os_type", 128),
                                         RAW(hf_result, report, "report", HF_MAX_JSON)};
TYPE(HF_TYPE_RESULT, "JobResult", hf_result, result_fields);

static const hf_field position_fields[] = {I32(hf_position, partition, "partition", 0),
                                           I64(hf_position, offset, "offset", 0)};
static TYPE(type_position, "Position", hf_position, position_fields);

static const hf_field job_fields[] = {STR(hf_job, id, "job_id", HF_ID_MAX_BYTES),
                                      RECORD(hf_job, created, "created", type_position),
                                      RECORD(hf_job, last, "last", type_position),
                                      ENUM(hf_job, state, "state", state_symbols),
                                      I32(hf_job, attempt, "attempt", 0),
                                      I32(hf_job, released, "released", 0),
                                      BOOL(hf_job, cancel_requested, "cancel_requested", 0),
                                      BOOL(hf_job, deleted, "deleted", 0),
                                      TIME(hf_job, created_at, "created_at"),
                                      TIME(hf_job, queued_at, "queued_at"),
                                      TIME(hf_job, assigned_at, "assigned_at"),
                                      TIME(hf_job, started_at, "started_at"),
                                      TIME(hf_job, finished_at, "finished_at"),
                                      TIME(hf_job, updated_at, "updated_at"),
                                      TIME(hf_job, not_before, "not_before"),
                                      I64(hf_job, lease_ms, "lease_ms", 0),
                                      STR(hf_job, worker, "worker", 256),
                                      STR(hf_job, phase, "phase", 128),
                                      STR(hf_job, cancel_by, "cancel_by", HF_MAX_TEXT),
                                      STR(hf_job, cancel_reason, "cancel_reason", HF_MAX_TEXT),
                                      OPTION(hf_job, error, "error", HF_TYPE_JOB_ERROR),
                                      OPTION(hf_job, result, "result", HF_TYPE_RESULT),
                                      OPTION(hf_job, spec, "spec", HF_TYPE_SPEC),
                                      I32(hf_job, priority, "priority", 0),
                                      I64(hf_job, bandwidth_limit, "bandwidth_limit", -1)};
TYPE(HF_TYPE_JOB, "Job", hf_job, job_fields);

static const hf_field created_fields[] = {RECORD(hf_ev_created, spec, "spec", HF_TYPE_SPEC),
                                          STR(hf_ev_created, submission, "submission", 512)};
static TYPE(type_created, "Created", hf_ev_created, created_fields);
static const hf_field validated_fields[] = {LIST(hf_ev_validated, warnings, "warnings", NULL, HF_MAX_ERRORS)};
static TYPE(type_validated, "Validated", hf_ev_validated, validated_fields);
static const hf_field rejected_fields[] = {LIST(hf_ev_rejected, errors, "errors", NULL, HF_MAX_ERRORS),
                                           RECORD(hf_ev_rejected, error, "error", HF_TYPE_JOB_ERROR)};
static TYPE(type_rejected, "Rejected", hf_ev_rejected, rejected_fields);
static const hf_field queued_fields[] = {TIME(hf_ev_queued, not_before, "not_before")};
static TYPE(type_queued, "Queued", hf_ev_queued, queued_fields);
static const hf_field assigned_fields[] = {STR(hf_ev_assigned, worker, "worker", 256),
                                           I64(hf_ev_assigned, lease_ms, "lease_ms", 0)};
static TYPE(type_assigned, "Assigned", hf_ev_assigned, assigned_fields);
static const hf_field started_fields[] = {STR(hf_ev_started, runner, "runner", 128)};
static TYPE(type_started, "Started", hf_ev_started, started_fields);
static const hf_field progressing_fields[] = {STR(hf_ev_progressing, phase, "phase", 128)};
static TYPE(type_progressing, "Progressing", hf_ev_progressing, progressing_fields);
static const hf_field completed_fields[] = {RECORD(hf_ev_completed, result, "result", HF_TYPE_RESULT)};
static TYPE(type_completed, "Completed", hf_ev_completed, completed_fields);
static const hf_field retry_fields[] = {RECORD(hf_ev_retry_scheduled, error, "error", HF_TYPE_JOB_ERROR),
                                        TIME(hf_ev_retry_scheduled, not_before, "not_before")};
static TYPE(type_retry, "RetryScheduled", hf_ev_retry_scheduled, retry_fields);
static const hf_field failed_fields[] = {RECORD(hf_ev_failed, error, "error", HF_TYPE_JOB_ERROR)};
static TYPE(type_failed, "Failed", hf_ev_failed, failed_fields);
static const hf_field lease_fields[] = {STR(hf_ev_lease_expired, reason, "reason", HF_MAX_TEXT),
                                        TIME(hf_ev_lease_expired, not_before, "not_before")};
static TYPE(type_lease, "LeaseExpired", hf_ev_lease_expired, lease_fields);
static const hf_field asked_fields[] = {STR(hf_ev_cancel_requested, reason, "reason", HF_MAX_TEXT)};
static TYPE(type_asked, "CancelRequested", hf_ev_cancel_requested, asked_fields);
static const hf_field cancelled_fields[] = {STR(hf_ev_cancelled, reason, "reason", HF_MAX_TEXT)};
static TYPE(type_cancelled, "Cancelled", hf_ev_cancelled, cancelled_fields);
static const hf_field released_fields[] = {STR(hf_ev_released, reason, "reason", HF_MAX_TEXT)};
static TYPE(type_released, "Released", hf_ev_released, released_fields);
static const hf_field deleted_fields[] = {STR(hf_ev_deleted, reason, "reason", HF_MAX_TEXT)};
static TYPE(type_deleted, "Deleted", hf_ev_deleted, deleted_fields);
static const hf_field adjusted_fields[] = {I32(hf_ev_adjusted, priority, "priority", 0),
                                           I64(hf_ev_adjusted, bandwidth_limit, "bandwidth_limit", -1),
                                           STR(hf_ev_adjusted, reason, "reason", HF_MAX_TEXT)};
static TYPE(type_adjusted, "Adjusted", hf_ev_adjusted, adjusted_fields);

const hf_type *const HF_TYPES_EVENT[] = {/* in the order of transitions.def */
                                         &type_created,
                                         &type_validated,
                                         &type_rejected,
                                         &type_queued,
                                         &type_assigned,
                                         &type_started,
                                         &type_progressing,
                                         &type_completed,
                                         &type_retry,
                                         &type_failed,
                                         &type_lease,
                                         &type_asked,
                                         &type_cancelled,
                                         &type_released,
                                         &type_deleted,
                                         &type_adjusted,
                                         NULL};
_Static_assert(sizeof HF_TYPES_EVENT / sizeof *HF_TYPES_EVENT == HF_EVENT_COUNT + 1, "a type for each event");

static const hf_field record_fields[] = {STR(hf_record, job_id, "job_id", HF_ID_MAX_BYTES),
                                         I32(hf_record, attempt, "attempt", 0),
                                         TIME(hf_record, at, "at"),
                                         STR(hf_record, by, "by", HF_MAX_TEXT),
                                         {.name = "transitions",
                                          .kind = HF_K_UNIONS,
                                          .offset = AT(hf_record, transitions),
                                          .branches = HF_TYPES_EVENT,
                                          .max = HF_MAX_TRANSITIONS}};
TYPE(HF_TYPE_RECORD, "JobEvent", hf_record, record_fields);

static const hf_field submission_fields[] = {STR(hf_submission, job_id, "job_id", HF_ID_MAX_BYTES),
                                             TIME(hf_submission, submitted_at, "submitted_at"),
                                             RECORD(hf_submission, spec, "spec", HF_TYPE_SPEC)};
TYPE(HF_TYPE_SUBMISSION, "JobSubmission", hf_submission, submission_fields);

static const hf_field progress_fields[] = {STR(hf_progress, job_id, "job_id", HF_ID_MAX_BYTES),
                                           I32(hf_progress, attempt, "attempt", 0),
                                           TIME(hf_progress, at, "at"),
                                           STR(hf_progress, worker, "worker", 256),
                                           STR(hf_progress, phase, "phase", 128),
                                           F64(hf_progress, percent, "percent", -1),
                                           I64(hf_progress, bytes_done, "bytes_done", 0),
                                           I64(hf_progress, bytes_total, "bytes_total", 0),
                                           F64(hf_progress, bytes_per_second, "bytes_per_second", 0),
                                           I64(hf_progress, eta_seconds, "eta_seconds", -1),
                                           I32(hf_progress, files_done, "files_done", 0),
                                           I32(hf_progress, files_total, "files_total", 0),
                                           STR(hf_progress, current, "current", HF_MAX_PATH),
                                           STR(hf_progress, message, "message", 4096),
                                           STR(hf_progress, level, "level", 16),
                                           RAW(hf_progress, details, "details", HF_MAX_JSON)};
TYPE(HF_TYPE_PROGRESS, "ProgressEvent", hf_progress, progress_fields);

static const hf_field capability_fields[] = {BOOL(hf_capabilities, nbd, "nbd", 0),
                                             BOOL(hf_capabilities, lvm, "lvm", 0),
                                             BOOL(hf_capabilities, mount, "mount", 0),
                                             BOOL(hf_capabilities, selinux_tools, "selinux", 0),
                                             BOOL(hf_capabilities, qemu_img, "qemu_img", 0),
                                             STR(hf_capabilities, execution_mode, "execution_mode", 64),
                                             STR(hf_capabilities, level, "level", 64),
                                             F64(hf_capabilities, memory_gb, "memory_gb", 0),
                                             F64(hf_capabilities, disk_space_gb, "disk_space_gb", 0),
                                             F64(hf_capabilities, max_disk_size_tb, "max_disk_size_tb", 0),
                                             I32(hf_capabilities, cpus, "cpus", 0),
                                             STR(hf_capabilities, os_info, "os_info", 256),
                                             STR(hf_capabilities, kernel_version, "kernel_version", 256),
                                             LIST(hf_capabilities, operations, "operations", NULL, 256),
                                             LIST(hf_capabilities, providers, "providers", NULL, 64),
                                             LIST(hf_capabilities, endpoints, "endpoints", NULL, 256)};
TYPE(HF_TYPE_CAPABILITIES, "Capabilities", hf_capabilities, capability_fields);

static const hf_field attempt_fields[] = {STR(hf_attempt_ref, job_id, "job_id", HF_ID_MAX_BYTES),
                                          I32(hf_attempt_ref, attempt, "attempt", 0)};
static TYPE(type_attempt, "Attempt", hf_attempt_ref, attempt_fields);

static const hf_field heartbeat_fields[] = {STR(hf_heartbeat, worker_id, "worker_id", HF_ID_MAX_BYTES),
                                            STR(hf_heartbeat, incarnation, "incarnation", 64),
                                            STR(hf_heartbeat, hostname, "hostname", 256),
                                            STR(hf_heartbeat, version, "version", 64),
                                            TIME(hf_heartbeat, at, "at"),
                                            TIME(hf_heartbeat, started_at, "started_at"),
                                            ENUM(hf_heartbeat, state, "state", worker_state_symbols),
                                            I32(hf_heartbeat, slots, "slots", 0),
                                            I32(hf_heartbeat, slots_busy, "slots_busy", 0),
                                            I64(hf_heartbeat, interval_ms, "interval_ms", 0),
                                            I64(hf_heartbeat, lease_ms, "lease_ms", 0),
                                            RECORD(hf_heartbeat, capabilities, "capabilities", HF_TYPE_CAPABILITIES),
                                            LIST(hf_heartbeat, running, "running", &type_attempt, 8192),
                                            I64(hf_heartbeat, runner_restarts, "runner_restarts", 0),
                                            I64(hf_heartbeat, jobs_done, "jobs_done", 0)};
TYPE(HF_TYPE_HEARTBEAT, "WorkerHeartbeat", hf_heartbeat, heartbeat_fields);
