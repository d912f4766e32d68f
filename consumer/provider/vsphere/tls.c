#include "consumer/provider/vsphere/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool hf_tls_pin_parse(hf_str text, uint8_t pin[HF_TLS_PIN_MAX], uint32_t *ret_len) {
    uint8_t bytes[HF_TLS_PIN_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < text.len;) {
        if (n > 0 && text.p[i] == ':')
            i++;
        int high = i < text.len ? hex_value(text.p[i]) : -1, low = i + 1 < text.len ? hex_value(text.p[i + 1]) : -1;
        if (high < 0 || low < 0 || n == HF_TLS_PIN_MAX)
            return false;
        bytes[n++] = (uint8_t)(high * 16 + low);
        i += 2;
    }
    if (n != 20 && n != 32)
        return false;
    memcpy(pin, bytes, n);
    *ret_len = n;
    return true;
}

const char *hf_tls_pin_text(const uint8_t *pin, uint32_t len, char text[HF_TLS_PIN_TEXT]) {
    text[0] = 0;
    for (uint32_t i = 0; i < len && i < HF_TLS_PIN_MAX; i++)
        snprintf(text + i * 3, 4, i + 1 < len ? "%02X:" : "%02X", pin[i]);
    return text;
}

static bool pinned(const hf_tls_trust *trust, X509 *leaf) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    return leaf && X509_digest(leaf, trust->pin_len == 20 ? EVP_sha1() : EVP_sha256(), digest, &len) &&
           len == trust->pin_len && memcmp(digest, trust->pin, len) == 0;
}

static void note_leaf(hf_tls_seen *seen, X509 *leaf) {
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (leaf && X509_digest(leaf, EVP_sha256(), digest, &len))
        hf_tls_pin_text(digest, len, seen->sha256);
}

/* In the place of OpenSSL's whole verification; curl reads the verdict from the context's error besides. */
static int verify(X509_STORE_CTX *ctx, void *arg) {
    hf_tls_seen *seen = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    note_leaf(seen, leaf);
    seen->pin_mismatch = seen->trust->pin_len && !pinned(seen->trust, leaf);
    bool good = seen->trust->pin_len ? !seen->pin_mismatch : seen->trust->insecure || X509_verify_cert(ctx) == 1;
    if (seen->trust->pin_len || seen->trust->insecure)
        X509_STORE_CTX_set_error(ctx, good ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return good;
}

static CURLcode set_up(CURL *curl, void *ssl_ctx, void *arg) {
    (void)curl;
    SSL_CTX_set_cert_verify_callback(ssl_ctx, verify, arg);
    return CURLE_OK;
}

hf_code hf_tls_apply(CURL *curl, const hf_tls_trust *trust, hf_tls_seen *seen, hf_err *reterr) {
    *seen = (hf_tls_seen){.trust = trust};
    long host = trust->pin_len || trust->insecure ? 0 : 2;
    if (curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L) || curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, host) ||
        (trust->ca_file[0] && curl_easy_setopt(curl, CURLOPT_CAINFO, trust->ca_file)) ||
        curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) ||
        curl_easy_setopt(curl, CURLOPT_SSL_SESSIONID_CACHE, 0L) ||
        curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, set_up) || curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, seen))
        return hf_fail(reterr, HF_E_NOT_BUILT, "this build's libcurl has no OpenSSL, or too little memory");
    return HF_OK;
}
