/* What looks like a secret, and so must not be in a job: a submission stands on a log that is kept for ever, and
 * every worker reads it. Jobs name an endpoint; its credentials stay with the workers.
 *
 * A guess by name and shape, made to refuse too much rather than too little: members called password, passwd,
 * passphrase, secret, token, api_key, private_key, access_key, authorization, credentials (also as the end of a
 * longer name, in any case, with or without _ and -) whose value is not empty; URLs with a password before the '@';
 * PEM private keys. Nothing here ever copies a value. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "schemas/base/str.h"

enum { HF_SECRET_PATH_BYTES = 256 };

/* Text that holds a URL with a password, or a PEM private key. */
bool hf_secret_in_text(hf_str text);
/* The path ("parameters.db.password") of the first secret at any depth into `path`; false: none. Deeper than 64 levels
 * counts as one, since nobody looked. A member whose own name holds a secret is told by its parent's path. */
bool hf_secret_in_json(const json_t *json, char path[HF_SECRET_PATH_BYTES]);
