#include "consumer/pipeline/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "schemas/base/fault.h"
#include "schemas/base/mem.h"

enum { SLICE_NS = 20 * 1000 * 1000 };

struct hf_aside {
    const hf_aside_class *cls;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool ended, left; /* under the lock */
    hf_code code;
    hf_err error;
};

static void aside_free(hf_aside *a, bool left) {
    a->cls->drop(a->arg, left);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->ends);
    free(a);
}

static void *aside_main(void *arg) {
    hf_aside *a = arg;
    a->code = a->cls->run(a->arg, &a->error);
    pthread_mutex_lock(&a->lock);
    a->ended = true;
    bool left = a->left;
    pthread_cond_signal(&a->ends);
    pthread_mutex_unlock(&a->lock);
    if (left)
        aside_free(a, true);
    return NULL;
}

static void init_locks(hf_aside *a) {
    pthread_condattr_t monotonic;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->ends, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

hf_code hf_aside_start(const hf_aside_class *cls, void *arg, hf_aside **ret, hf_err *reterr) {
    hf_aside *a = hf_alloc(sizeof *a);
    if (!a) {
        cls->drop(arg, false);
        return hf_fail(reterr, HF_E_NO_MEMORY, "work aside");
    }
    *a = (hf_aside){.cls = cls, .arg = arg};
    init_locks(a);
    pthread_attr_t detached;
    pthread_t thread;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, aside_main, a) != 0)
        aside_main(a);
    pthread_attr_destroy(&detached);
    *ret = a;
    return HF_OK;
}

bool hf_aside_ended(hf_aside *a) {
    pthread_mutex_lock(&a->lock);
    bool ended = a->ended;
    pthread_mutex_unlock(&a->lock);
    return ended;
}

static void wait_a_slice(hf_aside *a) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLICE_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&a->ends, &a->lock, &until);
}

hf_code hf_aside_wait(hf_aside **aside, const hf_flow *flow, hf_err *reterr) {
    hf_aside *a = HF_TAKE(*aside);
    hf_code rc = HF_OK;
    if (!a)
        return HF_OK;
    pthread_mutex_lock(&a->lock);
    while (!a->ended && (!flow || (rc = hf_flow_check(flow, reterr)) == HF_OK))
        wait_a_slice(a);
    bool ended = a->ended;
    a->left = !ended;
    pthread_mutex_unlock(&a->lock);
    if (!ended)
        return rc;
    if ((rc = a->code) != HF_OK && reterr)
        *reterr = a->error;
    aside_free(a, false);
    return rc;
}

void hf_aside_leave(hf_aside **aside) {
    hf_aside *a = HF_TAKE(*aside);
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    bool ended = a->ended;
    a->left = !ended;
    pthread_mutex_unlock(&a->lock);
    if (ended)
        aside_free(a, false);
}

/* ---- fsync ----------------------------------------------------------------------------------------------- */
static hf_code fsync_run(void *arg, hf_err *reterr) {
    return hf_fsync(*(int *)arg) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "making the output durable");
}
static void fsync_drop(void *arg, bool left) {
    (void)left;
    hf_close_p(arg);
    free(arg);
}

hf_code hf_aside_fsync(int fd, hf_aside **ret, hf_err *reterr) {
    static const hf_aside_class cls = {fsync_run, fsync_drop};
    int *own = hf_alloc(sizeof *own);
    if (!own)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an fsync");
    if ((*own = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
        free(own);
        return hf_fail_errno(reterr, errno, "an fsync");
    }
    return hf_aside_start(&cls, own, ret, reterr);
}
