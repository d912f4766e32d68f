#include "consumer/provider/vsphere/check.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/walk.h"
#include "schemas/base/mem.h"

typedef struct check {
    hf_check_fn tell;
    void *ctx;
    hf_endpoint endpoint;
    hf_vsphere *v;
    hf_moref some_vm;
} check;

static void say(const check *c, const char *step, hf_check_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void say(const check *c, const char *step, hf_check_status status, const char *format, ...) {
    char text[HF_ERR_DETAIL_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->tell(c->ctx, step, status, text);
}

/* ---- on this machine -------------------------------------------------------------------------------------------- */
static hf_code check_secret(check *c, hf_err *reterr) {
    hf_secret secret;
    hf_code code = hf_secret_read(&c->endpoint, &secret, reterr);
    if (code)
        return code;
    hf_secret_done(&secret);
    say(c, "secret", HF_CHECK_OK, "%s can be read", c->endpoint.secret_at);
    return HF_OK;
}

/* ---- on the way -------------------------------------------------------------------------------------------------- */
static hf_code check_name(check *c, hf_err *reterr) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    char text[256] = "";
    size_t n = 0;
    int rc = getaddrinfo(c->endpoint.host, NULL, &hints, &all);
    if (rc)
        return hf_fail(reterr, HF_E_UNREACHABLE, "host %s: %s: check endpoints.%s.url and this machine's DNS",
                       c->endpoint.host, gai_strerror(rc), c->endpoint.name);
    for (struct addrinfo *a = all; a; a = a->ai_next) {
        char host[64];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0 &&
            n + strlen(host) + 3 < sizeof text)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", host);
    }
    freeaddrinfo(all);
    say(c, "name", HF_CHECK_OK, "%s is %s", c->endpoint.host, text);
    return HF_OK;
}

/* Connects and no more: TCP with an http URL, TLS as well with https. */
static hf_code connect_only(check *c, CURL *curl, const char *scheme, hf_tls_seen *seen, hf_err *reterr) {
    char url[320], text[CURL_ERROR_SIZE] = "";
    const hf_endpoint *e = &c->endpoint;
    snprintf(url, sizeof url, "%s://%s/", scheme, e->authority);
    if (curl_easy_setopt(curl, CURLOPT_URL, url) || curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L) ||
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) || curl_easy_setopt(curl, CURLOPT_PROXY, "") ||
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text) ||
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)e->connect_timeout_ms) ||
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)e->connect_timeout_ms * 2))
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection");
    hf_code code = seen ? hf_tls_apply(curl, &e->tls, seen, reterr) : HF_OK;
    CURLcode rc = code ? CURLE_OK : curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    return rc ? hf_vsphere_transport(e, rc, seen, text, reterr) : code;
}

static hf_code check_tcp(check *c, hf_err *reterr) {
    CURL *curl = curl_easy_init();
    if (!curl)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection");
    hf_code code = connect_only(c, curl, "http", NULL, reterr);
    if (!code) {
        char *ip = NULL;
        curl_off_t us = 0;
        curl_easy_getinfo(curl, CURLINFO_PRIMARY_IP, &ip);
        curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &us);
        say(c, "tcp", HF_CHECK_OK, "connected to %s port %u in %.1f ms", ip ? ip : "?", c->endpoint.port,
            (double)us / 1000);
    }
    curl_easy_cleanup(curl);
    return code;
}

static hf_code check_tls(check *c, hf_err *reterr) {
    const hf_tls_trust *t = &c->endpoint.tls;
    hf_tls_seen seen;
    CURL *curl = curl_easy_init();
    if (!curl)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a connection");
    hf_code code = connect_only(c, curl, "https", &seen, reterr);
    curl_easy_cleanup(curl);
    if (!code && t->insecure)
        say(c, "tls", HF_CHECK_WARN, "insecure: anybody is trusted; use thumbprint: \"%s\" if that is the server's",
            seen.sha256);
    else if (!code)
        say(c, "tls", HF_CHECK_OK, "the certificate %s; SHA-256 %s",
            t->pin_len ? "is the one of the thumbprint" : "and its host name are trusted by the CAs", seen.sha256);
    return code;
}

/* ---- on the server ------------------------------------------------------------------------------------------------ */
static hf_code check_service(check *c, hf_err *reterr) {
    hf_code code = hf_vsphere_begin(&c->endpoint, NULL, &c->v, reterr);
    if (code)
        return code;
    const hf_vsphere_content *s = hf_vsphere_about(c->v);
    say(c, "service", HF_CHECK_OK, "%s, API %s, %s", s->full_name, s->api_version, s->api_type);
    return HF_OK;
}

static hf_code check_login(check *c, hf_err *reterr) {
    hf_code code = hf_vsphere_log_in(c->v, reterr);
    if (!code)
        say(c, "login", HF_CHECK_OK, "as %s", c->endpoint.token ? "the token's owner" : c->endpoint.username);
    return code;
}

static hf_code check_inventory(check *c, hf_err *reterr) {
    size_t count = 0;
    hf_code code = hf_walk_count(c->v, &hf_vsphere_about(c->v)->root, &count, &c->some_vm, reterr);
    if (!code)
        say(c, "inventory", count ? HF_CHECK_OK : HF_CHECK_WARN, "%zu VMs can be seen%s", count,
            count ? "" : ": has the user the Read-only role at least, propagating, where they are?");
    return code;
}

static void ask_privileges(check *c, const char *const *wanted, size_t count, const hf_moref *entity) {
    hf_buf *body = hf_vsphere_request(c->v);
    hf_soap_begin(body, "HasPrivilegeOnEntities", &hf_vsphere_about(c->v)->authorization);
    hf_soap_ref(body, "entity", entity);
    hf_soap_text(body, "sessionId", hf_str_of(c->v->session->key));
    for (size_t i = 0; i < count; i++)
        hf_soap_text(body, "privId", hf_str_of(wanted[i]));
    hf_soap_end(body, "HasPrivilegeOnEntities");
}

/* How many were answered; missing ones' names in text. */
static size_t read_privileges(const hf_soap_answer *answer, char *text, size_t size) {
    size_t answered = 0, n = 0;
    const xmlNode *one = hf_xml_child(answer->response, "returnval");
    text[0] = 0;
    for (xmlNode *p = hf_xml_child(one, "privAvailability"); p; p = hf_xml_next(one, "privAvailability", p)) {
        hf_str id = hf_xml_text(hf_xml_child(p, "privId"));
        answered++;
        if (!hf_xml_bool(hf_xml_child(p, "isGranted"), false) && n + id.len + 3 < size)
            n += (size_t)snprintf(text + n, size - n, "%s%.*s", n ? ", " : "", HF_STR_ARG(id));
    }
    return answered;
}

static hf_code check_privileges(check *c, hf_err *reterr) {
    static const char *const wanted[] = {"System.Read", "VApp.Export", "VirtualMachine.State.CreateSnapshot",
                                         "VirtualMachine.State.RemoveSnapshot"};
    const hf_moref *on = c->some_vm.value[0] ? &c->some_vm : &hf_vsphere_about(c->v)->root;
    hf_soap_answer answer = {0};
    char missing[256];
    hf_err err = {0};
    if (!hf_vsphere_about(c->v)->authorization.value[0] || !c->v->session->key[0]) {
        say(c, "privileges", HF_CHECK_WARN, "cannot be asked: the server has no AuthorizationManager");
        return HF_OK;
    }
    ask_privileges(c, wanted, HF_ARRAY_LEN(wanted), on);
    hf_code code = hf_vsphere_ask(c->v, HF_SOAP_ANSWER_MAX, &answer, &err);
    size_t answered = code ? 0 : read_privileges(&answer, missing, sizeof missing);
    hf_soap_answer_done(&answer);
    if (code || !answered) {
        say(c, "privileges", HF_CHECK_WARN, "cannot be asked%s%.300s", code ? ": " : " of this server", err.detail);
        return HF_OK;
    }
    if (*missing)
        return hf_fail(reterr, HF_E_PERMISSION, "exports need %s on %s: give them to %s's role", missing, on->value,
                       c->endpoint.token ? "the token's owner" : c->endpoint.username);
    say(c, "privileges", HF_CHECK_OK, "all that exports need, asked of %s", on->value);
    return HF_OK;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */
hf_code hf_endpoint_check(const hf_config *config, hf_str name, hf_check_fn tell, void *ctx, hf_err *reterr) {
    static const struct {
        const char *name;
        hf_code (*run)(check *c, hf_err *reterr);
    } steps[] = {{"secret", check_secret},
                 {"name", check_name},
                 {"tcp", check_tcp},
                 {"tls", check_tls},
                 {"service", check_service},
                 {"login", check_login},
                 {"inventory", check_inventory},
                 {"privileges", check_privileges}};
    check c = {.tell = tell, .ctx = ctx};
    hf_err err = {0};
    const char *step = "configuration";
    hf_code code = hf_endpoint_find(config, name, &c.endpoint, &err);
    if (!code)
        say(&c, step, HF_CHECK_OK, "%s", c.endpoint.url);
    for (size_t i = 0; !code && i < HF_ARRAY_LEN(steps); i++) {
        step = steps[i].name;
        code = steps[i].run(&c, &err);
    }
    hf_vsphere_close(c.v);
    if (!code)
        return HF_OK;
    say(&c, step, HF_CHECK_FAILED, "%s", err.detail);
    if (reterr)
        *reterr = err;
    return code;
}
