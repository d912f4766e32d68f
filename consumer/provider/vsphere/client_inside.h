/* Inside of client.c (calls), session.c (who is logged in) and transport.c (curl). */
#pragma once
#include <pthread.h>

#include "consumer/provider/vsphere/client.h"

enum { HF_COOKIE_MAX = 1024, HF_LOGOUT_MS = 10000, HF_POLL_MS = 100 };

/* Shared by the handles of one session. lock: cookie, generation, and logging in. */
typedef struct hf_vsphere_session {
    pthread_mutex_t lock;
    atomic_int refs;
    uint32_t generation; /* logins so far */
    bool logged_in;
    char cookie[HF_COOKIE_MAX];
    hf_endpoint endpoint;       /* not changed after open */
    hf_vsphere_content content; /* likewise */
    char key[64];               /* of the session on the server, for calls that name it */
    char action[64];            /* "urn:vim25/8.0.1.0" */
} hf_vsphere_session;

struct hf_vsphere {
    hf_vsphere_session *session;
    const atomic_bool *cancel;
    CURLM *multi;
    CURL *curl;
    hf_tls_seen seen;
    hf_buf request, envelope, answer;
    size_t answer_max;
    bool answer_too_large;
    char cookie[HF_COOKIE_MAX], cookie_seen[HF_COOKIE_MAX]; /* to send; as the last answer set it */
    uint32_t generation;                                    /* of the cookie to send */
    struct hf_names *names;                                 /* names.h; NULL until needed */
    const char *fault;
    char curl_text[CURL_ERROR_SIZE];
};

/* ---- transport.c */
hf_code hf_vsphere_transport_init(hf_vsphere *v, hf_err *reterr);
void hf_vsphere_transport_done(hf_vsphere *v);
/* POSTs v->envelope; the body that came is in v->answer. An HTTP status other than 200, and 500 with a body, is an error. */
hf_code hf_vsphere_post(hf_vsphere *v, int64_t timeout_ms, hf_err *reterr);

/* ---- session.c */
hf_code hf_vsphere_log_in(hf_vsphere *v, hf_err *reterr);
/* The session of generation v->generation is no more: log in, unless somebody has. */
hf_code hf_vsphere_log_in_again(hf_vsphere *v, hf_err *reterr);
void hf_vsphere_log_out(hf_vsphere *v);
/* Takes over the session's cookie. */
void hf_vsphere_use_session(hf_vsphere *v);

/* ---- client.c */
/* The first half of hf_vsphere_open: connected, the ServiceContent known, nobody logged in. */
hf_code hf_vsphere_begin(const hf_endpoint *endpoint, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr);
/* One exchange: body goes out in an envelope, with header in it (may be NULL), the answer comes back or its fault as an error. */
hf_code hf_vsphere_exchange(hf_vsphere *v, const hf_buf *body, const char *header, int64_t timeout_ms,
                            hf_soap_answer *ret, hf_err *reterr);
/* Waits in steps, unless cancelled. */
hf_code hf_vsphere_pause(const hf_vsphere *v, int64_t ms, hf_err *reterr);
