/* labels: slow */
/* Writers of images at sizes that no test wants to fill: the largest disk of each format with data at both ends, one byte more refused by
 * name, and a qcow2 whose file needs a second refcount block. Checked by qemu-img, and read back through qemu-nbd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/pipeline/sink.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

#define GIB ((int64_t)1 << 30)
#define TIB ((int64_t)1 << 40)

static char dir[64];
static hf_flow flow;
static hf_chunk text, noise;

static int sh(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *format, ...) {
    char command[1024];
    int n = snprintf(command, sizeof command, "cd %s && ", dir);
    va_list args;
    va_start(args, format);
    vsnprintf(command + n, sizeof command - (size_t)n, format, args);
    va_end(args);
    return system(command);
}

static int make_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void chunk_new(hf_chunk *chunk, bool compressible) {
    uint64_t seed = 9;
    *chunk = (hf_chunk){.len = HF_CHUNK_BYTES,
                        .mapped = 0xffff,
                        .used = 0xffff,
                        .data = hf_alloc(HF_CHUNK_BYTES),
                        .out = hf_alloc(HF_ENCODED_CHUNK_MAX)};
    assert_true(chunk->data && chunk->out);
    for (size_t i = 0; i < HF_CHUNK_BYTES; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        chunk->data[i] = compressible ? (uint8_t) "once more, "[(i + i / 4096) % 11] : (uint8_t)(seed >> 33);
    }
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hf-test-image-XXXXXX");
    assert_non_null(mkdtemp(dir));
    hf_flow_init(&flow);
    chunk_new(&text, true);
    chunk_new(&noise, false);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(text.data);
    free(text.out);
    free(noise.data);
    free(noise.out);
    hf_flow_done(&flow);
    return sh("cd / && rm -rf %s", dir);
}

static bool have_qemu(void) { return sh("command -v qemu-img >/dev/null && command -v qemu-nbd >/dev/null") == 0; }

/* As a worker of the pipeline does. */
static void encode(hf_sink *sink, hf_chunk *chunk) {
    hf_err err = {0};
    chunk->out_len = 0;
    if (!sink->cls->encode)
        return;
    void *lane = sink->cls->lane_new(sink);
    assert_non_null(lane);
    assert_int_equal(sink->cls->encode(sink, lane, chunk, &err), HF_OK);
    sink->cls->lane_free(sink, lane);
}

static void commit_at(hf_sink *sink, hf_chunk *chunk, int64_t offset) {
    hf_err err = {0};
    chunk->offset = offset;
    if (sink->cls->commit(sink, chunk, &err) != HF_OK)
        fail_msg("%s", err.detail);
}

static void expect_read(int fd, const char *format, int64_t size, const int64_t *offsets, size_t count) {
    hf_err err = {0};
    hf_source *source = NULL;
    hf_auto_free uint8_t *piece = hf_alloc(HF_CHUNK_BYTES);
    if (hf_source_open_nbd(fd, format, &source, &err) != HF_OK)
        fail_msg("%s", err.detail);
    assert_int_equal(source->size_bytes, size);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hf_source_read(source, piece, HF_CHUNK_BYTES, offsets[i], &err), HF_OK);
        assert_memory_equal(piece, text.data, HF_CHUNK_BYTES);
    }
    hf_source_close(source);
}

/* ---- the largest disk ---------------------------------------------------------------------------------- */
static hf_code new_qcow2(int fd, const char *seed, int64_t size, hf_flow *f, hf_sink **ret, hf_err *reterr) {
    (void)seed;
    return hf_sink_qcow2_compressed_new(fd, hf_codec_find(HF_STR("")), size, f, ret, reterr);
}

static const struct {
    hf_sink_seeded_new new_sink;
    const char *name, *qemu;
    int64_t size, too_large; /* a sparse VMDK's end is that of its file: one beyond whose tables alone pass it */
    const char *instead;
} formats[] = {
    {new_qcow2, "qcow2", "qcow2", 64 * TIB, 64 * TIB + 1, "raw"},
    {hf_sink_vdi_new, "vdi", "vdi", 8 * TIB, 8 * TIB + 1, "vhdx"},
    {hf_sink_vhd_new, "vhd", "vpc", 2040 * GIB, 2040 * GIB + 1, "vhdx"},
    {hf_sink_vhdx_new, "vhdx", "vhdx", 64 * TIB, 64 * TIB + 1, "raw"},
    {hf_sink_vmdk_sparse_new, "vmdk", "vmdk", 2 * TIB, (int64_t)30000 * TIB, "vhdx"},
};

static void the_largest_disk_has_both_its_ends(void **state) {
    (void)state;
    if (!have_qemu())
        skip();
    for (size_t i = 0; i < HF_ARRAY_LEN(formats); i++) {
        hf_err err = {0};
        hf_sink *sink = NULL;
        const int64_t offsets[] = {0, formats[i].size / 2 - formats[i].size / 2 % HF_CHUNK_BYTES,
                                   formats[i].size - HF_CHUNK_BYTES};
        hf_auto_fd int fd = make_file(formats[i].name);
        assert_int_equal(formats[i].new_sink(fd, "the seed", formats[i].size, &flow, &sink, &err), HF_OK);
        encode(sink, &text);
        for (size_t k = 0; k < HF_ARRAY_LEN(offsets); k++)
            commit_at(sink, &text, offsets[k]);
        assert_int_equal(sink->cls->finish(sink, &err), HF_OK);
        hf_sink_free(sink);
        expect_read(fd, formats[i].name, formats[i].size, offsets, HF_ARRAY_LEN(offsets));
        if (strcmp(formats[i].qemu, "vpc") != 0)
            assert_int_equal(sh("qemu-img check -q -f %s %s", formats[i].qemu, formats[i].name), 0);
        assert_int_equal(sh("rm %s", formats[i].name), 0);
    }
}

static void one_byte_more_is_refused_with_what_would_do(void **state) {
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(formats); i++) {
        hf_err err = {0};
        hf_sink *sink = NULL;
        hf_auto_fd int fd = make_file(formats[i].name);
        assert_int_equal(formats[i].new_sink(fd, "the seed", formats[i].too_large, &flow, &sink, &err), HF_E_LIMIT);
        assert_non_null(strstr(err.detail, "export as"));
        assert_non_null(strstr(err.detail, formats[i].instead));
    }
}

/* ---- identifiers ------------------------------------------------------------------------------------------ */
static void read_head(const char *seed, hf_sink_seeded_new new_sink, uint8_t head[4096]) {
    hf_err err = {0};
    hf_sink *sink = NULL;
    hf_auto_fd int fd = make_file("seeded");
    assert_int_equal(new_sink(fd, seed, 1 << 20, &flow, &sink, &err), HF_OK);
    assert_int_equal(sink->cls->finish(sink, &err), HF_OK);
    hf_sink_free(sink);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    memset(head, 0, 4096);
    assert_true(pread(fd, head, 2048, 0) > 0);
    assert_true(pread(fd, head + 2048, 2048, 64 << 10) >= 0); /* VHDX: its header */
}

static void the_seed_alone_gives_the_identifiers(void **state) {
    static const hf_sink_seeded_new seeded[] = {hf_sink_vdi_new, hf_sink_vhd_new, hf_sink_vhdx_new};
    uint8_t one[4096], again[4096], other[4096];
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(seeded); i++) {
        read_head("job-1/disk1", seeded[i], one);
        read_head("job-1/disk1", seeded[i], again);
        read_head("job-2/disk1", seeded[i], other);
        assert_memory_equal(one, again, sizeof one);
        assert_memory_not_equal(one, other, sizeof one);
    }
}

/* ---- a qcow2 past what one refcount block counts ------------------------------------------------------------- */
/* Whole clusters of noise, whose place in the file is given back at once, with packed ones between; more than 2 GiB of file. */
static void a_second_refcount_block_counts_what_is_behind_2_GiB(void **state) {
    enum { CHUNKS = 2200, TEXT_EVERY = 50 };
    int64_t offsets[CHUNKS / TEXT_EVERY];
    size_t texts = 0;
    (void)state;
    if (!have_qemu())
        skip();
    hf_err err = {0};
    hf_sink *sink = NULL;
    hf_auto_fd int fd = make_file("long.qcow2");
    int64_t size = (int64_t)CHUNKS * HF_CHUNK_BYTES;
    assert_int_equal(hf_sink_qcow2_compressed_new(fd, hf_codec_find(HF_STR("fast")), size, &flow, &sink, &err), HF_OK);
    encode(sink, &text);
    encode(sink, &noise);
    assert_true(text.out_len > 0 && text.out_len < HF_CHUNK_BYTES / 4);
    assert_int_equal(noise.out_len, 0);
    for (int i = 0; i < CHUNKS; i++) {
        struct stat before, after;
        int64_t offset = (int64_t)i * HF_CHUNK_BYTES;
        assert_int_equal(fstat(fd, &before), 0);
        commit_at(sink, i % TEXT_EVERY ? &noise : &text, offset);
        assert_int_equal(fstat(fd, &after), 0);
        if (i % TEXT_EVERY == 0)
            offsets[texts++] = offset;
        else if (after.st_size - before.st_size == HF_CHUNK_BYTES) /* nothing but the noise */
            fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, before.st_size, HF_CHUNK_BYTES);
    }
    assert_int_equal(sink->cls->finish(sink, &err), HF_OK);
    hf_sink_free(sink);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_size > 2 * GIB);
    assert_int_equal(sh("qemu-img check -q -f qcow2 long.qcow2"), 0);
    expect_read(fd, "qcow2", size, offsets, texts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_disk_has_both_its_ends),
        cmocka_unit_test(one_byte_more_is_refused_with_what_would_do),
        cmocka_unit_test(the_seed_alone_gives_the_identifiers),
        cmocka_unit_test(a_second_refcount_block_counts_what_is_behind_2_GiB),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
