/* The embedded broker forgets everything when it stops; the journal's copy of the log does not. At the start the broker is filled
 * again from that copy, record by record, so that every offset is what it was; and a `live` replica that had seen more than
 * the copy holds (its program outlived the journal by a moment in a crash) is removed, to fold the log anew. */
#pragma once
#include "journal/log/broker.h"

typedef struct hf_dev_log {
    int32_t partitions[HF_TOPIC_COUNT]; /* in the copy; 0: the topic is not in it */
    uint64_t records;                   /* put back */
} hf_dev_log;

/* What the copy in journal_dir holds. A journal that is not there holds nothing. */
hf_code hf_dev_log_read(const char *journal_dir, hf_dev_log *ret, hf_err *reterr);
hf_code hf_dev_refill(const char *journal_dir, hf_broker *broker, const char *const topic_names[HF_TOPIC_COUNT],
                      uint64_t *ret_records, hf_err *reterr);
/* Removes the folders of live replicas below state_dir that are ahead of the copy; says so on stderr. */
hf_code hf_dev_drop_ahead(const char *state_dir, const char *journal_dir, hf_err *reterr);
/* Records that the broker has and the journal does not (yet), summed up over everything the journal follows. */
hf_code hf_dev_journal_lag(hf_klog *log, const char *journal_dir, int64_t *ret_records, hf_err *reterr);
