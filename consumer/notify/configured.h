/* The `webhooks:` of hyperhook's configuration: their records for the topic, and their secrets, which stay here. Every hook of a
 * fleet has the same list; a hook without one manages none. */
#pragma once
#include "consumer/notify/decide.h"
#include "schemas/base/config.h"

#define HF_CONFIGURED_ORIGIN "config"

typedef struct hf_configured hf_configured;

/* *ret NULL: the configuration says nothing of webhooks. CONFIG names every error. */
hf_code hf_configured_read(const hf_config *config, hf_configured **ret, hf_err *reterr);
void hf_configured_free(hf_configured *configured);
/* NULL: the configuration has none for it; the secrets' file may. */
const hf_webhook_secret *hf_configured_secret(const hf_configured *configured, hf_str id);
/* Which records make the topic agree: webhooks that are new or different, and (webhook NULL) ids that are gone from the list. A new one
 * begins at `from`. One that its receiver switched off (410) stays off. */
typedef hf_code (*hf_configured_publish)(void *ctx, hf_str id, const hf_webhook *webhook, hf_err *reterr);
hf_code hf_configured_settle(const hf_configured *configured, const hf_decide *known, hf_list from, int64_t wall_ms,
                             hf_configured_publish publish, void *ctx, hf_err *reterr);
