/* Puts JobSubmission records on the topic `submissions` and says which of them Kafka acknowledged.
 *
 * A submitter bounds what is in flight: hf_submitter_put waits for reports while the bound is reached, so a caller may
 * put a million jobs in a loop. Nothing counts as submitted before its report came back without error; a record whose
 * report never came is reported as LOG_NOT_ACKED by hf_submitter_finish: it may or may not be in the log, and sending it
 * again under the same job id does no harm (the fold refuses the second).
 * One submitter a log at a time (it takes the log's report callback); one thread. */
#pragma once
#include "journal/log/klog.h"
#include "schemas/event/codec.h"

typedef struct hf_submitter hf_submitter;

/* Tells what became of the submission that was put with this tag: HF_OK means acknowledged. */
typedef void (*hf_submitted_cb)(void *ctx, uint64_t tag, const hf_report *report);

typedef struct hf_submitter_options {
    uint32_t max_in_flight; /* 0: 50,000, half of the log's own bound */
    uint64_t expected;      /* how many will be put, where known: many fill requests up from the first on */
    int stall_timeout_ms;   /* fail when no report came for so long; 0: 30,000 */
    hf_submitted_cb done;   /* may be NULL */
    void *ctx;
} hf_submitter_options;

hf_code hf_submitter_open(hf_klog *log, const hf_codec *codec, const hf_submitter_options *options, hf_submitter **ret,
                          hf_err *reterr);
void hf_submitter_close(hf_submitter *submitter); /* NULL is fine; waits for nothing */
/* Encodes and queues. Errors are of this submission (LIMIT …) or, when Kafka does not keep up, LOG_NOT_ACKED. */
hf_code hf_submitter_put(hf_submitter *submitter, const hf_submission *submission, uint64_t tag, hf_err *reterr);
/* Waits for the reports of all that were put. Fails with the first error that a report brought. */
hf_code hf_submitter_finish(hf_submitter *submitter, hf_err *reterr);
uint64_t hf_submitter_acknowledged(const hf_submitter *submitter);
