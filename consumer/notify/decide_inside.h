/* What the files of the core share: decide.c (what the log says), decide_send.c (what to send), decide_rows.c (the table). */
#pragma once
#include <uthash.h>

#include "consumer/notify/decide.h"

enum { NONE = UINT32_MAX, POOL_MAX = 1 << 18, REPORTING_MAX = 4096, LANE_AHEAD_MAX = 8192, BLOCKED_QUEUE = 16 };

typedef enum item_state {
    ITEM_FREE,
    ITEM_READY,   /* in its endpoint's list */
    ITEM_BEHIND,  /* another of the job is before it (ordered) */
    ITEM_WAITING, /* for its next attempt, in the heap */
    ITEM_EXPIRED, /* in the list of what is too old */
    ITEM_SENDING,
    ITEM_REPORTING, /* its outcome's record is not acknowledged yet */
} item_state;

typedef struct item {
    struct endpoint *endpoint;
    hf_place place;
    int64_t due_ms; /* waiting: monotonic */
    uint64_t job;
    int32_t partition, attempt; /* attempts made, the running one included */
    uint32_t next;              /* in a list */
    uint32_t follow;            /* ordered: the job's next, BEHIND this one */
    uint32_t heap_at;
    uint32_t generation;
    uint8_t state;
    bool replay, orphan; /* orphan: not this hook's any more once it is through */
    bool expired;        /* too old, or its entry is gone: not to be sent */
} item;

typedef struct chain { /* ordered: the last of a job's deliveries in memory */
    uint64_t job;
    uint32_t last;
    UT_hash_handle hh;
} chain;

typedef struct endpoint {
    hf_webhook *webhook; /* NULL: no record of it yet */
    char id[HF_ID_MAX_BYTES + 1];
    hf_lane *lanes;
    hf_place *scans; /* owned partitions: what is before was taken into memory or is settled */
    int32_t lane_count;
    uint32_t ready, ready_last; /* list of items */
    uint32_t queued, in_flight, reporting;
    uint32_t failures, opens;
    int64_t blocked_until; /* monotonic; by what its answers were */
    int64_t held_until;    /* monotonic; the sender has no room for it */
    chain *chains;
    bool hungry, dirty, stored, gone, active;
    struct endpoint *prev, *next; /* of the active ones: something is ready */
    UT_hash_handle hh;
} endpoint;

typedef struct hold { /* marks that hold an entry of the outbox */
    uint64_t key;
    uint32_t count;
    UT_hash_handle hh;
} hold;

typedef struct told {
    uint64_t key;
    int64_t at;
} told;

struct hf_decide {
    hf_decide_options options;
    hf_outbox *outbox;
    endpoint *endpoints; /* by id */
    endpoint *active;
    endpoint *leaving; /* gone, with deliveries under way; list by next */
    hold *holds;
    item *items;
    uint32_t item_count, item_room, free_items;
    uint32_t *heap, heap_count, heap_room;
    uint32_t expired, expired_last;
    uint32_t in_flight;
    uint32_t *under_way; /* by partition: sending or reporting */
    bool *owned;
    int32_t partition_room;
    uint64_t filled_added;
    int64_t filled_ms, swept_ms, fill_again_ms;
    bool fill_all, caught_up;
    told *told;
    char (*gone_ids)[HF_ID_MAX_BYTES + 1];
    uint32_t gone_count, gone_room;
};

bool hf_decide_room(hf_decide *d, int32_t partition);                             /* arrays by partition */
endpoint *hf_decide_endpoint(hf_decide *d, hf_str id);                            /* made when new */
hf_lane *hf_decide_lane(hf_decide *d, endpoint *e, int32_t partition);            /* made when new */
bool hf_decide_wants(const endpoint *e, int32_t partition, hf_place place);       /* is it the webhook's business? */
bool hf_decide_mark(hf_decide *d, endpoint *e, int32_t partition, hf_place place, /* hf_lane_mark, and holds */
                    int32_t kind, int32_t attempt, int64_t at);
bool hf_decide_hold(hf_decide *d, int32_t partition, hf_place place, int by);
/* ---- decide_items.c: items by index ------------------------------------------------------------------------------- */
uint32_t hf_item_new(hf_decide *d); /* NONE without memory, or past POOL_MAX */
void hf_item_free(hf_decide *d, uint32_t i);
uint64_t hf_item_tag(const hf_decide *d, uint32_t i);
item *hf_item_of(hf_decide *d, uint64_t tag);
void hf_item_ready(hf_decide *d, uint32_t i, bool front);
uint32_t hf_item_pop(hf_decide *d, endpoint *e);
void hf_item_expired(hf_decide *d, uint32_t i);
void hf_item_wait(hf_decide *d, uint32_t i, int64_t due_ms);
void hf_item_wake(hf_decide *d, uint32_t i); /* out of the heap */
/* True: another of the job is before it, and the item waits behind that one. */
bool hf_item_behind(hf_decide *d, endpoint *e, uint32_t i, bool *ret_ok);
void hf_item_aside(hf_decide *d, uint32_t i);
void hf_decide_drop_items(hf_decide *d, const endpoint *e, int32_t partition); /* NULL: any; -1: any */
void hf_decide_free_endpoint(hf_decide *d, endpoint *e);
