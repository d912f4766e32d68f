#include "schemas/base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "schemas/base/mem.h"

struct hf_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    size_t item_bytes;
    uint32_t max_items, head, count;
    bool closed;
    int fd; /* holds 1 exactly while there are items or the queue is closed */
    char *items;
};

static void signal_fd(hf_queue *q) {
    uint64_t one = 1;
    while (write(q->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void clear_fd(hf_queue *q) {
    uint64_t sum;
    while (read(q->fd, &sum, sizeof sum) < 0 && errno == EINTR)
        ;
}

hf_queue *hf_queue_new(size_t item_bytes, uint32_t max_items) {
    hf_queue *q = max_items && item_bytes <= SIZE_MAX / max_items ? hf_alloc(sizeof *q) : NULL;
    if (!q)
        return NULL;
    q->items = hf_alloc(item_bytes * max_items);
    q->fd = q->items ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (q->fd < 0) {
        free(q->items);
        free(q);
        return NULL;
    }
    q->item_bytes = item_bytes;
    q->max_items = max_items;
    pthread_condattr_t attr; /* deadlines must not jump with the wall clock */
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, &attr);
    pthread_cond_init(&q->not_full, &attr);
    pthread_condattr_destroy(&attr);
    return q;
}

void hf_queue_free(hf_queue *q) {
    if (!q)
        return;
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    pthread_mutex_destroy(&q->lock);
    close(q->fd);
    free(q->items);
    free(q);
}

static struct timespec deadline_of(int wait_ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* Waits for `count` to leave `unwanted`; the lock is held before and after. */
static void wait_while(hf_queue *q, pthread_cond_t *cond, uint32_t unwanted, int wait_ms) {
    if (wait_ms == 0)
        return;
    struct timespec deadline = deadline_of(wait_ms > 0 ? wait_ms : 0);
    while (q->count == unwanted && !q->closed) {
        int rc = wait_ms < 0 ? pthread_cond_wait(cond, &q->lock) : pthread_cond_timedwait(cond, &q->lock, &deadline);
        if (rc == ETIMEDOUT)
            return;
    }
}

bool hf_queue_push(hf_queue *q, const void *item, int wait_ms) {
    pthread_mutex_lock(&q->lock);
    wait_while(q, &q->not_full, q->max_items, wait_ms);
    bool ok = !q->closed && q->count < q->max_items;
    if (ok) {
        size_t at = ((size_t)q->head + q->count) % q->max_items;
        memcpy(q->items + at * q->item_bytes, item, q->item_bytes);
        if (q->count++ == 0)
            signal_fd(q);
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

bool hf_queue_pop(hf_queue *q, void *ret_item, int wait_ms) {
    pthread_mutex_lock(&q->lock);
    wait_while(q, &q->not_empty, 0, wait_ms);
    bool ok = q->count > 0;
    if (ok) {
        memcpy(ret_item, q->items + (size_t)q->head * q->item_bytes, q->item_bytes);
        q->head = (q->head + 1) % q->max_items;
        if (--q->count == 0 && !q->closed)
            clear_fd(q);
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return ok;
}

void hf_queue_close(hf_queue *q) {
    pthread_mutex_lock(&q->lock);
    if (!q->closed && q->count == 0)
        signal_fd(q); /* wakes a poll loop; stays readable from now on */
    q->closed = true;
    pthread_cond_broadcast(&q->not_empty);
    pthread_cond_broadcast(&q->not_full);
    pthread_mutex_unlock(&q->lock);
}

uint32_t hf_queue_len(hf_queue *q) {
    pthread_mutex_lock(&q->lock);
    uint32_t count = q->count;
    pthread_mutex_unlock(&q->lock);
    return count;
}

int hf_queue_fd(hf_queue *q) { return q->fd; }
