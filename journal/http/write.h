/* Writes that wait to be folded: a request's proposals from the server's threads to the loop's thread, and back. */
#pragma once
#include "journal/http/request.h"

typedef struct hf_write_item {
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
    void (*answer)(hf_request *r, hf_write *w); /* on a server thread, after all items are done */
    hf_write *next;
    hf_write_item items[];
};

hf_write *hf_write_new(hf_request *r, uint32_t count, void (*answer)(hf_request *, hf_write *));
void hf_write_free(hf_write *w);
/* Encodes `record` into the item; its error is set when that fails. */
void hf_write_put(hf_write *w, uint32_t index, const hf_record *record);
/* Suspends the request and hands the write to the loop's thread. Past HF_HTTP_WRITES_MAX: answers 503 at once. */
void hf_write_begin(hf_write *w);
