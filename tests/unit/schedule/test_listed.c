/* The configuration's list against what the topic has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "producer/schedule/listed.h"
#include "schemas/base/mem.h"

enum { NOW = 1768521600 };

typedef struct {
    hf_config *config;
    hf_ticker *kept;
    char said[1024];
} rig;

static void begin(rig *r, const char *list) {
    static const hf_ticker_options options = {.me = {"d", 1}, .stand_in_ms = 1, .repeat_ms = 1};
    hf_err e = {0};
    *r = (rig){.config = hf_config_new(), .kept = hf_ticker_new(&options)};
    if (list && hf_config_set(r->config, list, &e) != HF_OK)
        fail_msg("%s", e.detail);
}
static void done(rig *r) {
    hf_config_free(r->config);
    hf_ticker_free(r->kept);
}

static void keep(rig *r, const hf_schedule *s) {
    assert_int_equal(hf_ticker_put(r->kept, s, 0, &(hf_schedule_runs){.outcome = HF_S_NONE}, NULL), HF_OK);
}

/* As the topic would: what is published is kept. */
static hf_code publish(void *ctx, hf_str id, const hf_schedule *s, hf_err *reterr) {
    rig *r = ctx;
    size_t at = strlen(r->said);
    (void)reterr;
    snprintf(r->said + at, sizeof r->said - at, "%s%.*s", s ? "+" : "-", HF_STR_ARG(id));
    if (s) {
        assert_true(hf_str_eqz(s->origin, "config") && hf_str_eqz(s->by, "config"));
        keep(r, s);
    }
    return HF_OK;
}

static void settle(rig *r, int64_t now_ms, const char *wanted) {
    hf_listed *l = NULL;
    hf_err e = {0};
    r->said[0] = 0;
    if (hf_listed_read(r->config, now_ms, &l, &e) != HF_OK ||
        (l && hf_listed_settle(l, r->kept, now_ms, publish, r, &e)))
        fail_msg("%s", e.detail);
    hf_listed_free(l);
    assert_string_equal(r->said, wanted);
}

#define A "{id: a, schedule: '@every 1h', job_template: {operation: sweep}}"
#define A_OFF "{id: a, schedule: '@every 1h', enabled: false, job_template: {operation: sweep}}"
#define B "{id: b, schedule: '0 2 * * *', job_template: {operation: sweep}}"

static void what_differs_is_published_and_what_is_gone_is_taken_away(void **state) {
    (void)state;
    rig r;
    hf_arena arena;
    hf_schedule is, by_request;
    hf_err e;
    hf_arena_init(&arena, HF_DECODE_ARENA_BYTES);
    begin(&r, "schedules=[" B ", " A "]");
    hf_type_init(&HF_TYPE_SCHEDULE, &by_request);
    by_request.schedule_id = HF_STR("asked-for");
    by_request.schedule = HF_STR("@daily");
    keep(&r, &by_request);
    settle(&r, NOW, "+a+b");
    settle(&r, NOW + 1000, ""); /* as it is */
    assert_int_equal(hf_config_set(r.config, "schedules=[" A_OFF "]", &e), HF_OK);
    settle(&r, NOW + 2000, "+a-b");
    assert_true(hf_ticker_schedule(r.kept, HF_STR("a"), &arena, &is));
    assert_int_equal(is.created_at, NOW); /* @every goes on counting from there */
    assert_int_equal(is.updated_at, NOW + 2000);
    assert_false(is.enabled);
    hf_ticker_drop(r.kept, HF_STR("b"));
    assert_int_equal(hf_config_set(r.config, "schedules=[]", &e), HF_OK);
    settle(&r, NOW + 3000, "-a"); /* what requests made stays */
    done(&r);
    begin(&r, NULL);
    settle(&r, NOW, "");
    done(&r);
    hf_arena_done(&arena);
}

static void an_entry_that_is_none_is_named_with_all_its_errors(void **state) {
    (void)state;
    static const char *const lists[][3] = {
        {"schedules=[" A ", {id: x, schedule: '61 * * * *', jitter: 99h, job_template: {operation: sweep}}]",
         "schedules[1] (x)", "jitter"},
        {"schedules=[" A ", " A "]", "twice", "a"},
        {"schedules={a: 1}", "list", "schedules"},
        {"schedules=[1]", "schedules[0]", ""},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        rig r;
        hf_listed *l = NULL;
        hf_err e = {0};
        begin(&r, lists[i][0]);
        assert_int_equal(hf_listed_read(r.config, NOW, &l, &e), HF_E_CONFIG);
        if (!strstr(e.detail, lists[i][1]) || !strstr(e.detail, lists[i][2]))
            fail_msg("%s: %s", lists[i][0], e.detail);
        done(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_published_and_what_is_gone_is_taken_away),
        cmocka_unit_test(an_entry_that_is_none_is_named_with_all_its_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
