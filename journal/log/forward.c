#include "journal/log/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "schemas/base/mem.h"

typedef struct pair pair;
typedef struct side { /* one end; what it has read waits here until the other end took it */
    pair *of;
    int fd;
    uint32_t events, start, len;
    bool ended; /* it will send no more */
    char buffer[HF_FORWARD_BUFFER];
} side;
struct pair {
    side sides[2];
    pair *prev, *next;
    bool dead;
};

struct hf_forward {
    pthread_t thread;
    int listen_fd, epoll_fd, wake_fd;
    uint16_t port;
    _Atomic bool stopping, door_open;
    bool listening;
    uint32_t count;
    pair *pairs, *dead;
    char address[HF_FORWARD_ADDRESS];
};

/* ---- pairs ------------------------------------------------------------------------------------- */
/* An end that waits for nothing is taken out: epoll would report its hang-up again and again. */
static void watch(hf_forward *f, side *s, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (s->events != events)
        epoll_ctl(f->epoll_fd, !s->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, s->fd, &e);
    s->events = events;
}

/* Closed now, freed after the events at hand: one of them may still point here. */
static void pair_close(hf_forward *f, pair *p) {
    if (p->dead)
        return;
    p->dead = true;
    close(p->sides[0].fd);
    close(p->sides[1].fd);
    if (p->prev)
        p->prev->next = p->next;
    else
        f->pairs = p->next;
    if (p->next)
        p->next->prev = p->prev;
    p->next = f->dead;
    f->dead = p;
    f->count--;
}

static void free_dead(hf_forward *f) {
    while (f->dead) {
        pair *p = f->dead;
        f->dead = p->next;
        free(p);
    }
}

static side *other(side *s) { return s == &s->of->sides[0] ? &s->of->sides[1] : &s->of->sides[0]; }

static void rewatch(hf_forward *f, side *s) {
    uint32_t events = 0;
    if (!s->len && !s->ended)
        events |= EPOLLIN;
    if (other(s)->len)
        events |= EPOLLOUT;
    watch(f, s, events);
}

/* False: the connection is broken. */
static bool fill(side *s) {
    if (s->len || s->ended)
        return true;
    ssize_t n = recv(s->fd, s->buffer, sizeof s->buffer, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    s->start = 0;
    s->len = (uint32_t)n;
    s->ended = n == 0;
    return true;
}

static bool flush_to(side *s, side *to) {
    while (s->len) {
        ssize_t n = send(to->fd, s->buffer + s->start, s->len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOTCONN; /* still connecting */
        s->start += (uint32_t)n;
        s->len -= (uint32_t)n;
    }
    if (s->ended)
        shutdown(to->fd, SHUT_WR);
    return true;
}

static void pair_step(hf_forward *f, side *s, uint32_t events) {
    pair *p = s->of;
    if (p->dead)
        return;
    bool ok = !(events & EPOLLERR);
    ok = ok && (!(events & (EPOLLIN | EPOLLHUP)) || fill(s));
    ok = ok && flush_to(s, other(s)) && flush_to(other(s), s);
    bool over = p->sides[0].ended && p->sides[1].ended && !p->sides[0].len && !p->sides[1].len;
    if (!ok || over || ((events & EPOLLHUP) && s->ended && !s->len)) {
        pair_close(f, p);
        return;
    }
    rewatch(f, &p->sides[0]);
    rewatch(f, &p->sides[1]);
}

static int connect_up(uint16_t port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void accept_one(hf_forward *f) {
    hf_auto_fd int down = accept4(f->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (down < 0)
        return;
    hf_auto_fd int up = connect_up(f->port);
    pair *p = up < 0 ? NULL : hf_realloc(NULL, sizeof *p); /* buffers need no zeroes */
    if (!p)
        return;
    int one = 1;
    setsockopt(down, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int fds[2] = {down, up};
    down = up = -1;
    for (int i = 0; i < 2; i++) {
        side *s = &p->sides[i];
        s->of = p;
        s->fd = fds[i];
        s->events = s->start = s->len = 0;
        s->ended = false;
    }
    p->dead = false;
    p->prev = NULL;
    p->next = f->pairs;
    if (f->pairs)
        f->pairs->prev = p;
    f->pairs = p;
    f->count++;
    watch(f, &p->sides[0], EPOLLIN);
    watch(f, &p->sides[1], EPOLLIN);
}

/* ---- the thread ------------------------------------------------------------------------------------- */
static void rewatch_door(hf_forward *f) {
    bool want = atomic_load(&f->door_open) && f->count < HF_FORWARD_CONNECTIONS;
    if (want == f->listening)
        return;
    struct epoll_event e = {.events = want ? EPOLLIN : 0, .data.ptr = f};
    epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, f->listen_fd, &e);
    f->listening = want;
}

static void *run(void *arg) {
    hf_forward *f = arg;
    struct epoll_event events[64];
    while (!atomic_load(&f->stopping)) {
        rewatch_door(f);
        int n = epoll_wait(f->epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            eventfd_t value;
            if (events[i].data.ptr == f)
                accept_one(f);
            else if (!events[i].data.ptr)
                eventfd_read(f->wake_fd, &value);
            else
                pair_step(f, events[i].data.ptr, events[i].events);
        }
        free_dead(f);
    }
    return NULL;
}

/* ---- starting ---------------------------------------------------------------------------------------- */
static bool is_loopback(const struct sockaddr *a) {
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static hf_code split(const char *listen, char host[64], char port[8], hf_err *reterr) {
    const char *colon = strrchr(listen, ':');
    size_t len = colon ? (size_t)(colon - listen) : 0;
    bool brackets = len >= 2 && listen[0] == '[' && listen[len - 1] == ']';
    if (!len || len >= 64 || strlen(colon + 1) >= 8 || !colon[1])
        return hf_fail(reterr, HF_E_INVALID, "address \"%.100s\": host:port is needed", listen);
    snprintf(host, 64, "%.*s", (int)(brackets ? len - 2 : len), brackets ? listen + 1 : listen);
    snprintf(port, 8, "%s", colon + 1);
    return HF_OK;
}

static hf_code bind_to(hf_forward *f, const struct addrinfo *a, const char *listen_text, hf_err *reterr) {
    int one = 1;
    if (!is_loopback(a->ai_addr))
        return hf_fail(reterr, HF_E_INVALID,
                       "address \"%s\": the embedded broker serves this machine only, give a loopback address such as "
                       "127.0.0.1:9092",
                       listen_text);
    f->listen_fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->listen_fd < 0)
        return hf_fail_errno(reterr, errno, "socket");
    setsockopt(f->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(f->listen_fd, a->ai_addr, a->ai_addrlen) || listen(f->listen_fd, 128))
        return errno == EADDRINUSE ? hf_fail(reterr, HF_E_BUSY, "address %s is in use; give another one", listen_text)
                                   : hf_fail_errno(reterr, errno, "listening on %s", listen_text);
    return HF_OK;
}

static void name_address(hf_forward *f) {
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof a;
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";
    getsockname(f->listen_fd, (struct sockaddr *)&a, &size);
    getnameinfo((struct sockaddr *)&a, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(f->address, sizeof f->address, a.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static hf_code open_door(hf_forward *f, const char *listen_text, hf_err *reterr) {
    char host[64], port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    hf_code code = split(listen_text, host, port, reterr);
    if (code)
        return code;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return hf_fail(reterr, HF_E_INVALID, "address \"%s\": %s", listen_text, gai_strerror(failed));
    code = bind_to(f, found, listen_text, reterr);
    freeaddrinfo(found);
    if (!code)
        name_address(f);
    return code;
}

static hf_code begin(hf_forward *f, hf_err *reterr) {
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event door = {.events = EPOLLIN, .data.ptr = f}, wake = {.events = EPOLLIN, .data.ptr = NULL};
    if (f->epoll_fd < 0 || f->wake_fd < 0 || epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->listen_fd, &door) ||
        epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->wake_fd, &wake))
        return hf_fail_errno(reterr, errno, "forwarder");
    int failed = pthread_create(&f->thread, NULL, run, f);
    return failed ? hf_fail_errno(reterr, failed, "forwarder") : HF_OK;
}

static void forward_free(hf_forward *f) {
    while (f->pairs)
        pair_close(f, f->pairs);
    free_dead(f);
    const int fds[] = {f->listen_fd, f->epoll_fd, f->wake_fd};
    for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(f);
}

hf_code hf_forward_start(const char *listen_text, uint16_t port, hf_forward **ret, hf_err *reterr) {
    hf_forward *f = hf_alloc(sizeof *f);
    if (!f)
        return hf_fail(reterr, HF_E_NO_MEMORY, "forwarder");
    f->listen_fd = f->epoll_fd = f->wake_fd = -1;
    f->port = port;
    f->listening = true;
    atomic_store(&f->door_open, true);
    hf_code code = open_door(f, listen_text, reterr);
    if (!code)
        code = begin(f, reterr);
    if (code) {
        forward_free(f);
        return code;
    }
    *ret = f;
    return HF_OK;
}

void hf_forward_stop(hf_forward *f) {
    if (!f)
        return;
    atomic_store(&f->stopping, true);
    eventfd_write(f->wake_fd, 1);
    pthread_join(f->thread, NULL);
    forward_free(f);
}

const char *hf_forward_address(const hf_forward *f) { return f->address; }

void hf_forward_door(hf_forward *f, bool open) {
    if (atomic_exchange(&f->door_open, open) != open)
        eventfd_write(f->wake_fd, 1);
}
