/* Who may ask the sidecar for what.
 *
 * Without `access.tokens_file` everybody who reaches the address may do everything; that is only allowed where the address is a
 * loopback one, and said aloud. With it each request carries `Authorization: Bearer TOKEN` (RFC 6750), or comes over TLS with
 * a client certificate, and may do what its scopes say:
 *
 *   tokens:
 *     - {name: ci, sha256: "<64 hex>", scopes: [read, submit], expires: 2027-01-01T00:00:00Z}
 *   certificates:
 *     - {subject: "CN=ops,O=Example", scopes: [admin]}
 *
 * Only hashes of tokens are kept: a token is 256 random bits, so a plain SHA-256 gives nothing away (`hyperjournal token NAME`
 * makes one). The file is looked at again at most once a second and taken over when it changed, so a token is rotated
 * without a restart; a file that does not parse leaves what was in force, and is logged. Comparisons take the same time
 * whatever the token; a token is never logged, nor put into an error.
 *
 * Besides: a token bucket for each client (a token's name, else the address), `access.rate` requests a second; past it 429.
 * Any thread. */
#pragma once
#include "schemas/base/clock.h"
#include "schemas/base/config.h"

typedef enum hf_scope {
    HF_SCOPE_OPEN = 0,
    HF_SCOPE_READ = 1,
    HF_SCOPE_SUBMIT = 2,
    HF_SCOPE_OPERATE = 4, /* cancel, retry, delete, pause: what changes work that others asked for */
    HF_SCOPE_ADMIN = 8,   /* all of them, and endpoints, tokens, schedules, webhooks */
} hf_scope;
enum { HF_SCOPES_ALL = 15, HF_ACCESS_NAME_MAX = 128, HF_ACCESS_ENTRIES_MAX = 10000, HF_ACCESS_CLIENTS_MAX = 65536 };

typedef struct hf_access hf_access;

/* Who asks: what the checks found. */
typedef struct hf_identity {
    char name[HF_ACCESS_NAME_MAX + 1]; /* "" nobody in particular */
    unsigned scopes;
} hf_identity;

/* CONFIG when the address is not a loopback one and no tokens file is given, or the file cannot be used. */
hf_code hf_access_open(const hf_config *config, bool loopback, const hf_clock *clock, hf_access **ret, hf_err *reterr);
void hf_access_close(hf_access *access);
bool hf_access_required(const hf_access *access);

/* authorization: the header's value or NULL; subject: of a verified client certificate or NULL. UNAUTHORIZED when credentials are
 * needed, missing, wrong or expired. */
hf_code hf_access_identify(hf_access *access, const char *authorization, const char *subject, hf_identity *ret,
                           hf_err *reterr);
/* PERMISSION, naming the scope that is missing. */
hf_code hf_access_allow(const hf_identity *who, hf_scope needed, hf_err *reterr);
/* BUSY when the client has used up its requests; *ret_wait_s says in how many seconds there is one again. */
hf_code hf_access_rate(hf_access *access, const char *client, int *ret_wait_s, hf_err *reterr);

const char *hf_scope_name(hf_scope scope);
bool hf_scope_parse(hf_str name, hf_scope *ret);

/* A new token ("hft_" and 43 characters of base64url) and its SHA-256 in hex. */
enum { HF_TOKEN_BYTES = 48, HF_TOKEN_HASH_BYTES = 65 };
hf_code hf_token_new(char token[HF_TOKEN_BYTES], char hash[HF_TOKEN_HASH_BYTES], hf_err *reterr);
