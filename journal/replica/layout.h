/* Keys and values of a replica's store (tables.def), in code: for the replica that writes them and for whoever reads them
 * (query.h, the sidecar, the tools). Big-endian where byte order must be the order of numbers. */
#pragma once
#include <endian.h>

#include "journal/log/klog.h"
#include "journal/store/store.h"
#include "schemas/job/fold.h"

enum { HF_LAYOUT_VERSION = 10 };

typedef enum hf_store_table_id {
#define HF_STORE_TABLE(id, name, flags, doc) HF_TB_##id,
#include "journal/replica/tables.def"
#undef HF_STORE_TABLE
    HF_TB_COUNT
} hf_store_table_id;
typedef struct hf_tables {
    hf_table of[HF_TB_COUNT];
} hf_tables;

typedef enum hf_profile { HF_PROFILE_LIVE, HF_PROFILE_FULL } hf_profile;

/* What a store must be to be a replica's: kind by profile; version from layout, fold and the Job schema. */
void hf_layout_options(hf_profile profile, const char *fleet, hf_store_options *options);
/* Opens the profile's tables (makes them, when writable). */
hf_code hf_tables_open(hf_store *store, hf_profile profile, hf_tables *ret, hf_err *reterr);

/* ---- names ------------------------------------------------------------------------------------------- */
enum { HF_PART_NAME_BYTES = 64 };
/* "job-events/3" */
const char *hf_offsets_key(hf_topic topic, int32_t partition, char text[HF_PART_NAME_BYTES]);
/* "log/job-events/3" */
const char *hf_logcopy_name(hf_topic topic, int32_t partition, char text[HF_PART_NAME_BYTES]);
bool hf_logcopy_parse(const char *name, hf_topic *ret_topic, int32_t *ret_partition);

/* ---- by_state ------------------------------------------------------------------------------------------ */
enum { HF_BY_STATE_BYTES = 17, HF_BY_PATH_MAX = 400 };
static inline hf_str hf_by_state_key(int32_t state, int64_t updated_at, uint64_t job_key, char key[HF_BY_STATE_BYTES]) {
    uint64_t at = htobe64((uint64_t)updated_at), job = htobe64(job_key);
    key[0] = (char)state;
    memcpy(key + 1, &at, 8);
    memcpy(key + 9, &job, 8);
    return (hf_str){key, HF_BY_STATE_BYTES};
}
static inline uint64_t hf_by_state_job(hf_str key) {
    uint64_t job = 0;
    if (key.len == HF_BY_STATE_BYTES)
        memcpy(&job, key.p + 9, 8);
    return be64toh(job);
}

/* ---- by_wait: operation and priority as the counters' labels count them (counters.h) ------------------------- */
enum { HF_BY_WAIT_BYTES = 18 };
static inline hf_str hf_by_wait_key(uint32_t operation, uint32_t priority, int64_t queued_at, uint64_t job_key,
                                    char key[HF_BY_WAIT_BYTES]) {
    uint64_t at = htobe64((uint64_t)queued_at), job = htobe64(job_key);
    key[0] = (char)operation;
    key[1] = (char)priority;
    memcpy(key + 2, &at, 8);
    memcpy(key + 10, &job, 8);
    return (hf_str){key, HF_BY_WAIT_BYTES};
}
static inline int64_t hf_by_wait_since(hf_str key) {
    uint64_t at = 0;
    if (key.len == HF_BY_WAIT_BYTES)
        memcpy(&at, key.p + 2, 8);
    return (int64_t)be64toh(at);
}

/* ---- by_created ---------------------------------------------------------------------------------------- */
enum { HF_BY_CREATED_BYTES = 16 };
static inline hf_str hf_by_created_key(int64_t created_at, uint64_t job_key, char key[HF_BY_CREATED_BYTES]) {
    uint64_t at = htobe64((uint64_t)created_at), job = htobe64(job_key);
    memcpy(key, &at, 8);
    memcpy(key + 8, &job, 8);
    return (hf_str){key, HF_BY_CREATED_BYTES};
}

/* ---- by_path ------------------------------------------------------------------------------------------ */
enum { HF_BY_PATH_BYTES = HF_BY_PATH_MAX + 1 + 8 };
static inline hf_str hf_by_path_key(hf_str path, uint64_t job_key, char key[HF_BY_PATH_BYTES]) {
    uint32_t len = path.len > HF_BY_PATH_MAX ? HF_BY_PATH_MAX : path.len;
    uint64_t job = htobe64(job_key);
    memcpy(key, path.p, len);
    key[len] = 0;
    memcpy(key + len + 1, &job, 8);
    return (hf_str){key, len + 9};
}

/* ---- events ------------------------------------------------------------------------------------------- */
/* Plain rows, though a job has several: values sorted under one key (MDB_DUPSORT) cost twice as much to write. */
enum { HF_EVENT_KEY_BYTES = 16, HF_EVENT_VALUE_BYTES = 2 };
typedef struct hf_event_row {
    hf_position position;
    hf_verdict verdict;
    uint32_t refused;
} hf_event_row;
static inline hf_str hf_event_key(uint64_t job_key, hf_position position, char key[HF_EVENT_KEY_BYTES]) {
    uint64_t job = htobe64(job_key), at = htobe64(hf_position_key(position));
    memcpy(key, &job, 8);
    memcpy(key + 8, &at, 8);
    return (hf_str){key, HF_EVENT_KEY_BYTES};
}
/* False: the row is damaged. */
static inline bool hf_event_row_read(hf_str key, hf_str value, uint64_t *ret_job_key, hf_event_row *ret) {
    uint64_t job, at;
    if (key.len != HF_EVENT_KEY_BYTES || value.len != HF_EVENT_VALUE_BYTES)
        return false;
    memcpy(&job, key.p, 8);
    memcpy(&at, key.p + 8, 8);
    *ret_job_key = be64toh(job);
    *ret = (hf_event_row){hf_position_of_key(be64toh(at)), (hf_verdict)(uint8_t)value.p[0], (uint8_t)value.p[1]};
    return true;
}

/* ---- logs -------------------------------------------------------------------------------------------------- */
enum { HF_LOG_KEY_BYTES = HF_ID_MAX_BYTES + 1 + 8 };
static inline hf_str hf_log_key(hf_str job_id, hf_position position, char key[HF_LOG_KEY_BYTES]) {
    uint64_t at = htobe64(hf_position_key(position));
    uint32_t len = job_id.len > HF_ID_MAX_BYTES ? HF_ID_MAX_BYTES : job_id.len;
    memcpy(key, job_id.p, len);
    key[len] = 0;
    memcpy(key + len + 1, &at, 8);
    return (hf_str){key, len + 9};
}

/* ---- deliveries, undelivered -------------------------------------------------------------------------------- */
enum { HF_DELIVERY_KEY_BYTES = HF_LOG_KEY_BYTES };
static inline hf_str hf_delivery_key(hf_str endpoint, hf_position position, char key[HF_DELIVERY_KEY_BYTES]) {
    return hf_log_key(endpoint, position, key);
}

/* ---- orphans: verdict, refused, unreadable, text --------------------------------------------------------- */
enum { HF_ORPHAN_HEAD = 3 };

/* ---- chain ------------------------------------------------------------------------------------------------ */
enum { HF_HASH_BYTES = 32, HF_CHAIN_VALUE_BYTES = 8 + HF_HASH_BYTES };
