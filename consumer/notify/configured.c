#include "consumer/notify/configured.h"

#include <stdio.h>
#include <uthash.h>

#include "schemas/base/mem.h"

enum { ARENA_BYTES = 64 << 20 };

typedef struct entry {
    hf_webhook webhook;
    hf_webhook_secret secret;
    UT_hash_handle hh; /* by the webhook's id */
} entry;

struct hf_configured {
    hf_arena arena;
    entry *by_id;
};

void hf_configured_free(hf_configured *c) {
    entry *e, *next;
    if (!c)
        return;
    HASH_ITER(hh, c->by_id, e, next)
        HASH_DEL(c->by_id, e);
    hf_arena_done(&c->arena); /* entries lie in it */
    free(c);
}

static hf_code tell(size_t index, const hf_intake_errors *errors, hf_err *reterr) {
    char text[HF_ERR_DETAIL_BYTES] = "";
    int at = 0;
    for (uint32_t i = 0; i < errors->count && i < HF_MAX_ERRORS && at < (int)sizeof text; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%.*s", i ? "; " : "", HF_STR_ARG(errors->text[i]));
    return hf_fail(reterr, HF_E_CONFIG, "webhooks[%zu]: %s", index, text);
}

static hf_code read_one(hf_configured *c, const json_t *json, size_t index, hf_err *reterr) {
    entry *e = hf_arena_alloc(&c->arena, sizeof *e), *other = NULL;
    hf_intake_errors *told = hf_arena_alloc(&c->arena, 2 * sizeof *told);
    if (!e || !told)
        return hf_fail(reterr, HF_E_NO_MEMORY, "webhooks[%zu]", index);
    hf_type_init(&HF_TYPE_WEBHOOK, &e->webhook);
    hf_code code = hf_webhook_read(json, HF_WEBHOOK_LENIENT | HF_WEBHOOK_DERIVE_ID, &c->arena, &e->webhook, &e->secret,
                                   &told[0], &told[1], reterr);
    if (code)
        return hf_context(reterr, "webhooks[%zu]", index);
    if (told[0].count)
        return tell(index, &told[0], reterr);
    e->webhook.origin = e->webhook.by = HF_STR(HF_CONFIGURED_ORIGIN);
    hf_str id = e->webhook.endpoint_id;
    HASH_FIND(hh, c->by_id, id.p, id.len, other);
    if (other)
        return hf_fail(reterr, HF_E_CONFIG, "webhooks[%zu]: the id %.*s is there twice; give each its own", index,
                       HF_STR_ARG(id));
    HASH_ADD_KEYPTR(hh, c->by_id, id.p, id.len, e);
    return HF_OK;
}

hf_code hf_configured_read(const hf_config *config, hf_configured **ret, hf_err *reterr) {
    const json_t *list = hf_config_json(config, HF_C_WEBHOOKS), *one;
    size_t i;
    *ret = NULL;
    if (!list)
        return HF_OK;
    if (!json_is_array(list))
        return hf_fail(reterr, HF_E_CONFIG, "webhooks: must be a list");
    hf_configured *c = hf_alloc(sizeof *c);
    if (!c)
        return hf_fail(reterr, HF_E_NO_MEMORY, "webhooks");
    hf_arena_init(&c->arena, ARENA_BYTES);
    hf_code code = HF_OK;
    for (i = 0; !code && i < json_array_size(list) && (one = json_array_get(list, i)); i++)
        code = read_one(c, one, i, reterr);
    if (code)
        hf_configured_free(c);
    else
        *ret = c;
    return code;
}

const hf_webhook_secret *hf_configured_secret(const hf_configured *c, hf_str id) {
    entry *e = NULL;
    if (c)
        HASH_FIND(hh, c->by_id, id.p, id.len, e);
    return e && hf_webhook_has_secret(&e->secret) ? &e->secret : NULL;
}

/* What the configuration does not say is the topic's: times, where it begins, and that its receiver switched it off. */
static hf_webhook merged(const hf_webhook *mine, const hf_webhook *there) {
    hf_webhook w = *mine;
    if (!there)
        return w;
    w.from = there->from;
    w.created_at = there->created_at;
    w.updated_at = there->updated_at;
    w.by = there->by;
    if (there->disabled_reason.len && mine->enabled) {
        w.enabled = there->enabled;
        w.disabled_reason = there->disabled_reason;
    }
    return w;
}

typedef struct settling {
    const hf_configured *configured;
    hf_configured_publish publish;
    void *ctx;
    hf_code code;
    hf_err *reterr;
} settling;

static void take_away(void *ctx, const hf_webhook *there) {
    settling *s = ctx;
    entry *e = NULL;
    HASH_FIND(hh, s->configured->by_id, there->endpoint_id.p, there->endpoint_id.len, e);
    if (!s->code && !e && hf_str_eqz(there->origin, HF_CONFIGURED_ORIGIN))
        s->code = s->publish(s->ctx, there->endpoint_id, NULL, s->reterr);
}

hf_code hf_configured_settle(const hf_configured *c, const hf_decide *known, hf_list from, int64_t wall_ms,
                             hf_configured_publish publish, void *ctx, hf_err *reterr) {
    if (!c)
        return HF_OK;
    for (const entry *e = c->by_id; e; e = e->hh.next) {
        const hf_webhook *there = hf_decide_find(known, e->webhook.endpoint_id);
        hf_webhook w = merged(&e->webhook, there);
        if (there && hf_type_equal(&HF_TYPE_WEBHOOK, there, &w))
            continue;
        w.updated_at = wall_ms;
        w.by = HF_STR(HF_CONFIGURED_ORIGIN);
        if (!there) {
            w.created_at = wall_ms;
            w.from = from;
        }
        hf_code code = publish(ctx, w.endpoint_id, &w, reterr);
        if (code)
            return code;
    }
    settling s = {c, publish, ctx, HF_OK, reterr};
    hf_decide_each(known, take_away, &s);
    return s.code;
}
