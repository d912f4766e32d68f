/* A schedule's JSON: the older shape and ours in, what is given over what is there, the same out again. */
#include "tests/unit/event/cmocka_all.h"

#include <string.h>

#include "schemas/base/clock.h"
#include "schemas/event/json_schedule.h"

static hf_arena arena;
static hf_intake_errors errors, warnings;
static hf_err err;

enum { NOW_S = 1780000000 };

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

static hf_code read_over(hf_schedule *s, const char *text, unsigned flags) {
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    errors.count = warnings.count = 0;
    hf_code code = hf_schedule_read(json, flags, INT64_C(1000) * NOW_S, &arena, s, &errors, &warnings, &err);
    json_decref(json);
    return code;
}

static hf_code read_new(hf_schedule *s, const char *text) {
    hf_type_init(&HF_TYPE_SCHEDULE, s);
    return read_over(s, text, 0);
}

static bool says(const hf_intake_errors *list, const char *text) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        if (memmem(list->text[i].p, list->text[i].len, text, strlen(text)))
            return true;
    return false;
}

#define JOB "\"job_template\": {\"vm_path\": \"/DC0/vm/web\", \"output_dir\": \"/exports\"}"
#define BASE "\"id\": \"nightly\", \"schedule\": \"@daily\", " JOB

static void the_older_shape(void **state) {
    (void)state;
    hf_schedule s;
    assert_int_equal(
        read_new(
            &s,
            "{\"id\":\"daily\",\"name\":\"Daily backup\",\"description\":\"\",\"schedule\":\"0 2 * * *\","
            "\"job_template\":{\"id\":\"\",\"name\":\"web\",\"vm_path\":\"/DC0/vm/web\",\"output_path\":\"/backups\","
            "\"format\":\"ova\",\"created_at\":\"0001-01-01T00:00:00Z\"},"
            "\"enabled\":true,\"created_at\":\"0001-01-01T00:00:00Z\",\"updated_at\":\"0001-01-01T00:00:00Z\","
            "\"next_run\":\"0001-01-01T00:00:00Z\",\"run_count\":0,\"tags\":[\"prod\"]}"),
        HF_OK);
    assert_int_equal(errors.count, 0);
    assert_true(hf_str_eqz(s.schedule_id, "daily") && hf_str_eqz(s.job_template.output_dir, "/backups"));
    assert_true(s.enabled && s.overlap == HF_OVERLAP_SKIP && s.dst_policy == HF_DST_VIXIE);
    assert_int_equal(s.catchup_window_ms, HF_CATCHUP_WINDOW_DEFAULT_MS);
    assert_int_equal(s.tags.count, 1);
}

static void ours_with_everything(void **state) {
    (void)state;
    hf_schedule s;
    assert_int_equal(
        read_new(&s,
                 "{" BASE ", \"time_zone\": \"Europe/Berlin\", \"dst_policy\": \"robfig\", \"overlap\": \"buffer_one\","
                 "\"catchup_window\": \"1h30m\", \"jitter\": 90, \"start_at\": \"2026-06-01T00:00:00Z\","
                 "\"end_at\": \"2026-07-01T00:00:00+02:00\", \"max_runs\": 7, \"enabled\": false}"),
        HF_OK);
    assert_int_equal(errors.count, 0);
    assert_int_equal(s.catchup_window_ms, 5400000);
    assert_int_equal(s.jitter_ms, 90000);
    assert_int_equal(s.overlap, HF_OVERLAP_BUFFER_ONE);
    assert_int_equal(s.dst_policy, HF_DST_ROBFIG);
    assert_int_equal(s.max_runs, 7);
    assert_false(s.enabled);
}

static void what_goes_out_comes_in_again(void **state) {
    (void)state;
    hf_schedule s, again;
    assert_int_equal(
        read_new(&s,
                 "{" BASE ", \"jitter\": \"1m30.5s\", \"tags\": [\"a\", \"b\"], \"max_runs\": 3, \"job_template\": "
                 "{\"vm_path\": \"/DC0/vm/web\", \"output_dir\": \"/e/{time}\", \"priority\": 2, \"pipeline_x\": true,"
                 "\"parameters\": {\"a\": [1]}, \"tags\": [\"t\"], \"options\": {\"compress_level\": 3}}}"),
        HF_OK);
    assert_int_equal(errors.count, 0);
    assert_true(says(&warnings, "job_template.pipeline_x"));
    json_t *json = hf_schedule_json(&s);
    hf_type_init(&HF_TYPE_SCHEDULE, &again);
    warnings.count = 0;
    assert_int_equal(hf_schedule_read(json, 0, INT64_C(1000) * NOW_S, &arena, &again, &errors, &warnings, &err), HF_OK);
    json_decref(json);
    assert_int_equal(errors.count, 0);
    assert_int_equal(warnings.count, 0);
    s.job_template.options.unsupported = (hf_list){0}; /* what nothing acts on does not come back */
    assert_true(hf_type_equal(&HF_TYPE_SCHEDULE, &s, &again));
}

static void what_is_given_goes_over_what_is_there(void **state) {
    (void)state;
    hf_schedule s;
    assert_int_equal(read_new(&s, "{" BASE ", \"description\": \"x\", \"jitter\": 5}"), HF_OK);
    assert_int_equal(read_over(&s, "{\"schedule\": \"@hourly\", \"jitter\": null}", 0), HF_OK);
    assert_true(hf_str_eqz(s.schedule, "@hourly") && hf_str_eqz(s.description, "x"));
    assert_int_equal(s.jitter_ms, 0);
    assert_int_equal(
        read_over(&s, "{\"schedule\": \"\", \"description\": null, \"enabled\": false}", HF_SCHEDULE_LENIENT), HF_OK);
    assert_true(hf_str_eqz(s.schedule, "@hourly") && hf_str_eqz(s.description, "x") && !s.enabled);
    assert_int_equal(read_over(&s, "{\"overlap\": \"allow\"}", 0), HF_OK);
    assert_int_equal(read_over(&s, "{\"overlap\": null, \"enabled\": null}", 0), HF_OK);
    assert_true(s.overlap == HF_OVERLAP_SKIP && s.enabled);
}

static void every_wrong_member_is_told_once(void **state) {
    (void)state;
    hf_schedule s;
    assert_int_equal(
        read_new(&s,
                 "{\"id\": 7, \"schedule\": [], \"jitter\": \"soon\", \"catchup_window\": -1, \"overlap\": \"maybe\", "
                 "\"start_at\": \"noon\", \"enabled\": \"yes\", \"overlaps\": 1, \"job_template\": {\"vm_path\": 1}}"),
        HF_OK);
    static const char *const told[] = {"id: must be a string",
                                       "schedule: must be a string",
                                       "jitter: must be a duration",
                                       "catchup_window: must be a duration",
                                       "overlap: must be one of skip buffer_one allow",
                                       "start_at: must be a time",
                                       "enabled: must be true or false",
                                       "overlaps: is no member",
                                       "job_template.vm_path: must be a string"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        if (!says(&errors, told[i]))
            fail_msg("not told: %s", told[i]);
    assert_int_equal(errors.count, sizeof told / sizeof *told);
}

static void unknown_members_by_flag(void **state) {
    (void)state;
    hf_schedule s;
    hf_type_init(&HF_TYPE_SCHEDULE, &s);
    assert_int_equal(read_over(&s, "{" BASE ", \"overlaps\": 1}", HF_SCHEDULE_LENIENT), HF_OK);
    assert_int_equal(errors.count, 0);
    assert_true(says(&warnings, "overlaps: not known"));
}

static void refused_as_a_whole(void **state) {
    (void)state;
    hf_schedule s;
    assert_int_equal(
        read_new(&s,
                 "{" BASE
                 ", \"job_template\": {\"vm_path\": \"/x\", \"parameters\": {\"db\": {\"password\": \"hunter2\"}}}}"),
        HF_E_SECRET);
    assert_null(strstr(err.detail, "hunter2"));
    assert_non_null(strstr(err.detail, "job_template.parameters.db.password"));
    assert_int_equal(read_new(&s, "[]"), HF_E_INVALID);
}

static void spans(void **state) {
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0s"},        {1500, "1.500s"}, {5400000, "1h30m"}, {3600000, "1h"}, {3661001, "1h1m1.001s"},
                {90000, "1m30s"}, {250, "0.250s"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[HF_SPAN_BYTES];
        int64_t back;
        assert_string_equal(hf_span_format(rows[i].ms, text), rows[i].text);
        assert_true(hf_duration_parse(hf_str_of(text), &back) && back == rows[i].ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_older_shape),
        cmocka_unit_test(ours_with_everything),
        cmocka_unit_test(what_goes_out_comes_in_again),
        cmocka_unit_test(what_is_given_goes_over_what_is_there),
        cmocka_unit_test(every_wrong_member_is_told_once),
        cmocka_unit_test(unknown_members_by_flag),
        cmocka_unit_test(refused_as_a_whole),
        cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
