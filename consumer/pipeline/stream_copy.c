/* One lock guards counters and the first error; no reading, writing, hashing or inflating happens under it. A buffer is filled by the
 * caller's thread, written and walked by two others, and free when both are through. Grains to inflate are copied into batches, because
 * a grain lies in two buffers or in the walker's own memory. */
#include "consumer/pipeline/stream_copy.h"

#include <pthread.h>
#include <string.h>

#include "consumer/pipeline/vmdk_inflate.h"
#include "schemas/base/mem.h"

enum {
    BUFFERS = 8,
    BUFFER_BYTES = 1024 * 1024,
    BATCH_BYTES = 1024 * 1024, /* of packed grains; one is at most 128 KiB */
    BATCH_GRAINS = 256,
};

typedef struct batch {
    struct batch *next; /* free, or waiting */
    size_t used;
    unsigned count;
    hf_vmdk_packed grains[BATCH_GRAINS];
    uint8_t *bytes; /* BATCH_BYTES */
} batch;

typedef struct copy {
    hf_stream *stream;
    hf_out *out;
    hf_flow *flow;
    bool deep;
    hf_vmdk_walk *walk;
    hf_vmdk_lanes lanes;
    uint8_t *memory; /* of buffers and batches */
    batch *batches;
    batch *filling; /* the walker's */
    hf_vmdk_summary summary;
    int64_t advanced; /* the writer's */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t lens[BUFFERS];
    uint64_t filled, written, walked; /* buffers, counted from the start */
    bool read_over;                   /* no more buffers come */
    bool walk_over;                   /* no more batches come */
    bool stop;
    hf_err error;
    batch *free, *waiting;
} copy;

static void stop_with(copy *c, const hf_err *error) {
    pthread_mutex_lock(&c->lock);
    if (!c->stop)
        c->error = *error;
    c->stop = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static uint8_t *buffer_at(const copy *c, uint64_t number) {
    return c->memory + (size_t)(number % BUFFERS) * BUFFER_BYTES;
}

/* ---- the caller's thread: the stream -> buffers ------------------------------------------------------------ */
static bool wait_for_room(copy *c) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && c->filled - (c->written < c->walked ? c->written : c->walked) == BUFFERS)
        pthread_cond_wait(&c->changed, &c->lock);
    bool go = !c->stop;
    pthread_mutex_unlock(&c->lock);
    return go;
}

/* False when the run is at its end. */
static bool fill_buffer(copy *c) {
    uint8_t *to = buffer_at(c, c->filled);
    size_t len = 0, n = 1;
    hf_err error = {0};
    hf_code rc = hf_flow_check(c->flow, &error);
    while (rc == HF_OK && n > 0 && len < BUFFER_BYTES) {
        n = 0;
        rc = hf_stream_read(c->stream, to + len, BUFFER_BYTES - len, &n, &error);
        len += n;
    }
    if (rc != HF_OK) {
        stop_with(c, &error);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    if (len > 0)
        c->lens[c->filled++ % BUFFERS] = len;
    c->read_over = n == 0;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return n > 0;
}

/* ---- the writer and the walker: buffers, in order ------------------------------------------------------------ */
/* The buffer that comes after *done of them; false when there is none any more. */
static bool next_buffer(copy *c, const uint64_t *done, uint8_t **ret, size_t *ret_len) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && *done == c->filled && !c->read_over)
        pthread_cond_wait(&c->changed, &c->lock);
    bool there = !c->stop && *done < c->filled;
    if (there) {
        *ret = buffer_at(c, *done);
        *ret_len = c->lens[*done % BUFFERS];
    }
    pthread_mutex_unlock(&c->lock);
    return there;
}

static void buffer_done(copy *c, uint64_t *done) {
    pthread_mutex_lock(&c->lock);
    ++*done;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void *writer_main(void *arg) {
    copy *c = arg;
    uint8_t *bytes;
    size_t len;
    hf_err error = {0};
    while (next_buffer(c, &c->written, &bytes, &len)) {
        if (hf_out_append(c->out, bytes, len, &error) != HF_OK) {
            stop_with(c, &error);
            break;
        }
        c->advanced += (int64_t)len;
        hf_flow_advance(c->flow, (int64_t)len);
        buffer_done(c, &c->written);
    }
    return NULL;
}

static void hand_over(copy *c) {
    if (!c->filling)
        return;
    pthread_mutex_lock(&c->lock);
    batch **last = &c->waiting; /* a handful at most */
    while (*last)
        last = &(*last)->next;
    c->filling->next = NULL;
    *last = c->filling;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    c->filling = NULL;
}

static bool take_free(copy *c) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && !c->free)
        pthread_cond_wait(&c->changed, &c->lock);
    if (!c->stop) {
        c->filling = c->free;
        c->free = c->filling->next;
        c->filling->used = c->filling->count = 0;
    }
    pthread_mutex_unlock(&c->lock);
    return c->filling;
}

/* The walker's: a grain has come. */
static hf_code pack(void *ctx, int64_t disk_offset, const uint8_t *data, uint32_t len, hf_err *reterr) {
    copy *c = ctx;
    if (c->filling && (c->filling->count == BATCH_GRAINS || c->filling->used + len > BATCH_BYTES))
        hand_over(c);
    if (!c->filling && !take_free(c))
        return hf_fail(reterr, HF_E_CANCELLED, "the copy has ended");
    batch *b = c->filling;
    uint8_t *to = b->bytes + b->used;
    uint32_t grain = (uint32_t)hf_vmdk_walk_grain_bytes(c->walk);
    int64_t left = hf_vmdk_walk_capacity(c->walk) - disk_offset;
    memcpy(to, data, len);
    b->grains[b->count++] = (hf_vmdk_packed){.data = to,
                                             .len = len,
                                             .disk_offset = disk_offset,
                                             .grain_bytes = grain,
                                             .need_bytes = left < grain ? (uint32_t)left : grain};
    b->used += len;
    return HF_OK;
}

static void *walker_main(void *arg) {
    copy *c = arg;
    uint8_t *bytes;
    size_t len;
    hf_err error = {0};
    hf_code rc = HF_OK;
    while (rc == HF_OK && next_buffer(c, &c->walked, &bytes, &len)) {
        rc = hf_vmdk_walk_feed(c->walk, bytes, len, &error);
        if (rc == HF_OK)
            buffer_done(c, &c->walked);
    }
    if (rc == HF_OK) { /* where the run was stopped, its error is the one that stays */
        hand_over(c);
        rc = hf_vmdk_walk_end(c->walk, &c->summary, &error);
    }
    if (rc != HF_OK)
        stop_with(c, &error);
    pthread_mutex_lock(&c->lock);
    c->walk_over = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- inflating -------------------------------------------------------------------------------------------------- */
static hf_code batch_inflate(hf_vmdk_lane *lane, const batch *b, hf_err *reterr) {
    for (unsigned i = 0; i < b->count; i++)
        if (hf_vmdk_inflate(lane, &b->grains[i], lane->grain, 0, b->grains[i].grain_bytes, reterr) != HF_OK) {
            if (reterr->code == HF_E_SOURCE_INVALID) /* of a download: another one may be whole */
                reterr->code = HF_E_VERIFY_FAILED;
            return reterr->code;
        }
    return HF_OK;
}

static batch *take_waiting(copy *c) {
    pthread_mutex_lock(&c->lock);
    while (!c->stop && !c->waiting && !c->walk_over)
        pthread_cond_wait(&c->changed, &c->lock);
    batch *b = c->stop ? NULL : c->waiting;
    if (b)
        c->waiting = b->next;
    pthread_mutex_unlock(&c->lock);
    return b;
}

static void *inflater_main(void *arg) {
    copy *c = arg;
    hf_err error = {0};
    hf_vmdk_lane *lane = hf_vmdk_lane_take(&c->lanes, &error);
    if (!lane) {
        stop_with(c, &error);
        return NULL;
    }
    for (batch *b; (b = take_waiting(c)) != NULL;) {
        if (batch_inflate(lane, b, &error) != HF_OK) {
            stop_with(c, &error);
            break;
        }
        pthread_mutex_lock(&c->lock);
        b->next = c->free;
        c->free = b;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
    }
    hf_vmdk_lane_give(&c->lanes, lane);
    return NULL;
}

/* ---- a run -------------------------------------------------------------------------------------------------------- */
static hf_code copy_init(copy *c, unsigned inflaters, hf_err *reterr) {
    unsigned batches = c->deep ? inflaters + 2 : 0;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    hf_vmdk_lanes_init(&c->lanes, 0);
    c->memory = hf_alloc((size_t)BUFFERS * BUFFER_BYTES + (size_t)batches * BATCH_BYTES);
    c->batches = hf_alloc((batches + 1) * sizeof *c->batches);
    if (!c->memory || !c->batches)
        return hf_fail(reterr, HF_E_NO_MEMORY, "%u buffers of a download", BUFFERS + batches);
    for (unsigned i = 0; i < batches; i++) {
        c->batches[i].bytes = c->memory + (size_t)BUFFERS * BUFFER_BYTES + (size_t)i * BATCH_BYTES;
        c->batches[i].next = c->free;
        c->free = &c->batches[i];
    }
    return hf_vmdk_walk_new(c->deep ? pack : NULL, c, &c->walk, reterr);
}

static void copy_done(copy *c) {
    hf_vmdk_walk_free(c->walk);
    hf_vmdk_lanes_done(&c->lanes);
    free(c->memory);
    free(c->batches);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

static void run_threads(copy *c, unsigned inflaters) {
    pthread_t threads[HF_STREAM_COPY_THREADS_MAX + 2];
    unsigned started = 0, wanted = c->deep ? inflaters + 2 : 2;
    void *(*mains[2])(void *) = {writer_main, walker_main};
    while (started < wanted &&
           pthread_create(&threads[started], NULL, started < 2 ? mains[started] : inflater_main, c) == 0)
        started++;
    if (started < (c->deep ? 3 : 2)) { /* fewer that inflate will do */
        hf_err error;
        hf_fail(&error, HF_E_NO_MEMORY, "a thread to copy a download could not be started");
        stop_with(c, &error);
    }
    while (wait_for_room(c) && fill_buffer(c))
        ;
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

hf_code hf_stream_copy(hf_stream *stream, hf_out *out, bool deep, int threads, hf_flow *flow, hf_vmdk_summary *ret,
                       hf_err *reterr) {
    copy c = {.stream = stream, .out = out, .flow = flow, .deep = deep};
    int max = HF_STREAM_COPY_THREADS_MAX;
    unsigned inflaters = threads < 1 ? 1 : threads > max ? (unsigned)max : (unsigned)threads;
    hf_code rc = copy_init(&c, inflaters, reterr);
    if (rc == HF_OK) {
        run_threads(&c, inflaters);
        rc = c.stop ? c.error.code : hf_flow_check(flow, reterr);
        if (c.stop && reterr)
            *reterr = c.error;
    }
    if (rc == HF_OK)
        *ret = c.summary;
    else
        hf_flow_correct(flow, -c.advanced, 0);
    copy_done(&c);
    return rc;
}
