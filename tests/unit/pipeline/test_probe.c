/* Formats are told from their headers, and headers that name other files or contradict themselves are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/probe.h"

typedef struct bytes {
    uint8_t data[512 * 1024];
    size_t len;
    bool outside; /* a read went past the end */
} bytes;
static bytes image;

static hf_code read_bytes(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    bytes *b = ctx;
    if (offset < 0 || (size_t)offset > b->len || len > b->len - (size_t)offset) {
        b->outside = true;
        return hf_fail(reterr, HF_E_IO, "outside");
    }
    memcpy(to, b->data + offset, len);
    return HF_OK;
}

static hf_code probe(hf_probe *ret, hf_err *err) {
    image.outside = false;
    hf_code rc = hf_probe_with(read_bytes, &image, (int64_t)image.len, ret, err);
    assert_false(image.outside);
    return rc;
}

static void blank(size_t len) {
    memset(&image, 0, sizeof image);
    image.len = len;
}

static void qcow2(uint32_t version) {
    blank(65536);
    memcpy(image.data, "QFI\xfb", 4);
    hf_put_be32(image.data + 4, version);
    hf_put_be32(image.data + 20, 16);
    hf_put_be64(image.data + 24, 5 << 20);
    hf_put_be32(image.data + 100, 112);
}

static void text(const char *descriptor) {
    blank(strlen(descriptor));
    memcpy(image.data, descriptor, image.len);
}

static void refused(const char *words) {
    hf_probe p;
    hf_err err;
    assert_int_equal(probe(&p, &err), HF_E_SOURCE_INVALID);
    if (!strstr(err.detail, words))
        fail_msg("\"%s\" does not say \"%s\"", err.detail, words);
}

static void plain_headers_are_known(void **state) {
    (void)state;
    hf_probe p;
    hf_err err;
    qcow2(3);
    assert_int_equal(probe(&p, &err), HF_OK);
    assert_int_equal(p.format, HF_F_QCOW2);
    assert_int_equal(p.virtual_bytes, 5 << 20);
    qcow2(2);
    hf_put_be32(image.data + 100, 0);
    assert_int_equal(probe(&p, &err), HF_OK);
    for (size_t len = 0; len < 2000; len += 333) { /* nothing known, however short */
        blank(len);
        assert_int_equal(probe(&p, &err), HF_OK);
        assert_int_equal(p.format, HF_F_RAW);
        assert_int_equal(p.virtual_bytes, len);
    }
    blank(8192);
    memcpy(image.data + 8192 - 512, "conectix", 8);
    image.data[8192 - 512 + 63] = 2;
    assert_int_equal(probe(&p, &err), HF_OK);
    assert_int_equal(p.format, HF_F_VHD);
    assert_string_equal(p.detail, "fixed");
}

static void qcow2_that_names_files(void **state) {
    (void)state;
    qcow2(3);
    hf_put_be64(image.data + 8, 300);
    refused("backing file");
    qcow2(2);
    hf_put_be32(image.data + 16, 5);
    refused("backing file");
    qcow2(3);
    hf_put_be64(image.data + 72, 4);
    refused("external file");
    qcow2(3);
    hf_put_be32(image.data + 112, 0x44415441);
    refused("external data file");
    qcow2(3);
    hf_put_be32(image.data + 112, 0x12345678);
    hf_put_be32(image.data + 116, 16);
    hf_put_be32(image.data + 136, 0x44415441);
    refused("external data file");
    qcow2(3);
    hf_put_be32(image.data + 112, 0x12345678);
    hf_put_be32(image.data + 116, 0xfffffff8);
    refused("no end");
    qcow2(3);
    hf_put_be32(image.data + 100, 0xffffffff);
    refused("long");
    qcow2(4);
    refused("version 4");
    qcow2(3);
    hf_put_be64(image.data + 24, UINT64_MAX);
    refused("bytes");
}

static void vmdk_descriptors(void **state) {
    (void)state;
    hf_probe p;
    hf_err err;
    text(
        "# Disk DescriptorFile\nversion=1\r\nparentCID = FFFFFFFF\r\ncreateType=\"vmfs\"\r\nRW 100 VMFS \"web-flat.vmdk\"\r\n");
    assert_int_equal(probe(&p, &err), HF_OK);
    assert_true(p.flat);
    assert_string_equal(p.flat_name, "web-flat.vmdk");
    assert_int_equal(p.virtual_bytes, 51200);
    text("# Disk DescriptorFile\nRW 100 FLAT \"/dev/sda\" 0\n");
    refused("/dev/sda");
    text("# Disk DescriptorFile\nRW 100 FLAT \"..\" 0\n");
    refused("..");
    text("# Disk DescriptorFile\nRW 100 ZERO\n");
    refused("without a file");
    text("# Disk DescriptorFile\nRW 100 FLAT \"a\" 8\n");
    refused("whole");
    text("# Disk DescriptorFile\nRW 99999999999999999 FLAT \"a\" 0\n");
    refused("sectors");
    text("# Disk DescriptorFile\nRW 1 FLAT \"a\" 0\nrw 1 FLAT \"../b\" 0\n");
    refused("../b");
    text("# Disk DescriptorFile\nparentfilenamehint=\"x\"\nRW 1 FLAT \"a\" 0\n");
    refused("child");
    text("# Disk DescriptorFile\n");
    refused("0 extents");
}

static void sparse(uint64_t capacity, uint64_t at, uint64_t sectors, const char *descriptor) {
    blank(65536);
    memcpy(image.data, "KDMV", 4);
    hf_put_le64(image.data + 12, capacity);
    hf_put_le64(image.data + 28, at);
    hf_put_le64(image.data + 36, sectors);
    if (at < 100)
        memcpy(image.data + at * 512, descriptor, strlen(descriptor));
}

static void vmdk_sparse_extents(void **state) {
    (void)state;
    hf_probe p;
    hf_err err;
    sparse(2048, 1, 20, "# Disk DescriptorFile\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n");
    assert_int_equal(probe(&p, &err), HF_OK);
    assert_int_equal(p.format, HF_F_VMDK);
    assert_string_equal(p.detail, "monolithicSparse");
    sparse(2048, 1, 20, "parentCID=1\n");
    refused("child");
    sparse(2048, 1, 0, "parentFileNameHint=\"/etc/passwd\"\n"); /* a size of 0 does not hide it */
    refused("child");
    sparse(0, 1, 20, "RW 1 FLAT \"/etc/passwd\" 0\n");
    refused("no sectors");
    sparse(2048, 1 << 30, 20, "");
    refused("does not lie");
    sparse(2048, 1, UINT64_MAX, "");
    refused("does not lie");
    sparse(UINT64_MAX, 1, 20, "");
    refused("sectors");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain_headers_are_known),
                                       cmocka_unit_test(qcow2_that_names_files), cmocka_unit_test(vmdk_descriptors),
                                       cmocka_unit_test(vmdk_sparse_extents)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
