#include "rig.h"

static uint64_t next(void *self) { /* splitmix64 */
    rig *r = self;
    uint64_t z = (r->seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void rig_open(rig *r, hf_decide_options options) {
    uint64_t seed = r->seed;
    *r = (rig){.wall = 1790000000000, .mono = 1000000, .seed = seed};
    r->random = (hf_random){next, r};
    options.random = &r->random;
    hf_buf_init(&r->row, HF_OUTBOX_ROW_MAX);
    r->outbox = hf_outbox_new(1 << 20, 64 << 20);
    r->core = hf_decide_new(&options, r->outbox);
    assert_non_null(r->outbox);
    assert_non_null(r->core);
}

void rig_close(rig *r) {
    hf_decide_free(r->core);
    hf_outbox_free(r->outbox);
    hf_buf_done(&r->row);
}

void rig_pass(rig *r, int64_t ms) {
    r->wall += ms;
    r->mono += ms;
    hf_decide_turn(r->core, r->wall, r->mono);
}

hf_webhook rig_webhook(const char *id) {
    hf_webhook w;
    hf_type_init(&HF_TYPE_WEBHOOK, &w);
    w.endpoint_id = hf_str_of(id);
    w.url = HF_STR("https://example.com/");
    w.enabled = true;
    w.retry = 3;
    return w;
}

void rig_hook(rig *r, const hf_webhook *webhook) { assert_ok(hf_decide_webhook(r->core, webhook, err)); }

hf_str rig_row(rig *r, hf_webhook_event event, const char *job, int64_t at, uint8_t nth) {
    hf_webhook_facts facts = {.event = event, .at = at, .job_id = hf_str_of(job)};
    hf_buf_clear(&r->row);
    assert_true(hf_facts_write(&facts, nth, hf_job_hash(facts.job_id), &r->row));
    return hf_buf_str(&r->row);
}

void rig_event(rig *r, int32_t partition, int64_t offset, hf_webhook_event event, const char *job) {
    hf_str row = rig_row(r, event, job, r->wall, 0);
    assert_ok(hf_outbox_add(r->outbox, partition, hf_place_of(offset, event), r->mono, row, err));
}

bool rig_next(rig *r, hf_decide_send *ret) { return hf_decide_next(r->core, r->wall, r->mono, ret); }

hf_decide_send rig_must(rig *r) {
    hf_decide_send s = {0};
    if (!rig_next(r, &s))
        fail_msg("nothing is to be sent");
    return s;
}

void rig_nothing(rig *r) {
    hf_decide_send s;
    if (rig_next(r, &s))
        fail_msg("%.*s is told of %d/%ld, and should not be", HF_STR_ARG(s.webhook->endpoint_id), s.partition,
                 (long)hf_place_offset(s.place));
}

hf_delivery rig_outcome(rig *r, const hf_decide_send *s, hf_post_class class, int32_t status, int64_t retry_after_ms,
                        bool *ret_final, bool *ret_off) {
    static const hf_post_outcome too_old = {.class = HF_POST_REFUSED, .code = HF_E_TIMEOUT, .retry_after_ms = -1};
    hf_post_outcome o = {.class = class, .status = status, .retry_after_ms = retry_after_ms};
    hf_delivery record;
    hf_decide_outcome(r->core, s->tag, s->expired ? &too_old : &o, r->wall, r->mono, &record, ret_final, ret_off);
    return record;
}

hf_delivery rig_answer(rig *r, const hf_decide_send *s, hf_post_class class, int32_t status, int64_t retry_after_ms) {
    bool final, off;
    hf_delivery record = rig_outcome(r, s, class, status, retry_after_ms, &final, &off);
    if (final)
        hf_decide_reported(r->core, s->tag);
    rig_read(r, &record);
    return record;
}

void rig_read(rig *r, const hf_delivery *record) { assert_ok(hf_decide_delivery(r->core, record, r->wall, err)); }

void rig_replay(rig *r, const char *endpoint, int32_t partition, int64_t offset, hf_webhook_event event) {
    hf_delivery record;
    hf_type_init(&HF_TYPE_DELIVERY, &record);
    record.endpoint = hf_str_of(endpoint);
    record.event = hf_str_of(hf_webhook_event_name(event));
    record.event_partition = partition;
    record.event_offset = offset;
    record.outcome = HF_DELIVERY_REPLAY;
    record.at = r->wall;
    rig_read(r, &record);
}

hf_decide_stat rig_stat(const rig *r) {
    hf_decide_stat stat;
    hf_decide_stats(r->core, &stat);
    return stat;
}
