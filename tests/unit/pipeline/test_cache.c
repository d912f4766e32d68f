/* What was in the page cache before an image was read is there afterwards; what reading it brought in is not. */
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
#include <unistd.h>

#include "consumer/pipeline/cache.h"
#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

enum { MIB = 1 << 20, SIZE = 80 * MIB };

/* Pages of MiB i that are cached. */
static unsigned cached(int fd, unsigned i) {
    unsigned char resident[MIB / 4096];
    unsigned n = 0;
    void *map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, (off_t)i * MIB);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, MIB, resident), 0);
    for (size_t p = 0; p < sizeof resident; p++)
        n += resident[p] & 1;
    munmap(map, MIB);
    return n;
}

static unsigned cached_all(int fd) {
    unsigned n = 0;
    for (unsigned i = 0; i < SIZE / MIB; i++)
        n += cached(fd, i);
    return n;
}

static int file_not_cached(char *path, uint8_t *bytes) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < SIZE / MIB; i++) {
        memset(bytes, i + 1, MIB);
        assert_int_equal(pwrite(fd, bytes, MIB, (off_t)i * MIB), MIB);
    }
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    return fd;
}

static void what_others_cached_stays_and_what_we_read_goes(void **state) {
    (void)state;
    char path[] = "/var/tmp/hf-cache-XXXXXX";
    hf_auto_free uint8_t *bytes = hf_alloc(MIB);
    hf_source *source = NULL;
    hf_auto_fd int fd = file_not_cached(path, bytes);
    assert_int_equal(unlink(path), 0);
    if (cached_all(fd) > 0) {
        print_message("    skipped: this file system does not drop pages\n");
        skip();
    }
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0); /* no read-ahead of ours */
    assert_int_equal(pread(fd, bytes, 4096, 3 * MIB + 8192), 4096);
    assert_int_equal(pread(fd, bytes, MIB, 50 * MIB), MIB);
    unsigned before[SIZE / MIB], ours = 0;
    for (unsigned i = 0; i < SIZE / MIB; i++)
        ours += (before[i] = cached(fd, i)) == 0;
    assert_true(before[3] >= 1 && before[50] == 256 && ours > 60);
    assert_int_equal(hf_source_open_raw(fd, &source, NULL), HF_OK);
    for (int i = 0; i < SIZE / MIB; i++) {
        assert_int_equal(hf_source_read(source, bytes, MIB, (int64_t)i * MIB, NULL), HF_OK);
        assert_int_equal(bytes[77], i + 1);
    }
    hf_source_close(source);
    unsigned stayed = 0;
    for (unsigned i = 0; i < SIZE / MIB; i++)
        if (before[i])
            assert_true(cached(fd, i) >= before[i]);
        else
            stayed += cached(fd, i) > 0;
    if (stayed > 2)
        fail_msg("%u of %u MiB stayed", stayed, ours);
}

static void what_was_written_goes_behind_the_writer(void **state) {
    (void)state;
    char path[] = "/var/tmp/hf-cache-XXXXXX";
    hf_auto_free uint8_t *bytes = hf_alloc(MIB);
    hf_auto_fd int fd = file_not_cached(path, bytes);
    assert_int_equal(unlink(path), 0);
    if (cached_all(fd) > 0)
        skip();
    assert_int_equal(pread(fd, bytes, MIB, 0), MIB); /* clean, as if it had reached the disk */
    assert_int_equal(pread(fd, bytes, MIB, 70 * MIB), MIB);
    hf_write_behind behind = {0}, keeping = {.keep_bytes = 2 * MIB};
    hf_write_behind_note(&keeping, fd, 80 * MIB);
    assert_int_equal(cached(fd, 0), 256); /* to be read back */
    hf_write_behind_note(&behind, fd, 80 * MIB);
    assert_int_equal(cached(fd, 0), 0);
    assert_int_equal(cached(fd, 70), 256); /* not behind enough yet */
    hf_cache_drop(fd, SIZE);
    assert_int_equal(cached(fd, 70), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_others_cached_stays_and_what_we_read_goes),
                                       cmocka_unit_test(what_was_written_goes_behind_the_writer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
