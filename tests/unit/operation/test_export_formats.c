/* What comes out is what went in: every input format to every output format, compared byte for byte by qemu-img; archives and
 * manifests checked by GNU tar and sha256sum, every format that has checks by qemu-img check. */
#include <stdio.h>

#include "consumer/pipeline/digest.h"
#include "rig.h"

static const struct {
    const char *name, *qemu, *options;
} inputs[] = {
    {"raw", "raw", ""},
    {"qcow2", "qcow2", ""},
    {"packed.qcow2", "qcow2", "-c"},
    {"vmdk", "vmdk", "-o subformat=streamOptimized"},
    {"sparse.vmdk", "vmdk", "-o subformat=monolithicSparse"},
    {"vdi", "vdi", ""},
    {"vhd", "vpc", "-o force_size=on"},
    {"vhdx", "vhdx", ""},
};

/* Where a codec has a say: each of them, and none. */
static const struct output {
    const char *format, *codec;
    bool compress;
} outputs[] = {
    {"ova", "", true},         {"ovf", "", true},       {"vmdk", "", true},   {"vmdk", "balanced", true},
    {"vmdk", "small", true},   {"vmdk", "", false},     {"qcow2", "", true},  {"qcow2", "balanced", true},
    {"qcow2", "small", true},  {"qcow2", "zlib", true}, {"qcow2", "", false}, {"raw", "", true},
    {"vmdk-sparse", "", true}, {"vdi", "", true},       {"vhd", "", true},    {"vhdx", "", true},
};

static bool checked_by_qemu(const char *qemu) { return strcmp(qemu, "vpc") != 0; /* a format without checks */ }

static hf_code try_one(rig *r, const char *job, const char *input, const struct output *o) {
    hf_spec spec = rig_spec(r, "export", input, o->format);
    spec.name = HF_STR("disk");
    spec.options.codec = hf_str_of(o->codec);
    spec.options.compress = o->compress;
    return rig_run(r, job, 1, &spec);
}

static const char *export_one(rig *r, const char *job, const char *input, const struct output *o,
                              const char **ret_qemu) {
    hf_code rc = try_one(r, job, input, o);
    if (rc != HF_OK)
        fail_msg("%s -> %s %s: %s: %s", input, o->format, o->codec, hf_code_name(rc), r->err.detail);
    return rig_unpack(r, o->format, ret_qemu);
}

/* The disk that the job made holds what in/base.raw does, in exactly as many bytes, and qemu-img finds no fault. */
static void expect_same(rig *r, const char *disk, const char *qemu, const char *base) {
    if (strcmp(qemu, "raw") == 0) {
        assert_int_equal(rig_sh(r, "cmp %s in/%s", disk, base), 0);
        return;
    }
    assert_int_equal(rig_sh(r, "qemu-img convert -f %s -O raw %s back.raw && cmp back.raw in/%s", qemu, disk, base), 0);
    if (checked_by_qemu(qemu))
        assert_int_equal(rig_sh(r, "qemu-img check -f %s %s >check.txt 2>&1 || { cat check.txt; false; }", qemu, disk),
                         0);
}

/* The first input's outputs are examined; of the others' it is seen that they hold the same disk. */
static void round_trip(rig *r, const char *input, const struct output *o, bool first) {
    char job[96];
    const char *qemu;
    snprintf(job, sizeof job, "job-%s-%s-%s", input, o->format, o->codec);
    const char *disk = export_one(r, job, input, o, &qemu);
    if (first) {
        rig_check_artifacts(r);
        expect_same(r, disk, qemu, "base.raw");
    } else {
        assert_int_equal(rig_sh(r, "qemu-img compare -q -f %s -F raw %s in/base.raw", qemu, disk), 0);
    }
    assert_int_equal(rig_sh(r, "rm -rf x back.raw out/*"), 0);
    assert_true(rig_out_empty(r));
}

static void every_input_to_every_output(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img") || !rig_have("qemu-nbd"))
        skip();
    rig_open(&r);
    rig_image(&r, "base.raw", 34 << 20, 1); /* two grain tables */
    for (size_t i = 0; i < HF_ARRAY_LEN(inputs); i++) {
        char name[64];
        snprintf(name, sizeof name, "disk%zu.%s", i, inputs[i].name);
        assert_int_equal(
            rig_sh(&r, "qemu-img convert -f raw -O %s %s in/base.raw in/%s", inputs[i].qemu, inputs[i].options, name),
            0);
        /* What a codec makes of the bytes does not depend on who read them, nor what is put round a VMDK. */
        for (size_t o = 0; o < HF_ARRAY_LEN(outputs); o++)
            if (i == 0 || (outputs[o].codec[0] == 0 && outputs[o].compress && outputs[o].format[0] != 'o'))
                round_trip(&r, name, &outputs[o], i == 0);
    }
    rig_close(&r);
}

/* Sizes at which tables, blocks and sectors end oddly. qemu-img rounds a disk up to sectors. */
static void disks_of_odd_sizes(void **state) {
    static const int64_t sizes[] = {0, 513, (2 << 20) - 100, (32 << 20) + 65536 + 1};
    (void)state;
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        char name[32], job[64];
        snprintf(name, sizeof name, "s%zu.raw", i);
        rig_image(&r, name, sizes[i], 7 + i);
        for (size_t o = 0; o < HF_ARRAY_LEN(outputs); o++) {
            const char *qemu;
            snprintf(job, sizeof job, "odd-%zu-%zu", i, o);
            if (strncmp(outputs[o].format, "ov", 2) == 0)
                continue;
            if (sizes[i] == 0 && outputs[o].format[0] == 'v') { /* vmdk, vdi, vhd: a disk of nothing is none */
                assert_int_equal(try_one(&r, job, name, &outputs[o]), HF_E_UNSUPPORTED);
                assert_non_null(strstr(r.err.detail, "export as qcow2 or raw instead"));
                assert_true(rig_out_empty(&r));
                continue;
            }
            const char *disk = export_one(&r, job, name, &outputs[o], &qemu);
            if (strcmp(qemu, "raw") != 0)
                assert_int_equal(rig_sh(&r, "truncate -s %%512 in/%s", name), 0);
            expect_same(&r, disk, qemu, name);
            assert_int_equal(rig_sh(&r, "truncate -s %lld in/%s && rm -rf back.raw out/*", (long long)sizes[i], name),
                             0);
        }
    }
    rig_close(&r);
}

/* Another number of threads, another order of work: the same bytes. */
static void bytes_do_not_depend_on_threads(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    rig_image(&r, "base.raw", 9 << 20, 3);
    for (size_t o = 0; o < HF_ARRAY_LEN(outputs); o++) {
        const char *qemu;
        char first[HF_DIGEST_HEX_MAX] = "";
        if (strncmp(outputs[o].format, "ov", 2) == 0)
            continue;
        for (r.threads = 1; r.threads <= 5; r.threads += 4) {
            export_one(&r, "same-job", "base.raw", &outputs[o], &qemu);
            hf_str sum = HF_LIST_AT(r.result.artifacts, hf_artifact, 0)->sha256;
            if (r.threads > 1)
                assert_string_equal(first, sum.p);
            snprintf(first, sizeof first, "%.*s", HF_STR_ARG(sum));
            assert_int_equal(rig_sh(&r, "rm -rf out/* out/.hf*"), 0);
        }
    }
    rig_close(&r);
}

/* Compressed is smaller than not, deflate says nothing of zstd, zstd says so in its header. */
static void qcow2_says_how_it_is_compressed(void **state) {
    static const struct {
        struct output o;
        const char *type;
    } wanted[] = {
        {{"qcow2", "fast", true}, "zlib"}, {{"qcow2", "small", true}, "zstd"}, {{"qcow2", "", false}, "zlib"}};
    int64_t size[HF_ARRAY_LEN(wanted)];
    (void)state;
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    rig_image(&r, "base.raw", 20 << 20, 3);
    for (size_t i = 0; i < HF_ARRAY_LEN(wanted); i++) {
        const char *qemu;
        char job[32];
        snprintf(job, sizeof job, "type-%zu", i);
        const char *disk = export_one(&r, job, "base.raw", &wanted[i].o, &qemu);
        assert_int_equal(rig_sh(&r, "qemu-img info -f qcow2 %s | grep -q 'compression type: %s'", disk, wanted[i].type),
                         0);
        size[i] = HF_LIST_AT(r.result.artifacts, hf_artifact, 0)->size_bytes;
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    }
    assert_true(size[1] < size[0] && size[0] < size[2]);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_to_every_output),
        cmocka_unit_test(disks_of_odd_sizes),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
        cmocka_unit_test(qcow2_says_how_it_is_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
