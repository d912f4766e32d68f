/* Each behaviour that store.h states for what goes wrong. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

static hf_table table_of(hf_store *s) {
    hf_table t = 0;
    assert_ok(hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, err));
    return t;
}

/* ---- the map ------------------------------------------------------------------------------------- */
static void a_full_map_grows_and_the_batch_goes_through(void **state) {
    hf_store_options o = {.map_bytes = 1 << 20, .map_max_bytes = 64 << 20};
    hf_store *s = scratch_store(state, &o);
    hf_table t = table_of(s);
    for (uint64_t i = 0; i < 10; i++)
        assert_ok(scratch_fill(s, t, i * 1000, 1000, 1000, err));
    assert_int_equal(scratch_count(s, t), 10000);
    hf_store_stat st;
    hf_store_stats(s, &st);
    assert_true(st.map_bytes >= 16 << 20);
    hf_store_close(s);
}

static void past_its_bound_the_map_is_full_and_the_store_goes_on(void **state) {
    hf_store_options o = {.map_bytes = 1 << 20, .map_max_bytes = 2 << 20};
    hf_store *s = scratch_store(state, &o);
    hf_table t = table_of(s);
    hf_err e;
    assert_ok(scratch_fill(s, t, 0, 100, 1000, err));
    assert_int_equal(scratch_fill(s, t, 1000, 5000, 1000, &e), HF_E_STORE_FULL);
    assert_non_null(strstr(e.detail, "journal.map_max"));
    assert_int_equal(scratch_count(s, t), 100);
    assert_ok(scratch_fill(s, t, 100, 100, 1000, err));
    assert_int_equal(scratch_count(s, t), 200);
    hf_store_close(s);
}

typedef struct {
    hf_store *store;
    hf_table table;
    atomic_bool stop;
    atomic_long reads;
    atomic_long bad;
} readers;
static void *read_on(void *arg) {
    readers *r = arg;
    while (!atomic_load(&r->stop)) {
        uint64_t n = scratch_count(r->store, r->table);
        if (n % 500 != 0)
            atomic_fetch_add(&r->bad, 1);
        atomic_fetch_add(&r->reads, 1);
    }
    return NULL;
}

static void the_map_grows_under_readers_who_see_whole_batches_only(void **state) {
    hf_store_options o = {.map_bytes = 1 << 20, .map_max_bytes = 256 << 20};
    hf_store *s = scratch_store(state, &o);
    readers r = {.store = s, .table = table_of(s)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, read_on, &r);
    for (uint64_t i = 0; i < 40; i++)
        assert_ok(scratch_fill(s, r.table, i * 500, 500, 500, err));
    while (atomic_load(&r.reads) < 10)
        usleep(1000);
    atomic_store(&r.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&r.bad), 0);
    hf_store_close(s);
}

static void another_process_reads_while_the_map_grows(void **state) {
    hf_store_options o = {.map_bytes = 1 << 20, .map_max_bytes = 256 << 20};
    hf_store *s = scratch_store(state, &o);
    hf_table t = table_of(s);
    assert_ok(scratch_fill(s, t, 0, 500, 100, err));
    hf_store_close(s);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        hf_store *mine = NULL;
        hf_table ct;
        if (hf_store_open(*state, &o, &mine, NULL) != HF_OK ||
            hf_store_table(mine, "n", HF_TABLE_INTEGER_KEY, &ct, NULL) != HF_OK)
            _exit(1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (uint64_t i = 1; i < 40; i++)
            if (scratch_fill(mine, ct, i * 500, 500, 500, NULL) != HF_OK)
                _exit(2);
        hf_store_close(mine);
        _exit(0);
    }
    char x;
    assert_int_equal(read(ready[0], &x, 1), 1);
    o.flags = HF_STORE_READONLY;
    s = scratch_store(state, &o);
    t = table_of(s);
    uint64_t n = 0;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        n = scratch_count(s, t);
        assert_int_equal(n % 500, 0);
    }
    assert_int_equal(status, 0);
    assert_int_equal(scratch_count(s, t), 20000);
    hf_store_close(s);
    close(ready[0]);
    close(ready[1]);
}

/* ---- the disk -------------------------------------------------------------------------------------- */
static void on_a_full_disk_nothing_of_the_batch_is_applied(void **state) {
    struct rlimit was;
    hf_store *s = scratch_store(state, NULL);
    hf_table t = table_of(s);
    assert_ok(scratch_fill(s, t, 0, 100, 100, err));
    getrlimit(RLIMIT_FSIZE, &was);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit small = {.rlim_cur = 1 << 20, .rlim_max = was.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    hf_code rc = scratch_fill(s, t, 100, 5000, 1000, NULL);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(rc, HF_E_STORE_FULL);
    assert_int_equal(scratch_count(s, t), 100);
    assert_ok(scratch_fill(s, t, 100, 5000, 1000, err)); /* there is room again: the store is usable */
    assert_int_equal(scratch_count(s, t), 5100);
    hf_store_close(s);
}

static void a_full_file_system_is_store_full_and_mended_by_room(void **state) {
    char dir[512], ballast[512];
    mkdir(scratch_path(state, "small", dir), 0700);
    if (mount("none", dir, "tmpfs", 0, "size=4m") != 0)
        skip(); /* needs root; the test above shows the same through RLIMIT_FSIZE */
    scratch_path(state, "small/ballast", ballast);
    int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 2 << 20), 0);
    close(fd);
    hf_store *s = NULL;
    hf_err e;
    assert_ok(hf_store_open(dir, NULL, &s, err));
    hf_table t = table_of(s);
    hf_code full = scratch_fill(s, t, 0, 2500, 1000, &e);
    uint64_t left = scratch_count(s, t);
    unlink(ballast);
    hf_code roomy = scratch_fill(s, t, 0, 2500, 1000, &e);
    uint64_t now = scratch_count(s, t);
    hf_store_close(s);
    umount2(dir, MNT_DETACH);
    assert_int_equal(full, HF_E_STORE_FULL);
    assert_int_equal(left, 0);
    assert_int_equal(roomy, HF_OK);
    assert_int_equal(now, 2500);
}

static void an_injected_failure_leaves_all_or_nothing(void **state) {
    hf_store *s = scratch_store(state, NULL);
    hf_table t = table_of(s);
    hf_store_fail_commit_after(2, HF_E_STORE_FULL);
    assert_ok(scratch_fill(s, t, 0, 10, 10, err));
    assert_int_equal(scratch_fill(s, t, 10, 10, 10, NULL), HF_E_STORE_FULL);
    assert_int_equal(scratch_count(s, t), 10);
    assert_ok(scratch_fill(s, t, 10, 10, 10, err));
    assert_int_equal(scratch_count(s, t), 20);
    hf_store_close(s);
}

/* ---- readers and writers -------------------------------------------------------------------------- */
static void a_reader_that_died_is_cleared(void **state) {
    hf_store *s = scratch_store(state, NULL);
    table_of(s);
    hf_store_close(s);
    hf_store_options ro = {.flags = HF_STORE_READONLY, .max_readers = 4};
    for (int i = 0; i < 6; i++) { /* more deaths than there are slots */
        pid_t child = fork();
        if (child == 0) {
            hf_store *mine = NULL;
            hf_read *r = NULL;
            if (hf_store_open(*state, &ro, &mine, NULL) != HF_OK || hf_read_begin(mine, &r, NULL) != HF_OK)
                _exit(1);
            raise(SIGKILL);
        }
        int status = 0;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
    }
    hf_store_options o = {.max_readers = 4};
    s = scratch_store(state, &o);
    hf_store_tend(s);
    hf_table t = table_of(s);
    assert_int_equal(scratch_count(s, t), 0);
    hf_store_close(s);
}

static void the_second_writer_is_refused_and_told_who_is_first(void **state) {
    int ready[2];
    char x, pid[32];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        hf_store *mine = NULL;
        hf_code rc = hf_store_open(*state, NULL, &mine, NULL);
        if (rc != HF_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &x, 1), 1);
    hf_store *s = NULL;
    hf_err e;
    assert_int_equal(hf_store_open(*state, NULL, &s, &e), HF_E_STORE_IN_USE);
    snprintf(pid, sizeof pid, "process %d ", (int)child);
    assert_non_null(strstr(e.detail, pid));
    hf_store_options ro = {.flags = HF_STORE_READONLY};
    assert_ok(hf_store_open(*state, &ro, &s, err)); /* reading is fine */
    hf_store_close(s);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    s = scratch_store(state, NULL); /* the lock died with its holder */
    hf_store_close(s);
    close(ready[0]);
    close(ready[1]);
}

/* ---- the file ------------------------------------------------------------------------------------- */
static void write_file(void **state, const char *name, const void *bytes, size_t len, off_t at) {
    char path[512];
    int fd = open(scratch_path(state, name, path), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

static void what_is_not_lmdb_is_foreign(void **state) {
    char text[8192];
    memset(text, 'x', sizeof text);
    write_file(state, "data.mdb", text, sizeof text, 0);
    hf_store *s = NULL;
    assert_int_equal(hf_store_open(*state, NULL, &s, NULL), HF_E_STORE_FOREIGN);
    write_file(state, "data.mdb", "short", 5, 0);
    assert_int_equal(truncate(scratch_path(state, "data.mdb", text), 5), 0);
    assert_int_equal(hf_store_open(*state, NULL, &s, NULL), HF_E_STORE_FOREIGN);
}

static void another_kind_fleet_or_version_is_told_apart(void **state) {
    hf_store_options o = {.kind = "journal", .fleet = "a", .version = 7};
    hf_store *s = scratch_store(state, &o);
    hf_store_close(s);
    hf_err e;
    o.kind = "worker";
    assert_int_equal(hf_store_open(*state, &o, &s, &e), HF_E_STORE_FOREIGN);
    o.kind = "journal", o.fleet = "b";
    assert_int_equal(hf_store_open(*state, &o, &s, &e), HF_E_STORE_FOREIGN);
    assert_non_null(strstr(e.detail, "`a`"));
    o.fleet = "a", o.version = 8;
    assert_int_equal(hf_store_open(*state, &o, &s, &e), HF_E_STORE_VERSION);
    assert_non_null(strstr(e.detail, "rebuild"));
    o.version = 0;
    s = scratch_store(state, &o);
    hf_store_close(s);
}

static void an_lmdb_file_of_somebody_else_is_foreign(void **state) {
    hf_store *s = scratch_store(state, NULL); /* no kind: unmarked */
    table_of(s);
    hf_store_close(s);
    hf_store_options o = {.kind = "journal"};
    assert_int_equal(hf_store_open(*state, &o, &s, NULL), HF_E_STORE_FOREIGN);
}

static void nothing_to_read_is_not_found(void **state) {
    hf_store_options ro = {.flags = HF_STORE_READONLY};
    hf_store *s = NULL;
    char none[512];
    assert_int_equal(hf_store_open(scratch_path(state, "none", none), &ro, &s, NULL), HF_E_NOT_FOUND);
    assert_int_equal(access(none, F_OK), -1); /* and reading made nothing */
}

static void make_big(void **state) {
    hf_store_options o = {.kind = "journal", .version = 1};
    hf_store *s = scratch_store(state, &o);
    hf_table t = table_of(s);
    for (uint64_t i = 0; i < 20; i++)
        assert_ok(scratch_fill(s, t, i * 500, 500, 500, err));
    hf_store_close(s);
}

/* In a child: what a damaged page makes of the process that meets it. */
static int status_of_reading_all(void **state) {
    pid_t child = fork();
    if (child == 0) {
        hf_store_options o = {.kind = "journal", .version = 1};
        hf_store *s = NULL;
        hf_read *r = NULL;
        hf_cursor *c = NULL;
        hf_table t;
        hf_str k = HF_STR_NONE, v;
        hf_code rc = hf_store_open(*state, &o, &s, NULL);
        if (rc == HF_OK)
            rc = hf_store_table(s, "n", HF_TABLE_INTEGER_KEY, &t, NULL);
        if (rc == HF_OK)
            rc = hf_read_begin(s, &r, NULL);
        if (rc == HF_OK)
            rc = hf_cursor_open(r, t, &c, NULL);
        while (rc == HF_OK)
            rc = hf_cursor_move(c, HF_NEXT, &k, &v, NULL);
        _exit(rc == HF_E_NOT_FOUND ? 0 : hf_code_exit_status(rc));
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_file_that_was_cut_off_is_damaged(void **state) {
    make_big(state);
    assert_int_equal(status_of_reading_all(state), 0);
    char path[512];
    struct stat st;
    stat(scratch_path(state, "data.mdb", path), &st);
    assert_int_equal(truncate(path, st.st_size / 2), 0);
    hf_store_options o = {.kind = "journal", .version = 1};
    hf_store *s = NULL;
    hf_err e;
    assert_int_equal(hf_store_open(*state, &o, &s, &e), HF_E_STORE_DAMAGED);
    assert_non_null(strstr(e.detail, "rebuild"));
}

static void overwritten_pages_are_damage_with_status_65(void **state) {
    make_big(state);
    char zeros[4096] = {0}, path[512];
    struct stat st;
    stat(scratch_path(state, "data.mdb", path), &st);
    for (off_t page = 2 * 4096; page < st.st_size; page += 4096)
        write_file(state, "data.mdb", zeros, sizeof zeros, page);
    assert_int_equal(status_of_reading_all(state), 65);
}

/* ---- kill -9 ---------------------------------------------------------------------------------------- */
static void killed_at_any_moment_it_holds_whole_batches(void **state) {
    uint64_t before = 0;
    for (int round = 0; round < 12; round++) {
        int ready[2];
        char x;
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            hf_store *s = NULL;
            if (hf_store_open(*state, NULL, &s, NULL) != HF_OK)
                _exit(1);
            hf_table t = table_of(s);
            uint64_t next = scratch_count(s, t);
            if (write(ready[1], "x", 1) != 1)
                _exit(1);
            for (;; next += 300)
                if (scratch_fill(s, t, next, 300, 200, NULL) != HF_OK)
                    _exit(2);
        }
        assert_int_equal(read(ready[0], &x, 1), 1);
        usleep((useconds_t)(1000 + rand() % 30000));
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        hf_store *s = scratch_store(state, NULL);
        uint64_t n = scratch_count(s, table_of(s));
        hf_store_close(s);
        assert_int_equal(n % 300, 0);
        assert_true(n >= before);
        before = n;
        close(ready[0]);
        close(ready[1]);
    }
    assert_true(before > 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)
    const struct CMUnitTest tests[] = {T(a_full_map_grows_and_the_batch_goes_through),
                                       T(past_its_bound_the_map_is_full_and_the_store_goes_on),
                                       T(the_map_grows_under_readers_who_see_whole_batches_only),
                                       T(another_process_reads_while_the_map_grows),
                                       T(on_a_full_disk_nothing_of_the_batch_is_applied),
                                       T(a_full_file_system_is_store_full_and_mended_by_room),
                                       T(an_injected_failure_leaves_all_or_nothing),
                                       T(a_reader_that_died_is_cleared),
                                       T(the_second_writer_is_refused_and_told_who_is_first),
                                       T(what_is_not_lmdb_is_foreign),
                                       T(another_kind_fleet_or_version_is_told_apart),
                                       T(an_lmdb_file_of_somebody_else_is_foreign),
                                       T(nothing_to_read_is_not_found),
                                       T(a_file_that_was_cut_off_is_damaged),
                                       T(overwritten_pages_are_damage_with_status_65),
                                       T(killed_at_any_moment_it_holds_whole_batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
