#include "tests/support/http_sink.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECTIONS = 1024, ROOM = 65536 };
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

typedef struct client {
    int fd;
    size_t len, left; /* bytes of an unfinished head; bytes of a body that are still to come */
    char head[8192];
} client;

static size_t body_length(char *head, size_t len) {
    head[len - 1] = 0;
    const char *at = strcasestr(head, "\r\nContent-Length:");
    return at ? strtoul(at + 17, NULL, 10) : 0;
}

/* Takes bytes in; returns how many requests are complete with them, -1: too long a head. */
static int take(client *c, const char *bytes, size_t n) {
    int complete = 0;
    while (n) {
        if (c->left) {
            size_t some = n < c->left ? n : c->left;
            bytes += some, n -= some;
            c->left -= some;
            complete += c->left == 0;
            continue;
        }
        if (c->len == sizeof c->head)
            return -1;
        c->head[c->len++] = *bytes++, n--;
        if (c->len < 4 || memcmp(c->head + c->len - 4, "\r\n\r\n", 4) != 0)
            continue;
        c->left = body_length(c->head, c->len);
        c->len = 0;
        complete += c->left == 0;
    }
    return complete;
}

static void end(client *c) {
    close(c->fd);
    free(c);
}

static void serve(client *c, uint64_t *requests) {
    static char room[ROOM];
    ssize_t n = recv(c->fd, room, sizeof room, MSG_DONTWAIT);
    int complete = n > 0 ? take(c, room, (size_t)n) : -1;
    if (complete < 0) {
        end(c);
        return;
    }
    for (int i = 0; i < complete; i++, ++*requests)
        if (send(c->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ANSWER - 1) {
            end(c);
            return;
        }
}

static void admit(int listener, int epoll) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    client *c = fd < 0 ? NULL : calloc(1, sizeof *c);
    if (!c) {
        if (fd >= 0)
            close(fd);
        return;
    }
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void loop(int listener, uint64_t *requests) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN}, events[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                serve(events[i].data.ptr, requests);
            else
                admit(listener, epoll);
    }
}

int http_sink_start(http_sink *sink) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sink->requests = mmap(NULL, sizeof *sink->requests, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (listener < 0 || sink->requests == MAP_FAILED || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(listener, CONNECTIONS) != 0 || getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        return 0;
    sink->port = ntohs(at.sin_port);
    sink->pid = fork();
    if (sink->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        loop(listener, sink->requests);
    }
    close(listener);
    return sink->pid > 0;
}

void http_sink_stop(http_sink *sink) {
    kill(sink->pid, SIGKILL);
    waitpid(sink->pid, NULL, 0);
    munmap(sink->requests, sizeof *sink->requests);
}
