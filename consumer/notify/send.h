/* The sending side of webhooks: POSTs many bodies to many endpoints from one thread, over kept-alive connections, and tells the
 * outcome of each. One libcurl multi handle; the owner's poll loop drives it:
 *
 *   poll({hf_sender_fd(s), POLLIN}, …, hf_sender_timeout_ms(s)); hf_sender_step(s, &err);
 *
 * Addresses are chosen by users, so each one is checked (schemas/webhook/address.h) after names are resolved, when a connection is
 * made and again before each request on a kept one; redirects are not followed, TLS is verified, answers are read to
 * HF_ANSWER_MAX_BYTES and thrown away, proxies are used only when configured, no cookies, no .netrc. One sender is one
 * policy and one pool of connections: what differs in policy (options) is another sender.
 * Nothing queues in here: past a bound hf_sender_post says BUSY. Not thread-safe. */
#pragma once
#include "schemas/base/config.h"
#include "schemas/base/err.h"
#include "schemas/base/str.h"
#include "schemas/webhook/signature.h"

enum {
    HF_URL_MAX_BYTES = 2048,
    HF_POST_HEADERS_MAX = 32,
    HF_POST_HEADER_BYTES = 8192,     /* name and value of one */
    HF_POST_BODY_MAX = 4 << 20,      /* HF_PAYLOAD_MAX_BYTES */
    HF_ANSWER_MAX_BYTES = 64 << 10,  /* of an answer's body; the rest is not read and the connection is closed */
    HF_ANSWER_HEAD_BYTES = 64 << 10, /* of its headers; past it the delivery fails */
    HF_POST_ERROR_BYTES = 400,
};

typedef struct hf_sender_options {
    bool allow_private;  /* loopback, private and other addresses that are not of the Internet may be called */
    const char *ca_file; /* PEM file of the authorities to trust; NULL or "": the system's */
    const char *
        proxy; /* URL; NULL or "": none, whatever the environment says. It resolves the names then, and has to refuse private addresses itself */
    const char *user_agent;      /* NULL: hyperhook/VERSION */
    uint32_t in_flight;          /* posts at once; 0: 256 */
    uint32_t endpoint_in_flight; /* posts at once to one endpoint; 0: 8 */
    uint64_t bytes_in_flight;    /* of bodies; 0: 64 MiB. One post always goes */
    int64_t connect_timeout_ms;  /* 0: 5 s. Within each post's own time-out */
    int64_t idle_ms;             /* a kept connection is closed after so long unused; 0: 60 s */
    int64_t lifetime_ms;         /* and after so long in any case; 0: 10 min */
    int64_t dns_cache_ms;        /* 0: 30 s; negative: each connection looks its name up */
} hf_sender_options;

/* What the keys webhook.… of a configuration say; the texts are the configuration's. */
hf_sender_options hf_sender_options_of(const hf_config *config);

typedef struct hf_post_header {
    hf_str name, value;
} hf_post_header;

/* Borrowed for the call only: the sender copies what it needs. */
typedef struct hf_post {
    uint64_t tag;    /* whatever the caller likes */
    hf_str endpoint; /* its id: what endpoint_in_flight counts by */
    hf_str url;
    hf_str content_type, body;
    hf_str webhook_id;          /* the same for every attempt */
    const hf_signing_key *keys; /* none: the request is not signed */
    uint32_t key_count;
    const hf_post_header *headers; /* the endpoint's own; hf_post_header_check says which may be given */
    uint32_t header_count;
    int64_t timeout_ms; /* of the whole attempt; 0: 10 s */
} hf_post;

typedef enum hf_post_class {
    HF_POST_DELIVERED, /* 2xx */
    HF_POST_RETRY,     /* no answer, or one that is not 2xx: later it may go through */
    HF_POST_GONE,      /* 410: the receiver wants no more */
    HF_POST_REFUSED,   /* by this side: no such address may be called, or the request cannot be made */
} hf_post_class;

typedef struct hf_post_outcome {
    hf_post_class class;
    hf_code code;   /* OK, UNREACHABLE, TIMEOUT, CERTIFICATE, PROTOCOL, PERMISSION (an address refused), INVALID, … */
    int32_t status; /* 0: there was no answer */
    int64_t retry_after_ms; /* of 429 and 503, as the receiver says; -1: it says nothing. For the caller to clamp */
    int64_t duration_ms;
    char
        error[HF_POST_ERROR_BYTES]; /* "" where delivered; for people: printable ASCII, no header and no secret in it */
} hf_post_outcome;

typedef struct hf_sender_hooks {
    /* Once for each post that was taken, from within hf_sender_step. May call hf_sender_post. */
    void (*on_done)(void *ctx, uint64_t tag, const hf_post_outcome *outcome);
    void *ctx;
    /* Wall clock of webhook-timestamp; NULL: the system's. */
    int64_t (*wall_ms)(void *ctx);
} hf_sender_hooks;

typedef struct hf_sender hf_sender;

hf_code hf_sender_new(const hf_sender_options *options, const hf_sender_hooks *hooks, hf_sender **ret, hf_err *reterr);
/* Drops what is in flight, without on_done. */
void hf_sender_free(hf_sender *sender);

/* HF_OK: taken, on_done will be called. BUSY: a bound is reached, post it later. INVALID, LIMIT, PERMISSION: this can never be
 * sent (on_done is not called). NO_MEMORY. */
hf_code hf_sender_post(hf_sender *sender, const hf_post *post, hf_err *reterr);
/* How many more posts the bounds let through now, for any endpoint and for this one. */
uint32_t hf_sender_room(const hf_sender *sender, hf_str endpoint);
uint32_t hf_sender_in_flight(const hf_sender *sender);

int hf_sender_fd(const hf_sender *sender);         /* readable: call hf_sender_step */
int hf_sender_timeout_ms(const hf_sender *sender); /* call hf_sender_step then at the latest; -1: nothing to wait for */
/* Does what can be done without waiting, calls on_done for what ended. */
hf_code hf_sender_step(hf_sender *sender, hf_err *reterr);

/* A URL that may be posted to: http or https, no user or password in it, at most HF_URL_MAX_BYTES, and not plainly an address that is
 * refused (names are looked at when they are resolved). */
hf_code hf_post_url_check(hf_str url, bool allow_private, hf_err *reterr);
/* A header an endpoint may have: a name (RFC 9110 token) that is not the connection's or the signature's, a value without control
 * characters. Errors name the header, never its value. */
hf_code hf_post_header_check(hf_str name, hf_str value, hf_err *reterr);
