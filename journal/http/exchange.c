/* A request's life between libmicrohttpd's callbacks: begun with its line, checked once its head is there, handed to its handler with
 * its body, answered at once or when its write is folded. */
#include "journal/http/exchange.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "journal/http/head.h"
#include "journal/http/inside.h"
#include "journal/http/reply.h"
#include "schemas/base/mem.h"

enum { REPLY_MAX = 256 << 20 };

const double HF_HTTP_BUCKET_SECONDS[HF_HTTP_BUCKETS] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

/* ---- a request's life ------------------------------------------------------------------------------------ */
void *hf_exchange_begin(void *cls, const char *uri, struct MHD_Connection *connection) {
    hf_request *r = hf_alloc(sizeof *r);
    if (!r)
        return NULL;
    r->http = cls;
    r->connection = connection;
    r->watched = hf_watch_of(connection);
    r->begun_ns = hf_mono_ns();
    r->route = HF_ROUTE_COUNT;
    r->target_end = uri + strlen(uri);
    r->raw_path = hf_strndup(uri, strcspn(uri, "?#"));
    hf_buf_init(&r->body, r->http->body_max);
    hf_buf_init(&r->reply, REPLY_MAX);
    return r;
}

/* Called by libmicrohttpd for arguments; paths are decoded by the router, from what was sent. */
size_t hf_exchange_unescape(void *cls, struct MHD_Connection *c, char *text) {
    (void)cls;
    (void)c;
    return MHD_http_unescape(text);
}

static void count_request(hf_request *r) {
    hf_route_stats *s = &r->http->stats[r->route];
    int64_t us = (hf_mono_ns() - r->begun_ns) / 1000;
    int i = 0;
    while (i < HF_HTTP_BUCKETS && (double)us / 1e6 > HF_HTTP_BUCKET_SECONDS[i])
        i++;
    atomic_fetch_add(&s->buckets[i], 1);
    atomic_fetch_add(&s->sum_us, (unsigned long long)us);
    if (r->status >= 100 && r->status < HF_STATUS_CLASSES)
        atomic_fetch_add(&s->by_status[r->status], 1);
}

void hf_exchange_end(void *cls, struct MHD_Connection *connection, void **con_cls,
                     enum MHD_RequestTerminationCode why) {
    hf_request *r = *con_cls;
    (void)cls;
    (void)connection;
    (void)why;
    if (!r)
        return;
    count_request(r);
    hf_watched_phase(r->watched, HF_WATCH_HEAD);
    hf_write_free(r->write);
    hf_answer_drop(r->kept);
    hf_buf_done(&r->body);
    hf_buf_done(&r->reply);
    free(r->raw_path);
    free(r);
    *con_cls = NULL;
}

/* ---- the head: route, sender, parameters ----------------------------------------------------------------------- */
static void refuse(hf_request *r, int status, hf_code code, const char *why) {
    r->refused = status;
    hf_fail(&r->refused_why, code, "%s", why);
}

static void refuse_err(hf_request *r) { r->refused = hf_code_http_status(r->refused_why.code); }

static void address_of(hf_request *r, char address[64]) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    address[0] = 0;
    if (!info || !info->client_addr)
        return;
    const struct sockaddr *a = info->client_addr;
    if (a->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, address, 64);
    else if (a->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, address, 64);
}

/* Where nobody is asked who they are, they may say it: it is on record as what they said. */
static void take_at_their_word(hf_request *r) {
    const char *name = hf_request_header(r, "X-Requested-By");
    size_t len = name ? strlen(name) : 0;
    if (len == 0 || len > 64 || *r->who.name || hf_access_required(r->http->access))
        return;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c == 0x7f)
            return;
    snprintf(r->who.name, sizeof r->who.name, "%s (unverified)", name);
}

/* Who asks, whether it may, and whether too often; before the body is read. */
static void look_at_sender(hf_request *r) {
    hf_http *http = r->http;
    char subject[HF_TLS_SUBJECT_MAX + 1] = "", address[64];
    hf_scope needed = HF_ROUTES[r->route].scope;
    if (http->tls)
        hf_tls_subject(http->tls, r->connection, subject);
    hf_code code = hf_access_identify(http->access, hf_request_header(r, "Authorization"), *subject ? subject : NULL,
                                      &r->who, &r->refused_why);
    if (code != HF_OK && needed == HF_SCOPE_OPEN)
        code = HF_OK; /* whoami tells: nobody */
    address_of(r, address);
    if (code == HF_OK && hf_access_rate(http->access, *r->who.name ? r->who.name : address, &r->retry_after_s,
                                        &r->refused_why) != HF_OK) {
        r->refused = 429;
        return;
    }
    if (code == HF_OK)
        code = hf_access_allow(&r->who, needed, &r->refused_why);
    if (code != HF_OK)
        refuse_err(r);
    else
        take_at_their_word(r);
}

/* Bodies below /api/v1 must say what they are; the older paths take what curl sends. */
static bool is_readable_type(const char *type) {
    static const char *const types[] = {"application/json", "application/yaml", "application/x-yaml", "text/yaml",
                                        "text/x-yaml"};
    size_t n = type ? strcspn(type, "; ") : 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(types); i++)
        if (n == strlen(types[i]) && strncasecmp(type, types[i], n) == 0)
            return true;
    return false;
}

static void look_at_body_headers(hf_request *r) {
    const char *length = hf_request_header(r, "Content-Length"), *type = hf_request_header(r, "Content-Type");
    bool has_body = (length && strspn(length, "0") != strlen(length)) || hf_request_header(r, "Transfer-Encoding");
    if (length && (strlen(length) > 12 || strtoull(length, NULL, 10) > r->http->body_max))
        refuse(r, 413, HF_E_LIMIT, "the body is larger than http.body_max");
    else if (r->v1 && has_body && HF_ROUTES[r->route].body && !is_readable_type(type))
        refuse(r, 415, HF_E_UNSUPPORTED,
               "the body must be application/json or application/yaml, and Content-Type say so");
    else if (hf_request_header(r, "Content-Encoding"))
        refuse(r, 415, HF_E_UNSUPPORTED, "compressed bodies are not taken: send it without Content-Encoding");
}

static void look_at_head(hf_request *r, const char *version) {
    int unsound = 400;
    const char *why =
        r->raw_path ? hf_head_unsound(r->connection, r->method, r->target_end, version, &unsound) : "no memory";
    if (why) {
        refuse(r, unsound, unsound == 431 ? HF_E_LIMIT : HF_E_INVALID, why);
        return;
    }
    r->v1 = strncmp(r->raw_path, "/api/v1/", 8) == 0;
    if (hf_watched_is_over(r->watched)) {
        r->retry_after_s = 5;
        refuse(r, 503, HF_E_BUSY, "http.connections are open already; come again in a moment");
        return;
    }
    int status = hf_route_find(r);
    if (status == 405 && strcmp(r->method, "OPTIONS") == 0)
        status = 204;
    if (status)
        refuse(r, status, status == 404 ? HF_E_NOT_FOUND : HF_E_UNSUPPORTED,
               status == 404   ? "there is nothing at this path; GET /status and the README name what there is"
               : status == 405 ? "this path does not take that method"
                               : "the path does not decode");
    if (!r->refused)
        look_at_sender(r);
    if (!r->refused && !hf_reply_acceptable(r))
        refuse(r, 406, HF_E_UNSUPPORTED, "the answer is JSON, and Accept does not allow it");
    if (!r->refused && hf_request_read_query(r, &r->refused_why) != HF_OK)
        refuse_err(r);
    if (!r->refused)
        look_at_body_headers(r);
}

static enum MHD_Result answer_refusal(hf_request *r) {
    if (r->refused == 204) {
        r->status = 204;
        r->refused = 0;
    } else
        hf_reply_error(r, r->refused, "%s", r->refused_why.detail);
    return hf_reply_send(r);
}

static void handle(hf_request *r) {
    if (r->body_too_large) {
        refuse(r, 413, HF_E_LIMIT, "the body is larger than http.body_max");
        hf_reply_error(r, 413, "the body is larger than http.body_max (%zu bytes)", r->http->body_max);
    } else
        HF_ROUTES[r->route].handler(r);
}

enum MHD_Result hf_exchange_step(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *upload, size_t *upload_len, void **con_cls) {
    hf_request *r = *con_cls;
    (void)cls;
    (void)connection;
    (void)url;
    if (!r)
        return MHD_NO; /* no memory for the request */
    if (!r->method) {  /* the head has been read */
        r->method = method;
        if (!hf_watched_phase(r->watched, HF_WATCH_BODY))
            return MHD_NO;
        look_at_head(r, version);
        return r->refused ? answer_refusal(r) : MHD_YES;
    }
    if (*upload_len) {
        hf_watched_received(r->watched, *upload_len);
        if (!hf_buf_put(&r->body, upload, *upload_len))
            r->body_too_large = true;
        *upload_len = 0;
        return MHD_YES;
    }
    if (r->write) { /* resumed: the outcome is there */
        hf_write_unguard(r->write);
        r->write->answer(r, r->write);
        return hf_reply_send(r);
    }
    if (!hf_watched_phase(r->watched, HF_WATCH_HANDLED))
        return MHD_NO; /* told 408: nothing of it is done */
    handle(r);
    if (r->write && !r->status)
        return MHD_YES; /* suspended */
    return hf_reply_send(r);
}
