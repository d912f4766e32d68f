// LIBS: hf_notify hf_support
/* Deliveries a second of the bare sender to the fastest receiver there is (tests/support/http_sink.h) over kept connections on loopback: both
 * ends on this machine. Each has a body of job.completed (400 bytes) that is made and signed anew, as in life.
 * Usage: bench_send [deliveries, 100000] [endpoints, 16] [in flight, 64]; prints one line. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "consumer/notify/send.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"
#include "schemas/webhook/payload.h"
#include "tests/support/http_sink.h"

static uint64_t delivered, failed, body_bytes;

static void on_done(void *ctx, uint64_t tag, const hf_post_outcome *outcome) {
    (void)ctx, (void)tag;
    delivered += outcome->class == HF_POST_DELIVERED;
    if (outcome->class != HF_POST_DELIVERED && failed++ == 0)
        fprintf(stderr, "bench_send: %s\n", outcome->error);
}

static hf_code post(hf_sender *sender, const hf_signing_key *key, hf_buf *body, uint64_t n, unsigned endpoints,
                    uint16_t port) {
    static const hf_str files[] = {HF_STR_INIT("/exports/web-01/web-01.ovf"),
                                   HF_STR_INIT("/exports/web-01/web-01-disk1.vmdk")};
    char url[128], id[64], endpoint[32];
    hf_err err;
    snprintf(endpoint, sizeof endpoint, "endpoint-%u", (unsigned)(n % endpoints));
    if (hf_sender_room(sender, hf_str_of(endpoint)) == 0)
        return HF_E_BUSY;
    snprintf(url, sizeof url, "http://127.0.0.1:%u/hook/%s", port, endpoint);
    snprintf(id, sizeof id, "msg_%032llx", (unsigned long long)n);
    hf_webhook_facts facts = {.event = HF_WE_JOB_COMPLETED,
                              .at = 1768645800000,
                              .job_id = HF_STR("0190c0de-0000-7000-8000-000000000000"),
                              .job_name = HF_STR("web-01"),
                              .vm_path = HF_STR("/dc/vm/web-01"),
                              .duration_seconds = 1234.56,
                              .ovf_path = files[0],
                              .exported_files = {files, 2}};
    hf_buf_clear(body);
    if (hf_payload_write(body, HF_PAYLOAD_STANDARD, &facts, hf_str_of(id), HF_STR("/hyperfleet/bench"), NULL))
        abort();
    body_bytes = body->len;
    hf_post p = {.tag = n,
                 .endpoint = hf_str_of(endpoint),
                 .url = hf_str_of(url),
                 .content_type = HF_STR("application/json"),
                 .body = hf_buf_str(body),
                 .webhook_id = hf_str_of(id),
                 .keys = key,
                 .key_count = 1};
    hf_code code = hf_sender_post(sender, &p, &err);
    if (code && code != HF_E_BUSY) {
        fprintf(stderr, "bench_send: %s\n", err.detail);
        exit(1);
    }
    return code;
}

static double cpu_s(int who) {
    struct rusage u;
    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000, posted = 0;
    unsigned endpoints = argc > 2 ? (unsigned)atoi(argv[2]) : 16, flights = argc > 3 ? (unsigned)atoi(argv[3]) : 64;
    http_sink sink;
    hf_signing_key key;
    hf_buf body;
    hf_sender *sender;
    hf_sender_options options = {.allow_private = true, .in_flight = flights, .endpoint_in_flight = flights};
    hf_sender_hooks hooks = {.on_done = on_done};
    hf_buf_init(&body, HF_PAYLOAD_MAX_BYTES);
    if (!http_sink_start(&sink) || hf_signing_key_parse(HF_STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &key, NULL) ||
        hf_sender_new(&options, &hooks, &sender, NULL))
        return 1;
    int64_t begun = hf_mono_ns();
    double cpu = cpu_s(RUSAGE_SELF);
    while (delivered + failed < count) {
        while (posted < count && post(sender, &key, &body, posted, endpoints, sink.port) == HF_OK)
            posted++;
        struct pollfd fd = {.fd = hf_sender_fd(sender), .events = POLLIN};
        poll(&fd, 1, hf_sender_timeout_ms(sender));
        if (hf_sender_step(sender, NULL))
            return 1;
    }
    double s = (double)(hf_mono_ns() - begun) / 1e9;
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf(
        "%s %llu deliveries of %llu bytes, %u endpoints, %u in flight: %.0f/s, %.1f us of the sender's processor each, %llu failed, "
        "%llu received, sender %.1f MiB resident at most\n",
        HF_BUILD_TYPE, (unsigned long long)count, (unsigned long long)body_bytes, endpoints, flights, (double)count / s,
        (cpu_s(RUSAGE_SELF) - cpu) * 1e6 / (double)count, (unsigned long long)failed,
        (unsigned long long)*sink.requests, (double)u.ru_maxrss / 1024);
    hf_sender_free(sender);
    http_sink_stop(&sink);
    hf_buf_done(&body);
    return failed ? 1 : 0;
}
