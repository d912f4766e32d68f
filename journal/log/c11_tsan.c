/* For ThreadSanitizer builds alone. It knows pthread_create(3) and pthread_mutex_lock(3), but not C11's thrd_create
 * and mtx_lock, which librdkafka uses: its threads crash, and what it guards looks unguarded. In glibc the two
 * families are the same objects, so here the one is said in words of the other. */
#if defined(__SANITIZE_THREAD__)
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#include "journal/log/inside.h"

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t), "glibc's layout");

void hf_c11_tsan(void) {}

/* librdkafka counts references with atomics that were not compiled for ThreadSanitizer: what it frees on another
 * thread looks raced. This hides races of our own callbacks that run inside it as well; to look at those, run with
 * the narrower TSAN_OPTIONS=suppressions=FILE of "race:rd_kafka_header_add" and "race:pthread_rwlock_destroy". */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "race:librdkafka.so.1\n"; }

typedef struct start {
    thrd_start_t run;
    void *arg;
} start;

static void *run(void *arg) {
    start s = *(start *)arg;
    free(arg);
    return (void *)(intptr_t)s.run(s.arg);
}

static int result(int err) {
    return err == 0 ? thrd_success : err == EBUSY ? thrd_busy : err == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int thrd_create(thrd_t *thread, thrd_start_t f, void *arg) {
    start *s = malloc(sizeof *s);
    if (!s)
        return thrd_nomem;
    *s = (start){f, arg};
    int err = pthread_create(thread, NULL, run, s);
    if (err)
        free(s);
    return result(err);
}

int thrd_join(thrd_t thread, int *ret) {
    void *value = NULL;
    int err = pthread_join(thread, &value);
    if (ret)
        *ret = (int)(intptr_t)value;
    return result(err);
}

int thrd_detach(thrd_t thread) { return result(pthread_detach(thread)); }

int mtx_init(mtx_t *m, int type) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    int err = pthread_mutex_init((pthread_mutex_t *)m, &attr);
    pthread_mutexattr_destroy(&attr);
    return result(err);
}
void mtx_destroy(mtx_t *m) { pthread_mutex_destroy((pthread_mutex_t *)m); }
int mtx_lock(mtx_t *m) { return result(pthread_mutex_lock((pthread_mutex_t *)m)); }
int mtx_trylock(mtx_t *m) { return result(pthread_mutex_trylock((pthread_mutex_t *)m)); }
int mtx_unlock(mtx_t *m) { return result(pthread_mutex_unlock((pthread_mutex_t *)m)); }

int cnd_init(cnd_t *c) { return result(pthread_cond_init((pthread_cond_t *)c, NULL)); }
void cnd_destroy(cnd_t *c) { pthread_cond_destroy((pthread_cond_t *)c); }
int cnd_signal(cnd_t *c) { return result(pthread_cond_signal((pthread_cond_t *)c)); }
int cnd_broadcast(cnd_t *c) { return result(pthread_cond_broadcast((pthread_cond_t *)c)); }
int cnd_wait(cnd_t *c, mtx_t *m) { return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m)); }
int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until) {
    return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}
#else
typedef int hf_not_for_this_build; /* ISO C wants a declaration in each file */
#endif
