/* What is told about a post: what kind of end it came to, and words for people that hold no secret. A receiver may send back
 * what it was sent (many do, on errors): the endpoint's header values, the signature and the URL's path, which of some services
 * is the secret, are masked in what is shown of its answer. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/notify/send_inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

/* Bytes of a value that is looked for: shorter ones are in any text. "/hook" is nobody's secret. */
enum { SECRET_MIN = 4, PATH_SECRET_MIN = 12 };

static void mask(char *text, const char *secret, size_t len) {
    if (len < SECRET_MIN)
        return;
    for (char *at = text; (at = memmem(at, strlen(at), secret, len)); at += len)
        memset(at, '*', len);
}

/* `bytes` of it are what an excerpt begins with: a secret that was cut off at the excerpt's end is masked as well. */
static void mask_cut(char *text, const char *secret, size_t len) {
    size_t have = strlen(text);
    for (size_t n = len - 1 < have ? len - 1 : have; len > SECRET_MIN && n >= SECRET_MIN; n--)
        if (!memcmp(text + have - n, secret, n)) {
            memset(text + have - n, '*', n);
            return;
        }
}

static void mask_value(char *text, const char *value) {
    mask(text, value, strlen(value));
    mask_cut(text, value, strlen(value));
    const char *word = strrchr(value, ' '); /* "Bearer TOKEN": the token alone */
    if (word) {
        mask(text, word + 1, strlen(word + 1));
        mask_cut(text, word + 1, strlen(word + 1));
    }
}

static const char *after_host(const char *url) {
    const char *host = strstr(url, "://");
    return host ? host + 3 + strcspn(host + 3, "/?#") : url;
}

/* What the sender itself says of a delivery is no secret, and often what an answer is about. */
static bool is_open(const char *line) {
    static const char *const names[] = {"content-type:", "webhook-id:", "webhook-timestamp:"};
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++)
        if (!strncasecmp(line, names[i], strlen(names[i])))
            return true;
    return false;
}

static void mask_secrets(const hf_flight *f, char *text) {
    const char *path = after_host(f->url);
    for (const struct curl_slist *h = f->headers; h; h = h->next) {
        const char *value = strstr(h->data, ": ");
        if (value && !is_open(h->data))
            mask_value(text, value + 2);
    }
    path += *path == '/';
    if (strlen(path) >= PATH_SECRET_MIN)
        mask_value(text, path);
    if (strchr(path, '?'))
        mask_value(text, strchr(path, '?') + 1);
}

/* Printable ASCII on one line. */
static void tidy(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        bool blank = (unsigned char)*from <= ' ';
        if (blank && (to == text || to[-1] == ' '))
            continue;
        *to++ = blank ? ' ' : (unsigned char)*from > '~' ? '?' : *from;
    }
    while (to > text && to[-1] == ' ')
        to--;
    *to = 0;
}

static void excerpt(const hf_flight *f, char text[HF_EXCERPT_BYTES + 1]) {
    memcpy(text, f->excerpt, f->excerpt_len);
    text[f->excerpt_len] = 0;
    for (uint32_t i = 0; i < f->excerpt_len; i++)
        if (!text[i])
            text[i] = ' ';
    mask_secrets(f, text);
    tidy(text);
}

/* The host and port of the URL, which may be told. */
static hf_str host_of(const hf_flight *f) {
    const char *begin = strstr(f->url, "://"), *end = after_host(f->url);
    begin = begin ? begin + 3 : end;
    return (hf_str){begin, (uint32_t)(end - begin)};
}

static hf_code code_of(CURLcode result) {
    switch ((int)result) {
    case CURLE_OPERATION_TIMEDOUT: return HF_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY: return HF_E_NO_MEMORY;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return HF_E_CERTIFICATE;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WRITE_ERROR: return HF_E_PROTOCOL;
    default: return HF_E_UNREACHABLE;
    }
}

static void words_of_failure(const hf_flight *f, CURLcode result, int status, char *text, size_t size) {
    hf_str host = host_of(f);
    char said[CURL_ERROR_SIZE];
    snprintf(said, sizeof said, "%s", f->error[0] ? f->error : curl_easy_strerror(result));
    if (f->head_bytes > HF_ANSWER_HEAD_BYTES)
        snprintf(said, sizeof said, "its answer's headers are longer than %d bytes", HF_ANSWER_HEAD_BYTES);
    else if (!result)
        snprintf(said, sizeof said, "the connection was closed in the middle of its head");
    mask_secrets(f, said);
    tidy(said);
    if (status)
        snprintf(text, size, "%.*s answered %d, but not to the end: %s", HF_STR_ARG(host), status, said);
    else
        snprintf(text, size, "%.*s: %s", HF_STR_ARG(host), said);
}

static void words_of_answer(const hf_flight *f, int status, char *text, size_t size) {
    char shown[HF_EXCERPT_BYTES + 1];
    hf_str host = host_of(f);
    excerpt(f, shown);
    if (status >= 300 && status <= 399)
        snprintf(text, size, "%.*s answered %d: redirects are not followed; give the webhook the URL it leads to",
                 HF_STR_ARG(host), status);
    else
        snprintf(text, size, *shown ? "%.*s answered %d: %s" : "%.*s answered %d%s", HF_STR_ARG(host), status, shown);
}

static void by_status(const hf_flight *f, int status, hf_post_outcome *o) {
    bool delivered = status >= 200 && status <= 299;
    o->class = delivered ? HF_POST_DELIVERED : status == 410 ? HF_POST_GONE : HF_POST_RETRY;
    o->code = delivered ? HF_OK : HF_E_PROTOCOL;
    if (status == 429 || status == 503)
        o->retry_after_ms = f->retry_after_ms;
    if (!delivered)
        words_of_answer(f, status, o->error, sizeof o->error);
}

/* The answer was whole, or as much of it as is read. */
static bool answered(const hf_flight *f, CURLcode result) {
    return (result == CURLE_OK && f->head_whole) ||
           (result == CURLE_WRITE_ERROR && f->answer_bytes > HF_ANSWER_MAX_BYTES);
}

void hf_flight_outcome(const hf_flight *f, CURLcode result, hf_post_outcome *ret) {
    long status = 0;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    *ret = (hf_post_outcome){.class = HF_POST_RETRY, .status = (int32_t)status, .retry_after_ms = -1};
    ret->duration_ms = (hf_mono_ns() - f->begun_ns) / 1000000;
    if (f->refused && f->sockets == 0) {
        hf_str host = host_of(f);
        ret->class = HF_POST_REFUSED;
        ret->code = HF_E_PERMISSION;
        ret->status = 0;
        snprintf(ret->error, sizeof ret->error,
                 "%.*s may not be called: its address is %s; webhook.allow_private permits it", HF_STR_ARG(host),
                 f->refused);
    } else if (answered(f, result) || status >= 300) { /* what is not 2xx is said by the head already */
        by_status(f, (int)status, ret);
    } else {
        ret->code = result ? code_of(result) : HF_E_PROTOCOL;
        words_of_failure(f, result, (int)status, ret->error, sizeof ret->error);
    }
}
