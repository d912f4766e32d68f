/* Standard Webhooks 1.0.0, symmetric signatures: a secret is "whsec_" and the base64 of 24 to 64 bytes; a signature is
 * "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body". While a secret is rotated, a delivery carries one signature for
 * each of its secrets, separated by blanks.
 *
 * No error ever shows a piece of a secret. Whoever parsed a key wipes it. Pure; thread-safe. */
#pragma once
#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum {
    HF_SIGNING_KEYS_MAX = 4, /* secrets of one endpoint at a time */
    HF_SIGNING_KEY_MIN = 24, /* bytes */
    HF_SIGNING_KEY_MAX = 64,
    HF_SIGNING_SECRET_TEXT = 6 + 88 + 1,                     /* whsec_, base64 of 64 bytes, NUL */
    HF_SIGNATURES_TEXT = HF_SIGNING_KEYS_MAX * (3 + 44 + 1), /* each "v1," and 44 characters; blanks; NUL */
};

typedef struct hf_signing_key {
    uint8_t bytes[HF_SIGNING_KEY_MAX];
    uint32_t len;
} hf_signing_key;

/* Errors: INVALID says what is wrong with the secret, not what it is. */
hf_code hf_signing_key_parse(hf_str secret, hf_signing_key *ret, hf_err *reterr);
void hf_signing_key_wipe(hf_signing_key *key);
/* The text of webhook-signature, for 1 to HF_SIGNING_KEYS_MAX keys. `id` is 1 to 128 visible ASCII characters without a dot. */
hf_code hf_webhook_sign(const hf_signing_key *keys, uint32_t count, hf_str id, int64_t timestamp_s, hf_str body,
                        char ret_text[HF_SIGNATURES_TEXT], hf_err *reterr);
/* True where one of the v1 signatures in `signatures` is key's. In constant time for each of them. */
bool hf_webhook_verify(const hf_signing_key *key, hf_str id, int64_t timestamp_s, hf_str body, hf_str signatures);
