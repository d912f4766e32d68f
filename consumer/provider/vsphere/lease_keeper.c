/* A thread that says every few seconds that a lease is still wanted. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "consumer/provider/vsphere/lease_inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { CALL_MS = 20000, RETRY_MS = 500 };

struct hf_lease_keeper {
    hf_vsphere *v;
    hf_lease lease; /* its references and time-out; files stay the owner's */
    int64_t interval_ms;
    pthread_t thread;
    atomic_bool stop;
    atomic_int percent;
    pthread_mutex_t lock; /* lost; and stop's condition */
    pthread_cond_t wake;
    hf_err lost; /* code HF_OK while it is alive */
};

static hf_code say(hf_lease_keeper *k, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(k->v);
    int percent = atomic_load(&k->percent);
    hf_soap_begin(body, "HttpNfcLeaseProgress", &k->lease.ref);
    hf_soap_int(body, "percent", percent);
    hf_soap_end(body, "HttpNfcLeaseProgress");
    hf_code code = hf_vsphere_call_within(k->v, HF_SOAP_ANSWER_MAX, CALL_MS, &answer, reterr);
    hf_soap_answer_done(&answer);
    return hf_lease_error(k->v, &k->lease, code, reterr);
}

static void sleep_until_woken(hf_lease_keeper *k, int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&k->lock);
    while (!atomic_load(&k->stop) && pthread_cond_timedwait(&k->wake, &k->lock, &until) != ETIMEDOUT)
        ;
    pthread_mutex_unlock(&k->lock);
}

static void lose(hf_lease_keeper *k, const hf_err *why) {
    pthread_mutex_lock(&k->lock);
    if (why->code == HF_E_EXPORT_LEASE_LOST)
        k->lost = *why;
    else
        hf_fail(&k->lost, HF_E_EXPORT_LEASE_LOST, "the export lease of VM %s could not be kept alive: %.380s",
                k->lease.vm.value, why->detail);
    pthread_mutex_unlock(&k->lock);
}

static void *keep(void *ctx) {
    hf_lease_keeper *k = ctx;
    int64_t alive_ms = hf_mono_ms(hf_clock_system());
    while (!atomic_load(&k->stop)) {
        hf_err err = {0};
        hf_code code = say(k, &err);
        int64_t now = hf_mono_ms(hf_clock_system());
        if (!code)
            alive_ms = now;
        else if (code == HF_E_EXPORT_LEASE_LOST || (now - alive_ms >= k->lease.timeout_ms && code != HF_E_CANCELLED)) {
            lose(k, &err);
            break;
        }
        sleep_until_woken(k, code && k->interval_ms > RETRY_MS ? RETRY_MS : k->interval_ms);
    }
    return NULL;
}

static bool init_locks(hf_lease_keeper *k) {
    pthread_condattr_t monotonic;
    if (pthread_mutex_init(&k->lock, NULL))
        return false;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    bool good = pthread_cond_init(&k->wake, &monotonic) == 0;
    pthread_condattr_destroy(&monotonic);
    if (!good)
        pthread_mutex_destroy(&k->lock);
    return good;
}

hf_code hf_lease_keep(hf_vsphere *v, const hf_lease *lease, hf_lease_keeper **ret, hf_err *reterr) {
    hf_lease_keeper *k = hf_alloc(sizeof *k);
    if (!k || !init_locks(k)) {
        free(k);
        return hf_fail(reterr, HF_E_NO_MEMORY, "the keeper of a lease");
    }
    k->lease = *lease;
    k->lease.files = NULL;
    k->lease.file_count = 0;
    k->interval_ms = v->session->endpoint.keepalive_ms;
    if (k->interval_ms > lease->timeout_ms / 3)
        k->interval_ms = lease->timeout_ms / 3;
    hf_code code = hf_vsphere_share(v, &k->stop, &k->v, reterr);
    if (!code && pthread_create(&k->thread, NULL, keep, k))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the thread that keeps a lease alive");
    if (!code) {
        *ret = k;
        return HF_OK;
    }
    hf_vsphere_close(k->v);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
    return code;
}

void hf_lease_keeper_percent(hf_lease_keeper *k, int percent) {
    atomic_store(&k->percent, percent < 0 ? 0 : percent > 100 ? 100 : percent);
}

hf_code hf_lease_keeper_check(hf_lease_keeper *k, hf_err *reterr) {
    pthread_mutex_lock(&k->lock);
    hf_err lost = k->lost;
    pthread_mutex_unlock(&k->lock);
    if (lost.code && reterr)
        *reterr = lost;
    return lost.code;
}

void hf_lease_keeper_stop(hf_lease_keeper *k) {
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    atomic_store(&k->stop, true);
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    hf_vsphere_close(k->v);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
