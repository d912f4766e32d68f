/* The embedded broker of `hyperctl dev`: librdkafka's mock cluster behind a TCP forwarder on a chosen
 * address, so that kcat and any Kafka client can talk to it. For trials and tests on one machine, not
 * for production (docs/adr/0005): it keeps its data in memory, about 5 MB or 100,000 messages a partition, and
 * its transactions and fencing are not real. Reaching the bound is an error that is reported (on_limit), never a
 * silent loss: the journal's copy is the durable one, and after a restart the broker is refilled from it. */
#pragma once
#include "journal/log/klog.h"

typedef struct hf_broker hf_broker;
typedef struct hf_broker_topic { const char *name; int32_t partitions; } hf_broker_topic;

/* listen: "127.0.0.1:9092" (port 0: a free one). Creates the topics. */
hf_code hf_broker_start(const char *listen, const hf_broker_topic *topics, size_t count, hf_broker **ret, hf_err *reterr);
void hf_broker_stop(hf_broker *broker);
const char *hf_broker_address(const hf_broker *broker); /* the forwarder's "host:port" */
/* Puts a record back at the next offset of that partition, as stored (key, value, headers, timestamp).
 * The caller goes through the journal's copy in offset order, so offsets agree; ret_offset tells. */
hf_code hf_broker_refill(hf_broker *broker, const char *topic, const hf_log_record *record, int64_t *ret_offset, hf_err *reterr);
