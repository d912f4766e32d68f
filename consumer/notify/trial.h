/* `hyperhook test`: one trial delivery to one webhook, and what really came of it. What POST /webhooks/test and
 * `hyperctl webhook test` run as a child: the webhook comes through a pipe, so that its secrets stand on no command line. */
#pragma once
#include <jansson.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"
#include "schemas/base/str.h"

enum { HF_TRIAL_INPUT_BYTES = 256 * 1024 };

typedef struct hf_trial_options {
    const hf_config *config; /* webhook.…, fleet */
    const char *
        event; /* "job.completed" …: that event's members with sample values, and "test": true; NULL or "": webhook.test */
    /* Fill in from the store of secrets what the webhook's record has masked. Only for a record of the fleet's own: of one that somebody
     * else wrote, the store's secrets would go to whatever URL stands in it. */
    bool stored;
} hf_trial_options;

/* `text` is the webhook in JSON (schemas/webhook/webhook.h). *ret_outcome, a new reference, is {delivered, status_code, duration_ms,
 * error, code, attempts}; *ret_end is OK where it was delivered, else the error of `code`. Fails where there was nothing to try: the text
 * is no webhook, names no such event, or a secret of it is missing here. */
hf_code hf_trial_run(const hf_trial_options *options, hf_str text, json_t **ret_outcome, hf_code *ret_end,
                     hf_err *reterr);
/* The same from stdin to stdout; what it returns is in *reterr too, also where the delivery failed. */
hf_code hf_trial_command(const hf_trial_options *options, hf_err *reterr);
