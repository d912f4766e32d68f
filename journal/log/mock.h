/* librdkafka's mock cluster of one broker, made and ended without its waits: its thread sleeps up to a second and
 * misses some wake-ups for calls from other threads (2.0.2: 10 topics took 1 to 4 s), but never network
 * traffic. So while such a call lasts, a helper thread knocks at its port. */
#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "journal/log/broker.h"

typedef struct hf_mock {
    rd_kafka_t *rk; /* the handle whose threads and log callback it uses */
    rd_kafka_mock_cluster_t *cluster;
    uint16_t port;
} hf_mock;

hf_code hf_mock_start(hf_mock *mock, const hf_broker_topic *topics, size_t count, hf_err *reterr);
void hf_mock_stop(hf_mock *mock); /* of a zeroed one: nothing */
const char *hf_mock_bootstraps(const hf_mock *mock);
void hf_mock_set_down(hf_mock *mock, bool down);
void hf_mock_set_delay(hf_mock *mock, int delay_ms);
