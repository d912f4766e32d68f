/* What comes out is what went in: every input format to every output format, compared byte for byte by qemu-img; archives and
 * manifests checked by GNU tar and sha256sum, qcow2 by qemu-img check. */
#include <stdio.h>

#include "rig.h"

static const struct {
    const char *name, *qemu, *options;
} inputs[] = {
    {"raw", "raw", ""},
    {"qcow2", "qcow2", ""},
    {"vmdk", "vmdk", "-o subformat=streamOptimized"},
    {"sparse.vmdk", "vmdk", "-o subformat=monolithicSparse"},
    {"vdi", "vdi", ""},
    {"vhd", "vpc", "-o force_size=on"},
    {"vhdx", "vhdx", ""},
};
static const char *const outputs[] = {"ova", "ovf", "vmdk", "qcow2", "raw"};

static void round_trip(rig *r, const char *input, const char *format) {
    char job[96];
    const char *qemu;
    hf_spec spec = rig_spec(r, "export", input, format);
    spec.name = HF_STR("disk");
    snprintf(job, sizeof job, "job-%s-%s", input, format);
    hf_code rc = rig_run(r, job, 1, &spec);
    if (rc != HF_OK)
        fail_msg("%s -> %s: %s: %s", input, format, hf_code_name(rc), r->err.detail);
    rig_check_artifacts(r);
    const char *disk = rig_unpack(r, format, &qemu);
    assert_int_equal(rig_sh(r, "qemu-img convert -f %s -O raw %s back.raw && cmp back.raw in/base.raw", qemu, disk), 0);
    if (strcmp(qemu, "qcow2") == 0)
        assert_int_equal(rig_sh(r, "qemu-img check -q -f qcow2 %s", disk), 0);
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
        for (size_t o = 0; o < HF_ARRAY_LEN(outputs); o++)
            round_trip(&r, name, outputs[o]);
    }
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_input_to_every_output)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
