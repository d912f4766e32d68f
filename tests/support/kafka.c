#include "tests/support/kafka.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define SCRIPTS HF_SOURCE_DIR "/tests/support/kafka/"

int hf_test_kafka_missing(void) {
    if (system("command -v java >/dev/null 2>&1 && command -v bash >/dev/null 2>&1") == 0)
        return 0;
    fprintf(stderr, "SKIPPED: java (17 or newer) is needed for a real Kafka\n");
    return HF_TEST_SKIPPED;
}

/* Runs a command; its standard output, without the line's end, goes into text. */
static void run(const char *command, char *text, size_t size) {
    FILE *out = popen(command, "re");
    if (!out)
        fail_msg("cannot run %s", command);
    size_t n = fread(text, 1, size - 1, out);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    int status = pclose(out);
    if (status)
        fail_msg("%s: exit %d", command, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* A process that outlives this one by the time kafka-down takes. It learns of our end from a pipe: a crash, a
 * sanitizer's abort and ctest's kill close it as well. */
static int guard(const char *dir) {
    int fds[2];
    char byte;
    if (pipe2(fds, O_CLOEXEC))
        fail_msg("pipe2 failed");
    pid_t pid = fork();
    if (pid < 0)
        fail_msg("fork failed");
    if (pid > 0) {
        close(fds[0]);
        return fds[1];
    }
    setsid();
    close(fds[1]);
    while (read(fds[0], &byte, 1) > 0)
        ;
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    execl("/bin/bash", "bash", SCRIPTS "kafka-down", "--now", "--rm", dir, (char *)NULL);
    _exit(127);
}

void hf_test_kafka_up_with(hf_test_kafka *k, int nodes, const char *properties) {
    char command[3 * HF_TEST_PATH], props[HF_TEST_PATH + 16] = "/dev/null";
    *k = (hf_test_kafka){.nodes = nodes, .guard_fd = -1};
    hf_test_dir_make("kafka", k->dir);
    k->guard_fd = guard(k->dir);
    if (properties) {
        snprintf(props, sizeof props, "%s.properties", k->dir);
        FILE *f = fopen(props, "we");
        assert_non_null(f);
        fputs(properties, f);
        fclose(f);
    }
    snprintf(command, sizeof command, "KAFKA_PROPS=%s bash " SCRIPTS "kafka-up %s %d", props, k->dir, nodes);
    run(command, k->bootstrap, sizeof k->bootstrap);
    if (properties)
        unlink(props);
}

void hf_test_kafka_up(hf_test_kafka *k, int nodes) { hf_test_kafka_up_with(k, nodes, NULL); }

void hf_test_kafka_up_secure(hf_test_kafka *k) {
    setenv("KAFKA_SECURE", "1", 1);
    hf_test_kafka_up(k, 1);
    unsetenv("KAFKA_SECURE");
}

const char *hf_test_kafka_env(const hf_test_kafka *k, const char *name, char text[HF_TEST_PATH]) {
    char command[2 * HF_TEST_PATH];
    snprintf(command, sizeof command, "sed -n 's/^%s=//p' %s/env", name, k->dir);
    run(command, text, HF_TEST_PATH);
    return text;
}

void hf_test_kafka_down(hf_test_kafka *k) {
    char command[2 * HF_TEST_PATH], nothing[64];
    snprintf(command, sizeof command, "bash " SCRIPTS "kafka-down --now --rm %s", k->dir);
    run(command, nothing, sizeof nothing);
    close(k->guard_fd);
    k->guard_fd = -1;
}

void hf_test_kafka_signal(const hf_test_kafka *k, int node, const char *signal) {
    char command[2 * HF_TEST_PATH], nothing[64];
    snprintf(command, sizeof command, "bash " SCRIPTS "kafka-down %s %d %s", k->dir, node, signal);
    run(command, nothing, sizeof nothing);
}

void hf_test_kafka_restart(const hf_test_kafka *k, int node) {
    char command[2 * HF_TEST_PATH], nothing[256];
    snprintf(command, sizeof command, "bash " SCRIPTS "kafka-up --restart %s %d", k->dir, node);
    run(command, nothing, sizeof nothing);
}

void hf_test_config_set(hf_config *config, const char *assignment) {
    hf_err err = {0};
    if (hf_config_set(config, assignment, &err))
        fail_msg("%s: %s", assignment, err.detail);
}

hf_config *hf_test_config(const char *bootstrap, const char *fleet) {
    char text[400];
    hf_config *config = hf_config_new();
    assert_non_null(config);
    snprintf(text, sizeof text, "fleet=%s", fleet);
    hf_test_config_set(config, text);
    snprintf(text, sizeof text, "kafka.bootstrap.servers=\"%s\"", bootstrap);
    hf_test_config_set(config, text);
    return config;
}
