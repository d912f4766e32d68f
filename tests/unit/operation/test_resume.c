/* labels: slow */
/* A killed export goes on from its last checkpoint and gives the bytes of an undisturbed run; what does not fit starts from zero and
 * says why; at no moment is there a published file that is not whole. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

static char lines[2048];

static void on_line(rig *r, const hf_progress *p) {
    (void)r;
    size_t had = strlen(lines);
    if (p->level.len)
        snprintf(lines + had, sizeof lines - had, "%.*s: %.*s\n", HF_STR_ARG(p->level), HF_STR_ARG(p->message));
}

static void setting(rig *r, const char *set) {
    hf_err err;
    assert_int_equal(hf_config_set(r->config, set, &err), HF_OK);
}

static int open_rig(void **state) {
    rig *r = calloc(1, sizeof *r);
    rig_open_fast(r);
    setting(r, "worker.checkpoint_bytes=1MiB");
    r->on_report = on_line;
    *state = r;
    return 0;
}
static int close_rig(void **state) {
    rig_close(*state);
    free(*state);
    return 0;
}

/* `len` bytes, half noise and half text, at the front of each `step`; the rest are holes. */
static void sprinkle(rig *r, const char *name, int64_t size, int64_t step, size_t len, uint32_t seed) {
    hf_auto_fd int fd = open(rig_path(r, "in/%s", name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    hf_auto_free uint8_t *bytes = hf_alloc(len);
    assert_true(fd >= 0 && bytes);
    for (int64_t at = 0; at < size; at += step) {
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = i < len / 2 ? (uint8_t)(seed >> 24) : (uint8_t) "the same words again, "[i % 22];
        }
        size_t n = size - at < (int64_t)len ? (size_t)(size - at) : len;
        assert_int_equal(
            pwrite(fd, bytes, n, at + (at / step % 3) * 12345 < size - (int64_t)n ? at + (at / step % 3) * 12345 : at),
            n);
    }
    assert_int_equal(ftruncate(fd, size), 0);
}

static int64_t resumed_from(const rig *r) {
    json_error_t error;
    json_t *report = json_loadb(r->result.report.p, r->result.report.len, 0, &error);
    assert_non_null(report);
    int64_t n = json_integer_value(json_object_get(report, "resumed_from_bytes"));
    json_decref(report);
    return n;
}

static hf_code again(rig *r, int attempt, const hf_spec *spec) {
    lines[0] = 0;
    return rig_run(r, "job-r", attempt, spec);
}

/* An attempt in a process of its own; `point`: where it kills itself. */
static pid_t begin(rig *r, int attempt, const hf_spec *spec, const char *point) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (point)
            setenv("HF_KILL_AT", point, 1);
        _exit(rig_run(r, "job-r", attempt, spec) == HF_OK ? 0 : 1);
    }
    return pid;
}

/* How it ended. False: it was done before it could be killed. */
static bool was_killed(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return false;
}

static void kill_after(pid_t pid, int64_t us) {
    struct timespec wait = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&wait, NULL);
    kill(pid, SIGKILL);
}

/* Dies at the named point, or after so many microseconds. */
static bool killed(rig *r, int attempt, const hf_spec *spec, const char *point, int64_t after_us) {
    pid_t pid = begin(r, attempt, spec, point);
    if (!point)
        kill_after(pid, after_us);
    return was_killed(pid);
}

/* Dies so many microseconds after its first checkpoint is there, however slow the machine. */
static bool killed_past_a_checkpoint(rig *r, int attempt, const hf_spec *spec, int64_t after_us) {
    const char *checkpoint = rig_path(r, "out/.hf-job-r-%d.partial/.checkpoint", attempt);
    pid_t pid = begin(r, attempt, spec, NULL);
    siginfo_t ended = {0};
    while (access(checkpoint, F_OK) != 0 && waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ended.si_pid == 0)
        usleep(1000);
    kill_after(pid, after_us);
    return was_killed(pid);
}

/* What is under its name equals the undisturbed run's; partial says whether nothing there is fine as well. */
static void check_published(rig *r, bool partial) {
    assert_int_equal(
        rig_sh(
            r,
            "for f in out/*; do [ -e \"$f\" ] || continue; if [ -f \"$f\" ]; then cmp \"$f\" \"ref/${f#out/}\"; else diff -r \"$f\" \"ref/${f#out/}\"; fi || exit 1; done"),
        0);
    if (!partial)
        assert_int_equal(rig_sh(r, "test \"$(ls out)\" = \"$(ls ref)\" && ! ls -d out/.hf-*.partial 2>/dev/null"), 0);
}

/* The undisturbed run. Leaves its result in ref/. */
static void reference(rig *r, const hf_spec *spec) {
    assert_int_equal(rig_run(r, "reference", 1, spec), HF_OK);
    assert_int_equal(resumed_from(r), 0);
    assert_int_equal(rig_sh(r, "rm -rf ref && mv out ref && mkdir out"), 0);
}

static hf_spec export_spec(rig *r, const char *image, const char *format) {
    hf_spec spec = rig_spec(r, "export", image, format);
    spec.name = HF_STR("disk");
    spec.options.codec = HF_STR("balanced");
    return spec;
}

static hf_spec two_disks(rig *r, const char *format) {
    static hf_disk disks[2];
    hf_spec spec = export_spec(r, NULL, format);
    sprinkle(r, "a.raw", (100 << 20) + 777, 4 << 20, 300000, 1);
    sprinkle(r, "b.raw", 130 << 20, 8 << 20, 700000, 2);
    disks[0] = (hf_disk){.path = hf_str_of(rig_path(r, "in/a.raw"))};
    disks[1] = (hf_disk){.path = hf_str_of(rig_path(r, "in/b.raw"))};
    spec.disks = (hf_list){disks, 2};
    return spec;
}

static const char *const formats[] = {"ova", "vmdk", "raw", "ovf"};

#ifdef HF_FAULT_POINTS
static void an_attempt_goes_on_where_the_last_was_killed(void **state) {
    rig *r = *state;
    static const struct {
        const char *at;
        int64_t least; /* of the sources, done by then */
    } points[] = {{"checkpoint-durable", 1 << 20},
                  {"checkpoint-written:2", 1 << 20},
                  {"checkpoint-later-disk", 8000000},
                  {"publish-before", 8000000}};
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        hf_spec spec = two_disks(r, formats[f]);
        spec.options.manifest = HF_STR("sha1");
        reference(r, &spec);
        for (size_t p = 0; p < HF_ARRAY_LEN(points); p++) {
            assert_true(killed(r, 1, &spec, points[p].at, 0));
            assert_int_equal(rig_sh(r, "test \"$(ls -A out)\" = .hf-job-r-1.partial"), 0);
            assert_int_equal(again(r, 2, &spec), HF_OK);
            if (!strstr(lines, "info: attempt 1 was killed: going on from its checkpoint") ||
                resumed_from(r) < points[p].least)
                fail_msg("%s at %s: %s", formats[f], points[p].at, lines);
            check_published(r, false);
            rig_check_artifacts(r);
            assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
        }
    }
}

static void a_chain_of_killed_attempts_gets_there(void **state) {
    rig *r = *state;
    hf_spec spec = two_disks(r, "ova");
    reference(r, &spec);
    int attempt = 1;
    while (attempt < 40 && killed(r, attempt, &spec, "checkpoint-durable", 0)) /* each a checkpoint further */
        attempt++;
    assert_true(attempt > 5 && attempt < 40);
    check_published(r, false);
}

static void what_does_not_fit_starts_from_zero_and_says_so(void **state) {
    rig *r = *state;
    static const struct {
        const char *spoil, *says;
    } cases[] = {
        {"touch -d '2001-01-01' in/b.raw", "warn: source changed since the checkpoint: starting from zero"},
        {"cp in/a.raw in/c.raw && touch -r in/a.raw in/c.raw && mv in/c.raw in/a.raw", "source changed"},
        {"printf x | dd of=out/.hf-job-r-1.partial/.checkpoint bs=1 seek=100 conv=notrunc status=none", "damaged"},
        {"truncate -s 200 out/.hf-job-r-1.partial/.checkpoint", "damaged"},
        {": >out/.hf-job-r-1.partial/.checkpoint", "damaged"},
        {"printf x | dd of=out/.hf-job-r-1.partial/disk.ova bs=1 seek=90000 conv=notrunc status=none",
         "not those that were written"},
        {"truncate -s 80000 out/.hf-job-r-1.partial/disk.ova", "not those that were written"},
        {"rm out/.hf-job-r-1.partial/disk.ova", "not there any more"},
        {"ln out/.hf-job-r-1.partial/disk.ova link", "not there any more"},
        {"rm out/.hf-job-r-1.partial/disk.ova && ln -s ../../in/a.raw out/.hf-job-r-1.partial/disk.ova",
         "not there any more"},
    };
    hf_spec spec = two_disks(r, "ova");
    reference(r, &spec);
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        assert_true(killed(r, 1, &spec, "checkpoint-later-disk", 0));
        assert_int_equal(rig_sh(r, "%s", cases[i].spoil), 0);
        assert_int_equal(again(r, 2, &spec), HF_OK);
        if (!strstr(lines, cases[i].says) || !strstr(lines, "starting from zero"))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].spoil, lines, cases[i].says);
        assert_int_equal(resumed_from(r), 0);
        check_published(r, false);
        rig_check_artifacts(r);
        assert_int_equal(rig_sh(r, "rm -rf out link && mkdir out"), 0);
    }
    assert_true(killed(r, 1, &spec, "checkpoint-durable", 0));
    hf_spec other = spec;
    other.options.codec = HF_STR("small");
    assert_int_equal(again(r, 2, &other), HF_OK);
    assert_non_null(strstr(lines, "options or version changed"));
    assert_int_equal(resumed_from(r), 0);
    assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
    assert_true(killed(r, 1, &spec, "checkpoint-durable", 0));
    setting(r, "worker.checkpoint_bytes=0");
    assert_int_equal(again(r, 2, &spec), HF_OK);
    assert_int_equal(resumed_from(r), 0);
    check_published(r, false);
}

static void what_a_living_attempt_holds_is_not_taken_over(void **state) {
    rig *r = *state;
    hf_spec spec = two_disks(r, "vmdk");
    reference(r, &spec);
    assert_true(killed(r, 1, &spec, "checkpoint-durable", 0));
    hf_auto_fd int zombie = open(rig_path(r, "out/.hf-job-r-1.partial/.lock"), O_RDWR | O_CLOEXEC);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(zombie, F_OFD_SETLK, &whole), 0);
    assert_int_equal(again(r, 2, &spec), HF_OK);
    assert_null(strstr(lines, "going on"));
    assert_int_equal(resumed_from(r), 0);
    check_published(r, false);
}
#endif

/* Twenty kills at any moment, half of them once there is something to go on from; what is there then is whole or not there, and the next
 * attempt gives the same bytes. */
static void killed_at_any_moment(void **state) {
    rig *r = *state;
    unsigned seed = (unsigned)time(NULL);
    print_message("    seed %u\n", seed);
    int went_on = 0, finished = 0;
    for (int round = 0; round < 20; round++) {
        hf_spec spec = export_spec(r, "one.raw", formats[round % 3]);
        if (round < 3) {
            if (round == 0)
                sprinkle(r, "one.raw", 256 << 20, 4 << 20, 400000, 3);
            reference(r, &spec);
            assert_int_equal(rig_sh(r, "rm -rf ref-%s && mv ref ref-%s", formats[round], formats[round]), 0);
        }
        assert_int_equal(rig_sh(r, "rm -f ref && ln -s ref-%s ref", formats[round % 3]), 0);
        bool later = round % 2;
        atomic_store(&r->limit, (later ? 25 : 100) << 20); /* 25 MiB: a second, or a quarter of one */
        bool dead = later ? killed_past_a_checkpoint(r, 1, &spec, rand_r(&seed) % 100000)
                          : killed(r, 1, &spec, NULL, rand_r(&seed) % 350000);
        atomic_store(&r->limit, 0);
        check_published(r, true);
        if (!dead) {
            finished++;
            assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
            continue;
        }
        assert_int_equal(again(r, 2, &spec), HF_OK);
        went_on += resumed_from(r) > 0;
        check_published(r, false);
        assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
    }
    print_message("    %d of 20 went on from a checkpoint, %d were done before\n", went_on, finished);
    assert_true(went_on >= 3);
}

static void two_gibibytes_killed_twice(void **state) {
    rig *r = *state;
    unsigned seed = (unsigned)time(NULL) ^ 1;
    sprinkle(r, "big.raw", (int64_t)2 << 30, 32 << 20, 1500000, 4); /* 96 MB of data */
    setting(r, "worker.checkpoint_bytes=8MiB");
    for (size_t f = 0; f < 3; f++) {
        hf_spec spec = export_spec(r, "big.raw", formats[f]);
        char sha256[65] = "";
        reference(r, &spec);
        snprintf(sha256, sizeof sha256, "%.*s", HF_STR_ARG(HF_LIST_AT(r->result.artifacts, hf_artifact, 0)->sha256));
        atomic_store(&r->limit, 100 << 20);
        for (int attempt = 1; attempt < (f == 2 ? 2 : 3); attempt++)
            if (!killed(r, attempt, &spec, NULL, 400000 + rand_r(&seed) % 200000))
                break;
        atomic_store(&r->limit, 0);
        assert_int_equal(again(r, 3, &spec), HF_OK);
        assert_true(hf_str_eqz(HF_LIST_AT(r->result.artifacts, hf_artifact, 0)->sha256, sha256));
        print_message("    %s: went on from %lld\n", formats[f], (long long)resumed_from(r));
        if (f < 2)
            check_published(r, false);
        assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
    }
}

static bool going_back;
static int64_t first_done = -1, last_done;
static void watch_progress(rig *r, const hf_progress *p) {
    on_line(r, p);
    if (p->level.len || !hf_str_eqz(p->phase, "export") || p->bytes_total == 0)
        return;
    if (first_done < 0)
        first_done = p->bytes_done;
    going_back |= p->bytes_done < last_done;
    last_done = p->bytes_done;
}

static void progress_goes_on_too_and_a_failure_leaves_nothing(void **state) {
    rig *r = *state;
    hf_spec spec = two_disks(r, "ova");
    atomic_store(&r->limit, 4 << 20); /* 20 MB of data: five seconds, of which it lives a quarter of one */
    assert_true(killed_past_a_checkpoint(r, 1, &spec, 100000));
    atomic_store(&r->limit, 20 << 20);
    r->on_report = watch_progress;
    assert_int_equal(again(r, 2, &spec), HF_OK);
    assert_true(resumed_from(r) > 0 && first_done >= resumed_from(r) && !going_back);
    assert_int_equal(rig_sh(r, "rm -rf out && mkdir out"), 0);
    r->on_report = on_line;
    atomic_store(&r->limit, 4 << 20);
    assert_true(killed_past_a_checkpoint(r, 1, &spec, 100000));
    atomic_store(&r->cancel, true);
    assert_int_equal(again(r, 2, &spec), HF_E_CANCELLED);
    assert_true(rig_out_empty(r));
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)
int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef HF_FAULT_POINTS
        EACH(an_attempt_goes_on_where_the_last_was_killed),
        EACH(a_chain_of_killed_attempts_gets_there),
        EACH(what_does_not_fit_starts_from_zero_and_says_so),
        EACH(what_a_living_attempt_holds_is_not_taken_over),
#endif
        EACH(killed_at_any_moment),
        EACH(two_gibibytes_killed_twice),
        EACH(progress_goes_on_too_and_a_failure_leaves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
