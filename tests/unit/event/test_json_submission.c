/* The shapes of a submission: each accepted one gives the same specification, each refused one says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "schemas/base/arena.h"
#include "schemas/event/json.h"
#include "schemas/event/json_submission.h"

static hf_arena arena;

static int setup(void **state) {
    (void)state;
    hf_arena_init(&arena, 4 << 20);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    hf_arena_done(&arena);
    return 0;
}

static hf_code read_text(const char *text, hf_submission *ret, hf_err *err) {
    json_t *json = hf_json_parse(hf_str_of(text), HF_MAX_SUBMISSION, err);
    if (!json)
        return err->code;
    hf_code code = hf_submission_from_json(json, &arena, ret, err);
    json_decref(json);
    return code;
}

static hf_submission good(const char *text) {
    hf_submission s;
    hf_err err = {0};
    if (read_text(text, &s, &err) != HF_OK)
        fail_msg("%s: %s", text, err.detail);
    return s;
}

static void bad(const char *text, hf_code code, const char *mentions) {
    hf_submission s;
    hf_err err = {0};
    hf_code got = read_text(text, &s, &err);
    if (got != code)
        fail_msg("%s: %s, not %s (%s)", text, hf_code_name(got), hf_code_name(code), err.detail);
    if (!strstr(err.detail, mentions))
        fail_msg("%s: \"%s\" does not mention \"%s\"", text, err.detail, mentions);
    assert_null(strstr(err.detail, "hunter2"));
}

#define assert_str(str_, z_) assert_true(hf_str_eqz(str_, z_))

static void own_shape(void **state) {
    (void)state;
    hf_submission s = good(
        "{\"job_id\":\"j-1\",\"name\":\"web\",\"operation\":\"export\",\"vm_path\":\"/i/web.qcow2\",\"output_dir\":\"/out\","
        "\"format\":\"ova\",\"provider\":\"local\",\"endpoint\":\"vc1\",\"disks\":[\"/i/a.raw\",{\"path\":\"/i/b\",\"format\":"
        "\"vmdk\",\"checksum\":\"sha256:00\",\"size_bytes\":5}],\"options\":{\"compress\":false,\"codec\":\"fast\","
        "\"bandwidth_limit\":\"50MiB\",\"parallel_downloads\":3},\"priority\":2,\"retry_count\":1,\"timeout_seconds\":600,"
        "\"idempotent\":false,\"tags\":[\"a\",\"b\"],\"requested_by\":\"ann\",\"ticket\":\"T-1\",\"parameters\":{\"x\":1},"
        "\"metadata\":{\"y\":[true]}}");
    assert_str(s.job_id, "j-1");
    assert_str(s.spec.name, "web");
    assert_str(s.spec.operation, "export");
    assert_str(s.spec.vm_path, "/i/web.qcow2");
    assert_str(s.spec.output_dir, "/out");
    assert_str(s.spec.format, "ova");
    assert_str(s.spec.provider, "local");
    assert_str(s.spec.endpoint, "vc1");
    assert_int_equal(s.spec.disks.count, 2);
    assert_str(HF_LIST_AT(s.spec.disks, hf_disk, 0)->path, "/i/a.raw");
    assert_str(HF_LIST_AT(s.spec.disks, hf_disk, 1)->format, "vmdk");
    assert_int_equal(HF_LIST_AT(s.spec.disks, hf_disk, 1)->size_bytes, 5);
    assert_false(s.spec.options.compress);
    assert_str(s.spec.options.codec, "fast");
    assert_int_equal(s.spec.options.bandwidth_limit, 50 << 20);
    assert_int_equal(s.spec.options.parallel_downloads, 3);
    assert_int_equal(s.spec.policy.priority, 2);
    assert_int_equal(s.spec.policy.retry_count, 1);
    assert_int_equal(s.spec.policy.timeout_seconds, 600);
    assert_false(s.spec.policy.idempotent);
    assert_int_equal(s.spec.audit.tags.count, 2);
    assert_str(*HF_LIST_AT(s.spec.audit.tags, hf_str, 1), "b");
    assert_str(s.spec.audit.requested_by, "ann");
    assert_str(s.spec.audit.ticket, "T-1");
    assert_str(s.spec.parameters, "{\"x\":1}");
    assert_str(s.spec.metadata, "{\"y\":[true]}");
    assert_int_equal(s.spec.options.unsupported.count, 0);
}

static void what_is_left_out_has_its_default(void **state) {
    (void)state;
    hf_submission s = good("{\"vm_path\":\"/dc/vm/web-01\",\"job_id\":\"\",\"format\":null}");
    assert_int_equal(s.job_id.len, 0);
    assert_int_equal(s.spec.format.len, 0);
    assert_int_equal(s.spec.policy.retry_count, 2);
    assert_int_equal(s.spec.policy.priority, HF_PRIORITY_DEFAULT);
    assert_int_equal(s.spec.policy.timeout_seconds, HF_TIMEOUT_MAX_S);
    assert_true(s.spec.policy.idempotent);
    assert_true(s.spec.options.compress);
}

static void hypersdk_definition(void **state) {
    (void)state;
    hf_submission s = good(
        "{\"id\":\"j-2\",\"name\":\"web\",\"vm_path\":\"/data/vm/web-01\",\"output_path\":\"/exports\",\"compress\":true,"
        "\"thin\":true,\"export_method\":\"govc\",\"method\":\"\",\"insecure\":false,\"datacenter\":\"dc1\",\"vcenter_url\":\"\","
        "\"vcenter\":{},\"username\":\"\",\"password\":\"\",\"created_at\":\"0001-01-01T00:00:00Z\",\"metadata\":null,"
        "\"options\":{\"parallel_downloads\":4,\"remove_cdrom\":true,\"show_individual_progress\":true,\"create_ova\":true,"
        "\"compress_level\":6,\"pipeline_verify\":true,\"libvirt_define\":false}}");
    assert_str(s.job_id, "j-2");
    assert_str(s.spec.output_dir, "/exports");
    assert_int_equal(s.submitted_at, 0);
    assert_true(s.spec.options.remove_cdrom);
    assert_true(s.spec.options.create_ova);
    assert_int_equal(s.spec.options.compress_level, 6);
    static const char *const names[] = {"show_individual_progress", "pipeline_verify", "thin", "export_method",
                                        "datacenter"};
    assert_int_equal(s.spec.options.unsupported.count, 5);
    for (size_t i = 0; i < 5; i++) {
        bool found = false;
        for (uint32_t k = 0; k < 5; k++)
            found |= hf_str_eqz(*HF_LIST_AT(s.spec.options.unsupported, hf_str, k), names[i]);
        assert_true(found);
    }
}

static void worker_protocol_v1(void **state) {
    (void)state;
    hf_submission s = good(
        "{\"version\":\"1.0\",\"job_id\":\"j-3\",\"created_at\":\"2026-01-17T10:30:00.250000\",\"operation\":\"convert\","
        "\"image\":{\"path\":\"/i/web.vmdk\",\"format\":\"vmdk\",\"checksum\":null,\"size_bytes\":1024},"
        "\"requested_actions\":[\"fix\"],\"capability_requirements\":{\"needs_nbd\":true,\"min_memory_gb\":2,"
        "\"min_disk_space_gb\":null},\"execution_policy\":{\"retry_count\":3,\"timeout_seconds\":3600,\"idempotent\":true,"
        "\"priority\":1},\"artifacts\":{\"log_upload\":true,\"store_fixed_image\":true,\"output_path\":\"/out\","
        "\"keep_intermediates\":false},\"audit\":{\"requested_by\":\"bob\",\"ticket\":null,\"tags\":[\"x\"]},\"parameters\":{}}");
    assert_str(s.spec.operation, "convert");
    assert_int_equal(s.submitted_at, 1768645800250);
    assert_int_equal(s.spec.disks.count, 1);
    assert_str(HF_LIST_AT(s.spec.disks, hf_disk, 0)->path, "/i/web.vmdk");
    assert_str(HF_LIST_AT(s.spec.disks, hf_disk, 0)->format, "vmdk");
    assert_str(s.spec.output_dir, "/out");
    assert_true(s.spec.needs.nbd);
    assert_true(s.spec.needs.min_memory_gb == 2.0);
    assert_int_equal(s.spec.policy.retry_count, 3);
    assert_int_equal(s.spec.policy.priority, 1);
    assert_true(s.spec.artifacts.log_upload);
    assert_str(s.spec.audit.requested_by, "bob");
    assert_int_equal(s.spec.options.unsupported.count, 0);
}

static void unknown_members_of_groups_are_named(void **state) {
    (void)state;
    hf_submission s =
        good("{\"vm_path\":\"/a\",\"execution_policy\":{\"backoff\":3},\"colour\":\"red\",\"quiet\":false}");
    assert_int_equal(s.spec.options.unsupported.count, 2);
    assert_str(*HF_LIST_AT(s.spec.options.unsupported, hf_str, 0), "execution_policy.backoff");
    assert_str(*HF_LIST_AT(s.spec.options.unsupported, hf_str, 1), "colour");
}

static void secrets_are_refused_wherever_they_are(void **state) {
    (void)state;
    bad("{\"vm_path\":\"/a\",\"password\":\"hunter2\"}", HF_E_SECRET, "password:");
    bad("{\"vm_path\":\"/a\",\"vcenter\":{\"server\":\"s\",\"Password\":\"hunter2\"}}", HF_E_SECRET,
        "vcenter.Password:");
    bad("{\"vm_path\":\"/a\",\"parameters\":{\"a\":[{\"guest_passwd\":\"hunter2\"}]}}", HF_E_SECRET,
        "parameters.a[0].guest_passwd");
    bad("{\"vm_path\":\"/a\",\"metadata\":{\"API-Key\":\"hunter2\"}}", HF_E_SECRET, "metadata.API-Key");
    bad("{\"vm_path\":\"/a\",\"metadata\":{\"token\":12345}}", HF_E_SECRET, "metadata.token");
    bad("{\"vm_path\":\"/a\",\"credentials\":{\"user\":\"u\"}}", HF_E_SECRET, "credentials:");
    bad("{\"vm_path\":\"/a\",\"options\":{\"Authorization\":\"Bearer hunter2\"}}", HF_E_SECRET,
        "options.Authorization");
    bad("{\"vm_path\":\"https://root:hunter2@vc.example/sdk\"}", HF_E_SECRET, "vm_path:");
    bad("{\"vm_path\":\"/a\",\"audit\":{\"ticket\":\"see https://u:hunter2@x\"}}", HF_E_SECRET, "audit.ticket:");
    bad("{\"vm_path\":\"/a\",\"parameters\":{\"k\":\"-----BEGIN RSA PRIVATE KEY-----hunter2\"}}", HF_E_SECRET,
        "parameters.k:");
    bad("{\"vm_path\":\"/a\",\"https://u:hunter2@x\":1}", HF_E_SECRET, "the job:");
    good("{\"vm_path\":\"/a\",\"password\":\"\",\"parameters\":{\"token\":null,\"credentials\":{\"user\":\"\"}}}");
    good("{\"vm_path\":\"/a\",\"metadata\":{\"url\":\"https://host:8080/x@y\",\"tokens_used\":3,\"has_token\":true}}");
}

static void errors_name_the_member(void **state) {
    (void)state;
    bad("[]", HF_E_INVALID, "JSON object");
    bad("{\"name\":5}", HF_E_INVALID, "name: must be a string");
    bad("{\"job_id\":\"../x\"}", HF_E_INVALID, "job_id:");
    bad("{\"job_id\":\"a\",\"id\":\"b\"}", HF_E_INVALID, "id: differs from job_id");
    bad("{\"output_dir\":\"/a\",\"output_path\":\"/b\"}", HF_E_INVALID, "output_path: differs from output_dir");
    good("{\"output_dir\":\"/a\",\"output_path\":\"/a\"}");
    bad("{\"output_dir\":\"/a\",\"artifacts\":{\"output_path\":\"/b\"}}", HF_E_INVALID,
        "artifacts.output_path: differs");
    bad("{\"version\":\"2.0\"}", HF_E_UNSUPPORTED, "version:");
    bad("{\"vcenter\":{\"server\":\"vc\"}}", HF_E_UNSUPPORTED, "endpoint");
    bad("{\"vcenter_url\":\"https://vc/sdk\"}", HF_E_UNSUPPORTED, "vcenter_url: ");
    bad("{\"priority\":\"high\"}", HF_E_INVALID, "priority: must be a whole number");
    bad("{\"priority\":5000000000}", HF_E_INVALID, "priority: the number is out of range");
    bad("{\"execution_policy\":{\"priority\":1.5}}", HF_E_INVALID, "execution_policy.priority: must be a whole number");
    bad("{\"execution_policy\":[]}", HF_E_INVALID, "execution_policy: must be an object");
    bad("{\"capability_requirements\":{\"needs_nbd\":1}}", HF_E_INVALID,
        "capability_requirements.needs_nbd: must be true or false");
    bad("{\"capability_requirements\":{\"min_memory_gb\":\"2\"}}", HF_E_INVALID, "min_memory_gb: must be a number");
    bad("{\"options\":5}", HF_E_INVALID, "options: must be an object");
    bad("{\"options\":{\"codec\":5}}", HF_E_INVALID, "options.codec: must be a string");
    bad("{\"options\":{\"bandwidth_limit\":\"fast\"}}", HF_E_INVALID,
        "options.bandwidth_limit: must be bytes a second");
    bad("{\"disks\":\"/a\"}", HF_E_INVALID, "disks: must be a list");
    bad("{\"disks\":[5]}", HF_E_INVALID, "disks[0]: must be a path");
    bad("{\"disks\":[\"/a\",{\"path\":\"/b\",\"size_bytes\":\"x\"}]}", HF_E_INVALID,
        "disks[1].size_bytes: must be a whole number");
    bad("{\"disks\":[\"/a\"],\"image\":{\"path\":\"/b\"}}", HF_E_INVALID, "image: given besides disks");
    bad("{\"parameters\":[]}", HF_E_INVALID, "parameters: must be an object");
    bad("{\"metadata\":\"x\"}", HF_E_INVALID, "metadata: must be an object");
    bad("{\"tags\":[\"a\",5]}", HF_E_INVALID, "tags[1]: must be a string");
    bad("{\"created_at\":\"yesterday\"}", HF_E_INVALID, "created_at: must be a time");
}

static void bounds_are_kept(void **state) {
    (void)state;
    static char text[400000];
    snprintf(text, sizeof text, "{\"name\":\"%0*d\"}", HF_MAX_TEXT + 1, 0);
    bad(text, HF_E_LIMIT, "name: has 1025 bytes, the limit is 1024");
    snprintf(text, sizeof text, "{\"parameters\":{\"x\":\"%0*d\"}}", HF_MAX_JSON, 0);
    bad(text, HF_E_LIMIT, "parameters: has");
    snprintf(text, sizeof text, "{\"x\":\"%0*d\"}", HF_MAX_SUBMISSION, 0);
    bad(text, HF_E_LIMIT, "the JSON text has");
    char *p = text + sprintf(text, "{\"disks\":[\"/a\"");
    for (int i = 0; i < HF_MAX_DISKS; i++)
        p += sprintf(p, ",\"/a\"");
    sprintf(p, "]}");
    bad(text, HF_E_LIMIT, "disks: has 65 elements, the limit is 64");
    p = text + sprintf(text, "{\"vm_path\":\"/a\"");
    for (int i = 0; i <= HF_MAX_TAGS; i++)
        p += sprintf(p, ",\"unknown%d\":1", i);
    sprintf(p, "}");
    bad(text, HF_E_LIMIT, "more than 64 members");
    snprintf(text, sizeof text, "{\"%0*d\":1}", 129, 0);
    bad(text, HF_E_LIMIT, "the limit is 128");
}

static void byte_counts(void **state) {
    (void)state;
    int64_t n = 0;
    assert_true(hf_bytes_parse(HF_STR("1000"), &n) && n == 1000);
    assert_true(hf_bytes_parse(HF_STR("50MiB"), &n) && n == 50 << 20);
    assert_true(hf_bytes_parse(HF_STR("2 GB/s"), &n) && n == 2000000000);
    assert_true(hf_bytes_parse(HF_STR("8388607TiB"), &n) && n == 8388607LL << 40);
    assert_false(hf_bytes_parse(HF_STR("8388608TiB"), &n));
    assert_false(hf_bytes_parse(HF_STR("99999999999999999999"), &n));
    assert_false(hf_bytes_parse(HF_STR(""), &n));
    assert_false(hf_bytes_parse(HF_STR("MiB"), &n));
    assert_false(hf_bytes_parse(HF_STR("5M"), &n));
    assert_false(hf_bytes_parse(HF_STR("-5"), &n));
    assert_false(hf_bytes_parse(HF_STR("5 MiB x"), &n));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_out_has_its_default, setup, teardown),
        cmocka_unit_test_setup_teardown(hypersdk_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_protocol_v1, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_members_of_groups_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_are_refused_wherever_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_name_the_member, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(byte_counts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
