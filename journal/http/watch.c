#include "journal/http/watch.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "schemas/base/mem.h"

enum { PHASES = 4, PHASE_MASK = PHASES - 1, TOLD = PHASES, STATE_BITS = 3, TICKS_ROUND = 4, TEXT_BYTES = 512 };

struct hf_watched {
    hf_watched *prev, *next; /* under the lock */
    int fd;
    bool over;
    _Atomic uint64_t
        state; /* requests that are over, whether its client was told 408, and the phase of the one that is not */
    _Atomic uint64_t body_bytes;
    /* the loop's thread only */
    uint64_t seen; /* state it met last */
    bool met, begun, cut, closed;
    int64_t since_ms;
    uint64_t mark; /* bytes received or taken, when the time began */
};

struct hf_watch {
    int64_t bound_ms[PHASES];
    bool tls;
    char told[PHASES][TEXT_BYTES]; /* bodies of a 408; empty: none */
    pthread_mutex_t lock;
    hf_watched *first, *last;
    size_t count;
    int64_t next_ms; /* the loop's thread only */
    _Atomic uint64_t cut[PHASES];
};

static void say(hf_watch *watch, hf_watch_phase phase, const char *what, const char *key) {
    snprintf(
        watch->told[phase], TEXT_BYTES,
        "{\"type\":\"urn:hyperfleet:error:%s\",\"title\":\"%s\",\"status\":408,\"detail\":\"the request's %s was not there "
        "in time: %s is %lld ms\",\"code\":\"%s\"}\n",
        hf_code_name(HF_E_TIMEOUT), hf_code_sentence(HF_E_TIMEOUT), what, key, (long long)watch->bound_ms[phase],
        hf_code_name(HF_E_TIMEOUT));
}

hf_watch *hf_watch_new(const hf_config *config) {
    hf_watch *watch = hf_alloc(sizeof *watch);
    if (!watch)
        return NULL;
    watch->bound_ms[HF_WATCH_HEAD] = hf_config_int(config, HF_C_HTTP_HEAD_TIMEOUT);
    watch->bound_ms[HF_WATCH_BODY] = hf_config_int(config, HF_C_HTTP_BODY_TIMEOUT);
    watch->bound_ms[HF_WATCH_ANSWER] = hf_config_int(config, HF_C_HTTP_ANSWER_TIMEOUT);
    watch->tls = *hf_config_str(config, HF_C_HTTP_TLS_CERT) != 0;
    say(watch, HF_WATCH_HEAD, "head", "http.head_timeout");
    say(watch, HF_WATCH_BODY, "body", "http.body_timeout");
    pthread_mutex_init(&watch->lock, NULL);
    return watch;
}

void hf_watch_free(hf_watch *watch) {
    if (!watch)
        return;
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

uint64_t hf_watch_cut(const hf_watch *watch, hf_watch_phase phase) { return atomic_load(&watch->cut[phase]); }

/* ---- the list: those met longest ago first ------------------------------------------------------------------ */
static void append(hf_watch *watch, hf_watched *w) {
    w->next = NULL;
    w->prev = watch->last;
    if (watch->last)
        watch->last->next = w;
    else
        watch->first = w;
    watch->last = w;
}

static void unlink_of(hf_watch *watch, hf_watched *w) {
    if (w->prev)
        w->prev->next = w->next;
    else
        watch->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        watch->last = w->prev;
}

hf_watched *hf_watch_add(hf_watch *watch, struct MHD_Connection *connection, bool over) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    hf_watched *w = info ? hf_alloc(sizeof *w) : NULL;
    if (!w) {
        if (info)
            shutdown(info->connect_fd, SHUT_RDWR);
        return NULL;
    }
    w->fd = info->connect_fd;
    w->over = over;
    pthread_mutex_lock(&watch->lock);
    append(watch, w);
    watch->count++;
    pthread_mutex_unlock(&watch->lock);
    return w;
}

void hf_watch_remove(hf_watch *watch, hf_watched *w) {
    if (!w)
        return;
    pthread_mutex_lock(&watch->lock);
    unlink_of(watch, w);
    watch->count--;
    pthread_mutex_unlock(&watch->lock);
    free(w);
}

hf_watched *hf_watch_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

bool hf_watched_is_over(const hf_watched *w) { return w && w->over; }

/* ---- the server's threads tell --------------------------------------------------------------------------------- */
/* One request at a time, so nobody else changes it meanwhile but the loop's thread, once, as it tells 408. */
bool hf_watched_phase(hf_watched *w, hf_watch_phase phase) {
    if (!w)
        return true;
    uint64_t state = atomic_load_explicit(&w->state, memory_order_relaxed);
    uint64_t number = (state >> STATE_BITS) + (phase == HF_WATCH_HEAD);
    if (phase == HF_WATCH_BODY)
        atomic_store_explicit(&w->body_bytes, 0, memory_order_relaxed);
    return !(state & TOLD) &&
           atomic_compare_exchange_strong_explicit(&w->state, &state, number << STATE_BITS | (uint64_t)phase,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void hf_watched_received(hf_watched *w, size_t body_bytes) {
    if (w)
        atomic_fetch_add_explicit(&w->body_bytes, body_bytes, memory_order_relaxed);
}

/* ---- the loop's thread looks ------------------------------------------------------------------------------------ */
static uint64_t tcp_count(const hf_watched *w, bool received) {
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(w->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return received ? info.tcpi_bytes_received : info.tcpi_bytes_acked;
}

static void begin(hf_watched *w, uint64_t state, int64_t now) {
    hf_watch_phase phase = (hf_watch_phase)(state & PHASE_MASK);
    bool first = state >> STATE_BITS == 0;
    w->met = true;
    w->begun = false;
    w->seen = state;
    w->since_ms = now;
    w->mark = phase == HF_WATCH_HEAD && !first ? tcp_count(w, true)
              : phase == HF_WATCH_ANSWER       ? tcp_count(w, false)
                                               : 0;
}

/* Between two requests nothing is due; what comes then is the next one's head. */
static bool head_is_late(const hf_watch *watch, hf_watched *w, int64_t now) {
    if (!w->begun && tcp_count(w, true) == w->mark)
        return false;
    if (!w->begun)
        w->since_ms = now;
    w->begun = true;
    return now - w->since_ms > watch->bound_ms[HF_WATCH_HEAD];
}

static bool takes_too_long(const hf_watch *watch, const hf_watched *w, hf_watch_phase phase, uint64_t bytes,
                           int64_t now) {
    return now - w->since_ms > watch->bound_ms[phase] + (int64_t)(bytes / HF_WATCH_RATE) * 1000;
}

static bool answer_is_late(const hf_watch *watch, hf_watched *w, int64_t now) {
    int waiting = 0;
    uint64_t taken = tcp_count(w, false);
    if (ioctl(w->fd, SIOCOUTQ, &waiting) == 0 && waiting > 0)
        return takes_too_long(watch, w, HF_WATCH_ANSWER, taken - w->mark, now);
    w->since_ms = now;
    w->mark = taken;
    return false;
}

static bool is_late(const hf_watch *watch, hf_watched *w, hf_watch_phase phase, int64_t now) {
    switch (phase) {
    case HF_WATCH_HEAD: return head_is_late(watch, w, now);
    case HF_WATCH_BODY: return takes_too_long(watch, w, phase, atomic_load(&w->body_bytes), now);
    case HF_WATCH_ANSWER: return answer_is_late(watch, w, now);
    case HF_WATCH_HANDLED: break;
    }
    return false;
}

/* What fits into the socket: nothing else is on its way there, for the request was not answered. */
static void tell(const hf_watch *watch, const hf_watched *w, hf_watch_phase phase) {
    char text[TEXT_BYTES + 256], date[64] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 408 Request Timeout\r\nDate: %s\r\nConnection: close\r\nCache-Control: no-store\r\n"
                       "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n\r\n%s",
                       date, strlen(watch->told[phase]), watch->told[phase]);
    (void)!send(w->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(w->fd, SHUT_WR);
}

/* False: the request is whole, as of now. */
static bool tell_late(hf_watch *watch, hf_watched *w, hf_watch_phase phase, uint64_t state, int64_t now) {
    if (!atomic_compare_exchange_strong(&w->state, &state, state | TOLD))
        return false;
    tell(watch, w, phase);
    w->since_ms = now;
    return true;
}

static void end(hf_watched *w) {
    w->closed = true;
    shutdown(w->fd, SHUT_RDWR);
}

static void look_at(hf_watch *watch, hf_watched *w, int64_t now) {
    if (w->cut) {
        if (!w->closed && now - w->since_ms > HF_WATCH_LINGER_MS)
            end(w);
        return;
    }
    uint64_t state = atomic_load_explicit(&w->state, memory_order_acquire);
    hf_watch_phase phase = (hf_watch_phase)(state & PHASE_MASK);
    if (!w->met || (state != w->seen && !w->over))
        begin(w, state, now);
    bool late = w->over ? now - w->since_ms > HF_WATCH_OVER_MS : is_late(watch, w, phase, now);
    bool told = late && !w->over && !watch->tls && *watch->told[phase];
    if (!late || (told && !tell_late(watch, w, phase, state, now)))
        return;
    w->cut = true;
    atomic_fetch_add(&watch->cut[phase], 1);
    if (phase == HF_WATCH_ANSWER) /* what nobody takes is not kept by the kernel either */
        setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    if (!told)
        end(w);
}

int hf_watch_step(hf_watch *watch, int64_t now) {
    pthread_mutex_lock(&watch->lock);
    size_t count = watch->count, turn = now < watch->next_ms ? 0 : count / TICKS_ROUND + 1;
    for (size_t i = 0; i < turn && watch->first; i++) {
        hf_watched *w = watch->first;
        look_at(watch, w, now);
        unlink_of(watch, w);
        append(watch, w);
    }
    pthread_mutex_unlock(&watch->lock);
    if (turn)
        watch->next_ms = now + HF_WATCH_TICK_MS;
    return count ? (int)(watch->next_ms - now) : -1;
}
