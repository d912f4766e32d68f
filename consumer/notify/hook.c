#include "consumer/notify/hook_inside.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/ready.h"

enum {
    FEED_MAX = 4096, /* records folded per turn */
    ARENA_BYTES = 16 << 20,
    IDLE_MS = 1000,
    AGAIN_MS = 20,     /* where there was no room */
    REFRESH_MS = 2000, /* of the secrets */
    STOP_MS = 15000,
    MARKS_MS = 5000,
    OUTBOX_ENTRIES = 4 << 20,
    OUTBOX_BYTES = 64 << 20,
    STORE_VERSION = 1,
};

/* ---- ownership --------------------------------------------------------------------------------------------------------- */
static hf_code note_ends(hook *h, hf_err *reterr) {
    hf_code code = HF_OK;
    for (int32_t p = 0; !code && p < h->until_count; p++) {
        int64_t low = 0, high = 0;
        code = hf_klog_watermarks(h->log, HF_TOPIC_DELIVERIES, p, MARKS_MS, &low, &high, reterr);
        h->until[p] = high > low ? high : 0;
    }
    return code;
}

static bool deliveries_read(const hook *h) {
    for (int32_t p = 0; p < h->until_count; p++)
        if (hf_replica_next_offset(hf_follow_replica(h->follow), HF_TOPIC_DELIVERIES, p) < h->until[p] && h->until[p])
            return false;
    return true;
}

/* What a partition's former owner said last is read before anything of it is sent. */
static hf_code follow_shares(hook *h, hf_err *reterr) {
    hf_batch batch;
    hf_code code = hf_group_poll(h->group, 1024, 0, &batch, reterr);
    if (code == HF_OK)
        hf_batch_release(&batch);
    if (code != HF_OK || h->generation == hf_group_generation(h->group))
        return code;
    int32_t owned = 0, gained = 0, lost = 0;
    for (int32_t p = 0; p < h->partitions; p++) {
        bool mine = hf_group_owns(h->group, p);
        if (!mine)
            hf_decide_own(h->core, p, false);
        owned += mine;
        gained += mine && !h->pending[p];
        lost += !mine && h->pending[p];
        h->pending[p] = mine;
    }
    if (gained && (code = note_ends(h, reterr)) != HF_OK)
        return code;
    h->generation = hf_group_generation(h->group);
    HF_LOG(INFO, "shares", {"owned", HF_V_INT(owned)}, {"gained", HF_V_INT(gained)}, {"lost", HF_V_INT(lost)});
    return HF_OK;
}

static void take_ownership(hook *h) {
    if (!h->ready || !deliveries_read(h))
        return;
    for (int32_t p = 0; p < h->partitions; p++)
        if (h->pending[p] && (hf_decide_owns(h->core, p) || hf_decide_under_way(h->core, p) == 0))
            hf_decide_own(h->core, p, true);
}

/* ---- beginning to work ---------------------------------------------------------------------------------------------------- */
static hf_code publish_webhook(void *ctx, hf_str id, const hf_webhook *w, hf_err *reterr) {
    hook *h = ctx;
    HF_LOG(INFO, w ? "webhook-published" : "webhook-taken-away", {"webhook", HF_V_STR(id)});
    return hook_publish(h, HF_TOPIC_WEBHOOKS, id, HF_SCHEMA_WEBHOOK, w, 0, reterr);
}

static hf_code settle_configured(hook *h, hf_err *reterr) {
    hf_arena_reset(&h->arena);
    hf_position *ends = hf_arena_alloc(&h->arena, (size_t)h->partitions * sizeof *ends);
    if (!ends)
        return hf_fail(reterr, HF_E_NO_MEMORY, "webhooks");
    hf_code code = HF_OK;
    for (int32_t p = 0; !code && p < h->partitions; p++) {
        int64_t low = 0;
        ends[p].partition = p;
        code = hf_klog_watermarks(h->log, HF_TOPIC_JOB_EVENTS, p, MARKS_MS, &low, &ends[p].offset, reterr);
    }
    hf_list from = {ends, (uint32_t)h->partitions};
    return code ? code : hf_configured_settle(h->configured, h->core, from, hook_wall(h), publish_webhook, h, reterr);
}

static hf_code become_ready(hook *h, hf_err *reterr) {
    if (h->ready || !hf_follow_caught_up(h->follow) || h->generation == 0)
        return HF_OK;
    hf_decide_caught_up(h->core);
    hf_code code = settle_configured(h, reterr);
    if (code != HF_OK)
        return code;
    hf_decide_stat stat;
    hf_decide_stats(h->core, &stat);
    h->ready = true;
    HF_LOG(INFO, "ready", {"webhooks", HF_V_INT(stat.endpoints)}, {"outbox", HF_V_INT(hf_outbox_count(h->outbox))},
           {"by", HF_V_Z(h->me)});
    hf_ready_notify();
    return HF_OK;
}

/* ---- one turn of the loop ----------------------------------------------------------------------------------------------------- */
static void refresh(hook *h) {
    hf_err err;
    bool changed = false;
    if (!h->secrets || hook_mono(h) - h->refreshed_ms < REFRESH_MS)
        return;
    h->refreshed_ms = hook_mono(h);
    if (hf_secrets_refresh(h->secrets, &changed, &err) != HF_OK)
        HF_LOG_ERR(WARN, "secrets-not-read", &err, {"path", HF_V_Z(hf_secrets_path(h->secrets))});
    else if (changed)
        HF_LOG(INFO, "secrets-read", {"path", HF_V_Z(hf_secrets_path(h->secrets))});
}

static void say_given_up(hook *h) {
    int64_t n = (int64_t)hf_outbox_given_up(h->outbox);
    if (n == h->given_up_told)
        return;
    HF_LOG(ERROR, "outbox-full", {"limit", HF_V_INT(OUTBOX_ENTRIES)}, {"given_up", HF_V_INT(n)},
           {"remedy", HF_V_Z("delete or mend the webhooks whose receivers do not answer")});
    h->given_up_told = n;
}

static hf_code turn(hook *h, bool *ret_more, hf_err *reterr) {
    size_t fed = 0;
    hf_klog_poll_reports(h->log, 0);
    hf_code code = hf_follow_step(h->follow, FEED_MAX, &fed, reterr);
    if (code == HF_OK)
        code = follow_shares(h, reterr);
    if (code == HF_OK)
        code = hf_sender_step(h->sender, reterr);
    if (code == HF_OK)
        code = become_ready(h, reterr);
    if (code == HF_OK && h->failed != HF_OK) {
        *reterr = h->err;
        return h->failed;
    }
    if (code != HF_OK)
        return code;
    take_ownership(h);
    hook_publish_again(h);
    refresh(h);
    say_given_up(h);
    if (h->ready && fed < FEED_MAX)
        hook_send_due(h);
    hook_hand_over(h);
    *ret_more = fed == FEED_MAX;
    return HF_OK;
}

static int wait_ms(const hook *h) {
    int64_t now = hook_mono(h), until = now + IDLE_MS;
    int times[] = {hf_follow_timeout_ms(h->follow), hf_sender_timeout_ms(h->sender),
                   h->again || h->held ? AGAIN_MS : -1};
    for (size_t i = 0; i < HF_ARRAY_LEN(times); i++)
        if (times[i] >= 0 && now + times[i] < until)
            until = now + times[i];
    bool sends = h->ready && !h->again && !h->held; /* else what is due waits for room, and would only wake this loop */
    if (sends && hf_decide_next_ms(h->core) < until)
        until = hf_decide_next_ms(h->core);
    return until > now ? (int)(until - now) : 0;
}

static void sleep_until_news(hook *h, int ms) {
    struct pollfd fds[] = {{hf_klog_report_fd(h->log), POLLIN, 0},
                           {hf_follow_fd(h->follow), POLLIN, 0},
                           {hf_group_fd(h->group), POLLIN, 0},
                           {hf_sender_fd(h->sender), POLLIN, 0}};
    poll(fds, HF_ARRAY_LEN(fds), ms);
}

static hf_code loop(hook *h, const volatile sig_atomic_t *stop, hf_err *reterr) {
    while (!*stop) {
        bool more = false;
        hf_code code = turn(h, &more, reterr);
        if (code != HF_OK && (h->failed || hf_code_policy(code) != HF_POLICY_RETRY))
            return code; /* a record that could not be taken in is read again at the next start, and only then */
        if (code != HF_OK)
            HF_LOG_ERR(WARN, "turn", reterr, {"policy", HF_V_Z("retry")});
        sleep_until_news(h, code != HF_OK ? 100 : more ? 0 : wait_ms(h));
    }
    return HF_OK;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------------------------ */
static hf_code open_follow(hook *h, const char *id, hf_err *reterr) {
    char dir[1200], host[128];
    snprintf(dir, sizeof dir, "%s/hook-%s", hf_config_str(h->config, HF_C_STATE_DIR),
             *id ? id : hf_host_name(host, sizeof host));
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code != HF_OK)
        return code;
    hf_store_options store = {.kind = "hook",
                              .fleet = hf_config_str(h->config, HF_C_FLEET),
                              .max_readers = 16,
                              .map_bytes = 64 << 20,
                              .map_max_bytes = (size_t)hf_config_int(h->config, HF_C_JOURNAL_MAP_MAX),
                              .version = HF_FOLD_VERSION * 1000 + STORE_VERSION};
    hf_follow_options follow = {
        .replica = {.profile = HF_PROFILE_LIVE,
                    .fleet = store.fleet,
                    .clock = h->clock,
                    .keep_offsets = 1u << HF_TOPIC_DELIVERIES},
        .hooks = {.ctx = h, .on_change = hook_on_change, .on_record = hook_on_record, .on_seal = hook_on_seal},
        .topics =
            1u << HF_TOPIC_JOB_EVENTS | 1u << HF_TOPIC_WEBHOOKS | 1u << HF_TOPIC_DELIVERIES | 1u << HF_TOPIC_PROGRESS,
        .commit_interval_ms = 500};
    code = hf_follow_open(h->log, h->codec, dir, &store, &follow, &h->follow, reterr);
    return code ? code : hook_load(h, reterr);
}

static hf_code open_shares(hook *h, hf_err *reterr) {
    hf_code code = hf_klog_partitions(h->log, HF_TOPIC_JOB_EVENTS, &h->partitions, reterr);
    if (!code)
        code = hf_klog_partitions(h->log, HF_TOPIC_DELIVERIES, &h->until_count, reterr);
    if (code)
        return code;
    h->pending = hf_alloc((size_t)h->partitions * sizeof *h->pending);
    h->until = hf_alloc((size_t)h->until_count * sizeof *h->until);
    if (!h->pending || !h->until)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    return hf_group_open_share(h->log, HF_TOPIC_JOB_EVENTS, "hook", &h->group, reterr);
}

static hf_code open_core(hook *h, hf_err *reterr) {
    const hf_config *c = h->config;
    hf_sender_options sender = hf_sender_options_of(c);
    hf_sender_hooks hooks = {.on_done = hook_on_done, .ctx = h};
    hf_decide_options options = {.in_flight = (uint32_t)hf_config_int(c, HF_C_WEBHOOK_IN_FLIGHT),
                                 .endpoint_in_flight = (uint32_t)hf_config_int(c, HF_C_WEBHOOK_ENDPOINT_IN_FLIGHT),
                                 .queue_max = (uint32_t)hf_config_int(c, HF_C_WEBHOOK_QUEUE),
                                 .max_age_ms = hf_config_int(c, HF_C_WEBHOOK_MAX_AGE),
                                 .keep_ms = hf_config_int(c, HF_C_WEBHOOK_KEEP),
                                 .backoff_max_ms = hf_config_int(c, HF_C_WEBHOOK_BACKOFF_MAX),
                                 .breaker_failures = (uint32_t)hf_config_int(c, HF_C_WEBHOOK_BREAKER),
                                 .breaker_max_ms = hf_config_int(c, HF_C_WEBHOOK_BREAKER_MAX)};
    h->outbox = hf_outbox_new(OUTBOX_ENTRIES, OUTBOX_BYTES);
    h->core = h->outbox ? hf_decide_new(&options, h->outbox) : NULL;
    if (!h->core)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    hf_code code = hf_secrets_open(hf_config_str(c, HF_C_WEBHOOK_SECRETS), &h->secrets, reterr);
    if (!code)
        code = hf_configured_read(c, &h->configured, reterr);
    return code ? code : hf_sender_new(&sender, &hooks, &h->sender, reterr);
}

static hf_code open_all(hook *h, const char *id, hf_err *reterr) {
    char incarnation[HF_UUID_BYTES];
    hf_producer_name("hyperhook", hf_id_new(h->clock, hf_random_system(), incarnation), h->me, sizeof h->me);
    snprintf(h->source, sizeof h->source, "/hyperfleet/%s", hf_config_str(h->config, HF_C_FLEET));
    hf_arena_init(&h->arena, ARENA_BYTES);
    hf_arena_init(&h->side, ARENA_BYTES);
    hf_buf_init(&h->out, HF_MAX_RECORD);
    hf_buf_init(&h->body, HF_PAYLOAD_MAX_BYTES);
    hf_buf_init(&h->row, HF_OUTBOX_ROW_MAX);
    h->free_reports = h->gathered = NO_REPORT;
    hf_code code = open_core(h, reterr);
    if (code == HF_OK)
        code = hf_registry_codec(h->config, 1u << HF_SCHEMA_DELIVERY | 1u << HF_SCHEMA_WEBHOOK, NULL, &h->registry,
                                 &h->codec, reterr);
    if (code == HF_OK)
        code = hf_klog_open(h->config, h->me, true, 30000, &h->log, reterr);
    if (code != HF_OK)
        return code;
    hf_klog_on_report(h->log, hook_on_report, h);
    code = open_follow(h, id, reterr);
    return code ? code : open_shares(h, reterr);
}

/* What is under way is heard out, and its records are acknowledged; nothing new is sent. */
static void finish(hook *h) {
    int64_t until = hook_mono(h) + STOP_MS;
    hf_err err;
    h->stopping = true;
    while (h->group && hook_mono(h) < until && (hf_sender_in_flight(h->sender) > 0 || h->unacknowledged > 0)) {
        hf_klog_poll_reports(h->log, 0);
        hook_publish_again(h);
        if (hf_sender_step(h->sender, &err) != HF_OK)
            return;
        hook_hand_over(h);
        sleep_until_news(h, 20);
    }
}

static void close_all(hook *h) {
    hf_sender_free(h->sender);
    if (h->group)
        hf_group_close(h->group);
    hf_follow_close(h->follow);
    hf_klog_close(h->log);
    hf_decide_free(h->core);
    hf_outbox_free(h->outbox);
    hf_configured_free(h->configured);
    hf_secrets_close(h->secrets);
    hf_codec_free(h->codec);
    hf_registry_link_free(h->registry);
    for (uint32_t i = 0; i < h->report_room; i++)
        free(h->reports[i].bytes);
    free(h->reports);
    free(h->flights);
    free(h->pending);
    free(h->until);
    hf_arena_done(&h->arena);
    hf_arena_done(&h->side);
    hf_buf_done(&h->out);
    hf_buf_done(&h->body);
    hf_buf_done(&h->row);
}

hf_code hf_hook_run(const hf_hook_options *options, hf_err *reterr) {
    hook *h = hf_alloc(sizeof *h);
    if (!h)
        return hf_fail(reterr, HF_E_NO_MEMORY, "starting");
    h->config = options->config;
    h->clock = hf_clock_system();
    hf_code code = open_all(h, options->id, reterr);
    if (code == HF_OK)
        code = loop(h, options->stop, reterr);
    finish(h);
    close_all(h);
    free(h);
    return code;
}
