/* What a stream of the whole fleet sends: the log of job-events as it is committed, partition after partition, and the newest progress of the
 * jobs that reported some. */
#include <stdio.h>

#include "journal/http/stream_inside.h"
#include "schemas/base/mem.h"
#include "schemas/event/json.h"

enum { PARTITIONS_MAX = 1024, ID_MAX = 24 * PARTITIONS_MAX, TURN_MAX = 2000 };

/* ---- places -------------------------------------------------------------------------------------------------- */
bool hf_stream_note_ahead(hf_subscriber *b, int32_t partition, int64_t next) {
    if (partition >= b->ahead_count) {
        int64_t *more = hf_realloc(b->ahead, ((size_t)partition + 1) * sizeof *more);
        if (!more)
            return false;
        for (int32_t p = b->ahead_count; p <= partition; p++)
            more[p] = 0;
        b->ahead = more;
        b->ahead_count = partition + 1;
    }
    b->ahead[partition] = next;
    return true;
}

static bool note_next(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    return topic != HF_TOPIC_JOB_EVENTS || partition >= PARTITIONS_MAX || hf_stream_note_ahead(ctx, partition, next);
}

hf_code hf_stream_set_now(hf_subscriber *b, hf_read *read, hf_err *reterr) {
    return hf_query_offsets(read, &b->streams->http->tables, note_next, b, reterr);
}

/* "0-17,1-4": those were the last sent. A partition it does not name was not known when it was written: nothing of it was sent. */
static hf_code take_id(hf_subscriber *b, const char *id, hf_err *reterr) {
    int64_t *from = hf_alloc(((size_t)b->ahead_count + 1) * sizeof *from);
    if (!from)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the places of a stream");
    for (const char *at = id; *at;) {
        int partition, used = 0;
        long long offset;
        if (sscanf(at, "%d-%lld%n", &partition, &offset, &used) != 2 || used == 0 || (at[used] && at[used] != ',') ||
            *at < '0' || *at > '9' || strspn(at, "0123456789-,") != strlen(at) || (at[used] && !at[used + 1]) ||
            partition < 0 || offset < -1 ||
            (offset >= 0 && (partition >= b->ahead_count || offset >= b->ahead[partition]))) {
            free(from);
            return hf_fail(reterr, HF_E_INVALID, "Last-Event-ID is none that this stream sent");
        }
        if (partition < b->ahead_count)
            from[partition] = offset + 1;
        at += used + (at[used] == ',');
    }
    free(b->ahead);
    b->ahead = from;
    return HF_OK;
}

hf_code hf_stream_begin_fleet(hf_subscriber *b, const char *last_event_id, hf_err *reterr) {
    hf_http *http = b->streams->http;
    hf_read *read = NULL;
    hf_code code = hf_read_begin(hf_http_store(http), &read, reterr);
    if (code == HF_OK)
        code = hf_stream_set_now(b, read, reterr);
    hf_read_end(read);
    pthread_mutex_lock(&b->streams->lock);
    b->progress_seen = b->streams->progress_number;
    pthread_mutex_unlock(&b->streams->lock);
    return code == HF_OK && last_event_id ? take_id(b, last_event_id, reterr) : code;
}

/* Never empty: a client would come back without it, and miss what happened meanwhile. */
static void write_id(const hf_subscriber *b, char *id, size_t room) {
    size_t used = 0;
    snprintf(id, room, "0--1");
    for (int32_t p = 0; p < b->ahead_count && used + 32 < room; p++)
        used += (size_t)snprintf(id + used, room - used, "%s%d-%lld", p ? "," : "", (int)p, (long long)b->ahead[p] - 1);
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */
typedef struct reading {
    hf_subscriber *b;
    hf_stream_ring *ring; /* what is rendered goes there; NULL: it stays with b */
    hf_read *read;
    hf_arena arena;
    char *id;
    int32_t partition;
    size_t count;
    bool full;
} reading;

static json_t *event_of(reading *g, const hf_log_record *source) {
    hf_http *http = g->b->streams->http;
    hf_record record;
    hf_query_event event = {.row = {.position = {source->partition, source->offset}}, .source = source};
    hf_err err;
    hf_arena_reset(&g->arena);
    if (!source->value.p ||
        hf_decode(http->options.codec, HF_SCHEMA_RECORD, source->value, &g->arena, &record, &err) != HF_OK ||
        hf_lookup_verdict(http, g->read, record.job_id, event.row.position, &event.row.verdict, &err) != HF_OK)
        return NULL; /* unreadable, or of no job: it changed nothing */
    event.record = &record;
    json_t *o = hf_shape_event(&event);
    if (o)
        json_object_set_new(o, "job_id", json_stringn(record.job_id.p, record.job_id.len));
    return o;
}

/* An event that is larger than a subscriber may have is told without what it changed: GET /jobs/{id}/events has that. */
static bool put_event(reading *g, json_t *event) {
    bool alone = g->b->out.len == 0;
    write_id(g->b, g->id, ID_MAX);
    if (!alone)
        return hf_stream_put(g->b, "transition", g->id, event);
    if (hf_stream_put(g->b, "transition", g->id, json_incref(event))) {
        json_decref(event);
        return true;
    }
    json_object_del(event, "transitions");
    json_object_set_new(event, "shortened", json_true());
    return hf_stream_put(g->b, "transition", g->id, event);
}

static bool put_record(void *ctx, const hf_log_record *source) {
    reading *g = ctx;
    int64_t was = g->b->ahead[g->partition];
    json_t *event = event_of(g, source);
    g->b->ahead[g->partition] = source->offset + 1;
    if (event && !put_event(g, event)) {
        g->b->ahead[g->partition] = was; /* it comes with the next fill */
        g->full = true;
        return false;
    }
    if (event && g->ring)
        hf_stream_ring_take(g->ring, (hf_position){source->partition, source->offset}, &g->b->out);
    g->full = g->b->out.len >= HF_STREAM_BUFFER / 2 || ++g->count >= TURN_MAX;
    return !g->full;
}

static bool add_partition(void *ctx, hf_topic topic, int32_t partition, int64_t next) {
    hf_subscriber *b = ctx;
    if (topic == HF_TOPIC_JOB_EVENTS && partition >= b->ahead_count) { /* partitions were added to the topic */
        note_next(b, topic, partition, next);
        if (partition < b->ahead_count)
            b->ahead[partition] = 0;
    }
    return true;
}

static bool put_log(hf_subscriber *b, hf_read *read, hf_stream_ring *ring) {
    hf_http *http = b->streams->http;
    hf_err err;
    reading g = {.b = b, .ring = ring, .read = read, .id = hf_alloc(ID_MAX)};
    bool ok = g.id != NULL;
    hf_arena_init(&g.arena, HF_STREAM_ARENA_BYTES);
    if (g.id)
        hf_query_offsets(read, &http->tables, add_partition, b, &err);
    for (g.partition = 0; g.id && g.partition < b->ahead_count && !g.full; g.partition++)
        hf_query_log_each(hf_http_store(http), read, HF_TOPIC_JOB_EVENTS, g.partition, b->ahead[g.partition],
                          put_record, &g, &err);
    hf_arena_done(&g.arena);
    free(g.id);
    return ok && !g.full;
}

/* ---- progress ------------------------------------------------------------------------------------------------------ */
/* The jobs that reported since the last fill, each once, newest first; at most what is kept. */
static int news_of(hf_subscriber *b, char (*jobs)[HF_ID_MAX_BYTES + 1]) {
    hf_streams *s = b->streams;
    int count = 0;
    pthread_mutex_lock(&s->lock);
    uint64_t last = s->progress_number, first = b->progress_seen;
    if (last - first > HF_STREAM_PROGRESS_KEPT)
        first = last - HF_STREAM_PROGRESS_KEPT;
    for (uint64_t n = last; n > first; n--) {
        const char *id = s->progressed[(n - 1) % HF_STREAM_PROGRESS_KEPT];
        int i = 0;
        while (i < count && strcmp(jobs[i], id) != 0)
            i++;
        if (i == count)
            memcpy(jobs[count++], id, sizeof jobs[0]);
    }
    b->progress_seen = last;
    pthread_mutex_unlock(&s->lock);
    return count;
}

static void put_progress(hf_subscriber *b, hf_read *read, hf_stream_ring *ring) {
    hf_http *http = b->streams->http;
    char(*jobs)[HF_ID_MAX_BYTES + 1] = hf_alloc(HF_STREAM_PROGRESS_KEPT * sizeof *jobs);
    hf_arena arena;
    int count = jobs ? news_of(b, jobs) : 0;
    hf_arena_init(&arena, HF_STREAM_ARENA_BYTES);
    for (int i = 0; i < count && b->out.len < HF_STREAM_BUFFER / 2; i++) {
        hf_job named = {.id = hf_str_of(jobs[i])};
        hf_progress p;
        hf_err err;
        hf_arena_reset(&arena);
        if (hf_lookup_progress(http, read, &named, &arena, &p, &err) == HF_OK &&
            hf_stream_put(b, "progress", NULL, hf_json_of(&HF_TYPE_PROGRESS, &p, 0)) && ring)
            hf_stream_ring_take(ring, (hf_position){0, -1}, &b->out);
    }
    hf_arena_done(&arena);
    free(jobs);
}

/* Says where the stream begins, so that a client cut off before its first event resumes there; and after how long to come back. */
static void put_begin(hf_subscriber *b) {
    char *id = hf_alloc(ID_MAX);
    if (id) {
        write_id(b, id, ID_MAX);
        hf_buf_puts(&b->out, "retry: 1000\n");
        b->begun = hf_stream_put(b, "begin", id, json_object());
    }
    free(id);
}

bool hf_stream_read_fleet(hf_subscriber *b, hf_read *read, hf_stream_ring *ring) {
    put_progress(b, read, ring);
    return put_log(b, read, ring);
}

static void fill_from_log(hf_subscriber *b) {
    hf_read *read = NULL;
    hf_err err;
    bool end =
        hf_read_begin_all(hf_http_store(b->streams->http), &read, &err) == HF_OK && hf_stream_read_fleet(b, read, NULL);
    hf_read_end(read);
    if (end)
        hf_stream_ring_join(b->streams->ring, b);
}

void hf_stream_fill_fleet(hf_subscriber *b) {
    hf_buf_clear(&b->out);
    b->out_at = 0;
    if (!b->begun)
        put_begin(b);
    if (!b->in_ring || !hf_stream_ring_fill(b->streams->ring, b))
        fill_from_log(b);
    if (b->out.len == 0 && b->beat_due)
        hf_buf_puts(&b->out, ": still here\n\n");
    b->beat_due = false;
}
