#include "consumer/provider/vsphere/client.h"

#include <libxml/parser.h>
#include <stdio.h>
#include <time.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/names.h"
#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum { TRIES = 3, FIRST_PAUSE_MS = 500 };

/* ---- exchanges ------------------------------------------------------------------------------------------------ */
static void write_envelope(hf_buf *to, const hf_buf *body, const char *header) {
    hf_buf_clear(to);
    hf_buf_puts(
        to,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" "
        "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "
        "xmlns:v=\"" HF_VIM_NS "\">");
    if (header)
        hf_buf_printf(to, "<e:Header>%s</e:Header>", header);
    hf_buf_puts(to, "<e:Body>");
    hf_buf_put(to, body->data, body->len);
    hf_buf_puts(to, "</e:Body></e:Envelope>");
}

hf_code hf_vsphere_exchange(hf_vsphere *v, const hf_buf *body, const char *header, int64_t timeout_ms,
                            hf_soap_answer *ret, hf_err *reterr) {
    hf_soap_answer answer = {0};
    v->fault = "";
    if (body->failed)
        return hf_fail(reterr, HF_E_INVALID,
                       "endpoint %s: a text of the call is no UTF-8, has control characters or is too long",
                       v->session->endpoint.name);
    write_envelope(&v->envelope, body, header);
    if (v->envelope.failed)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a call to endpoint %s", v->session->endpoint.name);
    hf_code code = hf_vsphere_post(v, timeout_ms, reterr);
    if (!code && (code = hf_soap_parse(hf_buf_str(&v->answer), v->answer_max, &answer, reterr)))
        hf_context(reterr, "endpoint %s", v->session->endpoint.name);
    if (!code && answer.fault)
        code = hf_soap_fault(&answer, &v->fault, reterr);
    if (v->answer.cap > 1u << 20) /* a large page is the exception: its memory does not stay */
        hf_buf_done(&v->answer);
    if (code)
        hf_soap_answer_done(&answer);
    else
        *ret = answer;
    return code;
}

hf_buf *hf_vsphere_request(hf_vsphere *v) {
    hf_buf_clear(&v->request);
    return &v->request;
}

hf_code hf_vsphere_call_within(hf_vsphere *v, size_t max_bytes, int64_t timeout_ms, hf_soap_answer *ret,
                               hf_err *reterr) {
    int64_t ms = timeout_ms ? timeout_ms : v->session->endpoint.call_timeout_ms;
    v->answer_max = max_bytes;
    hf_vsphere_use_session(v);
    hf_code code = hf_vsphere_exchange(v, &v->request, NULL, ms, ret, reterr);
    if (!code || strcmp(v->fault, "NotAuthenticated") != 0)
        return code;
    v->answer_max = HF_SOAP_ANSWER_MAX;
    code = hf_vsphere_log_in_again(v, reterr);
    v->answer_max = max_bytes;
    return code ? code : hf_vsphere_exchange(v, &v->request, NULL, ms, ret, reterr);
}

hf_code hf_vsphere_call(hf_vsphere *v, hf_soap_answer *ret, hf_err *reterr) {
    return hf_vsphere_call_within(v, HF_SOAP_ANSWER_MAX, 0, ret, reterr);
}

hf_code hf_vsphere_pause(const hf_vsphere *v, int64_t ms, hf_err *reterr) {
    for (int64_t step; ms > 0; ms -= step) {
        if (v->cancel && atomic_load(v->cancel))
            return hf_fail(reterr, HF_E_CANCELLED, "endpoint %s", v->session->endpoint.name);
        step = ms < HF_POLL_MS ? ms : HF_POLL_MS;
        nanosleep(&(struct timespec){.tv_nsec = step * 1000000}, NULL);
    }
    return HF_OK;
}

/* Whether the transport failed rather than the server refusing: then the same call may go through. */
static bool passing(const hf_vsphere *v, hf_code code) {
    return !*v->fault && (code == HF_E_UNREACHABLE || code == HF_E_TIMEOUT);
}

hf_code hf_vsphere_ask(hf_vsphere *v, size_t max_bytes, hf_soap_answer *ret, hf_err *reterr) {
    hf_err err = {0};
    hf_code code = HF_OK;
    for (int i = 0; i < TRIES; i++) {
        code = i > 0 ? hf_vsphere_pause(v, FIRST_PAUSE_MS << (i - 1), &err) : HF_OK;
        if (!code && !(code = hf_vsphere_call_within(v, max_bytes, 0, ret, &err)))
            return HF_OK;
        if (!passing(v, code))
            break;
    }
    if (reterr)
        *reterr = err;
    return code;
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */
static void free_session(hf_vsphere_session *s) {
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static hf_code new_handle(hf_vsphere_session *s, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr) {
    hf_vsphere *v = hf_alloc(sizeof *v);
    if (!v)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection to endpoint %s", s->endpoint.name);
    v->session = s;
    v->cancel = cancel;
    v->fault = "";
    v->answer_max = HF_SOAP_ANSWER_MAX;
    hf_buf_init(&v->request, HF_SOAP_REQUEST_MAX);
    hf_buf_init(&v->envelope, HF_SOAP_REQUEST_MAX * 8);
    hf_buf_init(&v->answer, (size_t)HF_SOAP_PAGE_MAX + 1);
    atomic_fetch_add(&s->refs, 1);
    /* at once: a request that fails later is one whose texts are none, or too long */
    hf_code code = hf_buf_reserve(&v->request, HF_SOAP_REQUEST_MAX)
                       ? hf_vsphere_transport_init(v, reterr)
                       : hf_fail(reterr, HF_E_NO_MEMORY, "a request to endpoint %s", s->endpoint.name);
    if (code)
        hf_vsphere_close(v);
    else
        *ret = v;
    return code;
}

void hf_vsphere_close(hf_vsphere *v) {
    if (!v)
        return;
    hf_vsphere_session *s = v->session;
    bool last = atomic_fetch_sub(&s->refs, 1) == 1;
    if (last && v->curl)
        hf_vsphere_log_out(v);
    hf_vsphere_transport_done(v);
    hf_names_free(v->names);
    hf_buf_done(&v->request);
    hf_buf_done(&v->envelope);
    hf_buf_done(&v->answer);
    free(v);
    if (last)
        free_session(s);
}

static void read_content(const xmlNode *content, hf_vsphere_content *to) {
    const struct {
        const char *name;
        hf_moref *ref;
    } refs[] = {{"rootFolder", &to->root},
                {"propertyCollector", &to->collector},
                {"viewManager", &to->views},
                {"sessionManager", &to->sessions},
                {"searchIndex", &to->search},
                {"ovfManager", &to->ovf},
                {"authorizationManager", &to->authorization},
                {"licenseManager", &to->licences}};
    for (size_t i = 0; i < HF_ARRAY_LEN(refs); i++)
        hf_xml_ref(hf_xml_child(content, refs[i].name), refs[i].ref);
    const xmlNode *about = hf_xml_child(content, "about");
    hf_xml_copy(hf_xml_child(about, "apiVersion"), to->api_version, sizeof to->api_version);
    hf_xml_copy(hf_xml_child(about, "fullName"), to->full_name, sizeof to->full_name);
    hf_xml_copy(hf_xml_child(about, "apiType"), to->api_type, sizeof to->api_type);
    hf_xml_copy(hf_xml_child(about, "instanceUuid"), to->instance_uuid, sizeof to->instance_uuid);
}

/* Only digits and dots reach a header. */
static void set_action(hf_vsphere_session *s) {
    const char *version = s->content.api_version;
    if (*version && strspn(version, "0123456789.") == strlen(version))
        snprintf(s->action, sizeof s->action, "urn:vim25/%s", version);
}

static hf_code retrieve_content(hf_vsphere *v, hf_err *reterr) {
    static const hf_moref instance = {"ServiceInstance", "ServiceInstance"};
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "RetrieveServiceContent", &instance);
    hf_soap_end(body, "RetrieveServiceContent");
    hf_code code = hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr);
    if (code)
        return code;
    hf_vsphere_content *c = &v->session->content;
    read_content(hf_xml_child(answer.response, "returnval"), c);
    hf_soap_answer_done(&answer);
    if (!c->root.value[0] || !c->collector.value[0] || !c->sessions.value[0])
        return hf_fail(reterr, HF_E_PROTOCOL, "endpoint %s: %s answers, but not as a vSphere server does",
                       v->session->endpoint.name, v->session->endpoint.url);
    set_action(v->session);
    return HF_OK;
}

static hf_code log_in(hf_vsphere *v, hf_err *reterr) {
    hf_code code = HF_OK;
    for (int i = 0; i < TRIES; i++) {
        code = i > 0 ? hf_vsphere_pause(v, FIRST_PAUSE_MS << (i - 1), reterr) : HF_OK;
        if (code || !passing(v, code = hf_vsphere_log_in(v, reterr)))
            break;
    }
    return code;
}

static void init_libraries(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
}

hf_code hf_vsphere_begin(const hf_endpoint *endpoint, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_libraries);
    hf_vsphere_session *s = hf_alloc(sizeof *s);
    hf_vsphere *v = NULL;
    if (!s || pthread_mutex_init(&s->lock, NULL)) {
        free(s);
        return hf_fail(reterr, HF_E_NO_MEMORY, "a session of endpoint %s", endpoint->name);
    }
    s->endpoint = *endpoint;
    if (endpoint->tls.insecure)
        HF_LOG(WARN, "insecure-endpoint", {"endpoint", HF_V_Z(endpoint->name)}, {"host", HF_V_Z(endpoint->authority)},
               {"meaning", HF_V_Z("whoever answers there is trusted with the password; give ca_file or thumbprint")});
    snprintf(s->action, sizeof s->action, "urn:vim25/6.5");
    atomic_init(&s->refs, 1); /* ours, until the handle has it */
    hf_code code = new_handle(s, cancel, &v, reterr);
    if (atomic_fetch_sub(&s->refs, 1) == 1) /* there is no handle */
        free_session(s);
    if (code || !v)
        return code;
    if ((code = retrieve_content(v, reterr)))
        hf_vsphere_close(v);
    else
        *ret = v;
    return code;
}

hf_code hf_vsphere_open(const hf_endpoint *endpoint, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr) {
    hf_vsphere *v = NULL;
    hf_code code = hf_vsphere_begin(endpoint, cancel, &v, reterr);
    if (code || !v)
        return code;
    if ((code = log_in(v, reterr)))
        hf_vsphere_close(v);
    else
        *ret = v;
    return code;
}

hf_code hf_vsphere_share(hf_vsphere *from, const atomic_bool *cancel, hf_vsphere **ret, hf_err *reterr) {
    hf_vsphere *v = NULL;
    hf_code code = new_handle(from->session, cancel, &v, reterr);
    if (!code)
        *ret = v;
    return code;
}

void hf_vsphere_set_cancel(hf_vsphere *v, const atomic_bool *cancel) { v->cancel = cancel; }
const hf_endpoint *hf_vsphere_endpoint(const hf_vsphere *v) { return &v->session->endpoint; }
const hf_vsphere_content *hf_vsphere_about(const hf_vsphere *v) { return &v->session->content; }
const char *hf_vsphere_fault(const hf_vsphere *v) { return v->fault; }
