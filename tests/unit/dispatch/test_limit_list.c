/* The configuration's limits against what the topic has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "producer/dispatch/limit_list.h"
#include "schemas/base/mem.h"

typedef struct {
    char said[512];
    hf_code answer;
} heard;

static hf_code publish(void *ctx, hf_limit_event *set, hf_err *reterr) {
    heard *h = ctx;
    size_t at = strlen(h->said);
    if (h->answer != HF_OK)
        return hf_fail(reterr, h->answer, "full");
    assert_int_equal(set->kind, HF_LIMIT_SET);
    assert_true(hf_str_eqz(set->origin, "config") && hf_str_eqz(set->by, "config"));
    snprintf(h->said + at, sizeof h->said - at, "%.*s=%d;", HF_STR_ARG(set->key), (int)set->max);
    return HF_OK;
}

static hf_limit_list *read_list(hf_config *config, const char *text) {
    hf_limit_list *l = NULL;
    hf_err e = {0};
    if (hf_config_set(config, text, &e) != HF_OK || hf_limit_list_read(config, &l, &e) != HF_OK)
        fail_msg("%s", e.detail);
    return l;
}

static void round_of(hf_limit_list *l, const hf_limit *kept, size_t count, const char *wanted) {
    heard h = {.answer = HF_OK};
    hf_err e = {0};
    hf_limit_list_begin(l);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hf_limit_list_seen(l, &kept[i], publish, &h, &e), HF_OK);
    assert_int_equal(hf_limit_list_rest(l, publish, &h, &e), HF_OK);
    assert_string_equal(h.said, wanted);
}

#define LIMIT(k, m, o)                                                                                                 \
    { .key = HF_STR(k), .max = (m), .origin = HF_STR(o) }

static void what_differs_is_set_and_what_is_gone_is_taken_away(void **state) {
    (void)state;
    hf_config *config = hf_config_new();
    hf_limit_list *l = read_list(config, "limits={tag/gold: 10, endpoint/vc1: 3, provider/sim: 0}");
    assert_int_equal(hf_limit_list_count(l), 3);
    round_of(l, NULL, 0, "endpoint/vc1=3;provider/sim=0;tag/gold=10;");
    const hf_limit same[] = {LIMIT("tag/gold", 10, "config"), LIMIT("endpoint/vc1", 3, "config"),
                             LIMIT("provider/sim", 0, "config"), LIMIT("tag/asked", 1, "")};
    round_of(l, same, 4, "");
    const hf_limit other[] = {LIMIT("tag/gold", 9, "config"), LIMIT("endpoint/vc1", 3, ""),
                              LIMIT("tag/gone", 3, "config"), LIMIT("tag/gone-before", -1, "config"),
                              LIMIT("provider/sim", -1, "config")};
    round_of(l, other, 5, "tag/gone=-1;endpoint/vc1=3;provider/sim=0;tag/gold=10;");
    hf_limit_list_free(l);
    l = read_list(config, "limits={}");
    round_of(l, same, 4, "tag/gold=-1;endpoint/vc1=-1;provider/sim=-1;"); /* what requests set stays */
    hf_limit_list_free(l);
    hf_config_free(config);
}

static void a_round_that_failed_is_done_again(void **state) {
    (void)state;
    hf_config *config = hf_config_new();
    hf_limit_list *l = read_list(config, "limits={tag/a: 1}");
    const hf_limit gone = LIMIT("tag/gone", 3, "config");
    heard h = {.answer = HF_E_LOG_QUEUE_FULL};
    hf_err e = {0};
    hf_limit_list_begin(l);
    assert_int_equal(hf_limit_list_seen(l, &gone, publish, &h, &e), HF_E_LOG_QUEUE_FULL);
    assert_int_equal(hf_limit_list_rest(l, publish, &h, &e), HF_E_LOG_QUEUE_FULL);
    round_of(l, &gone, 1, "tag/gone=-1;tag/a=1;");
    hf_limit_list_free(l);
    hf_config_free(config);
}

static void wrong_entries_are_all_named(void **state) {
    (void)state;
    static const char *const wrong[][3] = {
        {"limits={worker/a: 1, tag/b: -1, tag/c: many, tag/ok: 1}", "limits.worker/a", "limits.tag/b"},
        {"limits={tag/b: 1, tag/c: many}", "limits.tag/c: must be a number", ""},
        {"limits={tag/b: 10001}", "limits.tag/b", "10000"},
        {"limits={tag/: 1}", "limits.tag/:", "name"},
        {"limits=[1]", "limits: must be a map", ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++) {
        hf_config *config = hf_config_new();
        hf_limit_list *l = NULL;
        hf_err e = {0};
        assert_int_equal(hf_config_set(config, wrong[i][0], &e), HF_OK);
        assert_int_equal(hf_limit_list_read(config, &l, &e), HF_E_CONFIG);
        if (!strstr(e.detail, wrong[i][1]) || !strstr(e.detail, wrong[i][2]) || strstr(e.detail, "tag/ok"))
            fail_msg("%s: %s", wrong[i][0], e.detail);
        assert_null(l);
        hf_config_free(config);
    }
}

static void without_the_key_nothing_is_touched(void **state) {
    (void)state;
    hf_config *config = hf_config_new();
    hf_limit_list *l = NULL;
    hf_err e;
    assert_int_equal(hf_limit_list_read(config, &l, &e), HF_OK);
    assert_null(l);
    hf_config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_set_and_what_is_gone_is_taken_away),
        cmocka_unit_test(a_round_that_failed_is_done_again),
        cmocka_unit_test(wrong_entries_are_all_named),
        cmocka_unit_test(without_the_key_nothing_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
