#include "journal/replica/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "journal/replica/writer.h"
#include "schemas/base/fault.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum {
    LIVE_INTERVAL_MS = 1000,
    FULL_INTERVAL_MS = 5,
    BEHIND_INTERVAL_MS = 200,
    FAR_BEHIND = 200000,
    WORKERS_TAIL = 20000,
    TEND_MS = 60000,
    MARKS_MS = 5000
};

struct hf_follow {
    hf_klog *log;
    const hf_clock *clock;
    hf_follow_options options;
    hf_store *store; /* NULL: memory only */
    hf_replica *replica;
    hf_follower *follower;
    hf_writer writer;
    int epoll_fd, wake_fd;

    hf_batch batch; /* of which `fed` records are folded */
    size_t fed;
    bool writing, caught_up, replaying, deaf;
    int64_t sealed_ms, tended_ms;
    hf_err broken; /* of the writer: said by every step from then on */

    /* Who waits for a position (any thread). */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    _Atomic unsigned waiters;
    int32_t partitions;
    int64_t *committed; /* by partition of job-events */
    int64_t *hurried;   /* offsets somebody wants committed (own thread); -1: none */
};

static bool full(const hf_follow *f) { return f->options.replica.profile == HF_PROFILE_FULL; }

/* ---- committing ------------------------------------------------------------------------------------------- */
static void publish(hf_follow *f) {
    pthread_mutex_lock(&f->lock);
    for (int32_t p = 0; p < f->partitions; p++)
        f->committed[p] = hf_replica_committed_offset(f->replica, p);
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

static void committed(hf_follow *f) {
    hf_fault_point("journal-after-commit");
    f->writing = false;
    hf_replica_committed(f->replica);
    publish(f);
}

/* Takes in what the writer has done. */
static hf_code collect(hf_follow *f, bool wait, hf_err *reterr) {
    hf_err err;
    if (f->writing && hf_writer_finished(&f->writer, wait, &err)) {
        if (err.code == HF_OK)
            committed(f);
        else
            f->broken = err; /* the batch stays sealed, its offsets are not in the store: a restart reads them again */
    }
    return f->broken.code ? hf_fail(reterr, f->broken.code, "%s", f->broken.detail) : HF_OK;
}

static hf_code seal(hf_follow *f, hf_err *reterr) {
    const hf_changes *batch = NULL;
    hf_code rc = hf_replica_seal(f->replica, &batch, reterr);
    if (rc != HF_OK)
        return rc;
    hf_fault_point("journal-before-commit");
    f->sealed_ms = hf_mono_ms(f->clock);
    f->writing = true;
    if (f->store)
        hf_writer_commit(&f->writer, batch);
    else
        committed(f);
    return HF_OK;
}

static int64_t interval_ms(const hf_follow *f) {
    int64_t least = f->options.commit_interval_ms;
    return full(f) && !f->caught_up && least < BEHIND_INTERVAL_MS ? BEHIND_INTERVAL_MS : least;
}

void hf_follow_hurry(hf_follow *f, hf_position position) {
    if (position.partition >= 0 && position.partition < f->partitions &&
        f->hurried[position.partition] < position.offset)
        f->hurried[position.partition] = position.offset;
}

/* Is a record that somebody waits for folded, and not committed? */
static bool in_a_hurry(const hf_follow *f) {
    for (int32_t p = 0; p < f->partitions; p++)
        if (f->hurried[p] >= hf_replica_committed_offset(f->replica, p) &&
            f->hurried[p] < hf_replica_next_offset(f->replica, HF_TOPIC_JOB_EVENTS, p))
            return true;
    return false;
}

static int64_t due_ms(const hf_follow *f) {
    if (!hf_replica_dirty(f->replica) || f->writing)
        return -1;
    if (atomic_load(&f->waiters) > 0 || in_a_hurry(f) || hf_replica_must_commit(f->replica))
        return 0;
    int64_t left = f->sealed_ms + interval_ms(f) - hf_mono_ms(f->clock);
    return left > 0 ? left : 0;
}

int hf_follow_timeout_ms(const hf_follow *f) {
    if (f->fed < f->batch.count)
        return f->writing ? -1 : 0; /* held back until the writer is done, which wakes the descriptor */
    return (int)due_ms(f);
}

/* ---- feeding ------------------------------------------------------------------------------------------------- */
/* A gap: are records gone, or is there nothing but markers? */
static hf_code look_into_gap(hf_follow *f, const hf_log_record *record, hf_err *reterr) {
    int64_t low = 0, high = 0, wanted = hf_replica_next_offset(f->replica, record->topic, record->partition);
    hf_err err = *reterr;
    hf_code rc = hf_klog_watermarks(f->log, record->topic, record->partition, MARKS_MS, &low, &high, reterr);
    if (rc != HF_OK)
        return rc;
    if (low > (wanted < 0 ? 0 : wanted)) {
        *reterr = err;
        return err.code;
    }
    HF_LOG(DEBUG, "log-gap", {"partition", HF_V_INT(record->partition)}, {"wanted", HF_V_INT(wanted)},
           {"next", HF_V_INT(record->offset)});
    hf_replica_skip(f->replica, record->topic, record->partition, record->offset);
    return hf_replica_feed(f->replica, record, reterr);
}

/* Folds what is held. BUSY is no error: the rest stays held until the batch before is committed. */
static hf_code feed_held(hf_follow *f, size_t *ret_fed, hf_err *reterr) {
    for (; f->fed < f->batch.count; f->fed++, ++*ret_fed) {
        if (hf_replica_must_commit(f->replica) && f->writing)
            return HF_OK;
        if (hf_replica_must_commit(f->replica)) {
            hf_code rc = seal(f, reterr);
            if (rc != HF_OK)
                return rc;
        }
        hf_err err = {0};
        const hf_log_record *record = &f->batch.records[f->fed];
        hf_code rc = hf_replica_feed(f->replica, record, &err);
        if (rc == HF_E_LOG_TRUNCATED)
            rc = look_into_gap(f, record, &err);
        if (rc != HF_OK)
            return hf_fail(reterr, rc, "%s", err.detail);
    }
    hf_batch_release(&f->batch);
    f->batch = (hf_batch){0};
    f->fed = 0;
    return HF_OK;
}

static void note_progress(hf_follow *f) {
    if (!f->caught_up && f->fed == f->batch.count && hf_follower_caught_up(f->follower)) {
        f->caught_up = true;
        if (f->replaying)
            hf_follower_replay_mode(f->follower, false);
        f->replaying = false;
    }
    int64_t now = hf_mono_ms(f->clock);
    if (f->store && now - f->tended_ms > TEND_MS) {
        hf_store_tend(f->store);
        f->tended_ms = now;
    }
}

/* While records are held back until the writer is done, more of them must not wake the caller. */
static void listen_or_not(hf_follow *f) {
    bool deaf = f->fed < f->batch.count && f->writing;
    struct epoll_event event = {.events = deaf ? 0 : EPOLLIN};
    if (deaf != f->deaf && epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, hf_follower_fd(f->follower), &event) == 0)
        f->deaf = deaf;
}

hf_code hf_follow_step(hf_follow *f, size_t max_records, size_t *ret_fed, hf_err *reterr) {
    eventfd_t woken;
    hf_err unused;
    if (!reterr)
        reterr = &unused;
    *ret_fed = 0;
    eventfd_read(f->wake_fd, &woken);
    hf_code rc = collect(f, false, reterr);
    if (rc == HF_OK && f->batch.count == 0)
        rc = hf_follower_poll(f->follower, max_records, 0, &f->batch, reterr);
    if (rc == HF_OK)
        rc = feed_held(f, ret_fed, reterr);
    if (rc != HF_OK)
        return rc;
    note_progress(f);
    rc = due_ms(f) == 0 ? seal(f, reterr) : HF_OK;
    listen_or_not(f);
    return rc;
}

/* ---- waiting --------------------------------------------------------------------------------------------------- */
hf_code hf_follow_wait(hf_follow *f, hf_position position, int timeout_ms, hf_err *reterr) {
    if (position.partition < 0 || position.partition >= f->partitions)
        return hf_fail(reterr, HF_E_INVALID, "job-events has no partition %d", (int)position.partition);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    atomic_fetch_add(&f->waiters, 1);
    eventfd_write(f->wake_fd, 1); /* the due time has changed */
    pthread_mutex_lock(&f->lock);
    bool there = f->committed[position.partition] > position.offset;
    for (int err = 0; !there && err != ETIMEDOUT;) {
        err = pthread_cond_timedwait(&f->moved, &f->lock, &until);
        there = f->committed[position.partition] > position.offset;
    }
    pthread_mutex_unlock(&f->lock);
    atomic_fetch_sub(&f->waiters, 1);
    return there ? HF_OK
                 : hf_fail(reterr, HF_E_TIMEOUT, "job-events/%d, offset %" PRId64 " was not folded within %d ms",
                           (int)position.partition, position.offset, timeout_ms);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */
static hf_code open_store(hf_follow *f, const char *dir, const hf_store_options *given, hf_err *reterr) {
    hf_store_options o = given ? *given : (hf_store_options){0};
    hf_layout_options(f->options.replica.profile, f->options.replica.fleet, &o);
    hf_code rc = hf_store_open(dir, &o, &f->store, reterr);
    if (full(f) || (rc != HF_E_STORE_VERSION && rc != HF_E_STORE_DAMAGED))
        return rc;
    /* What a live replica holds is in the log as well: begin again. */
    HF_LOG_ERR(WARN, "store-begun-anew", reterr, {"dir", HF_V_Z(dir)});
    const char *const files[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    return hf_store_open(dir, &o, &f->store, reterr);
}

/* A live replica keeps nothing of the other topics: compacted ones are read anew, of the rest what comes from now on. */
static hf_code live_from(hf_follow *f, hf_topic topic, int32_t partition, int64_t *ret, hf_err *reterr) {
    int64_t low = 0, high = 0;
    if (topic == HF_TOPIC_SCHEDULES || topic == HF_TOPIC_CONTROLS || topic == HF_TOPIC_WEBHOOKS)
        return HF_OK;
    hf_code rc = hf_klog_watermarks(f->log, topic, partition, MARKS_MS, &low, &high, reterr);
    if (f->options.replica.keep_offsets & 1u << topic) { /* what retention took meanwhile is not missed */
        *ret = rc == HF_OK && *ret >= 0 && *ret < low ? low : *ret;
        return rc;
    }
    *ret = topic != HF_TOPIC_WORKERS ? high : high - WORKERS_TAIL > low ? high - WORKERS_TAIL : low;
    return rc;
}

static hf_code add_topic(hf_follow *f, hf_topic topic, hf_follow_from *from, size_t *count, hf_err *reterr) {
    int32_t partitions = 0;
    hf_code rc = hf_klog_partitions(f->log, topic, &partitions, reterr);
    for (int32_t p = 0; rc == HF_OK && p < partitions; p++) {
        hf_follow_from *at = &from[(*count)++];
        *at = (hf_follow_from){topic, p, hf_replica_next_offset(f->replica, topic, p)};
        if (!full(f) && topic != HF_TOPIC_JOB_EVENTS && topic != HF_TOPIC_LIMITS)
            rc = live_from(f, topic, p, &at->offset, reterr);
    }
    return rc;
}

static int64_t records_behind(hf_follow *f, const hf_follow_from *from, size_t count) {
    int64_t behind = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t low = 0, high = 0;
        if (from[i].topic == HF_TOPIC_JOB_EVENTS &&
            hf_klog_watermarks(f->log, from[i].topic, from[i].partition, MARKS_MS, &low, &high, NULL) == HF_OK)
            behind += high - (from[i].offset < low ? low : from[i].offset);
    }
    return behind;
}

static hf_code open_follower(hf_follow *f, hf_err *reterr) {
    size_t count = 0, room = 0;
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        int32_t partitions = 0;
        if (!(f->options.topics & 1u << t))
            continue;
        hf_code rc = hf_klog_partitions(f->log, (hf_topic)t, &partitions, reterr);
        if (rc != HF_OK)
            return rc;
        room += (size_t)partitions;
    }
    hf_auto_free hf_follow_from *from = hf_alloc(room * sizeof *from);
    if (!from)
        return hf_fail(reterr, HF_E_NO_MEMORY, "following %zu partitions", room);
    for (int t = 0; t < HF_TOPIC_COUNT; t++) {
        hf_code rc = f->options.topics & 1u << t ? add_topic(f, (hf_topic)t, from, &count, reterr) : HF_OK;
        if (rc != HF_OK)
            return rc;
    }
    hf_code rc = hf_follower_open(f->log, from, count, &f->follower, reterr);
    if (rc == HF_OK && records_behind(f, from, count) > FAR_BEHIND) {
        f->replaying = true;
        hf_follower_replay_mode(f->follower, true);
    }
    if (rc == HF_OK && !full(f)) /* only the log copy keeps them */
        hf_follower_skip_headers(f->follower);
    return rc;
}

static hf_code watch(hf_follow *f, hf_err *reterr) {
    struct epoll_event readable = {.events = EPOLLIN};
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll_fd < 0 || epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->wake_fd, &readable) != 0 ||
        epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, hf_follower_fd(f->follower), &readable) != 0)
        return hf_fail_errno(reterr, errno, "following the log");
    return HF_OK;
}

/* Which partition a limit's records count in follows from how many there are: one number for both topics. */
static hf_code check_limits(hf_follow *f, hf_err *reterr) {
    int32_t partitions = 0;
    hf_code rc = hf_klog_partitions(f->log, HF_TOPIC_LIMITS, &partitions, reterr);
    return rc != HF_OK || partitions == f->partitions
               ? rc
               : hf_fail(reterr, HF_E_TOPIC_MISMATCH,
                         "limits has %d partitions and job-events %d, and they must be equal: make limits anew with %d",
                         (int)partitions, (int)f->partitions, (int)f->partitions);
}

static hf_code open_all(hf_follow *f, hf_codec *codec, const char *store_dir, const hf_store_options *store_options,
                        hf_err *reterr) {
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake_fd < 0)
        return hf_fail_errno(reterr, errno, "following the log");
    hf_code rc = hf_klog_partitions(f->log, HF_TOPIC_JOB_EVENTS, &f->partitions, reterr);
    if (rc != HF_OK)
        return rc;
    f->options.replica.partitions = f->partitions;
    if (f->options.topics & 1u << HF_TOPIC_LIMITS)
        rc = check_limits(f, reterr);
    if (rc != HF_OK)
        return rc;
    f->committed = hf_alloc((size_t)f->partitions * sizeof *f->committed);
    f->hurried = hf_alloc((size_t)f->partitions * sizeof *f->hurried);
    if (!f->committed || !f->hurried)
        return hf_fail(reterr, HF_E_NO_MEMORY, "following %d partitions", (int)f->partitions);
    for (int32_t p = 0; p < f->partitions; p++)
        f->hurried[p] = -1;
    if (store_dir)
        rc = open_store(f, store_dir, store_options, reterr);
    if (rc == HF_OK)
        rc = hf_replica_new(f->store, codec, &f->options.replica, &f->options.hooks, &f->replica, reterr);
    if (rc == HF_OK && f->store)
        rc = hf_writer_start(&f->writer, f->store, f->wake_fd, reterr);
    if (rc == HF_OK)
        rc = open_follower(f, reterr);
    if (rc == HF_OK)
        rc = watch(f, reterr);
    if (rc == HF_OK)
        publish(f);
    return rc;
}

hf_code hf_follow_open(hf_klog *log, hf_codec *codec, const char *store_dir, const hf_store_options *store_options,
                       const hf_follow_options *options, hf_follow **ret, hf_err *reterr) {
    hf_err unused;
    hf_follow *f = hf_alloc(sizeof *f);
    if (!f)
        return hf_fail(reterr, HF_E_NO_MEMORY, "following the log");
    f->log = log;
    f->options = *options;
    f->options.topics |= 1u << HF_TOPIC_JOB_EVENTS;
    f->clock = options->replica.clock ? options->replica.clock : hf_clock_system();
    if (f->options.commit_interval_ms <= 0)
        f->options.commit_interval_ms = full(f) ? FULL_INTERVAL_MS : LIVE_INTERVAL_MS;
    f->wake_fd = f->epoll_fd = -1;
    f->tended_ms = hf_mono_ms(f->clock);
    f->sealed_ms = f->tended_ms - f->options.commit_interval_ms;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->moved, &attr);
    pthread_condattr_destroy(&attr);
    hf_code rc = open_all(f, codec, store_dir, store_options, reterr ? reterr : &unused);
    if (rc != HF_OK) {
        hf_follow_close(f);
        return rc;
    }
    *ret = f;
    return HF_OK;
}

/* Commits what is folded; a failure is told and costs only that it is folded again at the next start. */
static void finish(hf_follow *f) {
    hf_err err = {0};
    hf_code rc = collect(f, true, &err);
    if (rc == HF_OK && hf_replica_dirty(f->replica) && (rc = seal(f, &err)) == HF_OK)
        rc = collect(f, true, &err);
    if (rc != HF_OK)
        HF_LOG_ERR(ERROR, "last-commit-failed", &err,
                   {"consequence", HF_V_Z("its records are read again at the next start")});
}

void hf_follow_close(hf_follow *f) {
    if (!f)
        return;
    hf_batch_release(&f->batch);
    hf_follower_close(f->follower);
    if (f->replica && (f->writer.running || !f->store))
        finish(f);
    hf_writer_stop(&f->writer);
    hf_replica_free(f->replica);
    hf_store_close(f->store);
    if (f->epoll_fd >= 0)
        close(f->epoll_fd);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    pthread_cond_destroy(&f->moved);
    pthread_mutex_destroy(&f->lock);
    free(f->committed);
    free(f->hurried);
    free(f);
}

int hf_follow_fd(hf_follow *f) { return f->epoll_fd; }
int64_t hf_follow_lag(const hf_follow *f, hf_topic topic, int32_t partition) {
    return f->follower ? hf_follower_lag(f->follower, topic, partition) : -1;
}
bool hf_follow_caught_up(const hf_follow *f) { return f->caught_up; }
hf_replica *hf_follow_replica(hf_follow *f) { return f->replica; }
hf_store *hf_follow_store(hf_follow *f) { return f->store; }
