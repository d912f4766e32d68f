/* The `job-states` topic: each job as of its last accepted event, for sinks and stream processors that want
 * state, not proposals. The dispatcher that owns a partition publishes its jobs; changes of one job that come close
 * together are published once. A record stays here until Kafka acknowledged it. The topic is compacted, so a state
 * published twice is harmless. Header hf-through: every change up to that offset of job-events' same partition had been
 * published before this record; a new owner goes on from there (states_catchup.h).
 * Bound: HF_STATES_MAX jobs waiting; past it hf_states_changed says BUSY and the caller stops reading the log. */
#pragma once
#include "journal/log/klog.h"
#include "schemas/event/codec.h"

enum { HF_STATES_MAX = 65536, HF_STATES_GATHER_MS = 100, HF_STATES_PARTITIONS = 1024 };
#define HF_STATES_THROUGH "hf-through"
typedef struct hf_states hf_states;

hf_states *hf_states_new(hf_klog *log, hf_codec *codec); /* NULL without memory */
void hf_states_free(hf_states *s);
/* A partition is published once its new owner knows through which offset its predecessor did (states_catchup.h). From then
 * on, and until hf_states_caught_up, hf-through says no more than `through`; what is marked later comes behind it. */
void hf_states_open(hf_states *s, int32_t partition, int64_t through);
void hf_states_caught_up(hf_states *s, int32_t partition);
void hf_states_shut(hf_states *s, int32_t partition); /* another's from now on */
bool hf_states_is_open(const hf_states *s, int32_t partition);
/* Remembers to publish `job` as it is now into `partition`. */
hf_code hf_states_changed(hf_states *s, const hf_job *job, int32_t partition, hf_err *reterr);
bool hf_states_full(const hf_states *s);
/* Publishes what has gathered for HF_STATES_GATHER_MS (or all, when `now`). LOG_QUEUE_FULL just waits for the next call. */
void hf_states_flush(hf_states *s, int64_t mono_ms, bool now);
int64_t hf_states_next_ms(const hf_states *s); /* when to flush; INT64_MAX: nothing waits */
/* Tags of this part have bit 62 set and bit 63 clear. */
static inline bool hf_states_tag(uint64_t tag) { return tag >> 62 == 1; }
void hf_states_report(hf_states *s, uint64_t tag, const hf_report *report);
size_t hf_states_waiting(const hf_states *s); /* not acknowledged yet */
