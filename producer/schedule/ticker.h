/* Which runs of schedules are due, and the jobs they make: pure. Time, ownership, schedules and what became of their runs are
 * handed in, proposals come out. Every dispatcher decides for every schedule; a run's job id is derived from (schedule id,
 * nominal time), so whatever several of them propose, and however often, the fold makes one job of each nominal time.
 *
 * What is decided rests on the log alone as far as it can: the latest nominal time that has a job on record is settled with all
 * before it, so a restart, another dispatcher and a clock that was set back repeat nothing. In words, for a nominal time
 * N whose time to run has come (N + the schedule's delay, wall clock):
 *   - it is passed by when N is not behind the latest on record or the schedule's creation, or the schedule was changed after its time
 *     to run; or when that is longer ago than the catch-up window (HF_ON_TIME_MS at least);
 *   - of several, the last alone is run, as one (that is catching up, and what happens when a clock jumps forward);
 *   - overlap `skip`: it is passed by while a job of the schedule is alive, or one was proposed and not yet read back; after a
 *     restart, when the last of them ended after N's time. `buffer_one`: the last one that came meanwhile is run when they have ended;
 *     a dispatcher started after that knows it only within the catch-up window. `allow`: it is run;
 *   - max_runs bounds all jobs of the schedule, manual triggers included, and so does `alive`; a nominal time a trigger claims to be of
 *     moves nothing (journal/replica/schedules.h).
 *
 * Who proposes: the dispatcher that owns the schedule's partition (that of job-events its id hashes to: one owner for all its
 * runs, which then sees its own proposals before it decides on the next). The others stand by and act stand_in_ms later. A
 * proposal that was not read back is repeated after repeat_ms, a dozen times.
 *
 * Promised: never two jobs of one nominal time. Two runs of a `skip` or `buffer_one` schedule are alive together only where two dispatchers
 * proposed different nominal times within the time it takes to read each other's (stand-ins and clocks apart), or a trigger asked for it.
 *
 * Cost: O(log n) for each change of a schedule or its runs, and for each nominal time; a tick costs what is due. After a jump of the
 * wall clock everything is looked at once. Memory: a schedule's record as Avro and about 600 bytes. One thread. */
#pragma once
#include "journal/replica/schedules.h"

enum {
    HF_ON_TIME_MS = 30000,  /* a run no later than this was not missed */
    HF_CLOCK_JUMP_MS = 2000 /* wall and monotonic clock apart by more, since the last call: a jump */
};

typedef struct hf_ticker hf_ticker;
typedef struct hf_ticker_options {
    hf_str me; /* identity for `by`; must outlive the ticker */
    int64_t stand_in_ms, repeat_ms;
} hf_ticker_options;

hf_ticker *hf_ticker_new(const hf_ticker_options *options); /* NULL without memory */
void hf_ticker_free(hf_ticker *t);

/* The schedule is now as said, `partition` the one its id hashes to. INVALID, NOT_FOUND (no such time zone), PARSE, LIMIT: it is not one
 * that can be kept, and what was kept under its id is gone. NO_MEMORY: nothing has changed. */
hf_code hf_ticker_put(hf_ticker *t, const hf_schedule *schedule, int32_t partition, const hf_schedule_runs *runs,
                      hf_err *reterr);
/* It is no more. */
void hf_ticker_drop(hf_ticker *t, hf_str id);
/* Its runs are now so; of a schedule that is not kept: nothing. */
void hf_ticker_runs(hf_ticker *t, hf_str id, const hf_schedule_runs *runs);
/* Which partitions this dispatcher owns: bit p of the set; nothing beyond 1,024. */
void hf_ticker_owned(hf_ticker *t, const uint64_t *bits, size_t words);

/* Everything due by now, at most `max` records (call again while it returns max); they live in arena and borrow from t
 * until its next call. Only for a caller that has caught up with the log; one that calls not at all (intake is paused) keeps all runs
 * waiting, and the catch-up window says what comes of them. */
size_t hf_ticker_due(hf_ticker *t, int64_t now_wall_ms, int64_t now_mono_ms, hf_arena *arena, hf_record *ret,
                     size_t max);
/* That proposal can never be written (it is over a bound of the wire): it is not repeated. */
void hf_ticker_give_up(hf_ticker *t, const hf_record *record);
/* How long hf_ticker_due has nothing to do, as far as is known now (0: it has); INT64_MAX: nothing is kept. */
int64_t hf_ticker_idle_ms(const hf_ticker *t, int64_t now_wall_ms);
size_t hf_ticker_count(const hf_ticker *t);
/* The schedule as it was put; false: it is not kept, or memory is short. Borrows from t until its next call. */
bool hf_ticker_schedule(const hf_ticker *t, hf_str id, hf_arena *arena, hf_schedule *ret);
/* Ids of all, in no order; stops when the callback, which must change nothing, returns false. */
void hf_ticker_each(const hf_ticker *t, bool (*each)(void *ctx, hf_str id), void *ctx);
