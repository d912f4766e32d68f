/* A whole fleet in one process: dispatchers, workers with their runners, journals and clients, on a simulated log,
 * clock and network. The deciders (producer/dispatch/decide.h, consumer/worker/decide.h), the replicas (without a
 * store), intake, codec and fold are the real ones; what they stand on is played here. Everything that happens follows from one seed, so a seed
 * that fails replays exactly: `sim --seed N --verbose`.
 *
 * A schedule has a storm (messages late, lost after all or told to be lost, doubled, forged; crashes, restarts from an older
 * commit, pauses past the lease, rebalances, drains, claims paused and workers told to be quiet or drain, jobs adjusted, failing and hanging runners, cancels, submissions taken twice) and
 * then a calm in which all must come to an end. The referee (referee.c) watches the record with rules of its own.
 *
 * Time is in ms from 0; each actor has its own offset of wall time. Memory: what is on the log lives in the
 * schedule's arena, so that a schedule leaves nothing behind. */
#pragma once
#include <stdio.h>

#include "consumer/worker/decide.h"
#include "journal/replica/replica.h"
#include "producer/dispatch/decide.h"
#include "producer/dispatch/grants.h"
#include "producer/schedule/ticker.h"
#include "schemas/event/codec.h"
#include "schemas/job/fold.h"
#include "schemas/job/intake.h"

enum {
    SIM_PARTITIONS = 2, /* of job-events and of submissions */
    SIM_JOBS_MAX = 160,
    SIM_ACTORS_MAX = 8,
    SIM_INBOX_MAX = 512,
    SIM_SLOTS = 2,
    SIM_SLOT_DEPTH = 64,
    SIM_TIMETABLES_MAX = 3,
    SIM_RUNS_MAX = 64, /* of one schedule */
    SIM_LIMITS_MAX = 3,
    SIM_GRANTS_MAX = 64,
};
#define SIM_NEVER INT64_MAX
#define SIM_WALL_BASE_MS 1768645800000

/* ---- the log ------------------------------------------------------------------------------------------ */
typedef enum sim_topic { SIM_EVENTS, SIM_SUBMISSIONS, SIM_HEARTBEATS, SIM_LIMITS, SIM_TOPICS } sim_topic;

typedef struct sim_entry {
    int64_t at_ms;
    hf_str bytes;
    const void *record; /* hf_record, hf_submission, hf_heartbeat or hf_limit_event, as decoded from them */
    uint64_t digest;    /* job-events: of everything folded in this partition up to here, by the referee */
} sim_entry;
typedef struct sim_partition {
    sim_entry *entries;
    uint32_t count, cap;
} sim_partition;

/* A record on its way to the log. */
typedef struct sim_message {
    sim_topic topic;
    int partition, actor; /* actor -1: nobody waits for an answer */
    uint32_t incarnation;
    uint64_t tag;
    const void *record;
    bool lost;      /* it will not reach the log */
    hf_code answer; /* what its producer is told */
} sim_message;

/* ---- the referee's own replica: the fold over a handful of jobs ------------------------------------------ */
typedef struct sim_replica {
    hf_job *jobs[SIM_JOBS_MAX];
    uint32_t count;
    uint32_t next[SIM_PARTITIONS];
    uint64_t digest[SIM_PARTITIONS];
} sim_replica;

void sim_replica_clear(sim_replica *r);
const hf_job *sim_replica_job(const sim_replica *r, hf_str id);
/* Folds the partition's next record; *ret_after as the job is now (NULL: there is none). */
hf_verdict sim_replica_feed(sim_replica *r, int partition, const hf_record *record, const hf_job **ret_after);
/* The digest behind one more proposal. Of a job that ended before, only what every profile knows of it counts. */
uint64_t sim_digest(uint64_t before, hf_verdict verdict, const hf_job *after);

/* ---- actors -------------------------------------------------------------------------------------------------- */
typedef enum sim_kind { SIM_WORKER, SIM_DISPATCHER, SIM_JOURNAL } sim_kind;

typedef enum sim_news_kind {
    SIM_NEWS_ACK,
    SIM_NEWS_DONE,
    SIM_NEWS_CRASHED,
    SIM_NEWS_RETURNED,
    SIM_NEWS_PHASE,
    SIM_NEWS_ANNOUNCE
} sim_news_kind;
typedef struct sim_news { /* what reached a program other than by the log */
    sim_news_kind kind;
    uint64_t tag;
    hf_code code;
    int slot;
    hf_str job_id;
    int32_t attempt;
    uint32_t serial; /* ANNOUNCE */
} sim_news;

typedef struct sim_run {
    hf_str job_id;
    int32_t attempt;
    int64_t bandwidth; /* as the runner was told */
} sim_run;
typedef struct sim_slot { /* a runner: what was given to it, the first runs */
    sim_run runs[SIM_SLOT_DEPTH];
    int count;
    uint32_t serial; /* of what runs: an event of another serial comes too late */
    hf_code outcome;
    bool hangs;
    uint32_t announcement; /* serial of the one it waits for, 0 none */
    int64_t duration_ms;   /* of what it does then */
} sim_slot;

typedef struct sim_actor {
    sim_kind kind;
    int index;
    char name[16], identity[48], incarnation_name[16];
    uint32_t incarnation;
    bool up, ready, draining, whole_machine_sleeps, quiet,
        gives_back; /* the latter: controls, which outlive the program */
    int64_t wake_at, resume_at, lag_ms, skew_ms;
    int64_t last_append[SIM_TOPICS]; /* a producer's records keep their order */
    struct sim_world *world;         /* for the replica's hooks */
    hf_replica *memory;
    bool loading; /* folding what was committed: nobody is told */
    uint32_t next[SIM_PARTITIONS], limits_next[SIM_PARTITIONS];
    bool limits_new; /* worker: one was set that was not */
    uint64_t digest[SIM_PARTITIONS];
    uint32_t heartbeats_next;
    uint32_t catch_up[SIM_PARTITIONS], limits_catch_up[SIM_PARTITIONS];
    sim_news inbox[SIM_INBOX_MAX];
    uint32_t inbox_count;
    hf_worker_core *worker;
    sim_slot slots[SIM_SLOTS];
    hf_dispatch *dispatch;
    hf_ticker *ticker;
    bool schedules_read;
    hf_freer *freer;
    uint64_t owned;
    uint32_t taken[SIM_PARTITIONS]; /* submissions: next to take, while it owns the partition */
    uint32_t group_generation;
} sim_actor;

/* ---- the world ------------------------------------------------------------------------------------------------ */
typedef enum sim_event_kind {
    SIM_AT_WAKE,
    SIM_AT_APPEND,
    SIM_AT_ANSWER,
    SIM_AT_RUNNER,
    SIM_AT_RESTART,
    SIM_AT_CLIENT,
    SIM_AT_FAULT,
    SIM_AT_REBALANCE,
    SIM_AT_CALM
} sim_event_kind;
typedef struct sim_event {
    int64_t at_ms;
    uint64_t seq;
    sim_event_kind kind;
    int actor, slot;
    uint32_t serial; /* incarnation or run */
    uint32_t incarnation;
    sim_message *message;
} sim_event;

/* The referee's own idea of a job: see referee.c. */
typedef struct sim_model {
    hf_str id;
    bool exists, held, started, cancel_asked, ended, deleted;
    int32_t attempt, published; /* attempt whose output lies in place */
    hf_str worker;
    uint32_t ends;
    int32_t priority; /* as the log has it, last */
    int64_t bandwidth;
    uint64_t announced; /* bit a: attempt a (below 64) said on record what it would do */
} sim_model;

/* A schedule (of the topic `schedules`), and what the referee counted of its runs: see timetables.c. */
typedef struct sim_scheduled {
    hf_str job;
    int64_t nominal_ms; /* 0: somebody triggered it */
    int64_t at_ms, ended_ms;
} sim_scheduled;
typedef struct sim_timetable {
    hf_schedule schedule;
    int64_t every_ms, night_ms, delay_ms; /* neither of the first two: every minute */
    bool night_is_due;
    sim_scheduled runs[SIM_RUNS_MAX];
    uint32_t run_count;
} sim_timetable;
/* The referee's own idea of a limit: limits.c. */
typedef struct sim_limit {
    bool exists;
    int32_t max;
    uint32_t held;
    struct {
        hf_str job_id, worker;
        int32_t attempt;
        int64_t offset;
    } grants[SIM_GRANTS_MAX];
} sim_limit;

typedef struct sim_world {
    uint64_t seed, random;
    bool verbose, calm, paused; /* claims of all */
    int64_t now_ms, storm_ms;
    int64_t wall_base_ms; /* wall time at 0 */
    sim_timetable timetables[SIM_TIMETABLES_MAX];
    int timetable_count, night, triggered;
    uint64_t steps, seq;
    hf_arena arena, scratch;
    hf_codec *codec;
    hf_clock clock;
    hf_buf bytes;
    sim_partition log[SIM_TOPICS][SIM_PARTITIONS];
    sim_event *events; /* heap by (at_ms, seq) */
    size_t event_count, event_cap;
    sim_actor actors[SIM_ACTORS_MAX];
    int actor_count;
    int in_flight; /* job-events and submissions that will still reach the log */
    int group_owner[SIM_PARTITIONS];
    uint32_t group_committed[SIM_PARTITIONS], group_generation;
    uint64_t group_done[SIM_PARTITIONS]; /* bits, by offset: at most 64 submissions a partition */
    int submissions_left, cancels_left, deletes_left, adjusts_left, submitted;
    sim_replica reference;
    uint64_t end_digest[SIM_PARTITIONS];
    sim_model models[SIM_JOBS_MAX];
    uint32_t model_count;
    sim_limit limits[SIM_LIMITS_MAX];
    bool limited; /* this schedule has limits */
    int limit_changes_left;
    struct {
        uint64_t records, accepted, duplicates, forged, crashes, pauses, restarts, runs, lost, announced, ticks, jumps,
            triggers, owed, limits, controls, taken, freed, full;
    } counts;
    uint64_t happened[HF_EVENT_COUNT]; /* accepted, by kind */
    uint64_t verdicts[HF_VERDICT_COUNT];
    char violation[512];
} sim_world;

/* ---- random ------------------------------------------------------------------------------------------------------- */
static inline uint64_t sim_draw(sim_world *w) { /* splitmix64 */
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline int64_t sim_roll(sim_world *w, int64_t below) { return (int64_t)(sim_draw(w) % (uint64_t)below); }
static inline bool sim_chance(sim_world *w, int per_mille) { return sim_roll(w, 1000) < per_mille; }
static inline bool sim_storm_chance(sim_world *w, int per_mille) { return !w->calm && sim_chance(w, per_mille); }

/* ---- world.c: time, messages, the log ------------------------------------------------------------------------------- */
#define SIM_SAY(w, ...)                                                                                                \
    do {                                                                                                               \
        if ((w)->verbose) {                                                                                            \
            printf("%9lld  ", (long long)(w)->now_ms);                                                                 \
            printf(__VA_ARGS__);                                                                                       \
            putchar('\n');                                                                                             \
        }                                                                                                              \
    } while (0)
/* The first violation ends the schedule. */
void sim_violation(sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *sim_must(void *p); /* ends the program without memory */
void sim_at(sim_world *w, int64_t at_ms, sim_event event);
bool sim_next(sim_world *w, sim_event *ret);
int64_t sim_delay(sim_world *w); /* of a message */
/* Sends a record; it is copied. */
void sim_send(sim_world *w, sim_actor *from, sim_topic topic, int partition, const void *record, uint64_t tag);
void sim_append(sim_world *w, sim_message *m);
int sim_partition_of(hf_str key);
/* The job a submission makes: the id it brought, else the one that follows from where it stands. Lives in the arena. */
hf_str sim_submission_id(sim_world *w, int partition, uint32_t offset);
static inline hf_now sim_now(const sim_world *w, const sim_actor *a) {
    return (hf_now){w->wall_base_ms + w->now_ms + a->skew_ms, w->now_ms + 1};
}

/* ---- actors.c: what all programs do alike ------------------------------------------------------------------------------ */
void sim_actor_start(sim_world *w, sim_actor *a); /* (again): reads the past */
void sim_actor_stop(sim_world *w, sim_actor *a);  /* as kill -9 does */
void sim_actor_wake(sim_world *w, sim_actor *a, int64_t at_ms);
void sim_actor_turn(sim_world *w, sim_actor *a);
void sim_actor_news(sim_world *w, sim_actor *a, sim_news news);

/* ---- workers.c, dispatchers.c ---------------------------------------------------------------------------------------------- */
void sim_worker_start(sim_world *w, sim_actor *a);
void sim_worker_stop(sim_actor *a);
void sim_worker_obey(sim_world *w, sim_actor *a); /* the controls in force */
void sim_worker_change(sim_world *w, sim_actor *a, const hf_record *record, hf_verdict verdict, const hf_job *after);
void sim_worker_news(sim_world *w, sim_actor *a, const sim_news *news);
int64_t sim_worker_decide(sim_world *w, sim_actor *a); /* when to be woken */
void sim_worker_runner(sim_world *w, sim_actor *a, int slot, uint32_t serial);

void sim_dispatcher_start(sim_world *w, sim_actor *a);
void sim_dispatcher_stop(sim_actor *a);
void sim_dispatcher_change(sim_world *w, sim_actor *a, hf_verdict verdict, const hf_job *after);
void sim_dispatcher_news(sim_world *w, sim_actor *a, const sim_news *news);
int64_t sim_dispatcher_decide(sim_world *w, sim_actor *a);
void sim_rebalance(sim_world *w);

void sim_worker_limit(sim_world *w, sim_actor *a, const hf_limit_change *change);
void sim_dispatcher_limit(sim_world *w, sim_actor *a, const hf_limit_change *change);

/* ---- limits.c ----------------------------------------------------------------------------------------------------------------- */
extern const hf_str sim_limit_keys[SIM_LIMITS_MAX];
void sim_limits_client(sim_world *w); /* sets, changes and takes away */
/* Tags and the like of a job that is submitted. */
void sim_limits_draw(sim_world *w, hf_spec *spec);
void sim_limits_judge(sim_world *w, int partition, int64_t offset, const hf_limit_event *event);
void sim_limits_claim(sim_world *w, const sim_actor *a, const hf_record *claim);
void sim_limits_start(sim_world *w, const sim_actor *a, hf_str job_id, int32_t attempt);
void sim_limits_tell(sim_world *w, sim_actor *a, const hf_limit_change *change);
bool sim_limits_free(const sim_world *w); /* nobody holds a grant */

/* ---- clients.c, faults.c ----------------------------------------------------------------------------------------------------- */
void sim_client(sim_world *w);
void sim_fault(sim_world *w);
void sim_begin_calm(sim_world *w);

/* ---- timetables.c: schedules -------------------------------------------------------------------------------------------------- */
void sim_timetables_draw(sim_world *w);
void sim_ticker_start(sim_world *w, sim_actor *a);
void sim_ticker_change(sim_actor *a, const hf_job *after);
int64_t sim_ticker_decide(sim_world *w, sim_actor *a); /* when to be woken */
void sim_clock_jumps(sim_world *w, sim_actor *a);
void sim_trigger(sim_world *w);
void sim_timetables_created(sim_world *w, const hf_record *record, const hf_spec *spec);
void sim_timetables_ended(sim_world *w, hf_str job);
bool sim_timetables_over(const sim_world *w); /* no schedule is due any more */
void sim_timetables_final(sim_world *w);

/* ---- referee.c --------------------------------------------------------------------------------------------------------------- */
/* Judges the record that was just appended; returns the digest behind it. */
uint64_t sim_referee_judge(sim_world *w, int partition, const hf_record *record);
sim_model *sim_referee_model(sim_world *w, hf_str id); /* made when there is none */
bool sim_referee_settled(const sim_world *w);          /* every job has ended and all know it */
void sim_referee_final(sim_world *w);

/* A replica's jobs are those of the referee's, field by field: all of them (journals), or those that live. */
void sim_actor_compare(sim_world *w, sim_actor *a);

/* Runs one schedule; false: w->violation says what happened. The codec and buffers stay for the next one. */
bool sim_schedule(sim_world *w, uint64_t seed);
