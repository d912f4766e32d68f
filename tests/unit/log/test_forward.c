/* The TCP forwarder in front of the embedded broker. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "journal/log/forward.h"

/* An echo server on the far side: what a client sends comes back whole through both directions. */
static void the_forwarder_carries_more_than_its_buffers(void **state) {
    (void)state;
    enum { BYTES = 3 * 1000 * 1000 };
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&a, sizeof a) || listen(server, 4), 0);
    getsockname(server, (struct sockaddr *)&a, &size);
    hf_forward *f;
    assert_int_equal(hf_forward_start("127.0.0.1:0", ntohs(a.sin_port), &f, NULL), HF_OK);
    a.sin_port = htons((uint16_t)atoi(strrchr(hf_forward_address(f), ':') + 1));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof a), 0);
    int far = accept(server, NULL, NULL);
    char *out = malloc(BYTES), *in = malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        out[i] = (char)(i * 31 >> 3);
    size_t sent = 0, got = 0;
    while (got < BYTES) { /* the far end reads slowly: back-pressure through both buffers */
        if (sent < BYTES) {
            ssize_t n = send(client, out + sent, BYTES - sent, MSG_DONTWAIT);
            if (n > 0 && (sent += (size_t)n) == BYTES)
                shutdown(client, SHUT_WR);
        }
        ssize_t n = recv(far, in + got, BYTES - got < 50000 ? BYTES - got : 50000, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(in, out, BYTES);
    assert_int_equal(recv(far, in, 1, 0), 0); /* the end of the stream comes through, and the way back stays open */
    assert_int_equal(send(far, "bye", 3, 0), 3);
    assert_int_equal(recv(client, in, 3, MSG_WAITALL), 3);
    close(far);
    assert_int_equal(recv(client, in, 1, 0), 0);
    hf_forward_door(f, false);
    int waiting = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(waiting, (struct sockaddr *)&a, sizeof a), 0);
    close(client);
    close(waiting);
    hf_forward_stop(f);
    close(server);
    free(out);
    free(in);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_forwarder_carries_more_than_its_buffers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
