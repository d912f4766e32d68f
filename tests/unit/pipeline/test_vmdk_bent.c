/* Damage, one byte at a time: nothing that the walker takes as whole reads as another disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/pipeline/vmdk_read.h"
#include "schemas/base/mem.h"
#include "vmdk_made.h"

/* The disk behind fd, by a sum; or the error of whoever would not read it. */
static hf_code sum_of(int fd, size_t len, uint64_t *ret_sum) {
    static uint8_t grain[65536];
    hf_source *source = NULL;
    bool data;
    int64_t end;
    *ret_sum = 0;
    hf_code rc = hf_source_open_vmdk(fd, 0, (int64_t)len, &source, NULL);
    for (int64_t at = 0; rc == HF_OK && at < source->size_bytes; at = end) {
        if ((rc = hf_source_extent(source, at, &end, &data, NULL)) != HF_OK || !data)
            continue;
        if (end - at > (int64_t)sizeof grain)
            end = at + (int64_t)sizeof grain;
        rc = hf_source_read(source, grain, (size_t)(end - at), at, NULL);
        for (int64_t b = at; rc == HF_OK && b < end; b++)
            *ret_sum += grain[b - at] * ((uint64_t)b * 0x9e3779b97f4a7c15u | 1);
    }
    hf_source_close(source);
    return rc;
}

static bool zero_sector(const uint8_t *bytes, size_t at) {
    static const uint8_t zero[512];
    return memcmp(bytes + at / 512 * 512, zero, 512) == 0;
}

/* Each layout of the tables (the fuzzer's seeds), each byte changed: what the walker still takes as whole is the same disk, or is not
 * read. One in seven of those is read, since they are many and say much the same. */
static void a_bent_vmdk_that_still_walks_is_the_same_disk(void **state) {
    (void)state;
    static const char *const names[] = {"footer", "header-knows", "progress-and-empty", "small-grains", "tables-first"};
    static uint8_t bytes[32 * 1024];
    int refused = 0, taken = 0, fd = memfd_create("bent", MFD_CLOEXEC);
    for (size_t i = 0; i < HF_ARRAY_LEN(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tests/fuzz/corpus/vmdk/%s", HF_SOURCE_DIR, names[i]);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t len = fread(bytes, 1, sizeof bytes, f);
        fclose(f);
        uint64_t was, is;
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, bytes, len, 0), (ssize_t)len);
        assert_int_equal(sum_of(fd, len, &was), HF_OK);
        for (size_t at = 0; at < len; at += zero_sector(bytes, at) && at % 512 == 16 ? 496 : 1) {
            uint8_t byte = bytes[at];
            bytes[at] ^= at % 2 ? 0x01 : 0x80;
            if (walk_all(bytes, len, 1 << 20, NULL, NULL) != HF_OK)
                refused++;
            else if (taken++ % 7 == 0) {
                assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
                if (sum_of(fd, len, &is) == HF_OK && is != was) {
                    print_error("%s: byte %zu changed the disk\n", names[i], at);
                    fail();
                }
                assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
            }
            bytes[at] = byte;
        }
    }
    assert_true(refused > 2000 && taken > 1000);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_bent_vmdk_that_still_walks_is_the_same_disk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
