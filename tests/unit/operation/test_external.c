/* Operations that are external programs: the sample works, and each way of misbehaving gets its own clear error and leaves
 * nothing behind. */
#include <stdio.h>
#include <sys/stat.h>

#include "rig.h"

#include "consumer/operation/external.h"
#include "schemas/base/clock.h"

/* Declares operation `try` as a shell script that has $J, the job's id. */
static hf_code try_script(rig *r, const char *timeout, const char *script) {
    hf_err err;
    FILE *f = fopen(rig_path(r, "in/try.sh"), "w");
    assert_non_null(f);
    fprintf(f, "J=try-1\nok='{\"job_id\":\"try-1\",\"status\":\"success\"}'\n%s\n", script);
    fclose(f);
    const char *set = hf_arena_printf(
        &r->arena, "worker.operations={try: {command: [/bin/sh, %s], timeout: %s, environment: {SITE: here}}}",
        rig_path(r, "in/try.sh"), timeout);
    assert_int_equal(hf_config_set(r->config, set, &err), HF_OK);
    assert_int_equal(hf_external_check(r->config, &err), HF_OK);
    hf_spec spec = rig_spec(r, "try", "base.raw", "");
    hf_code rc = rig_run(r, "try-1", 1, &spec);
    if (rc != HF_OK) {
        print_message("    %s: %s\n", hf_code_name(rc), r->err.detail);
        assert_true(rig_out_empty(r));
    }
    return rc;
}

static void expect(rig *r, const char *script, hf_code code, const char *words) {
    assert_int_equal(try_script(r, "20s", script), code);
    if (!strstr(r->err.detail, words))
        fail_msg("\"%s\" does not say \"%s\"", r->err.detail, words);
}

static int open_rig(void **state) {
    rig *r = calloc(1, sizeof *r);
    rig_open(r);
    rig_image(r, "base.raw", 3 << 20, 1);
    hf_err err;
    assert_int_equal(hf_config_set(r->config, "worker.kill_grace=500ms", &err), HF_OK);
    *state = r;
    return 0;
}
static int close_rig(void **state) {
    rig_close(*state);
    free(*state);
    return 0;
}

static void the_sample_hashes_an_image(void **state) {
    rig *r = *state;
    hf_err err;
    if (!rig_have("python3"))
        skip();
    assert_int_equal(
        hf_config_set(r->config,
                      "worker.operations={checksum: {command: [" HF_SOURCE_DIR "/ops/operations/checksum.py]}}", &err),
        HF_OK);
    hf_spec spec = rig_spec(r, "checksum", "base.raw", "");
    hf_code rc = rig_run(r, "sum-1", 1, &spec);
    if (rc != HF_OK)
        fail_msg("%s", r->err.detail);
    assert_int_equal(r->result.artifacts.count, 1);
    assert_true(r->reports > 2);
    assert_string_equal(r->phases, "hash ");
    assert_int_equal(r->result.bytes_read, 3 << 20);
    assert_non_null(strstr(hf_arena_str(&r->arena, r->result.report).p, "\"sha256\""));
    assert_int_equal(rig_sh(r, "grep -q $(sha256sum in/base.raw | cut -d' ' -f1) out/checksum.json"), 0);
    spec.vm_path = hf_str_of(rig_path(r, "in/none.raw"));
    assert_int_equal(rig_run(r, "sum-2", 1, &spec), HF_E_NOT_FOUND);
}

static void a_program_sees_its_job_and_nothing_else(void **state) {
    rig *r = *state;
    setenv("HF_TEST_SECRET", "not for programs", 1);
    assert_int_equal(
        try_script(
            r, "20s",
            "cat >spec.json; env >env.txt; ls /proc/self/fd >fds.txt; pwd >pwd.txt\n"
            "grep -q '\"version\":\"1.0\"' spec.json && grep -q '\"job_id\":\"try-1\"' spec.json && grep -q '/in/base.raw' spec.json || exit 9\n"
            "grep -q SITE=here env.txt || exit 8; grep -q TEST_SECRET env.txt && exit 7\n"
            "test $(grep -c . fds.txt) -le 4 || exit 6; grep -q 'out/.hf-try-1-1.partial$' pwd.txt || exit 5\n"
            "echo one >report.json; echo two >a.log\n"
            "echo '{\"job_id\":\"try-1\",\"status\":\"success\",\"outputs\":{\"report\":\"report.json\",\"logs\":[\"./a.log\"]}}'"),
        HF_OK);
    unsetenv("HF_TEST_SECRET");
    assert_int_equal(r->result.artifacts.count, 2);
    assert_int_equal(rig_sh(r, "test \"$(ls -A out | tr '\\n' ' ')\" = 'a.log report.json ' && rm -r out && mkdir out"),
                     0);
}

static void lies(void **state) {
    rig *r = *state;
    expect(r, "echo hello", HF_E_PROTOCOL, "not JSON");
    expect(r, "echo '[1]'", HF_E_PROTOCOL, "not a JSON object");
    expect(r, "echo '{\"job_id\":\"another\",\"status\":\"success\"}'", HF_E_PROTOCOL, "another");
    expect(r, "echo '{\"job_id\":\"try-1\",\"x\":1}'", HF_E_PROTOCOL, "neither");
    expect(r, "true", HF_E_PROTOCOL, "without a JobResult");
    expect(r, "echo \"$ok\"; echo \"$ok\"", HF_E_PROTOCOL, "after its JobResult");
    expect(r, "echo \"$ok\"; echo broken >&2; exit 3", HF_E_PROTOCOL,
           "success and then ended with status 3; its stderr ends: broken");
    expect(r, "echo '{\"job_id\":\"try-1\",\"status\":\"success\",\"outputs\":{\"report\":\"/etc/passwd\"}}'",
           HF_E_PROTOCOL, "/etc/passwd");
    expect(r,
           "ln -s /etc/passwd p; echo '{\"job_id\":\"try-1\",\"status\":\"success\",\"outputs\":{\"report\":\"p\"}}'",
           HF_E_PROTOCOL, "regular file");
    expect(r, "echo '{\"job_id\":\"try-1\",\"status\":\"success\",\"outputs\":{\"report\":\"../base.raw\"}}'",
           HF_E_PROTOCOL, "plain names");
    expect(r, "echo '{\"job_id\":\"try-1\",\"status\":\"success\",\"outputs\":{\"report\":\"none\"}}'", HF_E_PROTOCOL,
           "none");
}

static void failures(void **state) {
    rig *r = *state;
    expect(
        r,
        "echo '{\"job_id\":\"try-1\",\"status\":\"failed\",\"error\":{\"phase\":\"fsck\",\"code\":\"E7\",\"message\":\"no superblock\"}}'; exit 1",
        HF_E_TOOL_FAILED, "E7: no superblock");
    assert_true(hf_str_eqz(r->phase, "fsck"));
    expect(r, "echo oops >&2; exit 4", HF_E_TOOL_FAILED, "status 4 and gave no JobResult; its stderr ends: oops");
    expect(r, "kill -9 $$", HF_E_TOOL_FAILED, "signal 9");
    expect(r, "echo \"$ok\"; kill -SEGV $$", HF_E_PROTOCOL, "signal 11");
}

static void floods(void **state) {
    rig *r = *state;
    expect(r, "head -c 70000 /dev/zero | tr '\\0' x; sleep 30", HF_E_PROTOCOL, "64 KiB");
    expect(r, "exec >&2; head -c 80000000 /dev/zero; sleep 30", HF_E_PROTOCOL, "64 MiB");
    expect(
        r,
        "M=$(head -c 8000 /dev/zero | tr '\\0' x); yes \"{\\\"job_id\\\":\\\"try-1\\\",\\\"phase\\\":\\\"a\\\",\\\"message\\\":\\\"$M\\\"}\"",
        HF_E_PROTOCOL, "64 MiB");
    assert_true(r->reports > 1000);
}

static void hangs(void **state) {
    rig *r = *state;
    int64_t start = hf_mono_ns();
    assert_int_equal(try_script(r, "400ms", "trap '' TERM; sleep 60 & wait; sleep 60"), HF_E_TIMEOUT);
    assert_non_null(strstr(r->err.detail, "worker.operations.try.timeout"));
    assert_true(hf_mono_ns() - start < 20 * 1000000000LL);
    /* A grandchild that keeps the pipe open does not keep the job. */
    assert_int_equal(try_script(r, "30s", "sleep 60 & echo \"$ok\""), HF_OK);
    assert_true(hf_mono_ns() - start < 30 * 1000000000LL);
}

static void cancel_on_report(rig *r, const hf_progress *p) {
    (void)p;
    atomic_store(&r->cancel, true);
}

static void slow_down(rig *r, const hf_progress *p) {
    if (hf_str_eqz(p->phase, "ready"))
        atomic_store(&r->limit, 1048576);
}

static void a_change_of_bandwidth_can_be_seen(void **state) {
    rig *r = *state;
    atomic_store(&r->limit, 5000);
    r->on_report = slow_down;
    assert_int_equal(try_script(r, "60s",
                                "test \"$(cat $HF_BANDWIDTH_FILE)\" = 5000 || exit 9\n"
                                "ln -s /etc/passwd $HF_BANDWIDTH_FILE.new\n" /* nothing is written through it */
                                "echo '{\"job_id\":\"try-1\",\"phase\":\"ready\"}'\n"
                                "until test \"$(cat $HF_BANDWIDTH_FILE)\" = 1048576; do sleep 0.05; done\n"
                                "echo \"$ok\""),
                     HF_OK);
    r->on_report = NULL;
    atomic_store(&r->limit, 0);
}

static void is_cancelled(void **state) {
    rig *r = *state;
    r->on_report = cancel_on_report;
    assert_int_equal(try_script(r, "30s", "echo '{\"job_id\":\"try-1\",\"phase\":\"a\"}'; exec sleep 60"),
                     HF_E_CANCELLED);
}

static void bad_declarations(void **state) {
    rig *r = *state;
    hf_err err;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"{x: {command: []}}", "worker.operations.x: command"},
        {"{x: {command: [a], tmeout: 5s}}", "tmeout"},
        {"{x: {command: [a], timeout: soon}}", "timeout"},
        {"{x: {command: [1]}}", "command"},
        {"{export: {command: [a]}}", "built in"},
        {"{x: {command: [a], environment: {A: 1}}}", "environment"},
        {"{x: {command: [a], needs: qemu_img}}", "needs"},
        {"{x: [a]}", "must be"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        assert_int_equal(
            hf_config_set(r->config, hf_arena_printf(&r->arena, "worker.operations=%s", cases[i].text), &err), HF_OK);
        assert_int_equal(hf_external_check(r->config, &err), HF_E_CONFIG);
        if (!strstr(err.detail, cases[i].words))
            fail_msg("\"%s\" does not say \"%s\"", err.detail, cases[i].words);
    }
    assert_int_equal(
        hf_config_set(
            r->config,
            "worker.operations={gone: {command: [/nonexistent/program]}, bare: {command: [no-such-program-here]}}",
            &err),
        HF_OK);
    hf_spec spec = rig_spec(r, "gone", "base.raw", "");
    assert_int_equal(rig_run(r, "g", 1, &spec), HF_E_NOT_FOUND);
    spec.operation = HF_STR("bare");
    assert_int_equal(rig_run(r, "g", 1, &spec), HF_E_NOT_FOUND);
    spec.operation = HF_STR("nowhere");
    assert_int_equal(rig_run(r, "g", 1, &spec), HF_E_OPERATION_UNKNOWN);
    assert_true(rig_out_empty(r));
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
int main(void) {
    const struct CMUnitTest tests[] = {EACH(the_sample_hashes_an_image),
                                       EACH(a_program_sees_its_job_and_nothing_else),
                                       EACH(lies),
                                       EACH(failures),
                                       EACH(floods),
                                       EACH(hangs),
                                       EACH(is_cancelled),
                                       EACH(a_change_of_bandwidth_can_be_seen),
                                       EACH(bad_declarations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
