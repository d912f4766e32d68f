/* curl: one handle, one connection kept open, driven so that a cancel is heard within HF_POLL_MS. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "schemas/base/mem.h"

static size_t take_body(char *data, size_t size, size_t count, void *arg) {
    hf_vsphere *v = arg;
    size_t n = size * count;
    v->answer_too_large = v->answer.len + n > v->answer_max;
    return !v->answer_too_large && hf_buf_put(&v->answer, data, n) ? n : 0;
}

/* "Set-Cookie: vmware_soap_session="…"; Path=/; …": the first part is kept as it stands. */
static size_t take_header(char *data, size_t size, size_t count, void *arg) {
    static const char name[] = "set-cookie:", session[] = "vmware_soap_session=";
    hf_vsphere *v = arg;
    size_t n = size * count, at = sizeof name - 1;
    if (n <= at || strncasecmp(data, name, at) != 0)
        return n;
    while (at < n && (data[at] == ' ' || data[at] == '\t'))
        at++;
    size_t end = at;
    while (end < n && data[end] != ';' && data[end] != '\r' && data[end] != '\n')
        end++;
    if (end - at > sizeof session - 1 && end - at < sizeof v->cookie_seen &&
        strncmp(data + at, session, sizeof session - 1) == 0)
        snprintf(v->cookie_seen, sizeof v->cookie_seen, "%.*s", (int)(end - at), data + at);
    return n;
}

static bool set_options(hf_vsphere *v) {
    const hf_endpoint *e = &v->session->endpoint;
    CURL *c = v->curl;
    return !(curl_easy_setopt(c, CURLOPT_URL, e->url) || curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") ||
             curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) || curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) ||
             curl_easy_setopt(c, CURLOPT_PROXY, "") || curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) ||
             curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L) || curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) ||
             curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
             curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_timeout_ms) ||
             curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body) || curl_easy_setopt(c, CURLOPT_WRITEDATA, v) ||
             curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header) || curl_easy_setopt(c, CURLOPT_HEADERDATA, v) ||
             curl_easy_setopt(c, CURLOPT_ERRORBUFFER, v->curl_text));
}

hf_code hf_vsphere_transport_init(hf_vsphere *v, hf_err *reterr) {
    v->curl = curl_easy_init();
    v->multi = curl_multi_init();
    if (!v->curl || !v->multi || !set_options(v))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection to endpoint %s", v->session->endpoint.name);
    return hf_tls_apply(v->curl, &v->session->endpoint.tls, &v->seen, reterr);
}

void hf_vsphere_transport_done(hf_vsphere *v) {
    curl_easy_cleanup(v->curl);
    curl_multi_cleanup(v->multi);
}

/* ---- what went wrong ---------------------------------------------------------------------------------------- */
static hf_code certificate(const hf_endpoint *e, const hf_tls_seen *seen, const char *text, hf_err *reterr) {
    const char *sha256 = seen && seen->sha256[0] ? seen->sha256 : "not known";
    if (seen && seen->pin_mismatch)
        return hf_fail(
            reterr, HF_E_CERTIFICATE,
            "endpoint %s: the certificate of %s is not the one of the thumbprint; its SHA-256 is %s: find out "
            "why before you change endpoints.%s.thumbprint",
            e->name, e->authority, sha256, e->name);
    return hf_fail(reterr, HF_E_CERTIFICATE,
                   "endpoint %s: the certificate of %s is not trusted (%s); set endpoints.%s.ca_file, or thumbprint if "
                   "it is this one: SHA-256 %s",
                   e->name, e->authority, text, e->name, sha256);
}

hf_code hf_vsphere_transport(const hf_endpoint *e, CURLcode code, const hf_tls_seen *seen, const char *curl_text,
                             hf_err *reterr) {
    const char *text = curl_text && *curl_text ? curl_text : curl_easy_strerror(code);
    if (seen && seen->pin_mismatch)
        return certificate(e, seen, text, reterr);
    switch ((int)code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR: return certificate(e, seen, text, reterr);
    case CURLE_SSL_CACERT_BADFILE:
        return hf_fail(reterr, HF_E_CONFIG, "endpoints.%s.ca_file: %s has no certificates that can be read", e->name,
                       e->tls.ca_file);
    case CURLE_OPERATION_TIMEDOUT: return hf_fail(reterr, HF_E_TIMEOUT, "endpoint %s: %s", e->name, text);
    case CURLE_ABORTED_BY_CALLBACK: return hf_fail(reterr, HF_E_CANCELLED, "endpoint %s", e->name);
    case CURLE_OUT_OF_MEMORY: return hf_fail(reterr, HF_E_NO_MEMORY, "endpoint %s", e->name);
    default: return hf_fail(reterr, HF_E_UNREACHABLE, "endpoint %s (%s): %s", e->name, e->authority, text);
    }
}

static hf_code judge_status(const hf_vsphere *v, long status, hf_err *reterr) {
    const hf_endpoint *e = &v->session->endpoint;
    /* A fault is a 500 with an envelope; without one it is a proxy's, or a server's that is about to start. */
    if (status == 200 || (status == 500 && v->answer.len && memmem(v->answer.data, v->answer.len, "Envelope", 8)))
        return HF_OK;
    hf_code code = status == 404                    ? HF_E_NOT_FOUND
                   : status == 401                  ? HF_E_UNAUTHORIZED
                   : status == 403                  ? HF_E_PERMISSION
                   : status >= 500 || status == 429 ? HF_E_UNREACHABLE
                                                    : HF_E_PROTOCOL;
    return hf_fail(reterr, code, "endpoint %s: POST %s was answered with HTTP status %ld%s", e->name, e->url, status,
                   code == HF_E_UNREACHABLE        ? ""
                   : status >= 300 && status < 400 ? ": redirects are not followed, correct endpoints' url"
                                                   : ": is endpoints' url that of a vSphere server's /sdk?");
}

/* ---- one exchange -------------------------------------------------------------------------------------------- */
static CURLcode outcome(hf_vsphere *v) {
    int left = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(v->multi, &left));)
        if (m->msg == CURLMSG_DONE)
            return m->data.result;
    return CURLE_RECV_ERROR;
}

static CURLcode drive(hf_vsphere *v) {
    int running = 1;
    for (;;) {
        CURLMcode m = curl_multi_perform(v->multi, &running);
        if (m == CURLM_OK && running == 0)
            return outcome(v);
        if (v->cancel && atomic_load(v->cancel))
            return CURLE_ABORTED_BY_CALLBACK;
        if (m == CURLM_OK)
            m = curl_multi_poll(v->multi, NULL, 0, HF_POLL_MS, NULL);
        if (m != CURLM_OK)
            return m == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_RECV_ERROR;
    }
}

static CURLcode exchange(hf_vsphere *v, struct curl_slist *headers, int64_t timeout_ms) {
    CURL *c = v->curl;
    if (curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) ||
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)v->envelope.len) ||
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, v->envelope.data) ||
        curl_easy_setopt(c, CURLOPT_COOKIE, v->cookie[0] ? v->cookie : NULL) ||
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms) || curl_multi_add_handle(v->multi, c))
        return CURLE_OUT_OF_MEMORY;
    CURLcode code = drive(v);
    curl_multi_remove_handle(v->multi, c);
    return code;
}

hf_code hf_vsphere_post(hf_vsphere *v, int64_t timeout_ms, hf_err *reterr) {
    char action[96];
    snprintf(action, sizeof action, "SOAPAction: %s", v->session->action);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: text/xml; charset=\"utf-8\"");
    struct curl_slist *all = headers ? curl_slist_append(headers, action) : NULL;
    all = all ? curl_slist_append(all, "Expect:") : NULL;
    hf_buf_clear(&v->answer);
    v->answer_too_large = false;
    v->seen.pin_mismatch = false;
    v->curl_text[0] = v->cookie_seen[0] = 0;
    CURLcode code = all ? exchange(v, headers, timeout_ms) : CURLE_OUT_OF_MEMORY;
    curl_slist_free_all(headers);
    long status = 0;
    curl_easy_getinfo(v->curl, CURLINFO_RESPONSE_CODE, &status);
    if (v->answer_too_large)
        return hf_fail(reterr, HF_E_LIMIT, "endpoint %s: an answer has more than %zu bytes", v->session->endpoint.name,
                       v->answer_max);
    if (code == CURLE_WRITE_ERROR)
        code = CURLE_OUT_OF_MEMORY;
    return code ? hf_vsphere_transport(&v->session->endpoint, code, &v->seen, v->curl_text, reterr)
                : judge_status(v, status, reterr);
}
