#include "producer/submit/submit.h"

#include <inttypes.h>

#include "schemas/base/mem.h"

enum {
    IN_FLIGHT_DEFAULT = 50000,
    STALL_DEFAULT_MS = 30000,
    BULK_FROM = 64,   /* in flight: more than a person types, so requests may fill up */
    POLL_EVERY = 256, /* reports are taken in bunches: the call costs more than a report */
};

struct hf_submitter {
    hf_klog *log;
    const hf_codec *codec;
    hf_submitter_options options;
    hf_buf bytes;
    uint64_t put, reported, acknowledged;
    bool bulk;
    hf_err first_error;
};

static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    hf_submitter *s = ctx;
    s->reported++;
    if (report->error == HF_OK)
        s->acknowledged++;
    else if (s->first_error.code == HF_OK)
        hf_fail(&s->first_error, report->error, "topic submissions: %s",
                report->detail ? report->detail : hf_code_sentence(report->error));
    if (s->options.done)
        s->options.done(s->options.ctx, tag, report);
}

static uint64_t in_flight(const hf_submitter *s) { return s->put - s->reported; }

static void choose_linger(hf_submitter *s, uint64_t to_come) {
    bool bulk = in_flight(s) + to_come >= BULK_FROM;
    if (bulk != s->bulk)
        hf_klog_bulk(s->log, s->bulk = bulk);
}

hf_code hf_submitter_open(hf_klog *log, const hf_codec *codec, const hf_submitter_options *options, hf_submitter **ret,
                          hf_err *reterr) {
    hf_submitter *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "submitter");
    *s = (hf_submitter){.log = log, .codec = codec};
    if (options)
        s->options = *options;
    if (!s->options.max_in_flight)
        s->options.max_in_flight = IN_FLIGHT_DEFAULT;
    if (!s->options.stall_timeout_ms)
        s->options.stall_timeout_ms = STALL_DEFAULT_MS;
    hf_buf_init(&s->bytes, HF_MAX_RECORD);
    hf_klog_on_report(log, on_report, s);
    choose_linger(s, s->options.expected);
    *ret = s;
    return HF_OK;
}

void hf_submitter_close(hf_submitter *submitter) {
    if (!submitter)
        return;
    hf_klog_on_report(submitter->log, NULL, NULL);
    hf_buf_done(&submitter->bytes);
    free(submitter);
}

uint64_t hf_submitter_acknowledged(const hf_submitter *submitter) { return submitter->acknowledged; }

/* Takes reports until at most `most` are in flight. The time-out starts anew with every report. */
static hf_code wait_below(hf_submitter *s, uint64_t most, hf_err *reterr) {
    const hf_clock *clock = hf_clock_system();
    int64_t last = hf_mono_ms(clock);
    while (in_flight(s) > most) {
        if (hf_klog_poll_reports(s->log, 100) > 0)
            last = hf_mono_ms(clock);
        else if (hf_mono_ms(clock) - last > s->options.stall_timeout_ms)
            return hf_fail(reterr, HF_E_LOG_NOT_ACKED,
                           "Kafka reported nothing for %d s; %" PRIu64 " of %" PRIu64
                           " submissions are not acknowledged. Submit those again "
                           "under the same job ids",
                           s->options.stall_timeout_ms / 1000, in_flight(s), s->put);
    }
    return HF_OK;
}

hf_code hf_submitter_put(hf_submitter *s, const hf_submission *submission, uint64_t tag, hf_err *reterr) {
    hf_buf_clear(&s->bytes);
    hf_code code = hf_encode(s->codec, HF_SCHEMA_SUBMISSION, submission, &s->bytes, reterr);
    if (!code && in_flight(s) >= s->options.max_in_flight)
        code = wait_below(s, s->options.max_in_flight * 3 / 4, reterr); /* hysteresis: wake for a bunch, not for each */
    if (code)
        return code;
    for (;;) {
        code = hf_klog_produce(s->log, HF_TOPIC_SUBMISSIONS, -1, submission->job_id, hf_buf_str(&s->bytes),
                               "JobSubmission", NULL, 0, tag, reterr);
        if (code != HF_E_LOG_QUEUE_FULL || in_flight(s) == 0)
            break;
        code = wait_below(s, in_flight(s) - 1, reterr); /* the log's bound in bytes came before ours */
        if (code)
            return code;
    }
    if (code)
        return code;
    s->put++;
    if (s->put % POLL_EVERY == 0) {
        hf_klog_poll_reports(s->log, 0);
        choose_linger(s, s->options.expected > s->put ? s->options.expected - s->put : 0);
    }
    return HF_OK;
}

hf_code hf_submitter_finish(hf_submitter *s, hf_err *reterr) {
    hf_code code = wait_below(s, 0, reterr);
    choose_linger(s, 0);
    if (!code && s->first_error.code)
        code = hf_fail(reterr, s->first_error.code, "%s", s->first_error.detail);
    return code;
}
