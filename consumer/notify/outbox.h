/* What happened and may have to be told: one entry for each event of an accepted record, by partition in log order.
 *
 * An entry's place is its record's offset and its event, as one number; so a record that says several things has several
 * places. The index is in memory (48 bytes an entry); the facts are in memory while they are young, and rows of the table
 * "outbox" from the batch on that also stores the offsets of job-events. Past max_bytes, facts that are stored leave memory
 * and are read back when they are sent; past max_entries the oldest entry is given up (hf_outbox_given_up).
 * One thread. Pure but for the table. */
#pragma once
#include "journal/store/store.h"
#include "schemas/webhook/payload.h"

typedef int64_t hf_place; /* offset * HF_PLACE_EVENTS + event */
enum { HF_PLACE_EVENTS = 16, HF_OUTBOX_PARTITIONS_MAX = 4096, HF_OUTBOX_ROW_MAX = 1 << 20 };
#define HF_PLACE_OFFSET_MAX ((INT64_C(1) << 48) - 1) /* a place has 52 bits in the table's key */
static inline hf_place hf_place_of(int64_t offset, hf_webhook_event event) {
    return offset * HF_PLACE_EVENTS + (int64_t)event;
}
static inline int64_t hf_place_offset(hf_place place) { return place / HF_PLACE_EVENTS; }
static inline hf_webhook_event hf_place_event(hf_place place) { return (hf_webhook_event)(place % HF_PLACE_EVENTS); }

typedef struct hf_outbox_entry {
    hf_place place;
    int64_t at;       /* wall ms of the event */
    int64_t since_ms; /* monotonic: when it came in here; 0: read back from the store */
    uint64_t job;     /* hash of the job's id */
    char *row;        /* NULL: in the store */
    uint32_t len;
    uint8_t nth; /* of the events of its record */
} hf_outbox_entry;

typedef struct hf_outbox hf_outbox;

hf_outbox *hf_outbox_new(size_t max_entries, size_t max_bytes); /* NULL without memory */
void hf_outbox_free(hf_outbox *outbox);
size_t hf_outbox_count(const hf_outbox *outbox);
size_t hf_outbox_bytes(const hf_outbox *outbox); /* of facts in memory */
uint64_t hf_outbox_given_up(const hf_outbox *outbox);

/* Facts as a row; false past the bounds of `out`. */
bool hf_facts_write(const hf_webhook_facts *facts, uint8_t nth, uint64_t job, hf_buf *out);
/* Texts borrow from `row`, the list of files is in arena. False: damaged, or no memory. */
bool hf_facts_read(hf_str row, hf_arena *arena, hf_webhook_facts *ret);
uint64_t hf_job_hash(hf_str job_id);

/* Adds an entry behind the partition's last (others, seen already, are passed over). The row is copied. */
hf_code hf_outbox_add(hf_outbox *outbox, int32_t partition, hf_place place, int64_t now_ms, hf_str row, hf_err *reterr);
/* The first entry of the partition at `place` or behind; NULL: none. Valid until the next add or trim. */
const hf_outbox_entry *hf_outbox_seek(const hf_outbox *outbox, int32_t partition, hf_place place);
const hf_outbox_entry *hf_outbox_after(const hf_outbox *outbox, int32_t partition, const hf_outbox_entry *entry);
hf_place hf_outbox_end(const hf_outbox *outbox, int32_t partition); /* behind the last that ever was in it */
uint64_t hf_outbox_added(const hf_outbox *outbox);                  /* entries so far, in all */
int32_t hf_outbox_partitions(const hf_outbox *outbox);
/* Takes away what came in before `before_ms`, stands before `done` and is not held. */
void hf_outbox_trim(hf_outbox *outbox, int32_t partition, hf_place done, int64_t before_ms,
                    bool (*held)(void *ctx, int32_t partition, hf_place place), void *ctx);

/* ---- the table ------------------------------------------------------------------------------------------------- */
static inline uint64_t hf_outbox_key(int32_t partition, hf_place place) {
    return (uint64_t)(uint32_t)partition << 52 | (uint64_t)place;
}
/* Puts what is new and deletes what was taken away, when a batch is closed, as its last step; the batch before it is in the store
 * then. False without room: the batch must not be used, and the call is made again. */
bool hf_outbox_seal(hf_outbox *outbox, hf_changes *changes, hf_table table);
/* A row as it was stored, in the table's order. A damaged one is STORE_DAMAGED. */
hf_code hf_outbox_load(hf_outbox *outbox, uint64_t key, hf_str row, hf_err *reterr);
