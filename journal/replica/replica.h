/* A replica: what one program remembers of the log.
 *
 * It is fed records in log order per partition, folds them (schemas/job/fold.h) in memory at once, tells its
 * owner what each proposal came to, and collects what must be stored into one batch (hf_changes), so that the
 * store only ever holds whole batches: state, indexes, verdicts, counters, chain and next offsets together.
 *
 *   full   (hyperjournal)  the log byte for byte, every job, indexes, verdicts, counters, the hash chain
 *   live   (the others)    jobs that are not terminal, the ids of all that ever were, next offsets
 *   both                   limits of concurrency and who holds their grants
 *
 * The core here does no Kafka I/O and owns no thread: tests/sim runs a fleet of them on a simulated log.
 * What is read must not depend on which partition came first, so that all replicas agree: a job's events count only in
 * the partition that its id hashes to (`partitions`), and never in another than the one it was created in (INVALID_ID).
 * journal/replica/follow.h drives one from a real log and commits through a writer thread.
 * Threads: a replica belongs to one thread. Pointers to jobs are valid until the next feed or commit. */
#pragma once
#include "journal/replica/limits.h"
#include "journal/replica/schedules.h"
#include "schemas/event/codec.h"

typedef struct hf_replica hf_replica;

/* What became of one job-event record. before/after are NULL where there is none; after == before (the same
 * job) when the proposal was refused. Of a job that ended, `live` knows the id, the creating position and whether it was
 * deleted; its before/after have nothing else (state completed, whatever it was; spec empty). */
typedef struct hf_change {
    const hf_log_record *source;
    hf_position position;
    const hf_record *record; /* NULL: the bytes could not be read (then verdict is HF_V_EMPTY and unreadable is set) */
    hf_verdict verdict;
    uint32_t refused; /* index of the transition that was refused */
    const hf_job *before, *after;
    bool unreadable;
    const char *detail; /* of an unreadable record */
} hf_change;

typedef struct hf_replica_hooks {
    void *ctx;
    /* Each job-event, in order, after it is folded. */
    void (*on_change)(void *ctx, const hf_change *change);
    /* Each record of `limits` that could be read and stands in its key's partition, in order, after it is folded. */
    void (*on_limit)(void *ctx, const hf_limit_change *change);
    /* Each record of any other followed topic, as it came; the replica keeps what its profile says. */
    void (*on_record)(void *ctx, const hf_log_record *record);
    /* A batch is about to be closed: the program's own rows, of its own tables, go into it, so that they are in the store with the
     * offsets or not at all. Its last step; the batch before is in the store. False without room (the batch is closed again
     * later). Without a store it is not called. */
    bool (*on_seal)(void *ctx, hf_changes *changes);
} hf_replica_hooks;

typedef struct hf_replica_options {
    hf_profile profile;
    const char *fleet;
    const hf_clock *clock;  /* NULL: the system's */
    size_t batch_max_bytes; /* 0: 64 MiB; hf_replica_must_commit turns true before it */
    size_t jobs_cached;     /* full: jobs kept in memory besides those not yet committed; 0: 65,536 */
    int32_t
        partitions; /* of job-events; 0: as the store says, or not checked. Another than the store's is TOPIC_MISMATCH */
    uint32_t
        keep_offsets; /* live: bit set of 1u << hf_topic whose offsets are stored too, so that a restart goes on there */
    bool without_copy;   /* full: no log copy is kept (verify compares the rest) */
    bool counters_apart; /* full: batches carry no counters and no runs of schedules: several replicas fill one store
                            (hf_replica_counters, hf_replica_runs) */
} hf_replica_options;

/* store may be NULL (simulator): then nothing is stored, all ids stay in memory. The store's tables are made as needed. */
hf_code hf_replica_new(hf_store *store, hf_codec *codec, const hf_replica_options *options,
                       const hf_replica_hooks *hooks, hf_replica **ret, hf_err *reterr);
void hf_replica_free(hf_replica *replica);

/* Folds one record. Records before the next wanted offset are passed over (a restart refolds nothing twice);
 * a gap in job-events is LOG_TRUNCATED, its first record being 0 (in other topics retention and compaction may leave gaps).
 * An unreadable record is counted, kept (full) and passed. BUSY: the batch is at its bound, seal it and feed the record again.
 * Other errors are of the store or memory; the record may be fed again. */
hf_code hf_replica_feed(hf_replica *replica, const hf_log_record *record, hf_err *reterr);
/* The same of a record that comes out of a log copy: `row` is its row there, which stays where it is until the batch it
 * gets into is committed. It saves laying it out again. */
hf_code hf_replica_feed_row(hf_replica *replica, const hf_log_record *record, hf_str row, hf_err *reterr);
/* The log has nothing before `offset` there (checked: transaction markers, aborted records): go on from it. */
void hf_replica_skip(hf_replica *replica, hf_topic topic, int32_t partition, int64_t offset);
/* Next wanted offset; -2 (earliest) for a partition never seen. */
int64_t hf_replica_next_offset(const hf_replica *replica, hf_topic topic, int32_t partition);

/* A job by id as of now; NULL when none (or, live, when it is terminal). Full: read back from the store where needed, deleted
 * ones included (job->deleted). NULL too when the store cannot be read: the next feed or seal says so. */
const hf_job *hf_replica_job(hf_replica *replica, hf_str id);
/* Was a job of that id ever created? */
bool hf_replica_id_known(hf_replica *replica, hf_str id);
/* Every job that is not terminal, in no order (the same for the same history); stops when the callback returns false.
 * Full: those not in memory are read from the store. */
void hf_replica_each_live(const hf_replica *replica, bool (*each)(void *ctx, const hf_job *job), void *ctx);
/* The runs of a schedule as of now, zeros where there were none; the ids are valid until the next feed. False without memory, or
 * when the store cannot be read. */
bool hf_replica_schedule_runs(hf_replica *replica, hf_str schedule_id, hf_schedule_runs *ret);
/* A limit of concurrency as of now; NULL: none of that key. Valid until the next feed, as are all below. */
const hf_limit *hf_replica_limit(const hf_replica *replica, hf_str key);
void hf_replica_each_limit(const hf_replica *replica, bool (*each)(void *ctx, const hf_limit *limit), void *ctx);
/* Full: the numbers as of now; NULL otherwise. */
const struct hf_counters *hf_replica_counters(const hf_replica *replica); /* counters.h */
const struct hf_runs *hf_replica_runs(const hf_replica *replica); /* runs.h: with counters_apart, all it folded */
size_t hf_replica_jobs_in_memory(const hf_replica *replica);

/* ---- committing --------------------------------------------------------------------------------- */
bool hf_replica_dirty(const hf_replica *replica);       /* something folded since the last seal */
bool hf_replica_must_commit(const hf_replica *replica); /* the batch is near its bound */
/* Closes the batch: *ret_batch (owned by the replica, one at a time) holds everything folded since the last
 * seal. Folding may go on at once into the next one while another thread runs hf_store_commit on this. Then
 * hf_replica_committed, on the replica's thread, before the next seal. */
hf_code hf_replica_seal(hf_replica *replica, const hf_changes **ret_batch, hf_err *reterr);
void hf_replica_committed(hf_replica *replica);
/* Position behind the last committed record of job-events' partition. */
int64_t hf_replica_committed_offset(const hf_replica *replica, int32_t partition);
int64_t hf_replica_committed_in(const hf_replica *replica, hf_topic topic, int32_t partition); /* of any topic */
