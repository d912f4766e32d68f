/* labels: guest guest-more slow */
/* lvm_repair where a job has a disk and its copy: a group on one physical volume, and one on two. The appliance itself makes them. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/guest.h"

static void must_be(guestfs_h *g, int result) {
    if (result != 0)
        fail_msg("%s", guestfs_last_error(g));
}

static void make_group(guestfs_h *g, const char *group, char *const *volumes) {
    for (char *const *v = volumes; *v; v++)
        must_be(g, guestfs_pvcreate(g, *v));
    must_be(g, guestfs_vgcreate(g, group, volumes));
    must_be(g, guestfs_lvcreate(g, "data", group, 24));
}

/* Group one on sda1, two on sda2 and sda3; both of one disk, which is then copied. */
static void make(rig *r) {
    assert_int_equal(rig_sh(r, "truncate -s 96M in/disk.raw && printf 'label: gpt\\nstart=2048,size=65536\\n"
                               "start=67584,size=40960\\nstart=108544,size=40960\\n' | sfdisk -q in/disk.raw"),
                     0);
    guestfs_h *g = guestfs_create_flags(GUESTFS_CREATE_NO_ENVIRONMENT);
    assert_non_null(g);
    guestfs_set_error_handler(g, NULL, NULL);
    must_be(g, guestfs_set_backend(g, "direct"));
    must_be(g, guestfs_set_backend_setting(g, "force_tcg", "1"));
    must_be(g, guestfs_add_drive_opts(g, rig_path(r, "in/disk.raw"), GUESTFS_ADD_DRIVE_OPTS_FORMAT, "raw", -1));
    must_be(g, guestfs_launch(g));
    char one[] = "/dev/sda1", two[] = "/dev/sda2", more[] = "/dev/sda3";
    make_group(g, "one", (char *[]){one, NULL});
    make_group(g, "two", (char *[]){two, more, NULL});
    must_be(g, guestfs_shutdown(g));
    guestfs_close(g);
    assert_int_equal(rig_sh(r, "cp in/disk.raw in/copy.raw && sha256sum in/*.raw >before"), 0);
}

static json_t *run_it(rig *r, const char *job, const char *parameters) {
    hf_spec spec = rig_spec(r, "lvm_repair", NULL, "");
    hf_disk disks[] = {{.path = hf_str_of(rig_path(r, "in/disk.raw"))},
                       {.path = hf_str_of(rig_path(r, "in/copy.raw"))}};
    spec.disks = (hf_list){disks, 2};
    spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    if (rig_run(r, job, 1, &spec) != HF_OK)
        fail_msg("%s", r->err.detail);
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, NULL);
    assert_non_null(report);
    hf_auto_free char *text = json_dumps(report, JSON_INDENT(1));
    fprintf(stderr, "%s\n", text ? text : "");
    return report;
}

static size_t said(const json_t *report, const char *code) {
    size_t i, n = 0;
    json_t *o;
    json_array_foreach(json_object_get(report, "findings"), i, o)
        n += strcmp(json_string_value(json_object_get(o, "code")), code) == 0;
    return n;
}

static size_t active(const json_t *report) {
    size_t i, n = 0;
    json_t *o;
    json_array_foreach(json_object_get(json_object_get(report, "guest"), "volumes"), i, o)
        n += json_is_true(json_object_get(o, "active")) && !*json_string_value(json_object_get(o, "health"));
    return n;
}

static json_int_t changed(const json_t *report) { return json_integer_value(json_object_get(report, "changed")); }

/* Without a word nothing is touched; named as clones, each group is imported with all of its volumes. */
static void copies_are_told_and_renamed_if_asked(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    make(&r);
    json_t *report = run_it(&r, "job-1", "{\"dry_run\": true}");
    assert_int_equal(said(report, "duplicate-volume"), 3);
    assert_int_equal(changed(report), 0);
    json_decref(report);
    assert_int_equal(rig_sh(&r, "sha256sum --quiet -c before"), 0);
    report = run_it(&r, "job-2", "{\"in_place\": true, \"clones\": [\"/dev/sdb1\", \"/dev/sdb2\", \"/dev/sdb3\"]}");
    assert_int_equal(said(report, "duplicate-volume") + said(report, "clone-not-imported"), 0);
    assert_int_equal(changed(report), 3);
    assert_int_equal(active(report), 4);
    json_decref(report);
    assert_int_equal(rig_sh(&r, "grep disk.raw before | sha256sum --quiet -c"), 0); /* the copy alone was renamed */
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL)) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(copies_are_told_and_renamed_if_asked)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here");
    return 77;
}
