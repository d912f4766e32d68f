#include "journal/http/stream.h"

#include <stdio.h>
#include <uthash.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { ARENA_BYTES = 4 << 20 };

typedef struct job_entry job_entry;
typedef struct subscriber {
    struct subscriber *next, *prev; /* of the same job */
    job_entry *job;
    hf_streams *streams;
    struct MHD_Connection *connection;
    /* under the lock: */
    bool suspended, woken, ended;
    int64_t beat_ms;
    /* the server's thread only: */
    hf_position last;    /* sent so far; offset -1 none */
    int64_t progress_at; /* of the last progress sent */
    bool over, beat_due;
    hf_buf out;
    size_t out_at;
} subscriber;

struct job_entry { /* a job somebody listens to */
    UT_hash_handle hh;
    subscriber *first;
    bool changed;         /* since the last wake */
    hf_position position; /* of the newest change; offset -1: progress, which waits a moment for more */
    int64_t ready_ms;
    char id[HF_ID_MAX_BYTES + 1];
};

struct hf_streams {
    hf_http *http;
    pthread_mutex_t lock; /* of all below; leaf: nothing is called under it but MHD_suspend/resume_connection */
    job_entry *jobs;
    uint32_t count;
    bool stopping;
    uint32_t changed; /* jobs with news */
    int64_t next_beat_ms;
};

hf_code hf_streams_new(hf_http *http, hf_streams **ret, hf_err *reterr) {
    hf_streams *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "event streams");
    s->http = http;
    pthread_mutex_init(&s->lock, NULL);
    *ret = s;
    return HF_OK;
}

void hf_streams_free(hf_streams *s) {
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- what is sent ------------------------------------------------------------------------------------------ */
static int append(const char *bytes, size_t len, void *ctx) { return hf_buf_put(ctx, bytes, len) ? 0 : -1; }

static bool put_event(subscriber *b, const char *name, const hf_position *id, json_t *data) {
    size_t before = b->out.len;
    bool ok = data && hf_buf_printf(&b->out, "event: %s\n", name);
    if (ok && id)
        ok = hf_buf_printf(&b->out, "id: %d-%lld\n", id->partition, (long long)id->offset);
    ok = ok && hf_buf_puts(&b->out, "data: ") && json_dump_callback(data, append, &b->out, JSON_COMPACT) == 0 &&
         hf_buf_puts(&b->out, "\n\n");
    json_decref(data);
    if (!ok) { /* it did not fit: it comes with the next fill */
        b->out.len = before;
        b->out.failed = false;
    }
    return ok;
}

static bool put_row(void *ctx, const hf_query_event *event) {
    subscriber *b = ctx;
    if (!put_event(b, "transition", &event->row.position, hf_shape_event(event)) && b->out.len > 0)
        return false;
    b->last = event->row.position;
    return b->out.len < HF_STREAM_BUFFER / 2;
}

static void put_progress(subscriber *b, hf_read *read, const hf_job *job, hf_arena *arena) {
    hf_progress p;
    hf_err err;
    if (hf_lookup_progress(b->streams->http, read, job, arena, &p, &err) != HF_OK || p.at <= b->progress_at)
        return;
    if (put_event(b, "progress", NULL, hf_json_of(&HF_TYPE_PROGRESS, &p, 0)))
        b->progress_at = p.at;
}

/* Puts what is new into b->out, in one read transaction. */
static void fill(subscriber *b) {
    hf_http *http = b->streams->http;
    hf_read *read = NULL;
    hf_arena arena;
    hf_job job;
    hf_err err;
    hf_buf_clear(&b->out);
    b->out_at = 0;
    hf_arena_init(&arena, ARENA_BYTES);
    hf_str id = hf_str_of(b->job->id);
    if (hf_read_begin_all(hf_http_store(http), &read, &err) == HF_OK &&
        hf_lookup_job(http, read, id, &arena, &job, &err) == HF_OK) {
        put_progress(b, read, &job, &arena);
        hf_lookup_events(http, read, id, b->last, SIZE_MAX, put_row, b, &err);
        if (hf_state_terminal((hf_state)job.state) && b->out.len == 0 && !b->over) {
            put_event(b, "end", NULL,
                      json_pack("{s:s,s:s}", "job_id", b->job->id, "state", hf_state_name((hf_state)job.state)));
            b->over = true;
        }
    } else if (!b->over) { /* deleted meanwhile, or the journal is stopping */
        put_event(b, "end", NULL, json_pack("{s:s}", "job_id", b->job->id));
        b->over = true;
    }
    hf_read_end(read);
    hf_arena_done(&arena);
    if (b->out.len == 0 && b->beat_due)
        hf_buf_puts(&b->out, ": still here\n\n");
    b->beat_due = false;
}

static ssize_t on_read(void *cls, uint64_t pos, char *to, size_t max) {
    subscriber *b = cls;
    (void)pos;
    if (b->out_at == b->out.len) {
        bool over = b->over;
        pthread_mutex_lock(&b->streams->lock);
        bool ended = b->ended;
        b->woken = false;
        pthread_mutex_unlock(&b->streams->lock);
        if (over || ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        fill(b);
    }
    if (b->out_at == b->out.len) { /* nothing new: sleep until woken, unless that came in between */
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
static void leave(void *cls) {
    subscriber *b = cls;
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
    hf_buf_done(&b->out);
    free(b);
}

static job_entry *entry_of(hf_streams *s, hf_str id) {
    job_entry *e = NULL;
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

static bool join(hf_streams *s, subscriber *b, hf_str id) {
    pthread_mutex_lock(&s->lock);
    job_entry *e = s->count < HF_STREAMS_MAX && !s->stopping ? entry_of(s, id) : NULL;
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

void hf_streams_open(hf_streams *s, hf_request *r, hf_str job_id, const char *last_event_id) {
    subscriber *b = hf_alloc(sizeof *b);
    if (!b) {
        hf_reply_error(r, 503, "no memory for another stream");
        return;
    }
    b->streams = s;
    b->connection = r->connection;
    b->last = position_of(last_event_id);
    hf_buf_init(&b->out, HF_STREAM_BUFFER);
    if (!join(s, b, job_id)) {
        free(b);
        hf_reply_error(r, 503, "%d event streams are open already; poll /jobs/progress/{id} instead", HF_STREAMS_MAX);
        return;
    }
    r->stream = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, on_read, b, leave);
    if (!r->stream) {
        leave(b);
        hf_reply_error(r, 503, "no memory for another stream");
        return;
    }
    r->status = 200;
    r->content_type = "text/event-stream";
}

/* ---- waking --------------------------------------------------------------------------------------------------- */
void hf_streams_changed(hf_streams *s, hf_str job_id, hf_position position, int64_t mono_ms) {
    pthread_mutex_lock(&s->lock);
    job_entry *e = NULL;
    if (s->jobs)
        HASH_FIND(hh, s->jobs, job_id.p, job_id.len, e);
    if (e && !e->changed)
        s->changed++;
    if (e && (!e->changed || position.offset >= 0)) {
        e->changed = true;
        e->position = position;
        e->ready_ms = mono_ms + HF_STREAM_GATHER_MS;
    }
    pthread_mutex_unlock(&s->lock);
}

static void wake(subscriber *b) {
    b->woken = true;
    if (!b->suspended)
        return;
    b->suspended = false;
    MHD_resume_connection(b->connection);
}

static bool has_news(hf_streams *s, const job_entry *e, int64_t mono_ms) {
    if (!e->changed || e->position.offset < 0)
        return e->changed && mono_ms >= e->ready_ms;
    hf_replica *replica = hf_follow_replica(s->http->options.follow);
    return hf_replica_committed_offset(replica, e->position.partition) > e->position.offset;
}

static void wake_job(hf_streams *s, job_entry *e, int64_t mono_ms) {
    bool news = has_news(s, e, mono_ms);
    for (subscriber *b = e->first; b; b = b->next) {
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
    if (news) {
        e->changed = false;
        s->changed--;
    }
}

int hf_streams_wake(hf_streams *s, int64_t mono_ms) {
    int next = -1;
    pthread_mutex_lock(&s->lock);
    if (s->jobs && (s->changed || mono_ms >= s->next_beat_ms)) {
        s->next_beat_ms = mono_ms + HF_STREAM_BEAT_MS;
        job_entry *e, *after;
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
    job_entry *e, *after;
    HASH_ITER(hh, s->jobs, e, after)
        for (subscriber *b = e->first; b; b = b->next) {
            b->ended = true;
            wake(b);
        }
    pthread_mutex_unlock(&s->lock);
}
