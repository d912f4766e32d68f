/* Disks of odd sizes, of nothing but holes or zeros, several at once; and the same bytes whatever the number of threads. */
#include <stdio.h>

#include "rig.h"

static const char *const outputs[] = {"ova", "ovf", "vmdk", "qcow2", "raw"};

static void odd_sizes(void **state) {
    (void)state;
    static const int64_t sizes[] = {
        1, 511, 512, 513, 65535, 65536, 65537, 1048576, 1048577, (32 << 20) - 512, 32 << 20, (32 << 20) + 1};
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++)
        for (size_t o = i % 4 == 0 ? 0 : 2; o < HF_ARRAY_LEN(outputs); o++) { /* ova and ovf hold the same VMDK */
            const char *qemu;
            rig_image(&r, "base.raw", sizes[i], 3 + i);
            hf_spec spec = rig_spec(&r, "export", "base.raw", outputs[o]);
            spec.name = HF_STR("disk");
            assert_int_equal(rig_run(&r, "odd", 1, &spec), HF_OK);
            rig_check_artifacts(&r);
            const char *disk = rig_unpack(&r, outputs[o], &qemu);
            if (strcmp(outputs[o], "raw") == 0)
                assert_int_equal(rig_sh(&r, "cmp %s in/base.raw", disk), 0);
            else /* whole sectors, zeros behind the end */
                assert_int_equal(
                    rig_sh(
                        &r,
                        "qemu-img convert -f %s -O raw %s back.raw && truncate -s %%512 in/base.raw && cmp back.raw in/base.raw",
                        qemu, disk),
                    0);
            assert_int_equal(rig_sh(&r, "rm -rf x back.raw in/* out/*"), 0);
        }
    rig_close(&r);
}

static void holes_zeros_and_nothing(void **state) {
    (void)state;
    rig r;
    const char *qemu;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    assert_int_equal(
        rig_sh(
            &r,
            "truncate -s 100M in/hole.raw && head -c 70000000 /dev/zero >in/zero.raw && truncate -s 70000128 in/zero.raw && truncate -s 0 in/none.raw"),
        0);
    for (size_t o = 0; o < HF_ARRAY_LEN(outputs); o++) {
        static const char *const images[] = {"hole.raw", "zero.raw"};
        for (size_t i = 0; i < HF_ARRAY_LEN(images); i++) {
            hf_spec spec = rig_spec(&r, "export", images[i], outputs[o]);
            spec.name = HF_STR("disk");
            assert_int_equal(rig_run(&r, "zeros", 1, &spec), HF_OK);
            rig_check_artifacts(&r);
            const char *disk = rig_unpack(&r, outputs[o], &qemu);
            assert_int_equal(rig_sh(&r,
                                    "qemu-img compare -q -f %s -F raw %s in/%s && test $(du -k %s | cut -f1) -lt 1000",
                                    qemu, disk, images[i], disk),
                             0);
            assert_int_equal(rig_sh(&r, "rm -rf x out/*"), 0);
        }
        hf_spec spec = rig_spec(&r, "export", "none.raw", outputs[o]);
        spec.name = HF_STR("disk");
        hf_code rc = rig_run(&r, "none", 1, &spec);
        if (strcmp(outputs[o], "raw") == 0 || strcmp(outputs[o], "qcow2") == 0)
            assert_int_equal(rc, HF_OK);
        else { /* a VMDK of no sectors is none */
            assert_int_equal(rc, HF_E_UNSUPPORTED);
            assert_non_null(strstr(r.err.detail, "qcow2"));
            assert_true(rig_out_empty(&r));
        }
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    }
    rig_close(&r);
}

static void same_bytes_for_any_number_of_threads(void **state) {
    (void)state;
    static const char *const codecs[] = {"fast", "balanced", "small", "none", "zlib"};
    rig r;
    rig_open(&r);
    rig_image(&r, "base.raw", 24 << 20, 5);
    for (size_t c = 0; c < HF_ARRAY_LEN(codecs); c++) {
        for (r.threads = 1; r.threads <= 4; r.threads += 3) {
            char job[32];
            snprintf(job, sizeof job, "t%d", r.threads);
            hf_spec spec = rig_spec(&r, "export", "base.raw", "ova");
            spec.name = HF_STR("disk");
            spec.options.codec = hf_str_of(codecs[c]);
            spec.output_dir = hf_str_of(rig_path(&r, "out/%d", r.threads));
            assert_int_equal(rig_run(&r, job, 1, &spec), HF_OK);
        }
        assert_int_equal(rig_sh(&r, "cmp out/1/disk.ova out/4/disk.ova && rm -r out/*"), 0);
    }
    rig_close(&r);
}

static void several_disks_in_one_appliance(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    rig_image(&r, "a.raw", 5 << 20, 6);
    rig_image(&r, "b.raw", 3 << 20, 7);
    assert_int_equal(rig_sh(&r, "qemu-img convert -O qcow2 in/b.raw in/b.qcow2"), 0);
    hf_disk disks[] = {{.path = hf_str_of(rig_path(&r, "in/a.raw"))}, {.path = hf_str_of(rig_path(&r, "in/b.qcow2"))}};
    hf_spec spec = rig_spec(&r, "export", NULL, "ova");
    spec.disks = (hf_list){disks, 2};
    spec.name = HF_STR("web 01 (nightly) & <co>");
    spec.parameters = HF_STR("{\"cpus\": 3, \"memory_mb\": 2048}");
    spec.options.manifest = HF_STR("sha512");
    assert_int_equal(rig_run(&r, "two", 1, &spec), HF_OK);
    rig_check_artifacts(&r);
    assert_string_equal(r.phases, "prepare export finalize ");
    assert_int_equal(
        rig_sh(
            &r,
            "mkdir x && cd x && tar -xf ../out/web-01-nightly-co.ova && sed 's/^SHA512(\\(.*\\))= \\(.*\\)$/\\2  \\1/' *.mf | sha512sum -c --quiet - && "
            "qemu-img compare -q *-disk1.vmdk ../in/a.raw && qemu-img compare -q *-disk2.vmdk ../in/b.raw && "
            "python3 - <<'EOF'\n"
            "import glob, os\n"
            "import xml.etree.ElementTree as E\n"
            "n = {'o': 'http://schemas.dmtf.org/ovf/envelope/1', 'r': 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData'}\n"
            "o = '{%%s}' %% n['o']\n"
            "t = E.parse(glob.glob('*.ovf')[0])\n"
            "files = t.findall('o:References/o:File', n)\n"
            "assert [int(f.get(o + 'size')) for f in files] == [os.path.getsize(f.get(o + 'href')) for f in files], 'sizes'\n"
            "assert [d.get(o + 'capacity') for d in t.findall('o:DiskSection/o:Disk', n)] == [str(5 << 20), str(3 << 20)]\n"
            "assert t.find('o:VirtualSystem/o:Name', n).text == 'web 01 (nightly) & <co>'\n"
            "items = t.findall('o:VirtualSystem/o:VirtualHardwareSection/o:Item', n)\n"
            "kinds = [i.find('r:ResourceType', n).text for i in items]\n"
            "assert kinds == ['3', '4', '6', '17', '17'], kinds\n"
            "assert [i.find('r:VirtualQuantity', n).text for i in items[:2]] == ['3', '2048']\n"
            "for i in items:\n"
            "    names = [c.tag for c in i]\n"
            "    assert names == sorted(names), names\n"
            "EOF"),
        0);
    spec.format = HF_STR("qcow2");
    assert_int_equal(rig_run(&r, "two", 1, &spec), HF_OK);
    assert_int_equal(r.result.artifacts.count, 2);
    rig_check_artifacts(&r);
    assert_int_equal(rig_sh(&r, "qemu-img compare -q out/*-disk2.qcow2 in/b.raw"), 0);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(odd_sizes), cmocka_unit_test(holes_zeros_and_nothing),
                                       cmocka_unit_test(same_bytes_for_any_number_of_threads),
                                       cmocka_unit_test(several_disks_in_one_appliance)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
