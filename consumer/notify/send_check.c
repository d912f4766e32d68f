/* What of a post is looked at before anything is sent: its URL and its headers. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/notify/send.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/address.h"
#include "schemas/webhook/webhook.h"

static void url_done(CURLU **url) { curl_url_cleanup(*url); }
static void part_done(char **part) { curl_free(*part); }

static bool is_local_name(const char *host) {
    size_t len = strlen(host);
    while (len && host[len - 1] == '.')
        len--;
    static const char name[] = "localhost";
    size_t n = sizeof name - 1;
    return len >= n && !strncasecmp(host + len - n, name, n) && (len == n || host[len - n - 1] == '.');
}

/* Why a host that is written as an address, or is this machine's own name, may not be called; NULL where it may, or has to be resolved. */
static const char *refused(const char *host) {
    char inner[128];
    struct in_addr v4;
    struct in6_addr v6;
    if (is_local_name(host))
        return "loopback";
    if (inet_pton(AF_INET, host, &v4) == 1)
        return hf_address_refused_v4(ntohl(v4.s_addr));
    size_t len = strlen(host);
    if (host[0] != '[' || len < 3 || len - 2 >= sizeof inner)
        return NULL;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = 0;
    return inet_pton(AF_INET6, inner, &v6) == 1 ? hf_address_refused_v6(v6.s6_addr) : NULL;
}

/* Of "https://" or "http://"; 0: it begins otherwise. */
static uint32_t scheme_len(hf_str url) {
    static const char *const schemes[] = {"https://", "http://"};
    for (size_t i = 0; i < HF_ARRAY_LEN(schemes); i++)
        if (url.len >= strlen(schemes[i]) && !strncasecmp(url.p, schemes[i], strlen(schemes[i])))
            return (uint32_t)strlen(schemes[i]);
    return 0;
}

static hf_code check_text(hf_str url, hf_err *reterr) {
    if (url.len == 0)
        return hf_fail(reterr, HF_E_INVALID, "the URL is empty");
    if (url.len > HF_URL_MAX_BYTES)
        return hf_fail(reterr, HF_E_LIMIT, "the URL has %u bytes; at most %d are taken", url.len, HF_URL_MAX_BYTES);
    for (uint32_t i = 0; i < url.len; i++)
        if (url.p[i] <= ' ' || url.p[i] > '~')
            return hf_fail(
                reterr, HF_E_INVALID,
                "the URL has a character at %u that must be percent-encoded (of a host's name: its xn-- form)", i + 1);
    /* curl would take https:///path for the host "path", and http:/a for the host "a" whatever stands behind it */
    uint32_t begin = scheme_len(url);
    if (begin == 0 || begin == url.len || url.p[begin] == '/')
        return hf_fail(reterr, HF_E_INVALID, "the URL does not begin with https:// or http:// and a host");
    if (hf_webhook_url_hides_host(url))
        return hf_fail(reterr, HF_E_INVALID, "the URL has its host percent-encoded; write it as it is");
    return HF_OK;
}

static hf_code check_host(CURLU *url, bool allow_private, hf_err *reterr) {
    __attribute__((cleanup(part_done))) char *scheme = NULL, *host = NULL, *zone = NULL;
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return hf_fail(reterr, HF_E_INVALID, "the URL begins with neither https:// nor http://");
    if (curl_url_get(url, CURLUPART_HOST, &host, 0) || !*host)
        return hf_fail(reterr, HF_E_INVALID, "the URL names no host");
    if (allow_private)
        return HF_OK;
    const char *why = curl_url_get(url, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK ? "link-local" : refused(host);
    return why ? hf_fail(reterr, HF_E_PERMISSION,
                         "%.100s may not be called: its address is %s; webhook.allow_private permits it", host, why)
               : HF_OK;
}

hf_code hf_post_url_check(hf_str url, bool allow_private, hf_err *reterr) {
    hf_code code = check_text(url, reterr);
    if (code)
        return code;
    __attribute__((cleanup(url_done))) CURLU *parsed = curl_url();
    hf_auto_free char *text = hf_strndup(url.p, url.len);
    if (!parsed || !text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the URL of a webhook");
    CURLUcode problem = curl_url_set(parsed, CURLUPART_URL, text, CURLU_DISALLOW_USER);
    if (problem == CURLUE_OUT_OF_MEMORY)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the URL of a webhook");
    if (problem == CURLUE_USER_NOT_ALLOWED)
        return hf_fail(reterr, HF_E_INVALID,
                       "the URL has a user or password in it; give it as a header of the webhook instead");
    if (problem == CURLUE_UNSUPPORTED_SCHEME)
        return hf_fail(reterr, HF_E_INVALID, "the URL begins with neither https:// nor http://");
    if (problem)
        return hf_fail(reterr, HF_E_INVALID, "this is no URL: %s", curl_url_strerror(problem));
    return check_host(parsed, allow_private, reterr);
}

/* ---- headers --------------------------------------------------------------------------------------------------------- */
/* Those that say where a message ends or whose connection it is, and those the sender writes itself. */
static const char *const reserved[] = {
    "connection",        "content-length",    "expect",           "host",
    "http2-settings",    "keep-alive",        "proxy-connection", "te",
    "trailer",           "transfer-encoding", "upgrade",          "webhook-id",
    "webhook-signature", "webhook-timestamp",
};

static bool is_token(hf_str name) {
    for (uint32_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

hf_code hf_post_header_check(hf_str name, hf_str value, hf_err *reterr) {
    if (!is_token(name) || name.len > 128)
        return hf_fail(reterr, HF_E_INVALID,
                       "a header's name must have 1 to 128 letters, digits or any of !#$%%&'*+-.^_`|~");
    for (size_t i = 0; i < HF_ARRAY_LEN(reserved); i++)
        if (strlen(reserved[i]) == name.len && !strncasecmp(reserved[i], name.p, name.len))
            return hf_fail(reterr, HF_E_INVALID, "the header %s is the sender's own and cannot be given", reserved[i]);
    if (value.len > HF_POST_HEADER_BYTES - name.len)
        return hf_fail(reterr, HF_E_LIMIT, "the header %.*s is longer than %d bytes", HF_STR_ARG(name),
                       HF_POST_HEADER_BYTES);
    for (uint32_t i = 0; i < value.len; i++)
        if (((uint8_t)value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7f)
            return hf_fail(reterr, HF_E_INVALID, "the value of header %.*s has a control character in it",
                           HF_STR_ARG(name));
    return HF_OK;
}
