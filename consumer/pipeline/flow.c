#include "consumer/pipeline/flow.h"

#include <string.h>
#include <time.h>

#include "schemas/base/clock.h"

enum { WAIT_SLICE_NS = 50 * 1000 * 1000, REPORT_EVERY_NS = 100 * 1000 * 1000 };
static const double burst_seconds = 0.1, smooth_seconds = 5.0;

void hf_flow_init(hf_flow *flow) {
    memset(flow, 0, sizeof *flow);
    pthread_mutex_init(&flow->lock, NULL);
    flow->filled_ns = flow->reported_ns = hf_mono_ns();
}

void hf_flow_done(hf_flow *flow) { pthread_mutex_destroy(&flow->lock); }

hf_code hf_flow_check(const hf_flow *flow, hf_err *reterr) {
    if (flow->cancel && atomic_load_explicit(flow->cancel, memory_order_relaxed))
        return hf_fail(reterr, HF_E_CANCELLED, "cancelled on request");
    if (flow->stop && atomic_load_explicit(flow->stop, memory_order_relaxed))
        return hf_fail(reterr, HF_E_CANCELLED, "stopped: another disk failed");
    return HF_OK;
}

/* Takes the bytes if the bucket is above zero (it may then go below), else says how long until it is. */
static int64_t bucket_take(hf_flow *flow, double rate, int64_t bytes) {
    pthread_mutex_lock(&flow->lock);
    int64_t now = hf_mono_ns(), wait = 0;
    flow->tokens += (double)(now - flow->filled_ns) * 1e-9 * rate;
    flow->filled_ns = now;
    if (flow->tokens > rate * burst_seconds)
        flow->tokens = rate * burst_seconds;
    if (flow->tokens >= 0)
        flow->tokens -= (double)bytes;
    else
        wait = (int64_t)(-flow->tokens / rate * 1e9) + 1;
    pthread_mutex_unlock(&flow->lock);
    return wait;
}

hf_code hf_flow_charge(hf_flow *flow, int64_t bytes, hf_err *reterr) {
    for (;;) {
        hf_code rc = hf_flow_check(flow, reterr);
        if (rc != HF_OK)
            return rc;
        long long rate = flow->bandwidth_limit ? atomic_load_explicit(flow->bandwidth_limit, memory_order_relaxed) : 0;
        if (rate <= 0)
            return HF_OK;
        int64_t wait = bucket_take(flow, (double)rate, bytes);
        if (wait == 0)
            return HF_OK;
        struct timespec slice = {.tv_nsec = wait < WAIT_SLICE_NS ? wait : WAIT_SLICE_NS};
        nanosleep(&slice, NULL);
    }
}

void hf_flow_start_at(hf_flow *flow, int64_t bytes) {
    pthread_mutex_lock(&flow->lock);
    flow->bytes_done = flow->reported_bytes = bytes;
    flow->reported_ns = hf_mono_ns();
    pthread_mutex_unlock(&flow->lock);
}

int64_t hf_flow_bytes_done(hf_flow *flow) {
    pthread_mutex_lock(&flow->lock);
    int64_t bytes = flow->bytes_done;
    pthread_mutex_unlock(&flow->lock);
    return bytes;
}

/* Under the lock: what there is to report, when it is time. */
static bool progress_due(hf_flow *flow, hf_flow_progress *ret) {
    int64_t now = hf_mono_ns(), past = now - flow->reported_ns;
    if (past < REPORT_EVERY_NS)
        return false;
    double seconds = (double)past * 1e-9, current = (double)(flow->bytes_done - flow->reported_bytes) / seconds;
    double weight = flow->rate > 0 ? seconds / (smooth_seconds + seconds) : 1;
    flow->rate += (current - flow->rate) * weight;
    flow->reported_ns = now;
    flow->reported_bytes = flow->bytes_done;
    int64_t total = flow->bytes_total, done = flow->bytes_done < total ? flow->bytes_done : total;
    *ret =
        (hf_flow_progress){.bytes_done = done,
                           .bytes_total = total,
                           .bytes_per_second = flow->rate,
                           .eta_seconds = flow->rate >= 1 ? (int64_t)((double)(total - done) / flow->rate + 0.5) : -1};
    return true;
}

void hf_flow_advance(hf_flow *flow, int64_t bytes) {
    pthread_mutex_lock(&flow->lock);
    flow->bytes_done += bytes;
    hf_flow_progress progress;
    bool due = flow->progress && !flow->reporting && progress_due(flow, &progress);
    flow->reporting = flow->reporting || due;
    pthread_mutex_unlock(&flow->lock);
    if (!due)
        return;
    flow->progress(flow->progress_ctx, &progress);
    pthread_mutex_lock(&flow->lock);
    flow->reporting = false;
    pthread_mutex_unlock(&flow->lock);
}

void hf_flow_correct(hf_flow *flow, int64_t done, int64_t total) {
    pthread_mutex_lock(&flow->lock);
    flow->bytes_done += done;
    flow->reported_bytes += done; /* it was not the rate that changed */
    flow->bytes_total += total;
    pthread_mutex_unlock(&flow->lock);
}
