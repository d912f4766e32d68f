/* From the `submissions` topic to proposals on `job-events`: reads as a member of the group that shares the
 * partitions out, makes one proposal of each submission (schemas/job/intake.h), and counts a submission as done only
 * when its proposal (or dead letter) was acknowledged. A crash repeats what was not: ids are given, or derived
 * from where the submission stands, so a repetition is refused by the fold and harmless.
 *
 *   readable, valid       Created + Validated + Queued
 *   readable, invalid     Created + Rejected, every error listed
 *   unreadable            its bytes, verbatim, to `dead-letters`, with headers that say what and where
 *   carries a secret      refused as invalid; its bytes are stored nowhere
 *
 * Bounds: at most HF_INTAKE_OPEN_MAX submissions that are not acknowledged yet. One thread. */
#pragma once
#include "journal/log/klog.h"
#include "schemas/event/codec.h"

enum { HF_INTAKE_OPEN_MAX = 16384, HF_INTAKE_BATCH_MAX = 2048 };

typedef struct hf_intake_stage hf_intake_stage;
hf_code hf_intake_stage_open(hf_klog *log, hf_codec *codec, hf_str me, hf_intake_stage **ret, hf_err *reterr);
void hf_intake_stage_close(hf_intake_stage *s);
int hf_intake_stage_fd(hf_intake_stage *s);
/* Takes in what is there, up to a bound, without blocking; *ret_more: there may be more. */
hf_code hf_intake_stage_step(hf_intake_stage *s, const hf_clock *clock, bool *ret_more, hf_err *reterr);
/* While paused it takes nothing in: submissions wait in Kafka. It begins paused. */
void hf_intake_stage_pause(hf_intake_stage *s, bool paused);
/* A report whose tag this stage gave (hf_intake_stage_tag). */
void hf_intake_stage_report(hf_intake_stage *s, uint64_t tag, const hf_report *report);
/* Tags of this stage have the top bit set. */
static inline bool hf_intake_stage_tag(uint64_t tag) { return tag >> 63; }
/* The partitions owned now, as bits; true when they changed since the last call. */
bool hf_intake_stage_owned(hf_intake_stage *s, uint64_t *bits, size_t words);

typedef struct hf_intake_stats {
    uint64_t taken, rejected, dead_letters, reopened;
} hf_intake_stats;
hf_intake_stats hf_intake_stage_stats(const hf_intake_stage *s);
