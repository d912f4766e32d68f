/* Images read through qemu-nbd: by many threads at once, with qemu-nbd's own words in the error, and nothing left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "consumer/pipeline/source.h"
#include "schemas/base/mem.h"

enum { SIZE = 4 << 20, THREADS = 12, PIECE = 64 << 10 };

static char dir[64];

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

static int open_image(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* Sockets' directories that a qemu-nbd was given, and children not waited for. */
static void expect_nothing_left(void) {
    DIR *tmp = opendir("/tmp");
    assert_non_null(tmp);
    for (struct dirent *e; (e = readdir(tmp)) != NULL;) {
        char path[300];
        if (strncmp(e->d_name, "hf-nbd-", 7) != 0)
            continue;
        snprintf(path, sizeof path, "/tmp/%s", e->d_name); /* another test's lives for a moment: ours is gone by now */
        usleep(200000);
        assert_true(access(path, F_OK) != 0);
    }
    closedir(tmp);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* Piece i of the image says so in its first bytes, 8 pieces at its end are a hole. */
static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hf-test-nbd-XXXXXX");
    assert_non_null(mkdtemp(dir));
    if (sh("command -v qemu-img >/dev/null && command -v qemu-nbd >/dev/null") != 0)
        return 0;
    static uint8_t disk[SIZE - 8 * PIECE];
    for (size_t i = 0; i < sizeof disk; i++)
        disk[i] = (uint8_t)(i / PIECE + i % 251);
    char path[128];
    snprintf(path, sizeof path, "%s/disk.raw", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(disk, 1, sizeof disk, f), sizeof disk);
    fclose(f);
    assert_int_equal(sh("truncate -s %d disk.raw && qemu-img convert -O qcow2 disk.raw disk.qcow2 && "
                        "qemu-img create -q -f qcow2 empty.qcow2 0",
                        SIZE),
                     0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return sh("cd / && rm -rf %s", dir);
}

static bool have_qemu(void) { return sh("test -e empty.qcow2") == 0; }

typedef struct reader {
    hf_source *source;
    unsigned number;
    bool fine;
} reader;

static void *read_all(void *arg) {
    reader *r = arg;
    hf_err err;
    hf_auto_free uint8_t *piece = hf_alloc(PIECE);
    r->fine = piece != NULL;
    for (unsigned n = 0; r->fine && n < SIZE / PIECE; n++) {
        unsigned i = (n * 7 + r->number * 5) % (SIZE / PIECE);
        r->fine = hf_source_read(r->source, piece, PIECE, (int64_t)i * PIECE, &err) == HF_OK;
        for (unsigned k = 0; r->fine && k < PIECE; k++)
            r->fine = piece[k] == (i < SIZE / PIECE - 8 ? (uint8_t)(i + ((size_t)i * PIECE + k) % 251) : 0);
    }
    return NULL;
}

static void many_threads_read_at_once(void **state) {
    (void)state;
    hf_err err;
    hf_source *source;
    reader readers[THREADS];
    pthread_t threads[THREADS];
    if (!have_qemu())
        skip();
    hf_auto_fd int fd = open_image("disk.qcow2");
    assert_int_equal(hf_source_open_nbd(fd, "qcow2", &source, &err), HF_OK);
    assert_int_equal(source->size_bytes, SIZE);
    assert_int_equal(source->allocated_bytes, SIZE - 8 * PIECE);
    for (unsigned i = 0; i < THREADS; i++) {
        readers[i] = (reader){source, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].fine);
    }
    int64_t end;
    bool data;
    assert_int_equal(hf_source_extent(source, SIZE - PIECE, &end, &data, &err), HF_OK);
    assert_false(data);
    hf_source_close(source);
    expect_nothing_left();
}

static void a_disk_of_no_bytes_is_a_source(void **state) {
    (void)state;
    hf_err err;
    hf_source *source;
    if (!have_qemu())
        skip();
    hf_auto_fd int fd = open_image("empty.qcow2");
    assert_int_equal(hf_source_open_nbd(fd, "qcow2", &source, &err), HF_OK);
    assert_int_equal(source->size_bytes, 0);
    assert_int_equal(source->allocated_bytes, 0);
    hf_source_close(source);
    expect_nothing_left();
}

static void the_error_says_what_qemu_nbd_said(void **state) {
    (void)state;
    hf_err err = {0};
    hf_source *source;
    if (!have_qemu())
        skip();
    /* an L1 table at an odd place, which a probe of the header does not see */
    assert_int_equal(sh("cp disk.qcow2 bad.qcow2 && printf '\\0\\0\\0\\0\\0\\3\\0\\1' | "
                        "dd of=bad.qcow2 bs=1 seek=40 conv=notrunc status=none"),
                     0);
    hf_auto_fd int fd = open_image("bad.qcow2");
    assert_int_equal(hf_source_open_nbd(fd, "qcow2", &source, &err), HF_E_SOURCE_INVALID);
    print_message("%s\n", err.detail);
    assert_non_null(strstr(err.detail, "cannot be read as qcow2"));
    assert_non_null(strstr(err.detail, "L1 table"));
    expect_nothing_left();
}

static void a_missing_program_is_named_with_its_package(void **state) {
    (void)state;
    hf_err err = {0};
    hf_source *source;
    const char *path = getenv("PATH");
    hf_auto_free char *kept = hf_strndup(path, strlen(path));
    char name[128];
    snprintf(name, sizeof name, "%s/any", dir);
    hf_auto_fd int any = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(setenv("PATH", dir, 1), 0);
    hf_code rc = hf_source_open_nbd(any, "vdi", &source, &err);
    assert_int_equal(setenv("PATH", kept, 1), 0);
    assert_int_equal(rc, HF_E_CAPABILITY);
    assert_non_null(strstr(err.detail, "install qemu-utils"));
    expect_nothing_left();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_read_at_once),
        cmocka_unit_test(a_disk_of_no_bytes_is_a_source),
        cmocka_unit_test(the_error_says_what_qemu_nbd_said),
        cmocka_unit_test(a_missing_program_is_named_with_its_package),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
