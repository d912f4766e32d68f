/* The log: all of Kafka that Hyperfleet knows, and the only code that includes rdkafka.h.
 *
 * A hf_klog is a connection to one fleet's topics (`hyperfleet.<fleet>.<suffix>`). It creates missing
 * topics with the settings of topics.def and refuses a topic whose settings could lose data
 * (TOPIC_MISMATCH: which, and how to mend it). It gives out one producer, any number of followers, and
 * group consumers.
 *
 * Threads: librdkafka has threads of its own; a producer may be used from any thread, a follower or a
 * group only from the one that made it. Nothing here blocks but where a timeout is a parameter.
 * Readiness is a file descriptor for a poll loop: after it turns readable, drain until 0 comes back
 * (it is edge-triggered in librdkafka; reference: rd_kafka_queue_io_event_enable).
 * Bounds: the producer's queue (100,000 records, 256 MiB: LOG_QUEUE_FULL past it), followers' local queues (a
 * few MB idle, grown only while far behind), record size (HF_MAX_RECORD and headers). */
#pragma once
#include <jansson.h>

#include "schemas/base/config.h"
#include "schemas/base/err.h"
#include "schemas/job/job.h"

typedef enum hf_topic {
#define HF_TOPIC(id, suffix, cleanup, retention_ms, single, doc) HF_TOPIC_##id,
#include "journal/log/topics.def"
#undef HF_TOPIC
    HF_TOPIC_COUNT
} hf_topic;

const char *hf_topic_suffix(hf_topic topic);

enum { HF_LOG_HEADERS_MAX = 16 };
typedef struct hf_header {
    hf_str name, value;
} hf_header;

/* One record as read. Everything borrows from the message behind it, which lives until the
 * batch it came in is released (hf_batch_release). */
typedef struct hf_log_record {
    hf_topic topic;
    int32_t partition;
    int64_t offset, timestamp_ms;
    hf_str key, value; /* value.p NULL: a tombstone */
    uint32_t header_count;
    hf_header headers[HF_LOG_HEADERS_MAX]; /* further ones are cut; `hf-…` and traceparent come first in ours */
} hf_log_record;

/* ---- connection -------------------------------------------------------------------------- */
typedef struct hf_klog hf_klog;

/* Takes fleet, kafka.* (passed on to librdkafka; client.id, SASL/SCRAM rules checked), topics.* from the
 * configuration. `producer_name` goes into the header hf-producer and client.id. Waits up to timeout_ms for a broker
 * (LOG_UNREACHABLE names the address). Creates and checks the topics if `ensure_topics`. */
hf_code hf_klog_open(const hf_config *config, const char *producer_name, bool ensure_topics, int timeout_ms,
                     hf_klog **ret, hf_err *reterr);
void hf_klog_close(hf_klog *log); /* NULL is fine; flushes up to 5 s */
/* Full name of a topic in this fleet; lives as long as the log. */
const char *hf_klog_topic_name(const hf_klog *log, hf_topic topic);
hf_code hf_klog_partitions(hf_klog *log, hf_topic topic, int32_t *ret_count, hf_err *reterr);
/* First offset that is kept, and the one the next record will get. */
hf_code hf_klog_watermarks(hf_klog *log, hf_topic topic, int32_t partition, int timeout_ms, int64_t *ret_low,
                           int64_t *ret_high, hf_err *reterr);
/* murmur2_random's partition for a key, as Java's producers compute it. */
int32_t hf_klog_partition_of(hf_str key, int32_t partition_count);
/* The fatal or repeated error the client is in, if any: HF_OK while all is well. For /health. While it is not well, a
 * broker is asked at most once a second, which takes up to 200 ms. */
hf_code hf_klog_health(hf_klog *log, hf_err *reterr);

/* ---- producing ----------------------------------------------------------------------------- */
/* What became of a record: error HF_OK means acknowledged by all in-sync replicas, at that place. Called from
 * hf_klog_poll_reports on the thread that polls. */
typedef struct hf_report {
    hf_topic topic;
    int32_t partition;
    int64_t offset;
    hf_code error;
    const char *detail;
} hf_report;
typedef void (*hf_report_cb)(void *ctx, uint64_t tag, const hf_report *report);
/* The one callback for all reports of this log; set before the first produce. */
void hf_klog_on_report(hf_klog *log, hf_report_cb cb, void *ctx);

/* Queues a record (key, value and headers are copied; a key or value of {NULL, 0} is none). The headers hf-type and
 * hf-producer are put in front of `headers` (at most 14). Idempotent, acks=all. partition -1: by key, in turn where
 * there is none. `tag` comes back in the report; every call that returned HF_OK gets exactly one report, even
 * across a producer that had to be made anew (then LOG_NOT_ACKED: the record may or may not be in the log).
 * LOG_QUEUE_FULL, LOG_FATAL: poll reports, then try again. LIMIT: past HF_MAX_RECORD (dead-letters take 2 MiB). */
hf_code hf_klog_produce(hf_klog *log, hf_topic topic, int32_t partition, hf_str key, hf_str value,
                        const char *hf_type_name, const hf_header *headers, uint32_t header_count, uint64_t tag,
                        hf_err *reterr);
/* Delivers reports that are due; returns how many. timeout_ms 0 never blocks. */
int hf_klog_poll_reports(hf_klog *log, int timeout_ms);
int hf_klog_report_fd(hf_klog *log); /* readable when reports may be due */
uint32_t hf_klog_in_flight(hf_klog *log);
hf_code hf_klog_flush(hf_klog *log, int timeout_ms, hf_err *reterr);
/* Many small records are under way: linger a millisecond so that requests fill up; off: send at once. Cheap to
 * call. There are two producers inside, and a key's records change over to the other only once none of
 * that key is under way on the first: records of one key stay in the order in which they were produced.
 * Records without a key promise no order. */
void hf_klog_bulk(hf_klog *log, bool bulk);

/* ---- following (assign(), offsets kept by the caller) --------------------------------------- */
typedef struct hf_follower hf_follower;
typedef struct hf_follow_from {
    hf_topic topic;
    int32_t partition;
    int64_t offset; /* next wanted; -2: earliest kept */
} hf_follow_from;
/* Blocks until the topics' ends are known, some milliseconds, at most about 20 s. LOG_TRUNCATED: as in hf_follower_poll,
 * and also where the wanted offset lies behind the log's end. */
hf_code hf_follower_open(hf_klog *log, const hf_follow_from *from, size_t count, hf_follower **ret, hf_err *reterr);
void hf_follower_close(hf_follower *f);
int hf_follower_fd(hf_follower *f);

/* Up to `max` records at once; borrowed until hf_batch_release. 0 records: nothing there within timeout_ms.
 * LOG_TRUNCATED: the wanted offset is gone (names topic, partition, wanted, first kept, and the remedy). */
typedef struct hf_batch {
    hf_log_record *records;
    size_t count;
    void *inside;
} hf_batch;
hf_code hf_follower_poll(hf_follower *f, size_t max, int timeout_ms, hf_batch *ret, hf_err *reterr);
void hf_batch_release(hf_batch *batch);
/* Records come without their headers from now on: a replica that never looks at them saves their unpacking (PERFORMANCE.md). */
void hf_follower_skip_headers(hf_follower *f);
/* True once every partition has reached the end it had at open: the caller has caught up with the past. */
bool hf_follower_caught_up(const hf_follower *f);
/* Records between what was given out and the end, -1 when not known yet. */
int64_t hf_follower_lag(hf_follower *f, hf_topic topic, int32_t partition);
/* Large local queues while far behind (a million records or 1 GB; about 280 MB), smaller ones otherwise (100,000
 * records or 16 MB of payload). Takes effect by reopening inside, some milliseconds. */
void hf_follower_replay_mode(hf_follower *f, bool far_behind);

/* ---- sharing out short work (group; cooperative-sticky) -------------------------------------- */
typedef struct hf_group hf_group;
hf_code hf_group_open(hf_klog *log, hf_topic topic, const char *group_suffix, hf_group **ret, hf_err *reterr);
/* The same for whoever wants to know which partitions are its share, and no records: none are fetched. */
hf_code hf_group_open_share(hf_klog *log, hf_topic topic, const char *group_suffix, hf_group **ret, hf_err *reterr);
/* Leaves the group. Takes up to 10 s where its broker is gone, and waits for the first share within 15 s of opening. */
void hf_group_close(hf_group *g);
int hf_group_fd(hf_group *g);
/* While paused nothing is given out (but what librdkafka handed over before); the share, and its renewal by polling, stay. */
void hf_group_pause(hf_group *g, bool paused);
hf_code hf_group_poll(hf_group *g, size_t max, int timeout_ms, hf_batch *ret, hf_err *reterr);
/* Everything of that partition before `next_offset` is dealt with; committed with the next hf_group_commit.
 * Ignored for partitions taken away meanwhile: their new owner does the rest again. */
void hf_group_done(hf_group *g, int32_t partition, int64_t next_offset);
hf_code hf_group_commit(hf_group *g, hf_err *reterr); /* asynchronous */
/* Is that partition of the topic ours now? The set's number changes with every rebalance. */
bool hf_group_owns(hf_group *g, int32_t partition);
uint64_t hf_group_generation(hf_group *g);
