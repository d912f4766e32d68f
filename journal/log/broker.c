/* The embedded broker: mock cluster, forwarder, refill, and the watch on its bounds.
 *
 * The mock cluster tells neither a partition's size nor what it drops, so a watcher thread reads along as a
 * client: it adds up sizes (each record as if it were a batch of its own: an estimate from above) and asks once a
 * second where each partition begins. It reads at most what the broker keeps, so it costs little. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "journal/log/faults.h"
#include "journal/log/forward.h"
#include "journal/log/inside.h"
#include "journal/log/mock.h"
#include "schemas/base/clock.h"

enum {
    REFILL_QUEUE = 50000,
    REFILL_WAIT_MS = 10000,
    BATCH_OVERHEAD = 61 + 12, /* message format v2: batch header, and a record's own varints */
    HEADER_OVERHEAD = 4,
    WATCH_STEP_MS = 100,
    WATCH_ENDS_MS = 1000,
    NEAR_PERCENT = 80,
    PUSH_MAX = 64,
};

typedef struct partition {
    int32_t topic, number;
    int64_t refill_next; /* -1: not asked yet */
    int64_t records, bytes;
    bool near, dropped;
} partition;

struct hf_broker {
    hf_mock mock;
    hf_forward *forward;
    char **topics;
    int32_t *first_partition; /* of each topic, in partitions */
    size_t topic_count;
    partition *partitions;
    int32_t partition_count;

    rd_kafka_t *refill;
    pthread_mutex_t lock; /* guards the rest but for the flags */
    pthread_cond_t refill_moved;
    uint32_t refilling;
    hf_err refill_err;
    hf_broker_limit_cb limit_cb;
    void *limit_ctx;

    rd_kafka_t *watcher;
    pthread_t thread;
    bool thread_runs;
    _Atomic bool stopping, limit_reached;
};

/* ---- clients of our own ---------------------------------------------------------------------------- */
static hf_code client_new(hf_broker *b, rd_kafka_type_t type, const hf_setting *settings,
                          void (*dr)(rd_kafka_t *, const rd_kafka_message_t *, void *), rd_kafka_t **ret,
                          hf_err *reterr) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];
    rd_kafka_conf_set(conf, "bootstrap.servers", hf_mock_bootstraps(&b->mock), why, sizeof why);
    for (; settings->name; settings++)
        if (rd_kafka_conf_set(conf, settings->name, settings->value, why, sizeof why)) {
            rd_kafka_conf_destroy(conf);
            return hf_fail(reterr, HF_E_INTERNAL, "embedded broker: %s", why);
        }
    rd_kafka_conf_set_opaque(conf, b);
    rd_kafka_conf_set_log_cb(conf, hf_trouble_on_log);
    if (dr)
        rd_kafka_conf_set_dr_msg_cb(conf, dr);
    return hf_handle_new(type, conf, ret, reterr);
}

/* ---- topics ------------------------------------------------------------------------------------------- */
static hf_code copy_topics(hf_broker *b, const hf_broker_topic *topics, size_t count, hf_err *reterr) {
    b->topics = hf_alloc((count + 1) * sizeof *b->topics);
    b->first_partition = hf_alloc((count + 1) * sizeof *b->first_partition);
    if (!b->topics || !b->first_partition)
        return hf_fail(reterr, HF_E_NO_MEMORY, "embedded broker");
    for (size_t t = 0; t < count; t++) {
        b->topics[t] = hf_strndup(topics[t].name, strlen(topics[t].name));
        if (!b->topics[t])
            return hf_fail(reterr, HF_E_NO_MEMORY, "embedded broker");
        b->topic_count++;
        b->first_partition[t + 1] = b->first_partition[t] + topics[t].partitions;
    }
    b->partition_count = b->first_partition[count];
    b->partitions = hf_alloc((size_t)b->partition_count * sizeof *b->partitions);
    if (!b->partitions)
        return hf_fail(reterr, HF_E_NO_MEMORY, "embedded broker");
    for (size_t t = 0; t < count; t++)
        for (int32_t i = 0; i < topics[t].partitions; i++)
            b->partitions[b->first_partition[t] + i] = (partition){.topic = (int32_t)t, .number = i, .refill_next = -1};
    return HF_OK;
}

static partition *partition_of(hf_broker *b, const char *topic, int32_t number) {
    for (size_t t = 0; t < b->topic_count; t++)
        if (strcmp(b->topics[t], topic) == 0)
            return number >= 0 && number < b->first_partition[t + 1] - b->first_partition[t]
                       ? &b->partitions[b->first_partition[t] + number]
                       : NULL;
    return NULL;
}

/* ---- refill --------------------------------------------------------------------------------------------- */
/* The opaque of a message is the offset it must get. Runs on the watcher's thread. */
static void on_refilled(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk;
    hf_broker *b = opaque;
    int64_t wanted = (int64_t)(intptr_t)m->_private;
    pthread_mutex_lock(&b->lock);
    if (m->err && !b->refill_err.code)
        hf_fail(&b->refill_err, HF_E_LOG_NOT_ACKED, "refilling %s [%d] at offset %" PRId64 ": %s",
                rd_kafka_topic_name(m->rkt), m->partition, wanted, rd_kafka_err2str(m->err));
    else if (m->offset != wanted && !b->refill_err.code)
        hf_fail(&b->refill_err, HF_E_CONFLICT,
                "refilling %s [%d]: a record of offset %" PRId64 " came to %" PRId64
                ": somebody else writes to the broker",
                rd_kafka_topic_name(m->rkt), m->partition, wanted, m->offset);
    if (--b->refilling == 0)
        hf_forward_door(b->forward, true);
    pthread_cond_broadcast(&b->refill_moved);
    pthread_mutex_unlock(&b->lock);
}

static const hf_setting refill_settings[] = {
    {"enable.idempotence", "true"},
    {"linger.ms", "5"},
    {"queue.buffering.max.messages", "200000"},
    {"queue.buffering.max.kbytes", "262144"},
    {"message.max.bytes", "4000000"},
    {NULL, NULL},
};

/* Waits until at most `most` records are on their way. */
static hf_code await_refill(hf_broker *b, uint32_t most, int timeout_ms, hf_err *reterr) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int late = 0;
    pthread_mutex_lock(&b->lock);
    while (b->refilling > most && !b->refill_err.code && !late)
        late = pthread_cond_timedwait(&b->refill_moved, &b->lock, &until);
    hf_code code = HF_OK;
    if (b->refill_err.code)
        code = hf_fail(reterr, b->refill_err.code, "%s", b->refill_err.detail);
    else if (b->refilling > most)
        code = hf_fail(reterr, HF_E_TIMEOUT, "refilling: %u records not in after %d ms", b->refilling, timeout_ms);
    pthread_mutex_unlock(&b->lock);
    return code;
}

static hf_code refill_begin(hf_broker *b, partition *p, const char *topic, hf_err *reterr) {
    int64_t low, high;
    if (p->refill_next >= 0)
        return HF_OK;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(b->refill, topic, p->number, &low, &high, REFILL_WAIT_MS);
    if (err)
        return hf_fail(reterr, HF_E_LOG_UNREACHABLE, "refilling %s [%d]: %s", topic, p->number, rd_kafka_err2str(err));
    p->refill_next = high;
    return HF_OK;
}

static rd_kafka_headers_t *copy_headers(const hf_log_record *r) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(r->header_count + 1);
    for (uint32_t i = 0; i < r->header_count; i++)
        rd_kafka_header_add(headers, r->headers[i].name.p, (ssize_t)r->headers[i].name.len, r->headers[i].value.p,
                            (ssize_t)r->headers[i].value.len);
    return headers;
}

static hf_code refill_send(hf_broker *b, const partition *p, const char *topic, const hf_log_record *r,
                           hf_err *reterr) {
    rd_kafka_headers_t *headers = copy_headers(r);
    pthread_mutex_lock(&b->lock);
    b->refilling++;
    hf_forward_door(b->forward, false);
    pthread_mutex_unlock(&b->lock);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        b->refill, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(p->number), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(r->key.p, r->key.len), RD_KAFKA_V_VALUE((void *)(uintptr_t)r->value.p, r->value.len),
        RD_KAFKA_V_TIMESTAMP(r->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE((void *)(intptr_t)p->refill_next), RD_KAFKA_V_END);
    if (!err)
        return HF_OK;
    rd_kafka_headers_destroy(headers);
    pthread_mutex_lock(&b->lock);
    if (--b->refilling == 0)
        hf_forward_door(b->forward, true);
    pthread_mutex_unlock(&b->lock);
    return hf_fail(reterr, HF_E_LOG_NOT_ACKED, "refilling %s [%d]: %s", topic, p->number, rd_kafka_err2str(err));
}

hf_code hf_broker_refill(hf_broker *b, const char *topic, const hf_log_record *record, int64_t *ret_offset,
                         hf_err *reterr) {
    partition *p = partition_of(b, topic, record->partition);
    if (!p)
        return hf_fail(reterr, HF_E_NOT_FOUND, "the embedded broker has no %s [%d]", topic, record->partition);
    hf_code code = await_refill(b, REFILL_QUEUE, REFILL_WAIT_MS, reterr);
    if (!code)
        code = refill_begin(b, p, topic, reterr);
    if (code)
        return code;
    if (record->offset != p->refill_next)
        return hf_fail(reterr, HF_E_CONFLICT,
                       "refilling %s [%d]: the next record has offset %" PRId64 ", but would come to %" PRId64
                       ": begin with an empty state directory",
                       topic, record->partition, record->offset, p->refill_next);
    code = refill_send(b, p, topic, record, reterr);
    if (code)
        return code;
    *ret_offset = p->refill_next++;
    return HF_OK;
}

hf_code hf_broker_refill_done(hf_broker *b, int timeout_ms, hf_err *reterr) {
    return await_refill(b, 0, timeout_ms, reterr);
}

/* ---- watching the bounds ----------------------------------------------------------------------------------- */
static void tell(hf_broker *b, const partition *p, int64_t first_kept, bool dropped) {
    const hf_broker_limit limit = {.topic = b->topics[p->topic],
                                   .partition = p->number,
                                   .dropped = dropped,
                                   .records = p->records,
                                   .bytes = p->bytes,
                                   .first_kept = first_kept};
    pthread_mutex_lock(&b->lock);
    hf_broker_limit_cb cb = b->limit_cb;
    void *ctx = b->limit_ctx;
    pthread_mutex_unlock(&b->lock);
    if (cb)
        cb(ctx, &limit);
    else
        HF_LOG(WARN, dropped ? "broker-dropped" : "broker-near-limit", {"topic", HF_V_Z(limit.topic)},
               {"partition", HF_V_INT(limit.partition)}, {"records", HF_V_INT(limit.records)},
               {"bytes", HF_V_INT(limit.bytes)}, {"first_kept", HF_V_INT(first_kept)});
}

static void count_record(hf_broker *b, const rd_kafka_message_t *m) {
    partition *p = partition_of(b, rd_kafka_topic_name(m->rkt), m->partition);
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (!p)
        return;
    p->records = m->offset + 1;
    p->bytes += (int64_t)(BATCH_OVERHEAD + m->key_len + m->len);
    if (!rd_kafka_message_headers(m, &headers))
        for (size_t i = 0; !rd_kafka_header_get_all(headers, i, &name, &value, &size); i++)
            p->bytes += (int64_t)(HEADER_OVERHEAD + strlen(name) + size);
    bool near = p->bytes >= (int64_t)HF_BROKER_PARTITION_BYTES / 100 * NEAR_PERCENT ||
                p->records >= (int64_t)HF_BROKER_PARTITION_RECORDS / 100 * NEAR_PERCENT;
    if (!near || p->near)
        return;
    p->near = true;
    tell(b, p, 0, false);
}

static rd_kafka_topic_partition_list_t *all_partitions(const hf_broker *b, int64_t offset) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(b->partition_count);
    for (int32_t i = 0; i < b->partition_count; i++)
        rd_kafka_topic_partition_list_add(list, b->topics[b->partitions[i].topic], b->partitions[i].number)->offset =
            offset;
    return list;
}

static void check_heads(hf_broker *b) {
    rd_kafka_topic_partition_list_t *list = all_partitions(b, RD_KAFKA_OFFSET_BEGINNING);
    if (!rd_kafka_offsets_for_times(b->watcher, list, WATCH_ENDS_MS))
        for (int i = 0; i < list->cnt; i++) {
            partition *p = &b->partitions[i];
            if (list->elems[i].err || list->elems[i].offset <= 0 || p->dropped)
                continue;
            p->dropped = true;
            atomic_store(&b->limit_reached, true);
            tell(b, p, list->elems[i].offset, true);
        }
    rd_kafka_topic_partition_list_destroy(list);
}

static void *watch(void *arg) {
    hf_broker *b = arg;
    int64_t heads_at = 0;
    while (!atomic_load(&b->stopping)) {
        rd_kafka_poll(b->refill, 0);
        for (rd_kafka_message_t *m; (m = rd_kafka_consumer_poll(b->watcher, WATCH_STEP_MS / 10));) {
            if (!m->err)
                count_record(b, m);
            rd_kafka_message_destroy(m);
            rd_kafka_poll(b->refill, 0);
            if (atomic_load(&b->stopping))
                break;
        }
        int64_t now = hf_mono_ms(hf_clock_system());
        if (now < heads_at)
            continue;
        check_heads(b);
        heads_at = now + WATCH_ENDS_MS;
    }
    return NULL;
}

static const hf_setting watch_settings[] = {
    {"group.id", "hyperfleet-broker-watch"},
    {"enable.auto.commit", "false"},
    {"auto.offset.reset", "earliest"},
    {"fetch.wait.max.ms", "100"},
    {NULL, NULL},
};

static hf_code start_watch(hf_broker *b, hf_err *reterr) {
    hf_code code = client_new(b, RD_KAFKA_PRODUCER, refill_settings, on_refilled, &b->refill, reterr);
    if (!code)
        code = client_new(b, RD_KAFKA_CONSUMER, watch_settings, NULL, &b->watcher, reterr);
    if (code)
        return code;
    rd_kafka_poll_set_consumer(b->watcher);
    rd_kafka_topic_partition_list_t *list = all_partitions(b, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_assign(b->watcher, list);
    rd_kafka_topic_partition_list_destroy(list);
    int failed = pthread_create(&b->thread, NULL, watch, b);
    b->thread_runs = !failed;
    return failed ? hf_fail_errno(reterr, failed, "embedded broker") : HF_OK;
}

void hf_broker_on_limit(hf_broker *b, hf_broker_limit_cb cb, void *ctx) {
    pthread_mutex_lock(&b->lock);
    b->limit_cb = cb;
    b->limit_ctx = ctx;
    pthread_mutex_unlock(&b->lock);
}

bool hf_broker_limit_reached(const hf_broker *b) { return atomic_load(&b->limit_reached); }

/* ---- starting and stopping ------------------------------------------------------------------------------------ */
hf_code hf_broker_start(const char *listen, const hf_broker_topic *topics, size_t count, hf_broker **ret,
                        hf_err *reterr) {
    hf_broker *b = hf_alloc(sizeof *b);
    if (!b)
        return hf_fail(reterr, HF_E_NO_MEMORY, "embedded broker");
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->refill_moved, NULL);
    hf_code code = copy_topics(b, topics, count, reterr);
    if (!code)
        code = hf_mock_start(&b->mock, topics, count, reterr);
    if (!code)
        code = hf_forward_start(listen, b->mock.port, &b->forward, reterr);
    if (!code)
        code = start_watch(b, reterr);
    if (code) {
        hf_broker_stop(b);
        return code;
    }
    *ret = b;
    return HF_OK;
}

void hf_broker_stop(hf_broker *b) {
    if (!b)
        return;
    atomic_store(&b->stopping, true);
    if (b->thread_runs)
        pthread_join(b->thread, NULL);
    if (b->watcher)
        rd_kafka_destroy_flags(b->watcher, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (b->refill) {
        rd_kafka_purge(b->refill, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(b->refill);
    }
    hf_forward_stop(b->forward);
    hf_mock_stop(&b->mock);
    for (size_t t = 0; t < b->topic_count; t++)
        free(b->topics[t]);
    free(b->topics);
    free(b->first_partition);
    free(b->partitions);
    pthread_cond_destroy(&b->refill_moved);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

const char *hf_broker_address(const hf_broker *b) { return hf_forward_address(b->forward); }

/* ---- faults for tests ------------------------------------------------------------------------------------------- */
void hf_broker_push_errors(hf_broker *b, int16_t api, int error, uint32_t count) {
    rd_kafka_resp_err_t errors[PUSH_MAX];
    count = count > PUSH_MAX ? PUSH_MAX : count;
    for (uint32_t i = 0; i < count; i++)
        errors[i] = (rd_kafka_resp_err_t)error;
    rd_kafka_mock_push_request_errors_array(b->mock.cluster, api, count, errors);
}

void hf_broker_set_down(hf_broker *b, bool down) { hf_mock_set_down(&b->mock, down); }

void hf_broker_set_delay(hf_broker *b, int delay_ms) { hf_mock_set_delay(&b->mock, delay_ms); }
