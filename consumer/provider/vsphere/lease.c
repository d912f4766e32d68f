/* Leases: asked for, waited for, ended. */
#include "consumer/provider/vsphere/lease.h"

#include <inttypes.h>
#include <libxml/xmlmemory.h>
#include <stdio.h>

#include "consumer/provider/vsphere/fault.h"
#include "consumer/provider/vsphere/lease_inside.h"
#include "consumer/provider/vsphere/wait.h"
#include "schemas/base/mem.h"

enum { BUSY_TRIES = 4, BUSY_PAUSE_MS = 1000 };

/* What the faults of a lease's calls mean: it is no more. */
hf_code hf_lease_error(const hf_vsphere *v, const hf_lease *lease, hf_code code, hf_err *reterr) {
    static const char *const over[] = {"ManagedObjectNotFound", "InvalidState", "Timedout", "RequestCanceled"};
    for (size_t i = 0; i < HF_ARRAY_LEN(over); i++)
        if (code && strcmp(v->fault, over[i]) == 0)
            return hf_fail(
                reterr, HF_E_EXPORT_LEASE_LOST,
                "lease %s of VM %s is over (vSphere fault %s): not kept alive, cancelled, or its session ended",
                lease->ref.value, lease->vm.value, over[i]);
    return code;
}

void hf_lease_done(hf_lease *lease) {
    free(lease->files);
    *lease = (hf_lease){0};
}

/* ---- waiting until it is ready --------------------------------------------------------------------------------- */
typedef struct getting {
    hf_vsphere *v;
    const hf_vsphere_vm *vm;
    hf_lease *lease;
    char state[16];
    bool informed, failed;
    hf_err error;
    const char *fault;
} getting;

static hf_code lease_change(void *ctx, const char *path, const xmlNode *val, hf_err *reterr) {
    getting *g = ctx;
    if (strcmp(path, "state") == 0)
        hf_xml_copy(val, g->state, sizeof g->state);
    else if (strcmp(path, "error") == 0 && val) {
        g->failed = true;
        hf_vsphere_localized_fault(val, &g->fault, &g->error);
    } else if (strcmp(path, "info") == 0 && val) {
        g->informed = true;
        return hf_lease_read_info(&g->v->session->endpoint, g->vm, val, g->lease, reterr);
    }
    return HF_OK;
}

static hf_code lease_judge(void *ctx, bool *ret_done, hf_err *reterr) {
    getting *g = ctx;
    *ret_done = strcmp(g->state, "ready") == 0 && g->informed;
    if (strcmp(g->state, "error") == 0 && g->failed) {
        g->v->fault = g->fault;
        if (reterr)
            *reterr = g->error;
        return g->error.code;
    }
    if (strcmp(g->state, "error") == 0 || strcmp(g->state, "done") == 0)
        return hf_fail(reterr, HF_E_EXPORT_LEASE_LOST, "the lease went from initializing to %s", g->state);
    return HF_OK;
}

static hf_code wait_ready(hf_vsphere *v, const hf_vsphere_vm *vm, hf_lease *lease, hf_err *reterr) {
    static const char *const paths[] = {"state", "info", "error"};
    getting g = {.v = v, .vm = vm, .lease = lease};
    hf_wait wait = {.type = "HttpNfcLease",
                    .paths = paths,
                    .path_count = HF_ARRAY_LEN(paths),
                    .timeout_ms = v->session->endpoint.lease_wait_ms,
                    .change = lease_change,
                    .judge = lease_judge,
                    .ctx = &g};
    hf_code code = hf_wait_for(v, &lease->ref, &wait, reterr);
    return code == HF_E_NOT_FOUND ? hf_fail(reterr, HF_E_EXPORT_LEASE_LOST, "the lease went away before it was ready")
                                  : code;
}

/* ---- asking for it ---------------------------------------------------------------------------------------------- */
static hf_code ask_once(hf_vsphere *v, const char *method, const hf_moref *of, hf_moref *ret, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, method, of);
    hf_soap_end(body, method);
    hf_code code = hf_vsphere_call(v, &answer, reterr);
    if (code)
        return code;
    bool good = hf_xml_ref(hf_xml_child(answer.response, "returnval"), ret);
    hf_soap_answer_done(&answer);
    return good ? HF_OK : hf_fail(reterr, HF_E_PROTOCOL, "%s was answered without a lease", method);
}

/* Another task of the VM may be over in a moment. */
static hf_code ask(hf_vsphere *v, const char *method, const hf_moref *of, hf_moref *ret, hf_err *reterr) {
    hf_err err = {0};
    hf_code code = HF_OK;
    for (int i = 0; i < BUSY_TRIES; i++) {
        if (i > 0 && (code = hf_vsphere_pause(v, BUSY_PAUSE_MS << (i - 1), &err)))
            break;
        code = ask_once(v, method, of, ret, &err);
        if (code != HF_E_BUSY)
            break;
    }
    if (code && reterr)
        *reterr = err;
    return code;
}

static void abort_quietly(hf_vsphere *v, const hf_lease *lease, const char *why) {
    const atomic_bool *flag = v->cancel;
    const char *fault = v->fault;
    v->cancel = NULL;
    hf_lease_abort(v, lease, why, NULL);
    v->cancel = flag;
    v->fault = fault;
}

static hf_code export(hf_vsphere *v, const char *method, const hf_moref *of, const hf_vsphere_vm *vm, hf_lease *ret,
                      hf_err *reterr) {
    hf_err err = {0};
    hf_lease lease = {.vm = vm->ref, .files = hf_alloc(HF_LEASE_FILES_MAX * sizeof *lease.files)};
    if (!lease.files)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the files of a lease");
    hf_code code = ask(v, method, of, &lease.ref, &err);
    if (!code && (code = wait_ready(v, vm, &lease, &err)))
        abort_quietly(v, &lease, err.detail);
    if (!code) {
        *ret = lease;
        return HF_OK;
    }
    hf_lease_done(&lease);
    hf_context(&err, "%s of VM %s", method, vm->machine.name);
    if (reterr)
        *reterr = err;
    return code;
}

hf_code hf_lease_export_vm(hf_vsphere *v, const hf_vsphere_vm *vm, hf_lease *ret, hf_err *reterr) {
    return export(v, "ExportVm", &vm->ref, vm, ret, reterr);
}

hf_code hf_lease_export_snapshot(hf_vsphere *v, const hf_vsphere_vm *vm, const hf_moref *snapshot, hf_lease *ret,
                                 hf_err *reterr) {
    return export(v, "ExportSnapshot", snapshot, vm, ret, reterr);
}

/* ---- ending it --------------------------------------------------------------------------------------------------- */
hf_code hf_lease_complete(hf_vsphere *v, const hf_lease *lease, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "HttpNfcLeaseComplete", &lease->ref);
    hf_soap_end(body, "HttpNfcLeaseComplete");
    hf_code code = hf_lease_error(v, lease, hf_vsphere_call(v, &answer, reterr), reterr);
    hf_soap_answer_done(&answer);
    return code;
}

/* The longest beginning of text that ends at a character and has no control characters. */
static hf_str tellable(const char *text, uint32_t max) {
    hf_str s = {text, 0};
    while (s.len < max && (unsigned char)text[s.len] >= 0x20)
        s.len++;
    while (s.len > 0 && s.len == max && ((unsigned char)text[s.len] & 0xc0) == 0x80)
        s.len--;
    return s;
}

hf_code hf_lease_abort(hf_vsphere *v, const hf_lease *lease, const char *why, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "HttpNfcLeaseAbort", &lease->ref);
    hf_soap_open(body, "fault", NULL);
    hf_soap_open(body, "fault", "SystemError");
    hf_soap_text(body, "reason", tellable(why, 200));
    hf_soap_close(body, "fault");
    hf_soap_text(body, "localizedMessage", tellable(why, 200));
    hf_soap_close(body, "fault");
    hf_soap_end(body, "HttpNfcLeaseAbort");
    hf_code code = hf_vsphere_call_within(v, HF_SOAP_ANSWER_MAX, HF_LOGOUT_MS, &answer, reterr);
    hf_soap_answer_done(&answer);
    return code && strcmp(v->fault, "ManagedObjectNotFound") == 0 ? HF_OK : code; /* it is over already */
}

/* ---- its descriptor ---------------------------------------------------------------------------------------------- */
static void write_files(hf_buf *body, const hf_lease *lease, const char *const *names, const int64_t *bytes) {
    for (uint32_t i = 0; i < lease->file_count; i++) {
        const hf_lease_file *f = &lease->files[i];
        if (!names[i])
            continue;
        hf_soap_open(body, "ovfFiles", NULL);
        hf_soap_text(body, "deviceId", hf_str_of(f->key));
        hf_soap_text(body, "path", hf_str_of(names[i]));
        hf_soap_int(body, "size", bytes[i]);
        if (f->capacity_bytes > 0)
            hf_soap_int(body, "capacity", f->capacity_bytes);
        if (f->populated_bytes > 0)
            hf_soap_int(body, "populatedSize", f->populated_bytes);
        hf_soap_close(body, "ovfFiles");
    }
}

static hf_code take_descriptor(hf_vsphere *v, const hf_soap_answer *answer, hf_buf *to, hf_err *reterr) {
    const xmlNode *result = hf_xml_child(answer->response, "returnval");
    const xmlNode *error = hf_xml_child(result, "error"), *text = hf_xml_child(result, "ovfDescriptor");
    if (error)
        return hf_vsphere_localized_fault(error, &v->fault, reterr);
    xmlChar *content = text ? xmlNodeGetContent(text) : NULL;
    size_t len = content ? strlen((const char *)content) : 0;
    hf_code code = HF_OK;
    if (len == 0)
        code = hf_fail(reterr, HF_E_UNSUPPORTED, "the server gives an empty descriptor");
    else if (len > HF_LEASE_DESCRIPTOR_MAX)
        code = hf_fail(reterr, HF_E_LIMIT, "the server's descriptor has %zu bytes; at most %d are taken", len,
                       HF_LEASE_DESCRIPTOR_MAX);
    else if (!hf_buf_put(to, content, len))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the descriptor");
    xmlFree(content);
    return code;
}

hf_code hf_lease_descriptor(hf_vsphere *v, const hf_lease *lease, const char *vm_name, const char *const *file_names,
                            const int64_t *file_bytes, hf_buf *to, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    if (!v->session->content.ovf.value[0])
        return hf_fail(reterr, HF_E_UNSUPPORTED, "endpoint %s has no OvfManager", v->session->endpoint.name);
    hf_soap_begin(body, "CreateDescriptor", &v->session->content.ovf);
    hf_soap_ref(body, "obj", &lease->vm);
    hf_soap_open(body, "cdp", NULL);
    write_files(body, lease, file_names, file_bytes);
    hf_soap_text(body, "name", hf_str_of(vm_name));
    hf_soap_close(body, "cdp");
    hf_soap_end(body, "CreateDescriptor");
    hf_code code = hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr);
    if (!code)
        code = take_descriptor(v, &answer, to, reterr);
    hf_soap_answer_done(&answer);
    return code ? hf_context(reterr, "CreateDescriptor") : HF_OK;
}
