/* What the journal knows of a schedule: its record as it came, and what has become of its runs, folded from the jobs whose
 * spec.origin names it: ticks (whose id is derived from the nominal time, hf_id_from_schedule) and manual triggers alike. Each number
 * is a sum or a latest, so it is the same whichever partition was read first.
 * Both profiles keep the runs; a schedule's record is in the store of a full replica alone (a live one reads the topic anew).
 * A schedule that was taken away is in no list; its runs stay, and are its own again if it comes back under its id. */
#pragma once
#include "journal/replica/layout.h"
#include "schemas/event/codec.h"
#include "schemas/job/due.h"

enum { HF_RUNS_RECENT = 10 };
typedef struct hf_run_place {
    int64_t created_at;
    uint64_t job_key; /* hf_query_job_at */
} hf_run_place;

typedef struct hf_schedule_runs {
    int64_t count;   /* jobs of it that were ever on record */
    int64_t alive;   /* of them, those that have not ended */
    int64_t nominal; /* the latest nominal time among its ticks, wall ms; 0: none */
    int64_t last_at; /* when the latest of its jobs was created, wall ms; 0: none */
    hf_str last_job;
    int64_t ended_at; /* when the latest that has ended did; 0: none */
    hf_str ended_job;
    int32_t outcome; /* hf_state that one ended in; HF_S_NONE */
    uint32_t recent_count;
    hf_run_place recent[HF_RUNS_RECENT]; /* the latest of its jobs, newest first; some may be deleted since */
} hf_schedule_runs;

typedef struct hf_schedule_view {
    hf_schedule schedule; /* schedule_id is the record's key */
    hf_schedule_runs runs;
    bool unreadable; /* the record's bytes are none that can be read: of `schedule` only the id is set */
} hf_schedule_view;

/* NOT_FOUND: there is no schedule of that id. What is returned borrows from the snapshot or lives in the arena. */
hf_code hf_query_schedule(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str id, hf_arena *arena,
                          hf_schedule_view *ret, hf_err *reterr);
/* Schedules in the order of their ids' bytes, those behind `after` ("": from the first), at most `limit`. `view` is valid during the
 * call: the arena is reset between them. Stops when the callback returns false. The id of the last one goes on. */
typedef bool (*hf_query_each_schedule)(void *ctx, const hf_schedule_view *view);
hf_code hf_query_schedules(hf_read *read, const hf_tables *tables, hf_codec *codec, hf_str after, size_t limit,
                           hf_arena *arena, hf_query_each_schedule each, void *ctx, hf_err *reterr);
/* The runs of any id, whether there is such a schedule or not: zeros where there were none. */
hf_code hf_query_schedule_runs(hf_read *read, const hf_tables *tables, hf_str id, hf_schedule_runs *ret,
                               hf_err *reterr);

/* When it fires next (wall ms, jitter included); false: not again, as things are (off, over, spent, or its text is not valid). zones:
 * where time zones are kept between calls (schemas/cron/zones.h); NULL: read for this one call. */
bool hf_schedule_next_run(const hf_schedule *schedule, const hf_schedule_runs *runs, hf_zones *zones, int64_t now_ms,
                          int64_t *ret_ms);
