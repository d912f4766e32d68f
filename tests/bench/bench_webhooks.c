// LIBS: hf_support
/* The receiver of tests/bench/bench_webhooks.py: tests/support/http_sink.h as a program. Prints "PORT PID" of the sink; then, for each line on
 * stdin, how many requests it has answered so far. Ends with stdin. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/support/http_sink.h"

int main(void) {
    http_sink sink;
    char line[64];
    if (!http_sink_start(&sink)) {
        perror("bench_webhooks: the receiver");
        return 1;
    }
    printf("%u %d\n", sink.port, (int)sink.pid);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%" PRIu64 "\n", __atomic_load_n(sink.requests, __ATOMIC_RELAXED));
        fflush(stdout);
    }
    http_sink_stop(&sink);
    return 0;
}
