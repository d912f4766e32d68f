#include "consumer/provider/vsphere/download.h"

#include <inttypes.h>
#include <string.h>

#include "consumer/provider/vsphere/ring.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { POLL_MS = 100, WORTH = 256 * 1024, ERROR_TEXT = 240, ERROR_BODY_MAX = 64 * 1024, CURL_BUFFER = 512 * 1024 };

typedef struct download {
    hf_stream base;
    hf_download_options o;
    hf_ring ring;
    CURL *curl;
    CURLM *multi;
    hf_tls_seen seen;
    pthread_t thread;
    atomic_bool closing;
    char curl_text[CURL_ERROR_SIZE];
    /* the thread's */
    bool begun; /* told that the answer has begun */
    int64_t heard_ms, received;
    size_t error_len, error_bytes;
    char error_text[ERROR_TEXT];
    hf_err refused; /* by a callback: why it ended the transfer */
    /* under lock until `over` */
    pthread_mutex_t lock;
    pthread_cond_t beginning;
    bool answered, failed_early; /* before any byte */
    hf_err error;                /* how it ended; valid once the ring is over */
} download;

static int64_t now_ms(void) { return hf_mono_ns() / 1000000; }

/* ---- in curl's thread -------------------------------------------------------------------------------------- */
static void tell_begun(download *d, int64_t size_bytes) {
    if (d->begun)
        return;
    d->begun = true;
    pthread_mutex_lock(&d->lock);
    d->base.size_bytes = size_bytes;
    d->answered = true;
    pthread_cond_signal(&d->beginning);
    pthread_mutex_unlock(&d->lock);
}

static long status_of(const download *d) {
    long status = 0;
    curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* What a server says beside an error, as far as it is plain text. */
static size_t keep_error(download *d, const char *data, size_t n) {
    for (size_t i = 0; i < n && d->error_len < sizeof d->error_text - 1; i++) {
        char c = data[i];
        d->error_text[d->error_len++] = (char)((unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
    }
    d->error_bytes += n;
    return d->error_bytes > ERROR_BODY_MAX ? 0 : n;
}

static size_t take_body(char *data, size_t size, size_t count, void *arg) {
    download *d = arg;
    size_t n = size * count;
    if (status_of(d) != 200) {
        d->heard_ms = now_ms();
        return keep_error(d, data, n);
    }
    curl_off_t length = -1;
    curl_easy_getinfo(d->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    tell_begun(d, length);
    if (hf_flow_charge(d->o.flow, (int64_t)n, &d->refused) != HF_OK || !hf_ring_put(&d->ring, data, n))
        return 0;
    d->received += (int64_t)n;
    atomic_fetch_add_explicit(&d->o.flow->bytes_read, (long long)n, memory_order_relaxed);
    if (d->o.on_bytes)
        d->o.on_bytes(d->o.ctx, (int64_t)n);
    d->heard_ms = now_ms(); /* behind the waits above: those are ours */
    return n;
}

static CURLcode result_of(CURLM *multi) {
    int left = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));)
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_RECV_ERROR;
}

static CURLcode stalled(download *d) {
    hf_fail(&d->refused, HF_E_TIMEOUT, "no byte came for %" PRId64 " s (endpoints.%s.stall_timeout), after %" PRId64,
            (d->o.endpoint->stall_timeout_ms + 999) / 1000, d->o.endpoint->name, d->received);
    return CURLE_OPERATION_TIMEDOUT;
}

static CURLcode drive(download *d) {
    d->heard_ms = now_ms();
    for (int running = 1;;) {
        CURLMcode m = curl_multi_perform(d->multi, &running);
        if (m == CURLM_OK && running == 0)
            return result_of(d->multi);
        if (atomic_load(&d->closing) || hf_flow_check(d->o.flow, &d->refused) != HF_OK)
            return CURLE_ABORTED_BY_CALLBACK;
        if (now_ms() - d->heard_ms > d->o.endpoint->stall_timeout_ms)
            return stalled(d);
        if (m == CURLM_OK)
            m = curl_multi_poll(d->multi, NULL, 0, POLL_MS, NULL);
        if (m != CURLM_OK)
            return m == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR;
    }
}

static hf_code judge_status(download *d, long status, hf_err *reterr) {
    hf_code code = status == 404                    ? HF_E_NOT_FOUND
                   : status == 401                  ? HF_E_UNAUTHORIZED
                   : status == 403                  ? HF_E_PERMISSION
                   : status == 408 || status == 429 ? HF_E_BUSY
                   : status >= 500                  ? HF_E_UNREACHABLE
                                                    : HF_E_PROTOCOL;
    return hf_fail(reterr, code, "the host answered with HTTP status %ld%s%.*s", status, d->error_len ? ": " : "",
                   (int)d->error_len, d->error_text);
}

static hf_code judge(download *d, CURLcode rc, hf_err *reterr) {
    if (d->refused.code) {
        *reterr = d->refused;
        return reterr->code;
    }
    long status = status_of(d);
    if (status != 200 && status >= 100)
        return judge_status(d, status, reterr);
    if (rc == CURLE_PARTIAL_FILE || rc == CURLE_GOT_NOTHING)
        return hf_fail(reterr, HF_E_UNREACHABLE,
                       "the host closed the connection after %" PRId64 " of %" PRId64 " bytes", d->received,
                       d->base.size_bytes);
    if (rc != CURLE_OK)
        return hf_vsphere_transport(d->o.endpoint, rc, &d->seen, d->curl_text, reterr);
    if (d->base.size_bytes >= 0 && d->begun && d->received != d->base.size_bytes)
        return hf_fail(reterr, HF_E_UNREACHABLE, "the host sent %" PRId64 " of %" PRId64 " bytes", d->received,
                       d->base.size_bytes);
    return HF_OK;
}

static void *download_main(void *arg) {
    download *d = arg;
    hf_err error = {0}, why = {0};
    CURLcode rc = drive(d);
    hf_code code = atomic_load(&d->closing) ? hf_fail(&error, HF_E_CANCELLED, "closed") : judge(d, rc, &error);
    /* A lease that is over explains whatever else went wrong. */
    if (code != HF_OK && code != HF_E_CANCELLED && d->o.why && d->o.why(d->o.ctx, &why) != HF_OK)
        error = why;
    pthread_mutex_lock(&d->lock);
    d->error = error;
    d->failed_early = code != HF_OK && d->received == 0;
    pthread_mutex_unlock(&d->lock);
    hf_ring_end(&d->ring);
    tell_begun(d, d->base.size_bytes);
    return NULL;
}

/* ---- in the reader's ---------------------------------------------------------------------------------------- */
static hf_code download_read(hf_stream *stream, void *to, size_t cap, size_t *ret_len, hf_err *reterr) {
    download *d = (download *)stream;
    for (;;) {
        bool over = false;
        size_t n = hf_ring_take(&d->ring, to, cap, WORTH, POLL_MS, &over);
        hf_code code = hf_flow_check(d->o.flow, reterr);
        if (code != HF_OK)
            return code;
        if (n > 0 || over) {
            *ret_len = n;
            if (n > 0 || d->error.code == HF_OK)
                return HF_OK;
            if (reterr)
                *reterr = d->error;
            return d->error.code;
        }
    }
}

static void free_all(download *d) {
    if (d->curl && d->multi)
        curl_multi_remove_handle(d->multi, d->curl);
    curl_easy_cleanup(d->curl);
    curl_multi_cleanup(d->multi);
    hf_ring_done(&d->ring);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->beginning);
    free(d);
}

static void download_close(hf_stream *stream) {
    download *d = (download *)stream;
    atomic_store(&d->closing, true);
    hf_ring_close(&d->ring);
    curl_multi_wakeup(d->multi);
    pthread_join(d->thread, NULL);
    free_all(d);
}

static const hf_stream_class download_class = {"vsphere-download", download_read, download_close};

/* ---- opening -------------------------------------------------------------------------------------------------- */
static bool set_options(download *d) {
    CURL *c = d->curl;
    return !(curl_easy_setopt(c, CURLOPT_URL, d->o.file->url) || curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") ||
             curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) || curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) ||
             curl_easy_setopt(c, CURLOPT_PROXY, "") || curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) ||
             curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
             curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) ||
             curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)CURL_BUFFER) ||
             curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)d->o.endpoint->connect_timeout_ms) ||
             curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) || curl_easy_setopt(c, CURLOPT_WRITEDATA, d) ||
             curl_easy_setopt(c, CURLOPT_ERRORBUFFER, d->curl_text));
}

static hf_code make(const hf_download_options *o, download **ret, hf_err *reterr) {
    download *d = hf_alloc(sizeof *d);
    if (!d)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a download");
    d->base = (hf_stream){&download_class, -1};
    d->o = *o;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->beginning, NULL);
    d->curl = curl_easy_init();
    d->multi = curl_multi_init();
    hf_code code = HF_OK;
    if (!d->curl || !d->multi || !hf_ring_init(&d->ring, HF_DOWNLOAD_RING) || !set_options(d))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "a download");
    if (code == HF_OK)
        code = hf_tls_apply(d->curl, &d->o.file->tls, &d->seen, reterr);
    if (code == HF_OK && curl_multi_add_handle(d->multi, d->curl))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "a download");
    if (code != HF_OK)
        free_all(d);
    else
        *ret = d;
    return code;
}

/* The thread hears of a cancel and of every time-out by itself, so this need not look at the clock. */
static hf_code wait_beginning(download *d, hf_err *reterr) {
    pthread_mutex_lock(&d->lock);
    while (!d->answered)
        pthread_cond_wait(&d->beginning, &d->lock);
    hf_err error = d->error;
    bool failed = d->failed_early;
    pthread_mutex_unlock(&d->lock);
    if (failed && reterr)
        *reterr = error;
    return failed ? error.code : HF_OK;
}

hf_code hf_download_open(const hf_download_options *options, hf_stream **ret, hf_err *reterr) {
    download *d = NULL;
    hf_code code = make(options, &d, reterr);
    if (code != HF_OK)
        return code;
    if (pthread_create(&d->thread, NULL, download_main, d) != 0) {
        free_all(d);
        return hf_fail(reterr, HF_E_NO_MEMORY, "the thread of a download");
    }
    if ((code = wait_beginning(d, reterr)) != HF_OK) {
        download_close(&d->base);
        return code;
    }
    *ret = &d->base;
    return HF_OK;
}
