/* The fastest receiver of webhooks that is still one: reads each request to its end, answers 200 without a body, keeps the connection.
 * One process of its own, one thread, epoll. For benches, and for tests that want no noise from a thread. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

typedef struct http_sink {
    pid_t pid;
    uint16_t port;
    uint64_t *requests; /* answered so far, in shared memory */
} http_sink;

/* On 127.0.0.1, a free port; at most 1,024 connections. False: errno says why. */
int http_sink_start(http_sink *sink);
void http_sink_stop(http_sink *sink);
