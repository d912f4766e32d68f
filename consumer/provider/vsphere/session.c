/* Logging in and out. The password is read for the login and wiped behind it, with every buffer it went through. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <time.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

static void wipe(hf_buf *buf) {
    if (buf->data)
        OPENSSL_cleanse(buf->data, buf->cap);
    hf_buf_clear(buf);
}

void hf_vsphere_use_session(hf_vsphere *v) {
    pthread_mutex_lock(&v->session->lock);
    snprintf(v->cookie, sizeof v->cookie, "%s", v->session->cookie);
    v->generation = v->session->generation;
    pthread_mutex_unlock(&v->session->lock);
}

/* ---- a token: LoginByToken with the assertion in a WS-Security header ---------------------------------------- */
static hf_code write_security(hf_buf *to, const hf_secret *token, hf_err *reterr) {
    char now[HF_RFC3339_BYTES], end[HF_RFC3339_BYTES];
    int64_t ms = hf_wall_ms(hf_clock_system());
    hf_time_format(ms, now);
    hf_time_format(ms + 300000, end);
    hf_soap_answer check = {0};
    hf_buf_printf(to,
                  "<wsse:Security xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/"
                  "oasis-200401-wss-wssecurity-secext-1.0.xsd\"><wsu:Timestamp xmlns:wsu=\"http://docs.oasis-open.org/"
                  "wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd\"><wsu:Created>%s</wsu:Created><wsu:Expires>"
                  "%s</wsu:Expires></wsu:Timestamp>",
                  now, end);
    const char *text = token->text;
    if (strncmp(text, "<?xml", 5) == 0 && strstr(text, "?>"))
        text = strstr(text, "?>") + 2;
    hf_buf_puts(to, text);
    hf_buf_put(to, "</wsse:Security>", sizeof "</wsse:Security>"); /* with its NUL */
    if (to->failed)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a login");
    hf_buf probe;
    hf_buf_init(&probe, to->len + 256);
    hf_buf_printf(&probe,
                  "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body>%s</e:Body></e:Envelope>",
                  (const char *)to->data);
    bool good = hf_soap_parse(hf_buf_str(&probe), HF_SOAP_ANSWER_MAX, &check, NULL) == HF_OK;
    hf_soap_answer_done(&check);
    wipe(&probe);
    hf_buf_done(&probe);
    return good ? HF_OK : hf_fail(reterr, HF_E_CONFIG, "the token file holds no SAML assertion in XML");
}

/* ---- the exchange ------------------------------------------------------------------------------------------------ */
static hf_code send_login(hf_vsphere *v, const hf_secret *secret, hf_buf *body, hf_buf *header, hf_err *reterr) {
    const hf_endpoint *e = &v->session->endpoint;
    const char *method = e->token ? "LoginByToken" : "Login";
    hf_soap_answer answer = {0};
    size_t room = secret->len * 6 + 4096; /* at once: a buffer that grows leaves copies behind */
    if (!hf_buf_reserve(body, room) || !hf_buf_reserve(&v->envelope, 2 * room) || !hf_buf_reserve(header, room))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a login");
    hf_code code = e->token ? write_security(header, secret, reterr) : HF_OK;
    if (code)
        return code;
    hf_soap_begin(body, method, &v->session->content.sessions);
    if (!e->token) {
        hf_soap_text(body, "userName", hf_str_of(e->username));
        hf_soap_text(body, "password", (hf_str){secret->text, (uint32_t)secret->len});
    }
    hf_soap_end(body, method);
    v->cookie[0] = 0;
    code =
        hf_vsphere_exchange(v, body, e->token ? (const char *)header->data : NULL, e->call_timeout_ms, &answer, reterr);
    if (!code)
        hf_xml_copy(hf_xml_child(hf_xml_child(answer.response, "returnval"), "key"), v->session->key,
                    sizeof v->session->key);
    hf_soap_answer_done(&answer);
    if (!code && !v->cookie_seen[0])
        code = hf_fail(reterr, HF_E_PROTOCOL, "the login was answered without a session cookie");
    return code;
}

static hf_code log_in_once(hf_vsphere *v, hf_err *reterr) {
    hf_secret secret = {0};
    hf_buf body, header;
    hf_buf_init(&body, HF_SOAP_REQUEST_MAX * 4);
    hf_buf_init(&header, HF_SOAP_REQUEST_MAX * 4);
    hf_code code = hf_secret_read(&v->session->endpoint, &secret, reterr);
    if (!code && (code = send_login(v, &secret, &body, &header, reterr)))
        hf_context(reterr, "endpoint %s: login as %s", v->session->endpoint.name,
                   v->session->endpoint.token ? "the token's owner" : v->session->endpoint.username);
    hf_secret_done(&secret);
    wipe(&body);
    wipe(&header);
    wipe(&v->envelope);
    hf_buf_done(&body);
    hf_buf_done(&header);
    return code;
}

static hf_code log_in_locked(hf_vsphere *v, hf_err *reterr) {
    hf_vsphere_session *s = v->session;
    hf_code code = log_in_once(v, reterr);
    if (code)
        return code;
    snprintf(s->cookie, sizeof s->cookie, "%s", v->cookie_seen);
    snprintf(v->cookie, sizeof v->cookie, "%s", s->cookie);
    v->generation = ++s->generation;
    s->logged_in = true;
    return HF_OK;
}

hf_code hf_vsphere_log_in(hf_vsphere *v, hf_err *reterr) {
    pthread_mutex_lock(&v->session->lock);
    hf_code code = log_in_locked(v, reterr);
    pthread_mutex_unlock(&v->session->lock);
    return code;
}

hf_code hf_vsphere_log_in_again(hf_vsphere *v, hf_err *reterr) {
    hf_vsphere_session *s = v->session;
    hf_code code = HF_OK;
    pthread_mutex_lock(&s->lock);
    if (s->generation == v->generation) {
        s->logged_in = false;
        code = log_in_locked(v, reterr);
    } else {
        snprintf(v->cookie, sizeof v->cookie, "%s", s->cookie);
        v->generation = s->generation;
    }
    pthread_mutex_unlock(&s->lock);
    return code;
}

void hf_vsphere_log_out(hf_vsphere *v) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    if (!v->session->logged_in)
        return;
    v->cancel = NULL;
    hf_vsphere_use_session(v);
    hf_soap_begin(body, "Logout", &v->session->content.sessions);
    hf_soap_end(body, "Logout");
    hf_vsphere_exchange(v, body, NULL, HF_LOGOUT_MS, &answer, NULL);
    hf_soap_answer_done(&answer);
    v->session->logged_in = false;
}
