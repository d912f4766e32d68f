/* One request: what curl is told, what it asks back, and what of the answer is looked at. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/notify/retry_after.h"
#include "consumer/notify/send_inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/address.h"

/* ---- where to ----------------------------------------------------------------------------------------------------------- */
/* A proxy is called instead of the endpoint: it was configured, so it is trusted, and has to look at addresses itself. */
static bool calls_anything(const hf_sender *s) { return s->options.allow_private || s->options.proxy; }

/* After the name was resolved, before each connection. */
static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    hf_flight *f = ctx;
    (void)purpose;
    const char *why = calls_anything(f->sender) ? NULL : hf_address_refused(&address->addr, address->addrlen);
    if (why) {
        f->refused = why;
        return CURL_SOCKET_BAD;
    }
    f->sockets++;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before each request, on kept connections too. */
static int on_request(void *ctx, char *peer, char *own, int peer_port, int own_port) {
    hf_flight *f = ctx;
    struct in_addr v4;
    struct in6_addr v6;
    (void)own, (void)peer_port, (void)own_port;
    if (calls_anything(f->sender))
        return CURL_PREREQFUNC_OK;
    const char *why = inet_pton(AF_INET, peer, &v4) == 1    ? hf_address_refused_v4(ntohl(v4.s_addr))
                      : inet_pton(AF_INET6, peer, &v6) == 1 ? hf_address_refused_v6(v6.s6_addr)
                                                            : "of a family that is not called";
    if (why) {
        f->refused = why;
        f->sockets = 0;
    }
    return why ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* ---- the answer ---------------------------------------------------------------------------------------------------------- */
static int64_t wall_ms(const hf_sender *s) {
    return s->hooks.wall_ms ? s->hooks.wall_ms(s->hooks.ctx) : hf_wall_ms(hf_clock_system());
}

static size_t on_header(char *bytes, size_t one, size_t count, void *ctx) {
    static const char name[] = "retry-after:";
    hf_flight *f = ctx;
    size_t len = one * count, n = sizeof name - 1;
    f->head_bytes += len;
    if (f->head_bytes > HF_ANSWER_HEAD_BYTES)
        return 0;
    if (len >= 5 && !memcmp(bytes, "HTTP/", 5))
        f->retry_after_ms = -1; /* the answer behind an interim one */
    f->head_whole = bytes[0] == '\r' || bytes[0] == '\n';
    if (len > n && len < 256 && !strncasecmp(bytes, name, n) &&
        !hf_retry_after_parse((hf_str){bytes + n, (uint32_t)(len - n)}, wall_ms(f->sender), &f->retry_after_ms))
        f->retry_after_ms = -1;
    return len;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *ctx) {
    hf_flight *f = ctx;
    size_t len = one * count, room = sizeof f->excerpt - f->excerpt_len;
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    f->answer_bytes += len;
    if (status < 200 || status > 299) {
        size_t keep = len < room ? len : room;
        memcpy(f->excerpt + f->excerpt_len, bytes, keep);
        f->excerpt_len += (uint32_t)keep;
    }
    return f->answer_bytes > HF_ANSWER_MAX_BYTES ? 0 : len;
}

/* ---- a handle ------------------------------------------------------------------------------------------------------------- */
#define SET(option_, value_) (curl_easy_setopt(f->easy, option_, value_) == CURLE_OK)

static bool set_safety(hf_flight *f) {
    const hf_sender_options *o = &f->sender->options;
    bool ok = SET(CURLOPT_PROTOCOLS_STR, "http,https") && SET(CURLOPT_FOLLOWLOCATION, 0L) &&
              SET(CURLOPT_PROXY, o->proxy ? o->proxy : "") && SET(CURLOPT_NOPROXY, "") &&
              SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_NOSIGNAL, 1L) &&
              SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
              SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) && SET(CURLOPT_OPENSOCKETFUNCTION, on_open) &&
              SET(CURLOPT_OPENSOCKETDATA, f) && SET(CURLOPT_PREREQFUNCTION, on_request) && SET(CURLOPT_PREREQDATA, f);
    if (ok && o->ca_file)
        ok = SET(CURLOPT_CAINFO, o->ca_file) && SET(CURLOPT_CAPATH, NULL);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name server that does not answer must hold up nobody else: without this a post that times out waits for its look-up. */
    ok = ok && SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    return ok;
}

static bool set_pool(hf_flight *f) {
    const hf_sender_options *o = &f->sender->options;
    return SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms) &&
           SET(CURLOPT_MAXAGE_CONN, (long)(o->idle_ms / 1000)) &&
           SET(CURLOPT_MAXLIFETIME_CONN, (long)(o->lifetime_ms / 1000)) &&
           SET(CURLOPT_DNS_CACHE_TIMEOUT, (long)(o->dns_cache_ms / 1000)) && SET(CURLOPT_BUFFERSIZE, 16384L) &&
           SET(CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
}

static bool set_callbacks(hf_flight *f) {
    return SET(CURLOPT_PRIVATE, f) && SET(CURLOPT_ERRORBUFFER, f->error) && SET(CURLOPT_HEADERFUNCTION, on_header) &&
           SET(CURLOPT_HEADERDATA, f) && SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, f) &&
           SET(CURLOPT_POST, 1L);
}

hf_flight *hf_flight_new(hf_sender *sender) {
    hf_flight *f = hf_alloc(sizeof *f);
    if (!f)
        return NULL;
    f->sender = sender;
    f->easy = curl_easy_init();
    if (f->easy && set_safety(f) && set_pool(f) && set_callbacks(f))
        return f;
    hf_flight_free(f);
    return NULL;
}

void hf_flight_free(hf_flight *flight) {
    if (!flight)
        return;
    curl_easy_cleanup(flight->easy);
    hf_flight_unload(flight);
    free(flight);
}

/* ---- a post ---------------------------------------------------------------------------------------------------------------- */
static bool add_line(hf_flight *f, const char *line) {
    struct curl_slist *more = curl_slist_append(f->headers, line);
    if (more)
        f->headers = more;
    return more != NULL;
}

static bool add(hf_flight *f, hf_str name, hf_str value) {
    char line[HF_POST_HEADER_BYTES + 64];
    while (value.len && (value.p[0] == ' ' || value.p[0] == '\t'))
        value = (hf_str){value.p + 1, value.len - 1};
    /* curl drops "name:" and sends "name;" as a header without a value */
    snprintf(line, sizeof line, value.len ? "%.*s: %.*s" : "%.*s;", HF_STR_ARG(name), HF_STR_ARG(value));
    bool ok = add_line(f, line);
    explicit_bzero(line, sizeof line);
    return ok;
}

static hf_code add_signature(hf_flight *f, const hf_post *post, hf_err *reterr) {
    char stamp[24], text[HF_SIGNATURES_TEXT];
    int64_t now_s = wall_ms(f->sender) / 1000;
    snprintf(stamp, sizeof stamp, "%" PRId64, now_s);
    hf_code code = HF_OK;
    if (post->key_count)
        code = hf_webhook_sign(post->keys, post->key_count, post->webhook_id, now_s, post->body, text, reterr);
    bool ok = code || (add(f, HF_STR("webhook-id"), post->webhook_id) &&
                       add(f, HF_STR("webhook-timestamp"), hf_str_of(stamp)) &&
                       (!post->key_count || add(f, HF_STR("webhook-signature"), hf_str_of(text))));
    return ok ? code : hf_fail(reterr, HF_E_NO_MEMORY, "the headers of delivery %.*s", HF_STR_ARG(post->webhook_id));
}

static bool is_content_type(hf_str name) { return name.len == 12 && !strncasecmp(name.p, "content-type", 12); }

static hf_code add_headers(hf_flight *f, const hf_post *post, hf_err *reterr) {
    bool typed = post->content_type.len == 0, ok = add_line(f, "Expect:");
    for (uint32_t i = 0; ok && i < post->header_count; i++) {
        ok = add(f, post->headers[i].name, post->headers[i].value);
        typed = typed || is_content_type(post->headers[i].name);
    }
    if (ok && !typed)
        ok = add(f, HF_STR("Content-Type"), post->content_type);
    if (ok && f->sender->options.user_agent)
        ok = SET(CURLOPT_USERAGENT, f->sender->options.user_agent);
    return ok ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the headers of delivery %.*s", HF_STR_ARG(post->webhook_id));
}

static void forget_last(hf_flight *f) {
    f->sockets = 0;
    f->refused = NULL;
    f->head_bytes = f->answer_bytes = 0;
    f->head_whole = false;
    f->retry_after_ms = -1;
    f->excerpt_len = 0;
    f->error[0] = 0;
}

hf_code hf_flight_load(hf_flight *f, const hf_post *post, hf_err *reterr) {
    forget_last(f);
    f->tag = post->tag;
    f->body_len = post->body.len;
    f->url = hf_strndup(post->url.p, post->url.len);
    f->body = (uint8_t *)hf_strndup(post->body.p, post->body.len);
    hf_code code =
        f->url && f->body ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "delivery %.*s", HF_STR_ARG(post->webhook_id));
    if (!code)
        code = add_headers(f, post, reterr);
    if (!code && post->webhook_id.len)
        code = add_signature(f, post, reterr);
    long timeout = post->timeout_ms > 0 && post->timeout_ms < 3600000 ? (long)post->timeout_ms : 10000;
    if (!code &&
        !(SET(CURLOPT_URL, f->url) && SET(CURLOPT_HTTPHEADER, f->headers) && SET(CURLOPT_TIMEOUT_MS, timeout) &&
          SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body_len) && SET(CURLOPT_POSTFIELDS, f->body)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "delivery %.*s", HF_STR_ARG(post->webhook_id));
    return code;
}

void hf_flight_unload(hf_flight *f) {
    for (struct curl_slist *h = f->headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(f->headers);
    f->headers = NULL;
    hf_free_p(&f->url);
    hf_free_p(&f->body);
    f->body_len = 0;
}
