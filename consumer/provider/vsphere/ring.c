#include "consumer/provider/vsphere/ring.h"

#include <string.h>
#include <time.h>

#include "schemas/base/mem.h"

bool hf_ring_init(hf_ring *r, size_t cap) {
    pthread_condattr_t monotonic;
    *r = (hf_ring){.cap = cap, .bytes = hf_alloc(cap)};
    if (!r->bytes)
        return false;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->filled, &monotonic);
    pthread_cond_init(&r->freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return true;
}

void hf_ring_done(hf_ring *r) {
    if (!r->bytes)
        return;
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->filled);
    pthread_cond_destroy(&r->freed);
    free(r->bytes);
    r->bytes = NULL;
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void copy_in(hf_ring *r, const uint8_t *from, size_t n) {
    size_t end = (r->at + r->len) % r->cap, first = smaller(n, r->cap - end);
    memcpy(r->bytes + end, from, first);
    memcpy(r->bytes, from + first, n - first);
    r->len += n;
}

static void copy_out(hf_ring *r, uint8_t *to, size_t n) {
    size_t first = smaller(n, r->cap - r->at);
    memcpy(to, r->bytes + r->at, first);
    memcpy(to + first, r->bytes, n - first);
    r->at = (r->at + n) % r->cap;
    r->len -= n;
}

bool hf_ring_put(hf_ring *r, const void *bytes, size_t len) {
    const uint8_t *p = bytes;
    pthread_mutex_lock(&r->lock);
    while (len > 0 && !r->closed) {
        if (r->len == r->cap) {
            pthread_cond_wait(&r->freed, &r->lock);
            continue;
        }
        size_t n = smaller(len, r->cap - r->len);
        copy_in(r, p, n);
        p += n;
        len -= n;
        pthread_cond_signal(&r->filled);
    }
    bool taken = !r->closed;
    pthread_mutex_unlock(&r->lock);
    return taken;
}

static struct timespec in_ms(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

size_t hf_ring_take(hf_ring *r, void *to, size_t cap, size_t worth, int64_t wait_ms, bool *ret_over) {
    worth = smaller(smaller(worth, cap), r->cap);
    struct timespec end = in_ms(wait_ms);
    pthread_mutex_lock(&r->lock);
    while (r->len < worth && !r->over && pthread_cond_timedwait(&r->filled, &r->lock, &end) == 0)
        ;
    size_t n = smaller(r->len, cap);
    if (n > 0) {
        copy_out(r, to, n);
        pthread_cond_signal(&r->freed);
    }
    *ret_over = r->over && r->len == 0 && n == 0;
    pthread_mutex_unlock(&r->lock);
    return n;
}

void hf_ring_end(hf_ring *r) {
    pthread_mutex_lock(&r->lock);
    r->over = true;
    pthread_cond_signal(&r->filled);
    pthread_mutex_unlock(&r->lock);
}

void hf_ring_close(hf_ring *r) {
    pthread_mutex_lock(&r->lock);
    r->closed = true;
    pthread_cond_signal(&r->freed);
    pthread_mutex_unlock(&r->lock);
}
