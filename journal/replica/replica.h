/* A replica: what one program remembers of the log.
 *
 * It is fed records in log order per partition, folds them (schemas/job/fold.h) in memory at once, tells its
 * owner what each proposal came to, and collects what must be stored into one batch (hf_changes), so that the
 * store only ever holds whole batches: state, indexes, verdicts, counters, chain and next offsets together.
 *
 *   full   (hyperjournal)  the log byte for byte, every job, indexes, verdicts, counters, the hash chain
 *   live   (the others)    jobs that are not terminal, the ids of all that ever were, next offsets
 *
 * The core here does no Kafka I/O and owns no thread: tests/sim runs a fleet of them on a simulated log.
 * journal/replica/follow.h drives one from a real log and commits through a writer thread.
 * Threads: a replica belongs to one thread. Pointers to jobs are valid until the next feed or commit. */
#pragma once
#include "journal/log/klog.h"
#include "journal/store/store.h"
#include "schemas/event/codec.h"
#include "schemas/job/fold.h"

typedef enum hf_profile { HF_PROFILE_LIVE, HF_PROFILE_FULL } hf_profile;
typedef struct hf_replica hf_replica;

/* What became of one job-event record. before/after are NULL where there is none; after == before (the same
 * job) when the proposal was refused. */
typedef struct hf_change {
    const hf_log_record *source;
    hf_position position;
    const hf_record *record;  /* NULL: the bytes could not be read (then verdict is HF_V_EMPTY and unreadable is set) */
    hf_verdict verdict;
    uint32_t refused;         /* index of the transition that was refused */
    const hf_job *before, *after;
    bool unreadable;
    const char *detail;       /* of an unreadable record */
} hf_change;

typedef struct hf_replica_hooks {
    void *ctx;
    /* Each job-event, in order, after it is folded. */
    void (*on_change)(void *ctx, const hf_change *change);
    /* Each record of any other followed topic, as it came; the replica keeps what its profile says. */
    void (*on_record)(void *ctx, const hf_log_record *record);
} hf_replica_hooks;

typedef struct hf_replica_options {
    hf_profile profile;
    const char *fleet;
    const hf_clock *clock;      /* NULL: the system's */
    size_t batch_max_bytes;     /* 0: 64 MiB; hf_replica_must_commit turns true before it */
    size_t jobs_cached;         /* full: terminal jobs kept in memory for reading back; 0: 65,536 */
} hf_replica_options;

/* store may be NULL (simulator): then nothing is stored, all ids stay in memory. The store's tables are made as needed. */
hf_code hf_replica_new(hf_store *store, hf_codec *codec, const hf_replica_options *options, const hf_replica_hooks *hooks,
                       hf_replica **ret, hf_err *reterr);
void hf_replica_free(hf_replica *replica);

/* Folds one record. Records before the next wanted offset are passed over (a restart refolds nothing twice);
 * a gap is LOG_TRUNCATED. An unreadable record is counted, kept (full) and passed. Other errors are of the store. */
hf_code hf_replica_feed(hf_replica *replica, const hf_log_record *record, hf_err *reterr);
/* Next wanted offset; -2 (earliest) for a partition never seen. */
int64_t hf_replica_next_offset(const hf_replica *replica, hf_topic topic, int32_t partition);

/* A job by id as of now; NULL when none (or, live, when it is terminal). Full: read back from the store where needed. */
const hf_job *hf_replica_job(hf_replica *replica, hf_str id);
/* Was a job of that id ever created? */
bool hf_replica_id_known(hf_replica *replica, hf_str id);
/* Every job in memory that is not terminal, in no order; stops when the callback returns false. */
void hf_replica_each_live(const hf_replica *replica, bool (*each)(void *ctx, const hf_job *job), void *ctx);

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
