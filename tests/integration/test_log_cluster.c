/* The log on three brokers: one may die, and no producer is even told. */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/support/kafka.h"
#include "tests/support/traffic.h"

enum { OPEN_MS = 20000, WAIT_MS = 60000, RECORDS = 300000, PER_SECOND = 5000 };

static hf_test_kafka kafka;

static void kill_one(void) {
    hf_test_kafka_signal(&kafka, 2, "KILL");
    usleep(4000000); /* the others notice after broker.session.timeout.ms, 3 s */
    hf_test_kafka_restart(&kafka, 2);
}

static void one_of_three_brokers_may_die_while_producing(void **state) {
    (void)state;
    hf_err err = {0};
    hf_klog *log = NULL;
    hf_config *config = hf_test_config(kafka.bootstrap, "three"); /* replication: the brokers' default, which is 3 */
    if (hf_klog_open(config, "test@here/1", true, OPEN_MS, &log, &err))
        fail_msg("%s: %s", hf_code_name(err.code), err.detail);
    hf_config_free(config);
    hf_traffic t;
    hf_traffic_init(&t, log, HF_TOPIC_JOB_EVENTS, RECORDS);
    hf_traffic_while(&t, PER_SECOND, kill_one);
    hf_traffic_settle(&t, WAIT_MS);
    uint64_t read = hf_traffic_check(&t);
    print_message("%llu sent, %llu acknowledged, %llu in the log\n", (unsigned long long)t.sent,
                  (unsigned long long)t.acked_count, (unsigned long long)read);
    assert_int_equal(t.acked_count, t.sent); /* nobody is even told of it */
    assert_int_equal(read, t.sent);
    hf_klog_close(log);
    hf_traffic_done(&t);
}

static int up(void **state) {
    (void)state;
    hf_test_kafka_up(&kafka, 3);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_three_brokers_may_die_while_producing),
    };
    return cmocka_run_group_tests(tests, up, down);
}
