/* Producing: two lanes (librdkafka producers), one that sends at once and one that lingers a millisecond so that
 * requests fill up (hf_klog_bulk). Both are idempotent with acks=all, and made when first needed.
 *
 * Order: two producers share none, so a record goes by the wanted lane only once no record of its key is under way
 * on the other. Keys are told apart by SLOTS counters: two keys of one slot only wait for each other's lane.
 *
 * A fatal error (librdkafka cannot keep its promise of order any more) ends a lane: what was under way is reported
 * as LOG_NOT_ACKED, once, and the next record gets a new producer.
 *
 * Lock: `lock` guards everything below; it is never held while the owner's callback runs or librdkafka blocks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "journal/log/faults.h"
#include "journal/log/flights.h"
#include "journal/log/inside.h"
#include "schemas/base/clock.h"

enum {
    LANE_NOW,
    LANE_BULK,
    LANES,
    SLOTS = 4096,
    QUEUE_RECORDS = 100000,
    HEADERS_OWN = 2,
    VALUES_FIXED = 6,
    END_STEP_MS = 100,
};
#define QUEUE_BYTES ((size_t)256 * 1024 * 1024)

typedef struct lane {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topics[HF_TOPIC_COUNT];
    bool fatal;  /* to be ended by the thread that polls */
    bool ending; /* being ended: takes nothing */
    uint32_t flying_of_slot[SLOTS];
    uint32_t flying;
} lane;

struct hf_producer {
    hf_klog *log;
    pthread_mutex_t lock;
    pthread_mutex_t serving; /* one thread at a time serves librdkafka's queues and ends lanes */
    hf_flights flights;
    lane lanes[LANES];
    _Atomic int wanted;
    uint32_t unkeyed; /* spreads records without a key */
    int event_fd;
    hf_report_cb cb;
    void *cb_ctx;
};

static const hf_setting soft[] = {
    {"message.max.bytes", "2500000"}, /* dead letters are kept verbatim; the broker has its own bound per topic */
    {"queue.buffering.max.messages", "100000"},
    {"queue.buffering.max.kbytes", "262144"},
    {NULL, NULL},
};
static const hf_setting hard[LANES][5] = {
    {{"enable.idempotence", "true"},
     {"acks", "all"},
     {"partitioner", "murmur2_random"},
     {"linger.ms", "0"},
     {NULL, NULL}},
    {{"enable.idempotence", "true"},
     {"acks", "all"},
     {"partitioner", "murmur2_random"},
     {"linger.ms", "1"},
     {NULL, NULL}},
};

/* ---- reports from librdkafka ---------------------------------------------------------------- */
static hf_code report_code(rd_kafka_resp_err_t err) {
    hf_code code = hf_log_code(err);
    return code == HF_OK || code == HF_E_LIMIT || code == HF_E_PERMISSION || code == HF_E_NOT_FOUND
               ? code
               : HF_E_LOG_NOT_ACKED;
}

static void landed(hf_producer *p, uint32_t index) {
    const hf_flight *flight = hf_flights_at(&p->flights, index);
    p->lanes[flight->lane].flying--;
    if (flight->keyed)
        p->lanes[flight->lane].flying_of_slot[flight->slot]--;
    hf_flights_due(&p->flights, index);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
    (void)rk;
    hf_klog *log = opaque;
    hf_producer *p = log->producer;
    uint32_t index = (uint32_t)(uintptr_t)m->_private - 1;
    pthread_mutex_lock(&p->lock);
    hf_flight *flight = hf_flights_at(&p->flights, index);
    flight->partition = m->partition;
    flight->offset = m->offset;
    flight->error = report_code(m->err);
    flight->detail = m->err ? rd_kafka_err2str(m->err) : "";
    landed(p, index);
    pthread_mutex_unlock(&p->lock);
    if (!m->err)
        hf_trouble_over(&log->trouble);
}

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque) {
    hf_klog *log = opaque;
    hf_trouble_on_error(rk, err, reason, opaque);
    if (err != RD_KAFKA_RESP_ERR__FATAL)
        return;
    pthread_mutex_lock(&log->producer->lock);
    for (int i = 0; i < LANES; i++)
        if (log->producer->lanes[i].rk == rk)
            log->producer->lanes[i].fatal = true;
    pthread_mutex_unlock(&log->producer->lock);
}

/* ---- lanes --------------------------------------------------------------------------------------- */
static void listen_to(rd_kafka_t *rk, int fd) {
    static const uint64_t one = 1; /* what eventfd(2) takes */
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(rk);
    rd_kafka_queue_io_event_enable(queue, fd, fd < 0 ? NULL : &one, fd < 0 ? 0 : sizeof one);
    rd_kafka_queue_destroy(queue);
}

static void drop_handle(rd_kafka_t *rk, rd_kafka_topic_t **topics) {
    for (int t = 0; t < HF_TOPIC_COUNT; t++)
        if (topics[t])
            rd_kafka_topic_destroy(topics[t]);
    rd_kafka_destroy(rk);
}

static hf_code lane_open(hf_producer *p, int which, hf_err *reterr) {
    lane *l = &p->lanes[which];
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    hf_code code = hf_conf_new(p->log, which == LANE_BULK ? "bulk" : "producer", soft, hard[which], &conf, reterr);
    if (code)
        return code;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    code = hf_handle_new(RD_KAFKA_PRODUCER, conf, &rk, reterr);
    if (code)
        return code;
    listen_to(rk, p->event_fd);
    l->rk = rk;
    return HF_OK;
}

static rd_kafka_topic_t *lane_topic(lane *l, const hf_klog *log, hf_topic topic) {
    if (!l->topics[topic])
        l->topics[topic] = rd_kafka_topic_new(l->rk, log->topic_names[topic], NULL);
    return l->topics[topic];
}

/* librdkafka has told all it will: the rest of this lane may or may not be in the log. */
static void give_up_rest(hf_producer *p, int which) {
    for (uint32_t i = 0; i < p->flights.made && p->lanes[which].flying; i++) {
        hf_flight *flight = hf_flights_at(&p->flights, i);
        if (flight->state != HF_FLIGHT_FLYING || flight->lane != which)
            continue;
        flight->error = HF_E_LOG_NOT_ACKED;
        flight->detail = "the producer ended before Kafka answered";
        landed(p, i);
    }
}

/* Called with `serving` held. The callbacks of what librdkafka gives up run inside rd_kafka_flush. */
static void lane_end(hf_producer *p, int which) {
    lane *l = &p->lanes[which];
    rd_kafka_topic_t *topics[HF_TOPIC_COUNT];
    pthread_mutex_lock(&p->lock);
    rd_kafka_t *rk = l->rk;
    memcpy(topics, l->topics, sizeof topics);
    l->ending = true;
    pthread_mutex_unlock(&p->lock);
    rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(rk, END_STEP_MS);
    listen_to(rk, -1);
    drop_handle(rk, topics);
    pthread_mutex_lock(&p->lock);
    give_up_rest(p, which);
    l->rk = NULL;
    memset(l->topics, 0, sizeof l->topics);
    l->fatal = l->ending = false;
    pthread_mutex_unlock(&p->lock);
}

/* ---- making and ending ------------------------------------------------------------------------ */
hf_code hf_producer_new(hf_klog *log, hf_producer **ret, hf_err *reterr) {
    hf_producer *p = hf_alloc(sizeof *p);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the producer");
    if (!hf_flights_init(&p->flights, QUEUE_RECORDS, QUEUE_BYTES)) {
        free(p);
        return hf_fail(reterr, HF_E_NO_MEMORY, "the producer");
    }
    p->log = log;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->serving, NULL);
    p->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->event_fd < 0) {
        int err = errno;
        hf_producer_free(p);
        return hf_fail_errno(reterr, err, "eventfd");
    }
    *ret = p;
    return HF_OK;
}

static int deliver(hf_producer *p);

void hf_producer_free(hf_producer *p) {
    if (!p)
        return;
    for (int i = 0; i < LANES; i++)
        if (p->lanes[i].rk)
            lane_end(p, i);
    deliver(p);
    hf_flights_done(&p->flights);
    if (p->event_fd >= 0)
        close(p->event_fd);
    pthread_mutex_destroy(&p->serving);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- producing ------------------------------------------------------------------------------------ */
typedef struct outgoing {
    hf_topic topic;
    int32_t partition;
    hf_str key, value;
    const char *type;
    const hf_header *headers;
    uint32_t header_count;
    uint64_t tag;
} outgoing;

static uint16_t slot_of(hf_str key) { return (uint16_t)hf_klog_partition_of(key, SLOTS); }

static int choose_lane(const hf_producer *p, const outgoing *o, uint16_t slot) {
    int wanted = atomic_load_explicit(&p->wanted, memory_order_relaxed);
    return o->key.p && p->lanes[1 - wanted].flying_of_slot[slot] ? 1 - wanted : wanted;
}

static void put_header(rd_kafka_vu_t *v, const char *name, const char *value, size_t len) {
    v->vtype = RD_KAFKA_VTYPE_HEADER;
    v->u.header.name = name;
    v->u.header.val = value;
    v->u.header.size = (ssize_t)len;
}

static void put_mem(rd_kafka_vu_t *v, rd_kafka_vtype_t type, hf_str s) {
    v->vtype = type;
    v->u.mem.ptr = (void *)(uintptr_t)s.p; /* copied: RD_KAFKA_MSG_F_COPY */
    v->u.mem.size = s.len;
}

enum { HEADER_NAME_MAX = 128 };

static rd_kafka_error_t *hand_over(lane *l, const hf_klog *log, const outgoing *o, uint32_t index) {
    rd_kafka_vu_t v[VALUES_FIXED + HEADERS_OWN + HF_LOG_HEADERS_MAX];
    char names[HF_LOG_HEADERS_MAX][HEADER_NAME_MAX]; /* hf_str has no NUL behind */
    size_t n = 0;
    v[n].vtype = RD_KAFKA_VTYPE_RKT, v[n++].u.rkt = l->topics[o->topic];
    v[n].vtype = RD_KAFKA_VTYPE_PARTITION, v[n++].u.i32 = o->partition;
    v[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS, v[n++].u.i = RD_KAFKA_MSG_F_COPY;
    v[n].vtype = RD_KAFKA_VTYPE_OPAQUE, v[n++].u.ptr = (void *)(uintptr_t)(index + 1);
    put_mem(&v[n++], RD_KAFKA_VTYPE_KEY, o->key);
    put_mem(&v[n++], RD_KAFKA_VTYPE_VALUE, o->value);
    put_header(&v[n++], "hf-type", o->type, strlen(o->type));
    put_header(&v[n++], "hf-producer", log->producer_name, strlen(log->producer_name));
    for (uint32_t i = 0; i < o->header_count; i++) {
        memcpy(names[i], o->headers[i].name.p, o->headers[i].name.len);
        names[i][o->headers[i].name.len] = '\0';
        put_header(&v[n++], names[i], o->headers[i].value.p, o->headers[i].value.len);
    }
    return rd_kafka_produceva(l->rk, v, n);
}

static hf_code check_outgoing(const hf_klog *log, const outgoing *o, hf_err *reterr) {
    size_t most = o->topic == HF_TOPIC_DEAD_LETTERS ? HF_LOG_DEAD_LETTER_BYTES : HF_MAX_RECORD;
    size_t headers = 0;
    if ((size_t)o->key.len + o->value.len > most)
        return hf_fail(reterr, HF_E_LIMIT, "a record of %zu bytes for %s: at most %zu are allowed",
                       (size_t)o->key.len + o->value.len, log->topic_names[o->topic], most);
    if (o->header_count > HF_LOG_HEADERS_MAX - HEADERS_OWN)
        return hf_fail(reterr, HF_E_LIMIT, "%u headers: at most %d are allowed", o->header_count,
                       HF_LOG_HEADERS_MAX - HEADERS_OWN);
    for (uint32_t i = 0; i < o->header_count; i++) {
        headers += o->headers[i].value.len;
        if (o->headers[i].name.len >= HEADER_NAME_MAX || headers > HF_MAX_TEXT * HF_LOG_HEADERS_MAX)
            return hf_fail(reterr, HF_E_LIMIT, "header %u: names have at most %d bytes, all values together %d", i,
                           HEADER_NAME_MAX - 1, HF_MAX_TEXT * HF_LOG_HEADERS_MAX);
    }
    return HF_OK;
}

static hf_code place(hf_producer *p, outgoing *o, hf_err *reterr) {
    int32_t count = atomic_load_explicit(&p->log->partition_counts[o->topic], memory_order_relaxed);
    if (count <= 0)
        return hf_fail(reterr, HF_E_NOT_FOUND, "topic %s does not exist", p->log->topic_names[o->topic]);
    if (o->partition >= count)
        return hf_fail(reterr, HF_E_NOT_FOUND, "topic %s has no partition %d", p->log->topic_names[o->topic],
                       o->partition);
    if (o->partition < 0)
        o->partition = o->key.p ? hf_klog_partition_of(o->key, count) : (int32_t)(p->unkeyed++ % (uint32_t)count);
    return HF_OK;
}

static hf_code refused(hf_producer *p, lane *l, const outgoing *o, rd_kafka_error_t *error, hf_err *reterr) {
    rd_kafka_resp_err_t err = rd_kafka_error_code(error);
    hf_code code = hf_log_code(err);
    if (err == RD_KAFKA_RESP_ERR__FATAL || err == RD_KAFKA_RESP_ERR__FENCED || rd_kafka_error_is_fatal(error)) {
        l->fatal = true;
        code = HF_E_LOG_FATAL;
        eventfd_write(p->event_fd, 1); /* wakes the thread that polls: it makes the producer anew */
    }
    hf_fail(reterr, code, "record for %s: %s", p->log->topic_names[o->topic], rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return code;
}

static hf_code send_by(hf_producer *p, int which, uint16_t slot, const outgoing *o, hf_err *reterr) {
    lane *l = &p->lanes[which];
    hf_code code = HF_OK;
    if (l->fatal || l->ending)
        return hf_fail(reterr, HF_E_LOG_FATAL, "the producer is being made anew; try again");
    if (!l->rk)
        code = lane_open(p, which, reterr);
    if (code)
        return code;
    if (!lane_topic(l, p->log, o->topic))
        return hf_fail(reterr, HF_E_NO_MEMORY, "topic %s", p->log->topic_names[o->topic]);
    uint32_t index = hf_flights_take(&p->flights, o->key.len + o->value.len, &code);
    if (index == HF_FLIGHT_NONE)
        return hf_fail(reterr, code, "%u records, %zu bytes wait for Kafka", p->flights.used, p->flights.used_bytes);
    hf_flight *flight = hf_flights_at(&p->flights, index);
    flight->tag = o->tag;
    flight->topic = (uint8_t)o->topic;
    flight->partition = o->partition;
    flight->lane = (uint8_t)which;
    flight->slot = slot;
    flight->keyed = o->key.p != NULL;
    rd_kafka_error_t *error = hand_over(l, p->log, o, index);
    if (error) {
        hf_flights_give_back(&p->flights, index);
        return refused(p, l, o, error, reterr);
    }
    l->flying++;
    l->flying_of_slot[slot] += flight->keyed;
    return HF_OK;
}

hf_code hf_klog_produce(hf_klog *log, hf_topic topic, int32_t partition, hf_str key, hf_str value,
                        const char *hf_type_name, const hf_header *headers, uint32_t header_count, uint64_t tag,
                        hf_err *reterr) {
    hf_producer *p = log->producer;
    outgoing o = {.topic = topic,
                  .partition = partition,
                  .key = key,
                  .value = value,
                  .type = hf_type_name,
                  .headers = headers,
                  .header_count = header_count,
                  .tag = tag};
    hf_code code = check_outgoing(log, &o, reterr);
    if (code)
        return code;
    uint16_t slot = key.p ? slot_of(key) : 0;
    pthread_mutex_lock(&p->lock);
    code = place(p, &o, reterr);
    if (!code)
        code = send_by(p, choose_lane(p, &o, slot), slot, &o, reterr);
    pthread_mutex_unlock(&p->lock);
    return code;
}

/* ---- reports to the owner -------------------------------------------------------------------------- */
static int deliver(hf_producer *p) {
    int count = 0;
    pthread_mutex_lock(&p->lock);
    uint32_t head = hf_flights_take_due(&p->flights), last;
    hf_report_cb cb = p->cb;
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = head; i != HF_FLIGHT_NONE; i = hf_flights_at(&p->flights, i)->next, count++) {
        const hf_flight *f = hf_flights_at(&p->flights, i);
        const hf_report report = {.topic = (hf_topic)f->topic,
                                  .partition = f->partition,
                                  .offset = f->offset,
                                  .error = f->error,
                                  .detail = f->detail};
        if (cb)
            cb(p->cb_ctx, f->tag, &report);
    }
    pthread_mutex_lock(&p->lock);
    while ((last = head) != HF_FLIGHT_NONE) {
        head = hf_flights_at(&p->flights, last)->next;
        hf_flights_give_back(&p->flights, last);
    }
    pthread_mutex_unlock(&p->lock);
    return count;
}

static rd_kafka_t *lane_handle(hf_producer *p, int which, bool *ret_fatal) {
    pthread_mutex_lock(&p->lock);
    rd_kafka_t *rk = p->lanes[which].rk;
    *ret_fatal = p->lanes[which].fatal;
    pthread_mutex_unlock(&p->lock);
    return rk;
}

/* Only the holder of `serving` destroys a handle, so it stays valid here. */
static void serve(hf_producer *p) {
    pthread_mutex_lock(&p->serving);
    hf_event_clear(p->event_fd); /* first: what comes from now on sets it again */
    for (int i = 0; i < LANES; i++) {
        bool fatal;
        rd_kafka_t *rk = lane_handle(p, i, &fatal);
        if (rk)
            rd_kafka_poll(rk, 0);
        if (rk && lane_handle(p, i, &fatal) && fatal) {
            HF_LOG(WARN, "producer-made-anew", {"client", HF_V_Z(rd_kafka_name(rk))});
            lane_end(p, i);
        }
    }
    pthread_mutex_unlock(&p->serving);
    hf_klog_serve(p->log);
}

int hf_klog_poll_reports(hf_klog *log, int timeout_ms) {
    serve(log->producer);
    int count = deliver(log->producer);
    if (count || !timeout_ms || hf_event_wait(log->producer->event_fd, timeout_ms) <= 0)
        return count;
    serve(log->producer);
    return deliver(log->producer);
}

int hf_klog_report_fd(hf_klog *log) { return log->producer->event_fd; }

void hf_klog_on_report(hf_klog *log, hf_report_cb cb, void *ctx) {
    pthread_mutex_lock(&log->producer->lock);
    log->producer->cb = cb;
    log->producer->cb_ctx = ctx;
    pthread_mutex_unlock(&log->producer->lock);
}

uint32_t hf_klog_in_flight(hf_klog *log) {
    pthread_mutex_lock(&log->producer->lock);
    uint32_t used = log->producer->flights.used;
    pthread_mutex_unlock(&log->producer->lock);
    return used;
}

enum { FLUSH_STEP_MS = 50 };

hf_code hf_klog_flush(hf_klog *log, int timeout_ms, hf_err *reterr) {
    int64_t until = hf_mono_ms(hf_clock_system()) + timeout_ms;
    for (;;) {
        int64_t left = until - hf_mono_ms(hf_clock_system());
        if (!hf_klog_in_flight(log))
            return HF_OK;
        if (left <= 0)
            return hf_fail(reterr, HF_E_TIMEOUT, "%u records still wait for Kafka's acknowledgement",
                           hf_klog_in_flight(log));
        hf_klog_poll_reports(log, left < FLUSH_STEP_MS ? (int)left : FLUSH_STEP_MS);
    }
}

void hf_klog_bulk(hf_klog *log, bool bulk) {
    atomic_store_explicit(&log->producer->wanted, bulk ? LANE_BULK : LANE_NOW, memory_order_relaxed);
}

/* A fault for tests (faults.h); here because it needs the lanes. */
bool hf_klog_fail_producer(hf_klog *log, const char *reason) {
    bool done = false;
    pthread_mutex_lock(&log->producer->lock);
    for (int i = 0; i < LANES; i++)
        if (log->producer->lanes[i].rk)
            done |= !rd_kafka_test_fatal_error(log->producer->lanes[i].rk,
                                               RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, reason);
    pthread_mutex_unlock(&log->producer->lock);
    return done;
}
