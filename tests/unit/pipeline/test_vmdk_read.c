/* labels: tsan */
/* The native VMDK reader gives the bytes that qemu-img gives, from any thread and at any alignment, and refuses what is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/vmdk.h"
#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/mem.h"
#include "vmdk_made.h"

enum { MIB = 1024 * 1024 };

static int64_t size_of(int fd) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static hf_source *opened(int fd) {
    hf_source *source = NULL;
    hf_err err = {0};
    hf_code rc = hf_source_open(fd, "vmdk", &source, &err);
    if (rc != HF_OK)
        print_error("%s\n", err.detail);
    assert_int_equal(rc, HF_OK);
    assert_string_equal(source->cls->name, "vmdk");
    return source;
}

/* Through the pipeline with `threads` into a raw file. */
static int read_all(hf_source *source, int threads) {
    int fd = memfd_create("raw", MFD_CLOEXEC);
    hf_flow flow;
    hf_sink *sink = NULL;
    hf_pipeline *p = NULL;
    hf_err err = {0};
    hf_flow_init(&flow);
    assert_int_equal(hf_sink_raw_new(fd, source->size_bytes, &flow, &sink, &err), HF_OK);
    assert_int_equal(hf_pipeline_new(threads, &flow, &p, &err), HF_OK);
    hf_code rc = hf_pipeline_run(p, source, sink, &err);
    if (rc != HF_OK)
        print_error("%s\n", err.detail);
    assert_int_equal(rc, HF_OK);
    hf_pipeline_free(p);
    hf_sink_free(sink);
    hf_flow_done(&flow);
    return fd;
}

static void same_as(int vmdk, int disk, int64_t size) {
    for (int threads = 1; threads <= 4; threads += 3) {
        hf_source *source = opened(vmdk);
        assert_int_equal(source->size_bytes, size);
        int raw = read_all(source, threads);
        same_bytes(disk, raw, size);
        close(raw);
        assert_int_equal(hf_source_unchanged(source, NULL), HF_OK);
        hf_source_close(source);
    }
}

static const int64_t sizes[] = {512, 65536, 3 * 65536 + 512, 40 * MIB + 3 * 512, 100 * MIB};

static void our_streams_and_qemus_read_as_the_disk_they_were(void **state) {
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        int disk = made_disk(sizes[i], (unsigned)i + 10), ours = made_export(disk, sizes[i]);
        same_as(ours, disk, sizes[i]);
        int qemus = made_by_qemu(disk, "raw", "vmdk", "subformat=streamOptimized");
        same_as(qemus, disk, sizes[i]);
        int sparse = made_by_qemu(disk, "raw", "vmdk", "subformat=monolithicSparse");
        same_as(sparse, disk, sizes[i]);
        int zeroed = made_by_qemu(disk, "raw", "vmdk", "subformat=monolithicSparse,zeroed_grain=on");
        same_as(zeroed, disk, sizes[i]);
        int back = made_by_qemu(ours, "vmdk", "raw", NULL); /* and as qemu reads what we wrote */
        same_bytes(disk, back, sizes[i]);
        int fds[] = {disk, ours, qemus, sparse, zeroed, back};
        for (size_t f = 0; f < HF_ARRAY_LEN(fds); f++)
            close(fds[f]);
    }
}

static void any_range_is_right_whatever_its_alignment(void **state) {
    (void)state;
    int64_t size = 40 * MIB + 3 * 512;
    int disk = made_disk(size, 5), ours = made_export(disk, size),
        sparse = made_by_qemu(disk, "raw", "vmdk", "subformat=monolithicSparse");
    uint8_t *want = malloc(4 * MIB), *got = malloc(4 * MIB);
    assert_non_null(want);
    assert_non_null(got);
    const int files[] = {ours, sparse};
    for (size_t f = 0; f < HF_ARRAY_LEN(files); f++) {
        hf_source *source = opened(files[f]);
        uint64_t x = 99;
        for (int i = 0; i < 300; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            int64_t offset = (int64_t)(x >> 20) % size;
            size_t len = (size_t)(x >> 12) % (i % 3 == 0 ? 3 * MIB : 70000) + 1;
            if ((int64_t)len > size - offset)
                len = (size_t)(size - offset);
            hf_err err = {0};
            assert_int_equal(hf_source_read(source, got, len, offset, &err), HF_OK);
            assert_int_equal(pread(disk, want, len, offset), (ssize_t)len);
            assert_memory_equal(want, got, len);
        }
        hf_source_close(source);
    }
    free(want);
    free(got);
    close(disk);
    close(ours);
    close(sparse);
}

/* Extents tell each grain of the tables, and nothing else. */
static int64_t allocated_by_extents(hf_source *source) {
    int64_t data = 0, end;
    for (int64_t at = 0; at < source->size_bytes; at = end) {
        bool is_data;
        hf_err err = {0};
        assert_int_equal(hf_source_extent(source, at, &end, &is_data, &err), HF_OK);
        assert_true(end > at && end <= source->size_bytes);
        if (is_data)
            data += end - at;
    }
    return data;
}

static void holes_are_told_from_data(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    int fd = memfd_create("small", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, m.bytes, m.len, 0), (ssize_t)m.len);
    hf_source *source = opened(fd);
    assert_int_equal(source->allocated_bytes, 4 * 65536);
    assert_int_equal(allocated_by_extents(source), 3 * 65536 + 512);
    static const struct {
        int64_t at, end;
        bool data;
    } cases[] = {{0, 65536, true},
                 {100, 65536, true},
                 {65536, 511 * 65536, false},
                 {511 * 65536, 512 * 65536, true},
                 {512 * 65536, 700 * 65536, false},
                 {701 * 65536, 1024 * 65536, false},
                 {1024 * 65536, 1024 * 65536 + 512, true}};
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        int64_t end;
        bool data;
        assert_int_equal(hf_source_extent(source, cases[i].at, &end, &data, NULL), HF_OK);
        assert_int_equal(end, cases[i].end);
        assert_int_equal(data, cases[i].data);
    }
    hf_source_close(source);
    close(fd);
    made_free(&m);
}

static void grains_marked_zero_are_holes(void **state) {
    (void)state;
    int64_t size = 8 * MIB;
    int disk = made_disk(size, 3), fd = made_by_qemu(disk, "raw", "vmdk", "subformat=monolithicSparse,zeroed_grain=on");
    hf_source *source = opened(fd);
    int64_t before = allocated_by_extents(source);
    assert_int_equal(before, source->allocated_bytes);
    hf_source_close(source);
    /* mark the first grain as qemu does when zeros are written to it */
    uint8_t header[512], entry[4];
    assert_int_equal(pread(fd, header, 512, 0), 512);
    assert_true(hf_le32(header + HF_VMDK_AT_FLAGS) & HF_VMDK_FLAG_ZERO_GTE);
    assert_int_equal(pread(fd, entry, 4, (off_t)hf_le64(header + HF_VMDK_AT_GD) * 512), 4);
    off_t table = (off_t)hf_le32(entry) * 512;
    unsigned used = 0;
    do
        assert_int_equal(pread(fd, entry, 4, table + 4 * used++), 4);
    while (hf_le32(entry) < 2);
    hf_put_le32(entry, HF_VMDK_GTE_ZERO);
    assert_int_equal(pwrite(fd, entry, 4, table + 4 * --used), 4);
    source = opened(fd);
    assert_int_equal(allocated_by_extents(source), before - 65536);
    uint8_t grain[65536], zero[65536] = {0};
    assert_int_equal(hf_source_read(source, grain, sizeof grain, (int64_t)used * 65536, NULL), HF_OK);
    assert_memory_equal(grain, zero, sizeof zero);
    hf_source_close(source);
    close(fd);
    close(disk);
}

static void a_sparse_disk_that_grew_is_read(void **state) {
    (void)state;
    int64_t size = 33 * MIB; /* the last table has few entries */
    int disk = made_disk(size, 8), fd = made_by_qemu(disk, "raw", "vmdk", "subformat=monolithicSparse");
    char command[128];
    int inherited = dup(fd);
    snprintf(command, sizeof command,
             "qemu-io -f vmdk -c 'write -P 0x5a 5M 100k' -c 'write -P 0x5b 32900k 64k' /proc/self/fd/%d >/dev/null",
             inherited);
    assert_int_equal(system(command), 0);
    uint8_t want[102400];
    memset(want, 0x5a, sizeof want);
    assert_int_equal(pwrite(disk, want, sizeof want, 5 * MIB), sizeof want);
    memset(want, 0x5b, 65536);
    assert_int_equal(pwrite(disk, want, 65536, 32900 * 1024), 65536);
    same_as(fd, disk, size);
    close(inherited);
    close(fd);
    close(disk);
}

static void a_member_of_a_larger_file_is_read_in_its_place(void **state) {
    (void)state;
    int64_t size = 3 * MIB;
    int disk = made_disk(size, 4), ours = made_export(disk, size), fd = memfd_create("ova", MFD_CLOEXEC);
    int64_t len = size_of(ours);
    uint8_t *bytes = malloc((size_t)len);
    assert_non_null(bytes);
    assert_int_equal(pread(ours, bytes, (size_t)len, 0), len);
    assert_int_equal(pwrite(fd, bytes, (size_t)len, 1536), len);
    assert_int_equal(pwrite(fd, "behind it", 9, 1536 + len), 9);
    hf_source *source = NULL;
    hf_err err = {0};
    assert_int_equal(hf_source_open_vmdk(fd, 1536, len, &source, &err), HF_OK);
    int raw = read_all(source, 2);
    same_bytes(disk, raw, size);
    hf_source_close(source);
    assert_int_equal(hf_source_open_vmdk(fd, 1536, len - 512, &source, &err), HF_E_SOURCE_INVALID);
    assert_non_null(strstr(err.detail, "truncated"));
    assert_int_equal(hf_source_open_vmdk(fd, 1536, len + 512, &source, &err), HF_E_SOURCE_INVALID);
    free(bytes);
    close(raw);
    close(fd);
    close(ours);
    close(disk);
}

static void padding_behind_the_end_hides_no_footer(void **state) {
    (void)state;
    int64_t size = 3 * MIB;
    int disk = made_disk(size, 6), ours = made_export(disk, size);
    assert_int_equal(ftruncate(ours, size_of(ours) + 300001), 0);
    same_as(ours, disk, size);
    close(ours);
    close(disk);
}

/* One damaged place each: opening or reading says so. */
static void damage_is_found_with_its_place(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    uint32_t first = m.overhead * 512, directory = (uint32_t)m.gd * 512, table = m.directory[0] * 512;
    const struct {
        uint32_t at, value;
        const char *why;
    } cases[] = {
        {first + 20, 0x12345678, "disk offset 0 does not inflate"}, /* deflate data */
        {first, 128, "put the grain of disk offset 0"},             /* its lba */
        {first + 8, 0, "put the grain of disk offset 0"},           /* its size */
        {first + 8, 200000, "put the grain of disk offset 0"},
        {first + 8, 40, "does not inflate"},
        {table, 0x7fffffff, "a grain is said to be at byte"},
        {table, 1, "put the grain of disk offset 0"},
        {directory, 0x7fffffff, "its grain table 0 is said to be at"},
        {(uint32_t)m.len - 1024 + HF_VMDK_AT_GD, 0x7fffffff, "its grain directory is said to be at"},
        {(uint32_t)m.len - 1024 + HF_VMDK_AT_CAPACITY, 65536, "footer does not fit"},
        {(uint32_t)m.len - 1024, 0, "truncated"},
        {HF_VMDK_AT_GD, 0x7fffffff, "its grain directory is said"}, /* 0xffffffff7fffffff is no place */
        {HF_VMDK_AT_CAPACITY, 1, "footer does not fit"},
        {HF_VMDK_AT_DESCRIPTOR_SIZE, 4096, "does not lie before the grains"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        int fd = memfd_create("bent", MFD_CLOEXEC);
        uint8_t value[4], grain[65536];
        hf_put_le32(value, cases[i].value);
        assert_int_equal(pwrite(fd, m.bytes, m.len, 0), (ssize_t)m.len);
        assert_int_equal(pwrite(fd, value, 4, cases[i].at), 4);
        if (cases[i].at == HF_VMDK_AT_GD)
            assert_int_equal(pwrite(fd, "\0\0\0\0", 4, HF_VMDK_AT_GD + 4), 4);
        hf_source *source = NULL;
        hf_err err = {0};
        hf_code rc = hf_source_open(fd, "vmdk", &source, &err);
        if (rc == HF_OK)
            rc = hf_source_read(source, grain, sizeof grain, 0, &err);
        if (rc != HF_E_SOURCE_INVALID || !strstr(err.detail, cases[i].why))
            print_error("case %zu: %s\n", i, err.detail);
        assert_int_equal(rc, HF_E_SOURCE_INVALID);
        assert_non_null(strstr(err.detail, cases[i].why));
        hf_source_close(source);
        close(fd);
    }
    made_free(&m);
}

static void what_is_not_known_here_is_left_to_qemu(void **state) {
    (void)state;
    int64_t size = MIB;
    int disk = made_disk(size, 2), ours = made_export(disk, size);
    char text[513] = {0};
    assert_int_equal(pread(ours, text, 512, 512), 512);
    char *type = strstr(text, "streamOptimized");
    assert_non_null(type);
    memcpy(type, "custom\"\n#      ", 15);
    assert_int_equal(pwrite(ours, text, 512, 512), 512);
    hf_source *source = NULL;
    hf_err err = {0};
    assert_int_equal(hf_source_open_vmdk(ours, 0, size_of(ours), &source, &err), HF_E_UNSUPPORTED);
    assert_int_equal(hf_source_open_vmdk(disk, 0, size, &source, &err), HF_E_UNSUPPORTED);
    close(ours);
    close(disk);
}

static void opening_survives_each_failed_allocation(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    int fd = memfd_create("small", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, m.bytes, m.len, 0), (ssize_t)m.len);
    int failed = 0;
    for (uint64_t n = 1;; n++, failed++) {
        hf_source *source = NULL;
        uint8_t grain[65536];
        hf_err err = {0};
        hf_alloc_fail_after(n);
        hf_code rc = hf_source_open_vmdk(fd, 0, (int64_t)m.len, &source, &err);
        if (rc == HF_OK)
            rc = hf_source_read(source, grain, sizeof grain, 0, &err);
        hf_alloc_fail_after(0);
        hf_source_close(source);
        if (rc == HF_OK)
            break;
        assert_int_equal(rc, HF_E_NO_MEMORY);
    }
    assert_true(failed >= 4);
    close(fd);
    made_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_streams_and_qemus_read_as_the_disk_they_were),
        cmocka_unit_test(any_range_is_right_whatever_its_alignment),
        cmocka_unit_test(holes_are_told_from_data),
        cmocka_unit_test(grains_marked_zero_are_holes),
        cmocka_unit_test(a_sparse_disk_that_grew_is_read),
        cmocka_unit_test(a_member_of_a_larger_file_is_read_in_its_place),
        cmocka_unit_test(padding_behind_the_end_hides_no_footer),
        cmocka_unit_test(damage_is_found_with_its_place),
        cmocka_unit_test(what_is_not_known_here_is_left_to_qemu),
        cmocka_unit_test(opening_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
