/* hyperjournal on a real Kafka: it follows, dies at any moment, goes on, and is what its log says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/replica/follow.h"
#include "journal/replica/query.h"
#include "journal/replica/tools/verify.h"
#include "tests/support/history.h"
#include "tests/support/kafka.h"

enum { OPEN_MS = 20000, PARTITIONS = 4 };

static hf_test_kafka kafka;
static const char *const program = HF_BINARY_DIR "/bin/hyperjournal";

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        hf_err e_ = {0};                                                                                               \
        hf_err *err = &e_;                                                                                             \
        (void)err;                                                                                                     \
        if ((call) != HF_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, hf_code_name(e_.code), e_.detail);                                           \
    } while (0)

/* ---- the log ---------------------------------------------------------------------------------------------------- */
static hf_klog *open_log(const char *fleet) {
    hf_klog *log = NULL;
    hf_config *config = hf_test_config(kafka.bootstrap, fleet);
    assert_ok(hf_klog_open(config, "test@here/1", true, OPEN_MS, &log, err));
    hf_config_free(config);
    return log;
}

static void produce_history(hf_klog *log, const hf_history *h, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        hf_log_record r;
        hf_history_record(h, i, &r);
        assert_ok(hf_klog_produce(log, r.topic, r.partition, r.key, r.value, "JobEvent", NULL, 0, 0, err));
        hf_klog_poll_reports(log, 0);
    }
    assert_ok(hf_klog_flush(log, 20000, err));
}

/* ---- the program ------------------------------------------------------------------------------------------------- */
typedef struct {
    pid_t pid;
    int ready;
} child;

static child start(const char *dir, const char *fleet) {
    char bootstrap[400], state[HF_TEST_PATH + 32], fleet_set[100];
    int ends[2];
    snprintf(bootstrap, sizeof bootstrap, "kafka.bootstrap.servers=%s", kafka.bootstrap);
    snprintf(state, sizeof state, "state_dir=%s", dir);
    snprintf(fleet_set, sizeof fleet_set, "fleet=%s", fleet);
    assert_int_equal(pipe(ends), 0);
    child c = {fork(), ends[0]};
    if (c.pid == 0) {
        char fd[16];
        int null = open("/dev/null", O_RDWR);
        snprintf(fd, sizeof fd, "%d", ends[1]);
        setenv("HF_READY_FD", fd, 1);
        dup2(null, 2);
        execl(program, program, "run", "--set", bootstrap, "--set", state, "--set", fleet_set, "--set",
              "http.listen=127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    return c;
}

static bool is_ready(const child *c, int wait_ms) {
    struct pollfd p = {c->ready, POLLIN, 0};
    char text[256] = "";
    return poll(&p, 1, wait_ms) > 0 && read(c->ready, text, sizeof text - 1) > 0;
}

static int stop(child *c, int signal_number) {
    int status = 0;
    kill(c->pid, signal_number);
    waitpid(c->pid, &status, 0);
    close(c->ready);
    return status;
}

static int run_tool(const char *const *args, char *out, size_t size) {
    char line[2048] = "";
    size_t at = (size_t)snprintf(line, sizeof line, "%s", program);
    for (; *args; args++)
        at += (size_t)snprintf(line + at, sizeof line - at, " '%s'", *args);
    snprintf(line + at, sizeof line - at, " 2>&1");
    FILE *f = popen(line, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    return WEXITSTATUS(pclose(f));
}
#define tool(out, ...) run_tool((const char *const[]){__VA_ARGS__, NULL}, out, sizeof(out))

/* Until the journal holds what Kafka does. */
static void wait_for_all(const char *dir, hf_klog *log) {
    char journal[HF_TEST_PATH + 16];
    snprintf(journal, sizeof journal, "%s/journal", dir);
    hf_store_options ro = {.flags = HF_STORE_READONLY};
    hf_store *store = NULL;
    hf_tables tables;
    for (int tries = 0; tries < 600; tries++, usleep(50000)) {
        hf_read *read = NULL;
        bool all = true;
        if (!store && (hf_store_open(journal, &ro, &store, NULL) != HF_OK ||
                       hf_tables_open(store, HF_PROFILE_FULL, &tables, NULL) != HF_OK)) {
            hf_store_close(store);
            store = NULL;
            continue;
        }
        assert_ok(hf_read_begin(store, &read, err));
        for (int32_t p = 0; p < PARTITIONS; p++) {
            char key[HF_PART_NAME_BYTES];
            int64_t low = 0, high = 0;
            hf_str next = HF_STR_NONE;
            assert_ok(hf_klog_watermarks(log, HF_TOPIC_JOB_EVENTS, p, 5000, &low, &high, err));
            hf_read_get(read, tables.of[HF_TB_OFFSETS], hf_str_of(hf_offsets_key(HF_TOPIC_JOB_EVENTS, p, key)), &next,
                        NULL);
            all = all && (int64_t)hf_u64_of(next) == high;
        }
        hf_read_end(read);
        if (all) {
            hf_store_close(store);
            return;
        }
    }
    fail_msg("the journal did not catch up in 30 s");
}

/* ---- stories --------------------------------------------------------------------------------------------------------- */
static void it_follows_and_verifies_while_it_runs(void **state) {
    (void)state;
    char dir[HF_TEST_PATH], out[4096];
    hf_klog *log = open_log("story");
    hf_history *h = hf_history_new(31, PARTITIONS);
    hf_history_chaos(h, 4000);
    hf_history_jobs(h, 500, 20);
    hf_test_dir_make("journal", dir);
    produce_history(log, h, 0, 2000);
    child c = start(dir, "story");
    assert_true(is_ready(&c, 30000));
    produce_history(log, h, 2000, hf_history_count(h));
    wait_for_all(dir, log);
    assert_int_equal(tool(out, "verify", dir), 0); /* the fleet running */
    assert_non_null(strstr(out, "byte for byte"));
    assert_int_equal(tool(out, "print", dir, "offsets"), 0);
    assert_non_null(strstr(out, "job-events/3"));
    assert_int_equal(tool(out, "print", dir, "job", "job-1", "--output", "json"), 0);
    assert_non_null(strstr(out, "\"job_id\":\"job-1\""));
    assert_int_equal(tool(out, "print", dir, "job", "nobody"), 66);
    assert_int_equal(stop(&c, SIGTERM), 0);
    assert_int_equal(tool(out, "verify", dir), 0); /* and stopped */
    hf_history_free(h);
    hf_klog_close(log);
    hf_test_dir_remove(dir);
}

static void killed_at_any_moment_it_goes_on_and_verifies(void **state) {
    (void)state;
    char dir[HF_TEST_PATH], out[4096];
    hf_klog *log = open_log("killed");
    hf_history *h = hf_history_new(32, PARTITIONS);
    hf_history_chaos(h, 3000);
    hf_history_jobs(h, 3000, 50);
    hf_test_dir_make("journal", dir);
    size_t count = hf_history_count(h), each = count / 6;
    for (size_t round = 0; round < 6; round++) {
        child c = start(dir, "killed");
        assert_true(is_ready(&c, 30000));
        produce_history(log, h, round * each, round == 5 ? count : (round + 1) * each);
        usleep((useconds_t)(rand() % 30000));
        assert_true(WIFSIGNALED(stop(&c, SIGKILL)));
    }
    child c = start(dir, "killed");
    assert_true(is_ready(&c, 30000));
    wait_for_all(dir, log);
    assert_int_equal(stop(&c, SIGTERM), 0);
    assert_int_equal(tool(out, "verify", dir), 0);
    hf_history_free(h);
    hf_klog_close(log);
    hf_test_dir_remove(dir);
}

static void killed_round_a_commit_it_goes_on_and_verifies(void **state) {
    (void)state;
    static const char *const points[] = {"journal-before-commit:3", "journal-after-commit:3"};
    char dir[HF_TEST_PATH], out[4096];
    hf_klog *log = open_log("points");
    hf_history *h = hf_history_new(33, PARTITIONS);
    hf_history_chaos(h, 3000);
    hf_test_dir_make("journal", dir);
    for (size_t i = 0; i < 2; i++) {
        int status = 0;
        setenv("HF_KILL_AT", points[i], 1);
        child c = start(dir, "points");
        unsetenv("HF_KILL_AT");
        for (size_t n = 0; n < 10 && waitpid(c.pid, &status, WNOHANG) == 0; n++) { /* drop by drop: several batches */
            produce_history(log, h, i * 1500 + n * 150, i * 1500 + n * 150 + 150);
            usleep(100000);
        }
        if (!WIFSIGNALED(status)) {
            waitpid(c.pid, &status, WNOHANG);
            kill(c.pid, SIGKILL);
        }
        close(c.ready);
        if (!WIFSIGNALED(status))
            fail_msg("the program never came to %s", points[i]);
    }
    child c = start(dir, "points");
    assert_true(is_ready(&c, 30000));
    wait_for_all(dir, log);
    assert_int_equal(stop(&c, SIGTERM), 0);
    assert_int_equal(tool(out, "verify", dir), 0);
    hf_history_free(h);
    hf_klog_close(log);
    hf_test_dir_remove(dir);
}

static void a_waiter_sees_its_own_write(void **state) {
    (void)state;
    hf_klog *log = open_log("waiter");
    hf_history *h = hf_history_new(34, PARTITIONS);
    hf_codec *codec = NULL;
    hf_follow *follow = NULL;
    char dir[HF_TEST_PATH];
    size_t fed = 0;
    hf_history_jobs(h, 100, 5);
    hf_test_dir_make("follow", dir);
    assert_ok(hf_codec_new(NULL, NULL, &codec, err));
    const hf_follow_options o = {.replica = {.profile = HF_PROFILE_LIVE, .fleet = "waiter"},
                                 .commit_interval_ms = 60000};
    assert_ok(hf_follow_open(log, codec, dir, NULL, &o, &follow, err));
    assert_true(hf_follow_caught_up(follow) || hf_follow_step(follow, 100, &fed, NULL) == HF_OK);
    hf_position first = {0, 0};
    assert_int_equal(hf_follow_wait(follow, first, 50, NULL), HF_E_TIMEOUT);
    produce_history(log, h, 0, hf_history_count(h));
    for (int i = 0; i < 200 && fed < 10; i++) {
        size_t n = 0;
        struct pollfd p = {hf_follow_fd(follow), POLLIN, 0};
        poll(&p, 1, 100);
        assert_ok(hf_follow_step(follow, 1000, &n, err));
        fed += n;
    }
    hf_log_record r;
    hf_history_record(h, 0, &r);
    assert_int_equal(hf_replica_committed_offset(hf_follow_replica(follow), r.partition),
                     0);                                    /* a minute between commits … */
    hf_follow_hurry(follow, (hf_position){r.partition, 0}); /* … but not with somebody waiting */
    for (int i = 0; i < 200 && hf_replica_committed_offset(hf_follow_replica(follow), r.partition) == 0; i++) {
        struct pollfd p = {hf_follow_fd(follow), POLLIN, 0};
        assert_ok(hf_follow_step(follow, 1000, &fed, err));
        poll(&p, 1, 10);
    }
    assert_true(hf_replica_committed_offset(hf_follow_replica(follow), r.partition) > 0);
    assert_ok(hf_follow_wait(follow, (hf_position){r.partition, 0}, 10, err));
    hf_follow_close(follow);
    hf_codec_free(codec);
    hf_history_free(h);
    hf_klog_close(log);
    hf_test_dir_remove(dir);
}

static void rebuild_snapshot_and_restore_keep_everything(void **state) {
    (void)state;
    char dir[HF_TEST_PATH], to[HF_TEST_PATH + 16], file[HF_TEST_PATH + 16], out[4096], before[4096], after[4096],
        bootstrap[400];
    hf_klog *log = open_log("tools");
    hf_history *h = hf_history_new(35, PARTITIONS);
    hf_history_chaos(h, 3000);
    hf_test_dir_make("journal", dir);
    snprintf(to, sizeof to, "%s/restored", dir);
    snprintf(file, sizeof file, "%s/snapshot", dir);
    snprintf(bootstrap, sizeof bootstrap, "kafka.bootstrap.servers=%s", kafka.bootstrap);
    produce_history(log, h, 0, 3000);
    child c = start(dir, "tools");
    assert_true(is_ready(&c, 30000));
    wait_for_all(dir, log);
    assert_int_equal(tool(out, "rebuild", dir), 75); /* somebody writes it */
    assert_non_null(strstr(out, "store-in-use"));
    assert_int_equal(tool(out, "snapshot", dir, file), 0);
    assert_int_equal(stop(&c, SIGTERM), 0);
    assert_int_equal(tool(before, "print", dir, "chain"), 0);
    assert_int_equal(tool(out, "rebuild", dir), 0);
    assert_int_equal(tool(out, "verify", dir), 0);
    assert_int_equal(tool(after, "print", dir, "chain"), 0);
    assert_string_equal(before, after);
    assert_int_equal(tool(out, "rebuild", dir, "--from-kafka", "--set", bootstrap, "--set", "fleet=tools"), 0);
    assert_int_equal(tool(out, "verify", dir), 0);
    assert_int_equal(tool(after, "print", dir, "chain"), 0);
    assert_string_equal(before, after);
    assert_int_equal(tool(out, "restore", file, to), 0);
    assert_int_equal(tool(out, "restore", file, to), 73);
    assert_int_equal(tool(out, "verify", to), 0);
    assert_int_equal(tool(after, "print", to, "chain"), 0);
    assert_string_equal(before, after);
    hf_history_free(h);
    hf_klog_close(log);
    hf_test_dir_remove(dir);
}

static int up(void **state) {
    (void)state;
    hf_test_kafka_up(&kafka, 1);
    return 0;
}
static int down(void **state) {
    (void)state;
    hf_test_kafka_down(&kafka);
    return 0;
}

int main(void) {
    if (hf_test_kafka_missing())
        return HF_TEST_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_follows_and_verifies_while_it_runs),
                                       cmocka_unit_test(a_waiter_sees_its_own_write),
                                       cmocka_unit_test(killed_round_a_commit_it_goes_on_and_verifies),
                                       cmocka_unit_test(killed_at_any_moment_it_goes_on_and_verifies),
                                       cmocka_unit_test(rebuild_snapshot_and_restore_keep_everything)};
    return cmocka_run_group_tests(tests, up, down);
}
