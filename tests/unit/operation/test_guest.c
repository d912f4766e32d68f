/* labels: guest slow */
/* What all guest operations stand on: overlay, appliance, steps, editing, the result, by a plan of the test's own. */
#include "tests/unit/operation/rig.h"

#ifdef HF_HAVE_GUESTFS
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/operation/guest/guest.h"

/* An image with one file system and no operating system in it. */
static void make_image(rig *r) {
    assert_int_equal(
        rig_sh(r,
               "mkdir -p tree/etc tree/dir && printf 'one\\ntwo\\nthree\\n' >tree/etc/list && echo x >tree/dir/file && "
               "ln -s /etc/list tree/link && truncate -s 32M in/disk.raw && mke2fs -q -t ext4 -d tree in/disk.raw"),
        0);
}

static hf_code mount_it(hf_guest_session *x, hf_err *reterr) {
    return (hf_guest_dry(x) ? guestfs_mount_ro(hf_guest_handle(x), "/dev/sda", "/")
                            : guestfs_mount(hf_guest_handle(x), "/dev/sda", "/")) == 0
               ? HF_OK
               : hf_guest_fail(x, reterr, "mounting");
}

static hf_code edit(hf_guest_session *x, hf_err *reterr) {
    static const char text[] = "one\n2\nthree\n";
    hf_code rc = hf_guest_write(x, "/link", text, sizeof text - 1, reterr);
    if (rc == HF_OK)
        rc = hf_guest_write(x, "/etc/new", "new\n", 4, reterr);
    return rc == HF_OK ? hf_guest_remove(x, "/dir", true, reterr) : rc;
}

static hf_code unmount_it(hf_guest_session *x, hf_err *reterr) {
    return guestfs_umount_all(hf_guest_handle(x)) == 0 ? HF_OK : hf_guest_fail(x, reterr, "taking it off");
}

static const hf_guest_step steps[] = {{"mount", "mounts it", mount_it},
                                      {"edit", "edits files", edit},
                                      {"unmount", "takes it off", unmount_it},
                                      {NULL, NULL, NULL}};
static const hf_guest_plan plan = {.operation = "test", .steps = steps};

static void ignore(void *ctx, const hf_progress *progress) {
    (void)ctx;
    if (progress->level.len)
        fprintf(stderr, "%.*s\n", HF_STR_ARG(progress->message));
}

static hf_code run_plan(rig *r, const char *job, const char *parameters, const char *output_format) {
    hf_spec spec = rig_spec(r, "fs_repair", "disk.raw", output_format ? output_format : "");
    if (!output_format)
        spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    hf_run run = {.job_id = hf_str_of(job),
                  .attempt = 1,
                  .spec = &spec,
                  .config = r->config,
                  .roots = &r->roots,
                  .threads = 2,
                  .arena = &r->arena,
                  .cancel = &r->cancel,
                  .bandwidth_limit = &r->limit,
                  .report = ignore,
                  .report_ctx = r};
    return hf_guest_run(&run, &plan, &r->result, &r->phase, &r->err);
}

static json_t *report_of(const rig *r) {
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    return report;
}

static void must(rig *r, hf_code code) {
    if (code != HF_OK)
        fail_msg("%s", r->err.detail);
}

static void a_job_works_on_an_overlay_and_its_result_is_a_new_image(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    make_image(&r);
    assert_int_equal(rig_sh(&r, "sha256sum in/disk.raw >before"), 0);
    must(&r, run_plan(&r, "job-1", "{\"dry_run\": true}", NULL));
    json_t *report = report_of(&r);
    assert_int_equal(json_integer_value(json_object_get(report, "changed")), 3);
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);

    must(&r, run_plan(&r, "job-2", "{}", "qcow2"));
    report = report_of(&r);
    assert_int_equal(json_integer_value(json_object_get(report, "changed")), 3);
    const char *diff =
        json_string_value(json_object_get(json_array_get(json_object_get(report, "changes"), 0), "diff"));
    assert_non_null(diff);
    assert_non_null(strstr(diff, "\n-two\n+2\n"));
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    rig_check_artifacts(&r);
    assert_int_equal(
        rig_sh(&r, "qemu-img convert -O raw out/disk.qcow2 after.raw && "
                   "debugfs -R 'cat /etc/list' after.raw 2>/dev/null | grep -qx 2 && "
                   "debugfs -R 'cat /etc/new' after.raw 2>/dev/null | grep -qx new && "
                   "! debugfs -R 'ls /' after.raw 2>/dev/null | grep -qw dir && e2fsck -fn after.raw >/dev/null 2>&1"),
        0);
    assert_int_equal(rig_sh(&r, "qemu-img info out/disk.qcow2 | grep -q backing"), 1);

    assert_int_equal(run_plan(&r, "job-3", "{\"in_place\": true}", NULL), HF_OK);
    assert_int_equal(rig_sh(&r, "debugfs -R 'cat /etc/list' in/disk.raw 2>/dev/null | grep -qx 2"), 0);
    assert_int_equal(run_plan(&r, "job-4", "{\"in_place\": true, \"skip\": [\"edit\"]}", NULL), HF_OK);
    report = report_of(&r);
    assert_int_equal(json_integer_value(json_object_get(report, "changed")), 0);
    json_decref(report);
    rig_close(&r);
}

static void what_cannot_be_meant_is_refused_before_anything_is_started(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    make_image(&r);
    assert_int_equal(run_plan(&r, "job-1", "{}", NULL), HF_E_INVALID); /* neither output_dir nor in_place */
    assert_int_equal(run_plan(&r, "job-2", "{\"in_place\": true}", "raw"), HF_E_INVALID);
    assert_int_equal(run_plan(&r, "job-3", "{\"skip\": [\"nonsense\"]}", "raw"), HF_E_INVALID);
    assert_non_null(strstr(r.err.detail, "nonsense"));
    assert_int_equal(run_plan(&r, "job-4", "{\"dry_run\": 1}", "raw"), HF_E_INVALID);
    assert_int_equal(run_plan(&r, "job-5", "{\"step_seconds\": 5}", "raw"), HF_E_INVALID);
    assert_true(rig_out_empty(&r));
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL)) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(what_cannot_be_meant_is_refused_before_anything_is_started),
                                           cmocka_unit_test(a_job_works_on_an_overlay_and_its_result_is_a_new_image)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
