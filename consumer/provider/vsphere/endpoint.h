/* Endpoints of provider vsphere, as the configuration has them:
 *
 *   endpoints:
 *     vc1:
 *       provider: vsphere
 *       url: https://vc1.example.com/sdk     # https only; /sdk where no path is given
 *       username: hyperfleet@vsphere.local
 *       password_file: /etc/hyperfleet/vc1.password     # or password_env: NAME, or credential: NAME (systemd)
 *       thumbprint: "AA:BB:…"                # SHA-256 of the server's certificate; or ca_file: FILE; or insecure: true
 *
 * A file with a secret must be a regular file that only its owner can read, and its owner this user or root. Secrets are read when a
 * login needs them, wiped after it, and in no error or log. Every error here is CONFIG and names the endpoint, the member and the remedy. */
#pragma once
#include "consumer/provider/vsphere/tls.h"
#include "schemas/base/config.h"
#include "schemas/base/id.h"

enum {
    HF_ENDPOINT_SECRET_MAX = 64 * 1024,
    HF_ENDPOINT_DISKS_MAX = 3,
    HF_ENDPOINT_DOWNLOADS_MAX = 64,
    HF_ENDPOINT_PAGE_MAX = 1000
};

typedef enum hf_secret_from { HF_SECRET_FILE, HF_SECRET_ENV, HF_SECRET_CREDENTIAL } hf_secret_from;
/* Quiesced snapshots: fall back to a crash-consistent one, fail without, or never ask. */
typedef enum hf_quiesce { HF_QUIESCE_PREFERRED, HF_QUIESCE_REQUIRED, HF_QUIESCE_NEVER } hf_quiesce;

typedef struct hf_endpoint {
    char name[HF_ID_MAX_BYTES + 1];
    char url[1024];      /* "https://host[:port]/sdk" */
    char host[256];      /* without the brackets of IPv6 */
    char authority[264]; /* "host:port", brackets and all: what stands for `*` in a lease's URL */
    uint16_t port;
    char username[256];
    hf_secret_from secret_from;
    char secret_at[1024]; /* path, variable or credential's name; "" no password */
    bool token;           /* the secret is a SAML token (bearer) rather than a password: token_file */
    hf_tls_trust tls;
    int64_t connect_timeout_ms; /* connect_timeout, 10s */
    int64_t call_timeout_ms;    /* call_timeout, 2m: one SOAP call */
    int64_t lease_wait_ms;      /* lease_wait, 5m: until a lease is ready */
    int64_t task_wait_ms;       /* task_wait, 15m: a snapshot made or removed */
    int64_t stall_timeout_ms;   /* stall_timeout, 60s: a download without a byte */
    int64_t keepalive_ms;       /* lease_keepalive, 10s */
    int32_t max_disks;          /* max_disks, 3: downloads at a time from one host */
    int32_t max_downloads;      /* max_downloads, 12: downloads at a time from all hosts of the endpoint */
    int32_t page_size;          /* page_size, 100: objects in an inventory answer */
    hf_quiesce quiesce;         /* quiesce: preferred, required, never */
} hf_endpoint;

/* The endpoint of that name; NOT_FOUND lists those there are. */
hf_code hf_endpoint_find(const hf_config *config, hf_str name, hf_endpoint *ret, hf_err *reterr);
/* Every entry of `endpoints`; for programs at start. Secrets' files are not opened. */
hf_code hf_endpoints_check(const hf_config *config, hf_err *reterr);

typedef struct hf_secret {
    char *text; /* NUL-terminated; a password without its file's line end */
    size_t len;
} hf_secret;
hf_code hf_secret_read(const hf_endpoint *endpoint, hf_secret *ret, hf_err *reterr);
void hf_secret_done(hf_secret *secret); /* wipes it */
