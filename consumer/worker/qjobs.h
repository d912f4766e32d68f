/* The index of jobs a worker could claim or holds: found by id, and each in at most one heap.
 * Owned by hf_worker_core. Adding and moving are O(log n); nothing scans. */
#pragma once
#include "schemas/job/job.h"

#include "schemas/base/mem.h"
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) hf_alloc(bytes)
#include <uthash.h>

typedef enum hf_qheap_id {
    HF_HEAP_READY,   /* ours to claim; by urgency */
    HF_HEAP_FRESH,   /* another worker's so far; by when its wait ends (monotonic) */
    HF_HEAP_RIPE,    /* another worker's that waited long enough; by urgency */
    HF_HEAP_WAITING, /* not before a time (wall) */
    HF_HEAP_PAUSED,  /* of an operation or a provider that is paused */
    HF_HEAP_ORPHANS, /* held by an earlier incarnation of this worker */
    HF_HEAP_COUNT,
    HF_HEAP_NONE = HF_HEAP_COUNT,
    HF_HEAP_PARKED /* in the heap of a limit that is full (limits.h) */
} hf_qheap_id;

struct hf_qheap;
struct hf_qlimits;
struct hf_wlimit;
typedef struct hf_qjob {
    UT_hash_handle hh;
    struct hf_qlimits *limits;    /* that it matches; NULL: none */
    struct hf_wlimit *offered;    /* the one whose heap it came out of, to be claimed */
    struct hf_qheap *parked_in;   /* while parked */
    int64_t again_ms;             /* monotonic: not to be tried before, another worker is about to have it */
    uint64_t hash;                /* of the id: the same on every worker */
    uint64_t created;             /* position key of its creation: breaks ties */
    int64_t urgency;              /* lower goes first */
    int64_t order;                /* in the heap it is in */
    int64_t seen_ms;              /* monotonic, when it was seen to be queued */
    int64_t not_before;           /* wall */
    int32_t attempt;              /* attempts so far */
    uint32_t place;               /* index in its heap */
    uint32_t generation;          /* of the set of workers, and of what is paused, it was judged by */
    uint32_t operation, provider; /* hashes of their names: what pauses it */
    uint16_t kind;                /* class of requirements (peers.h) */
    uint16_t held;                /* 1 + index of the attempt of it this worker holds; 0: none */
    uint8_t heap;                 /* hf_qheap_id */
    bool queued;                  /* the log says it may be claimed */
    bool own;                     /* orphans: assigned to this very incarnation */
    uint8_t id_len;
    char id[];
} hf_qjob;

typedef struct hf_qheap {
    hf_qjob **items;
    uint32_t count, cap;
} hf_qheap;

typedef struct hf_qjobs {
    hf_qjob *table; /* uthash, in order of arrival */
    hf_qjob *walk;  /* where hf_qjobs_walk goes on */
    hf_qheap heaps[HF_HEAP_COUNT];
} hf_qjobs;

uint64_t hf_worker_hash(hf_str s);
static inline uint64_t hf_worker_mix(uint64_t x) { /* a bijection whose output bits all depend on all input bits */
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    return x ^ x >> 32;
}
static inline hf_str hf_qjob_id(const hf_qjob *j) { return (hf_str){j->id, j->id_len}; }

void hf_qjobs_done(hf_qjobs *jobs);
hf_qjob *hf_qjobs_find(const hf_qjobs *jobs, hf_str id);
/* NULL without memory. The id must be new and at most HF_ID_MAX_BYTES long. */
hf_qjob *hf_qjobs_add(hf_qjobs *jobs, hf_str id);
void hf_qjobs_drop(hf_qjobs *jobs, hf_qjob *job);
/* Moves it into that heap (from whichever it is in); false without memory: it is then in none. */
bool hf_qjobs_put(hf_qjobs *jobs, hf_qjob *job, hf_qheap_id heap, int64_t order);
/* The same into a heap that is not the index's own, by urgency. */
bool hf_qjobs_park(hf_qjobs *jobs, hf_qjob *job, hf_qheap *heap);
void hf_qjobs_take(hf_qjobs *jobs, hf_qjob *job); /* out of its heap, if in one */
static inline hf_qjob *hf_qjobs_top(const hf_qjobs *jobs, hf_qheap_id heap) {
    return jobs->heaps[heap].count ? jobs->heaps[heap].items[0] : NULL;
}
static inline uint32_t hf_qjobs_count(const hf_qjobs *jobs) { return HASH_COUNT(jobs->table); }
/* A walk over all jobs that survives adding and dropping between its steps. */
static inline void hf_qjobs_walk_begin(hf_qjobs *jobs) { jobs->walk = jobs->table; }
hf_qjob *hf_qjobs_walk_next(hf_qjobs *jobs); /* NULL at the end */
