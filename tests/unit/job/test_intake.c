/* Intake: what it fills in, every rule with its error, and the proposal it makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/base/mem.h"
#include "schemas/job/fold.h"
#include "schemas/job/intake.h"

static hf_arena arena;
static hf_intake_errors errors, warnings;

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
#define assert_str(str_, z_) assert_true(hf_str_eqz(str_, z_))

static hf_spec spec_of(const char *vm_path, const char *output_dir) {
    hf_spec spec;
    hf_type_init(&HF_TYPE_SPEC, &spec);
    spec.vm_path = S(vm_path);
    spec.output_dir = S(output_dir);
    return spec;
}

static void check(hf_spec *spec) {
    errors.count = warnings.count = 0;
    hf_intake_check(spec, &arena, &errors, &warnings);
}

static void expect_good(hf_spec *spec) {
    check(spec);
    if (errors.count)
        fail_msg("%.*s", HF_STR_ARG(errors.text[0]));
}

static bool mentioned(const hf_intake_errors *list, const char *text) {
    for (uint32_t i = 0; i < list->count && i < HF_MAX_ERRORS; i++)
        if (memmem(list->text[i].p, list->text[i].len, text, strlen(text)))
            return true;
    return false;
}

/* Exactly one error, which says all of `mentions`. */
static void expect_error(hf_spec spec, const char *mentions) {
    check(&spec);
    if (errors.count != 1 || !mentioned(&errors, mentions))
        fail_msg("%u errors, the first \"%.*s\", instead of \"%s\"", errors.count, HF_STR_ARG(errors.text[0]),
                 mentions);
}

static void provider_follows_from_the_text(void **state) {
    (void)state;
    static const char *const images[] = {"file:///x", "/a/b.raw", "/a/b.img", "/a/b.QCOW2", "b.vmdk",
                                         "/b.vdi",    "/b.Vhd",   "/b.vhdx",  "/b.ova",     "/b.ovf"};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        assert_str(hf_intake_provider_of(S(images[i])), "local");
    static const char *const others[] = {"/dc/vm/web-01", "", "/a/raw", "/a/b.raw.gz", "https://x/y"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_str(hf_intake_provider_of(S(others[i])), "vsphere");
}

static void what_was_left_out_is_filled_in(void **state) {
    (void)state;
    hf_spec spec = spec_of("/images/web-01.tar.qcow2", "/out");
    expect_good(&spec);
    assert_str(spec.operation, "export");
    assert_str(spec.provider, "local");
    assert_str(spec.format, "ova");
    assert_str(spec.name, "web-01.tar");
    assert_int_equal(spec.policy.retry_count, 2);
    spec = spec_of("/dc/vm/web.01/", "/out");
    expect_good(&spec);
    assert_str(spec.provider, "vsphere");
    assert_str(spec.name, "web.01");
    hf_disk disk = {.path = HF_STR("/i/disk")};
    spec = spec_of("", "/out");
    spec.disks = (hf_list){&disk, 1};
    spec.operation = S("convert");
    expect_good(&spec);
    assert_str(spec.provider, "local");
    assert_str(spec.vm_path, "/i/disk");
    assert_str(spec.format, "qcow2");
    spec = spec_of("/x.raw", "/out");
    spec.format = S("OVF");
    spec.options.create_ova = true;
    expect_good(&spec);
    assert_str(spec.format, "ova");
    spec = spec_of("", "");
    spec.operation = S("sleep");
    expect_good(&spec);
    assert_str(spec.name, "sleep");
    spec = spec_of("/exports/web-01", "/out"); /* a directory with a descriptor */
    spec.operation = S("ova-create");
    expect_good(&spec);
    assert_str(spec.provider, "local");
    assert_str(spec.format, "ova");
    spec = spec_of("/exports/web-01.ova", "/out");
    spec.operation = S("ova-extract");
    expect_good(&spec);
    assert_str(spec.format, "vmdk");
    assert_str(spec.name, "web-01");
}

static void each_rule_has_its_error(void **state) {
    (void)state;
    hf_spec s;
#define WITH(change_, mentions_)                                                                                       \
    s = spec_of("/i/a.raw", "/out");                                                                                   \
    change_;                                                                                                           \
    expect_error(s, mentions_)
    WITH(s.vm_path = HF_STR_NONE, "vm_path: required for operation export");
    WITH(s.output_dir = HF_STR_NONE, "output_dir: required for operation export");
    WITH(s.vm_path = S("i/a.raw"), "vm_path: must be an absolute path");
    WITH(s.vm_path = S("file://host/a.raw"), "vm_path: must be an absolute path");
    WITH(s.output_dir = S("out"), "output_dir: must be an absolute path");
    WITH(s.operation = S("Export!"), "operation: \"Export!\" is no name");
    WITH(s.operation = S("9lives"), "operation: ");
    WITH(s.format = S("iso"), "format: \"iso\" is not one of: ova ovf vmdk vmdk-sparse qcow2 raw vdi vhd vhdx");
    WITH(s.format = S("vmdk-"), "format: \"vmdk-\" is not one of");
    WITH(s.format = S("ova ovf"), "format: ");
    WITH((s.operation = S("ova-extract"), s.format = S("ova")), "format: \"ova\" is not one of: vmdk raw qcow2");
    WITH((s.operation = S("ova-extract"), s.output_dir = HF_STR_NONE),
         "output_dir: required for operation ova-extract");
    WITH((s.operation = S("ova-validate"), s.vm_path = HF_STR_NONE), "vm_path: required for operation ova-validate");
    WITH((s.operation = S("fs_repair"), s.output_dir = HF_STR_NONE), "output_dir: required for operation fs_repair");
    WITH((s.operation = S("fs_repair"), s.parameters = S("{\"in_place\":true}")), "output_dir: in_place changes");
    WITH((s.operation = S("lvm_repair"), s.parameters = S("{\"dry_run\":1}")), "parameters.dry_run: must be true");
    WITH((s.operation = S("lvm_repair"), s.provider = S("vsphere")), "provider: lvm_repair works on disk images");
    WITH((s.operation = S("fs_repair"), s.format = S("iso")), "format: \"iso\" is not one of:");
    WITH(s.provider = S("my cloud"), "provider: \"my cloud\"");
    WITH(s.endpoint = S("../x"), "endpoint: ");
    WITH(s.policy.retry_count = 6, "execution_policy.retry_count: 6 is out of range; give 0 to 5");
    WITH(s.policy.retry_count = -1, "execution_policy.retry_count: -1");
    WITH(s.policy.timeout_seconds = 59, "execution_policy.timeout_seconds: 59 is out of range; give 60 to 86400");
    WITH(s.policy.timeout_seconds = 86401, "execution_policy.timeout_seconds: 86401");
    WITH(s.policy.priority = 0, "execution_policy.priority: 0 is out of range; give 1 to 10");
    WITH(s.policy.priority = 11, "execution_policy.priority: 11");
    WITH(s.options.parallel_downloads = 65, "options.parallel_downloads: 65");
    WITH(s.options.compress_level = 13, "options.compress_level: 13");
    WITH(s.options.codec = S("lzma"), "options.codec: \"lzma\" is not one of: fast balanced small");
    WITH(s.options.manifest = S("md5"), "options.manifest: \"md5\" is not one of: sha256");
    WITH(s.options.bandwidth_limit = -1, "options.bandwidth_limit: ");
    WITH(s.needs.min_memory_gb = -1, "capability_requirements.min_memory_gb: ");
    WITH(s.needs.min_disk_space_gb = 0.0 / 0.0, "capability_requirements.min_disk_space_gb: ");
    WITH(s.parameters = S("[1]"), "parameters: must be a JSON object");
    WITH(s.metadata = S("{\"a\":1,\"a\":2}"), "metadata: must be a JSON object");
    WITH(s.parameters = S("{\"db\":{\"password\":\"x\"}}"), "parameters.db.password: looks like a secret");
    WITH(s.audit.ticket = S("https://u:p@h"), "audit.ticket: looks like a secret");
    WITH(s.name = S("a\x01"), "name: has a control character");
    WITH(s.name = S("a\x7f"), "name: has a control character");
    WITH(s.name = S("a\xc2\x85"), "name: has a control character");
    WITH(s.name = HF_STR("a\0b"), "name: has a control character");
    WITH(s.name = S("\xff"), "name: is not UTF-8");
    WITH(s.name = S("\xc0\xaf"), "name: is not UTF-8");
    WITH(s.name = S("\xed\xa0\x80"), "name: is not UTF-8");
    WITH(s.name = S("\xe2\x82"), "name: is not UTF-8");
    WITH(s.name = S("\xf4\x90\x80\x80"), "name: is not UTF-8");
    s = spec_of("/i/a.raw", "/out");
    s.operation = S("fs_repair");
    s.output_dir = HF_STR_NONE;
    s.parameters = S("{\"dry_run\":true}");
    expect_good(&s);
    assert_int_equal(s.format.len, 0); /* the source's */
    s = spec_of("/i/a.raw", "/out");
    s.name = S("Büro ☃ 𝄞");
    expect_good(&s);
}

static void disks_are_judged_one_by_one(void **state) {
    (void)state;
    hf_disk disks[HF_MAX_DISKS + 1];
    for (size_t i = 0; i < HF_ARRAY_LEN(disks); i++)
        disks[i] = (hf_disk){.path = HF_STR("/i/a.raw")};
    hf_spec s = spec_of("", "/out");
    s.disks = (hf_list){disks, HF_MAX_DISKS};
    expect_good(&s);
    s = spec_of("/a", "/out");
    s.disks = (hf_list){disks, HF_MAX_DISKS + 1};
    expect_error(s, "disks: has 65 elements, the limit is 64");
    s.disks.count = 2;
    disks[1].path = S("rel");
    expect_error(s, "disks[1].path: must be an absolute path");
    disks[1].path = S("/a\n");
    expect_error(s, "disks[1].path: has a control character");
    disks[1] = (hf_disk){.path = HF_STR("/a"), .format = HF_STR("zip")};
    expect_error(s, "disks[1].format: \"zip\" is not one of: qcow2");
    disks[1] = (hf_disk){.path = HF_STR("/a"), .size_bytes = -1};
    expect_error(s, "disks[1].size_bytes: ");
    disks[1].size_bytes = 0;
    s.provider = S("vsphere");
    expect_error(s, "disks: only for provider local");
}

static void bounds_of_texts_and_lists(void **state) {
    (void)state;
    static char long_text[HF_MAX_JSON + 100];
    memset(long_text, 'x', sizeof long_text - 1);
    hf_spec s = spec_of("/i/a.raw", "/out");
    s.name = (hf_str){long_text, HF_MAX_TEXT + 1};
    expect_error(s, "name: has 1025 bytes, the limit is 1024");
    s = spec_of("/i/a.raw", "/out");
    s.metadata = (hf_str){long_text, HF_MAX_JSON + 1};
    expect_error(s, "metadata: has 65537 bytes");
    hf_str tags[HF_MAX_TAGS + 1];
    for (size_t i = 0; i < HF_ARRAY_LEN(tags); i++)
        tags[i] = S("t");
    s = spec_of("/i/a.raw", "/out");
    s.audit.tags = (hf_list){tags, HF_MAX_TAGS + 1};
    expect_error(s, "audit.tags: has 65 elements, the limit is 64");
    hf_disk disks[HF_MAX_DISKS];
    for (size_t i = 0; i < HF_ARRAY_LEN(disks); i++)
        disks[i] = (hf_disk){.path = {long_text, HF_MAX_PATH}};
    long_text[0] = '/';
    s = spec_of("/a", "/out");
    s.disks = (hf_list){disks, HF_MAX_DISKS};
    expect_error(s, "the job: has");
}

static void nothing_is_asked_of_operations_that_are_not_known(void **state) {
    (void)state;
    hf_spec s = spec_of("", "");
    s.operation = S("my-own.op_2");
    s.format = S("whatever");
    expect_good(&s);
    s = spec_of("/i/a.raw", "");
    s.operation = S("inspect");
    expect_good(&s);
    s = spec_of("", "");
    s.operation = S("inspect");
    expect_error(s, "vm_path: required for operation inspect");
    s = spec_of("/i/a.raw", "/out");
    s.operation = S("convert");
    s.format = S("vhdx");
    expect_good(&s);
}

static void options_nothing_acts_on_are_warned_of(void **state) {
    (void)state;
    hf_str names[] = {HF_STR("thin"), HF_STR("libvirt_define")};
    hf_spec s = spec_of("/i/a.raw", "/out");
    s.options.unsupported = (hf_list){names, 2};
    s.format = S("qcow2");
    s.options.create_ova = true;
    expect_good(&s);
    assert_int_equal(warnings.count, 3);
    assert_true(mentioned(&warnings, "thin: not supported"));
    assert_true(mentioned(&warnings, "libvirt_define: not supported"));
    assert_true(mentioned(&warnings, "options.create_ova: not acted on"));
}

/* ---- the proposal ------------------------------------------------------------------------------------- */
static hf_record propose(hf_submission *submission, hf_intake_errors *found) {
    hf_record record;
    hf_err err = {0};
    assert_int_equal(
        hf_intake(submission, S("job-1"), S("submissions/0/7"), S("d1"), 1234, &arena, &record, found, &err), HF_OK);
    return record;
}

static void a_sound_job_becomes_created_validated_queued(void **state) {
    (void)state;
    hf_str names[] = {HF_STR("thin")};
    hf_submission submission = {.spec = spec_of("/i/a.raw", "/out")};
    submission.spec.options.unsupported = (hf_list){names, 1};
    hf_record r = propose(&submission, NULL);
    assert_int_equal(r.transitions.count, 3);
    assert_int_equal(hf_record_event(&r, 0), HF_EV_CREATED);
    assert_int_equal(hf_record_event(&r, 1), HF_EV_VALIDATED);
    assert_int_equal(hf_record_event(&r, 2), HF_EV_QUEUED);
    const hf_ev_created *c = HF_LIST_AT(r.transitions, hf_variant, 0)->record;
    assert_str(c->submission, "submissions/0/7");
    assert_str(c->spec.format, "ova");
    const hf_ev_validated *v = HF_LIST_AT(r.transitions, hf_variant, 1)->record;
    assert_int_equal(v->warnings.count, 1);
    assert_int_equal(r.at, 1234);
    assert_str(r.by, "d1");
    hf_job job;
    assert_int_equal(hf_fold(NULL, &r, (hf_position){0, 1}, &job, NULL), HF_V_ACCEPTED);
    assert_int_equal(job.state, HF_S_QUEUED);
}

static void an_unsound_job_becomes_created_rejected_with_every_error(void **state) {
    (void)state;
    hf_submission submission = {.spec = spec_of("", "out")};
    submission.spec.policy.priority = 77;
    submission.spec.parameters = S("{\"password\":\"hunter2\"}");
    submission.spec.name = S("\xff\xfe");
    hf_intake_errors found;
    hf_record r = propose(&submission, &found);
    assert_int_equal(found.count, 5);
    assert_int_equal(r.transitions.count, 2);
    const hf_ev_rejected *e = HF_LIST_AT(r.transitions, hf_variant, 1)->record;
    assert_int_equal(e->errors.count, 5);
    assert_str(e->error.code, "invalid");
    assert_str(e->error.phase, "validate");
    assert_true(hf_str_ends(e->error.message, HF_STR(" (and 4 more)")));
    const hf_ev_created *c = HF_LIST_AT(r.transitions, hf_variant, 0)->record;
    assert_int_equal(c->spec.parameters.len, 0); /* refused, and not stored */
    assert_int_equal(c->spec.name.len, 0);
    hf_job job;
    assert_int_equal(hf_fold(NULL, &r, (hf_position){0, 1}, &job, NULL), HF_V_ACCEPTED);
    assert_int_equal(job.state, HF_S_FAILED);
}

static void errors_beyond_the_bound_are_counted(void **state) {
    (void)state;
    hf_disk disks[HF_MAX_DISKS];
    for (size_t i = 0; i < HF_ARRAY_LEN(disks); i++)
        disks[i] = (hf_disk){.path = HF_STR("rel"), .size_bytes = -1};
    hf_submission submission = {.spec = spec_of("", "/out")};
    submission.spec.disks = (hf_list){disks, HF_MAX_DISKS};
    hf_intake_errors found;
    hf_record r = propose(&submission, &found);
    assert_int_equal(found.count, 2 * HF_MAX_DISKS);
    const hf_ev_rejected *e = HF_LIST_AT(r.transitions, hf_variant, 1)->record;
    assert_int_equal(e->errors.count, HF_MAX_ERRORS);
    assert_true(hf_str_ends(e->error.message, HF_STR(" (and 127 more)")));
}

static void ids_that_are_none_and_missing_memory_fail(void **state) {
    (void)state;
    hf_submission submission = {.spec = spec_of("", "")};
    hf_record record;
    hf_err err = {0};
    assert_int_equal(hf_intake(&submission, S("a/b"), S(""), S("d"), 1, &arena, &record, NULL, &err), HF_E_INVALID);
    int failures = 0;
    for (size_t room = 0; room < 64 * 1024; room += 256) {
        hf_arena small;
        hf_arena_init(&small, room);
        submission.spec = spec_of("/I/A.RAW", "out");
        submission.spec.format = S("ISO");
        hf_code code = hf_intake(&submission, S("j"), S(""), S("d"), 1, &small, &record, NULL, &err);
        assert_true(code == HF_OK || code == HF_E_NO_MEMORY);
        if (code == HF_OK)
            assert_int_equal(record.transitions.count, 2);
        failures += code != HF_OK;
        hf_arena_done(&small);
    }
    assert_true(failures > 3 && failures < 250);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(provider_follows_from_the_text),
        TEST(what_was_left_out_is_filled_in),
        TEST(each_rule_has_its_error),
        TEST(disks_are_judged_one_by_one),
        TEST(bounds_of_texts_and_lists),
        TEST(nothing_is_asked_of_operations_that_are_not_known),
        TEST(options_nothing_acts_on_are_warned_of),
        TEST(a_sound_job_becomes_created_validated_queued),
        TEST(an_unsound_job_becomes_created_rejected_with_every_error),
        TEST(errors_beyond_the_bound_are_counted),
        TEST(ids_that_are_none_and_missing_memory_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
