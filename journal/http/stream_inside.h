/* Inside the event streams: a subscriber, and what fills its buffer. */
#pragma once
#include <uthash.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/stream.h"

enum { HF_STREAM_ARENA_BYTES = 4 << 20, HF_STREAM_PROGRESS_KEPT = 256 };
#define HF_STREAM_FLEET "*" /* no job's id */

typedef struct hf_stream_entry hf_stream_entry;
typedef struct hf_stream_ring hf_stream_ring;
typedef struct hf_subscriber {
    struct hf_subscriber *next, *prev; /* of the same job */
    hf_stream_entry *job;
    void (*fill)(struct hf_subscriber *b); /* puts what is new into out, in one read transaction */
    hf_streams *streams;
    struct MHD_Connection *connection;
    /* under the lock: */
    bool suspended, woken, ended;
    int64_t beat_ms;
    /* the server's thread only: */
    hf_position last;    /* sent so far; offset -1 none */
    int64_t progress_at; /* of the last progress sent */
    bool over, beat_due, begun;
    int64_t *ahead; /* of the fleet: the offset to send next, of each partition of job-events; owned */
    int32_t ahead_count;
    uint64_t progress_seen; /* of the fleet: news of progress up to this number were sent */
    bool in_ring;           /* of the fleet: it takes from the ring, from number ring_at on; else from the log */
    uint64_t ring_at;
    hf_buf out;
    size_t out_at;
} hf_subscriber;

struct hf_stream_entry { /* a job somebody listens to */
    UT_hash_handle hh;
    hf_subscriber *first;
    bool changed;         /* since the last wake */
    hf_position position; /* of the oldest change since then; offset -1: progress, which waits a moment for more */
    hf_position newest;
    int64_t ready_ms, woken_ms;
    char id[HF_ID_MAX_BYTES + 1];
};

struct hf_streams {
    hf_http *http;
    pthread_mutex_t lock; /* of all below; leaf: nothing is called under it but MHD_suspend/resume_connection */
    hf_stream_entry *jobs;
    uint32_t count;
    bool stopping;
    uint32_t changed; /* jobs with news */
    int64_t next_beat_ms;
    uint64_t news; /* how often the fleet's subscribers were woken for something new */
    hf_stream_ring *ring;
    /* jobs whose progress came lately, by number: what streams of the fleet tell of it */
    uint64_t progress_number;
    char progressed[HF_STREAM_PROGRESS_KEPT][HF_ID_MAX_BYTES + 1];
};

/* Appends one event; false, and nothing appended, when it does not fit. Takes over data. id may be NULL. */
bool hf_stream_put(hf_subscriber *b, const char *name, const char *id, json_t *data);
void hf_stream_fill_job(hf_subscriber *b);
void hf_stream_fill_fleet(hf_subscriber *b);
/* Reads on for b: news of progress, then the log from b->ahead to the end of the snapshot or until b has enough. What is rendered stays in
 * b->out, or goes into `ring` where that is given. True: the end was reached. `read` from hf_read_begin_all. */
bool hf_stream_read_fleet(hf_subscriber *b, hf_read *read, hf_stream_ring *ring);
/* b->ahead is behind what is committed in the snapshot. */
hf_code hf_stream_set_now(hf_subscriber *b, hf_read *read, hf_err *reterr);
bool hf_stream_note_ahead(hf_subscriber *b, int32_t partition, int64_t next);

/* ---- the ring (stream_ring.c): the fleet's newest events, rendered once for all who listen ----
 * Its reader walks the log as a subscriber does, whenever one of those who take from the ring looks for news; what it renders is kept, at most
 * some thousand events and megabytes. A subscriber that has read the log to its end takes from the ring from then on; one the ring has run away
 * from reads the log again, from its own place. Any thread; the lock is taken before that of the streams, and held across reads of the store. */
hf_stream_ring *hf_stream_ring_new(hf_streams *s); /* NULL without memory */
void hf_stream_ring_free(hf_stream_ring *ring);
/* Takes over what b->out has, and empties it. */
void hf_stream_ring_take(hf_stream_ring *ring, hf_position position, hf_buf *out);
/* b begins with what comes next. False: it must begin by itself. */
bool hf_stream_ring_begin(hf_stream_ring *ring, hf_subscriber *b);
/* b has read the log to its end: reads the little that came since, and takes from the ring then. */
void hf_stream_ring_join(hf_stream_ring *ring, hf_subscriber *b);
/* What is new in the ring for b, into b->out. False: the ring has run away, b has left it. */
bool hf_stream_ring_fill(hf_stream_ring *ring, hf_subscriber *b);
void hf_stream_ring_leave(hf_stream_ring *ring, hf_subscriber *b);

/* Where the fleet's stream of b begins: behind the positions of a Last-Event-ID, else at what is committed now. INVALID for an id that is none. */
hf_code hf_stream_begin_fleet(hf_subscriber *b, const char *last_event_id, hf_err *reterr);
