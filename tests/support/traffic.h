/* Numbered records on a topic, and what became of each: for tests that break something meanwhile and then compare
 * what was acknowledged with what is in the log. Record n has key "key-<n mod 100>" and value "<n>". */
#pragma once
#include "journal/log/klog.h"

typedef struct hf_traffic {
    hf_klog *log;
    hf_topic topic;
    uint64_t max, sent; /* records are numbered 0 … sent-1 */
    uint8_t *reports;   /* of each: how many */
    bool *acked;
    int64_t *offsets;
    int32_t *partitions;
    uint64_t acked_count, failed_count;
} hf_traffic;

void hf_traffic_init(hf_traffic *traffic, hf_klog *log, hf_topic topic,
                     uint64_t max); /* takes the log's report callback */
void hf_traffic_done(hf_traffic *traffic);
/* Sends one record, waiting for room where the queue is full; and takes reports. */
void hf_traffic_send(hf_traffic *traffic);
/* Sends `per_second` for so long. */
void hf_traffic_run(hf_traffic *traffic, int per_second, int duration_ms);
/* Sends `per_second` while another thread runs `does`, and a little before and after. */
void hf_traffic_while(hf_traffic *traffic, int per_second, void (*does)(void));
/* Waits for all reports; then each record has exactly one. */
void hf_traffic_settle(hf_traffic *traffic, int timeout_ms);
/* Reads the topic from its beginning: every acknowledged record stands where its report said, no record stands
 * twice, and those of one key are in order. Returns how many were read. */
uint64_t hf_traffic_check(const hf_traffic *traffic);
