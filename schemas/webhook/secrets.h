/* The hook's own store of secrets: one file, the machine's alone, that never goes near Kafka.
 *
 *   { "version": 1, "webhooks": { "<endpoint id>": { "secrets": ["whsec_…"], "headers": {"Authorization": "…"}, "url": "https://…" } } }
 *
 * in YAML or JSON; written as JSON. Where it is: `webhook.secrets_file`; else the credential "webhooks" of systemd
 * ($CREDENTIALS_DIRECTORY/webhooks), which can be read only. A file that others may read or write is refused, with the command that
 * helps. Written whole beside itself (0600), synced and renamed, under a lock that all writers of the machine share; so readers
 * see the old or the new. Bounds: HF_SECRETS_FILE_BYTES, HF_SECRETS_MAX endpoints.
 *
 * Nothing of what it holds comes into an error. Thread-safe. */
#pragma once
#include "schemas/webhook/webhook.h"

enum { HF_SECRETS_FILE_BYTES = 4 << 20, HF_SECRETS_MAX = 10000, HF_SECRETS_ARENA_BYTES = 256 * 1024 };

typedef struct hf_secrets hf_secrets;

/* `path` is webhook.secrets_file: "" takes the credential, if there is one; else *ret is NULL (HF_OK): there is no store. A file that
 * is not there yet is an empty store, where its folder is. PERMISSION names mode and remedy, PARSE the line and column. */
hf_code hf_secrets_open(const char *path, hf_secrets **ret, hf_err *reterr);
void hf_secrets_close(hf_secrets *secrets); /* NULL is fine */
bool hf_secrets_writable(const hf_secrets *secrets);
const char *hf_secrets_path(const hf_secrets *secrets);
/* Reads the file again if it is another than before (one stat otherwise). On an error what was there stays in force. *ret_changed may
 * be NULL. */
hf_code hf_secrets_refresh(hf_secrets *secrets, bool *ret_changed, hf_err *reterr);
/* What it has of an endpoint, copied into arena; false: nothing, or no memory. NULL secrets have nothing. */
bool hf_secrets_find(hf_secrets *secrets, hf_str endpoint_id, hf_arena *arena, hf_webhook_secret *ret);
/* Puts (NULL or an empty one: removes) an endpoint's, and writes the file; what others wrote meanwhile stays. */
hf_code hf_secrets_put(hf_secrets *secrets, hf_str endpoint_id, const hf_webhook_secret *secret, hf_err *reterr);
