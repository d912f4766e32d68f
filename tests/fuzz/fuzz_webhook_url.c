// LIBS: hf_notify
/* What passes for a URL that may be posted to has http or https, a host, no user or password and no address that is closed: asked of libcurl,
 * which would call it; and the host that libcurl would call is the one that is written there. What may be kept of it shows no token. And sixteen bytes taken as an address, in both families: an IPv4 address inside an IPv6 one is as closed as it is by itself. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/notify/send.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/address.h"
#include "schemas/webhook/webhook_inside.h"

static const uint8_t *input; /* of this run: a run that fails says what failed, of which bytes */
static size_t input_size;

static void failed(const char *what) {
    fprintf(stderr, "fuzz_webhook_url: not so: %s, with the bytes", what);
    for (size_t i = 0; i < input_size && i < 2048; i++)
        fprintf(stderr, " %02x", input[i]);
    fprintf(stderr, "\n");
    abort();
}

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            failed(#condition_);                                                                                       \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addresses(const uint8_t *data) {
    uint8_t mapped[16] = {[10] = 0xff, 0xff};
    memcpy(mapped + 12, data, 4);
    uint32_t v4 = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    MUST((hf_address_refused_v4(v4) == NULL) == (hf_address_refused_v6(mapped) == NULL));
    bool global = (data[0] & 0xe0) == 0x20, zeros = !data[0] && !data[1], nat64 = !data[0] && data[1] == 0x64;
    MUST(hf_address_refused_v6(data) || global || zeros || nat64 || (data[10] == 0x5e && data[11] == 0xfe));
}

/* The host as a reader sees it: behind the first "://", to the path, without the port. */
static bool is_written(const char *text, const char *host) {
    const char *begin = strstr(text, "://") + 3;
    size_t len = strcspn(begin, *begin == '[' ? "]" : "/?#:"), seen = strlen(host);
    return *begin == '[' ? *host == '[' : len == seen && !strncasecmp(begin, host, len);
}

static void check_host(const char *text, char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    MUST(*host && strcasecmp(host, "localhost") != 0);
    if (inet_pton(AF_INET, host, &v4) == 1) {
        MUST(!hf_address_refused_v4(ntohl(v4.s_addr)));
        return;
    }
    MUST(inet_aton(host, &v4) == 0); /* an address as only the resolver would read it */
    MUST(is_written(text, host));
    if (host[0] == '[') {
        host[strcspn(host, "]")] = 0;
        MUST(inet_pton(AF_INET6, host + 1, &v6) == 1 && !hf_address_refused_v6(v6.s6_addr));
    }
}

static void check_passed(const char *text) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    MUST(url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);
    MUST(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
         (!strcmp(scheme, "http") || !strcmp(scheme, "https")));
    MUST(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK);
    MUST(curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK);
    MUST(curl_url_get(url, CURLUPART_PASSWORD, &user, 0) != CURLUE_OK);
    check_host(text, host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
}

/* A webhook's URL is kept, and shown, without what is secret in it: of a host that takes tokens as its path, the path. */
static void check_shown(hf_str url) {
    hf_arena arena;
    bool masked = false;
    char *text = hf_strndup(url.p, url.len), *host = NULL, *path = NULL;
    CURLU *parsed = curl_url();
    hf_arena_init(&arena, 1 << 20);
    hf_str shown = hf_webhook_url_mask(url, 0, &arena, &masked);
    MUST(text && parsed && shown.p);
    if (curl_url_set(parsed, CURLUPART_URL, text, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_PATH, &path, 0) == CURLUE_OK && !strcasecmp(host, "hooks.slack.com"))
        MUST(!path[1] || masked);
    MUST(masked == hf_webhook_url_is_masked(shown) || hf_webhook_url_is_masked(url));
    curl_free(host);
    curl_free(path);
    curl_url_cleanup(parsed);
    free(text);
    hf_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_err err = {0};
    input = data;
    input_size = size;
    if (size >= 16)
        check_addresses(data);
    hf_str url = {(const char *)data, (uint32_t)size};
    hf_code closed = hf_post_url_check(url, false, &err), open = hf_post_url_check(url, true, NULL);
    MUST(closed == HF_OK || err.detail[0]);
    MUST(open == HF_OK || closed == open); /* what is no URL is none either way */
    MUST(open == closed || closed == HF_E_PERMISSION);
    if (closed == HF_OK) {
        char *text = hf_strndup((const char *)data, size);
        MUST(text);
        check_passed(text);
        free(text);
    }
    if (!hf_webhook_url_fault(url))
        check_shown(url);
    size_t half = size / 2;
    hf_post_header_check((hf_str){(const char *)data, (uint32_t)half},
                         (hf_str){(const char *)data + half, (uint32_t)(size - half)}, NULL);
    return 0;
}
