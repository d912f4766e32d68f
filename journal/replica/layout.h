/* Keys and values of a replica's store (tables.def), in code: for the replica that writes them and for whoever reads them
 * (query.h, the sidecar, the tools). Big-endian where byte order must be the order of numbers. */
#pragma once
#include <endian.h>

#include "journal/log/klog.h"
#include "journal/store/store.h"
#include "schemas/job/fold.h"

enum { HF_LAYOUT_VERSION = 1 };

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

/* ---- events --------------------------------------------------------------------------------------------- */
enum { HF_EVENT_VALUE_BYTES = 10 };
typedef struct hf_event_row {
    hf_position position;
    hf_verdict verdict;
    uint32_t refused;
} hf_event_row;
static inline void hf_event_row_write(const hf_event_row *row, char value[HF_EVENT_VALUE_BYTES]) {
    uint64_t at = htobe64(hf_position_key(row->position));
    memcpy(value, &at, 8);
    value[8] = (char)row->verdict;
    value[9] = (char)row->refused;
}
static inline hf_event_row hf_event_row_read(hf_str value) {
    hf_event_row row = {.verdict = HF_VERDICT_COUNT};
    uint64_t at = 0;
    if (value.len == HF_EVENT_VALUE_BYTES) {
        memcpy(&at, value.p, 8);
        row = (hf_event_row){hf_position_of_key(be64toh(at)), (hf_verdict)(uint8_t)value.p[8], (uint8_t)value.p[9]};
    }
    return row;
}

/* ---- orphans: verdict, refused, unreadable, text --------------------------------------------------------- */
enum { HF_ORPHAN_HEAD = 3 };

/* ---- chain ------------------------------------------------------------------------------------------------ */
enum { HF_HASH_BYTES = 32, HF_CHAIN_VALUE_BYTES = 8 + HF_HASH_BYTES };
