/* A schedule's rules: each bad value is one error that names its field, and all of them are told at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/base/mem.h"
#include "schemas/job/schedule_check.h"
#include "schemas/job/schedule_run.h"

static hf_arena arena;
static hf_intake_errors errors, warnings;

enum { NOW_S = 1780000000 }; /* 2026-05-28 */

static int setup(void **state) {
    (void)state;
    hf_arena_init(&arena, 8 << 20);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    hf_arena_done(&arena);
    return 0;
}

#define S(z) hf_str_of(z)

static hf_schedule good(void) {
    hf_schedule s;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    s.schedule_id = S("nightly");
    s.schedule = S("30 2 * * *");
    s.time_zone = S("Europe/Berlin");
    s.job_template.vm_path = S("/DC0/vm/web");
    s.job_template.output_dir = S("/exports/{date}");
    return s;
}

static void check(const hf_schedule *s) {
    errors.count = warnings.count = 0;
    hf_schedule_check(s, INT64_C(1000) * NOW_S, &arena, &errors, &warnings);
}

static bool says(const hf_intake_errors *list, const char *text) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        if (memmem(list->text[i].p, list->text[i].len, text, strlen(text)))
            return true;
    return false;
}

static void expect_error(hf_schedule s, const char *text) {
    check(&s);
    if (errors.count != 1 || !says(&errors, text))
        fail_msg("expected one error with \"%s\", got %u: %.*s", text, errors.count,
                 HF_STR_ARG(errors.count ? errors.text[0] : HF_STR_NONE));
}

static void expect_warning(hf_schedule s, const char *text) {
    check(&s);
    assert_int_equal(errors.count, 0);
    if (warnings.count != 1 || !says(&warnings, text))
        fail_msg("expected one warning with \"%s\", got %u", text, warnings.count);
}

static void a_good_one_passes_and_stays_as_it_is(void **state) {
    (void)state;
    hf_schedule s = good(), before = s;
    check(&s);
    assert_int_equal(errors.count, 0);
    assert_int_equal(warnings.count, 0);
    assert_true(hf_type_equal(&HF_TYPE_SCHEDULE, &s, &before));
    assert_int_equal(s.job_template.provider.len, 0);
}

static void bad_ids(void **state) {
    (void)state;
    hf_schedule s = good();
    s.schedule_id = HF_STR_NONE;
    expect_error(s, "id: required");
    s.schedule_id = S("a/b");
    expect_error(s, "id: must be 1 to 128");
    s.schedule_id = S("stats");
    expect_error(s, "page of the API");
}

static void bad_times(void **state) {
    (void)state;
    hf_schedule s = good();
    s.schedule = HF_STR_NONE;
    expect_error(s, "schedule: required");
    s.schedule = S("30 25 * * *");
    expect_error(s, "schedule: ");
    s = good();
    s.time_zone = S("Europe/Atlantis");
    expect_error(s, "time_zone: ");
    s.time_zone = S("../../etc/passwd");
    expect_error(s, "time_zone: ");
    s = good();
    s.schedule = S("TZ=UTC 30 2 * * *");
    expect_error(s, "time_zone: the schedule names a zone");
    s.time_zone = HF_STR_NONE;
    check(&s);
    assert_int_equal(errors.count, 0);
}

static void bad_bounds(void **state) {
    (void)state;
    hf_schedule s = good();
    s.catchup_window_ms = -1;
    expect_error(s, "catchup_window: -1 ms is out of range; give 0 to 744h");
    s = good();
    s.jitter_ms = HF_JITTER_MAX_MS + 1;
    expect_error(s, "jitter: ");
    s = good();
    s.start_at = s.end_at = INT64_C(1000) * NOW_S + 1;
    expect_error(s, "end_at: must be later");
    s = good();
    s.max_runs = -1;
    expect_error(s, "max_runs: ");
}

static void the_job_is_judged_as_intake_would(void **state) {
    (void)state;
    hf_schedule s = good();
    s.job_template.vm_path = HF_STR_NONE;
    expect_error(s, "job_template.vm_path: required");
    s = good();
    s.job_template.policy.priority = 11;
    expect_error(s, "job_template.execution_policy.priority: 11 is out of range");
    s = good();
    s.job_template.name = S("a\x01z");
    expect_error(s, "job_template.name: has a control character");
    s = good();
    s.description = S("https://ana:secret@host/");
    expect_error(s, "description: looks like a secret");
    s = good();
    hf_str tags[] = {S("fine"), S("\xff")};
    s.tags = (hf_list){tags, 2};
    expect_error(s, "tags[1]: is not UTF-8");
}

static void every_error_is_told(void **state) {
    (void)state;
    hf_schedule s = good();
    s.schedule_id = S("-x");
    s.schedule = S("@never");
    s.jitter_ms = -5;
    s.max_runs = -5;
    s.job_template.output_dir = S("relative");
    check(&s);
    assert_int_equal(errors.count, 5);
}

static void what_never_runs_is_a_warning(void **state) {
    (void)state;
    hf_schedule s = good();
    s.schedule = S("0 0 30 2 *");
    expect_warning(s, "not due within 5 years");
    s = good();
    s.end_at = INT64_C(1000) * NOW_S + 1;
    expect_warning(s, "end_at: comes before");
}

/* Whatever allocation fails: an error is told, or the answer is the same. */
static void short_memory_is_survived(void **state) {
    (void)state;
    hf_schedule s = good();
    s.max_runs = -5;
    for (uint64_t n = 1; n < 40; n++) {
        hf_arena_done(&arena);
        hf_arena_init(&arena, 8 << 20);
        hf_alloc_fail_after(n);
        check(&s);
        hf_alloc_fail_after(0);
        assert_true(errors.count > 0);
    }
}

static void a_run_is_the_template_marked(void **state) {
    (void)state;
    hf_schedule s = good();
    hf_submission run;
    hf_str own[] = {S("a"), S("b")}, its[] = {S("b"), S("c")};
    s.tags = (hf_list){own, 2};
    s.job_template.audit.tags = (hf_list){its, 2};
    assert_true(hf_schedule_run(&s, 1234, 1234, &arena, &run));
    assert_true(hf_str_eqz(run.spec.name, "web (scheduled)"));
    assert_true(hf_str_eqz(run.spec.origin, "schedule:nightly"));
    assert_int_equal(run.spec.scheduled_for, 1234);
    assert_int_equal(run.spec.audit.tags.count, 3);
    assert_true(hf_str_eqz(*HF_LIST_AT(run.spec.audit.tags, hf_str, 2), "a"));
    s.job_template.name = S("nightly export");
    assert_true(hf_schedule_run(&s, 0, 1234, &arena, &run));
    assert_true(hf_str_eqz(run.spec.name, "nightly export (scheduled)"));
    s.job_template.name = S("of {date}");
    s.job_template.output_dir = S("/x/{time}/{date}{time}/{other}");
    assert_true(hf_schedule_run(&s, 0, 1795314600000, &arena, &run));
    assert_true(hf_str_eqz(run.spec.name, "of 20261122 (scheduled)"));
    assert_true(hf_str_eqz(run.spec.output_dir, "/x/20261122T023000Z/2026112220261122T023000Z/{other}"));
    assert_int_equal(run.spec.provider.len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_passes_and_stays_as_it_is),
        cmocka_unit_test(bad_ids),
        cmocka_unit_test(bad_times),
        cmocka_unit_test(bad_bounds),
        cmocka_unit_test(the_job_is_judged_as_intake_would),
        cmocka_unit_test(every_error_is_told),
        cmocka_unit_test(what_never_runs_is_a_warning),
        cmocka_unit_test(a_run_is_the_template_marked),
        cmocka_unit_test(short_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
