#include "consumer/notify/lane.h"

#include "schemas/base/mem.h"

void hf_lane_done(hf_lane *lane) {
    free(lane->marks);
    *lane = (hf_lane){0};
}

static uint32_t index_of(const hf_lane *lane, hf_place place) {
    uint32_t low = 0, high = lane->count;
    if (high && lane->marks[high - 1].place < place) /* mostly what comes is the newest */
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lane->marks[middle].place < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const hf_mark *hf_lane_find(const hf_lane *lane, hf_place place) {
    uint32_t i = index_of(lane, place);
    return i < lane->count && lane->marks[i].place == place ? &lane->marks[i] : NULL;
}

static void account(hf_lane *lane, int32_t kind, uint32_t by) {
    lane->failed += kind == HF_MARK_FAILED ? by : 0;
    lane->replays += kind == HF_MARK_REPLAY ? by : 0;
    lane->settled += kind == HF_MARK_SETTLED ? by : 0;
}

static void take_away(hf_lane *lane, uint32_t i) {
    account(lane, lane->marks[i].kind, -1u);
    memmove(&lane->marks[i], &lane->marks[i + 1], (lane->count - i - 1) * sizeof *lane->marks);
    lane->count--;
}

static bool make_room(hf_lane *lane, uint32_t i) {
    if (lane->count == lane->room) {
        uint32_t room = lane->room ? lane->room * 2 : 8;
        hf_mark *marks = room <= HF_LANE_MARKS_MAX ? hf_realloc(lane->marks, room * sizeof *marks) : NULL;
        if (!marks)
            return false;
        lane->marks = marks;
        lane->room = room;
    }
    memmove(&lane->marks[i + 1], &lane->marks[i], (lane->count - i) * sizeof *lane->marks);
    lane->count++;
    return true;
}

bool hf_lane_mark(hf_lane *lane, hf_place place, int32_t kind, int32_t attempt, int64_t at) {
    uint32_t i = index_of(lane, place);
    bool there = i < lane->count && lane->marks[i].place == place;
    if (!kind) {
        if (there)
            take_away(lane, i);
        return true;
    }
    if (there)
        account(lane, lane->marks[i].kind, -1u);
    else if (!make_room(lane, i))
        return false;
    bool loaded = there && kind == HF_MARK_REPLAY && lane->marks[i].kind == kind && lane->marks[i].loaded;
    lane->marks[i] = (hf_mark){.place = place, .at = at, .attempt = attempt, .kind = (int16_t)kind, .loaded = loaded};
    account(lane, kind, 1);
    return true;
}

bool hf_lane_settled(const hf_lane *lane, hf_place place) {
    const hf_mark *mark = hf_lane_find(lane, place);
    if (mark)
        return mark->kind == HF_MARK_SETTLED || mark->kind == HF_MARK_FAILED;
    return place < lane->done;
}

void hf_lane_move(hf_lane *lane, hf_place place) {
    uint32_t kept = 0;
    if (place <= lane->done)
        return;
    lane->done = place;
    if (lane->count == lane->failed + lane->replays || lane->marks[0].place >= place)
        return; /* nothing to take away */
    for (uint32_t i = 0; i < lane->count; i++) {
        const hf_mark *mark = &lane->marks[i];
        if (mark->place < place && !hf_mark_holds(mark->kind))
            account(lane, mark->kind, -1u);
        else
            lane->marks[kept++] = *mark;
    }
    lane->count = kept;
}

bool hf_lane_forget(hf_lane *lane, int64_t wall_ms, void (*gone)(void *ctx, hf_place place), void *ctx) {
    uint32_t kept = 0, before = lane->count;
    uint32_t over = lane->failed > HF_LANE_FAILED_MAX ? lane->failed - HF_LANE_FAILED_MAX : 0;
    if (!lane->failed)
        return false;
    for (uint32_t i = 0; i < before; i++) {
        hf_mark mark = lane->marks[i];
        bool old = mark.kind == HF_MARK_FAILED && mark.place < lane->done && (over || mark.at < wall_ms);
        over -= old && over;
        if (old) {
            account(lane, mark.kind, -1u);
            gone(ctx, mark.place);
        } else
            lane->marks[kept++] = mark;
    }
    lane->count = kept;
    return kept != before;
}
