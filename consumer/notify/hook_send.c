#include <stdio.h>

#include "consumer/notify/facts.h"
#include "consumer/notify/hook_inside.h"
#include "schemas/base/fault.h"
#include "schemas/base/log.h"

enum { GATHERED_MAX = 4096, PROGRESS_TAG = 0, HELD_MS = 20, EVENT_ID_SHIFT = 1 << 16 };

/* ---- records that must be acknowledged --------------------------------------------------------------------------------- */
static uint32_t report_new(hook *h) {
    if (h->free_reports == NO_REPORT) {
        uint32_t room = h->report_room ? h->report_room * 2 : 256;
        report *reports = hf_realloc(h->reports, room * sizeof *reports);
        if (!reports)
            return NO_REPORT;
        h->reports = reports;
        for (uint32_t i = room; i-- > h->report_room;) {
            reports[i] = (report){.next = h->free_reports};
            h->free_reports = i;
        }
        h->report_room = room;
    }
    uint32_t i = h->free_reports;
    h->free_reports = h->reports[i].next;
    h->unacknowledged++;
    return i;
}

static void report_free(hook *h, uint32_t i) {
    free(h->reports[i].bytes);
    h->reports[i] = (report){.next = h->free_reports};
    h->free_reports = i;
    h->unacknowledged--;
}

static void produce(hook *h, uint32_t i) {
    report *r = &h->reports[i];
    hf_err err;
    hf_str value = r->bytes ? (hf_str){r->bytes, r->len} : HF_STR_NONE;
    const char *type = r->topic == HF_TOPIC_WEBHOOKS ? "Webhook" : "WebhookDelivery";
    r->again =
        hf_klog_produce(h->log, r->topic, -1, hf_str_of(r->key), value, type, NULL, 0, (uint64_t)i + 1, &err) != HF_OK;
    h->again += r->again;
}

static void gather(hook *h, uint32_t i) {
    h->reports[i].next = NO_REPORT;
    if (h->gathered == NO_REPORT)
        h->gathered = i;
    else
        h->reports[h->gathered_last].next = i;
    h->gathered_last = i;
    h->gathered_count++;
}

hf_code hook_publish(hook *h, hf_topic topic, hf_str key, hf_schema schema, const void *record, uint64_t tag,
                     hf_err *reterr) {
    hf_buf_clear(&h->out);
    hf_code code = record ? hf_encode(h->codec, schema, record, &h->out, reterr) : HF_OK;
    if (code != HF_OK)
        return code;
    char *bytes = record ? hf_strndup((const char *)h->out.data, h->out.len) : NULL;
    uint32_t i = record && !bytes ? NO_REPORT : report_new(h);
    if (i == NO_REPORT) {
        free(bytes);
        return hf_fail(reterr, HF_E_NO_MEMORY, "a record of %s", hf_topic_suffix(topic));
    }
    report *r = &h->reports[i];
    r->tag = tag;
    r->bytes = bytes;
    r->len = (uint32_t)h->out.len;
    r->topic = topic;
    snprintf(r->key, sizeof r->key, "%.*s", HF_STR_ARG(key));
    gather(h, i);
    return HF_OK;
}

/* Given one by one, as outcomes come, they become requests of a few records each: every one of them costs the broker, and wakes all that
 * follow the topic; and librdkafka turns in a circle while more of them wait than may be under way (2.0: 22,000 polls a second,
 * half as much processor as all the rest of the hook). A burst is one request or two for each partition. */
void hook_hand_over(hook *h) {
    if (hf_klog_in_flight(h->log) > 0 && h->gathered_count < GATHERED_MAX)
        return;
    while (h->gathered != NO_REPORT) {
        uint32_t i = h->gathered;
        h->gathered = h->reports[i].next;
        h->gathered_count--;
        produce(h, i);
    }
}

void hook_publish_again(hook *h) {
    for (uint32_t i = 0; h->again && i < h->report_room; i++)
        if (h->reports[i].again) {
            h->again--;
            produce(h, i);
            if (h->reports[i].again)
                return; /* no room yet */
        }
}

void hook_on_report(void *ctx, uint64_t tag, const hf_report *what) {
    hook *h = ctx;
    uint32_t i = (uint32_t)(tag - 1);
    if (tag == 0 || tag > h->report_room)
        return;
    if (what->error != HF_OK) {
        HF_LOG(WARN, "record-not-acknowledged", {"error", HF_V_Z(hf_code_name(what->error))},
               {"detail", HF_V_Z(what->detail)});
        h->reports[i].again = true;
        h->again++;
        return;
    }
    if (h->reports[i].tag)
        hf_decide_reported(h->core, h->reports[i].tag);
    report_free(h, i);
}

/* ---- outcomes ------------------------------------------------------------------------------------------------------------- */
static void switch_off(hook *h, hf_str id) {
    const hf_webhook *there = hf_decide_find(h->core, id);
    hf_err err;
    if (!there || !there->enabled)
        return;
    hf_webhook w = *there;
    w.enabled = false;
    w.disabled_reason = HF_STR("the receiver answered 410 Gone");
    w.updated_at = hook_wall(h);
    w.by = hf_str_of(h->me);
    HF_LOG(WARN, "webhook-switched-off", {"webhook", HF_V_STR(id)}, {"why", HF_V_STR(w.disabled_reason)});
    if (hook_publish(h, HF_TOPIC_WEBHOOKS, id, HF_SCHEMA_WEBHOOK, &w, 0, &err) != HF_OK)
        HF_LOG_ERR(ERROR, "webhook-not-switched-off", &err, {"webhook", HF_V_STR(id)});
}

static void note(const hf_delivery *r) {
    if (r->outcome == HF_DELIVERY_DELIVERED)
        return;
    HF_LOG(INFO, "not-delivered", {"webhook", HF_V_STR(r->endpoint)}, {"event", HF_V_STR(r->event)},
           {"job", HF_V_STR(r->job_id)}, {"attempt", HF_V_INT(r->attempt)}, {"status", HF_V_INT(r->status_code)},
           {"outcome", HF_V_Z(hf_delivery_outcome_name(r->outcome))}, {"detail", HF_V_STR(r->error)});
}

void hook_on_done(void *ctx, uint64_t tag, const hf_post_outcome *outcome) {
    hook *h = ctx;
    hf_delivery r;
    hf_err err;
    bool final = false, off = false;
    if (tag == PROGRESS_TAG)
        return;
    hf_fault_point("hook-after-post");
    const flight *f = &h->flights[(uint32_t)tag];
    hf_decide_outcome(h->core, tag, outcome, hook_wall(h), hook_mono(h), &r, &final, &off);
    r.delivery_id = hf_str_of(f->delivery_id);
    r.job_id = hf_str_of(f->job_id);
    note(&r);
    hf_code code = hook_publish(h, HF_TOPIC_DELIVERIES, r.endpoint, HF_SCHEMA_DELIVERY, &r, final ? tag : 0, &err);
    if (code != HF_OK) {
        h->err = err;
        hook_fail_later(h, code); /* it stops here; at the next start what has no record is sent again */
    }
    if (off)
        switch_off(h, r.endpoint);
}

/* ---- one delivery ------------------------------------------------------------------------------------------------------------ */
typedef struct envelope {
    const hf_webhook *webhook;
    hf_webhook_secret found;
    const hf_webhook_secret *secret;
    hf_signing_key keys[HF_SIGNING_KEYS_MAX];
    hf_post_header headers[HF_WEBHOOK_HEADERS_MAX];
    uint32_t header_count;
    hf_str url;
} envelope;

static hf_code address(hook *h, const hf_webhook *w, envelope *e, hf_err *reterr) {
    e->webhook = w;
    e->secret = hf_configured_secret(h->configured, w->endpoint_id);
    hf_err unread; /* hook.c looks at the file from time to time, and logs that it cannot be read */
    if (!e->secret && h->secrets)
        hf_secrets_refresh(h->secrets, NULL, &unread); /* a stat: who added the webhook wrote its secrets just before */
    if (!e->secret && hf_secrets_find(h->secrets, w->endpoint_id, &h->side, &e->found))
        e->secret = &e->found;
    e->url = hf_webhook_target(w, e->secret);
    if (!e->url.len)
        return hf_fail(reterr, HF_E_INVALID,
                       "its URL is secret and not known to this hook: webhook.secrets_file has to hold it");
    for (uint32_t i = 0; e->secret && i < e->secret->header_count; i++)
        e->headers[e->header_count++] = (hf_post_header){e->secret->headers[i].name, e->secret->headers[i].value};
    if (w->header_names.count > e->header_count)
        return hf_fail(
            reterr, HF_E_INVALID,
            "values of its headers are not known to this hook: webhook.secrets_file or `webhooks` has to hold them");
    hf_code code = HF_OK;
    for (uint32_t i = 0; !code && e->secret && i < e->secret->secret_count; i++)
        code = hf_signing_key_parse(e->secret->secrets[i], &e->keys[i], reterr);
    return code;
}

static hf_code post(hook *h, const hf_webhook *w, const hf_webhook_facts *facts, const char *id, uint64_t tag,
                    hf_err *reterr) {
    envelope *e = hf_arena_alloc(&h->side, sizeof *e);
    if (!e)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a delivery");
    hf_payload_format format = (hf_payload_format)w->format;
    hf_buf_clear(&h->body);
    hf_code code = address(h, w, e, reterr);
    if (!code)
        code = hf_payload_write(&h->body, format, facts, hf_str_of(id), hf_str_of(h->source), reterr);
    if (!code)
        code = hf_sender_post(h->sender,
                              &(hf_post){.tag = tag,
                                         .endpoint = w->endpoint_id,
                                         .url = e->url,
                                         .content_type = hf_str_of(hf_payload_content_type(format)),
                                         .body = hf_buf_str(&h->body),
                                         .webhook_id = hf_str_of(id),
                                         .keys = e->keys,
                                         .key_count = e->secret ? e->secret->secret_count : 0,
                                         .headers = e->headers,
                                         .header_count = e->header_count,
                                         .timeout_ms = w->timeout_ms},
                              reterr);
    for (uint32_t i = 0; i < HF_SIGNING_KEYS_MAX; i++)
        hf_signing_key_wipe(&e->keys[i]);
    return code;
}

/* The entry's facts, from memory or from the store; texts live in h->side. */
static hf_code read_facts(hook *h, const hf_decide_send *s, hf_webhook_facts *ret, hf_err *reterr) {
    hf_str row = {s->entry->row, s->entry->len};
    hf_read *read = NULL;
    hf_code code = HF_OK;
    if (!row.p) {
        code = hf_read_begin(hf_follow_store(h->follow), &read, reterr);
        if (!code)
            code = hf_read_get_u64(read, h->outbox_table, hf_outbox_key(s->partition, s->place), &row, reterr);
        if (!code)
            row = hf_arena_str(&h->side, row);
        hf_read_end(read);
    }
    if (!code && !hf_facts_read(row, &h->side, ret))
        code = hf_fail(reterr, HF_E_STORE_DAMAGED, "an entry of the outbox cannot be read");
    return code;
}

static bool flight_room(hook *h, uint32_t i) {
    if (i < h->flight_room)
        return true;
    uint32_t room = h->flight_room ? h->flight_room : 256;
    while (room <= i)
        room *= 2;
    flight *flights = hf_realloc(h->flights, room * sizeof *flights);
    if (!flights)
        return false;
    h->flights = flights;
    h->flight_room = room;
    return true;
}

static void name_it(const hf_decide_send *s, const hf_webhook_facts *facts, flight *f) {
    hf_position at = {s->partition + (s->entry ? s->entry->nth : 0) * EVENT_ID_SHIFT, hf_place_offset(s->place)};
    hf_webhook_delivery_id(s->webhook->endpoint_id, at, f->delivery_id);
    snprintf(f->job_id, sizeof f->job_id, "%.*s", HF_STR_ARG(facts->job_id));
}

/* It goes back: the sender is at a bound of this endpoint (then others have their turn) or of all, or there is no memory. False: no more
 * for now. */
static bool put_back(hook *h, const hf_decide_send *s, hf_code why) {
    hf_decide_unsent(h->core, s->tag, hook_mono(h) + HELD_MS);
    h->held = why != HF_E_BUSY || !hf_sender_room(h->sender, HF_STR_NONE);
    return !h->held;
}

/* False: no more for now. */
static bool send_one(hook *h, const hf_decide_send *s) {
    hf_webhook_facts facts = {.event = hf_place_event(s->place)};
    hf_err err = {0};
    hf_arena_reset(&h->side);
    if (!flight_room(h, (uint32_t)s->tag))
        return put_back(h, s, HF_E_NO_MEMORY);
    flight *f = &h->flights[(uint32_t)s->tag];
    hf_code code = s->entry ? read_facts(h, s, &facts, &err) : HF_OK;
    name_it(s, &facts, f);
    hf_post_outcome outcome = {.class = HF_POST_REFUSED, .code = HF_E_TIMEOUT, .retry_after_ms = -1};
    if (s->expired) {
        if (!s->entry)
            snprintf(outcome.error, sizeof outcome.error, "no longer kept: it is older than webhook.keep, or was done");
        hook_on_done(h, s->tag, &outcome);
        return true;
    }
    if (!code)
        code = post(h, s->webhook, &facts, f->delivery_id, s->tag, &err);
    if (code == HF_OK)
        return true;
    if (code == HF_E_BUSY || code == HF_E_NO_MEMORY)
        return put_back(h, s, code);
    bool missing = code == HF_E_INVALID; /* what is missing may come: tried again */
    outcome.class = missing ? HF_POST_RETRY : HF_POST_REFUSED;
    outcome.code = code;
    snprintf(outcome.error, sizeof outcome.error, "%.*s", (int)sizeof outcome.error - 1, err.detail);
    hook_on_done(h, s->tag, &outcome);
    return true;
}

void hook_send_due(hook *h) {
    hf_decide_send s;
    int64_t wall = hook_wall(h), mono = hook_mono(h);
    h->held = false;
    hf_decide_turn(h->core, wall, mono);
    while (!h->again && h->failed == HF_OK && hf_decide_next(h->core, wall, mono, &s))
        if (!send_one(h, &s))
            return;
}

/* ---- progress ---------------------------------------------------------------------------------------------------------------- */
typedef struct telling {
    hook *h;
    hf_webhook_facts facts;
    hf_position position;
} telling;

static void tell(void *ctx, const hf_webhook *w) {
    telling *t = ctx;
    hook *h = t->h;
    char id[HF_DELIVERY_ID_BYTES];
    hf_err err;
    if (!w->enabled || !hf_webhook_wants(w, HF_WE_JOB_PROGRESS) || !hf_sender_room(h->sender, w->endpoint_id) ||
        !hf_decide_progress(h->core, w, t->facts.job_id, hook_mono(h)))
        return;
    hf_position at = {t->position.partition + HF_PLACE_EVENTS * EVENT_ID_SHIFT, t->position.offset};
    hf_webhook_delivery_id(w->endpoint_id, at, id);
    hf_arena_reset(&h->side);
    hf_code code = post(h, w, &t->facts, id, PROGRESS_TAG, &err);
    if (code != HF_OK && code != HF_E_BUSY)
        HF_LOG_ERR(DEBUG, "progress-not-told", &err, {"webhook", HF_V_STR(w->endpoint_id)});
}

/* Told by the hook that owns the job's partition; a job that has ended needs no progress. */
void hook_tell_progress(hook *h, hf_position position, const hf_progress *progress) {
    int32_t partition = hf_klog_partition_of(progress->job_id, h->partitions);
    const hf_job *job = hf_replica_job(hf_follow_replica(h->follow), progress->job_id);
    if (!hf_group_owns(h->group, partition) || !job || !job->spec || hf_state_terminal((hf_state)job->state))
        return;
    telling t = {h, hf_facts_of_progress(progress, job), position};
    hf_decide_each(h->core, tell, &t);
}
