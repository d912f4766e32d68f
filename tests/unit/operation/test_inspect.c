/* inspect tells formats, sizes, partitions and file systems; a job's report is a file too. run-job's function prints one document. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#include "rig.h"

#include "consumer/operation/direct.h"
#include "consumer/pipeline/bytes.h"
#include "schemas/event/json.h"

static json_t *inspect(rig *r, const char *image) {
    hf_spec spec = rig_spec(r, "inspect", image, "");
    spec.output_dir = HF_STR_NONE;
    hf_code rc = rig_run(r, "look", 1, &spec);
    if (rc != HF_OK)
        fail_msg("%s", r->err.detail);
    json_t *report = hf_json_parse(r->result.report, HF_MAX_JSON, NULL);
    assert_non_null(report);
    json_t *disk = json_incref(json_array_get(json_object_get(report, "disks"), 0));
    json_decref(report);
    assert_non_null(disk);
    return disk;
}

static const char *text(const json_t *o, const char *key) {
    const char *z = json_string_value(json_object_get(o, key));
    return z ? z : "";
}
static json_int_t number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }

static void put(rig *r, const char *name, int64_t at, const void *bytes, size_t len) {
    hf_auto_fd int fd = open(rig_path(r, "in/%s", name), O_RDWR | O_CREAT, 0644);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
}

static void partition_tables_and_file_systems(void **state) {
    (void)state;
    rig r;
    uint8_t sector[512] = {0}, entry[128] = {0};
    rig_open(&r);
    assert_int_equal(rig_sh(&r, "truncate -s 64M in/mbr.raw in/gpt.raw in/bad.raw"), 0);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector[446 + 4] = 0x83;
    hf_put_le32(sector + 446 + 8, 2048);
    hf_put_le32(sector + 446 + 12, 4096);
    put(&r, "mbr.raw", 0, sector, 512);
    put(&r, "mbr.raw", 2048 * 512 + 1024 + 56, "\x53\xef", 2);
    json_t *disk = inspect(&r, "mbr.raw");
    assert_string_equal(text(disk, "partition_table"), "mbr");
    const json_t *part = json_array_get(json_object_get(disk, "partitions"), 0);
    assert_int_equal(number(part, "start"), 1 << 20);
    assert_int_equal(number(part, "size_bytes"), 2 << 20);
    assert_string_equal(text(part, "filesystem"), "ext2");
    assert_string_equal(text(part, "type_name"), "Linux");
    assert_int_equal(number(disk, "virtual_bytes"), 64 << 20);
    json_decref(disk);

    memset(sector, 0, sizeof sector);
    memcpy(sector, "EFI PART", 8);
    hf_put_le64(sector + 72, 2);
    hf_put_le32(sector + 80, 128);
    hf_put_le32(sector + 84, 128);
    put(&r, "gpt.raw", 512, sector, 512);
    static const uint8_t linux_data[16] = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                           0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4};
    memcpy(entry, linux_data, 16);
    hf_put_le64(entry + 32, 2048);
    hf_put_le64(entry + 40, 4095);
    put(&r, "gpt.raw", 1024 + 128, entry, sizeof entry);
    disk = inspect(&r, "gpt.raw");
    assert_string_equal(text(disk, "partition_table"), "gpt");
    part = json_array_get(json_object_get(disk, "partitions"), 0);
    assert_int_equal(number(part, "number"), 2);
    assert_string_equal(text(part, "type"), "0fc63daf-8483-4772-8e79-3d69d8477de4");
    const json_t *gpt = json_object_get(disk, "gpt"); /* no checksums, no backup, no protective MBR */
    assert_string_equal(text(gpt, "primary"), "the header's checksum is wrong");
    assert_string_equal(text(gpt, "backup"), "missing");
    assert_int_equal(json_array_size(json_object_get(disk, "problems")), 3);
    json_decref(disk);

    hf_put_le64(sector + 72, UINT64_MAX - 1); /* a table that points out of every disk */
    hf_put_le32(sector + 80, UINT32_MAX);
    put(&r, "bad.raw", 512, sector, 512);
    disk = inspect(&r, "bad.raw");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 0);
    json_decref(disk);
    hf_put_le64(sector + 72, 2); /* entries that lie about where they are */
    memset(entry + 32, 0xff, 16);
    put(&r, "bad.raw", 512, sector, 512);
    put(&r, "bad.raw", 1024, entry, sizeof entry);
    disk = inspect(&r, "bad.raw");
    assert_string_equal(text(disk, "partition_table"), "gpt");
    json_decref(disk);
    rig_close(&r);
}

static void formats_and_sizes(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img") || !rig_have("qemu-nbd"))
        skip();
    rig_open(&r);
    assert_int_equal(
        rig_sh(
            &r,
            "head -c 200000 /dev/urandom >in/a.raw && truncate -s 10M in/a.raw && qemu-img convert -O qcow2 in/a.raw in/a.qcow2 && qemu-img convert -O vmdk -o subformat=streamOptimized in/a.raw in/a.vmdk"),
        0);
    json_t *disk = inspect(&r, "a.qcow2");
    assert_string_equal(text(disk, "format"), "qcow2");
    assert_int_equal(number(disk, "virtual_bytes"), 10 << 20);
    assert_true(number(disk, "allocated_bytes") >= 200000 && number(disk, "allocated_bytes") < 1 << 20);
    json_decref(disk);
    disk = inspect(&r, "a.vmdk");
    assert_string_equal(text(disk, "variant"), "streamOptimized");
    json_decref(disk);
    hf_spec spec = rig_spec(&r, "inspect", "a.raw", ""); /* with an output_dir: a file as well */
    assert_int_equal(rig_run(&r, "look", 1, &spec), HF_OK);
    assert_int_equal(r.result.artifacts.count, 1);
    assert_int_equal(rig_sh(&r, "python3 -c 'import json; json.load(open(\"out/a.inspect.json\"))'"), 0);
    spec.vm_path = hf_str_of(rig_path(&r, "in/none.raw"));
    assert_int_equal(rig_run(&r, "look", 1, &spec), HF_E_NOT_FOUND);
    rig_close(&r);
}

static void sleep_sleeps_fails_and_is_cancelled(void **state) {
    (void)state;
    rig r;
    hf_err err;
    rig_open(&r);
    hf_spec spec = rig_spec(&r, "sleep", NULL, "");
    spec.parameters = HF_STR("{\"ms\": 30, \"steps\": 3}");
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_OK);
    assert_int_equal(r.reports, 3);
    assert_true(r.result.duration_ms >= 30);
    spec.parameters = HF_STR("{\"ms\": 1, \"fail\": \"as asked\"}");
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_E_TOOL_FAILED);
    assert_string_equal(r.err.detail, "as asked");
    spec.parameters = HF_STR("{\"ms\": -1}");
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_E_INVALID);
    spec.parameters = HF_STR("[1]");
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_E_INVALID);
    atomic_store(&r.cancel, true);
    spec.parameters = HF_STR("{\"ms\": 60000}");
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_E_CANCELLED);
    assert_int_equal(hf_config_set(r.config, "worker.sleep_operation=false", &err), HF_OK);
    assert_int_equal(rig_run(&r, "nap", 1, &spec), HF_E_OPERATION_UNKNOWN);
    rig_close(&r);
}

/* Runs the spec as `run-job` does, with stdout in a file. */
static int run_direct(rig *r, const hf_spec *spec, const char *out) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(rig_path(r, "%s", out), "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(99);
        int status = hf_operation_run_direct(HF_STR("direct-1"), 1, spec, r->config, &r->roots, 2);
        fflush(NULL);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_job_without_kafka(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    rig_image(&r, "base.raw", 3 << 20, 1);
    hf_spec spec = rig_spec(&r, "export", "base.raw", "ova");
    assert_int_equal(run_direct(&r, &spec, "ok.json"), 0);
    assert_int_equal(
        rig_sh(
            &r,
            "python3 -c 'import json; d = json.load(open(\"ok.json\")); assert d[\"artifacts\"][0][\"kind\"] == \"ova\"' && tar -tf out/base.ova >/dev/null"),
        0);
    spec.vm_path = HF_STR("/etc/passwd");
    assert_int_equal(run_direct(&r, &spec, "bad.json"), hf_code_exit_status(HF_E_OUTSIDE_ROOT));
    assert_int_equal(
        rig_sh(
            &r,
            "python3 -c 'import json; d = json.load(open(\"bad.json\")); assert d[\"error\"][\"code\"] == \"outside-root\"'"),
        0);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partition_tables_and_file_systems), cmocka_unit_test(formats_and_sizes),
        cmocka_unit_test(sleep_sleeps_fails_and_is_cancelled), cmocka_unit_test(a_job_without_kafka)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
