/* Whom a TLS connection trusts: certificates of a CA file (or the system's), or one certificate known by its thumbprint, or
 * anybody. With a thumbprint neither chain nor host name matter: it is that certificate or none.
 *
 * curl knows nothing of the thumbprint when it looks for a connection to use again, so a handle keeps the trust it began with:
 * one handle (and its connections), one hf_tls_trust. TLS sessions are not resumed, so every connection is verified. */
#pragma once
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum { HF_TLS_PIN_MAX = 32, HF_TLS_PIN_TEXT = 3 * HF_TLS_PIN_MAX };

typedef struct hf_tls_trust {
    char ca_file[1024];          /* PEM; "" the system's */
    uint8_t pin[HF_TLS_PIN_MAX]; /* of the leaf certificate's DER */
    uint32_t pin_len;            /* 32: SHA-256; 20: SHA-1 (what ESX hosts are known by inside vSphere); 0: none */
    bool insecure;               /* anybody, unless there is a pin */
} hf_tls_trust;

/* What a handle saw; lives as long as the handle. */
typedef struct hf_tls_seen {
    const hf_tls_trust *trust;
    char sha256[HF_TLS_PIN_TEXT]; /* thumbprint of the last leaf certificate, "AA:BB:…"; "" none yet */
    bool pin_mismatch;
} hf_tls_seen;

/* "AA:BB:…" or plain hex, of 20 or 32 bytes. */
bool hf_tls_pin_parse(hf_str text, uint8_t pin[HF_TLS_PIN_MAX], uint32_t *ret_len);
const char *hf_tls_pin_text(const uint8_t *pin, uint32_t len, char text[HF_TLS_PIN_TEXT]);
/* Makes the handle verify by *trust, which outlives it, as does *seen. */
hf_code hf_tls_apply(CURL *curl, const hf_tls_trust *trust, hf_tls_seen *seen, hf_err *reterr);
