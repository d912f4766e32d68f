/* Inside the event streams: a subscriber, and what fills its buffer. */
#pragma once
#include <uthash.h>

#include "journal/http/inside.h"
#include "journal/http/lookup.h"
#include "journal/http/stream.h"

enum { HF_STREAM_ARENA_BYTES = 4 << 20, HF_STREAM_PROGRESS_KEPT = 256 };
#define HF_STREAM_FLEET "*" /* no job's id */

typedef struct hf_stream_entry hf_stream_entry;
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
    hf_buf out;
    size_t out_at;
} hf_subscriber;

struct hf_stream_entry { /* a job somebody listens to */
    UT_hash_handle hh;
    hf_subscriber *first;
    bool changed;         /* since the last wake */
    hf_position position; /* of the newest change; offset -1: progress, which waits a moment for more */
    int64_t ready_ms;
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
    /* jobs whose progress came lately, by number: what streams of the fleet tell of it */
    uint64_t progress_number;
    char progressed[HF_STREAM_PROGRESS_KEPT][HF_ID_MAX_BYTES + 1];
};

/* Appends one event; false, and nothing appended, when it does not fit. Takes over data. id may be NULL. */
bool hf_stream_put(hf_subscriber *b, const char *name, const char *id, json_t *data);
void hf_stream_fill_job(hf_subscriber *b);
void hf_stream_fill_fleet(hf_subscriber *b);
/* Where the fleet's stream of b begins: behind the positions of a Last-Event-ID, else at what is committed now. INVALID for an id that is none. */
hf_code hf_stream_begin_fleet(hf_subscriber *b, const char *last_event_id, hf_err *reterr);
