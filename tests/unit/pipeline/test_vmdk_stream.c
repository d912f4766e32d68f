/* labels: tsan */
/* A VMDK that comes as a stream is the same disk as its file, with any number of threads and the smallest window; and whatever
 * breaks, the run ends and says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/mem.h"
#include "vmdk_made.h"

enum { MIB = 1024 * 1024 };

static int64_t size_of(int fd) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

typedef hf_code (*make_sink)(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr);

static hf_code run_into(hf_source *source, make_sink make, int threads, int *ret_fd, hf_err *reterr) {
    *ret_fd = memfd_create("sink", MFD_CLOEXEC);
    hf_flow flow;
    hf_sink *sink = NULL;
    hf_pipeline *p = NULL;
    hf_flow_init(&flow);
    assert_int_equal(make(*ret_fd, source->size_bytes, &flow, &sink, reterr), HF_OK);
    assert_int_equal(hf_pipeline_new(threads, &flow, &p, reterr), HF_OK);
    hf_code rc = hf_pipeline_run(p, source, sink, reterr);
    hf_pipeline_free(p);
    hf_sink_free(sink);
    hf_flow_done(&flow);
    return rc;
}

static hf_code run_stream(made_stream *m, make_sink make, int threads, int *ret_fd, hf_err *reterr) {
    hf_source *source = NULL;
    *ret_fd = -1;
    hf_code rc = hf_source_open_vmdk_stream(&m->stream, 0, &source, reterr);
    if (rc != HF_OK)
        return rc;
    assert_int_equal(source->allocated_bytes, source->size_bytes);
    assert_int_equal(hf_source_unchanged(source, NULL), HF_OK);
    rc = run_into(source, make, threads, ret_fd, reterr);
    hf_source_close(source);
    return rc;
}

static void same_as_file(int vmdk, int disk, int64_t size) {
    static const make_sink sinks[] = {hf_sink_raw_new, hf_sink_qcow2_new};
    hf_err err = {0};
    for (int threads = 1; threads <= 9; threads += 8)
        for (size_t i = 0; i < HF_ARRAY_LEN(sinks); i++) {
            hf_source *source = NULL;
            int by_file, by_stream;
            assert_int_equal(hf_source_open_vmdk(vmdk, 0, size_of(vmdk), &source, &err), HF_OK);
            assert_int_equal(run_into(source, sinks[i], threads, &by_file, &err), HF_OK);
            hf_source_close(source);
            made_stream m = made_stream_of(vmdk, size_of(vmdk));
            hf_code rc = run_stream(&m, sinks[i], threads, &by_stream, &err);
            if (rc != HF_OK)
                print_error("%s\n", err.detail);
            assert_int_equal(rc, HF_OK);
            assert_int_equal(m.at, m.len); /* the whole of it was walked */
            assert_int_equal(size_of(by_file), size_of(by_stream));
            same_bytes(by_file, by_stream, size_of(by_file));
            if (sinks[i] == hf_sink_raw_new)
                same_bytes(disk, by_stream, size);
            close(by_file);
            close(by_stream);
        }
}

static void a_stream_is_the_disk_that_its_file_is(void **state) {
    (void)state;
    static const int64_t sizes[] = {512, 65536, 3 * 65536 + 512, 34 * MIB + 3 * 512};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        int disk = made_disk(sizes[i], (unsigned)i + 20), ours = made_export(disk, sizes[i]);
        same_as_file(ours, disk, sizes[i]);
        int qemus = made_by_qemu(disk, "raw", "vmdk", "subformat=streamOptimized");
        same_as_file(qemus, disk, sizes[i]);
        close(disk);
        close(ours);
        close(qemus);
    }
}

static int small_grains(unsigned grain_sectors, made_vmdk *m) {
    made_begin(m, 2 * 65536 + 3);
    m->grain_sectors = grain_sectors;
    made_head(m);
    int64_t grains = m->capacity_sectors / grain_sectors + 1, table = 0;
    for (int64_t g = 0; g < grains; g++) {
        if (g / 512 != table)
            made_table(m, (unsigned)table);
        table = g / 512;
        if (g % 5 && (g / 64) % 3)
            made_grain(m, g, (uint8_t)(g % 251 + 1));
    }
    made_table(m, (unsigned)table);
    made_directory(m);
    made_footer(m);
    made_end(m);
    int fd = memfd_create("made", MFD_CLOEXEC);
    assert_int_equal(pwrite(fd, m->bytes, m->len, 0), (ssize_t)m->len);
    return fd;
}

static void grains_smaller_than_the_pipelines_come_through(void **state) {
    (void)state;
    made_vmdk m;
    int vmdk = small_grains(32, &m), disk = -1;
    hf_source *source = NULL;
    hf_err err = {0};
    assert_int_equal(hf_source_open_vmdk(vmdk, 0, (int64_t)m.len, &source, &err), HF_OK);
    assert_int_equal(run_into(source, hf_sink_raw_new, 1, &disk, &err), HF_OK);
    uint8_t byte;
    for (int64_t g = 0; g < 2048; g++) {
        assert_int_equal(pread(disk, &byte, 1, g * 16384 + 77), 1);
        assert_int_equal(byte, g % 5 && (g / 64) % 3 ? g % 251 + 1 : 0);
    }
    same_as_file(vmdk, disk, source->size_bytes);
    hf_source_close(source);
    close(vmdk);
    close(disk);
    made_free(&m);
}

/* A disk that does not compress, so that the window is full all the time. */
static int random_disk(int64_t size) {
    int fd = memfd_create("random", MFD_CLOEXEC);
    uint64_t x = 1, block[8192];
    for (int64_t at = 0; at < size; at += (int64_t)sizeof block) {
        for (size_t i = 0; i < HF_ARRAY_LEN(block); i++)
            block[i] = x = (x ^ x >> 31) * 6364136223846793005u + 1442695040888963407u;
        assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
    }
    return fd;
}

typedef struct failing_sink {
    hf_sink sink;
    int64_t fail_at;
} failing_sink;
static hf_code failing_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    usleep(2000); /* so that the window fills */
    return chunk->offset >= ((failing_sink *)sink)->fail_at ? hf_fail(reterr, HF_E_NO_SPACE, "full") : HF_OK;
}
static hf_code failing_finish(hf_sink *sink, hf_err *reterr) {
    (void)sink;
    (void)reterr;
    return HF_OK;
}
static void failing_free(hf_sink *sink) { free(sink); }
static hf_code failing_new(int fd, int64_t size_bytes, hf_flow *flow, hf_sink **ret, hf_err *reterr) {
    static const hf_sink_class failing_class = {
        .name = "failing", .commit = failing_commit, .finish = failing_finish, .free = failing_free};
    failing_sink *f = hf_alloc(sizeof *f);
    (void)fd;
    (void)flow;
    (void)reterr;
    *f = (failing_sink){.sink.cls = &failing_class, .fail_at = size_bytes / 3};
    *ret = &f->sink;
    return HF_OK;
}

static void a_run_that_fails_ends_a_planner_that_waits_for_room(void **state) {
    (void)state;
    int64_t size = 24 * MIB;
    int disk = random_disk(size), ours = made_export(disk, size);
    for (int threads = 1; threads < 20; threads += 6) {
        made_stream m = made_stream_of(ours, size_of(ours));
        hf_err err = {0};
        int fd;
        assert_int_equal(run_stream(&m, failing_new, threads, &fd, &err), HF_E_NO_SPACE);
        close(fd);
    }
    same_as_file(ours, disk, size);
    close(ours);
    close(disk);
}

static void a_broken_line_is_the_runs_error(void **state) {
    (void)state;
    int64_t size = 20 * MIB;
    int disk = random_disk(size), ours = made_export(disk, size);
    int64_t len = size_of(ours);
    const int64_t places[] = {0, 100, 70000, len / 2, len - 1};
    for (size_t i = 0; i < HF_ARRAY_LEN(places); i++) {
        made_stream m = made_stream_of(ours, len);
        m.fail_at = places[i];
        hf_err err = {0};
        int fd;
        assert_int_equal(run_stream(&m, hf_sink_raw_new, 2, &fd, &err), HF_E_UNREACHABLE);
        close(fd);
    }
    close(ours);
    close(disk);
}

static void a_stream_that_ends_early_is_never_a_disk(void **state) {
    (void)state;
    int64_t size = 20 * MIB;
    int disk = made_disk(size, 9), ours = made_export(disk, size);
    int64_t len = size_of(ours);
    for (int64_t cut = len - 512; cut > 0; cut -= cut > len - 6000 ? 512 : len / 23) {
        made_stream m = made_stream_of(ours, cut);
        hf_err err = {0};
        int fd;
        assert_int_equal(run_stream(&m, hf_sink_raw_new, 2, &fd, &err), HF_E_VERIFY_FAILED);
        assert_non_null(strstr(err.detail, "truncated"));
        close(fd);
    }
    close(ours);
    close(disk);
}

static void a_damaged_grain_is_named(void **state) {
    (void)state;
    made_vmdk v;
    made_small(&v);
    v.bytes[v.overhead * 512 + 20] ^= 0x55;
    int fd = memfd_create("bent", MFD_CLOEXEC), to;
    assert_int_equal(pwrite(fd, v.bytes, v.len, 0), (ssize_t)v.len);
    made_stream m = made_stream_of(fd, (int64_t)v.len);
    hf_err err = {0};
    assert_int_equal(run_stream(&m, hf_sink_raw_new, 2, &to, &err), HF_E_SOURCE_INVALID);
    assert_non_null(strstr(err.detail, "disk offset 0 does not inflate"));
    close(to);
    close(fd);
    made_free(&v);
}

static void grains_out_of_order_are_refused_by_name(void **state) {
    (void)state;
    made_vmdk v;
    made_begin(&v, 65536);
    made_head(&v);
    made_grain(&v, 9, 1);
    made_grain(&v, 3, 1);
    made_table(&v, 0);
    made_directory(&v);
    made_footer(&v);
    made_end(&v);
    int fd = memfd_create("order", MFD_CLOEXEC), to;
    assert_int_equal(pwrite(fd, v.bytes, v.len, 0), (ssize_t)v.len);
    made_stream m = made_stream_of(fd, (int64_t)v.len);
    hf_err err = {0};
    assert_int_equal(run_stream(&m, hf_sink_raw_new, 2, &to, &err), HF_E_UNSUPPORTED);
    assert_non_null(strstr(err.detail, "keep it as a file first"));
    close(to);
    close(fd);
    made_free(&v);
}

static void a_range_is_read_once(void **state) {
    (void)state;
    int64_t size = 4 * MIB, end;
    int disk = random_disk(size), ours = made_export(disk, size);
    made_stream m = made_stream_of(ours, size_of(ours));
    hf_source *source = NULL;
    hf_err err = {0};
    bool data;
    uint8_t got[1000], want[1000];
    assert_int_equal(hf_source_open_vmdk_stream(&m.stream, 0, &source, &err), HF_OK);
    for (int64_t at = 0; at < size; at += (int64_t)sizeof got) { /* in small steps, across grains */
        size_t n = size - at < (int64_t)sizeof got ? (size_t)(size - at) : sizeof got;
        assert_int_equal(hf_source_extent(source, at + (int64_t)n - 1, &end, &data, &err), HF_OK);
        assert_true(data);
        assert_int_equal(hf_source_read(source, got, n, at, &err), HF_OK);
        assert_int_equal(pread(disk, want, n, at), (ssize_t)n);
        assert_memory_equal(got, want, n);
    }
    assert_int_equal(hf_source_read(source, got, sizeof got, 0, &err), HF_E_INTERNAL);
    hf_source_close(source);
    close(ours);
    close(disk);
}

static void a_run_may_begin_in_the_middle(void **state) {
    (void)state;
    int64_t size = 24 * MIB, from = 17 * MIB;
    int disk = random_disk(size), ours = made_export(disk, size), fd = memfd_create("raw", MFD_CLOEXEC);
    made_stream m = made_stream_of(ours, size_of(ours));
    hf_source *source = NULL;
    hf_sink *sink = NULL;
    hf_pipeline *p = NULL;
    hf_err err = {0};
    hf_flow flow;
    hf_flow_init(&flow);
    assert_int_equal(hf_source_open_vmdk_stream(&m.stream, 0, &source, &err), HF_OK);
    assert_int_equal(hf_sink_qcow2_new(fd, size, &flow, &sink, &err), HF_OK);
    assert_int_equal(hf_pipeline_new(2, &flow, &p, &err), HF_OK);
    assert_int_equal(hf_pipeline_run_from(p, source, sink, from, 0, &err), HF_OK);
    assert_int_equal(m.at, m.len);
    assert_int_equal(hf_pipeline_populated(p), size - from);
    hf_pipeline_free(p);
    hf_sink_free(sink);
    hf_source_close(source);
    hf_flow_done(&flow);
    close(fd);
    close(ours);
    close(disk);
}

static void opening_survives_each_failed_allocation(void **state) {
    (void)state;
    made_vmdk v;
    made_small(&v);
    int fd = memfd_create("small", MFD_CLOEXEC), failed = 0;
    assert_int_equal(pwrite(fd, v.bytes, v.len, 0), (ssize_t)v.len);
    for (uint64_t n = 1;; n++, failed++) {
        made_stream m = made_stream_of(fd, (int64_t)v.len);
        hf_source *source = NULL;
        hf_err err = {0};
        hf_alloc_fail_after(n);
        hf_code rc = hf_source_open_vmdk_stream(&m.stream, 0, &source, &err);
        hf_alloc_fail_after(0);
        hf_source_close(source);
        if (rc == HF_OK)
            break;
        assert_int_equal(rc, HF_E_NO_MEMORY);
    }
    assert_true(failed >= 4);
    close(fd);
    made_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_the_disk_that_its_file_is),
        cmocka_unit_test(grains_smaller_than_the_pipelines_come_through),
        cmocka_unit_test(a_run_that_fails_ends_a_planner_that_waits_for_room),
        cmocka_unit_test(a_broken_line_is_the_runs_error),
        cmocka_unit_test(a_stream_that_ends_early_is_never_a_disk),
        cmocka_unit_test(a_damaged_grain_is_named),
        cmocka_unit_test(grains_out_of_order_are_refused_by_name),
        cmocka_unit_test(a_range_is_read_once),
        cmocka_unit_test(a_run_may_begin_in_the_middle),
        cmocka_unit_test(opening_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
