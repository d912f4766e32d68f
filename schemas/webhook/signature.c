#include "schemas/webhook/signature.h"

#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { DIGEST = 32, ENCODED = 44, SIGNATURE = 3 + ENCODED, PREFIX = 6, ID_MAX = 128 };

static int sextet(char c) {
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* Bytes of the padded base64 text, or -1. */
static int decode(hf_str text, uint8_t out[HF_SIGNING_KEY_MAX + 3]) {
    uint32_t pad = hf_str_ends(text, HF_STR("==")) ? 2 : hf_str_ends(text, HF_STR("=")) ? 1 : 0;
    if (text.len % 4 || text.len > 88)
        return -1;
    int n = 0;
    for (uint32_t i = 0; i < text.len; i += 4) {
        uint32_t group = 0;
        for (uint32_t k = i; k < i + 4; k++) {
            int value = k < text.len - pad ? sextet(text.p[k]) : 0;
            if (value < 0)
                return -1;
            group = group << 6 | (uint32_t)value;
        }
        out[n++] = (uint8_t)(group >> 16);
        out[n++] = (uint8_t)(group >> 8);
        out[n++] = (uint8_t)group;
    }
    return n - (int)pad;
}

hf_code hf_signing_key_parse(hf_str secret, hf_signing_key *ret, hf_err *reterr) {
    uint8_t bytes[HF_SIGNING_KEY_MAX + 3];
    if (!hf_str_starts(secret, HF_STR("whsec_")))
        return hf_fail(reterr, HF_E_INVALID,
                       "the signing secret must begin with \"whsec_\" (openssl rand -base64 32 makes what follows)");
    int n = decode((hf_str){secret.p + PREFIX, secret.len - PREFIX}, bytes);
    hf_code code = HF_OK;
    if (n < 0 && secret.len - PREFIX > 88)
        code =
            hf_fail(reterr, HF_E_INVALID, "the signing secret is longer than %d bytes in base64", HF_SIGNING_KEY_MAX);
    else if (n < 0)
        code = hf_fail(reterr, HF_E_INVALID,
                       "the signing secret's part behind \"whsec_\" is no padded base64 (RFC 4648 section 4)");
    else if (n < HF_SIGNING_KEY_MIN || n > HF_SIGNING_KEY_MAX)
        code = hf_fail(reterr, HF_E_INVALID, "the signing secret has %d bytes; it must have %d to %d", n,
                       HF_SIGNING_KEY_MIN, HF_SIGNING_KEY_MAX);
    else {
        *ret = (hf_signing_key){.len = (uint32_t)n};
        memcpy(ret->bytes, bytes, (size_t)n);
    }
    OPENSSL_cleanse(bytes, sizeof bytes);
    return code;
}

void hf_signing_key_wipe(hf_signing_key *key) { OPENSSL_cleanse(key, sizeof *key); }

static bool id_valid(hf_str id) {
    if (id.len == 0 || id.len > ID_MAX)
        return false;
    for (uint32_t i = 0; i < id.len; i++)
        if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '.')
            return false;
    return true;
}

static bool add(EVP_MAC_CTX *mac, const void *bytes, size_t len) { return EVP_MAC_update(mac, bytes, len) == 1; }

static bool digest(const hf_signing_key *key, hf_str id, int64_t timestamp_s, hf_str body, uint8_t out[DIGEST]) {
    char sha256[] = "SHA256", stamp[32];
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
                                 OSSL_PARAM_construct_end()};
    snprintf(stamp, sizeof stamp, ".%" PRId64 ".", timestamp_s);
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    size_t len = 0;
    bool ok = mac && EVP_MAC_init(mac, key->bytes, key->len, params) == 1 && add(mac, id.p, id.len) &&
              add(mac, stamp, strlen(stamp)) && (body.len == 0 || add(mac, body.p, body.len)) &&
              EVP_MAC_final(mac, out, &len, DIGEST) == 1 && len == DIGEST;
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    return ok;
}

/* "v1," and 44 characters, with a NUL behind. */
static bool signature(const hf_signing_key *key, hf_str id, int64_t timestamp_s, hf_str body,
                      char text[SIGNATURE + 1]) {
    uint8_t bytes[DIGEST];
    if (!digest(key, id, timestamp_s, body, bytes))
        return false;
    memcpy(text, "v1,", 3);
    EVP_EncodeBlock((uint8_t *)text + 3, bytes, DIGEST);
    return true;
}

hf_code hf_webhook_sign(const hf_signing_key *keys, uint32_t count, hf_str id, int64_t timestamp_s, hf_str body,
                        char ret_text[HF_SIGNATURES_TEXT], hf_err *reterr) {
    if (!id_valid(id))
        return hf_fail(reterr, HF_E_INVALID, "a webhook-id has 1 to %d visible ASCII characters and no dot", ID_MAX);
    if (count == 0 || count > HF_SIGNING_KEYS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "%u signing secrets; an endpoint has 1 to %d of them", count,
                       HF_SIGNING_KEYS_MAX);
    char text[HF_SIGNATURES_TEXT];
    for (uint32_t i = 0; i < count; i++) {
        char *at = text + i * (SIGNATURE + 1);
        if (keys[i].len < HF_SIGNING_KEY_MIN || keys[i].len > HF_SIGNING_KEY_MAX ||
            !signature(&keys[i], id, timestamp_s, body, at))
            return hf_fail(reterr, HF_E_NO_MEMORY, "the signature of delivery %.*s", HF_STR_ARG(id));
        at[SIGNATURE] = i + 1 < count ? ' ' : 0;
    }
    memcpy(ret_text, text, (size_t)count * (SIGNATURE + 1));
    return HF_OK;
}

bool hf_webhook_verify(const hf_signing_key *key, hf_str id, int64_t timestamp_s, hf_str body, hf_str signatures) {
    char wanted[SIGNATURE + 1];
    bool good = false;
    if (!id_valid(id) || !signature(key, id, timestamp_s, body, wanted))
        return false;
    for (uint32_t from = 0, to; from < signatures.len; from = to + 1) {
        for (to = from; to < signatures.len && signatures.p[to] != ' ';)
            to++;
        if (to - from == SIGNATURE && CRYPTO_memcmp(signatures.p + from, wanted, SIGNATURE) == 0)
            good = true;
    }
    return good;
}
