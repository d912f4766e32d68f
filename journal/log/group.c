/* Sharing out short work: a cooperative-sticky group on one topic, with commits of what is done.
 *
 * Records come one by one from rd_kafka_consumer_poll, not in librdkafka's batches: those may mix in records of
 * partitions that were taken away meanwhile. auto.offset.reset is "error" here too, so that submissions that
 * retention deleted unread are an error and not silence; a partition without any committed offset is then
 * assigned again from its beginning ("stalled" until that worked). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "journal/log/inside.h"
#include "schemas/base/clock.h"

enum { TAKE_MAX = 131072, CLOSE_MS = 3000, CLOSE_STEP_MS = 20, FIRST_SHARE_MS = 15000, STALLED_RETRY_MS = 500 };

#define REMEDY                                                                                                         \
    "records were deleted before they were taken in: raise the topic's retention, see what was lost, then let the "    \
    "group go on with kafka-consumer-groups --reset-offsets --to-earliest"

typedef struct share {
    bool owned, stalled;
    int64_t next;            /* offset behind what was given out; -1: nothing yet */
    int64_t done, committed; /* -1: nothing yet */
} share;

struct hf_group {
    hf_klog *log;
    hf_topic topic;
    hf_client *client;
    hf_topic_cache cache;
    share *shares;
    int32_t share_count;
    uint64_t generation;
    rd_kafka_message_t **held;
    size_t held_count, held_room;
    int event_fd;
    int64_t retry_at_ms; /* of stalled partitions */
    int64_t opened_ms;
    bool any_stalled, subscribed, paused;
    bool share_only; /* partitions are assigned at their end and paused: no records */
    hf_err broken;
};

static const hf_setting soft[] = {
    {"queued.min.messages", "100000"},
    {"queued.max.messages.kbytes", "16384"},
    {"fetch.wait.max.ms", "100"},     /* as a follower's */
    {"session.timeout.ms", "10000"},  /* 45 s by default: so long would a dead member's share stand still */
    {"heartbeat.interval.ms", "500"}, /* members learn of a rebalance with it: 3 s by default, twice for a take-over */
    {NULL, NULL},
};

static const char *topic_name(const hf_group *g) { return g->log->topic_names[g->topic]; }

/* ---- shares ----------------------------------------------------------------------------------- */
/* The share of a partition, made when first seen; NULL past the bound or without memory. */
static share *share_of(hf_group *g, int32_t partition) {
    if (partition < 0 || partition >= HF_LOG_PARTITIONS_MAX)
        return NULL;
    if (partition < g->share_count)
        return &g->shares[partition];
    share *shares = hf_realloc(g->shares, (size_t)(partition + 1) * sizeof *shares);
    if (!shares)
        return NULL;
    g->shares = shares;
    for (; g->share_count <= partition; g->share_count++)
        shares[g->share_count] = (share){.next = -1, .done = -1, .committed = -1};
    return &shares[partition];
}

static rd_kafka_topic_partition_list_t *list_of_one(const hf_group *g, int32_t partition, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic_name(g), partition)->offset = offset;
    return list;
}

/* ---- committing -------------------------------------------------------------------------------- */
static rd_kafka_topic_partition_list_t *uncommitted(const hf_group *g) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(g->share_count);
    for (int32_t p = 0; p < g->share_count; p++)
        if (g->shares[p].owned && g->shares[p].done > g->shares[p].committed)
            rd_kafka_topic_partition_list_add(list, topic_name(g), p)->offset = g->shares[p].done;
    return list;
}

hf_code hf_group_commit(hf_group *g, hf_err *reterr) {
    rd_kafka_topic_partition_list_t *list = uncommitted(g);
    rd_kafka_resp_err_t err = list->cnt ? rd_kafka_commit(g->client->rk, list, 1) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; !err && i < list->cnt; i++)
        g->shares[list->elems[i].partition].committed = list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return err ? hf_fail(reterr, hf_log_code(err), "commit of %s: %s", topic_name(g), rd_kafka_err2str(err)) : HF_OK;
}

/* A commit that failed is tried again with the next one. */
static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *offsets, void *opaque) {
    (void)rk;
    hf_group *g = opaque;
    for (int i = 0; offsets && i < offsets->cnt; i++) {
        share *s = share_of(g, offsets->elems[i].partition);
        if (s && (err || offsets->elems[i].err) && s->committed == offsets->elems[i].offset)
            s->committed = -1;
    }
    if (err && err != RD_KAFKA_RESP_ERR__NO_OFFSET)
        HF_LOG(WARN, "commit-failed", {"topic", HF_V_Z(topic_name(g))}, {"detail", HF_V_Z(rd_kafka_err2str(err))});
}

/* ---- rebalances ---------------------------------------------------------------------------------- */
static void set_owned(hf_group *g, const rd_kafka_topic_partition_list_t *partitions, bool owned) {
    for (int i = 0; i < partitions->cnt; i++) {
        share *s = share_of(g, partitions->elems[i].partition);
        if (s)
            *s = (share){.owned = owned, .next = -1, .done = -1, .committed = -1};
    }
    g->generation++;
}

/* librdkafka drops what it has fetched ahead and goes on behind what it gave out. What was just assigned is never paused. */
static void pause_shares(hf_group *g, bool pause) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(g->share_count);
    for (int32_t p = 0; p < g->share_count; p++)
        if (g->shares[p].owned)
            rd_kafka_topic_partition_list_add(list, topic_name(g), p);
    if (list->cnt)
        (pause ? rd_kafka_pause_partitions : rd_kafka_resume_partitions)(g->client->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void hf_group_pause(hf_group *g, bool paused) {
    if (g->paused == paused)
        return;
    g->paused = paused;
    pause_shares(g, paused);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque) {
    hf_group *g = opaque;
    rd_kafka_error_t *error = NULL;
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        set_owned(g, partitions, true);
        for (int i = 0; g->share_only && i < partitions->cnt; i++)
            partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
        error = rd_kafka_incremental_assign(rk, partitions);
        if ((g->paused || g->share_only) && !error)
            pause_shares(g, true);
    } else {
        /* lost: somebody else may own them already, and a commit would be refused or do harm */
        if (err == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && !rd_kafka_assignment_lost(rk))
            hf_group_commit(g, NULL);
        set_owned(g, partitions, false);
        error = rd_kafka_incremental_unassign(rk, partitions);
    }
    if (!error)
        return;
    HF_LOG(WARN, "rebalance-failed", {"topic", HF_V_Z(topic_name(g))},
           {"detail", HF_V_Z(rd_kafka_error_string(error))});
    rd_kafka_error_destroy(error);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque) {
    hf_trouble_on_error(rk, err, reason, ((hf_group *)opaque)->log);
}

/* ---- opening and closing --------------------------------------------------------------------------- */
static hf_code open_handle(hf_group *g, const char *group_id, rd_kafka_t **ret, hf_err *reterr) {
    const hf_setting hard[] = {
        {"group.id", group_id},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"enable.partition.eof", "false"},
        {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    hf_code code = hf_conf_new(g->log, "group", soft, hard, &conf, reterr);
    if (code)
        return code;
    rd_kafka_conf_set_opaque(conf, g);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    code = hf_handle_new(RD_KAFKA_CONSUMER, conf, ret, reterr);
    if (!code)
        rd_kafka_poll_set_consumer(*ret);
    return code;
}

static hf_code subscribe(hf_group *g, hf_err *reterr) {
    rd_kafka_topic_partition_list_t *list = list_of_one(g, RD_KAFKA_PARTITION_UA, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(g->client->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    g->subscribed = !err;
    return err ? hf_fail(reterr, hf_log_code(err), "joining the group of %s: %s", topic_name(g), rd_kafka_err2str(err))
               : HF_OK;
}

static hf_code group_start(hf_group *g, const char *suffix, hf_err *reterr) {
    char group_id[HF_LOG_FULL_NAME];
    rd_kafka_t *rk;
    g->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->event_fd < 0)
        return hf_fail_errno(reterr, errno, "eventfd");
    snprintf(group_id, sizeof group_id, "hyperfleet.%s.%s", g->log->fleet, suffix);
    hf_code code = open_handle(g, group_id, &rk, reterr);
    if (code)
        return code;
    code = hf_client_new(rk, g->event_fd, &g->client, reterr);
    if (code) {
        rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        return code;
    }
    return subscribe(g, reterr);
}

static hf_code group_open(hf_klog *log, hf_topic topic, const char *group_suffix, bool share_only, hf_group **ret,
                          hf_err *reterr) {
    hf_group *g = hf_alloc(sizeof *g);
    if (!g)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a group");
    g->log = log;
    g->topic = topic;
    g->share_only = share_only;
    g->event_fd = -1;
    g->opened_ms = hf_mono_ms(hf_clock_system());
    hf_code code = group_start(g, group_suffix, reterr);
    if (code) {
        hf_group_close(g);
        return code;
    }
    *ret = g;
    return HF_OK;
}

hf_code hf_group_open(hf_klog *log, hf_topic topic, const char *group_suffix, hf_group **ret, hf_err *reterr) {
    return group_open(log, topic, group_suffix, false, ret, reterr);
}
hf_code hf_group_open_share(hf_klog *log, hf_topic topic, const char *group_suffix, hf_group **ret, hf_err *reterr) {
    return group_open(log, topic, group_suffix, true, ret, reterr);
}

/* From rd_kafka_queue_poll everything comes as an event: records that nobody will read, and the last rebalance,
 * which must be answered or librdkafka never ends. (rd_kafka_queue_poll_callback would abort on a record.) */
static void take_last_event(hf_group *g, rd_kafka_event_t *event) {
    if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
        on_rebalance(g->client->rk, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event), g);
    rd_kafka_event_destroy(event);
}

/* A member that goes between the answer to its join and its first share makes librdkafka 2.0.2 abort
 * (rd_kafka_sticky_assignor_state_destroy), so right after opening it stays until then, where a broker answers. */
static void await_first_share(hf_group *g) {
    int64_t until = g->opened_ms + FIRST_SHARE_MS;
    while (!g->generation && !atomic_load(&g->log->trouble.code) && hf_mono_ms(hf_clock_system()) < until) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(g->client->rk, CLOSE_STEP_MS);
        if (m)
            rd_kafka_message_destroy(m);
    }
}

/* Leaves the group, with a bound: rd_kafka_consumer_close would wait for a coordinator that is gone. */
static void leave(hf_group *g) {
    hf_group_commit(g, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(g->client->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(g->client->rk, queue);
    int64_t until = hf_mono_ms(hf_clock_system()) + CLOSE_MS;
    while (!error && !rd_kafka_consumer_closed(g->client->rk) && hf_mono_ms(hf_clock_system()) < until)
        take_last_event(g, rd_kafka_queue_poll(queue, CLOSE_STEP_MS));
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(queue);
}

void hf_group_close(hf_group *g) {
    if (!g)
        return;
    for (size_t i = 0; i < g->held_count; i++)
        rd_kafka_message_destroy(g->held[i]);
    if (g->client) {
        hf_client_silence(g->client);
        if (g->subscribed)
            await_first_share(g);
        leave(g);
        hf_client_put(g->client);
    }
    if (g->event_fd >= 0)
        close(g->event_fd);
    free(g->held);
    free(g->shares);
    free(g);
}

int hf_group_fd(hf_group *g) { return g->event_fd; }

/* ---- partitions without a committed offset ------------------------------------------------------------ */
/* After a failed reset only a new assignment revives a partition (a seek does not). */
static void assign_again(hf_group *g, int32_t partition, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = list_of_one(g, partition, offset);
    rd_kafka_error_t *error = rd_kafka_incremental_unassign(g->client->rk, list);
    if (!error)
        error = rd_kafka_incremental_assign(g->client->rk, list);
    if (error)
        rd_kafka_error_destroy(error);
    else {
        g->shares[partition].stalled = false;
        if (g->paused)
            pause_shares(g, true);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void revive(hf_group *g, int32_t partition) {
    rd_kafka_topic_partition_list_t *list = list_of_one(g, partition, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t err = rd_kafka_committed(g->client->rk, list, HF_LOG_STEP_MS / 5);
    int64_t committed = list->elems[0].offset;
    if (!err)
        err = list->elems[0].err;
    rd_kafka_topic_partition_list_destroy(list);
    if (err)
        return; /* stays stalled: tried again soon */
    if (committed < 0)
        assign_again(g, partition, RD_KAFKA_OFFSET_BEGINNING);
    else
        hf_log_truncated(g->log, topic_name(g), partition,
                         g->shares[partition].next >= 0 ? g->shares[partition].next : committed, REMEDY, &g->broken);
}

static void revive_stalled(hf_group *g) {
    int64_t now = hf_mono_ms(hf_clock_system());
    if (!g->any_stalled || now < g->retry_at_ms)
        return;
    g->any_stalled = false;
    g->retry_at_ms = now + STALLED_RETRY_MS;
    for (int32_t p = 0; p < g->share_count; p++) {
        if (g->shares[p].owned && g->shares[p].stalled)
            revive(g, p);
        g->any_stalled |= g->shares[p].owned && g->shares[p].stalled;
    }
}

/* ---- polling ------------------------------------------------------------------------------------------- */
static void take_error(hf_group *g, const rd_kafka_message_t *m) {
    share *s = m->rkt ? share_of(g, m->partition) : NULL;
    int err = m->err;
    if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && s) {
        s->stalled = g->any_stalled = true;
        g->retry_at_ms = 0;
        return;
    }
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED || err == RD_KAFKA_RESP_ERR__FATAL) {
        hf_fail(&g->broken, hf_log_code(m->err), "group on %s: %s", topic_name(g), rd_kafka_message_errstr(m));
        return;
    }
    hf_trouble_on_error(g->client->rk, err, rd_kafka_message_errstr(m), g->log); /* librdkafka tries again */
}

static void drain(hf_group *g, size_t max) {
    while (g->held_count < max && !g->broken.code) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(g->client->rk, 0);
        if (!m)
            return;
        if (!m->err) {
            g->held[g->held_count++] = m;
            continue;
        }
        take_error(g, m);
        rd_kafka_message_destroy(m);
    }
}

/* Records of partitions that a rebalance took away while the batch was gathered are their new owner's. */
static void drop_strangers(hf_group *g) {
    size_t kept = 0;
    for (size_t i = 0; i < g->held_count; i++) {
        const share *s = share_of(g, g->held[i]->partition);
        if (s && s->owned)
            g->held[kept++] = g->held[i];
        else
            rd_kafka_message_destroy(g->held[i]);
    }
    g->held_count = kept;
}

static hf_code give_out(hf_group *g, hf_batch *ret, hf_err *reterr) {
    hf_code code = hf_batch_make(g->client, &g->cache, g->log, HF_HEADERS_TAKE, g->held, g->held_count, ret, reterr);
    if (code)
        return code;
    g->held_count = 0;
    for (size_t i = 0; i < ret->count; i++)
        g->shares[ret->records[i].partition].next = ret->records[i].offset + 1;
    hf_trouble_over(&g->log->trouble);
    return HF_OK;
}

static hf_code hold_room(hf_group *g, size_t max, hf_err *reterr) {
    if (g->held_room >= max)
        return HF_OK;
    rd_kafka_message_t **room = hf_realloc(g->held, max * sizeof *room);
    if (!room)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu records", max);
    g->held = room;
    g->held_room = max;
    return HF_OK;
}

hf_code hf_group_poll(hf_group *g, size_t max, int timeout_ms, hf_batch *ret, hf_err *reterr) {
    *ret = (hf_batch){0};
    max = max > TAKE_MAX ? TAKE_MAX : max;
    hf_code code = hold_room(g, max, reterr);
    if (code)
        return code;
    int64_t until = timeout_ms > 0 ? hf_mono_ms(hf_clock_system()) + timeout_ms : 0;
    for (;;) {
        drain(g, max);
        if (!g->held_count) { /* empty: clear the event, then look once more */
            hf_event_clear(g->event_fd);
            drain(g, max);
        }
        drop_strangers(g);
        revive_stalled(g);
        if (g->held_count)
            return give_out(g, ret, reterr);
        if (g->broken.code)
            return hf_fail(reterr, g->broken.code, "%s", g->broken.detail);
        int64_t left = until ? until - hf_mono_ms(hf_clock_system()) : 0;
        if (left > STALLED_RETRY_MS && g->any_stalled)
            left = STALLED_RETRY_MS;
        if (left <= 0)
            return HF_OK;
        hf_event_wait(g->event_fd, (int)left);
    }
}

void hf_group_done(hf_group *g, int32_t partition, int64_t next_offset) {
    if (!hf_group_owns(g, partition))
        return;
    share *s = &g->shares[partition];
    if (s->next >= 0 && next_offset <= s->next && next_offset > s->done) /* never past what this ownership gave out */
        s->done = next_offset;
}

bool hf_group_owns(hf_group *g, int32_t partition) {
    return partition >= 0 && partition < g->share_count && g->shares[partition].owned;
}

uint64_t hf_group_generation(hf_group *g) { return g->generation; }
