/* librdkafka's messages as records, and the batches that keep them alive. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "journal/log/inside.h"

/* ---- topics of messages -------------------------------------------------------------------- */
hf_topic hf_topic_cache_get(hf_topic_cache *cache, const hf_klog *log, rd_kafka_topic_t *handle) {
    for (uint32_t i = 0; i < cache->count; i++)
        if (cache->handles[i] == handle)
            return cache->topics[i];
    hf_topic topic = hf_topic_of(log, rd_kafka_topic_name(handle));
    if (topic != HF_TOPIC_COUNT && cache->count < HF_TOPIC_COUNT) {
        cache->handles[cache->count] = handle;
        cache->topics[cache->count++] = topic;
    }
    return topic;
}

/* ---- clients --------------------------------------------------------------------------------- */
hf_code hf_client_new(rd_kafka_t *rk, int event_fd, hf_client **ret, hf_err *reterr) {
    static const uint64_t one = 1; /* what eventfd(2) takes */
    hf_client *client = hf_alloc(sizeof *client);
    if (!client)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a Kafka client");
    client->rk = rk;
    client->queue = rd_kafka_queue_get_consumer(rk);
    atomic_store(&client->refs, 1);
    rd_kafka_queue_io_event_enable(client->queue, event_fd, &one, sizeof one);
    *ret = client;
    return HF_OK;
}

void hf_client_silence(hf_client *client) { rd_kafka_queue_io_event_enable(client->queue, -1, NULL, 0); }

void hf_client_put(hf_client *client) {
    if (!client || atomic_fetch_sub(&client->refs, 1) > 1)
        return;
    rd_kafka_queue_destroy(client->queue);
    rd_kafka_destroy_flags(client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(client);
}

/* ---- records ---------------------------------------------------------------------------------- */
static void take_headers(const rd_kafka_message_t *m, hf_log_record *r) {
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t size;
    if (rd_kafka_message_headers(m, &headers))
        return;
    while (r->header_count < HF_LOG_HEADERS_MAX &&
           !rd_kafka_header_get_all(headers, r->header_count, &name, &value, &size)) {
        hf_header *h = &r->headers[r->header_count++];
        h->name = hf_str_of(name);
        h->value = (hf_str){value, (uint32_t)size};
    }
}

static void take_record(const rd_kafka_message_t *m, hf_topic topic, hf_headers headers, hf_log_record *r) {
    rd_kafka_timestamp_type_t type;
    r->topic = topic;
    r->partition = m->partition;
    r->offset = m->offset;
    r->timestamp_ms = rd_kafka_message_timestamp(m, &type);
    r->key = (hf_str){m->key, (uint32_t)m->key_len};
    r->value = (hf_str){m->payload, (uint32_t)m->len};
    r->header_count = 0;
    if (headers == HF_HEADERS_TAKE)
        take_headers(m, r);
}

/* ---- batches ---------------------------------------------------------------------------------- */
typedef struct batch_inside {
    hf_client *client;
    size_t count;
    hf_log_record *records;
    rd_kafka_message_t *messages[];
} batch_inside;

hf_code hf_batch_make(hf_client *client, hf_topic_cache *cache, const hf_klog *log, hf_headers headers,
                      rd_kafka_message_t **messages, size_t count, hf_batch *ret, hf_err *reterr) {
    /* not zeroed: a record is 600 bytes, of which mostly 100 are used */
    batch_inside *inside = hf_realloc(NULL, sizeof *inside + count * sizeof *messages);
    hf_log_record *records = inside ? hf_realloc(NULL, count * sizeof *records) : NULL;
    if (!records) {
        free(inside);
        return hf_fail(reterr, HF_E_NO_MEMORY, "a batch of %zu records", count);
    }
    for (size_t i = 0; i < count; i++)
        take_record(messages[i], hf_topic_cache_get(cache, log, messages[i]->rkt), headers, &records[i]);
    memcpy(inside->messages, messages, count * sizeof *messages);
    atomic_fetch_add(&client->refs, 1);
    inside->client = client;
    inside->count = count;
    inside->records = records;
    *ret = (hf_batch){.records = records, .count = count, .inside = inside};
    return HF_OK;
}

void hf_batch_release(hf_batch *batch) {
    batch_inside *inside = batch->inside;
    *batch = (hf_batch){0};
    if (!inside)
        return;
    for (size_t i = 0; i < inside->count; i++)
        rd_kafka_message_destroy(inside->messages[i]);
    hf_client_put(inside->client);
    free(inside->records);
    free(inside);
}

/* ---- readiness ---------------------------------------------------------------------------------- */
void hf_event_clear(int fd) {
    eventfd_t value;
    eventfd_read(fd, &value);
}

int hf_event_wait(int fd, int timeout_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n;
}

hf_code hf_log_truncated(hf_klog *log, const char *topic, int32_t partition, int64_t wanted, const char *remedy,
                         hf_err *reterr) {
    int64_t low = -1, high = -1;
    rd_kafka_query_watermark_offsets(log->admin, topic, partition, &low, &high, HF_LOG_STEP_MS / 5);
    if (low >= 0 && wanted > high)
        return hf_fail(reterr, HF_E_LOG_TRUNCATED,
                       "%s [%d]: offset %lld is wanted next, but the log ends at %lld: the topic was deleted and made "
                       "anew, or this is another cluster; %s",
                       topic, partition, (long long)wanted, (long long)high, remedy);
    return hf_fail(reterr, HF_E_LOG_TRUNCATED,
                   "%s [%d]: offset %lld is wanted next, but the first one kept is %lld; %s", topic, partition,
                   (long long)wanted, (long long)low, remedy);
}
