#include "journal/http/reply.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "journal/http/inside.h"
#include "schemas/base/mem.h"

enum { COMPRESS_FROM = 1024, ETAG_BYTES = HF_ANSWER_ETAG };

/* ---- what the client asks for ---------------------------------------------------------------------------- */
/* Calls each(ctx, name, length, q * 1000) for the items of a list such as "text/html, application/json;q=0.5". */
static void each_item(const char *list, void (*each)(void *ctx, const char *name, size_t len, int q), void *ctx) {
    for (const char *at = list; *at;) {
        at += strspn(at, ", \t");
        size_t n = strcspn(at, ","), name = strcspn(at, ",; \t");
        int q = 1000;
        const char *weight = memmem(at, n, "q=", 2);
        if (weight)
            q = (int)(strtod(weight + 2, NULL) * 1000);
        if (name)
            each(ctx, at, name, q);
        at += n;
    }
}

typedef struct wanted {
    const char *name;
    int q, any; /* of the name itself and of a range over it; -1: not named */
} wanted;

static bool is(const char *name, size_t len, const char *what) {
    return len == strlen(what) && strncasecmp(name, what, len) == 0;
}

static void look_for(void *ctx, const char *name, size_t len, int q) {
    wanted *w = ctx;
    size_t major = strcspn(w->name, "/");
    if (is(name, len, w->name))
        w->q = q;
    else if (is(name, len, "*/*") || is(name, len, "*") ||
             (len == major + 2 && strncasecmp(name, w->name, major + 1) == 0 && name[len - 1] == '*'))
        w->any = q;
}

static bool wants(const char *list, const char *name, bool otherwise) {
    wanted w = {.name = name, .q = -1, .any = -1};
    if (!list)
        return otherwise;
    each_item(list, look_for, &w);
    return w.q >= 0 ? w.q > 0 : w.any > 0;
}

bool hf_reply_acceptable(const hf_request *r) {
    const char *accept = hf_request_header(r, "Accept"), *answer = HF_ROUTES[r->route].answer;
    if (!r->v1 || !accept)
        return true;
    if (strcmp(answer, "Page") == 0 || strcmp(answer, "Text") == 0 || strcmp(answer, "Download") == 0)
        return true;
    if (strcmp(answer, "EventStream") == 0)
        return wants(accept, "text/event-stream", false);
    return wants(accept, "application/json", true) || wants(accept, "text/event-stream", false) ||
           wants(accept, "application/problem+json", false);
}

/* ---- body -------------------------------------------------------------------------------------------------- */
/* Of /api/v1's answers, which hold no time of their own: the same journal gives the same bytes. */
static bool etag_of(const hf_request *r, char etag[ETAG_BYTES]) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!(r->v1 || r->page) || r->stream || r->status != 200 || strcmp(HF_ROUTES[r->route].method, "GET") != 0 ||
        EVP_Digest(r->reply.data, r->reply.len, hash, &n, EVP_sha256(), NULL) != 1)
        return false;
    int at = snprintf(etag, ETAG_BYTES, "W/\"");
    for (int i = 0; i < 16; i++)
        at += snprintf(etag + at, ETAG_BYTES - (size_t)at, "%02x", hash[i]);
    snprintf(etag + at, ETAG_BYTES - (size_t)at, "\"");
    return true;
}

static bool none_match(const char *header, const char *etag) {
    return header && (strcmp(header, "*") == 0 || strstr(header, etag + 2)); /* the weak comparison: without W/ */
}

/* gzip (RFC 1952) of the reply in place; false leaves it as it is. */
static bool compress_reply(hf_request *r) {
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    uLong bound = deflateBound(&z, (uLong)r->reply.len);
    uint8_t *to = hf_alloc(bound);
    z.next_in = r->reply.data;
    z.avail_in = (uInt)r->reply.len;
    z.next_out = to;
    z.avail_out = (uInt)bound;
    bool ok = to && deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out < r->reply.len;
    size_t len = z.total_out;
    deflateEnd(&z);
    if (!ok) {
        free(to);
        return false;
    }
    free(r->reply.data);
    r->reply.data = to;
    r->reply.len = r->reply.cap = len;
    return true;
}

static bool wants_gzip(const hf_request *r) { return wants(hf_request_header(r, "Accept-Encoding"), "gzip", false); }

/* ---- answers that are kept (answers.h) ----------------------------------------------------------------------------- */
/* Route, representation, and the query as it was understood. False: not one to keep. */
static bool key_of(const hf_request *r, char key[HF_ANSWER_KEY_MAX], hf_str *ret) {
    size_t used = (size_t)snprintf(key, HF_ANSWER_KEY_MAX, "%d %d", (int)r->route, wants_gzip(r));
    if (r->query[HF_P_SINCE].text || r->query[HF_P_UNTIL].text) /* may be counted from now */
        return false;
    for (int p = 0; p < HF_PARAM_COUNT; p++) {
        if (!r->query[p].text)
            continue;
        used += (size_t)snprintf(key + used, HF_ANSWER_KEY_MAX - used, "\n%d=%s", p, r->query[p].text);
        if (used >= HF_ANSWER_KEY_MAX)
            return false;
    }
    *ret = (hf_str){key, (uint32_t)used};
    return true;
}

bool hf_reply_kept(hf_request *r, uint64_t txn) {
    char bytes[HF_ANSWER_KEY_MAX];
    hf_str key;
    if (!key_of(r, bytes, &key))
        return false;
    r->kept = hf_answers_find(r->http->answers, key, txn);
    if (!r->kept) {
        r->keep_txn = txn;
        return false;
    }
    r->status = 200;
    r->content_type = "application/json";
    return true;
}

static void keep(const hf_request *r, const char *etag, bool compressed) {
    char bytes[HF_ANSWER_KEY_MAX];
    hf_str key;
    if (r->keep_txn && r->status == 200 && key_of(r, bytes, &key))
        hf_answers_keep(r->http->answers, key, r->keep_txn, etag, compressed, r->reply.data, r->reply.len);
}

static struct MHD_Response *response_of_kept(hf_request *r) {
    hf_answer *a = r->kept;
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback_cls(a->len, a->bytes, hf_answer_drop, a);
    if (response)
        r->kept = NULL; /* it is the response's now */
    return response;
}

/* ---- CORS (the Fetch standard, section "CORS protocol") --------------------------------------------------------- */
static const char *allowed_origin(const hf_request *r) {
    const char *origin = hf_request_header(r, "Origin");
    const json_t *allowed = hf_config_json(r->http->options.config, HF_C_HTTP_CORS), *item;
    size_t i;
    if (!origin)
        return NULL;
    json_array_foreach(allowed, i, item) {
        const char *name = json_string_value(item);
        if (name && (strcmp(name, "*") == 0 || strcasecmp(name, origin) == 0))
            return strcmp(name, "*") == 0 ? "*" : origin;
    }
    return NULL;
}

static void add_cors(const hf_request *r, struct MHD_Response *response) {
    const char *origin = allowed_origin(r);
    if (!origin)
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
    MHD_add_response_header(response, "Access-Control-Expose-Headers", "ETag, Retry-After");
    if (strcmp(r->method, "OPTIONS") != 0)
        return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", *r->allow ? r->allow : "GET, HEAD, OPTIONS");
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID");
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

/* ---- headers and sending ------------------------------------------------------------------------------------------ */
static void add_headers(hf_request *r, struct MHD_Response *response, const char *etag, bool compressed) {
    char seconds[16];
    if (r->status != 204 && r->status != 304)
        MHD_add_response_header(response, "Content-Type", r->content_type ? r->content_type : "application/json");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", etag ? "no-cache" : "no-store");
    MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding, Authorization, Origin");
    if (etag)
        MHD_add_response_header(response, "ETag", etag);
    if (compressed || r->encoded)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (r->page) {
        MHD_add_response_header(
            response, "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (*r->allow && (r->status == 405 || r->status == 204))
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"hyperfleet\"");
    if (r->retry_after_s && (r->status == 429 || r->status == 503)) {
        snprintf(seconds, sizeof seconds, "%d", r->retry_after_s);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (r->refused)
        MHD_add_response_header(response, "Connection", "close");
    add_cors(r, response);
}

enum MHD_Result hf_reply_send(hf_request *r) {
    char etag[ETAG_BYTES];
    bool compressed = r->kept && r->kept->compressed;
    if (r->kept)
        memcpy(etag, r->kept->etag, sizeof etag);
    bool tagged = r->kept || etag_of(r, etag);
    struct MHD_Response *response = r->stream;
    if (tagged && none_match(hf_request_header(r, "If-None-Match"), etag)) {
        r->status = 304;
        compressed = false;
        hf_buf_clear(&r->reply);
        hf_answer_drop(r->kept);
        r->kept = NULL;
    }
    if (r->kept && !(response = response_of_kept(r)))
        return MHD_NO;
    if (!response) {
        if (r->reply.len >= COMPRESS_FROM && !r->encoded && wants_gzip(r))
            compressed = compress_reply(r);
        if (tagged)
            keep(r, etag, compressed);
        response = MHD_create_response_from_buffer(r->reply.len, r->reply.data, MHD_RESPMEM_MUST_FREE);
        if (!response)
            return MHD_NO;
        r->reply = (hf_buf){.max_bytes = r->reply.max_bytes}; /* it is the response's now */
    }
    add_headers(r, response, tagged ? etag : NULL, compressed);
    enum MHD_Result ok = hf_watched_phase(r->watched, HF_WATCH_ANSWER)
                             ? MHD_queue_response(r->connection, (unsigned)r->status, response)
                             : MHD_NO;
    MHD_destroy_response(response);
    r->stream = NULL;
    return ok;
}
