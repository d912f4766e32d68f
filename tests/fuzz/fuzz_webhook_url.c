// LIBS: hf_notify
/* What passes for a URL that may be posted to has http or https, a host, no user and no address that is closed: asked of libcurl, which
 * would call it. And sixteen bytes taken as an address, in both families: an IPv4 address inside an IPv6 one is as closed as it is by itself. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/notify/send.h"
#include "schemas/webhook/address.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
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

static void check_passed(const char *text) {
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    struct in_addr v4;
    struct in6_addr v6;
    MUST(url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK);
    MUST(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
         (!strcmp(scheme, "http") || !strcmp(scheme, "https")));
    MUST(curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host && strcasecmp(host, "localhost") != 0);
    MUST(curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK);
    MUST(inet_pton(AF_INET, host, &v4) != 1 || !hf_address_refused_v4(ntohl(v4.s_addr)));
    if (host[0] == '[') {
        host[strcspn(host, "]")] = 0;
        MUST(inet_pton(AF_INET6, host + 1, &v6) == 1 && !hf_address_refused_v6(v6.s6_addr));
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_err err = {0};
    if (size >= 16)
        check_addresses(data);
    hf_str url = {(const char *)data, (uint32_t)size};
    hf_code closed = hf_post_url_check(url, false, &err), open = hf_post_url_check(url, true, NULL);
    MUST(closed == HF_OK || err.detail[0]);
    MUST(open == HF_OK || closed == open); /* what is no URL is none either way */
    MUST(open == closed || closed == HF_E_PERMISSION);
    if (closed == HF_OK) {
        char *text = strndup((const char *)data, size);
        MUST(text);
        check_passed(text);
        free(text);
    }
    size_t half = size / 2;
    hf_post_header_check((hf_str){(const char *)data, (uint32_t)half},
                         (hf_str){(const char *)data + half, (uint32_t)(size - half)}, NULL);
    return 0;
}
