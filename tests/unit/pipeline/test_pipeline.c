/* The ring itself: order, zeros, errors from every side, cancel, bandwidth, progress, disks of many TiB; and the small writers
 * beside it (tar, codecs). Sources and sinks here are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consumer/pipeline/ova_write.h"
#include "consumer/pipeline/pipeline.h"
#include "consumer/pipeline/tar.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

/* A disk of `size` bytes: data in every `step`-th run of `run` bytes, each byte derived from its grain's number. */
typedef struct made_source {
    hf_source source;
    int64_t run, step;
    int64_t fail_at; /* reads at or past it fail; -1 never */
    atomic_int reads;
    useconds_t delay_us;
} made_source;

static hf_code made_extent(hf_source *source, int64_t offset, int64_t *ret_end, bool *ret_data, hf_err *reterr) {
    made_source *m = (made_source *)source;
    (void)reterr;
    int64_t period = m->run * m->step, in = offset % period;
    *ret_data = in < m->run;
    int64_t end = offset - in + (*ret_data ? m->run : period);
    *ret_end = end < source->size_bytes ? end : source->size_bytes;
    return HF_OK;
}

static hf_code made_read(hf_source *source, void *to, size_t len, int64_t offset, hf_err *reterr) {
    made_source *m = (made_source *)source;
    uint8_t *p = to;
    if (atomic_fetch_add(&m->reads, 1) % 3 == 0 && m->delay_us)
        usleep(m->delay_us); /* so that chunks end out of order */
    if (m->fail_at >= 0 && offset + (int64_t)len > m->fail_at)
        return hf_fail(reterr, HF_E_IO, "a bad sector at %lld", (long long)m->fail_at);
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((offset + (int64_t)i) / HF_GRAIN_BYTES % 5); /* each fifth grain is zeros */
    return HF_OK;
}
static void made_close(hf_source *source) { (void)source; }
static const hf_source_class made_class = {"made", made_extent, made_read, made_close};

static made_source made(int64_t size, int64_t run, int64_t step) {
    return (made_source){
        .source = {.cls = &made_class, .fd = -1, .size_bytes = size}, .run = run, .step = step, .fail_at = -1};
}

/* A sink that checks what comes and in which order. */
typedef struct made_sink {
    hf_sink sink;
    int64_t last, used, chunks, fail_at, encode_fail_at;
    bool finished;
} made_sink;

static hf_code sink_encode(hf_sink *sink, void *lane, hf_chunk *chunk, hf_err *reterr) {
    const made_sink *m = (const made_sink *)sink;
    (void)lane;
    if (m->encode_fail_at >= 0 && chunk->offset >= m->encode_fail_at)
        return hf_fail(reterr, HF_E_INTERNAL, "encoder");
    chunk->out[0] = chunk->data[(size_t)__builtin_ctz(chunk->used) * HF_GRAIN_BYTES];
    return HF_OK;
}

static hf_code sink_commit(hf_sink *sink, const hf_chunk *chunk, hf_err *reterr) {
    made_sink *m = (made_sink *)sink;
    assert_true(chunk->offset > m->last);
    assert_int_equal(chunk->offset % HF_CHUNK_BYTES, 0);
    assert_int_equal(chunk->used & ~chunk->mapped, 0);
    m->last = chunk->offset;
    m->chunks++;
    for (unsigned i = 0; i < HF_CHUNK_GRAINS; i++) {
        int64_t grain = chunk->offset / HF_GRAIN_BYTES + i;
        if (chunk->mapped >> i & 1)
            assert_int_equal(chunk->used >> i & 1, grain % 5 != 0);
        if (chunk->used >> i & 1) {
            assert_int_equal(chunk->data[(size_t)i * HF_GRAIN_BYTES], grain % 5);
            m->used++;
        }
    }
    return m->fail_at >= 0 && chunk->offset >= m->fail_at ? hf_fail(reterr, HF_E_NO_SPACE, "the sink is full") : HF_OK;
}
static hf_code sink_finish(hf_sink *sink, hf_err *reterr) {
    (void)reterr;
    ((made_sink *)sink)->finished = true;
    return HF_OK;
}
static void sink_free(hf_sink *sink) { (void)sink; }
static const hf_sink_class sink_class = {
    .name = "made", .encode = sink_encode, .commit = sink_commit, .finish = sink_finish, .free = sink_free};
static made_sink checking(void) {
    return (made_sink){.sink.cls = &sink_class, .last = -1, .fail_at = -1, .encode_fail_at = -1};
}

static hf_code run(int threads, hf_flow *flow, made_source *source, made_sink *sink, hf_err *err) {
    hf_pipeline *p = NULL;
    assert_int_equal(hf_pipeline_new(threads, flow, &p, err), HF_OK);
    hf_code rc = hf_pipeline_run(p, &source->source, &sink->sink, err);
    if (rc == HF_OK)
        assert_int_equal(hf_pipeline_populated(p), sink->used * HF_GRAIN_BYTES);
    hf_pipeline_free(p);
    assert_int_equal(sink->finished, rc == HF_OK);
    return rc;
}

static void chunks_come_in_order_with_their_data(void **state) {
    (void)state;
    static const struct {
        int64_t size, run, step;
    } cases[] = {{0, 4096, 1},
                 {100, 4096, 1},
                 {HF_CHUNK_BYTES * 50, HF_CHUNK_BYTES * 100, 1},
                 {HF_CHUNK_BYTES * 60 + 777, 5000, 40},
                 {HF_CHUNK_BYTES * 300, 3 * HF_CHUNK_BYTES + 512, 3}};
    for (int threads = 1; threads <= 5; threads += 2)
        for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
            hf_flow flow;
            hf_err err;
            hf_flow_init(&flow);
            made_source source = made(cases[i].size, cases[i].run, cases[i].step);
            made_sink sink = checking();
            source.delay_us = 300;
            assert_int_equal(run(threads, &flow, &source, &sink, &err), HF_OK);
            hf_flow_done(&flow);
        }
}

static void the_first_error_ends_it_from_every_side(void **state) {
    (void)state;
    for (int threads = 1; threads <= 4; threads += 3)
        for (int side = 0; side < 3; side++)
            for (int64_t at = 0; at < 40 * HF_CHUNK_BYTES; at += 13 * HF_CHUNK_BYTES) {
                hf_flow flow;
                hf_err err;
                hf_flow_init(&flow);
                made_source source = made(50 * HF_CHUNK_BYTES, HF_CHUNK_BYTES, 1);
                made_sink sink = checking();
                *(side == 0 ? &source.fail_at : side == 1 ? &sink.fail_at : &sink.encode_fail_at) = at;
                static const hf_code codes[] = {HF_E_IO, HF_E_NO_SPACE, HF_E_INTERNAL};
                assert_int_equal(run(threads, &flow, &source, &sink, &err), codes[side]);
                assert_int_equal(err.code, codes[side]);
                hf_flow_done(&flow);
            }
}

static void hundreds_of_tebibytes_of_holes_take_no_time(void **state) {
    (void)state;
    hf_flow flow;
    hf_err err;
    hf_flow_init(&flow);
    int64_t start = hf_mono_ns();
    made_source source = made((int64_t)300 << 40, HF_CHUNK_BYTES, (int64_t)8 << 20); /* one chunk in 8 TiB */
    made_sink sink = checking();
    assert_int_equal(run(2, &flow, &source, &sink, &err), HF_OK);
    assert_int_equal(sink.chunks, 38);
    assert_true(hf_mono_ns() - start < 5000000000LL);
    hf_flow_done(&flow);
}

typedef struct watch {
    atomic_bool cancel;
    int calls;
    hf_flow_progress last;
    int64_t cancelled_ns, cancel_at;
} watch;
static void on_progress(void *ctx, const hf_flow_progress *p) {
    watch *w = ctx;
    assert_true(p->bytes_done >= w->last.bytes_done && p->bytes_done <= p->bytes_total);
    w->calls++;
    w->last = *p;
    if (w->cancel_at && p->bytes_done >= w->cancel_at && !w->cancelled_ns) {
        w->cancelled_ns = hf_mono_ns();
        atomic_store(&w->cancel, true);
    }
}

/* How long a wait of minutes for bandwidth goes on after the job was cancelled. */
static int64_t cancel_takes_ns(void) {
    hf_flow flow;
    hf_err err;
    watch w = {.cancel_at = 1};
    atomic_llong limit = 1 << 20;
    hf_flow_init(&flow);
    flow.cancel = &w.cancel;
    flow.bandwidth_limit = &limit;
    flow.progress = on_progress;
    flow.progress_ctx = &w;
    flow.bytes_total = 32 << 20;
    made_source source = made(32 << 20, HF_CHUNK_BYTES, 1);
    made_sink sink = checking();
    assert_int_equal(run(3, &flow, &source, &sink, &err), HF_E_CANCELLED);
    assert_true(w.cancelled_ns);
    int64_t took = hf_mono_ns() - w.cancelled_ns;
    hf_flow_done(&flow);
    return took;
}

static void bandwidth_is_kept_and_can_change_and_cancel_is_quick(void **state) {
    (void)state;
    hf_flow flow;
    hf_err err;
    watch w = {0};
    atomic_llong limit = 40 << 20;
    hf_flow_init(&flow);
    flow.cancel = &w.cancel;
    flow.bandwidth_limit = &limit;
    flow.progress = on_progress;
    flow.progress_ctx = &w;
    flow.bytes_total = 32 << 20;
    made_source source = made(32 << 20, HF_CHUNK_BYTES, 1);
    made_sink sink = checking();
    int64_t start = hf_mono_ns();
    assert_int_equal(run(3, &flow, &source, &sink, &err), HF_OK);
    double seconds = (double)(hf_mono_ns() - start) * 1e-9;
    assert_true(seconds > 0.55); /* 0.8 s less a burst of 0.1 s and the last debt */
    assert_int_equal(atomic_load(&flow.bytes_read), 32 << 20);
    assert_true(w.calls >= 3 && w.last.eta_seconds >= 0 && w.last.bytes_per_second > 0);
    hf_flow_done(&flow);
    /* The machine may have other work for a moment: the quickest of a few says how it is built. */
    int64_t quickest = INT64_MAX;
    for (int i = 0; i < 8 && quickest >= 200000000LL; i++) {
        int64_t took = cancel_takes_ns();
        quickest = took < quickest ? took : quickest;
    }
    assert_true(quickest < 200000000LL);
}

static void codecs_give_streams_that_others_read(void **state) {
    (void)state;
    static uint8_t in[HF_GRAIN_BYTES], out[HF_CODEC_BOUND], back[HF_GRAIN_BYTES];
    size_t count;
    const hf_codec *codecs = hf_codecs(&count);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    for (size_t c = 0; c < count; c++) {
        void *lane = codecs[c].lane_new(codecs[c].level);
        for (int kind = 0; kind < 4; kind++) {
            uint32_t seed = 1;
            for (size_t i = 0; i < sizeof in; i++) {
                seed = seed * 1664525 + 1013904223;
                in[i] = kind == 0   ? 0
                        : kind == 1 ? (uint8_t)(seed >> 24)
                        : kind == 2 ? (uint8_t) "some text, "[i % 11]
                                    : (uint8_t)(seed >> 30);
            }
            size_t n = codecs[c].compress(lane, in, sizeof in, out, sizeof out), got = 0;
            assert_true(n > 0 && n <= sizeof out);
            assert_int_equal(out[0] & 15, 8); /* RFC 1950: deflate */
            assert_int_equal((out[0] * 256 + out[1]) % 31, 0);
            assert_int_equal(libdeflate_zlib_decompress(d, out, n, back, sizeof back, &got), LIBDEFLATE_SUCCESS);
            assert_int_equal(got, sizeof in);
            assert_memory_equal(in, back, sizeof in);
            assert_int_equal(codecs[c].compress(lane, in, sizeof in, out, 8), 0);
        }
        codecs[c].lane_free(lane);
    }
    libdeflate_free_decompressor(d);
    assert_ptr_equal(hf_codec_find(HF_STR("")), &codecs[0]);
    assert_null(hf_codec_find(HF_STR("nope")));
    assert_string_equal(hf_codec_for_level(9)->name, "small");
}

static void tar_headers(void **state) {
    (void)state;
    uint8_t block[HF_TAR_BLOCK];
    hf_err err;
    char name[128];
    static const int64_t sizes[] = {0, 1, ((int64_t)8 << 30) - 1, (int64_t)8 << 30, (int64_t)20 << 40};
    char path[] = "/tmp/hf-tar-XXXXXX", command[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) { /* GNU tar reads what it says */
        assert_int_equal(hf_tar_header("disk.vmdk", sizes[i], block, &err), HF_OK);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, block, sizeof block, 0), sizeof block);
        if (sizes[i] < (int64_t)1 << 40) /* what the scratch file system can hold */
            assert_int_equal(ftruncate(fd, HF_TAR_BLOCK + hf_tar_padded(sizes[i]) + 1024), 0);
        snprintf(command, sizeof command, "tar -tvf %s 2>/dev/null | grep -q ' %lld 1970-01-01 .*disk.vmdk$'", path,
                 (long long)sizes[i]);
        assert_int_equal(system(command), 0);
    }
    close(fd);
    unlink(path);
    memset(name, 'n', sizeof name);
    name[101] = 0;
    assert_int_equal(hf_tar_header(name, 1, block, &err), HF_E_LIMIT);
    assert_int_equal(hf_tar_header("a/b", 1, block, &err), HF_E_LIMIT);
    assert_int_equal(hf_tar_header("", 1, block, &err), HF_E_LIMIT);
    name[100] = 0;
    assert_int_equal(hf_tar_header(name, 1, block, &err), HF_OK);
}

static void a_vmdk_past_its_limits_says_what_would_work(void **state) {
    (void)state;
    hf_err err;
    hf_sink *sink = NULL;
    hf_out out;
    char path[] = "/tmp/hf-vmdk-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    assert_int_equal(hf_out_init(&out, fd, 0, HF_DIGEST_NONE, NULL, &err), HF_OK);
    assert_int_equal(hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), (int64_t)63 << 40, "x", &sink, &err),
                     HF_E_LIMIT);
    assert_non_null(strstr(err.detail, "qcow2"));
    assert_int_equal(hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), (int64_t)60 << 40, "x", &sink, &err), HF_OK);
    /* As if 2 TiB had been written: the next grain has no sector number. */
    static uint8_t data[HF_CHUNK_BYTES], encoded[HF_ENCODED_CHUNK_MAX];
    data[5] = 1;
    hf_chunk chunk = {.len = HF_CHUNK_BYTES, .mapped = 1, .used = 1, .data = data, .out = encoded};
    void *lane = sink->cls->lane_new(sink);
    assert_int_equal(sink->cls->encode(sink, lane, &chunk, &err), HF_OK);
    assert_int_equal(sink->cls->commit(sink, &chunk, &err), HF_OK);
    out.len = ((int64_t)2 << 40) - 512;
    assert_int_equal(sink->cls->commit(sink, &chunk, &err), HF_E_LIMIT);
    assert_non_null(strstr(err.detail, "2 TiB"));
    sink->cls->lane_free(sink, lane);
    hf_sink_free(sink);
    hf_out_done(&out);
    close(fd);
}

static void a_multi_tebibyte_disk_goes_into_a_small_vmdk(void **state) {
    (void)state;
    hf_err err;
    hf_sink *sink = NULL;
    hf_out out;
    hf_flow flow;
    hf_pipeline *p = NULL;
    hf_source *source = NULL;
    char sha[HF_DIGEST_HEX_MAX], other[HF_DIGEST_HEX_MAX], command[256], path[] = "/tmp/hf-big-XXXXXX",
                                                                         raw[] = "/tmp/hf-raw-XXXXXX";
    int fd = mkstemp(path), in = mkstemp(raw);
    int64_t size = (int64_t)9 << 40;
    if (ftruncate(in, size) != 0) {
        size = (int64_t)15 << 40;
        size /= 2;
        assert_int_equal(ftruncate(in, size), 0);
    }
    assert_int_equal(pwrite(in, "front", 5, 12345), 5);
    assert_int_equal(pwrite(in, "back", 4, size - 4), 4);
    hf_flow_init(&flow);
    assert_int_equal(hf_source_open_raw(in, &source, &err), HF_OK);
    assert_int_equal(hf_out_init(&out, fd, 0, HF_DIGEST_NONE, &flow, &err), HF_OK);
    assert_int_equal(hf_sink_vmdk_new(&out, hf_codec_find(HF_STR("")), size, "big.vmdk", &sink, &err), HF_OK);
    assert_int_equal(hf_pipeline_new(2, &flow, &p, &err), HF_OK);
    assert_int_equal(hf_pipeline_run(p, source, sink, &err), HF_OK);
    assert_int_equal(hf_out_end(&out, sha, other, &err), HF_OK);
    assert_int_equal(hf_vmdk_check_end(fd, 0, out.len, &err), HF_OK);
    assert_int_equal(hf_pipeline_populated(p), 2 * HF_GRAIN_BYTES);
    assert_true(out.len < 4 << 20);
    if (system("command -v qemu-io >/dev/null 2>&1") == 0) {
        snprintf(command, sizeof command,
                 "qemu-io -r -f vmdk -c 'read -P 0x66 12345 1' -c 'read -P 0x6b %lld 1' %s >/dev/null",
                 (long long)size - 1, path);
        assert_int_equal(system(command), 0);
    }
    hf_pipeline_free(p);
    hf_sink_free(sink);
    hf_out_done(&out);
    hf_source_close(source);
    hf_flow_done(&flow);
    assert_int_equal(unlink(path) | unlink(raw), 0);
    close(fd);
    close(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_come_in_order_with_their_data),
        cmocka_unit_test(the_first_error_ends_it_from_every_side),
        cmocka_unit_test(hundreds_of_tebibytes_of_holes_take_no_time),
        cmocka_unit_test(bandwidth_is_kept_and_can_change_and_cancel_is_quick),
        cmocka_unit_test(codecs_give_streams_that_others_read),
        cmocka_unit_test(tar_headers),
        cmocka_unit_test(a_vmdk_past_its_limits_says_what_would_work),
        cmocka_unit_test(a_multi_tebibyte_disk_goes_into_a_small_vmdk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
