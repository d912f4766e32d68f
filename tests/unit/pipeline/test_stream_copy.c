/* labels: tsan */
/* A download that is kept is the stream's bytes with their hash, or an error; never less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/stream_copy.h"
#include "schemas/base/mem.h"
#include "vmdk_made.h"

enum { MIB = 1024 * 1024, BASE = 4096 };

typedef struct rig {
    int disk, vmdk, to;
    int64_t len;
    hf_flow flow;
    hf_out out;
    hf_vmdk_summary sum;
    char sha256[HF_DIGEST_HEX_MAX], sha1[HF_DIGEST_HEX_MAX];
} rig;

static void rig_up(rig *r, int64_t size, unsigned seed) {
    struct stat st;
    r->disk = made_disk(size, seed);
    r->vmdk = made_export(r->disk, size);
    assert_int_equal(fstat(r->vmdk, &st), 0);
    r->len = st.st_size;
    r->to = memfd_create("kept", MFD_CLOEXEC);
    hf_flow_init(&r->flow);
    assert_int_equal(hf_out_init(&r->out, r->to, BASE, HF_DIGEST_SHA1, &r->flow, NULL), HF_OK);
}

static void rig_down(rig *r) {
    hf_out_done(&r->out);
    hf_flow_done(&r->flow);
    close(r->disk);
    close(r->vmdk);
    close(r->to);
}

static hf_code copied(rig *r, made_stream *m, bool deep, int threads, hf_err *reterr) {
    return hf_stream_copy(&m->stream, &r->out, deep, threads, &r->flow, &r->sum, reterr);
}

static void is_whole(rig *r) {
    char want[HF_DIGEST_HEX_MAX], want1[HF_DIGEST_HEX_MAX];
    uint8_t *a = malloc((size_t)r->len), *b = malloc((size_t)r->len);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(r->out.len, r->len);
    assert_int_equal(r->sum.stream_bytes, r->len);
    assert_int_equal(r->flow.bytes_done, r->len);
    assert_int_equal(pread(r->vmdk, a, (size_t)r->len, 0), r->len);
    assert_int_equal(pread(r->to, b, (size_t)r->len, BASE), r->len);
    assert_memory_equal(a, b, (size_t)r->len);
    assert_int_equal(hf_out_end(&r->out, r->sha256, r->sha1, NULL), HF_OK);
    assert_int_equal(hf_digest_bytes(HF_DIGEST_SHA256, a, (size_t)r->len, want, NULL), HF_OK);
    assert_int_equal(hf_digest_bytes(HF_DIGEST_SHA1, a, (size_t)r->len, want1, NULL), HF_OK);
    assert_string_equal(r->sha256, want);
    assert_string_equal(r->sha1, want1);
    free(a);
    free(b);
}

static void a_copy_is_the_stream_and_its_hash(void **state) {
    (void)state;
    static const int64_t sizes[] = {512, 3 * MIB + 512, 60 * MIB};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++)
        for (int threads = 0; threads < 6; threads += 2) {
            rig r = {0};
            rig_up(&r, sizes[i], (unsigned)i + 40);
            made_stream m = made_stream_of(r.vmdk, r.len);
            hf_err err = {0};
            assert_int_equal(copied(&r, &m, threads > 0, threads, &err), HF_OK);
            assert_int_equal(r.sum.capacity_bytes, sizes[i]);
            is_whole(&r);
            rig_down(&r);
        }
}

static void a_broken_copy_is_started_over_with_the_same_hash(void **state) {
    (void)state;
    rig r = {0};
    rig_up(&r, 40 * MIB, 50);
    hf_err err = {0};
    for (int64_t at = r.len - 1; at > 0; at -= r.len / 4) {
        made_stream m = made_stream_of(r.vmdk, r.len);
        m.fail_at = at;
        assert_int_equal(copied(&r, &m, true, 2, &err), HF_E_UNREACHABLE);
        assert_int_equal(r.flow.bytes_done, 0);
        assert_int_equal(hf_out_reset(&r.out, &err), HF_OK);
    }
    made_stream m = made_stream_of(r.vmdk, r.len);
    assert_int_equal(copied(&r, &m, true, 2, &err), HF_OK);
    is_whole(&r);
    rig_down(&r);
}

static void a_short_stream_is_refused_and_so_is_a_bent_one(void **state) {
    (void)state;
    rig r = {0};
    rig_up(&r, 40 * MIB, 51);
    hf_err err = {0};
    for (int64_t len = r.len - 512; len > 0; len -= r.len / 5) {
        made_stream m = made_stream_of(r.vmdk, len);
        assert_int_equal(copied(&r, &m, false, 1, &err), HF_E_VERIFY_FAILED);
        assert_non_null(strstr(err.detail, "truncated"));
        assert_int_equal(hf_out_reset(&r.out, &err), HF_OK);
    }
    rig_down(&r);
}

/* What only inflating can find. */
static void a_deep_copy_finds_a_changed_bit(void **state) {
    (void)state;
    rig r = {0};
    rig_up(&r, 40 * MIB, 52);
    uint8_t marker[12], bit;
    off_t at = 128 * 512;
    hf_err err = {0};
    for (int i = 0; i < 5; i++) { /* into the sixth grain's data */
        assert_int_equal(pread(r.vmdk, marker, 12, at), 12);
        at += (12 + (off_t)hf_le32(marker + 8) + 511) / 512 * 512;
    }
    assert_int_equal(pread(r.vmdk, &bit, 1, at + 100), 1);
    bit ^= 4;
    assert_int_equal(pwrite(r.vmdk, &bit, 1, at + 100), 1);
    made_stream m = made_stream_of(r.vmdk, r.len);
    assert_int_equal(copied(&r, &m, true, 2, &err), HF_E_VERIFY_FAILED);
    assert_non_null(strstr(err.detail, "does not inflate"));
    assert_int_equal(hf_out_reset(&r.out, &err), HF_OK);
    m = made_stream_of(r.vmdk, r.len);
    assert_int_equal(copied(&r, &m, false, 2, &err), HF_OK); /* the structure is whole: so the hash says what came */
    is_whole(&r);
    rig_down(&r);
}

static void a_cancel_or_a_full_file_ends_the_copy(void **state) {
    (void)state;
    rig r = {0};
    rig_up(&r, 40 * MIB, 53);
    hf_err err = {0};
    atomic_bool cancel = true;
    r.flow.cancel = &cancel;
    made_stream m = made_stream_of(r.vmdk, r.len);
    assert_int_equal(copied(&r, &m, true, 2, &err), HF_E_CANCELLED);
    assert_int_equal(m.at, 0);
    atomic_store(&cancel, false);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    r.out.fd = full;
    assert_int_equal(copied(&r, &m, true, 2, &err), HF_E_NO_SPACE);
    r.out.fd = r.to;
    close(full);
    rig_down(&r);
}

static void a_copy_survives_each_failed_allocation(void **state) {
    (void)state;
    rig r = {0};
    rig_up(&r, MIB, 54);
    int failed = 0;
    for (uint64_t n = 1;; n++, failed++) {
        made_stream m = made_stream_of(r.vmdk, r.len);
        hf_err err = {0};
        hf_alloc_fail_after(n);
        hf_code rc = copied(&r, &m, true, 1, &err);
        hf_alloc_fail_after(0);
        if (rc == HF_OK)
            break;
        assert_int_equal(rc, HF_E_NO_MEMORY);
        assert_int_equal(hf_out_reset(&r.out, &err), HF_OK);
    }
    assert_true(failed >= 5);
    is_whole(&r);
    rig_down(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_the_stream_and_its_hash),
        cmocka_unit_test(a_broken_copy_is_started_over_with_the_same_hash),
        cmocka_unit_test(a_short_stream_is_refused_and_so_is_a_bent_one),
        cmocka_unit_test(a_deep_copy_finds_a_changed_bit),
        cmocka_unit_test(a_cancel_or_a_full_file_ends_the_copy),
        cmocka_unit_test(a_copy_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
