#include "consumer/provider/vsphere/wait.h"

#include <inttypes.h>
#include <stdio.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "schemas/base/clock.h"

enum { STEP_S = 20, ANSWER_SLACK_MS = 15000, RESTARTS_MAX = 3, RESTART_PAUSE_MS = 500 };

static hf_code ref_of(hf_vsphere *v, hf_moref *ret, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_code code = hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr);
    if (code)
        return code;
    bool good = hf_xml_ref(hf_xml_child(answer.response, "returnval"), ret);
    hf_soap_answer_done(&answer);
    return good ? HF_OK : hf_fail(reterr, HF_E_PROTOCOL, "endpoint %s gives no object", v->session->endpoint.name);
}

static hf_code make_collector(hf_vsphere *v, hf_moref *ret, hf_err *reterr) {
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "CreatePropertyCollector", &v->session->content.collector);
    hf_soap_end(body, "CreatePropertyCollector");
    return ref_of(v, ret, reterr);
}

static hf_code make_filter(hf_vsphere *v, const hf_moref *collector, const hf_moref *object, const hf_wait *wait,
                           hf_err *reterr) {
    hf_moref filter;
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "CreateFilter", collector);
    hf_soap_open(body, "spec", NULL);
    hf_soap_open(body, "propSet", NULL);
    hf_soap_text(body, "type", hf_str_of(wait->type));
    for (size_t i = 0; i < wait->path_count; i++)
        hf_soap_text(body, "pathSet", hf_str_of(wait->paths[i]));
    hf_soap_close(body, "propSet");
    hf_soap_open(body, "objectSet", NULL);
    hf_soap_ref(body, "obj", object);
    hf_soap_close(body, "objectSet");
    hf_soap_close(body, "spec");
    hf_soap_bool(body, "partialUpdates", false);
    hf_soap_end(body, "CreateFilter");
    return ref_of(v, &filter, reterr);
}

static hf_code take_object(const xmlNode *object, const hf_wait *wait, hf_err *reterr) {
    hf_code code = HF_OK;
    for (xmlNode *c = hf_xml_child(object, "changeSet"); c && !code; c = hf_xml_next(object, "changeSet", c)) {
        char path[128];
        hf_xml_copy(hf_xml_child(c, "name"), path, sizeof path);
        code = wait->change(wait->ctx, path, hf_xml_child(c, "val"), reterr);
    }
    return code;
}

static hf_code take_update(const xmlNode *update, const hf_wait *wait, hf_err *reterr) {
    hf_code code = HF_OK;
    for (xmlNode *f = hf_xml_child(update, "filterSet"); f && !code; f = hf_xml_next(update, "filterSet", f)) {
        if (hf_xml_child(f, "missingSet"))
            return hf_fail(reterr, HF_E_NOT_FOUND, "a property of the object cannot be read");
        for (xmlNode *o = hf_xml_child(f, "objectSet"); o && !code; o = hf_xml_next(f, "objectSet", o)) {
            if (hf_str_eqz(hf_xml_text(hf_xml_child(o, "kind")), "leave"))
                return hf_fail(reterr, HF_E_NOT_FOUND, "the object is gone");
            code = take_object(o, wait, reterr);
        }
    }
    return code;
}

/* Hands on what changed since version; an answer without an update is the end of the server's patience. */
static hf_code wait_step(hf_vsphere *v, const hf_moref *collector, const hf_wait *wait, int64_t left_ms,
                         char version[64], bool *ret_done, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    int64_t seconds = left_ms / 1000 < 1 ? 1 : left_ms / 1000 > STEP_S ? STEP_S : left_ms / 1000;
    hf_soap_begin(body, "WaitForUpdatesEx", collector);
    hf_soap_text(body, "version", hf_str_of(version));
    hf_soap_open(body, "options", NULL);
    hf_soap_int(body, "maxWaitSeconds", seconds);
    hf_soap_close(body, "options");
    hf_soap_end(body, "WaitForUpdatesEx");
    hf_code code = hf_vsphere_call_within(v, HF_SOAP_ANSWER_MAX, seconds * 1000 + ANSWER_SLACK_MS, &answer, reterr);
    if (code)
        return code;
    const xmlNode *update = hf_xml_child(answer.response, "returnval");
    if (update) {
        hf_xml_copy(hf_xml_child(update, "version"), version, 64);
        code = take_update(update, wait, reterr);
        if (!code)
            code = wait->judge(wait->ctx, ret_done, reterr);
    }
    hf_soap_answer_done(&answer);
    return code;
}

typedef struct waiting {
    const hf_moref *object;
    int64_t end_ms;
    uint32_t generation;
    bool judged; /* the error is about the object, not about the way to it */
} waiting;

static hf_code wait_with(hf_vsphere *v, const hf_moref *collector, const hf_wait *wait, waiting *w, hf_err *reterr) {
    char version[64] = "";
    bool done = false;
    hf_code code = make_filter(v, collector, w->object, wait, reterr);
    while (!code && !done) {
        int64_t left = w->end_ms - hf_mono_ms(hf_clock_system());
        if (left <= 0) {
            w->judged = true;
            return hf_fail(reterr, HF_E_TIMEOUT, "endpoint %s: %s %s was not done within %" PRId64 " s",
                           v->session->endpoint.name, wait->type, w->object->value, wait->timeout_ms / 1000);
        }
        code = wait_step(v, collector, wait, left, version, &done, reterr);
    }
    return code;
}

static void destroy_collector(hf_vsphere *v, const hf_moref *collector) {
    hf_soap_answer answer = {0};
    const char *fault = v->fault;
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "DestroyPropertyCollector", collector);
    hf_soap_end(body, "DestroyPropertyCollector");
    hf_vsphere_call_within(v, HF_SOAP_ANSWER_MAX, HF_LOGOUT_MS, &answer, NULL);
    hf_soap_answer_done(&answer);
    v->fault = fault; /* whoever waits wants to know that of the wait */
}

static bool lost_its_way(const hf_vsphere *v, const waiting *w, hf_code code) {
    if (w->judged)
        return false;
    bool transport = !*v->fault && (code == HF_E_UNREACHABLE || code == HF_E_TIMEOUT);
    return transport || (code == HF_E_NOT_FOUND && v->generation != w->generation);
}

hf_code hf_wait_for(hf_vsphere *v, const hf_moref *object, const hf_wait *wait, hf_err *reterr) {
    waiting w = {.object = object, .end_ms = hf_mono_ms(hf_clock_system()) + wait->timeout_ms};
    hf_code code = HF_OK;
    for (int i = 0; i <= RESTARTS_MAX; i++) {
        hf_moref collector;
        if (i > 0 && (code = hf_vsphere_pause(v, RESTART_PAUSE_MS << i, reterr)))
            return code;
        code = make_collector(v, &collector, reterr);
        if (code)
            return code;
        w.generation = v->generation;
        code = wait_with(v, &collector, wait, &w, reterr);
        if (!code || !lost_its_way(v, &w, code)) {
            if (code != HF_E_CANCELLED)
                destroy_collector(v, &collector);
            break;
        }
    }
    return code;
}
