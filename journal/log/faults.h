/* Faults that a test asks for. Not for programs. */
#pragma once
#include <stdint.h>

#include "journal/log/broker.h"
#include "journal/log/klog.h"

/* Every producer made so far meets a fatal error, as if the broker had lost its sequence numbers. False: there is none. */
bool hf_klog_fail_producer(hf_klog *log, const char *reason);

/* Deletes the records of a partition before `offset`, as retention would (DeleteRecords). */
hf_code hf_klog_delete_before(hf_klog *log, hf_topic topic, int32_t partition, int64_t offset, hf_err *reterr);
/* Gives a topic this one setting, and the broker's defaults for all others (AlterConfigs). */
hf_code hf_klog_spoil_topic(hf_klog *log, hf_topic topic, const char *setting, const char *value, hf_err *reterr);

/* Kafka's request numbers (protocol guide, "ApiKeys") and error codes. */
enum { HF_API_PRODUCE = 0, HF_API_FETCH = 1, HF_API_METADATA = 3, HF_API_OFFSET_COMMIT = 8 };
enum {
    HF_KAFKA_NOT_LEADER = 6,
    HF_KAFKA_REQUEST_TIMED_OUT = 7,
    HF_KAFKA_MESSAGE_TOO_LARGE = 10,
    HF_KAFKA_NOT_ENOUGH_REPLICAS = 19,
    HF_KAFKA_TOPIC_AUTHORIZATION_FAILED = 29
};
/* The embedded broker answers the next `count` (at most 64) requests of that kind with an error. */
void hf_broker_push_errors(hf_broker *broker, int16_t api, int error, uint32_t count);
/* The embedded broker drops its connections and takes none (down), or works again. */
void hf_broker_set_down(hf_broker *broker, bool down);
/* The embedded broker answers so much later. */
void hf_broker_set_delay(hf_broker *broker, int delay_ms);
