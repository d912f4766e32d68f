#include "journal/replica/tools/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "journal/replica/counters.h"
#include "journal/replica/logcopy.h"
#include "journal/replica/query.h"
#include "journal/replica/runs.h"
#include "schemas/base/host.h"
#include "schemas/base/mem.h"

enum { THREADS_MAX = 64, FLEET_MAX = 128 };

typedef struct unit {
    hf_topic topic;
    int32_t partition;
    int64_t until;
} unit; /* fold its records before `until` */

typedef struct job { /* what the threads share */
    hf_store *source, *target;
    const hf_rebuild_options *options;
    hf_codec *codec;
    char fleet[FLEET_MAX];
    unit *units;
    size_t count, room;
    _Atomic size_t next;
    _Atomic uint64_t records;
    size_t cached;
    pthread_mutex_t lock; /* of the two below */
    hf_counters counters;
    hf_runs runs;
    hf_err err; /* the first */
} job;

static bool stopped(const job *j) {
    return j->err.code != HF_OK || (j->options->stop && atomic_load(j->options->stop));
}

static void fail_job(job *j, const hf_err *err) {
    pthread_mutex_lock(&j->lock);
    if (j->err.code == HF_OK)
        j->err = *err;
    pthread_mutex_unlock(&j->lock);
}

/* ---- one thread ------------------------------------------------------------------------------------------------ */
static hf_code commit(const job *j, hf_replica *r, hf_err *reterr) {
    const hf_changes *batch = NULL;
    hf_code rc = hf_replica_seal(r, &batch, reterr);
    if (rc == HF_OK)
        rc = hf_store_commit(j->target, batch, reterr);
    if (rc == HF_OK)
        hf_replica_committed(r);
    return rc;
}

static hf_code fold_row(hf_replica *r, const unit *u, int64_t offset, hf_str row, hf_err *reterr) {
    hf_log_record record;
    hf_code rc = hf_logcopy_read(u->topic, u->partition, offset, row, &record, reterr);
    if (rc != HF_OK)
        return rc;
    /* A gap in the copy was looked into when it was read from Kafka; a row that was taken out since shows in the chain. */
    int64_t wanted = hf_replica_next_offset(r, u->topic, u->partition);
    if (offset > (wanted < 0 ? 0 : wanted))
        hf_replica_skip(r, u->topic, u->partition, offset);
    return hf_replica_feed_row(r, &record, row, reterr);
}

/* A batch of rows from *from on, committed before the snapshot they lie in ends. Snapshots are short: while a journal is
 * verified it goes on being written. */
static hf_code fold_chunk(job *j, hf_replica *r, const unit *u, int64_t *from, bool *ret_end, hf_err *reterr) {
    hf_read *read = NULL;
    hf_cursor *cursor = NULL;
    hf_table table = 0;
    unsigned flags = 0;
    char name[HF_PART_NAME_BYTES];
    uint64_t at = (uint64_t)*from, n = 0;
    hf_str key = hf_key_u64(&at), row;
    hf_code rc = hf_read_begin_all(j->source, &read, reterr);
    if (rc == HF_OK)
        rc = hf_store_table_as_is(j->source, hf_logcopy_name(u->topic, u->partition, name), &table, &flags, reterr);
    if (rc == HF_OK)
        rc = hf_cursor_open(read, table, &cursor, reterr);
    for (hf_move move = HF_SEEK; rc == HF_OK && !hf_replica_must_commit(r); move = HF_NEXT, n++) {
        rc = hf_cursor_move(cursor, move, &key, &row, reterr);
        if (rc == HF_OK && (int64_t)hf_u64_of(key) >= u->until)
            rc = HF_E_NOT_FOUND;
        if (rc == HF_OK) {
            *from = (int64_t)hf_u64_of(key) + 1;
            rc = fold_row(r, u, *from - 1, row, reterr);
        }
    }
    *ret_end = rc == HF_E_NOT_FOUND;
    hf_cursor_close(cursor);
    if ((rc == HF_OK || *ret_end) && hf_replica_dirty(r))
        rc = commit(j, r, reterr);
    else if (*ret_end)
        rc = HF_OK;
    hf_read_end(read);
    atomic_fetch_add(&j->records, *ret_end ? n - 1 : n);
    return rc;
}

static hf_code fold_unit(job *j, hf_replica *r, const unit *u, hf_err *reterr) {
    int64_t from = 0;
    hf_code rc = HF_OK;
    for (bool end = false; rc == HF_OK && !end && !stopped(j);)
        rc = fold_chunk(j, r, u, &from, &end, reterr);
    if (rc == HF_OK)
        hf_replica_skip(r, u->topic, u->partition, u->until); /* markers behind the last record */
    return rc;
}

static hf_code fold_units(job *j, hf_err *reterr) {
    hf_replica *r = NULL;
    hf_replica_options o = {.profile = HF_PROFILE_FULL,
                            .fleet = j->fleet,
                            .batch_max_bytes = j->options->batch_max_bytes,
                            .jobs_cached = j->cached,
                            .counters_apart = true,
                            .without_copy = j->options->without_copy};
    hf_code rc = hf_replica_new(j->target, j->codec, &o, NULL, &r, reterr);
    for (size_t i; rc == HF_OK && !stopped(j) && (i = atomic_fetch_add(&j->next, 1)) < j->count;)
        rc = fold_unit(j, r, &j->units[i], reterr);
    if (rc == HF_OK && hf_replica_dirty(r))
        rc = commit(j, r, reterr);
    if (rc == HF_OK) {
        pthread_mutex_lock(&j->lock);
        hf_counters_add(&j->counters, hf_replica_counters(r));
        if (!hf_runs_add(&j->runs, hf_replica_runs(r)))
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "rebuilding");
        pthread_mutex_unlock(&j->lock);
    }
    hf_replica_free(r);
    return rc;
}

static void *run(void *arg) {
    job *j = arg;
    hf_err err = {0};
    err.code = fold_units(j, &err);
    if (err.code != HF_OK)
        fail_job(j, &err);
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */
static bool add_unit(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    job *j = ctx;
    if (j->count == j->room) {
        size_t room = j->room ? j->room * 2 : 64;
        unit *units = hf_realloc(j->units, room * sizeof *units);
        if (!units)
            return false;
        j->units = units;
        j->room = room;
    }
    j->units[j->count++] = (unit){topic, partition, next};
    return true;
}

/* Largest first: the threads end together. */
static int by_size(const void *a, const void *b) {
    int64_t x = ((const unit *)a)->until, y = ((const unit *)b)->until;
    return (x < y) - (x > y);
}

/* Of the old store two tables and the copy are read, whatever its layout was otherwise. */
static hf_code open_old(hf_store *source, hf_tables *ret, hf_err *reterr) {
    unsigned flags;
    hf_code rc = hf_store_table_as_is(source, "meta", &ret->of[HF_TB_META], &flags, reterr);
    return rc == HF_OK ? hf_store_table_as_is(source, "offsets", &ret->of[HF_TB_OFFSETS], &flags, reterr) : rc;
}

static hf_code gather(job *j, hf_read *read, hf_err *reterr) {
    hf_tables tables;
    hf_code rc = open_old(j->source, &tables, reterr);
    if (rc == HF_OK)
        rc = hf_query_offsets(read, &tables, add_unit, j, reterr);
    if (rc == HF_OK && j->count > 0)
        qsort(j->units, j->count, sizeof *j->units, by_size);
    return rc == HF_OK ? hf_fleet_of(j->source, read, j->fleet, reterr) : rc;
}

/* The number of partitions decides where a job belongs: the new store says the same as the old. */
static hf_code carry_meta(job *j, hf_read *read, hf_err *reterr) {
    hf_tables from, to;
    hf_str partitions;
    hf_code rc = open_old(j->source, &from, reterr);
    if (rc == HF_OK)
        rc = hf_tables_open(j->target, HF_PROFILE_FULL, &to, reterr);
    if (rc == HF_OK)
        rc = hf_read_get(read, from.of[HF_TB_META], HF_STR("partitions"), &partitions, reterr);
    if (rc != HF_OK)
        return rc == HF_E_NOT_FOUND ? HF_OK : rc;
    hf_changes *changes = hf_changes_new(4096);
    if (!changes || !hf_changes_put(changes, to.of[HF_TB_META], HF_STR("partitions"), partitions, 0))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "rebuilding");
    else
        rc = hf_store_commit(j->target, changes, reterr);
    hf_changes_free(changes);
    return rc;
}

static hf_code write_counters(job *j, hf_err *reterr) {
    hf_tables tables;
    hf_code rc = hf_tables_open(j->target, HF_PROFILE_FULL, &tables, reterr);
    hf_changes *changes = hf_changes_new(hf_counters_room(&j->counters) + 4096);
    if (rc == HF_OK && (!changes || !hf_counters_put(&j->counters, changes, tables.of[HF_TB_COUNTERS])))
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "rebuilding");
    if (rc == HF_OK)
        rc = hf_store_commit(j->target, changes, reterr);
    hf_changes_free(changes);
    return rc;
}

static hf_code write_runs(job *j, hf_err *reterr) {
    hf_tables tables;
    char row[HF_RUNS_ROW_MAX];
    hf_code rc = hf_tables_open(j->target, HF_PROFILE_FULL, &tables, reterr);
    hf_changes *changes = hf_changes_new(HASH_COUNT(j->runs.by_id) * (size_t)HF_RUNS_ROOM + 4096);
    bool put = changes != NULL;
    for (const hf_run_slot *slot = j->runs.by_id; slot && put && rc == HF_OK; slot = slot->hh.next)
        put = hf_changes_put(changes, tables.of[HF_TB_SCHEDULE_RUNS], (hf_str){slot->id, slot->hh.keylen},
                             hf_runs_row(slot, row), 0);
    if (rc == HF_OK && !put)
        rc = hf_fail(reterr, HF_E_NO_MEMORY, "rebuilding");
    if (rc == HF_OK && hf_changes_count(changes) > 0)
        rc = hf_store_commit(j->target, changes, reterr);
    hf_changes_free(changes);
    return rc;
}

static int thread_count(const job *j) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = j->options->threads > 0 ? j->options->threads : cpus > 0 ? (int)cpus : 1;
    if ((size_t)threads > j->count)
        threads = (int)j->count;
    return threads > THREADS_MAX ? THREADS_MAX : threads < 1 ? 1 : threads;
}

static hf_code fold_all(job *j, hf_err *reterr) {
    pthread_t threads[THREADS_MAX];
    int count = thread_count(j), started = 0;
    j->cached = 65536u / (unsigned)count;
    for (; started < count - 1; started++)
        if (pthread_create(&threads[started], NULL, run, j) != 0)
            break; /* fewer do it too */
    run(j);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (j->err.code != HF_OK)
        return hf_fail(reterr, j->err.code, "%s", j->err.detail);
    return stopped(j) ? hf_fail(reterr, HF_E_CANCELLED, "rebuilding was stopped") : HF_OK;
}

hf_code hf_rebuild_into(hf_store *source, hf_read *read, hf_store *target, const hf_rebuild_options *options,
                        hf_rebuild_stats *ret, hf_err *reterr) {
    int64_t began = hf_mono_ns();
    job j = {.source = source, .target = target, .options = options};
    pthread_mutex_init(&j.lock, NULL);
    hf_codec *plain = NULL;
    hf_code rc = options->codec ? HF_OK : hf_codec_new(NULL, NULL, &plain, reterr);
    j.codec = plain ? plain : options->codec;
    if (rc == HF_OK)
        rc = hf_counters_init(&j.counters, reterr);
    if (rc == HF_OK)
        rc = gather(&j, read, reterr);
    if (rc == HF_OK)
        rc = carry_meta(&j, read, reterr);
    if (rc == HF_OK)
        rc = fold_all(&j, reterr);
    if (rc == HF_OK)
        rc = write_counters(&j, reterr);
    if (rc == HF_OK)
        rc = write_runs(&j, reterr);
    if (rc == HF_OK)
        rc = hf_store_sync(target, reterr);
    *ret = (hf_rebuild_stats){atomic_load(&j.records), j.count, (double)(hf_mono_ns() - began) / 1e9};
    hf_counters_done(&j.counters);
    hf_runs_done(&j.runs);
    hf_codec_free(plain);
    pthread_mutex_destroy(&j.lock);
    free(j.units);
    return rc;
}

hf_code hf_fleet_of(hf_store *store, hf_read *read, char text[FLEET_MAX], hf_err *reterr) {
    hf_table meta;
    unsigned flags;
    hf_str fleet = HF_STR_NONE;
    hf_code rc = hf_store_table_as_is(store, "meta", &meta, &flags, reterr);
    if (rc == HF_OK)
        rc = hf_read_get(read, meta, HF_STR("fleet"), &fleet, reterr);
    if (rc != HF_OK && rc != HF_E_NOT_FOUND)
        return rc;
    snprintf(text, FLEET_MAX, "%.*s", (int)(fleet.len < FLEET_MAX ? fleet.len : 0), fleet.p ? fleet.p : "");
    return HF_OK;
}

/* ---- in place ----------------------------------------------------------------------------------------------------- */
static hf_code join(char out[4096], const char *dir, const char *name, hf_err *reterr) {
    return snprintf(out, 4096, "%s/%s", dir, name) < 4096
               ? HF_OK
               : hf_fail(reterr, HF_E_LIMIT, "the path %.100s… is too long", dir);
}

hf_code hf_rebuild_aside(const char *dir, char aside[4096], hf_err *reterr) {
    static const char *const left[] = {"data.mdb", "lock.mdb", "lock"}; /* by one that was interrupted */
    char path[4096];
    hf_code rc = join(aside, dir, "rebuild", reterr);
    for (size_t i = 0; rc == HF_OK && i < HF_ARRAY_LEN(left); i++)
        if ((rc = join(path, aside, left[i], reterr)) == HF_OK && unlink(path) != 0 && errno != ENOENT &&
            errno != ENOTDIR)
            rc = hf_fail_errno(reterr, errno, "%s", path);
    return rc == HF_OK ? hf_make_dirs(aside, 0750, reterr) : rc;
}

static hf_code sync_dir(const char *dir, hf_err *reterr) {
    hf_auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "%s", dir);
}

hf_code hf_rebuild_swap(const char *dir, const char *aside, hf_err *reterr) {
    char from[4096], to[4096], lock[4096];
    hf_code rc = join(from, aside, "data.mdb", reterr);
    if (rc == HF_OK)
        rc = join(to, dir, "data.mdb", reterr);
    if (rc == HF_OK)
        rc = join(lock, dir, "lock.mdb", reterr);
    if (rc != HF_OK)
        return rc;
    unlink(lock); /* whoever still reads the old file keeps the old lock file with it */
    if (rename(from, to) != 0)
        return hf_fail_errno(reterr, errno, "%s", to);
    static const char *const left[] = {"lock.mdb", "lock"};
    for (size_t i = 0; i < HF_ARRAY_LEN(left); i++)
        if (join(from, aside, left[i], NULL) == HF_OK)
            unlink(from);
    rmdir(aside);
    return sync_dir(dir, reterr);
}

static hf_code rebuild_open(hf_store *source, const char *dir, const hf_store_options *map,
                            const hf_rebuild_options *options, hf_rebuild_stats *ret, hf_err *reterr) {
    char aside[4096], fleet[FLEET_MAX];
    hf_read *read = NULL;
    hf_store *target = NULL;
    hf_store_options o = map ? *map : (hf_store_options){0};
    hf_code rc = hf_read_begin_all(source, &read, reterr);
    if (rc == HF_OK)
        rc = hf_fleet_of(source, read, fleet, reterr);
    if (rc == HF_OK)
        rc = hf_rebuild_aside(dir, aside, reterr);
    if (rc == HF_OK) {
        o.flags = HF_STORE_FAST;
        hf_layout_options(HF_PROFILE_FULL, fleet[0] ? fleet : NULL, &o);
        rc = hf_store_open(aside, &o, &target, reterr);
    }
    if (rc == HF_OK)
        rc = hf_rebuild_into(source, read, target, options, ret, reterr);
    hf_store_close(target);
    hf_read_end(read);
    return rc == HF_OK ? hf_rebuild_swap(dir, aside, reterr) : rc;
}

hf_code hf_rebuild_dir(const char *dir, const hf_store_options *map, const hf_rebuild_options *options,
                       hf_rebuild_stats *ret, hf_err *reterr) {
    hf_store *source = NULL;
    hf_store_options o = map ? *map : (hf_store_options){0};
    hf_layout_options(HF_PROFILE_FULL, NULL, &o);
    o.version = 0; /* of another version: that is what rebuilding is for */
    hf_code rc = hf_store_open(dir, &o, &source, reterr);
    if (rc == HF_OK)
        rc = rebuild_open(source, dir, map, options, ret, reterr);
    hf_store_close(source);
    return rc;
}
