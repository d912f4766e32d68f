/* Limits of concurrency as a worker sees them (schemas/job/limit.h): which are set, how many grants are held by anybody, the
 * queued jobs that wait for one, and its own grants. Owned by hf_worker_core.
 *
 * A queued job that matches a full limit is parked in that limit's heap and costs nothing until a grant comes back; then as many jobs are
 * offered as there is room for. A job that matches none has one NULL pointer. A grant is asked for, read back, held, freed, and read
 * back as freed; what an attempt leaves behind is freed whatever became of it. */
#pragma once
#include "consumer/worker/qjobs.h"
#include "schemas/job/limit.h"

typedef struct hf_wgrant hf_wgrant;
typedef struct hf_wlimit {
    UT_hash_handle hh;
    bool set;
    int32_t max;
    uint32_t held;    /* by anybody, as the log has it */
    uint32_t asked;   /* by us, and not read back */
    uint32_t offered; /* jobs of its heap that were put among those to claim */
    uint32_t refs;    /* jobs, attempts and grants that name it */
    hf_qheap parked;
    hf_wgrant *grants; /* own */
    uint32_t key_len;
    char key[HF_LIMIT_KEY_MAX];
} hf_wlimit;

typedef struct hf_qlimits { /* what a job matches, in the order of the keys */
    uint32_t count;
    hf_wlimit *of[];
} hf_qlimits;

typedef enum hf_wgrant_state { HF_WG_ASKED, HF_WG_HELD, HF_WG_FREEING } hf_wgrant_state;
struct hf_held;
struct hf_wgrant {
    hf_wgrant *prev, *next; /* of its limit */
    hf_wgrant *due_next;    /* of those to tell the log */
    hf_wlimit *limit;
    struct hf_held *held; /* whose it is; NULL: nobody's any more */
    hf_wgrant_state state;
    bool due, resend;
    int64_t offset;
    int32_t attempt;
    uint32_t serial; /* of the record under way */
    uint8_t id_len;
    char id[];
};

typedef struct hf_wlimits {
    hf_wlimit *by_key;
    hf_wgrant *due, *due_last;
    uint32_t grants, serial;
    bool offers, resends; /* something to look at */
    int64_t resend_at;
    hf_limit_keys keys; /* scratch */
} hf_wlimits;

static inline hf_str hf_wlimit_key(const hf_wlimit *l) { return (hf_str){l->key, l->key_len}; }
/* Grants that may still be asked for; below 1: none. */
static inline int64_t hf_wlimit_room(const hf_wlimit *l) {
    return l->set ? (int64_t)l->max - l->held - l->asked : INT32_MAX;
}
