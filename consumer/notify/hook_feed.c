#include <inttypes.h>

#include "consumer/notify/facts.h"
#include "consumer/notify/hook_inside.h"
#include "schemas/base/log.h"

void hook_fail_later(hook *h, hf_code code) {
    if (h->failed == HF_OK)
        h->failed = code;
}

/* ---- events ----------------------------------------------------------------------------------------------------------- */
static void take_up(hook *h, const hf_change *c, const hf_webhook_facts *facts, uint8_t nth) {
    hf_buf_clear(&h->row);
    hf_code code = hf_facts_write(facts, nth, hf_job_hash(facts->job_id), &h->row)
                       ? hf_outbox_add(h->outbox, c->position.partition, hf_place_of(c->position.offset, facts->event),
                                       hook_mono(h), hf_buf_str(&h->row), &h->err)
                       : hf_fail(&h->err, HF_E_NO_MEMORY, "the facts of job %.*s", HF_STR_ARG(facts->job_id));
    if (code != HF_OK)
        hook_fail_later(h, code);
}

void hook_on_change(void *ctx, const hf_change *c) {
    hook *h = ctx;
    hf_webhook_facts facts[HF_FACTS_MAX];
    if (c->verdict != HF_V_ACCEPTED || c->unreadable || !c->after || !c->after->spec)
        return;
    if (hook_wall(h) - c->record->at > hf_config_int(h->config, HF_C_WEBHOOK_MAX_AGE))
        return; /* an old story */
    hf_arena_reset(&h->arena);
    uint32_t n = hf_facts_of(c->record, c->after, &h->arena, facts);
    for (uint32_t i = 0; i < n; i++)
        take_up(h, c, &facts[i], (uint8_t)i);
}

/* ---- other records ------------------------------------------------------------------------------------------------------ */
static hf_code take_webhook(hook *h, const hf_log_record *r, hf_err *reterr) {
    hf_webhook webhook;
    if (!r->value.p) {
        hf_decide_webhook_gone(h->core, r->key);
        return HF_OK;
    }
    hf_code code = hf_decode(h->codec, HF_SCHEMA_WEBHOOK, r->value, &h->arena, &webhook, reterr);
    if (code == HF_OK && (!hf_str_eq(r->key, webhook.endpoint_id) || !hf_id_valid(r->key)))
        code = hf_fail(reterr, HF_E_RECORD_MALFORMED, "its key is not its id");
    return code == HF_OK ? hf_decide_webhook(h->core, &webhook, reterr) : code;
}

static hf_code take_delivery(hook *h, const hf_log_record *r, hf_err *reterr) {
    hf_delivery delivery;
    hf_code code = hf_decode(h->codec, HF_SCHEMA_DELIVERY, r->value, &h->arena, &delivery, reterr);
    return code == HF_OK ? hf_decide_delivery(h->core, &delivery, hook_wall(h), reterr) : code;
}

static hf_code take_progress(hook *h, const hf_log_record *r, hf_err *reterr) {
    hf_progress progress;
    if (!h->ready || h->stopping || !hf_decide_wanted(h->core, HF_WE_JOB_PROGRESS))
        return HF_OK;
    hf_code code = hf_decode(h->codec, HF_SCHEMA_PROGRESS, r->value, &h->arena, &progress, reterr);
    if (code == HF_OK && !progress.level.len)
        hook_tell_progress(h, (hf_position){r->partition, r->offset}, &progress);
    return code;
}

void hook_on_record(void *ctx, const hf_log_record *r) {
    hook *h = ctx;
    hf_err err = {0};
    hf_code code = HF_OK;
    hf_arena_reset(&h->arena);
    if (r->topic == HF_TOPIC_WEBHOOKS)
        code = take_webhook(h, r, &err);
    else if (r->topic == HF_TOPIC_DELIVERIES && r->value.p)
        code = take_delivery(h, r, &err);
    else if (r->topic == HF_TOPIC_PROGRESS && r->value.p)
        code = take_progress(h, r, &err);
    if (code == HF_E_NO_MEMORY) {
        h->err = err;
        hook_fail_later(h, code);
    } else if (code != HF_OK)
        HF_LOG_ERR(WARN, "record-unreadable", &err, {"topic", HF_V_Z(hf_topic_suffix(r->topic))},
                   {"offset", HF_V_INT(r->offset)});
}

/* ---- the store ------------------------------------------------------------------------------------------------------------ */
bool hook_on_seal(void *ctx, hf_changes *changes) {
    hook *h = ctx;
    if (h->failed)
        return false; /* what could not be taken in must not count as read */
    hf_decide_tidy(h->core, hook_wall(h), hook_mono(h));
    return hf_decide_seal(h->core, changes, h->deliveries_table) && hf_outbox_seal(h->outbox, changes, h->outbox_table);
}

static hf_code take_row(hook *h, bool outbox, hf_str key, hf_str value, hf_err *reterr) {
    if (!outbox)
        return hf_decide_load(h->core, key, value, reterr);
    return key.len == 8 ? hf_outbox_load(h->outbox, hf_u64_of(key), value, reterr)
                        : hf_fail(reterr, HF_E_STORE_DAMAGED, "a row of `outbox` is damaged");
}

static hf_code take_rows(hook *h, hf_read *read, bool outbox, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key = HF_STR_NONE, value;
    hf_code code = hf_cursor_open(read, outbox ? h->outbox_table : h->deliveries_table, &cursor, reterr);
    while (code == HF_OK && (code = hf_cursor_move(cursor, HF_NEXT, &key, &value, reterr)) == HF_OK)
        code = take_row(h, outbox, key, value, reterr);
    hf_cursor_close(cursor);
    return code == HF_E_NOT_FOUND ? HF_OK : code;
}

hf_code hook_load(hook *h, hf_err *reterr) {
    hf_store *store = hf_follow_store(h->follow);
    hf_read *read = NULL;
    hf_code code = hf_store_table(store, "outbox", HF_TABLE_INTEGER_KEY, &h->outbox_table, reterr);
    if (code == HF_OK)
        code = hf_store_table(store, "deliveries", 0, &h->deliveries_table, reterr);
    if (code == HF_OK)
        code = hf_read_begin(store, &read, reterr);
    if (code == HF_OK)
        code = take_rows(h, read, true, reterr);
    if (code == HF_OK)
        code = take_rows(h, read, false, reterr);
    hf_read_end(read);
    return code;
}
