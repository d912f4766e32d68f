/* The embedded broker of `hyperctl dev`: librdkafka's mock cluster behind a TCP forwarder on a chosen
 * address, so that kcat and any Kafka client on this machine can talk to it. For trials and tests, not for
 * production (docs/adr/0005): it keeps its data in memory, about 5 MB or 100,000 messages a partition, and
 * its transactions and fencing are not real. Coming near the bound and reaching it are told (hf_broker_on_limit), never a
 * silent loss: a reader that still needed the dropped head gets LOG_TRUNCATED. The journal's copy is the durable
 * one, and after a restart the broker is refilled from it.
 *
 * Clients take the address only to begin with, then follow the metadata to the mock cluster's own port: so the
 * address must be a loopback one. The mock cluster does not wake a waiting fetch when data comes, and lets a member
 * into a group only after 3 s, or after session.timeout.ms - 1 s when another has just left: give clients
 * fetch.wait.max.ms=10 and session.timeout.ms=4000 (a member whose session is shorter than the 3 s never gets in).
 * Threads: start, refill and stop from one thread; the limit callback runs on a thread of the broker. */
#pragma once
#include "journal/log/klog.h"

typedef struct hf_broker hf_broker;
typedef struct hf_broker_topic {
    const char *name;
    int32_t partitions;
} hf_broker_topic;

enum { HF_BROKER_PARTITION_BYTES = 5 * 1024 * 1024, HF_BROKER_PARTITION_RECORDS = 100000 };

/* listen: "127.0.0.1:9092" (port 0: a free one). Creates the topics. */
hf_code hf_broker_start(const char *listen, const hf_broker_topic *topics, size_t count, hf_broker **ret,
                        hf_err *reterr);
void hf_broker_stop(hf_broker *broker);                 /* NULL is fine */
const char *hf_broker_address(const hf_broker *broker); /* the forwarder's "host:port" */

/* Puts a record back at the next offset of that partition, as stored (key, value, headers, timestamp).
 * The caller goes through the journal's copy in offset order; ret_offset tells where it goes, and CONFLICT
 * that this is not record->offset. Records are only queued: until all are in, new connections wait at the door, and an
 * error comes from a later call or from hf_broker_refill_done. */
hf_code hf_broker_refill(hf_broker *broker, const char *topic, const hf_log_record *record, int64_t *ret_offset,
                         hf_err *reterr);
/* Waits until all refilled records are in (bounded: TIMEOUT); the first error of any of them. */
hf_code hf_broker_refill_done(hf_broker *broker, int timeout_ms, hf_err *reterr);

/* A partition at four fifths of a bound (by an estimate from above), or one whose head was dropped. Each at most once a partition. */
typedef struct hf_broker_limit {
    const char *topic;
    int32_t partition;
    bool dropped;
    int64_t records, bytes; /* estimated, since the start */
    int64_t first_kept;
} hf_broker_limit;
typedef void (*hf_broker_limit_cb)(void *ctx, const hf_broker_limit *limit);
/* Without one they are logged as broker-near-limit and broker-dropped. */
void hf_broker_on_limit(hf_broker *broker, hf_broker_limit_cb cb, void *ctx);
/* Has any partition lost its head? */
bool hf_broker_limit_reached(const hf_broker *broker);
