/* labels: guest guest-more slow */
/* fs_repair on Btrfs: one that lost its superblock, and one of which nothing but that is left. Without a word they are told and left alone. */
#include "tests/unit/operation/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HF_HAVE_GUESTFS
#include "consumer/operation/guest/guest.h"

static const char make[] =
    "set -e; d=in/disk.raw; truncate -s 260M $d; printf 'label: gpt\\nstart=2048,size=262144\\nstart=264192,size=262144\\n' | sfdisk -q $d; "
    "mkdir tree; echo hello >tree/file; for p in a b; do truncate -s 128M $p; mkfs.btrfs -q -r tree $p >/dev/null; done; "
    "dd if=/dev/zero of=a bs=4096 seek=16 count=1 conv=notrunc status=none; "
    "dd if=/dev/zero of=b bs=1M seek=1 count=120 conv=notrunc status=none; "
    "dd if=a of=$d bs=1M seek=1 conv=notrunc,sparse status=none; dd if=b of=$d bs=1M seek=129 conv=notrunc,sparse status=none; "
    "rm -r a b tree; sha256sum $d >before";

static json_t *run_it(rig *r, const char *job, bool dry, const char *parameters) {
    hf_spec spec = rig_spec(r, "fs_repair", "disk.raw", dry ? "" : "raw");
    if (dry)
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

static const char *state_at(const json_t *report, size_t i) {
    return json_string_value(
        json_object_get(json_array_get(json_object_get(json_object_get(report, "guest"), "file_systems"), i), "state"));
}

static json_int_t changed(const json_t *report) { return json_integer_value(json_object_get(report, "changed")); }

static void btrfs_is_repaired_only_if_asked(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "%s", make), 0);
    json_t *report = run_it(&r, "job-1", true, "{\"dry_run\": true}");
    assert_string_equal(state_at(report, 0), "damaged");
    assert_string_equal(state_at(report, 1), "damaged");
    assert_int_equal(said(report, "btrfs-damaged"), 2);
    assert_int_equal(changed(report), 0);
    json_decref(report);
    report = run_it(&r, "job-2", false, "{\"btrfs_repair\": true}");
    assert_string_equal(state_at(report, 0), "repaired");
    assert_string_equal(state_at(report, 1), "damaged");
    assert_int_equal(said(report, "btrfs-damaged"), 0);
    assert_int_equal(said(report, "not-repaired"), 1);
    assert_int_equal(changed(report), 1);
    json_decref(report);
    assert_int_equal(
        rig_sh(
            &r,
            "sha256sum --quiet -c before && dd if=out/disk.raw of=a bs=1M skip=1 count=128 conv=sparse status=none && "
            "btrfs check --readonly a >/dev/null 2>&1 && mkdir x && btrfs restore a x >/dev/null && grep -qx hello x/file"),
        0);
    rig_close(&r);
}
#endif

int main(void) {
#ifdef HF_HAVE_GUESTFS
    if (hf_guest_possible(NULL) && rig_have("mkfs.btrfs") && rig_have("btrfs")) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(btrfs_is_repaired_only_if_asked)};
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
#endif
    puts("skipped: no appliance can be started here, or btrfs-progs is not installed");
    return 77;
}
