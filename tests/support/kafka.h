/* A real Apache Kafka for one test (tests/support/kafka/kafka-up): started in a second in a directory of its own,
 * and taken down however the test ends: a guard process waits for this one's end. Failures end the test. */
#pragma once
#include "schemas/base/config.h"
#include "tests/support/dirs.h"

typedef struct hf_test_kafka {
    char dir[HF_TEST_PATH];
    char bootstrap[256];
    int nodes, guard_fd;
} hf_test_kafka;

/* What main() of an integration test returns where there is no Java: ctest shows the test as skipped. */
enum { HF_TEST_SKIPPED = 77 };
/* Says on stderr what is missing. */
int hf_test_kafka_missing(void);

void hf_test_kafka_up(hf_test_kafka *kafka, int nodes);
/* The same with further broker settings, lines of server.properties. */
void hf_test_kafka_up_with(hf_test_kafka *kafka, int nodes, const char *properties);
/* One node that also listens with TLS and SASL: what DIR/env names KAFKA_BOOTSTRAP_SASL_SSL and so on. */
void hf_test_kafka_up_secure(hf_test_kafka *kafka);
/* A value of DIR/env ("KAFKA_CA"). */
const char *hf_test_kafka_env(const hf_test_kafka *kafka, const char *name, char text[HF_TEST_PATH]);
void hf_test_kafka_down(hf_test_kafka *kafka);
/* node counts from 1; signal: "TERM", "KILL", "STOP", "CONT". TERM and KILL wait for the node's end. */
void hf_test_kafka_signal(const hf_test_kafka *kafka, int node, const char *signal);
/* The same port, the same data; returns when the node is ready. */
void hf_test_kafka_restart(const hf_test_kafka *kafka, int node);
/* A configuration for that fleet on that broker; free it with hf_config_free. */
hf_config *hf_test_config(const char *bootstrap, const char *fleet);
/* hf_config_set that ends the test when it fails. */
void hf_test_config_set(hf_config *config, const char *assignment);
