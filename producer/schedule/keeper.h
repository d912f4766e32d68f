/* The schedules of a running dispatcher: follows their topic into a ticker (ticker.h), proposes what is due, and publishes those of
 * the configuration (listed.h). A record that is no schedule is logged and passed by; what it replaced runs no more. One thread. */
#pragma once
#include "journal/log/klog.h"
#include "journal/replica/replica.h"
#include "schemas/base/config.h"

typedef struct hf_keeper hf_keeper;
/* `me` must outlive it. CONFIG: an entry of `schedules` in the configuration is none; every error of each is told. */
hf_code hf_keeper_new(const hf_config *config, hf_klog *log, hf_codec *codec, const hf_clock *clock, hf_str me,
                      hf_keeper **ret, hf_err *reterr);
void hf_keeper_free(hf_keeper *k);

/* From the replica's hooks: a record of the topic; a job that changed. NO_MEMORY and what the log's trouble is. */
hf_code hf_keeper_record(hf_keeper *k, hf_replica *replica, const hf_log_record *record, hf_err *reterr);
void hf_keeper_change(hf_keeper *k, hf_replica *replica, const hf_change *change);
void hf_keeper_owned(hf_keeper *k, const uint64_t *bits, size_t words);

/* Proposes what is due, up to a bound; *ret_more: there is more. Only once the log has been caught up with. */
hf_code hf_keeper_step(hf_keeper *k, bool *ret_more, hf_err *reterr);
/* How long there is nothing to do; INT64_MAX: nothing is kept. */
int64_t hf_keeper_idle_ms(const hf_keeper *k);
size_t hf_keeper_count(const hf_keeper *k);

/* Tags of this part have bit 61 set and the two above it clear. */
static inline bool hf_keeper_tag(uint64_t tag) { return tag >> 61 == 1; }
void hf_keeper_report(hf_keeper *k, uint64_t tag, const hf_report *report);
