/* What has become of one endpoint's events of one partition, as webhook-deliveries says it: a place before which all is settled, and
 * marks for what is not so simple. The same in every hook that has read the same records. One thread; pure. */
#pragma once
#include "consumer/notify/outbox.h"

typedef enum hf_mark_kind {
    HF_MARK_SETTLED = 1, /* delivered, ahead of `done` */
    HF_MARK_RETRY,       /* tried `attempt` times; again at `at` (wall ms) */
    HF_MARK_FAILED,      /* given up at `at`; kept for replay */
    HF_MARK_REPLAY,      /* a replay was asked for; tried `attempt` times since, again at `at` */
} hf_mark_kind;

typedef struct hf_mark {
    hf_place place;
    int64_t at;
    int32_t attempt;
    int16_t kind;
    bool loaded; /* a replay that is among the deliveries in memory; not stored */
} hf_mark;

enum { HF_LANE_MARKS_MAX = 1 << 22, HF_LANE_FAILED_MAX = 10000 };

typedef struct hf_lane {
    hf_place done;  /* all before it is settled, but for marks */
    hf_mark *marks; /* by place */
    uint32_t count, room;
    uint32_t failed, replays, settled; /* of the marks */
} hf_lane;

void hf_lane_done(hf_lane *lane);
const hf_mark *hf_lane_find(const hf_lane *lane, hf_place place);
/* Sets the mark of a place (kind 0: takes it away). False without memory, or past HF_LANE_MARKS_MAX. */
bool hf_lane_mark(hf_lane *lane, hf_place place, int32_t kind, int32_t attempt, int64_t at);
/* A replay or a failed delivery holds its entry in the outbox. */
static inline bool hf_mark_holds(int32_t kind) { return kind == HF_MARK_FAILED || kind == HF_MARK_REPLAY; }
/* Is it dealt with, as far as the lane knows? */
bool hf_lane_settled(const hf_lane *lane, hf_place place);
/* `done` moves to `place`: what was settled before it needs no mark. */
void hf_lane_move(hf_lane *lane, hf_place place);
/* Forgets what failed before `wall_ms`, and the oldest of more than HF_LANE_FAILED_MAX, telling each; true: something went. */
bool hf_lane_forget(hf_lane *lane, int64_t wall_ms, void (*gone)(void *ctx, hf_place place), void *ctx);
