/* A lane against a plain table of the same: whatever order records come in, what is settled, failed and asked for again is right. */
#include "rig.h"

#include "consumer/notify/lane.h"

enum { PLACES = 60 };

static void check(const hf_lane *lane, const int32_t kinds[PLACES], const bool before[PLACES]) {
    uint32_t count = 0, failed = 0, replays = 0, settled = 0;
    for (hf_place p = 0; p < PLACES; p++) {
        const hf_mark *mark = hf_lane_find(lane, p);
        assert_int_equal(mark ? mark->kind : 0, kinds[p]);
        bool is = kinds[p] ? kinds[p] == HF_MARK_SETTLED || kinds[p] == HF_MARK_FAILED : before[p];
        assert_int_equal(hf_lane_settled(lane, p), is);
        count += kinds[p] != 0;
        failed += kinds[p] == HF_MARK_FAILED;
        replays += kinds[p] == HF_MARK_REPLAY;
        settled += kinds[p] == HF_MARK_SETTLED;
    }
    assert_int_equal(lane->count, count);
    assert_int_equal(lane->failed, failed);
    assert_int_equal(lane->replays, replays);
    assert_int_equal(lane->settled, settled);
    for (uint32_t i = 1; i < lane->count; i++)
        assert_true(lane->marks[i - 1].place < lane->marks[i].place);
}

typedef struct forgetting {
    int32_t *kinds;
    uint32_t gone;
    int64_t *at, wall;
} forgetting;

static void gone(void *ctx, hf_place place) {
    forgetting *f = ctx;
    assert_int_equal(f->kinds[place], HF_MARK_FAILED);
    assert_true(f->at[place] < f->wall);
    f->kinds[place] = 0;
    f->gone++;
}

static void any_order(void **state) {
    (void)state;
    rig r = {.seed = 42};
    rig_open(&r, (hf_decide_options){0});
    for (int run = 0; run < 300; run++) {
        hf_lane lane = {0};
        int32_t kinds[PLACES] = {0};
        bool before[PLACES] = {0};
        int64_t at[PLACES] = {0};
        for (int i = 0; i < 200; i++) {
            hf_place p = (hf_place)(hf_random_u64(&r.random) % PLACES);
            int32_t kind = (int32_t)(hf_random_u64(&r.random) % 5);
            uint64_t what = hf_random_u64(&r.random) % 20;
            if (what == 0) {
                bool moves = p > lane.done;
                hf_lane_move(&lane, p);
                for (hf_place q = 0; q < p; q++)
                    before[q] = true;
                for (hf_place q = 0; q < p && moves; q++) /* what holds its entry stays */
                    kinds[q] = hf_mark_holds(kinds[q]) ? kinds[q] : 0;
            } else if (what == 1) {
                forgetting f = {kinds, 0, at, (int64_t)(hf_random_u64(&r.random) % 1000)};
                uint32_t had = lane.count;
                bool some = hf_lane_forget(&lane, f.wall, gone, &f);
                assert_int_equal(some, f.gone > 0);
                assert_int_equal(lane.count, had - f.gone);
                for (hf_place q = 0; q < lane.done; q++)
                    assert_false(kinds[q] == HF_MARK_FAILED && at[q] < f.wall);
            } else if (p >= lane.done || kind == 0 || hf_mark_holds(kind)) {
                int64_t when = (int64_t)(hf_random_u64(&r.random) % 1000);
                assert_true(hf_lane_mark(&lane, p, kind, 3, when));
                kinds[p] = kind;
                at[p] = when;
            }
            check(&lane, kinds, before);
        }
        hf_lane_done(&lane);
    }
    rig_close(&r);
}

static hf_place lowest = -1;
static uint32_t gone_count;
static void oldest_first(void *ctx, hf_place place) {
    (void)ctx;
    assert_true(place > lowest);
    lowest = place;
    gone_count++;
}

static void failed_are_bounded(void **state) {
    (void)state;
    hf_lane lane = {0};
    for (hf_place p = 0; p < HF_LANE_FAILED_MAX + 500; p++)
        assert_true(hf_lane_mark(&lane, p, HF_MARK_FAILED, 1, 1000));
    hf_lane_move(&lane, HF_LANE_FAILED_MAX + 500);
    assert_true(hf_lane_forget(&lane, 0, oldest_first, NULL));
    assert_int_equal(gone_count, 500);
    assert_int_equal(lowest, 499);
    assert_int_equal(lane.failed, HF_LANE_FAILED_MAX);
    assert_false(hf_lane_forget(&lane, 0, oldest_first, NULL));
    hf_lane_done(&lane);
}

static void done_never_goes_back(void **state) {
    (void)state;
    hf_lane lane = {0};
    hf_lane_move(&lane, 100);
    hf_lane_move(&lane, 50);
    assert_int_equal(lane.done, 100);
    assert_true(hf_lane_settled(&lane, 99));
    assert_false(hf_lane_settled(&lane, 100));
    assert_true(hf_lane_mark(&lane, 7, HF_MARK_REPLAY, 0, 0)); /* asked for again */
    assert_false(hf_lane_settled(&lane, 7));
    assert_true(hf_lane_mark(&lane, 7, 0, 0, 0));
    assert_true(hf_lane_settled(&lane, 7));
    hf_lane_done(&lane);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),
        cmocka_unit_test(failed_are_bounded),
        cmocka_unit_test(done_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
