#include "journal/http/serve.h"

#include <poll.h>

#include "journal/http/server.h"
#include "journal/replica/layout.h"
#include "schemas/base/host.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"
#include "schemas/base/ready.h"

enum { FEED_MAX = 20000, BROKER_WAIT_MS = 60000, TEND_MS = 60000 };

typedef struct serve {
    const hf_config *config;
    hf_klog *log;
    hf_codec *codec;
    hf_follow *follow;
    hf_http *http;
    char me[256];
    bool ready;
    int64_t tended_ms;
} serve;

static void on_change(void *ctx, const hf_change *change) {
    serve *s = ctx;
    if (s->http)
        hf_http_changed(s->http, change);
}

static void on_record(void *ctx, const hf_log_record *record) {
    serve *s = ctx;
    if (s->http)
        hf_http_record(s->http, record);
}

static void on_report(void *ctx, uint64_t tag, const hf_report *report) {
    serve *s = ctx;
    if (s->http && tag & HF_HTTP_TAG_BIT)
        hf_http_report(s->http, tag, report);
}

static hf_code open_follow(serve *s, const char *dir, hf_err *reterr) {
    hf_store_options store = {.map_bytes = (size_t)hf_config_int(s->config, HF_C_JOURNAL_MAP),
                              .map_max_bytes = (size_t)hf_config_int(s->config, HF_C_JOURNAL_MAP_MAX),
                              .max_readers = 512};
    const char *fleet = hf_config_str(s->config, HF_C_FLEET);
    hf_layout_options(HF_PROFILE_FULL, fleet, &store);
    hf_follow_options follow = {.replica = {.profile = HF_PROFILE_FULL, .fleet = fleet},
                                .hooks = {.ctx = s, .on_change = on_change, .on_record = on_record},
                                .topics = (1u << HF_TOPIC_COUNT) - 1,
                                .commit_interval_ms = (int)hf_config_int(s->config, HF_C_JOURNAL_COMMIT)};
    return hf_follow_open(s->log, s->codec, dir, &store, &follow, &s->follow, reterr);
}

static hf_code open_all(serve *s, const char *dir, hf_err *reterr) {
    char incarnation[HF_UUID_BYTES];
    hf_producer_name("hyperjournal", hf_id_new(hf_clock_system(), hf_random_system(), incarnation), s->me, sizeof s->me);
    hf_code code = hf_make_dirs(dir, 0750, reterr);
    if (code == HF_OK)
        code = hf_codec_new(NULL, NULL, &s->codec, reterr);
    if (code == HF_OK)
        code = hf_klog_open(s->config, s->me, true, BROKER_WAIT_MS, &s->log, reterr);
    if (code != HF_OK)
        return code;
    hf_klog_on_report(s->log, on_report, s);
    code = open_follow(s, dir, reterr);
    if (code != HF_OK)
        return code;
    hf_http_options http = {.config = s->config, .follow = s->follow, .log = s->log, .codec = s->codec, .me = s->me};
    return hf_http_start(&http, &s->http, reterr);
}

static void become_ready(serve *s) {
    if (s->ready || !hf_follow_caught_up(s->follow))
        return;
    s->ready = true;
    HF_LOG(INFO, "ready", {"http", HF_V_Z(hf_http_address(s->http))}, {"by", HF_V_Z(s->me)});
    hf_ready_note("HTTP", hf_http_address(s->http));
    hf_ready_notify();
}

static int least(int a, int b) { return a < 0 ? b : b < 0 || a < b ? a : b; }

static hf_code turn(serve *s, int *ret_wait_ms, hf_err *reterr) {
    size_t fed = 0;
    hf_klog_poll_reports(s->log, 0);
    hf_code code = hf_follow_step(s->follow, FEED_MAX, &fed, reterr);
    if (code != HF_OK)
        return code;
    become_ready(s);
    int http_ms = hf_http_step(s->http);
    hf_klog_bulk(s->log, hf_klog_in_flight(s->log) > 128);
    int64_t now = hf_mono_ms(hf_clock_system());
    if (now - s->tended_ms > TEND_MS) {
        hf_store_tend(hf_follow_store(s->follow));
        s->tended_ms = now;
    }
    *ret_wait_ms = fed == FEED_MAX ? 0 : least(least(hf_follow_timeout_ms(s->follow), http_ms), 1000);
    return HF_OK;
}

static hf_code loop(serve *s, const volatile sig_atomic_t *stop, hf_err *reterr) {
    while (!*stop) {
        int wait_ms = 0;
        hf_code code = turn(s, &wait_ms, reterr);
        if (code != HF_OK)
            return code;
        struct pollfd fds[] = {{hf_follow_fd(s->follow), POLLIN, 0}, {hf_klog_report_fd(s->log), POLLIN, 0}, {hf_http_fd(s->http), POLLIN, 0}};
        poll(fds, HF_ARRAY_LEN(fds), wait_ms);
    }
    return HF_OK;
}

hf_code hf_serve_run(const hf_config *config, const char *dir, const volatile sig_atomic_t *stop, hf_err *reterr) {
    serve s = {.config = config};
    hf_code code = open_all(&s, dir, reterr);
    if (code == HF_OK)
        code = loop(&s, stop, reterr);
    hf_http_stop(s.http);
    hf_follow_close(s.follow);
    hf_klog_close(s.log);
    hf_codec_free(s.codec);
    return code;
}
