#include "vmdk_made.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/vmdk.h"

void made_begin(made_vmdk *m, int64_t capacity_sectors) {
    *m = (made_vmdk){.capacity_sectors = capacity_sectors,
                     .version = 3,
                     .flags = HF_VMDK_FLAGS,
                     .grain_sectors = 128,
                     .overhead = 3,
                     .gd = UINT64_MAX};
    m->bytes = calloc(1, MADE_STREAM_MAX);
    assert_non_null(m->bytes);
}

void made_free(made_vmdk *m) { free(m->bytes); }

static void put_header(made_vmdk *m, uint64_t gd) {
    uint8_t *h = m->bytes + m->len;
    hf_put_le32(h, HF_VMDK_MAGIC);
    hf_put_le32(h + HF_VMDK_AT_VERSION, m->version);
    hf_put_le32(h + HF_VMDK_AT_FLAGS, m->flags);
    hf_put_le64(h + HF_VMDK_AT_CAPACITY, (uint64_t)m->capacity_sectors);
    hf_put_le64(h + HF_VMDK_AT_GRAIN_SIZE, m->grain_sectors);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR, 1);
    hf_put_le64(h + HF_VMDK_AT_DESCRIPTOR_SIZE, 1);
    hf_put_le32(h + HF_VMDK_AT_GTES, 512);
    hf_put_le64(h + HF_VMDK_AT_GD, gd);
    hf_put_le64(h + HF_VMDK_AT_OVERHEAD, m->overhead);
    memcpy(h + HF_VMDK_AT_NEWLINES, "\n \r\n", 4);
    hf_put_le16(h + HF_VMDK_AT_COMPRESS, 1);
    m->len += 512;
}

void made_head(made_vmdk *m) {
    put_header(m, m->gd);
    snprintf((char *)m->bytes + m->len, 512,
             "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n"
             "RDONLY %lld SPARSE \"a.vmdk\"\n",
             (long long)m->capacity_sectors);
    m->len = (size_t)m->overhead * 512;
}

void made_sector(made_vmdk *m, const void *bytes, size_t len) {
    assert_true(m->len + len + 512 < MADE_STREAM_MAX);
    memcpy(m->bytes + m->len, bytes, len);
    m->len += (len + 511) / 512 * 512;
}

void made_grain(made_vmdk *m, int64_t grain, uint8_t fill) {
    static uint8_t in[65536], out[12 + 70000];
    size_t size = (size_t)m->grain_sectors * 512;
    memset(in, fill, size);
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t n = libdeflate_zlib_compress(c, in, size, out + 12, sizeof out - 12);
    libdeflate_free_compressor(c);
    assert_true(n > 0);
    hf_put_le64(out, (uint64_t)grain * m->grain_sectors);
    hf_put_le32(out + 8, (uint32_t)n);
    m->entries[grain % 512] = (uint32_t)(m->len / 512);
    made_sector(m, out, n + 12);
}

void made_marker(made_vmdk *m, uint64_t sectors, uint32_t type) {
    uint8_t marker[16] = {0};
    hf_put_le64(marker, sectors);
    hf_put_le32(marker + 12, type);
    made_sector(m, marker, sizeof marker);
}

void made_table(made_vmdk *m, unsigned table) {
    made_marker(m, 4, HF_VMDK_MARKER_GT);
    m->directory[table] = (uint32_t)(m->len / 512);
    made_sector(m, m->entries, sizeof m->entries);
    memset(m->entries, 0, sizeof m->entries);
}

void made_directory(made_vmdk *m) {
    int64_t per_table = (int64_t)m->grain_sectors * 512, tables = (m->capacity_sectors + per_table - 1) / per_table;
    assert_true(tables <= MADE_TABLES_MAX);
    made_marker(m, 1, HF_VMDK_MARKER_GD);
    m->gd = m->len / 512;
    made_sector(m, m->directory, (size_t)tables * 4);
}

void made_footer(made_vmdk *m) {
    made_marker(m, 1, HF_VMDK_MARKER_FOOTER);
    put_header(m, m->gd);
}
void made_end(made_vmdk *m) { made_marker(m, 0, HF_VMDK_MARKER_EOS); }

void made_small(made_vmdk *m) {
    made_begin(m, 2 * 65536 + 1); /* two whole tables and one sector of the third */
    made_head(m);
    made_grain(m, 0, 1);
    made_grain(m, 511, 2);
    made_table(m, 0);
    made_grain(m, 700, 3);
    made_table(m, 1);
    made_grain(m, 1024, 4);
    made_table(m, 2);
    made_directory(m);
    made_footer(m);
    made_end(m);
}

hf_code walk_all(const uint8_t *bytes, size_t len, size_t piece, hf_vmdk_summary *ret, hf_err *reterr) {
    hf_vmdk_walk *w = NULL;
    hf_code rc = hf_vmdk_walk_new(NULL, NULL, &w, reterr);
    for (size_t at = 0; rc == HF_OK && at < len; at += piece)
        rc = hf_vmdk_walk_feed(w, bytes + at, len - at < piece ? len - at : piece, reterr);
    if (rc == HF_OK)
        rc = hf_vmdk_walk_end(w, ret, reterr);
    hf_vmdk_walk_free(w);
    return rc;
}

static int temporary(void) {
    char name[] = "/tmp/hf-vmdk-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

int made_disk(int64_t size, unsigned seed) {
    static uint8_t grain[65536];
    uint64_t x = seed * 2654435761u + 1;
    int fd = temporary();
    assert_int_equal(ftruncate(fd, size), 0);
    for (int64_t at = 0; at < size; at += (int64_t)sizeof grain) {
        size_t n = size - at < (int64_t)sizeof grain ? (size_t)(size - at) : sizeof grain;
        x = x * 6364136223846793005u + 1442695040888963407u;
        unsigned kind = (unsigned)(x >> 60);
        if (kind < 6 && at + (int64_t)n < size)
            continue; /* a hole; never the last one */
        for (size_t i = 0; i < n; i++)
            grain[i] = kind < 12 ? (uint8_t)("the quick brown fox jumps "[(i + kind) % 26])
                                 : (uint8_t)((x = x * 6364136223846793005u + 1) >> 56);
        if (kind == 6)
            memset(grain, 0, n); /* zeros that are not a hole */
        if (kind != 6 || at + (int64_t)n == size)
            memcpy(grain, (const int64_t[]){at + 1}, sizeof at);
        assert_int_equal(pwrite(fd, grain, n, at), (ssize_t)n);
    }
    return fd;
}

int made_export(int disk, int64_t size) {
    int fd = memfd_create("vmdk", MFD_CLOEXEC);
    hf_flow flow;
    hf_out out;
    hf_sink *sink = NULL;
    hf_source *source = NULL;
    hf_pipeline *pipeline = NULL;
    hf_err err = {0};
    hf_flow_init(&flow);
    assert_int_equal(hf_out_init(&out, fd, 0, HF_DIGEST_NONE, NULL, &err), HF_OK);
    assert_int_equal(hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), size, "made.vmdk", &sink, &err), HF_OK);
    assert_int_equal(hf_source_open_raw(disk, &source, &err), HF_OK);
    assert_int_equal(hf_pipeline_new(2, &flow, &pipeline, &err), HF_OK);
    assert_int_equal(hf_pipeline_run(pipeline, source, sink, &err), HF_OK);
    hf_pipeline_free(pipeline);
    hf_source_close(source);
    hf_sink_free(sink);
    hf_out_done(&out);
    hf_flow_done(&flow);
    return fd;
}

int made_by_qemu(int fd, const char *from, const char *to, const char *options) {
    char name[] = "/tmp/hf-vmdk-XXXXXX", in[32];
    int target = mkostemp(name, O_CLOEXEC), inherited = fcntl(fd, F_DUPFD, 64);
    assert_true(target >= 0 && inherited >= 0);
    snprintf(in, sizeof in, "/proc/self/fd/%d", inherited);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (options)
            execlp("qemu-img", "qemu-img", "convert", "-f", from, "-O", to, "-o", options, in, name, (char *)NULL);
        else
            execlp("qemu-img", "qemu-img", "convert", "-f", from, "-O", to, in, name, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(inherited);
    close(target);
    target = open(name, O_RDWR | O_CLOEXEC); /* qemu-img may have made it anew */
    unlink(name);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0 && target >= 0);
    return target;
}

void same_bytes(int a, int b, int64_t size) {
    enum { BLOCK = 1 << 20 };
    uint8_t *x = malloc(2 * BLOCK), *y = x + BLOCK;
    assert_non_null(x);
    for (int64_t at = 0; at < size; at += BLOCK) {
        size_t n = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        assert_int_equal(pread(a, x, n, at), (ssize_t)n);
        assert_int_equal(pread(b, y, n, at), (ssize_t)n);
        assert_memory_equal(x, y, n);
    }
    free(x);
}

static hf_code made_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    made_stream *m = (made_stream *)stream;
    int64_t left = m->len - m->at;
    m->piece = m->piece * 1103515245u + 12345u;
    size_t n = 1 + m->piece / 7 % (m->piece & 64 ? 100 : 70000);
    if (n > cap)
        n = cap;
    if ((int64_t)n > left)
        n = (size_t)left;
    if (m->fail_at >= 0 && m->at + (int64_t)n > m->fail_at)
        return hf_fail(reterr, HF_E_UNREACHABLE, "the line broke");
    assert_int_equal(pread(m->fd, to, n, m->at), (ssize_t)n);
    m->at += (int64_t)n;
    *ret_len = n;
    return HF_OK;
}
static void made_close(hf_stream *stream) { (void)stream; }

made_stream made_stream_of(int fd, int64_t len) {
    static const hf_stream_class made_class = {"made", made_read, made_close};
    return (made_stream){.stream = {&made_class, len}, .fd = fd, .len = len, .fail_at = -1, .piece = 7};
}
