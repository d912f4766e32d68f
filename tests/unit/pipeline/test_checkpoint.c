/* A checkpoint comes back as it was stored; one that is damaged anywhere, cut short or grown is refused; and work aside can be left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "consumer/pipeline/aside.h"
#include "consumer/pipeline/checkpoint.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static void fill(hf_checkpoint *c) {
    hf_checkpoint_init(c);
    hf_buf_puts(&c->options, "format=ova\n");
    hf_buf_puts(&c->sources, "raw 1:2\n");
    hf_buf_put(&c->state, "\0\1\2\3", 4);
    c->disk = 2;
    for (uint32_t i = 0; i <= c->disk; i++) {
        c->disks[i] = (hf_checkpoint_disk){.file_bytes = 1000 + i, .populated_bytes = 7 * i};
        memset(c->disks[i].sha256, 'a' + (int)i, HF_SHA256_HEX - 1);
    }
    c->next_offset = 32 << 20;
    c->bytes_done = (int64_t)5 << 40;
}

static void it_comes_back(void **state) {
    (void)state;
    char dir[] = "/tmp/hf-checkpoint-XXXXXX";
    hf_checkpoint in, out;
    hf_buf bytes;
    hf_err err;
    assert_non_null(mkdtemp(dir));
    hf_auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY);
    fill(&in);
    hf_checkpoint_init(&out);
    hf_buf_init(&bytes, 1 << 20);
    assert_int_equal(hf_checkpoint_load(fd, &out, &err), HF_E_NOT_FOUND);
    assert_int_equal(hf_checkpoint_encode(&in, &bytes, &err), HF_OK);
    for (int i = 0; i < 2; i++) /* the second replaces the first */
        assert_int_equal(hf_checkpoint_store(fd, &bytes, &err), HF_OK);
    assert_int_equal(hf_checkpoint_load(fd, &out, &err), HF_OK);
    assert_int_equal(out.disk, 2);
    assert_int_equal(out.next_offset, in.next_offset);
    assert_int_equal(out.bytes_done, in.bytes_done);
    assert_memory_equal(out.disks, in.disks, 3 * sizeof in.disks[0]);
    assert_int_equal(out.state.len, 4);
    assert_memory_equal(out.state.data, in.state.data, 4);
    assert_memory_equal(out.options.data, in.options.data, in.options.len);
    assert_memory_equal(out.sources.data, in.sources.data, in.sources.len);
    hf_checkpoint_done(&out);
    hf_checkpoint_init(&out);
    assert_int_equal(unlinkat(fd, HF_CHECKPOINT_NAME, 0), 0);
    assert_int_equal(symlinkat("/dev/zero", fd, HF_CHECKPOINT_NAME), 0); /* not ours */
    assert_int_not_equal(hf_checkpoint_load(fd, &out, &err), HF_OK);
    assert_int_equal(unlinkat(fd, HF_CHECKPOINT_NAME, 0), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
    hf_checkpoint_done(&in);
    hf_checkpoint_done(&out);
    hf_buf_done(&bytes);
}

static void any_damage_is_seen(void **state) {
    (void)state;
    hf_checkpoint in, out;
    hf_buf bytes;
    hf_err err;
    fill(&in);
    hf_buf_init(&bytes, 1 << 20);
    assert_int_equal(hf_checkpoint_encode(&in, &bytes, &err), HF_OK);
    for (size_t i = 0; i <= bytes.len; i++)
        for (int how = 0; how < 2; how++) {
            hf_auto_free uint8_t *copy = hf_alloc(bytes.len + 1);
            memcpy(copy, bytes.data, bytes.len);
            size_t len = how ? i : bytes.len + (i == bytes.len);
            if (how && i == bytes.len)
                continue; /* whole */
            if (!how && i < bytes.len)
                copy[i] ^= 0x20;
            hf_checkpoint_init(&out);
            assert_int_equal(hf_checkpoint_decode(copy, len, &out, &err), HF_E_VERIFY_FAILED);
            hf_checkpoint_done(&out);
        }
    hf_checkpoint_done(&in);
    hf_buf_done(&bytes);
}

/* ---- work aside ------------------------------------------------------------------------------------------- */
static atomic_int dropped, dropped_left;
static hf_code slow(void *arg, hf_err *reterr) {
    usleep((useconds_t) * (int *)arg * 1000);
    return *(int *)arg == 1 ? hf_fail(reterr, HF_E_IO, "a bad disk") : HF_OK;
}
static void drop(void *arg, bool left) {
    free(arg);
    atomic_fetch_add(left ? &dropped_left : &dropped, 1);
}

static hf_aside *begin(int ms) {
    static const hf_aside_class cls = {slow, drop};
    int *arg = hf_alloc(sizeof *arg);
    hf_aside *aside = NULL;
    *arg = ms;
    assert_int_equal(hf_aside_start(&cls, arg, &aside, NULL), HF_OK);
    return aside;
}

static void waiting_for_work_aside_ends_with_a_cancel(void **state) {
    (void)state;
    hf_err err = {0};
    hf_flow flow;
    atomic_bool cancel = false;
    hf_flow_init(&flow);
    flow.cancel = &cancel;
    hf_aside *aside = begin(50);
    assert_false(hf_aside_ended(aside));
    assert_int_equal(hf_aside_wait(&aside, &flow, &err), HF_OK);
    assert_null(aside);
    aside = begin(1);
    assert_int_equal(hf_aside_wait(&aside, &flow, &err), HF_E_IO);
    assert_string_equal(err.detail, "a bad disk");
    atomic_store(&cancel, true);
    int64_t quickest = INT64_MAX; /* the machine may have other work for a moment */
    int tries = 0;
    for (; tries < 8 && quickest >= 200000000; tries++) {
        aside = begin(600);
        int64_t from = hf_mono_ns();
        assert_int_equal(hf_aside_wait(&aside, &flow, &err), HF_E_CANCELLED);
        int64_t took = hf_mono_ns() - from;
        quickest = took < quickest ? took : quickest;
    }
    assert_true(quickest < 200000000);
    aside = begin(10);
    hf_aside_leave(&aside);
    for (int i = 0; i < 3000 && atomic_load(&dropped_left) < tries + 1; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&dropped), 2);
    assert_int_equal(atomic_load(&dropped_left), tries + 1); /* by their own threads */
    hf_flow_done(&flow);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_comes_back), cmocka_unit_test(any_damage_is_seen),
                                       cmocka_unit_test(waiting_for_work_aside_ends_with_a_cancel)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
