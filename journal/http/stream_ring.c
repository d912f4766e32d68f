#include "journal/http/stream_inside.h"
#include "schemas/base/mem.h"

enum { RING_EVENTS = 4096, RING_BYTES = 2 << 20, COPY_BYTES = 32 * 1024, ROUNDS_MAX = 4 };

typedef struct rendered {
    char *text;
    uint32_t len;
    hf_position position; /* offset -1: progress */
} rendered;

struct hf_stream_ring {
    hf_streams *streams;
    pthread_mutex_t lock;
    hf_subscriber reader; /* as far as is rendered; no connection */
    uint64_t news;        /* of the streams: seen */
    uint32_t listeners;
    uint64_t first, next; /* numbers of those kept */
    size_t bytes;
    rendered of[RING_EVENTS];
};

hf_stream_ring *hf_stream_ring_new(hf_streams *s) {
    hf_stream_ring *ring = hf_alloc(sizeof *ring);
    if (!ring)
        return NULL;
    ring->streams = ring->reader.streams = s;
    hf_buf_init(&ring->reader.out, HF_STREAM_BUFFER);
    pthread_mutex_init(&ring->lock, NULL);
    return ring;
}

static void drop_first(hf_stream_ring *ring) {
    rendered *r = &ring->of[ring->first++ % RING_EVENTS];
    ring->bytes -= r->len;
    free(r->text);
    *r = (rendered){0};
}

void hf_stream_ring_free(hf_stream_ring *ring) {
    if (!ring)
        return;
    while (ring->first < ring->next)
        drop_first(ring);
    hf_buf_done(&ring->reader.out);
    free(ring->reader.ahead);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
}

void hf_stream_ring_take(hf_stream_ring *ring, hf_position position, hf_buf *out) {
    char *text = hf_alloc(out->len);
    if (ring->next - ring->first == RING_EVENTS)
        drop_first(ring);
    rendered *r = &ring->of[ring->next++ % RING_EVENTS];
    if (!text) { /* nobody may miss it: all read it in the log */
        *r = (rendered){.position = {0, -1}};
        while (ring->first < ring->next)
            drop_first(ring);
        ring->first = ++ring->next;
    } else {
        memcpy(text, out->data, out->len);
        *r = (rendered){text, (uint32_t)out->len, position};
        ring->bytes += r->len;
    }
    while (ring->bytes > RING_BYTES)
        drop_first(ring);
    hf_buf_clear(out);
}

/* ---- under the lock ---------------------------------------------------------------------------------------------- */
/* Nobody listens: begin anew with what is committed now. */
static bool restart(hf_stream_ring *ring, hf_read *read) {
    hf_err err;
    while (ring->first < ring->next)
        drop_first(ring);
    free(ring->reader.ahead);
    ring->reader.ahead = NULL;
    ring->reader.ahead_count = 0;
    pthread_mutex_lock(&ring->streams->lock); /* its news are looked for again: the snapshot may be older */
    ring->reader.progress_seen = ring->streams->progress_number;
    pthread_mutex_unlock(&ring->streams->lock);
    return hf_stream_set_now(&ring->reader, read, &err) == HF_OK;
}

/* True: everything in the snapshot is rendered. */
static bool extend(hf_stream_ring *ring, hf_read *read) {
    bool end = false;
    for (int i = 0; i < ROUNDS_MAX && !end; i++)
        end = hf_stream_read_fleet(&ring->reader, read, ring);
    return end;
}

static bool to_now(hf_stream_ring *ring, hf_read *read) {
    return ring->listeners ? extend(ring, read) : restart(ring, read);
}

static void enter(hf_stream_ring *ring, hf_subscriber *b) {
    b->in_ring = true;
    b->ring_at = ring->next;
    b->progress_seen = ring->reader.progress_seen;
    ring->listeners++;
}

static void leave(hf_stream_ring *ring, hf_subscriber *b) {
    ring->listeners -= b->in_ring;
    b->in_ring = false;
}

/* News since the ring was last looked at, if the loop told of any. */
static void look_for_news(hf_stream_ring *ring) {
    hf_read *read = NULL;
    hf_err err;
    pthread_mutex_lock(&ring->streams->lock);
    uint64_t news = ring->streams->news;
    pthread_mutex_unlock(&ring->streams->lock);
    if (news == ring->news)
        return;
    bool end = false;
    uint64_t before = ring->next;
    if (hf_read_begin_all(hf_http_store(ring->streams->http), &read, &err) == HF_OK)
        do /* until there is something to wake for: who gets nothing sleeps */
            end = extend(ring, read);
        while (!end && ring->next == before);
    if (end)
        ring->news = news;
    hf_read_end(read);
}

/* ---- for subscribers --------------------------------------------------------------------------------------------- */
bool hf_stream_ring_begin(hf_stream_ring *ring, hf_subscriber *b) {
    hf_read *read = NULL;
    hf_err err;
    pthread_mutex_lock(&ring->lock);
    bool ok = hf_read_begin_all(hf_http_store(ring->streams->http), &read, &err) == HF_OK && to_now(ring, read);
    int32_t count = ring->reader.ahead_count;
    for (int32_t p = 0; ok && p < count; p++)
        ok = hf_stream_note_ahead(b, p, ring->reader.ahead[p]);
    if (ok)
        enter(ring, b);
    hf_read_end(read);
    pthread_mutex_unlock(&ring->lock);
    return ok;
}

void hf_stream_ring_join(hf_stream_ring *ring, hf_subscriber *b) {
    hf_read *read = NULL;
    hf_err err;
    pthread_mutex_lock(&ring->lock);
    if (hf_read_begin_all(hf_http_store(ring->streams->http), &read, &err) == HF_OK && to_now(ring, read) &&
        hf_stream_read_fleet(b, read, NULL))
        enter(ring, b);
    hf_read_end(read);
    pthread_mutex_unlock(&ring->lock);
}

bool hf_stream_ring_fill(hf_stream_ring *ring, hf_subscriber *b) {
    pthread_mutex_lock(&ring->lock);
    look_for_news(ring);
    bool there = b->ring_at >= ring->first;
    for (; there && b->ring_at < ring->next && b->out.len < COPY_BYTES; b->ring_at++) {
        const rendered *r = &ring->of[b->ring_at % RING_EVENTS];
        if (b->out.len + r->len > HF_STREAM_BUFFER || !hf_buf_put(&b->out, r->text, r->len))
            break;
        if (r->position.offset >= 0)
            hf_stream_note_ahead(b, r->position.partition, r->position.offset + 1);
    }
    if (there)
        b->progress_seen = ring->reader.progress_seen;
    else
        leave(ring, b);
    pthread_mutex_unlock(&ring->lock);
    return there;
}

void hf_stream_ring_leave(hf_stream_ring *ring, hf_subscriber *b) {
    pthread_mutex_lock(&ring->lock);
    leave(ring, b);
    pthread_mutex_unlock(&ring->lock);
}
