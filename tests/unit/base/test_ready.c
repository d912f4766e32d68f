/* A child says where it listens and that it is ready, once, over the descriptor its parent left open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/base/ready.h"

static void lines_arrive_and_the_descriptor_is_closed(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", ends[1]);
        setenv("HF_READY_FD", number, 1);
        hf_ready_note("HTTP", "127.0.0.1:41234");
        hf_ready_notify();
        hf_ready_notify();
        _exit(0);
    }
    close(ends[1]);
    char text[256] = "";
    size_t used = 0;
    for (ssize_t n; (n = read(ends[0], text + used, sizeof text - 1 - used)) > 0;)
        used += (size_t)n;
    close(ends[0]);
    waitpid(child, NULL, 0);
    assert_string_equal(text, "HTTP=127.0.0.1:41234\nREADY=1\n");
}

static void nobody_listening_is_no_error(void **state) {
    (void)state;
    unsetenv("HF_READY_FD");
    unsetenv("NOTIFY_SOCKET");
    hf_ready_note("HTTP", "x");
    hf_ready_notify();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive_and_the_descriptor_is_closed),
        cmocka_unit_test(nobody_listening_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
