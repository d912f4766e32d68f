/* The walker takes what writers make, in pieces of any size, and nothing that is cut or bent. */
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

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"
#include "vmdk_made.h"

static void takes(const made_vmdk *m, hf_vmdk_summary *ret) {
    hf_err err = {0};
    hf_code rc = walk_all(m->bytes, m->len, SIZE_MAX / 2, ret, &err);
    if (rc != HF_OK)
        print_error("%s\n", err.detail);
    assert_int_equal(rc, HF_OK);
}

static void refuses(const made_vmdk *m, const char *why) {
    hf_err err = {0};
    hf_vmdk_summary sum;
    assert_int_not_equal(walk_all(m->bytes, m->len, SIZE_MAX / 2, &sum, &err), HF_OK);
    if (!strstr(err.detail, why))
        print_error("%s\n", err.detail);
    assert_non_null(strstr(err.detail, why));
}

static void a_stream_is_told_in_its_summary(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    m.len += 700; /* zeros behind the end */
    hf_vmdk_summary sum;
    takes(&m, &sum);
    assert_int_equal(sum.capacity_bytes, (2 * 65536 + 1) * 512);
    assert_int_equal(sum.stream_bytes, m.len);
    assert_int_equal(sum.padding_bytes, 700);
    assert_int_equal(sum.grains, 4);
    assert_int_equal(sum.populated_bytes, 3 * 65536 + 512);
    assert_int_equal(sum.version, 3);
    assert_string_equal(sum.create_type, "streamOptimized");
    assert_int_equal(sum.layout, HF_VMDK_FOOTER);
    made_free(&m);
}

typedef struct seen {
    int64_t offsets[16];
    uint32_t lens[16];
    uint8_t first[16];
    int count, fail_at;
} seen;

static hf_code see(void *ctx, int64_t disk_offset, const uint8_t *data, uint32_t len, hf_err *reterr) {
    seen *s = ctx;
    assert_true(s->count < 16);
    s->offsets[s->count] = disk_offset;
    s->first[s->count] = data[0];
    s->lens[s->count] = len;
    return s->count++ == s->fail_at ? hf_fail(reterr, HF_E_CANCELLED, "enough") : HF_OK;
}

static hf_code walk_two(const made_vmdk *m, size_t split, seen *s, hf_err *reterr) {
    hf_vmdk_walk *w = NULL;
    assert_int_equal(hf_vmdk_walk_new(see, s, &w, reterr), HF_OK);
    assert_int_equal(hf_vmdk_walk_capacity(w), -1);
    hf_code rc = hf_vmdk_walk_feed(w, m->bytes, split, reterr);
    if (rc == HF_OK)
        rc = hf_vmdk_walk_feed(w, m->bytes + split, m->len - split, reterr);
    hf_err again = {0};
    if (rc == HF_OK) {
        assert_int_equal(hf_vmdk_walk_capacity(w), m->capacity_sectors * 512);
        assert_int_equal(hf_vmdk_walk_grain_bytes(w), 65536);
        rc = hf_vmdk_walk_end(w, NULL, reterr);
    } else { /* the same again, for ever */
        assert_int_equal(hf_vmdk_walk_feed(w, "x", 1, &again), rc);
        assert_string_equal(again.detail, reterr->detail);
        assert_int_equal(hf_vmdk_walk_end(w, NULL, &again), rc);
        assert_string_equal(again.detail, reterr->detail);
    }
    hf_vmdk_walk_free(w);
    return rc;
}

static void a_stream_is_the_same_wherever_it_is_cut_into_pieces(void **state) {
    (void)state;
    static const int64_t offsets[] = {0, 511 * 65536, 700 * 65536, 1024 * 65536};
    made_vmdk m;
    made_small(&m);
    hf_err err = {0};
    for (size_t split = 0; split <= m.len; split++) {
        seen s = {.fail_at = -1};
        assert_int_equal(walk_two(&m, split, &s, &err), HF_OK);
        assert_int_equal(s.count, 4);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(s.offsets[i], offsets[i]);
            assert_int_equal(s.first[i], 0x78);
        }
    }
    for (size_t piece = 1; piece < 3000; piece += piece < 40 ? 1 : 97)
        assert_int_equal(walk_all(m.bytes, m.len, piece, NULL, &err), HF_OK);
    made_free(&m);
}

static void a_callback_can_end_the_walk(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    hf_err err = {0};
    seen s = {.fail_at = 2};
    assert_int_equal(walk_two(&m, 600, &s, &err), HF_E_CANCELLED);
    assert_int_equal(s.count, 3);
    assert_string_equal(err.detail, "enough");
    made_free(&m);
}

static void a_stream_cut_anywhere_is_refused(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    for (size_t len = 0; len < m.len; len += len % 512 == 0 ? 1 : len % 512 == 1 ? 510 : 1) {
        hf_err err = {0};
        assert_int_equal(walk_all(m.bytes, len, 4096, NULL, &err), HF_E_VERIFY_FAILED);
        assert_non_null(strstr(err.detail, "truncated"));
    }
    made_free(&m);
}

/* Every byte of the stream, changed three ways. What a byte means says what must come of it: refused, or of no consequence. */
typedef enum meaning { BENT_IS_REFUSED, BENT_MAY_PASS } meaning;

/* The parts of which a change may do no harm; all else must be refused. */
static meaning meaning_of(const made_vmdk *m, size_t at, uint8_t now) {
    size_t in = at % 512, sector = at / 512;
    if (sector == 0) {
        if (in == HF_VMDK_AT_VERSION && now >= 1 && now <= 3)
            return BENT_MAY_PASS;                       /* but for the footer, which says another */
        if (in >= HF_VMDK_AT_RGD && in < HF_VMDK_AT_GD) /* not used without its flag */
            return BENT_MAY_PASS;
        return in == HF_VMDK_AT_UNCLEAN || in >= HF_VMDK_AT_COMPRESS + 2 ? BENT_MAY_PASS : BENT_IS_REFUSED;
    }
    if (sector < m->overhead)
        return BENT_MAY_PASS; /* the descriptor's words */
    size_t footer = m->len / 512 - 2;
    if (sector == footer)
        return (in >= HF_VMDK_AT_RGD && in < HF_VMDK_AT_GD) || in == HF_VMDK_AT_UNCLEAN || in >= HF_VMDK_AT_COMPRESS + 2
                   ? BENT_MAY_PASS
                   : BENT_IS_REFUSED;
    if (sector > footer)
        return BENT_IS_REFUSED; /* end of stream: all zeros */
    if (sector == footer - 2)
        return in < 12 ? BENT_IS_REFUSED : BENT_MAY_PASS; /* the directory; padding behind its three entries */
    return BENT_MAY_PASS;
}

static void markers_of(const made_vmdk *m, uint8_t *must_refuse) {
    for (size_t at = (size_t)m->overhead * 512; at < m->len - 1024;) {
        uint32_t size = hf_le32(m->bytes + at + 8), type = hf_le32(m->bytes + at + 12);
        uint64_t sectors = hf_le64(m->bytes + at);
        memset(must_refuse + at, 1, size ? 8 : 16); /* the grain's place; the marker's fields */
        if (size) {
            memset(must_refuse + at + 12, 1,
                   2); /* the zlib header; a size that is a little off is the inflater's to find */
            at += (12 + size + 511) / 512 * 512;
            continue;
        }
        if (type == HF_VMDK_MARKER_GT)
            memset(must_refuse + at + 512, 1, 2048);
        at += 512 + (size_t)sectors * 512;
    }
}

static void a_bent_byte_is_refused_or_harmless(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    hf_vmdk_summary whole, sum;
    takes(&m, &whole);
    uint8_t *must_refuse = calloc(1, m.len);
    assert_non_null(must_refuse);
    markers_of(&m, must_refuse);
    int refused = 0, harmless = 0;
    for (size_t at = 0; at < m.len; at++) {
        uint8_t was = m.bytes[at];
        const uint8_t bent[] = {was ^ 1, (uint8_t)(was + 0x7f), 0xff, 0};
        for (size_t i = 0; i < sizeof bent; i++) {
            hf_err err = {0};
            if (bent[i] == was)
                continue;
            m.bytes[at] = bent[i];
            if (walk_all(m.bytes, m.len, 8192, &sum, &err) != HF_OK) {
                refused++;
                continue;
            }
            harmless++;
            if (must_refuse[at] || meaning_of(&m, at, bent[i]) == BENT_IS_REFUSED) {
                print_error("byte %zu (sector %zu + %zu): %u instead of %u was taken\n", at, at / 512, at % 512,
                            bent[i], was);
                fail();
            }
            assert_int_equal(sum.grains, whole.grains);
            assert_int_equal(sum.capacity_bytes, whole.capacity_bytes);
        }
        m.bytes[at] = was;
    }
    assert_true(refused > 20000 && harmless > 0);
    free(must_refuse);
    made_free(&m);
}

static void a_rewritten_header_needs_no_footer(void **state) {
    (void)state;
    made_vmdk m;
    hf_vmdk_summary sum;
    for (int footer = 0; footer < 2; footer++) {
        made_begin(&m, 65536);
        made_head(&m);
        made_grain(&m, 3, 7);
        made_table(&m, 0);
        made_directory(&m);
        hf_put_le64(m.bytes + HF_VMDK_AT_GD, m.gd);
        if (footer)
            made_footer(&m);
        made_end(&m);
        takes(&m, &sum);
        assert_int_equal(sum.layout, HF_VMDK_HEADER_KNOWS);
        hf_put_le64(m.bytes + HF_VMDK_AT_GD, m.gd + 1);
        refuses(&m, "the grain directory, which the header puts at sector");
        hf_put_le64(m.bytes + HF_VMDK_AT_GD, UINT64_MAX);
        if (footer)
            takes(&m, &sum);
        else
            refuses(&m, "before the footer");
        made_free(&m);
    }
}

static void progress_markers_and_empty_tables_are_passed_over(void **state) {
    (void)state;
    made_vmdk m;
    hf_vmdk_summary sum;
    made_begin(&m, 4 * 65536);
    made_head(&m);
    made_table(&m, 0); /* of nothing, and named by the directory */
    made_grain(&m, 512, 1);
    for (int i = 0; i < 4; i++)
        made_marker(&m, 0, HF_VMDK_MARKER_PROGRESS);
    made_grain(&m, 513, 2);
    made_table(&m, 1);
    made_table(&m, 2);
    m.directory[2] = 0; /* of nothing, and not named */
    made_directory(&m);
    made_footer(&m);
    made_end(&m);
    takes(&m, &sum);
    assert_int_equal(sum.grains, 2);
    hf_put_le32(m.bytes + m.gd * 512, m.directory[0] + 1); /* a place where no table is */
    refuses(&m, "the grain directory puts table 0 at sector");
    made_free(&m);
}

static void grains_of_one_table_may_come_in_any_order_but_once(void **state) {
    (void)state;
    made_vmdk m;
    hf_vmdk_summary sum;
    made_begin(&m, 3 * 65536);
    made_head(&m);
    made_grain(&m, 600, 1);
    made_grain(&m, 512, 2);
    made_table(&m, 1);
    made_grain(&m, 9, 3);
    made_table(&m, 0);
    size_t here = m.len;
    made_directory(&m);
    made_footer(&m);
    made_end(&m);
    takes(&m, &sum);

    m.len = here;
    made_grain(&m, 513, 2);
    refuses(&m, "comes behind its grain table");
    m.len = here;
    made_grain(&m, 1024, 1);
    made_grain(&m, 1024, 1);
    refuses(&m, "came before, at sector");
    m.len = here;
    made_grain(&m, 1024, 1);
    made_grain(&m, 1, 1);
    refuses(&m, "belongs to table 0, but table 2 has not come");
    m.len = here;
    made_grain(&m, 1024, 1);
    made_directory(&m);
    refuses(&m, "the grain directory comes before grain table 2");
    made_free(&m);
}

static void pieces_out_of_place_are_refused(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    size_t len = m.len;
    m.bytes[m.len + 3000] = 1;
    m.len += 4000;
    refuses(&m, "something behind the end-of-stream marker");
    m.bytes[len + 3000] = 0;
    m.len = len - 512;
    made_grain(&m, 2, 1);
    refuses(&m, "behind the grain directory");
    m.len = len - 512;
    made_footer(&m);
    refuses(&m, "a footer where none can be");
    m.len = len - 512;
    made_directory(&m);
    refuses(&m, "behind the grain directory");
    m.len = (size_t)m.overhead * 512;
    memset(m.bytes + m.len, 0, MADE_STREAM_MAX - m.len);
    made_end(&m);
    refuses(&m, "the end-of-stream marker before the grain directory");
    m.len = (size_t)m.overhead * 512;
    made_footer(&m);
    refuses(&m, "a footer where none can be");
    m.len = (size_t)m.overhead * 512;
    made_marker(&m, 1, 7);
    refuses(&m, "a marker of type 7");
    made_free(&m);
}

static void headers_that_lie_or_ask_too_much_are_refused(void **state) {
    (void)state;
    static const struct {
        int at, width;
        uint64_t value;
        const char *why;
    } cases[] = {
        {HF_VMDK_AT_MAGIC, 4, 0x444d564b, "does not begin as a sparse VMDK"},
        {HF_VMDK_AT_VERSION, 4, 4, "version 4"},
        {HF_VMDK_AT_FLAGS, 4, 0x70001, "ask for what is not known"},
        {HF_VMDK_AT_FLAGS, 4, 0x10001, "not those of a streamOptimized"},
        {HF_VMDK_AT_CAPACITY, 8, 0, "it can be 1 sector to 62 TiB"},
        {HF_VMDK_AT_CAPACITY, 8, UINT64_MAX, "it can be 1 sector to 62 TiB"},
        {HF_VMDK_AT_GRAIN_SIZE, 8, 0, "a grain has 0 sectors"},
        {HF_VMDK_AT_GRAIN_SIZE, 8, 100, "a grain has 100 sectors"},
        {HF_VMDK_AT_GRAIN_SIZE, 8, 256, "at most 64 KiB"},
        {HF_VMDK_AT_GTES, 4, 1024, "it has 512"},
        {HF_VMDK_AT_DESCRIPTOR, 8, 0, "names none"},
        {HF_VMDK_AT_DESCRIPTOR, 8, UINT64_MAX, "does not lie before the grains"},
        {HF_VMDK_AT_DESCRIPTOR_SIZE, 8, 1 << 20, "does not lie before the grains"},
        {HF_VMDK_AT_DESCRIPTOR, 8, 2, "there is none"},
        {HF_VMDK_AT_OVERHEAD, 8, 0, "puts its overhead"},
        {HF_VMDK_AT_OVERHEAD, 8, UINT64_MAX, "puts its overhead"},
        {HF_VMDK_AT_GD, 8, 0, "where it cannot be"},
        {HF_VMDK_AT_GD, 8, 1ULL << 40, "and its directory at"},
        {HF_VMDK_AT_NEWLINES, 1, '\r', "transfer in text mode"},
        {HF_VMDK_AT_COMPRESS, 2, 0, "does not fit its flags"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        made_vmdk m;
        made_small(&m);
        uint8_t value[8];
        hf_put_le64(value, cases[i].value);
        memcpy(m.bytes + cases[i].at, value, (size_t)cases[i].width);
        refuses(&m, cases[i].why);
        made_free(&m);
    }
}

static void a_descriptor_that_names_a_parent_is_refused(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    hf_err err = {0};
    memcpy(strstr((char *)m.bytes + 512, "parentCID=ffffffff"), "parentCID=12345678", 18);
    assert_int_equal(walk_all(m.bytes, m.len, 512, NULL, &err), HF_E_SOURCE_INVALID);
    made_free(&m);
}

static void walk_file(int fd, hf_vmdk_summary *ret, void (*then)(uint8_t *bytes, size_t len)) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    size_t len = (size_t)st.st_size;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, len, 0), st.st_size);
    hf_err err = {0};
    hf_code rc = walk_all(bytes, len, 99991, ret, &err);
    if (rc != HF_OK)
        print_error("%s\n", err.detail);
    assert_int_equal(rc, HF_OK);
    if (then)
        then(bytes, len);
    free(bytes);
}

static void a_cut_file_is_refused(uint8_t *bytes, size_t len) {
    for (size_t cut = len / 512; cut-- > len / 512 - 200 && cut > 0;) {
        hf_err err = {0};
        assert_int_equal(walk_all(bytes, cut * 512, 1 << 20, NULL, &err), HF_E_VERIFY_FAILED);
        assert_non_null(strstr(err.detail, "truncated"));
    }
}

static void tables_in_front_must_fit_their_grains(uint8_t *bytes, size_t len) {
    size_t used = len; /* qemu-img pads the file with zeros, which may be missing */
    while (bytes[used - 1] == 0)
        used--;
    a_cut_file_is_refused(bytes, (used + 511) / 512 * 512);
    uint64_t gd = hf_le64(bytes + HF_VMDK_AT_GD);
    uint8_t *table = bytes + (size_t)hf_le32(bytes + gd * 512) * 512;
    uint32_t entry = 0, was;
    while ((was = hf_le32(table + (size_t)4 * entry)) == 0)
        entry++;
    static const uint32_t bent[] = {0, 2, 1000000};
    hf_err err = {0};
    for (size_t i = 0; i < HF_ARRAY_LEN(bent); i++) {
        hf_put_le32(table + (size_t)4 * entry, bent[i]);
        assert_int_equal(walk_all(bytes, len, 1 << 20, NULL, &err), HF_E_VERIFY_FAILED);
    }
    hf_put_le32(table + (size_t)4 * entry, was);
    uint8_t grain[512];
    uint8_t *at = bytes + (size_t)was * 512;
    memcpy(grain, at, sizeof grain);
    hf_put_le64(at, hf_le64(at) + 128); /* another grain's place on the disk */
    assert_int_equal(walk_all(bytes, len, 1 << 20, NULL, &err), HF_E_VERIFY_FAILED);
    memcpy(at, grain, sizeof grain);
    assert_int_equal(walk_all(bytes, len, 1 << 20, NULL, &err), HF_OK);
}

static void files_of_our_writer_and_of_qemu_pass(void **state) {
    (void)state;
    static const int64_t sizes[] = {512, 65536, 40 * 1024 * 1024 + 3 * 512, 100 * 1024 * 1024};
    for (size_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
        int disk = made_disk(sizes[i], (unsigned)i), ours = made_export(disk, sizes[i]);
        hf_vmdk_summary sum;
        walk_file(ours, &sum, a_cut_file_is_refused);
        assert_int_equal(sum.capacity_bytes, sizes[i]);
        assert_int_equal(sum.layout, HF_VMDK_FOOTER);
        int qemus = made_by_qemu(disk, "raw", "vmdk", "subformat=streamOptimized");
        int64_t grains = sum.grains;
        walk_file(qemus, &sum, tables_in_front_must_fit_their_grains);
        assert_int_equal(sum.capacity_bytes, sizes[i]);
        assert_int_equal(sum.layout, HF_VMDK_TABLES_FIRST);
        assert_int_equal(sum.grains, grains);
        assert_string_equal(sum.create_type, "streamOptimized");
        close(disk);
        close(ours);
        close(qemus);
    }
}

static void a_walk_survives_each_failed_allocation(void **state) {
    (void)state;
    made_vmdk m;
    made_small(&m);
    int failed = 0;
    for (uint64_t n = 1;; n++, failed++) {
        hf_err err = {0};
        hf_alloc_fail_after(n);
        hf_code rc = walk_all(m.bytes, m.len, 777, NULL, &err);
        hf_alloc_fail_after(0);
        if (rc == HF_OK)
            break;
        assert_int_equal(rc, HF_E_NO_MEMORY);
    }
    assert_true(failed >= 3);
    made_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_told_in_its_summary),
        cmocka_unit_test(a_stream_is_the_same_wherever_it_is_cut_into_pieces),
        cmocka_unit_test(a_callback_can_end_the_walk),
        cmocka_unit_test(a_stream_cut_anywhere_is_refused),
        cmocka_unit_test(a_bent_byte_is_refused_or_harmless),
        cmocka_unit_test(a_rewritten_header_needs_no_footer),
        cmocka_unit_test(progress_markers_and_empty_tables_are_passed_over),
        cmocka_unit_test(grains_of_one_table_may_come_in_any_order_but_once),
        cmocka_unit_test(pieces_out_of_place_are_refused),
        cmocka_unit_test(headers_that_lie_or_ask_too_much_are_refused),
        cmocka_unit_test(a_descriptor_that_names_a_parent_is_refused),
        cmocka_unit_test(files_of_our_writer_and_of_qemu_pass),
        cmocka_unit_test(a_walk_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
