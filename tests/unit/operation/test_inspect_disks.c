/* Disks made by other programs: what inspect says of them is what those programs were told, and what blkid says. */
#include <fcntl.h>

#include "tests/unit/operation/rig.h"

#include "consumer/pipeline/bytes.h"
#include "schemas/event/json.h"

static json_t *run(rig *r, const char *image, const char *parameters) {
    hf_spec spec = rig_spec(r, "inspect", image, "");
    spec.output_dir = HF_STR_NONE;
    spec.parameters = hf_str_of(parameters);
    if (rig_run(r, "look", 1, &spec) != HF_OK)
        return NULL;
    json_t *report = hf_json_parse(r->result.report, HF_MAX_JSON, NULL);
    assert_non_null(report);
    json_t *disk = json_incref(json_array_get(json_object_get(report, "disks"), 0));
    json_decref(report);
    assert_non_null(disk);
    return disk;
}

static json_t *inspect(rig *r, const char *image) {
    json_t *disk = run(r, image, "{}");
    if (!disk)
        fail_msg("%s", r->err.detail);
    return disk;
}

static const char *text(const json_t *o, const char *key) {
    const char *z = json_string_value(json_object_get(o, key));
    return z ? z : "";
}
static json_int_t number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static const json_t *at(const json_t *o, const char *list, size_t i) {
    return json_array_get(json_object_get(o, list), i);
}

#define SH(...) assert_int_equal(rig_sh(&r, __VA_ARGS__), 0)
#define IS(object, key, want) assert_string_equal(text(object, key), want)

/* ---- file systems ------------------------------------------------------------------------------------------------- */
typedef struct made {
    const char *program, *command, *type, *label;
} made;

static const made kinds[] = {
    {"mkfs.ext4", "truncate -s 64M in/x.raw && mkfs.ext4 -q -L 'root & co' in/x.raw", "ext4", "root & co"},
    {"mkfs.vfat", "truncate -s 64M in/x.raw && mkfs.vfat -F 32 -n EFIPART in/x.raw >/dev/null", "vfat", "EFIPART"},
    {"mkfs.vfat", "truncate -s 8M in/x.raw && mkfs.vfat -F 12 -n SMALL in/x.raw >/dev/null", "vfat", "SMALL"},
    {"mkfs.xfs", "truncate -s 400M in/x.raw && mkfs.xfs -q -L data in/x.raw", "xfs", "data"},
    {"mkfs.btrfs", "truncate -s 200M in/x.raw && mkfs.btrfs -q -L pool in/x.raw >/dev/null", "btrfs", "pool"},
    {"mkswap", "truncate -s 8M in/x.raw && mkswap -q -L sw in/x.raw", "swap", "sw"},
    {"mkfs.ntfs", "truncate -s 64M in/x.raw && mkfs.ntfs -q -F -L Windows in/x.raw 2>/dev/null", "ntfs", "Windows"},
    {"mkfs.exfat", "truncate -s 64M in/x.raw && mkfs.exfat -L Card in/x.raw >/dev/null", "exfat", "Card"},
    {"cryptsetup",
     "truncate -s 32M in/x.raw && echo -n x | cryptsetup -q luksFormat --type luks2 --label vault --pbkdf pbkdf2 --pbkdf-force-iterations 1000 in/x.raw -",
     "crypto_LUKS", "vault"},
};

/* The label and UUID that blkid itself tells of the file. */
static void compare_with_blkid(rig *r, const json_t *disk, const made *m) {
    if (!rig_have("blkid"))
        return;
    assert_int_equal(rig_sh(r, "test \"$(blkid -p -o value -s UUID in/x.raw)\" = '%s'", text(disk, "uuid")), 0);
    assert_int_equal(rig_sh(r, "test \"$(blkid -p -o value -s TYPE in/x.raw)\" = '%s'", m->type), 0);
}

static void file_systems_are_told_as_blkid_tells_them(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    int seen = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!rig_have(kinds[i].program))
            continue;
        SH("rm -f in/x.raw && %s", kinds[i].command);
        json_t *disk = inspect(&r, "x.raw");
        IS(disk, "filesystem", kinds[i].type);
        IS(disk, "label", kinds[i].label);
        IS(disk, "partition_table", "none");
        compare_with_blkid(&r, disk, &kinds[i]);
        json_decref(disk);
        seen++;
    }
    assert_true(seen >= 2); /* ext4 and swap are everywhere */
    rig_close(&r);
}

/* ---- partition tables ------------------------------------------------------------------------------------------------ */
static const char *const gpt_script = "label: gpt\\nlabel-id: 11111111-2222-3333-4444-555555555555\\n"
                                      "size=16M, type=U, uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, name=\"efi ü\"\\n"
                                      "size=32M, type=L, name=root\\nsize=8M, type=S\\n";

static void gpt_with_names_and_two_headers(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    if (!rig_have("sfdisk") || !rig_have("mkfs.ext4")) {
        rig_close(&r);
        skip();
    }
    SH("truncate -s 100M in/d.raw && printf '%s' | LC_ALL=C.UTF-8 sfdisk -q in/d.raw", gpt_script);
    SH("truncate -s 32M p && mkfs.ext4 -q -L root p && dd if=p of=in/d.raw bs=1M seek=17 conv=notrunc status=none");
    json_t *disk = inspect(&r, "d.raw");
    IS(disk, "partition_table", "gpt");
    IS(disk, "disk_id", "11111111-2222-3333-4444-555555555555");
    IS(json_object_get(disk, "gpt"), "primary", "ok");
    IS(json_object_get(disk, "gpt"), "backup", "ok");
    assert_null(json_object_get(disk, "problems"));
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 3);
    IS(at(disk, "partitions", 0), "name", "efi ü");
    IS(at(disk, "partitions", 0), "type_name", "EFI system");
    IS(at(disk, "partitions", 0), "partition_uuid", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    IS(at(disk, "partitions", 1), "filesystem", "ext4");
    IS(at(disk, "partitions", 1), "label", "root");
    IS(at(disk, "partitions", 2), "type_name", "Linux swap");
    assert_int_equal(number(at(disk, "partitions", 1), "start"), 17 << 20);
    json_decref(disk);

    SH("dd if=/dev/zero of=in/d.raw bs=512 seek=1 count=1 conv=notrunc status=none"); /* the backup has to do */
    disk = inspect(&r, "d.raw");
    IS(json_object_get(disk, "gpt"), "primary", "missing");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 3);
    assert_string_equal(json_string_value(at(disk, "problems", 0)), "the primary GPT: missing");
    json_decref(disk);

    SH("printf '%s' | sfdisk -q --force --wipe always in/d.raw && printf X | dd of=in/d.raw bs=1 seek=1100 conv=notrunc status=none",
       gpt_script);
    disk = inspect(&r, "d.raw");
    IS(json_object_get(disk, "gpt"), "primary", "the entries' checksum is wrong");
    IS(json_object_get(disk, "gpt"), "backup", "ok");
    json_decref(disk);

    SH("truncate -s 99M in/d.raw"); /* cut short: no backup, and nothing outside is read */
    disk = inspect(&r, "d.raw");
    IS(json_object_get(disk, "gpt"), "backup", "missing");
    json_decref(disk);
    rig_close(&r);
}

static void logical_partitions(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    if (!rig_have("sfdisk")) {
        rig_close(&r);
        skip();
    }
    SH("truncate -s 100M in/m.raw && printf 'label: dos\\nlabel-id: 0xcafe1234\\nsize=8M, type=83, bootable\\ntype=5\\n"
       "size=8M, type=82\\nsize=8M, type=8e\\nsize=8M, type=7\\n' | sfdisk -q in/m.raw");
    SH("truncate -s 8M p && mkswap -q -L sw p && sfdisk -l -o start in/m.raw | sed -n '/^ *[0-9]/p' | sed -n 3p >s && "
       "dd if=p of=in/m.raw bs=512 seek=$(cat s) conv=notrunc status=none");
    json_t *disk = inspect(&r, "m.raw");
    IS(disk, "partition_table", "mbr");
    IS(disk, "disk_id", "cafe1234");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 5);
    assert_true(json_is_true(json_object_get(at(disk, "partitions", 0), "bootable")));
    const json_t *five = at(disk, "partitions", 2);
    assert_int_equal(number(five, "number"), 5);
    assert_true(json_is_true(json_object_get(five, "logical")));
    IS(five, "filesystem", "swap");
    IS(five, "label", "sw");
    IS(at(disk, "partitions", 3), "type_name", "Linux LVM");
    assert_int_equal(number(at(disk, "partitions", 4), "number"), 7);
    SH("test $(sfdisk -l -o start in/m.raw | sed -n '/^ *[0-9]/p' | sed -n 5p) = $((%lld / 512))",
       (long long)number(at(disk, "partitions", 4), "start"));
    json_decref(disk);
    rig_close(&r);
}

/* Link i of a chain that never ends by itself: each has one partition and names `next`. */
static void put_link(int fd, uint32_t sector, uint32_t base, uint32_t next) {
    uint8_t s[512] = {0};
    s[510] = 0x55;
    s[511] = 0xaa;
    s[446 + 4] = 0x83;
    hf_put_le32(s + 446 + 8, 1);
    hf_put_le32(s + 446 + 12, 1);
    s[462 + 4] = 0x05;
    hf_put_le32(s + 462 + 8, next - base);
    hf_put_le32(s + 462 + 12, 1);
    assert_int_equal(pwrite(fd, s, sizeof s, (off_t)sector * 512), sizeof s);
}

static void chains_that_loop_and_grow(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    SH("truncate -s 1M in/loop.raw");
    hf_auto_fd int fd = open(rig_path(&r, "in/loop.raw"), O_RDWR);
    uint8_t head[512] = {0};
    head[510] = 0x55;
    head[511] = 0xaa;
    head[446 + 4] = 0x0f;
    hf_put_le32(head + 446 + 8, 8);
    hf_put_le32(head + 446 + 12, 2000);
    assert_int_equal(pwrite(fd, head, sizeof head, 0), sizeof head);
    put_link(fd, 8, 8, 10);
    put_link(fd, 10, 8, 8);
    json_t *disk = inspect(&r, "loop.raw");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 3);
    assert_string_equal(json_string_value(at(disk, "problems", 0)),
                        "the chain of logical partitions comes back to sector 8");
    json_decref(disk);
    for (uint32_t i = 0; i < 200; i++)
        put_link(fd, 8 + 4 * i, 8, 8 + 4 * (i + 1));
    disk = inspect(&r, "loop.raw");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 125);
    assert_true(json_is_true(json_object_get(disk, "more_partitions")));
    json_decref(disk);
    put_link(fd, 8, 8, 5000); /* out of the extended partition */
    disk = inspect(&r, "loop.raw");
    assert_int_equal(json_array_size(json_object_get(disk, "partitions")), 2);
    assert_int_equal(json_array_size(json_object_get(disk, "problems")), 1);
    json_decref(disk);
    rig_close(&r);
}

/* ---- images ------------------------------------------------------------------------------------------------------------ */
static void qcow2_snapshots_and_checks(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img") || !rig_have("qemu-nbd"))
        skip();
    rig_open(&r);
    SH("qemu-img create -q -f qcow2 -o cluster_size=32k in/a.qcow2 20M && qemu-img snapshot -c before in/a.qcow2 && "
       "qemu-img snapshot -c 'after; \"all\"' in/a.qcow2");
    json_t *disk = inspect(&r, "a.qcow2");
    assert_int_equal(number(disk, "cluster_bytes"), 32768);
    IS(disk, "compression", "zlib");
    assert_int_equal(number(disk, "snapshot_count"), 2);
    IS(at(disk, "snapshots", 0), "id", "1");
    IS(at(disk, "snapshots", 0), "name", "before");
    IS(at(disk, "snapshots", 1), "name", "after; \"all\"");
    assert_int_equal(number(at(disk, "snapshots", 1), "disk_bytes"), 20 << 20);
    assert_int_equal(strlen(text(at(disk, "snapshots", 0), "date")), 20);
    IS(json_object_get(disk, "check"), "result", "ok");
    assert_true(number(json_object_get(disk, "check"), "total_clusters") == 640);
    json_decref(disk);
    disk = run(&r, "a.qcow2", "{\"check\": false}");
    assert_null(json_object_get(disk, "check"));
    json_decref(disk);
    /* an L1 table that points into the header */
    SH("python3 -c \"import struct; f=open('in/a.qcow2','r+b'); f.seek(40); o=struct.unpack('>Q',f.read(8))[0]; f.seek(o); f.write(struct.pack('>Q', 1<<63))\"");
    disk = inspect(&r, "a.qcow2");
    IS(json_object_get(disk, "check"), "result", "corrupt");
    json_decref(disk);
    assert_null(run(&r, "a.qcow2", "{\"check_seconds\": 0}"));
    assert_non_null(strstr(r.err.detail, "from 1 to 3600"));
    rig_close(&r);
}

static void other_formats_and_their_checks(void **state) {
    (void)state;
    static const struct {
        const char *name, *format, *options, *result, *tool;
        json_int_t cluster;
    } formats[] = {
        {"a.vdi", "vdi", "", "ok", "qemu-img check", 1 << 20},
        {"a.vhdx", "vhdx", "-o block_size=2M", "ok", "qemu-img check", 2 << 20},
        {"a.vhd", "vpc", "", "unsupported", "qemu-img check", 2 << 20},
        {"a.vmdk", "vmdk", "-o subformat=streamOptimized", "ok", "stream walk", 65536},
        {"b.vmdk", "vmdk", "", "ok", "qemu-img check", 65536},
    };
    rig r;
    if (!rig_have("qemu-img") || !rig_have("qemu-nbd"))
        skip();
    rig_open(&r);
    SH("truncate -s 16M a && mkswap -q -L sw a");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        SH("qemu-img convert -O %s %s a in/%s", formats[i].format, formats[i].options, formats[i].name);
        json_t *disk = inspect(&r, formats[i].name);
        assert_int_equal(number(disk, "cluster_bytes"), formats[i].cluster);
        IS(json_object_get(disk, "check"), "tool", formats[i].tool);
        IS(json_object_get(disk, "check"), "result", formats[i].result);
        IS(disk, "label", "sw");
        json_decref(disk);
    }
    rig_close(&r);
}

static void a_chain_is_named_only_where_allowed(void **state) {
    (void)state;
    rig r;
    if (!rig_have("qemu-img"))
        skip();
    rig_open(&r);
    SH("truncate -s 5M in/base.raw && cd in && qemu-img create -q -f qcow2 -b base.raw -F raw mid.qcow2 && "
       "qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2");
    assert_null(run(&r, "top.qcow2", "{}"));
    assert_int_equal(r.err.code, HF_E_SOURCE_INVALID);
    json_t *disk = run(&r, "top.qcow2", "{\"allow_backing_chain\": true}");
    if (!disk)
        fail_msg("%s", r.err.detail);
    IS(disk, "variant", "overlay");
    assert_int_equal(json_array_size(json_object_get(disk, "backing_chain")), 2);
    IS(at(disk, "backing_chain", 0), "path", rig_path(&r, "in/mid.qcow2"));
    IS(at(disk, "backing_chain", 1), "path", rig_path(&r, "in/base.raw"));
    IS(at(disk, "backing_chain", 1), "format", "raw");
    assert_int_equal(number(at(disk, "backing_chain", 1), "virtual_bytes"), 5 << 20);
    json_decref(disk);
    disk = run(&r, "base.raw", "{\"allow_backing_chain\": true}"); /* others as ever */
    IS(disk, "format", "raw");
    json_decref(disk);

    SH("qemu-img create -q -f qcow2 -u -b /etc/passwd -F raw in/out.qcow2 5M");
    assert_null(run(&r, "out.qcow2", "{\"allow_backing_chain\": true}"));
    assert_int_equal(r.err.code, HF_E_OUTSIDE_ROOT);
    SH("qemu-img create -q -f qcow2 -u -b ../../../../etc/passwd -F raw in/out.qcow2 5M");
    assert_null(run(&r, "out.qcow2", "{\"allow_backing_chain\": true}"));
    assert_int_equal(r.err.code, HF_E_OUTSIDE_ROOT);
    SH("qemu-img create -q -f qcow2 -u -b nbd://127.0.0.1/x -F raw in/net.qcow2 5M");
    assert_null(run(&r, "net.qcow2", "{\"allow_backing_chain\": true}"));
    assert_int_equal(r.err.code, HF_E_UNSUPPORTED);
    SH("cd in && qemu-img create -q -f qcow2 -u -b two.qcow2 -F qcow2 one.qcow2 5M && "
       "qemu-img create -q -f qcow2 -u -b one.qcow2 -F qcow2 two.qcow2 5M");
    assert_null(run(&r, "one.qcow2", "{\"allow_backing_chain\": true}"));
    assert_non_null(strstr(r.err.detail, "comes back to"));
    SH("cd in && for i in $(seq 0 19); do qemu-img create -q -f qcow2 -u -b c$((i + 1)).qcow2 -F qcow2 c$i.qcow2 5M; done");
    assert_null(run(&r, "c0.qcow2", "{\"allow_backing_chain\": true}"));
    assert_int_equal(r.err.code, HF_E_LIMIT);
    rig_close(&r);
}

/* More than a result can hold: the file has all, the result says that it was shortened. */
static void a_long_report(void **state) {
    (void)state;
    static hf_disk disks[40];
    rig r;
    rig_open(&r);
    if (!rig_have("sfdisk")) {
        rig_close(&r);
        skip();
    }
    SH("truncate -s 40M in/many.raw && { echo label: gpt; for i in $(seq 30); do echo size=1M, name=partition-number-$i; done; } | sfdisk -q in/many.raw");
    for (int i = 0; i < 12; i++)
        disks[i].path = hf_str_of(rig_path(&r, "in/many.raw"));
    hf_spec spec = rig_spec(&r, "inspect", NULL, "");
    spec.disks = (hf_list){disks, 12};
    assert_int_equal(rig_run(&r, "look", 1, &spec), HF_OK);
    assert_true(r.result.report.len <= HF_MAX_JSON);
    json_t *report = hf_json_parse(r.result.report, HF_MAX_JSON, NULL);
    assert_true(json_is_true(json_object_get(report, "shortened")));
    assert_int_equal(json_array_size(json_object_get(at(report, "disks", 11), "partitions")), 4);
    json_decref(report);
    SH("python3 -c 'import glob, json; d = json.load(open(glob.glob(\"out/*.inspect.json\")[0])); assert all(len(x[\"partitions\"]) == 30 for x in d[\"disks\"])'");
    rig_close(&r);
}

/* Members of LVM and of a RAID, as their tools write them, which need block devices: made after the formats' descriptions, with the
 * checksums libblkid asks for. */
static const char *const members_script =
    "import struct, zlib\n"
    "def lvm_crc(b):\n"
    "    crc = 0xf597a6cf\n"
    "    for x in b:\n"
    "        crc ^= x\n"
    "        for _ in range(8): crc = crc >> 1 ^ (0xedb88320 if crc & 1 else 0)\n"
    "    return crc\n"
    "rest = struct.pack('<I8s32s', 32, b'LVM2 001', b'Abc123' + b'x' * 26).ljust(492, b'\\0')\n"
    "f = open('in/pv.raw', 'wb'); f.truncate(8 << 20)\n"
    "f.seek(512); f.write(b'LABELONE' + struct.pack('<QI', 1, lvm_crc(rest)) + rest)\n"
    "sb = struct.pack('<IIII16s32sQIIQII', 0xa92b4efc, 1, 0, 0, bytes(range(16)), b'host:set', 0, 1, 0, 8192, 0, 2)\n"
    "sb = bytearray(sb.ljust(256, b'\\0'))\n"
    "struct.pack_into('<QQQ', sb, 128, 2048, 8192, 8)\n"
    "struct.pack_into('<I', sb, 220, 2)\n"
    "full = bytes(sb) + bytes(4)\n"
    "total = sum(struct.unpack('<65I', full))\n"
    "struct.pack_into('<I', sb, 216, (total & 0xffffffff) + (total >> 32) & 0xffffffff)\n"
    "f = open('in/md.raw', 'wb'); f.truncate(8 << 20)\n"
    "f.seek(4096); f.write(sb)\n";

static void members_of_lvm_and_raid(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    SH("python3 -c \"%s\"", members_script);
    json_t *disk = inspect(&r, "pv.raw");
    IS(disk, "filesystem", "LVM2_member");
    IS(disk, "usage", "raid");
    IS(disk, "uuid", "Abc123-xxxx-xxxx-xxxx-xxxx-xxxx-xxxxxx");
    json_decref(disk);
    disk = inspect(&r, "md.raw");
    IS(disk, "filesystem", "linux_raid_member");
    IS(disk, "label", "host:set");
    IS(disk, "uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f");
    json_decref(disk);
    rig_close(&r);
}

/* Whichever allocation fails, the job fails by that name or does not need it. */
static void no_memory_is_survived(void **state) {
    (void)state;
    rig r;
    int failed = 0;
    rig_open(&r);
    SH("truncate -s 8M in/x.raw && mkswap -q -L sw in/x.raw");
    for (uint64_t n = 1; n <= 60; n++) {
        hf_spec spec = rig_spec(&r, "inspect", "x.raw", "");
        spec.parameters = HF_STR("{\"allow_backing_chain\": true}");
        hf_alloc_fail_after(n);
        hf_code rc = rig_run(&r, "look", 1, &spec);
        hf_alloc_fail_after(0);
        if (rc != HF_OK && rc != HF_E_NO_MEMORY)
            fail_msg("allocation %d: %s", (int)n, r.err.detail);
        failed += rc == HF_E_NO_MEMORY;
        SH("rm -rf out/* out/.hf-*");
    }
    assert_true(failed > 3);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_systems_are_told_as_blkid_tells_them),
        cmocka_unit_test(gpt_with_names_and_two_headers),
        cmocka_unit_test(logical_partitions),
        cmocka_unit_test(chains_that_loop_and_grow),
        cmocka_unit_test(qcow2_snapshots_and_checks),
        cmocka_unit_test(other_formats_and_their_checks),
        cmocka_unit_test(a_chain_is_named_only_where_allowed),
        cmocka_unit_test(a_long_report),
        cmocka_unit_test(members_of_lvm_and_raid),
        cmocka_unit_test(no_memory_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
