/* The runs of schedules inside a replica (schedules.h says what they are): a map by schedule id of what changed lately, the rest
 * read back from the store when it is wanted. Two steps, as everything that folds: preparing may fail and shows nothing,
 * counting cannot fail. */
#pragma once
#include <uthash.h>

#include "journal/replica/schedules.h"

enum {
    HF_RUNS_CACHED = 65536,
    HF_RUNS_ROW_MAX = 64 + 2 * HF_ID_MAX_BYTES + HF_RUNS_RECENT * sizeof(hf_run_place),
    HF_RUNS_ROOM = HF_RUNS_ROW_MAX + 512
};

typedef struct hf_run_slot hf_run_slot;
struct hf_run_slot {
    UT_hash_handle hh; /* in the order in which they came */
    hf_schedule_runs runs;
    uint64_t last_key, ended_key; /* of those jobs: between equal times the later place is the latest */
    uint64_t batch;               /* the last it changed in */
    hf_run_slot *next_dirty;
    bool dirty;
    char id[HF_ID_MAX_BYTES + 1], last_job[HF_ID_MAX_BYTES + 1], ended_job[HF_ID_MAX_BYTES + 1];
};
typedef struct hf_runs {
    hf_run_slot *by_id, *dirty;
} hf_runs;

void hf_runs_done(hf_runs *runs);
/* The slot of that schedule, made when there is none; NULL without memory. */
hf_run_slot *hf_runs_slot(hf_runs *runs, hf_str id);
/* Which schedule's runs change with the job: false, none. before: NULL where there is none. */
bool hf_runs_concern(const hf_job *before, const hf_job *after, hf_str *ret_id);
/* Counts what hf_runs_concern said. */
void hf_runs_count(hf_runs *runs, hf_run_slot *slot, const hf_job *before, const hf_job *after);
/* Adds what another replica folded of other partitions. False without memory. */
bool hf_runs_add(hf_runs *runs, const hf_runs *from);
void hf_runs_drop(hf_runs *runs, hf_run_slot *slot); /* one that is not dirty */
/* Drops the oldest that the store has, past the bound. */
void hf_runs_evict(hf_runs *runs, uint64_t committed);

/* ---- the row of `schedule_runs` ------------------------------------------------------------------------ */
hf_str hf_runs_row(const hf_run_slot *slot, char row[HF_RUNS_ROW_MAX]);
/* False: the row is damaged. The ids of *ret borrow from it. */
bool hf_runs_row_read(hf_str row, hf_schedule_runs *ret, uint64_t *ret_last_key, uint64_t *ret_ended_key);
/* Into a slot that has nothing yet. */
bool hf_runs_take_row(hf_run_slot *slot, hf_str row);
