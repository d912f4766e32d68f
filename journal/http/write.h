/* Writes that wait to be folded: a request's proposals from the server's threads to the loop's thread, and back. */
#pragma once
#include "journal/http/guard.h"
#include "journal/http/request.h"

/* A record that is no proposal, of a topic the journal follows: it is done when the journal has folded it. One block, the strings behind the struct. */
typedef struct hf_write_plain {
    hf_topic topic;
    int32_t partition; /* -1: by key */
    hf_str key, value;
    const char *type;
    uint32_t header_count;
    hf_header headers[4];
} hf_write_plain;

typedef struct hf_write_item {
    hf_write_plain *plain;           /* NULL: a proposal, in bytes */
    char id[HF_ID_MAX_BYTES + 1];    /* of the job the record is about */
    char about[HF_ID_MAX_BYTES + 1]; /* what the request named, where that is another */
    char *bytes;                     /* framed JobEvent; NULL: nothing to produce (error is set) */
    uint32_t len;
    bool sent, reported, done;
    hf_position position; /* when acknowledged */
    hf_code code;         /* HF_OK: accepted */
    char error[256];
    bool rejected_by_intake; /* on record, as a failed job */
} hf_write_item;

struct hf_write {
    hf_request *request;
    uint64_t number;
    uint32_t count, sent, open; /* open: items without an outcome */
    int64_t deadline_ms;        /* monotonic */
    bool late;
    hf_guard *guard;                            /* given back when the request is over; NULL: none */
    char traceparent[56];                       /* the request's, which its records carry on; "": none */
    void (*answer)(hf_request *r, hf_write *w); /* on a server thread, after all items are done */
    hf_write *next;
    hf_write_item items[];
};

hf_write *hf_write_new(hf_request *r, uint32_t count, void (*answer)(hf_request *, hf_write *));
void hf_write_free(hf_write *w);
/* Lets go of its guard: the write is folded, or will not be. Before the answer, so that who has it may change the record again at once. */
void hf_write_unguard(hf_write *w);
/* The item is done, with that outcome; text is cut to fit. */
void hf_write_settle(hf_write_item *item, hf_code code, const char *text);
/* Encodes `record` into the item; its error is set when that fails. */
void hf_write_put(hf_write *w, uint32_t index, const hf_record *record);
/* The item is that record instead; everything is copied. False without memory. At most 4 headers. */
bool hf_write_put_plain(hf_write *w, uint32_t index, hf_topic topic, int32_t partition, hf_str key, hf_str value,
                        const char *type, const hf_header *headers, uint32_t header_count);
/* Suspends the request and hands the write to the loop's thread. Past HF_HTTP_WRITES_MAX: answers 503 at once. */
void hf_write_begin(hf_write *w);
