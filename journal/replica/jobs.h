/* The jobs a replica has in memory: a hash map by id of slots that own their job piece by piece, so that a
 * transition copies what changed (a worker's name, an error) and not the whole specification.
 *
 * Two steps: hf_pieces_copy makes owned copies of what is new in a job and may fail, leaving all as it was; taking them
 * over cannot. Slots stay where they are until hf_jobs_drop. */
#pragma once
#include "schemas/job/job.h"

typedef struct hf_slot hf_slot;
struct hf_slot {
    hf_job job;              /* strings and options are this slot's; the id is inside of it */
    uint64_t hash, key;      /* of the id; hf_position_key(created) */
    uint64_t batch;          /* the last batch it was changed in */
    size_t bytes;            /* its row takes no more: lengths of the records that made it */
    hf_slot *newer, *older;  /* by use */
    int64_t stored_updated;  /* by_state as the store has it (or will, by the sealed batch) */
    int64_t stored_queued;   /* by_wait: the same, of a job that is queued there */
    uint8_t stored_priority; /* the same */
    int8_t stored_state;     /* HF_S_NONE: it is not in by_state */
    bool dirty;              /* in the open batch's list */
    bool has_row;            /* `jobs` has a row for it */
    bool ended;              /* live: an ended job of which the id alone is left */
    char id[HF_ID_MAX_BYTES + 1];
};

typedef struct hf_job_cell {
    uint64_t hash;
    hf_slot *slot;
} hf_job_cell;
typedef struct hf_jobs {
    hf_job_cell *table;
    size_t mask, count;
    hf_slot *newest, *oldest;
} hf_jobs;

void hf_jobs_init(hf_jobs *jobs);
void hf_jobs_done(hf_jobs *jobs);
hf_slot *hf_jobs_find(const hf_jobs *jobs, hf_str id);
/* Room for one more, so that hf_jobs_add cannot fail. */
bool hf_jobs_reserve(hf_jobs *jobs);
/* An empty slot that is in no map yet; NULL without memory. */
hf_slot *hf_slot_new(void);
void hf_slot_free(hf_slot *slot); /* with its pieces; NULL is fine */
/* Takes the id into the slot (it must be valid: HF_ID_MAX_BYTES), and puts the slot under it. */
void hf_jobs_add(hf_jobs *jobs, hf_slot *slot);
/* The job is now `after`, whose id is that of the slot. */
void hf_slot_put(hf_slot *slot, const hf_job *after);
/* Takes it out and frees it. */
void hf_jobs_drop(hf_jobs *jobs, hf_slot *slot);
void hf_jobs_touch(hf_jobs *jobs, hf_slot *slot); /* it is the newest by use now */

/* The pieces of one job that are of its own: at most one for each of its fields. The id is none of them. */
enum { HF_PIECES_MAX = 32 };
typedef struct hf_pieces {
    void *p[HF_PIECES_MAX];
    uint32_t count;
} hf_pieces;
/* Replaces in *after every string and option that is not `before`'s own (before NULL: all) by a copy; *ret_new are the
 * copies, *ret_old what of `before` is no longer used. False without memory: nothing is held. */
bool hf_pieces_copy(const hf_job *before, hf_job *after, hf_pieces *ret_new, hf_pieces *ret_old);
void hf_pieces_free(hf_pieces *pieces);
/* Frees all pieces and leaves of the job what an ended one keeps (see replica.h). */
void hf_slot_make_stub(hf_slot *slot);
