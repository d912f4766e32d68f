/* What the files of a replica share: replica.c (folding), lookup.c (jobs by id), seal.c (batches), load.c (opening). */
#pragma once
#include "journal/replica/chain.h"
#include "journal/replica/counters.h"
#include "journal/replica/deliveries.h"
#include "journal/replica/jobs.h"
#include "journal/replica/logcopy.h"
#include "journal/replica/replica.h"
#include "journal/replica/runs.h"

enum { JOBS_CACHED = 65536, NEVER = -2, CHANGE_ROOM = 64, SLOT_ROOM = 2048, BATCH_SLACK = 4 * 1024 * 1024 };
#define BATCH_BYTES ((size_t)64 << 20)

typedef struct hf_part {
    int64_t next, sealed, committed; /* next offset: folded, in the sealed batch, in the store; NEVER */
    hf_table copy;
    bool copy_open;
    uint8_t hash[HF_HASH_BYTES]; /* job-events: the chain */
} hf_part;

typedef struct hf_slots {
    hf_slot **of;
    size_t count, room;
} hf_slots;

struct hf_replica {
    hf_store *store; /* NULL: memory only */
    hf_codec *codec;
    hf_replica_options options;
    hf_replica_hooks hooks;
    bool full;
    hf_tables tables;
    hf_part *parts[HF_TOPIC_COUNT];
    int32_t part_count[HF_TOPIC_COUNT];

    hf_jobs jobs;
    hf_counters counters;
    hf_chain chain;
    hf_tallies tallies;
    hf_runs runs; /* of schedules */
    hf_limits limits;
    hf_arena arena; /* of the record being folded */
    hf_arena side;  /* of a row being read back */
    hf_buf row;

    hf_changes *open, *sealed;   /* NULL without a store */
    hf_slots dirty, sealed_jobs; /* changed in the open batch; in the sealed one */
    size_t dirty_bytes;
    uint64_t batch, committed; /* number of the open batch (from 1); of the last committed */
    bool moved, sealing;
    hf_str given_row; /* of the record being fed, when it comes out of a copy */
};

/* The partition's row, made when new; NULL without memory. */
hf_part *hf_replica_part(hf_replica *r, hf_topic topic, int32_t partition);
const hf_part *hf_replica_part_seen(const hf_replica *r, hf_topic topic, int32_t partition);
/* live: of the other topics nothing is kept. */
static inline bool hf_replica_keeps_offset(const hf_replica *r, hf_topic topic) {
    return r->full || topic == HF_TOPIC_JOB_EVENTS || topic == HF_TOPIC_LIMITS ||
           (r->options.keep_offsets & 1u << topic);
}
/* Reads what the store holds: offsets, chain, counters, live jobs. */
hf_code hf_replica_load(hf_replica *r, hf_err *reterr);
/* *ret NULL: no job of that id ever was. Live: an ended job is *ret_stub, and *ret NULL. */
hf_code hf_replica_find(hf_replica *r, hf_str id, hf_slot **ret, hf_job *ret_stub, bool *ret_is_stub, hf_err *reterr);
/* Makes a slot of a row of `jobs` and puts it among the jobs. */
hf_code hf_replica_adopt(hf_replica *r, hf_str row, hf_slot **ret, hf_err *reterr);
/* The runs of a schedule: in memory, else of the store, else none yet. NULL without memory or a store that can be read. */
hf_run_slot *hf_replica_run_slot(hf_replica *r, hf_str schedule_id, hf_err *reterr);
/* A record of `limits`: begin() may fail and shows nothing; then finish(), or undo(). */
typedef struct hf_limit_folding {
    hf_limit_event event;
    hf_limit_slot *slot; /* NULL: no such limit */
    hf_limit_parts parts;
    hf_limit_verdict verdict;
    uint32_t index;
    bool fresh, unreadable; /* unreadable: cannot be read, or stands in another partition than its key's */
} hf_limit_folding;
hf_code hf_replica_limit_begin(hf_replica *r, const hf_log_record *record, hf_limit_folding *f, hf_err *reterr);
void hf_replica_limit_undo(hf_replica *r, hf_limit_folding *f);
void hf_replica_limit_finish(hf_replica *r, const hf_log_record *record, hf_limit_folding *f);
hf_code hf_limits_take_limit(hf_replica *r, hf_str key, hf_str value, hf_err *reterr); /* a row of `limits` */
hf_code hf_limits_take_grant(hf_replica *r, hf_str key, hf_str value, hf_err *reterr); /* of `limit_grants` */
/* Drops what need not stay in memory. */
void hf_replica_evict(hf_replica *r);
/* Room for one more dirty slot. */
bool hf_slots_reserve(hf_slots *slots);
/* Bytes the open batch will have when it is sealed, about. */
size_t hf_replica_batch_bytes(const hf_replica *r);
