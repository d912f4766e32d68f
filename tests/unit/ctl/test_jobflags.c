/* The flags of submit become the JSON of job files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "producer/ctl/jobflags.h"
#include "schemas/base/mem.h"
#include "schemas/event/json_submission.h"

enum { ARGC_MAX = 64 };
static hf_code job_of(const char *line, json_t **ret, hf_err *err) {
    static char text[2048];
    static char *argv[ARGC_MAX];
    int argc = 0;
    snprintf(text, sizeof text, "hyperctl submit %s", line);
    for (char *word = strtok(text, " "); word && argc < ARGC_MAX - 1; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    hf_args args;
    hf_code code = hf_args_parse(argc, argv, &args, err);
    assert_int_equal(code, HF_OK);
    code = hf_job_from_args(&args, "/home/ann", "ann", ret, err);
    hf_args_done(&args);
    return code;
}

static void check(const char *line, const char *expected) {
    json_t *job = NULL, *wanted = json_loads(expected, 0, NULL);
    hf_err err = {0};
    assert_non_null(wanted);
    if (job_of(line, &job, &err))
        fail_msg("%s: %s", line, err.detail);
    if (!json_equal(job, wanted)) {
        hf_auto_free char *got = json_dumps(job, JSON_SORT_KEYS);
        fail_msg("%s: got %s, not %s", line, got, expected);
    }
    json_decref(job);
    json_decref(wanted);
}

#define ANN "\"audit\":{\"requested_by\":\"ann\"}"

static void flags_become_members(void **state) {
    (void)state;
    check("disk.qcow2 --output-dir out",
          "{\"name\":\"disk\",\"vm_path\":\"/home/ann/disk.qcow2\",\"output_dir\":\"/home/ann/out\"," ANN "}");
    check(
        "--vm-path /dc/vm/web-01 --endpoint vc1 -d /exports --format ova --priority 2 --retry 0 --timeout 2h",
        "{\"name\":\"web-01\",\"vm_path\":\"/dc/vm/web-01\",\"endpoint\":\"vc1\",\"output_dir\":\"/exports\",\"format\":\"ova\","
        "\"execution_policy\":{\"priority\":2,\"retry_count\":0,\"timeout_seconds\":7200}," ANN "}");
    check(
        "--disk a.raw --disk /b.raw --name two --job-id J1 --operation inspect --provider local --timeout 90",
        "{\"name\":\"two\",\"job_id\":\"J1\",\"operation\":\"inspect\",\"provider\":\"local\",\"disks\":[\"/home/ann/a.raw\",\"/b.raw\"],"
        "\"execution_policy\":{\"timeout_seconds\":90}," ANN "}");
    check(
        "/x.raw --tag a --tag b --requested-by bob --ticket T-1",
        "{\"name\":\"x\",\"vm_path\":\"/x.raw\",\"audit\":{\"requested_by\":\"bob\",\"ticket\":\"T-1\",\"tags\":[\"a\",\"b\"]}}");
    check(
        "/x.raw --param ms=20 --param mode=fast --param deep={\"a\":[1]} --option compress=false",
        "{\"name\":\"x\",\"vm_path\":\"/x.raw\",\"parameters\":{\"ms\":20,\"mode\":\"fast\",\"deep\":{\"a\":[1]}},\"options\":{\"compress\":false}," ANN
        "}");
}

static void local_paths_are_completed_and_others_are_not(void **state) {
    (void)state;
    check("./disk.vmdk -d .",
          "{\"name\":\"disk\",\"vm_path\":\"/home/ann/disk.vmdk\",\"output_dir\":\"/home/ann\"," ANN "}");
    check("file:///images/d.img", "{\"name\":\"d\",\"vm_path\":\"file:///images/d.img\"," ANN "}");
    check("dc/vm/web", "{\"name\":\"web\",\"vm_path\":\"dc/vm/web\"," ANN "}");
    check("../d.raw", "{\"name\":\"d\",\"vm_path\":\"/home/ann/../d.raw\"," ANN "}");
}

static void mistakes_name_the_flag(void **state) {
    (void)state;
    static const struct {
        const char *line, *named;
    } mistakes[] = {{"x.raw --priority 11", "--priority"},     {"x.raw --retry 6", "--retry"},
                    {"x.raw --timeout 10s", "--timeout"},      {"x.raw --timeout soon", "--timeout"},
                    {"x.raw --timeout 99999999", "--timeout"}, {"x.raw --param novalue", "--param"},
                    {"x.raw --option =1", "--option"},         {"--name x", "-f FILE"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(mistakes); i++) {
        json_t *job = NULL;
        hf_err err = {0};
        assert_int_equal(job_of(mistakes[i].line, &job, &err), HF_E_USAGE);
        if (!strstr(err.detail, mistakes[i].named))
            fail_msg("%s: \"%s\"", mistakes[i].line, err.detail);
    }
}

/* What the flags give is what the reader of submissions takes, field by field. */
static void the_job_is_a_submission(void **state) {
    (void)state;
    json_t *job = NULL;
    hf_err err = {0};
    assert_int_equal(
        job_of(
            "a.qcow2 -d /out --format raw --priority 1 --retry 4 --timeout 1h --tag t --ticket T --param k=1 --option compress=false",
            &job, &err),
        HF_OK);
    hf_arena arena;
    hf_arena_init(&arena, 1 << 20);
    hf_submission s;
    if (hf_submission_from_json(job, &arena, &s, &err))
        fail_msg("%s", err.detail);
    assert_true(hf_str_eqz(s.spec.vm_path, "/home/ann/a.qcow2"));
    assert_true(hf_str_eqz(s.spec.output_dir, "/out"));
    assert_true(hf_str_eqz(s.spec.format, "raw"));
    assert_int_equal(s.spec.policy.priority, 1);
    assert_int_equal(s.spec.policy.retry_count, 4);
    assert_int_equal(s.spec.policy.timeout_seconds, 3600);
    assert_false(s.spec.options.compress);
    assert_true(hf_str_eqz(s.spec.audit.requested_by, "ann"));
    assert_true(hf_str_eqz(s.spec.audit.ticket, "T"));
    assert_int_equal(s.spec.audit.tags.count, 1);
    assert_int_equal(s.spec.options.unsupported.count, 0);
    hf_arena_done(&arena);
    json_decref(job);
}

static void a_password_is_refused_and_not_repeated(void **state) {
    (void)state;
    json_t *job = NULL;
    hf_err err = {0};
    hf_arena arena;
    hf_submission s;
    hf_arena_init(&arena, 1 << 20);
    assert_int_equal(job_of("a.raw -d /out --param password=hunter2", &job, &err), HF_OK);
    assert_int_equal(hf_submission_from_json(job, &arena, &s, &err), HF_E_SECRET);
    assert_null(strstr(err.detail, "hunter2"));
    hf_arena_done(&arena);
    json_decref(job);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_become_members),
        cmocka_unit_test(local_paths_are_completed_and_others_are_not),
        cmocka_unit_test(mistakes_name_the_flag),
        cmocka_unit_test(the_job_is_a_submission),
        cmocka_unit_test(a_password_is_refused_and_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
