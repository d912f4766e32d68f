#include "journal/http/stream.h"

#include <stdio.h>

#include "journal/http/stream_inside.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { STREAM_BLOCK = 4096 }; /* libmicrohttpd keeps a block for each stream, for as long as it is open */

hf_code hf_streams_new(hf_http *http, hf_streams **ret, hf_err *reterr) {
    hf_streams *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "event streams");
    s->http = http;
    s->ring = hf_stream_ring_new(s);
    if (!s->ring) {
        free(s);
        return hf_fail(reterr, HF_E_NO_MEMORY, "event streams");
    }
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return HF_OK;
}

void hf_streams_free(hf_streams *s) {
    if (!s)
        return;
    hf_stream_ring_free(s->ring);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static ssize_t on_read(void *cls, uint64_t pos, char *to, size_t max) {
    hf_subscriber *b = cls;
    (void)pos;
    if (b->out_at == b->out.len) {
        bool over = b->over;
        pthread_mutex_lock(&b->streams->lock);
        bool ended = b->ended;
        b->woken = false;
        pthread_mutex_unlock(&b->streams->lock);
        if (over || ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        b->fill(b);
    }
    if (b->out_at ==
        b->out
            .len) { /* nothing new: sleep until woken, unless that came in between; thousands sleep, so without a buffer */
        hf_buf_done(&b->out);
        hf_buf_init(&b->out, HF_STREAM_BUFFER);
        b->out_at = 0;
        pthread_mutex_lock(&b->streams->lock);
        if (!b->woken && !b->ended) {
            b->suspended = true;
            MHD_suspend_connection(b->connection);
        }
        pthread_mutex_unlock(&b->streams->lock);
        return 0;
    }
    size_t n = b->out.len - b->out_at;
    n = n < max ? n : max;
    memcpy(to, b->out.data + b->out_at, n);
    b->out_at += n;
    return (ssize_t)n;
}

/* ---- coming and going -------------------------------------------------------------------------------------- */
static void free_subscriber(hf_subscriber *b) {
    if (b->in_ring)
        hf_stream_ring_leave(b->streams->ring, b);
    hf_buf_done(&b->out);
    free(b->ahead);
    free(b);
}

static void leave(void *cls) {
    hf_subscriber *b = cls;
    hf_streams *s = b->streams;
    pthread_mutex_lock(&s->lock);
    if (b->prev)
        b->prev->next = b->next;
    else
        b->job->first = b->next;
    if (b->next)
        b->next->prev = b->prev;
    if (!b->job->first) {
        s->changed -= b->job->changed;
        HASH_DEL(s->jobs, b->job);
        free(b->job);
    }
    s->count--;
    pthread_mutex_unlock(&s->lock);
    free_subscriber(b);
}

static hf_stream_entry *entry_of(hf_streams *s, hf_str id) {
    hf_stream_entry *e = NULL;
    HASH_FIND(hh, s->jobs, id.p, id.len, e);
    if (e)
        return e;
    e = hf_alloc(sizeof *e);
    if (!e)
        return NULL;
    memcpy(e->id, id.p, id.len);
    HASH_ADD_KEYPTR(hh, s->jobs, e->id, id.len, e);
    return e;
}

static bool join(hf_streams *s, hf_subscriber *b, hf_str id) {
    pthread_mutex_lock(&s->lock);
    hf_stream_entry *e = s->count < HF_STREAMS_MAX && !s->stopping ? entry_of(s, id) : NULL;
    if (e) {
        b->job = e;
        b->next = e->first;
        if (e->first)
            e->first->prev = b;
        e->first = b;
        b->beat_ms = hf_mono_ms(s->http->clock) + HF_STREAM_BEAT_MS;
        s->count++;
    }
    pthread_mutex_unlock(&s->lock);
    return e != NULL;
}

static hf_position position_of(const char *text) {
    int partition;
    long long offset;
    char behind;
    if (text && sscanf(text, "%d-%lld%c", &partition, &offset, &behind) == 2 && partition >= 0 && offset >= 0)
        return (hf_position){partition, offset};
    return (hf_position){0, -1};
}

static hf_subscriber *new_subscriber(hf_streams *s, hf_request *r) {
    hf_subscriber *b = hf_alloc(sizeof *b);
    if (!b) {
        hf_reply_error(r, 503, "no memory for another stream");
        return NULL;
    }
    b->streams = s;
    b->connection = r->connection;
    hf_buf_init(&b->out, HF_STREAM_BUFFER);
    return b;
}

/* Takes b over. */
static void serve(hf_streams *s, hf_request *r, hf_subscriber *b, hf_str entry) {
    if (!join(s, b, entry)) {
        free_subscriber(b);
        hf_reply_error(r, 503, "%d event streams are open already; poll instead", HF_STREAMS_MAX);
        return;
    }
    r->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, on_read, b, leave);
    if (!r->stream) {
        leave(b);
        hf_reply_error(r, 503, "no memory for another stream");
        return;
    }
    r->status = 200;
    r->content_type = "text/event-stream";
}

void hf_streams_open(hf_streams *s, hf_request *r, hf_str job_id, const char *last_event_id) {
    hf_subscriber *b = new_subscriber(s, r);
    if (!b)
        return;
    b->fill = hf_stream_fill_job;
    b->last = position_of(last_event_id);
    serve(s, r, b, job_id);
}

void hf_streams_open_fleet(hf_streams *s, hf_request *r, const char *last_event_id) {
    hf_err err;
    hf_subscriber *b = new_subscriber(s, r);
    if (!b)
        return;
    b->fill = hf_stream_fill_fleet;
    if ((!last_event_id && hf_stream_ring_begin(s->ring, b)) || hf_stream_begin_fleet(b, last_event_id, &err) == HF_OK)
        serve(s, r, b, HF_STR(HF_STREAM_FLEET));
    else {
        free_subscriber(b);
        hf_reply_err(r, &err);
    }
}

/* ---- waking --------------------------------------------------------------------------------------------------- */
static void mark(hf_streams *s, hf_str entry, hf_position position, int64_t mono_ms) {
    hf_stream_entry *e = NULL;
    if (s->jobs)
        HASH_FIND(hh, s->jobs, entry.p, entry.len, e);
    if (e && !e->changed)
        s->changed++;
    if (!e)
        return;
    if (!e->changed || (e->position.offset < 0 && position.offset >= 0)) {
        e->position = position;
        e->ready_ms = mono_ms + HF_STREAM_GATHER_MS;
    }
    if (!e->changed || position.offset >= 0)
        e->newest = position;
    e->changed = true;
}

void hf_streams_changed(hf_streams *s, hf_str job_id, hf_position position, int64_t mono_ms) {
    pthread_mutex_lock(&s->lock);
    if (position.offset < 0 && job_id.len <= HF_ID_MAX_BYTES && s->count > 0) {
        char *kept = s->progressed[s->progress_number++ % HF_STREAM_PROGRESS_KEPT];
        memcpy(kept, job_id.p, job_id.len);
        kept[job_id.len] = 0;
    }
    mark(s, job_id, position, mono_ms);
    mark(s, HF_STR(HF_STREAM_FLEET), position, mono_ms);
    pthread_mutex_unlock(&s->lock);
}

static void wake(hf_subscriber *b) {
    b->woken = true;
    if (!b->suspended)
        return;
    b->suspended = false;
    MHD_resume_connection(b->connection);
}

static bool is_committed(hf_streams *s, hf_position at) {
    return hf_replica_committed_offset(hf_follow_replica(s->http->options.follow), at.partition) > at.offset;
}

/* The fleet's are woken now and then, with what came in between: while jobs flow, something always did. */
static bool has_news(hf_streams *s, const hf_stream_entry *e, int64_t mono_ms) {
    if (!e->changed || (*e->id == *HF_STREAM_FLEET && mono_ms < e->woken_ms + HF_STREAM_GATHER_MS / 2))
        return false;
    return e->position.offset < 0 ? mono_ms >= e->ready_ms : is_committed(s, e->position);
}

/* Its subscribers look now; what is not committed yet they find when it is. */
static void settle(hf_streams *s, hf_stream_entry *e, int64_t mono_ms) {
    e->woken_ms = mono_ms;
    e->changed = e->newest.offset >= 0 && !is_committed(s, e->newest);
    e->position = e->newest;
    s->changed -= !e->changed;
    s->news += *e->id == *HF_STREAM_FLEET;
}

static void wake_job(hf_streams *s, hf_stream_entry *e, int64_t mono_ms) {
    bool news = has_news(s, e, mono_ms);
    if (news)
        settle(s, e, mono_ms);
    for (hf_subscriber *b = e->first; b; b = b->next) {
        bool beat = mono_ms >= b->beat_ms;
        if (beat && b->suspended)
            b->beat_due = true; /* nobody reads it while the connection is suspended */
        if (beat)
            b->beat_ms = mono_ms + HF_STREAM_BEAT_MS;
        if (news || beat)
            wake(b);
        if (b->beat_ms < s->next_beat_ms)
            s->next_beat_ms = b->beat_ms;
    }
}

int hf_streams_wake(hf_streams *s, int64_t mono_ms) {
    int next = -1;
    pthread_mutex_lock(&s->lock);
    if (s->jobs && (s->changed || mono_ms >= s->next_beat_ms)) {
        s->next_beat_ms = mono_ms + HF_STREAM_BEAT_MS;
        hf_stream_entry *e, *after;
        HASH_ITER(hh, s->jobs, e, after)
            wake_job(s, e, mono_ms);
    }
    if (s->jobs)
        next = s->changed ? 20 : s->next_beat_ms > mono_ms ? (int)(s->next_beat_ms - mono_ms) : 0;
    pthread_mutex_unlock(&s->lock);
    return next;
}

void hf_streams_stop(hf_streams *s) {
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    hf_stream_entry *e, *after;
    HASH_ITER(hh, s->jobs, e, after)
        for (hf_subscriber *b = e->first; b; b = b->next) {
            b->ended = true;
            wake(b);
        }
    pthread_mutex_unlock(&s->lock);
}
