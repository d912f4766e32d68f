/* labels: tsan */
/* Slots of downloads: no more than the bound, whoever asks; given back by whatever ends the holder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "consumer/provider/vsphere/slots.h"
#include "schemas/base/clock.h"

static char dir[64];
static hf_config *config;
static hf_endpoint endpoint = {.name = "vc1", .max_disks = 2, .max_downloads = 3};

static int begin(void **state) {
    char set[128];
    hf_err err;
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hf-slots-XXXXXX");
    assert_non_null(mkdtemp(dir));
    config = hf_config_new();
    snprintf(set, sizeof set, "state_dir=%s", dir);
    return hf_config_set(config, set, &err);
}

static int end(void **state) {
    char command[128];
    (void)state;
    hf_config_free(config);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

typedef struct asker {
    hf_flow flow;
    atomic_bool cancel;
    const char *host;
    hf_slots_held held;
    hf_code code;
    hf_err err;
    pthread_t thread;
} asker;

static void *ask(void *arg) {
    asker *a = arg;
    a->code = hf_slots_take(config, &endpoint, hf_str_of(a->host), &a->flow, &a->held, &a->err);
    return NULL;
}

static void start(asker *a, const char *host) {
    hf_flow_init(&a->flow);
    atomic_store(&a->cancel, false);
    a->flow.cancel = &a->cancel;
    a->host = host;
    a->held = (hf_slots_held){-1, -1};
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static hf_code join(asker *a) {
    pthread_join(a->thread, NULL);
    hf_flow_done(&a->flow);
    return a->code;
}

static bool waits(asker *a) { /* it is not through soon; then it is told to leave off */
    usleep(200000);
    atomic_store(&a->cancel, true);
    return join(a) == HF_E_CANCELLED;
}

static void hosts_and_endpoints_have_their_bounds(void **state) {
    static asker one, two, third_of_host, other_host, fourth;
    (void)state;
    start(&one, "esx1:443");
    assert_int_equal(join(&one), HF_OK);
    start(&two, "esx1:443");
    assert_int_equal(join(&two), HF_OK);
    start(&third_of_host, "esx1:443");
    assert_true(waits(&third_of_host));
    start(&other_host, "esx2:443");
    assert_int_equal(join(&other_host), HF_OK);
    start(&fourth, "esx3:443");
    assert_true(waits(&fourth)); /* the endpoint's bound */
    hf_slots_give(&one.held);
    start(&fourth, "esx3:443");
    assert_int_equal(join(&fourth), HF_OK);
    hf_slots_give(&two.held);
    hf_slots_give(&other_host.held);
    hf_slots_give(&fourth.held);
}

static void a_killed_process_gives_its_slots_back(void **state) {
    static asker after;
    int pipe_fds[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        hf_flow flow;
        hf_slots_held held[2];
        hf_err err;
        hf_flow_init(&flow);
        for (int i = 0; i < 2; i++)
            if (hf_slots_take(config, &endpoint, HF_STR("esx9"), &flow, &held[i], &err) != HF_OK)
                _exit(1);
        if (write(pipe_fds[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    start(&after, "esx9");
    usleep(100000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(join(&after), HF_OK);
    hf_slots_give(&after.held);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hosts_and_endpoints_have_their_bounds, begin, end),
        cmocka_unit_test_setup_teardown(a_killed_process_gives_its_slots_back, begin, end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
