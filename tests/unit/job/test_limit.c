/* The fold of a limit, row by row, and against a model over any history; which limits a job matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/job/limit.h"

#define KEY HF_STR("tag/lab")

static hf_limit_event set_to(int32_t max) { return (hf_limit_event){.key = KEY, .kind = HF_LIMIT_SET, .max = max}; }
static hf_limit_event taken(const char *job, int32_t attempt) {
    return (hf_limit_event){.key = KEY,
                            .kind = HF_LIMIT_TAKEN,
                            .by = HF_STR("w/1"),
                            .job_id = hf_str_of(job),
                            .attempt = attempt,
                            .ttl_ms = 60000};
}
static hf_limit_event freed(const char *job, int32_t attempt, int64_t grant) {
    return (hf_limit_event){
        .key = KEY, .kind = HF_LIMIT_FREED, .job_id = hf_str_of(job), .attempt = attempt, .grant = grant};
}

/* Folds at `offset`, and makes an accepted event so. */
static hf_limit_verdict fold(hf_limit **limit, hf_limit_event event, int64_t offset) {
    uint32_t index = 0;
    hf_limit_parts parts;
    hf_limit_verdict verdict = hf_limit_fold(*limit, &event, 0, &index);
    if (verdict != HF_LV_ACCEPTED)
        return verdict;
    if (!*limit)
        *limit = hf_limit_new();
    assert_true(hf_limit_prepare(*limit, &event, offset, &parts));
    hf_limit_apply(*limit, &event, index, &parts, NULL);
    if (hf_limit_gone(*limit)) {
        hf_limit_free(*limit);
        *limit = NULL;
    }
    return verdict;
}

static void each_rule_in_a_row_of_its_own(void **state) {
    (void)state;
    hf_limit *limit = NULL;
    const struct {
        hf_limit_event event;
        hf_limit_verdict wanted;
        int held; /* after it; -1: there is no limit */
    } rows[] = {
        /* 0 */ {taken("a", 1), HF_LV_NO_SUCH, -1},
        {freed("a", 1, 0), HF_LV_NO_SUCH, -1},
        {set_to(-1), HF_LV_NO_SUCH, -1},
        {set_to(-2), HF_LV_INVALID, -1},
        {set_to(HF_LIMIT_GRANTS_MAX + 1), HF_LV_INVALID, -1},
        /* 5 */ {set_to(2), HF_LV_ACCEPTED, 0},
        {taken("a", 1), HF_LV_ACCEPTED, 1},
        {taken("a", 1), HF_LV_HELD, 1}, /* a second copy of the record takes no second grant */
        {taken("b", 0), HF_LV_INVALID, 1},
        {taken("", 1), HF_LV_INVALID, 1},
        /* 10 */ {taken("a", 2), HF_LV_ACCEPTED, 2},
        {taken("c", 1), HF_LV_FULL, 2},
        {freed("a", 1, 7), HF_LV_NOT_HELD, 2},  /* where nothing was taken */
        {freed("a", 1, 10), HF_LV_NOT_HELD, 2}, /* another attempt's */
        {freed("b", 1, 6), HF_LV_NOT_HELD, 2},  /* another job's */
        /* 15 */ {freed("a", 1, 6), HF_LV_ACCEPTED, 1},
        {freed("a", 1, 6), HF_LV_NOT_HELD, 1},
        {taken("a", 1), HF_LV_ACCEPTED, 2},
        {freed("a", 1, 6), HF_LV_NOT_HELD, 2}, /* a late copy frees nothing that was taken since */
        {set_to(1), HF_LV_ACCEPTED, 2},        /* lowered below: nobody loses a grant */
        /* 20 */ {taken("d", 1), HF_LV_FULL, 2},
        {freed("a", 2, 10), HF_LV_ACCEPTED, 1},
        {taken("d", 1), HF_LV_FULL, 1},
        {set_to(-1), HF_LV_ACCEPTED, 1}, /* taken away: who holds one holds it */
        {taken("d", 1), HF_LV_NO_SUCH, 1},
        /* 25 */ {freed("a", 1, 17), HF_LV_ACCEPTED, -1},
        {taken("d", 1), HF_LV_NO_SUCH, -1},
        {set_to(0), HF_LV_ACCEPTED, 0},
        {taken("d", 1), HF_LV_FULL, 0},
        {set_to(-1), HF_LV_ACCEPTED, -1},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        hf_limit_verdict is = fold(&limit, rows[i].event, (int64_t)i);
        if (is != rows[i].wanted || (limit ? (int)limit->held : -1) != rows[i].held)
            fail_msg("row %zu: %s, %d held", i, hf_limit_verdict_name(is), limit ? (int)limit->held : -1);
    }
    assert_null(limit);
}

static void a_partition_has_so_many_limits_and_no_more(void **state) {
    (void)state;
    uint32_t index;
    hf_limit_event event = set_to(3);
    assert_int_equal(hf_limit_fold(NULL, &event, HF_LIMITS_MAX - 1, &index), HF_LV_ACCEPTED);
    assert_int_equal(hf_limit_fold(NULL, &event, HF_LIMITS_MAX, &index), HF_LV_TOO_MANY);
    hf_limit *limit = NULL;
    assert_int_equal(fold(&limit, event, 0), HF_LV_ACCEPTED);
    assert_int_equal(hf_limit_fold(limit, &event, HF_LIMITS_MAX, &index), HF_LV_ACCEPTED);
    hf_limit_free(limit);
}

static uint64_t draw(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Whatever comes: a grant is held only if it was taken while fewer than max were, and as many are held as were taken and not freed. */
static void no_history_grants_more_than_max(void **state) {
    (void)state;
    for (uint64_t run = 0; run < 50; run++) {
        uint64_t seed = run;
        hf_limit *limit = NULL;
        int32_t max = -1, held = 0;
        for (int64_t offset = 0; offset < 400; offset++) {
            char job[16];
            uint64_t what = draw(&seed) % 10;
            snprintf(job, sizeof job, "j%d", (int)(draw(&seed) % 6));
            int32_t attempt = 1 + (int32_t)(draw(&seed) % 2);
            hf_limit_event e = what == 0  ? set_to((int32_t)(draw(&seed) % 5) - 1)
                               : what < 6 ? taken(job, attempt)
                                          : freed(job, attempt, (int64_t)(draw(&seed) % (uint64_t)(offset + 1)));
            if (what >= 8 && limit && limit->held) { /* one that is held */
                const hf_grant *g = limit->grants[draw(&seed) % limit->held];
                snprintf(job, sizeof job, "%.*s", HF_STR_ARG(g->job_id));
                e = freed(job, g->attempt, g->offset);
            }
            hf_limit_verdict verdict = fold(&limit, e, offset);
            if (verdict == HF_LV_ACCEPTED && e.kind == HF_LIMIT_SET)
                max = e.max;
            if (verdict == HF_LV_ACCEPTED && e.kind == HF_LIMIT_TAKEN)
                assert_true(held++ < max);
            if (verdict == HF_LV_ACCEPTED && e.kind == HF_LIMIT_FREED)
                held--;
            assert_int_equal(limit ? limit->held : 0, held);
            if (verdict == HF_LV_ACCEPTED && e.kind == HF_LIMIT_TAKEN)
                assert_non_null(hf_limit_grant(limit, offset));
        }
        hf_limit_free(limit);
    }
}

static bool every(void *ctx, hf_str key) {
    (void)ctx;
    return key.len > 0;
}
static bool only(void *ctx, hf_str key) { return hf_str_eqz(key, ctx); }

static void a_job_matches_by_endpoint_provider_and_tags_in_the_order_of_the_keys(void **state) {
    (void)state;
    static hf_limit_keys keys;
    char longest[HF_LIMIT_KEY_MAX];
    memset(longest, 'x', sizeof longest);
    const hf_str tags[] = {HF_STR("night"), HF_STR("a"), HF_STR("night"), HF_STR(""), {longest, sizeof longest}};
    hf_spec spec = {.endpoint = HF_STR("vc1"), .provider = HF_STR("vsphere"), .audit = {.tags = {tags, 5}}};
    static const char *const wanted[] = {"endpoint/vc1", "provider/vsphere", "tag/a", "tag/night"};
    assert_int_equal(hf_limit_match(&spec, every, NULL, &keys), 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(hf_str_eqz(keys.of[i], wanted[i]));
    assert_int_equal(hf_limit_match(&spec, only, "tag/night", &keys), 1);
    assert_true(hf_str_eqz(keys.of[0], "tag/night"));
    assert_int_equal(hf_limit_match(&(hf_spec){0}, every, NULL, &keys), 0);
}

static void keys_are_of_three_kinds(void **state) {
    (void)state;
    static const char *const good[] = {"endpoint/vc1", "provider/vsphere", "tag/a/b c"};
    static const char *const bad[] = {"", "tag", "tag/", "Tag/x", "worker/1", "/x"};
    char longest[HF_LIMIT_KEY_MAX + 1] = "tag/";
    memset(longest + 4, 'x', sizeof longest - 4);
    for (size_t i = 0; i < HF_ARRAY_LEN(good); i++)
        assert_true(hf_limit_key_valid(hf_str_of(good[i])));
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_false(hf_limit_key_valid(hf_str_of(bad[i])));
    assert_true(hf_limit_key_valid((hf_str){longest, HF_LIMIT_KEY_MAX}));
    assert_false(hf_limit_key_valid((hf_str){longest, HF_LIMIT_KEY_MAX + 1}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_in_a_row_of_its_own),
        cmocka_unit_test(a_partition_has_so_many_limits_and_no_more),
        cmocka_unit_test(no_history_grants_more_than_max),
        cmocka_unit_test(a_job_matches_by_endpoint_provider_and_tags_in_the_order_of_the_keys),
        cmocka_unit_test(keys_are_of_three_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
