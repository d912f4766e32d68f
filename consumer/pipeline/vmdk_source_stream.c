/* A streamOptimized VMDK read as a disk while it comes. One thread (the pipeline's planner) pulls the stream through the walker, which
 * keeps each grain, still compressed, in a ring of bytes; the threads that read inflate from there and give the room back.
 *
 * Nobody can wait for ever: who reads never waits, because a range is only read after extent() told of it, and extent() only tells of
 * what the ring holds. Only extent() waits, for room; what it has not told of yet is at most the grains of the chunk that is being put
 * together and of one piece of the stream, less than the ring, so that something it has told of lies in the ring, and its reader is on
 * its way; unless the run has ended, which stop() tells. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "consumer/pipeline/sink.h"
#include "consumer/pipeline/vmdk.h"
#include "consumer/pipeline/vmdk_inflate.h"
#include "consumer/pipeline/vmdk_read.h"
#include "consumer/pipeline/vmdk_walk.h"
#include "schemas/base/mem.h"

enum {
    PIECE = 64 * 1024,
    PACKED_MAX = 2 * HF_VMDK_GRAIN_MAX, /* of a grain: the walker's bound */
    /* a chunk whose grains are as large as can be, a piece, the grain it ends in, and what a wrap leaves unused */
    WINDOW_MIN = 2 * HF_CHUNK_BYTES + PIECE + 2 * PACKED_MAX,
    KEPT_MAX = 8192, /* grains; a chunk has at most 256, a piece 128 */
};

typedef struct kept {
    int64_t disk; /* offset */
    uint64_t at;  /* in the ring, counted from the start of all */
    uint32_t len;
    bool done; /* read; the room is free when all before it are */
} kept;

typedef struct stream_source {
    hf_source source;
    hf_stream *stream;
    hf_vmdk_walk *walk;
    hf_vmdk_lanes lanes;
    uint8_t *ring;
    uint64_t ring_bytes;
    uint32_t grain_bytes;
    /* of the thread that asks for extents */
    bool over; /* the stream has ended, and was whole */
    hf_err error;
    int64_t next_disk;
    int64_t wanted, told; /* the offset that was asked for last; what was told of ends here */
    uint8_t piece[PIECE];
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t room;
    bool stopped;
    uint64_t first, end; /* numbers of the grains that are kept: number n stands in grains[n % KEPT_MAX] */
    uint64_t head;       /* of the ring */
    int64_t forgotten;   /* disk offset behind the last grain whose room was given back */
    kept grains[KEPT_MAX];
} stream_source;

/* ---- the ring --------------------------------------------------------------------------------------- */
static kept *grain_at(stream_source *s, uint64_t number) { return &s->grains[number % KEPT_MAX]; }

/* Number of the first kept grain that ends behind `offset`; s->end if there is none. */
static uint64_t find_behind(stream_source *s, int64_t offset) {
    uint64_t low = s->first, high = s->end;
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (grain_at(s, mid)->disk + s->grain_bytes > offset)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Where in the ring len bytes can stand in one piece; false: not now. */
static bool find_room(stream_source *s, uint32_t len, uint64_t *ret_at) {
    uint64_t at = s->head;
    if (at % s->ring_bytes + len > s->ring_bytes)
        at += s->ring_bytes - at % s->ring_bytes;
    if (s->end - s->first == KEPT_MAX)
        return false;
    if (s->end > s->first && at + len - grain_at(s, s->first)->at > s->ring_bytes)
        return false;
    *ret_at = at;
    return true;
}

/* The walker's: a grain has come. */
static hf_code keep(void *ctx, int64_t disk_offset, const uint8_t *data, uint32_t len, hf_err *reterr) {
    stream_source *s = ctx;
    uint64_t at = 0;
    if (disk_offset < s->next_disk)
        return hf_fail(reterr, HF_E_UNSUPPORTED,
                       "the VMDK's grain for disk offset %" PRId64 " comes behind that for %" PRId64
                       ": it cannot be read while it comes; keep it as a file first",
                       disk_offset, s->next_disk);
    s->next_disk = disk_offset + hf_vmdk_walk_grain_bytes(s->walk);
    if (s->next_disk <= s->wanted)
        return HF_OK; /* nobody will read it: a run that goes on from a later place */
    pthread_mutex_lock(&s->lock);
    bool room;
    while (!(room = find_room(s, len, &at)) && !s->stopped)
        pthread_cond_wait(&s->room, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (!room)
        return hf_fail(reterr, HF_E_CANCELLED, "the run that reads the VMDK has ended");
    memcpy(s->ring + at % s->ring_bytes, data, len); /* nobody else writes, and nobody reads there yet */
    pthread_mutex_lock(&s->lock);
    s->head = at + len;
    *grain_at(s, s->end) = (kept){.disk = disk_offset, .at = at, .len = len};
    s->end++;
    pthread_mutex_unlock(&s->lock);
    return HF_OK;
}

static void forget_done(stream_source *s) {
    for (; s->first < s->end && grain_at(s, s->first)->done; s->first++)
        s->forgotten = grain_at(s, s->first)->disk + s->grain_bytes;
}

/* Forgets the grains in the ring that were never told of and lie before offset. */
static void skip_to(stream_source *s, int64_t offset) {
    pthread_mutex_lock(&s->lock);
    for (uint64_t n = find_behind(s, s->told); n < s->end && grain_at(s, n)->disk + s->grain_bytes <= offset; n++)
        grain_at(s, n)->done = true;
    forget_done(s);
    pthread_mutex_unlock(&s->lock);
}

/* Grains [from, to) that end before disk offset `read_to` have been read. */
static void release(stream_source *s, uint64_t from, uint64_t to, int64_t read_to) {
    pthread_mutex_lock(&s->lock);
    for (uint64_t n = from; n < to; n++) {
        int64_t end = grain_at(s, n)->disk + s->grain_bytes;
        if ((end < s->source.size_bytes ? end : s->source.size_bytes) <= read_to)
            grain_at(s, n)->done = true;
    }
    forget_done(s);
    pthread_cond_signal(&s->room);
    pthread_mutex_unlock(&s->lock);
}

/* ---- pulling ------------------------------------------------------------------------------------------ */
static hf_code pull(stream_source *s) {
    if (s->error.code != HF_OK || s->over)
        return s->error.code;
    size_t n = 0;
    hf_code rc = hf_stream_read(s->stream, s->piece, sizeof s->piece, &n, &s->error);
    if (rc == HF_OK && n > 0)
        rc = hf_vmdk_walk_feed(s->walk, s->piece, n, &s->error);
    else if (rc == HF_OK) {
        rc = hf_vmdk_walk_end(s->walk, NULL, &s->error);
        s->over = rc == HF_OK;
    }
    s->error.code = rc;
    return rc;
}

/* What is known of the run that begins at offset; false: more of the stream is needed to know. */
static bool known_extent(stream_source *s, int64_t offset, int64_t *ret_end, bool *ret_data) {
    pthread_mutex_lock(&s->lock);
    uint64_t n = find_behind(s, offset);
    bool known = n < s->end;
    if (known) {
        int64_t end = grain_at(s, n)->disk;
        *ret_data = end <= offset;
        for (; *ret_data && n < s->end && grain_at(s, n)->disk == end; n++)
            end += s->grain_bytes;
        *ret_end = end < s->source.size_bytes ? end : s->source.size_bytes;
    }
    pthread_mutex_unlock(&s->lock);
    if (!known && s->over) {
        *ret_data = false;
        *ret_end = s->source.size_bytes;
    }
    return known || s->over;
}

static hf_code stream_extent(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    stream_source *s = (stream_source *)source;
    hf_code rc = s->error.code;
    s->wanted = offset;
    if (offset > s->told)
        skip_to(s, offset);
    while (rc == HF_OK && !known_extent(s, offset, ret_end, ret_data))
        rc = pull(s);
    /* Whoever gets to the disk's end has seen the stream's: what is left are tables, which take no room. */
    while (rc == HF_OK && *ret_end == source->size_bytes && !s->over)
        rc = pull(s);
    if (rc == HF_OK && *ret_end > s->told)
        s->told = *ret_end;
    if (rc != HF_OK && reterr)
        *reterr = s->error;
    return rc;
}

/* ---- reading -------------------------------------------------------------------------------------------- */
/* Inflates what of grain g lies in [offset, offset + len) to its place in `to`. */
static hf_code read_grain(stream_source *s, hf_vmdk_lane *lane, const kept *g, uint8_t *to, size_t len, int64_t offset,
                          hf_err *reterr) {
    int64_t left = s->source.size_bytes - g->disk, grain_end = g->disk + s->grain_bytes;
    int64_t from = g->disk > offset ? g->disk : offset, stop = offset + (int64_t)len;
    if (stop > grain_end)
        stop = grain_end;
    hf_vmdk_packed packed = {.data = s->ring + g->at % s->ring_bytes,
                             .len = g->len,
                             .disk_offset = g->disk,
                             .grain_bytes = s->grain_bytes,
                             .need_bytes = left < s->grain_bytes ? (uint32_t)left : s->grain_bytes};
    return hf_vmdk_inflate(lane, &packed, to + (from - offset), (size_t)(from - g->disk), (size_t)(stop - from),
                           reterr);
}

static hf_code stream_read(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    stream_source *s = (stream_source *)source;
    hf_vmdk_lane *lane = hf_vmdk_lane_take(&s->lanes, reterr);
    if (!lane)
        return HF_E_NO_MEMORY;
    pthread_mutex_lock(&s->lock);
    uint64_t first = find_behind(s, offset), n = first;
    bool gone = offset < s->forgotten;
    pthread_mutex_unlock(&s->lock);
    hf_code rc =
        gone ? hf_fail(reterr, HF_E_INTERNAL, "disk offset %" PRId64 " of a stream was read before", offset) : HF_OK;
    int64_t at = offset, stop = offset + (int64_t)len;
    for (; rc == HF_OK && at < stop; n++) {
        pthread_mutex_lock(&s->lock);
        bool there = n < s->end && grain_at(s, n)->disk < stop;
        kept g = there ? *grain_at(s, n) : (kept){.disk = stop};
        pthread_mutex_unlock(&s->lock);
        if (g.disk > at)
            memset((uint8_t *)to + (at - offset), 0, (size_t)(g.disk - at));
        if (!there)
            break;
        rc = read_grain(s, lane, &g, to, len, offset, reterr);
        at = g.disk + s->grain_bytes;
    }
    release(s, first, n, rc == HF_OK ? stop : 0);
    hf_vmdk_lane_give(&s->lanes, lane);
    return rc;
}

static void stream_stop(hf_source *source) {
    stream_source *s = (stream_source *)source;
    pthread_mutex_lock(&s->lock);
    s->stopped = true;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
}

static void stream_close(hf_source *source) {
    stream_source *s = (stream_source *)source;
    hf_vmdk_walk_free(s->walk);
    hf_vmdk_lanes_done(&s->lanes);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->room);
    free(s->ring);
    free(s);
}

static const hf_source_class stream_class = {"vmdk stream", stream_extent, stream_read, stream_close};

hf_code hf_source_open_vmdk_stream(hf_stream *stream, size_t window_bytes, hf_source **ret, hf_err *reterr) {
    stream_source *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK stream's reader");
    s->source = (hf_source){.cls = &stream_class, .fd = -1, .charged = true, .stop = stream_stop};
    s->stream = stream;
    s->ring_bytes = window_bytes < WINDOW_MIN ? WINDOW_MIN : window_bytes;
    s->ring = hf_alloc(s->ring_bytes);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    hf_vmdk_lanes_init(&s->lanes, 0);
    hf_code rc =
        s->ring ? hf_vmdk_walk_new(keep, s, &s->walk, &s->error)
                : hf_fail(&s->error, HF_E_NO_MEMORY, "a window of %" PRIu64 " bytes on a VMDK stream", s->ring_bytes);
    while (rc == HF_OK && hf_vmdk_walk_capacity(s->walk) < 0)
        rc = pull(s);
    if (rc != HF_OK) {
        if (reterr)
            *reterr = s->error;
        stream_close(&s->source);
        return rc;
    }
    s->source.size_bytes = s->source.allocated_bytes = hf_vmdk_walk_capacity(s->walk);
    s->grain_bytes = (uint32_t)hf_vmdk_walk_grain_bytes(s->walk);
    *ret = &s->source;
    return HF_OK;
}
