/* What the files of the sender share: one request on its way. */
#pragma once
#include <curl/curl.h>

#include "consumer/notify/send.h"
#include "schemas/base/mem.h"
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) hf_alloc(bytes)
#include <uthash.h>

enum { HF_EXCERPT_BYTES = 300 };

typedef struct hf_sender_endpoint { /* there while something of it is on its way */
    UT_hash_handle hh;
    uint32_t in_flight, id_len;
    char id[];
} hf_sender_endpoint;

typedef struct hf_flight hf_flight;
struct hf_flight {
    hf_sender *sender;
    CURL *easy;      /* kept from post to post */
    hf_flight *next; /* in the list of those that are free, or on their way */
    hf_flight **here;
    /* of the post */
    uint64_t tag;
    hf_sender_endpoint *endpoint;
    char *url; /* NUL-terminated */
    uint8_t *body;
    uint32_t body_len;
    struct curl_slist *headers;
    int64_t begun_ns;
    /* what came of it so far */
    uint32_t sockets;    /* that were opened */
    const char *refused; /* why an address was not called */
    uint64_t head_bytes, answer_bytes;
    bool head_whole; /* its empty line came; curl takes a head that was cut off for one */
    int64_t retry_after_ms;
    uint32_t excerpt_len;
    char excerpt[HF_EXCERPT_BYTES]; /* of the body of an answer that is not 2xx, as it came */
    char error[CURL_ERROR_SIZE];    /* curl's words */
};

struct hf_sender {
    hf_sender_options options;
    hf_sender_hooks hooks;
    CURLM *multi;
    int epoll;
    int64_t deadline_ms; /* of curl's timer, monotonic; -1: none */
    uint32_t in_flight;
    uint64_t bytes_in_flight;
    hf_sender_endpoint *endpoints;
    hf_flight *idle, *flying;
};

/* send_transfer.c: a handle with all that is the same for every post; NULL without memory. Frees the flight and what it holds. */
hf_flight *hf_flight_new(hf_sender *sender);
void hf_flight_free(hf_flight *flight);
/* Makes the flight ready for this post: copies, headers, signature. */
hf_code hf_flight_load(hf_flight *flight, const hf_post *post, hf_err *reterr);
/* Lets go of what hf_flight_load took; header values are wiped. */
void hf_flight_unload(hf_flight *flight);

/* send_outcome.c */
void hf_flight_outcome(const hf_flight *flight, CURLcode result, hf_post_outcome *ret);
