/* What the fleet, its intake, an operation, a provider or a worker is told to do. Every record is kept: of each target the last
 * one is in force, all of them together are who did what when and why.
 *
 * A record's key names its target: fleet, intake, operation/NAME, provider/NAME, worker/ID. Neither names nor ids hold a slash, so
 * the older forms of some (a bare NAME or ID beside the record's scope) stay readable. */
#pragma once
#include "schemas/job/job.h"

/* resume comes first: what an absent field means must do no harm. */
typedef enum hf_control_action {
    HF_CONTROL_RESUME,
    HF_CONTROL_PAUSE, /* intake takes nothing in; or nothing of the target is claimed. What runs goes on */
    HF_CONTROL_QUIET, /* a worker: claims nothing, finishes what it holds */
    HF_CONTROL_STOP, /* a worker: drains, and ends. Only the incarnation that ran then: one started later works as usual */
    HF_CONTROL_DRAIN, /* a worker: as quiet, and gives back what it has not started. It stays */
    HF_CONTROL_ACTIONS
} hf_control_action;
typedef enum hf_control_scope {
    HF_SCOPE_FLEET, /* claims of all */
    HF_SCOPE_OPERATION,
    HF_SCOPE_WORKER,
    HF_SCOPE_PROVIDER,
    HF_SCOPE_INTAKE,
    HF_CONTROL_SCOPES
} hf_control_scope;

enum {
    HF_CONTROL_NAMES_MAX = 64 /* operations, and providers, paused at once */,
    HF_CONTROL_KEY_BYTES = HF_ID_MAX_BYTES + 16
};

typedef struct hf_control { /* Control */
    hf_str key;
    int32_t scope;  /* hf_control_scope: what the key names */
    int32_t action; /* hf_control_action */
    hf_str by, reason;
    int64_t at;
    hf_str incarnation; /* stop: whose; "": that of any worker process which is older than the record */
} hf_control;

extern const hf_type HF_TYPE_CONTROL;

/* "fleet" …; NULL for none. */
const char *hf_control_scope_name(int32_t scope);
const char *hf_control_action_name(int32_t action);
/* What an action does to a scope at all: quiet, drain and stop are for workers, pause for the others. (A worker that is paused is quiet.) */
bool hf_control_applies(int32_t scope, int32_t action);
/* The key of a target; false: the scope or the name is none. `name` counts for operations, providers and workers. */
bool hf_control_key(int32_t scope, hf_str name, char ret[HF_CONTROL_KEY_BYTES]);
/* What the record under `key` is about; *ret_name ("" where the scope has none) borrows. False: nothing that is known. */
bool hf_control_target(hf_str key, const hf_control *control, int32_t *ret_scope, hf_str *ret_name);
/* The scopes that a key without its record (a tombstone) can have meant, as bits 1u << hf_control_scope. */
unsigned hf_control_scopes_of(hf_str key, hf_str *ret_name);
