/* Tasks and snapshots. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/fault.h"
#include "consumer/provider/vsphere/lease.h"
#include "consumer/provider/vsphere/wait.h"
#include "schemas/base/mem.h"

enum { TREE_DEPTH_MAX = 200 };

/* ---- tasks ---------------------------------------------------------------------------------------------------- */
typedef struct task {
    hf_vsphere *v;
    char state[16];
    hf_moref result;
    bool failed;
    hf_err error;
    const char *fault;
} task;

static hf_code task_change(void *ctx, const char *path, const xmlNode *val, hf_err *reterr) {
    task *t = ctx;
    (void)reterr;
    if (strcmp(path, "info.state") == 0)
        hf_xml_copy(val, t->state, sizeof t->state);
    else if (strcmp(path, "info.result") == 0)
        hf_xml_ref(val, &t->result);
    else if (strcmp(path, "info.error") == 0 && val) {
        t->failed = true;
        hf_vsphere_localized_fault(val, &t->fault, &t->error);
    }
    return HF_OK;
}

static hf_code task_judge(void *ctx, bool *ret_done, hf_err *reterr) {
    task *t = ctx;
    *ret_done = strcmp(t->state, "success") == 0;
    if (strcmp(t->state, "error") != 0)
        return HF_OK;
    if (!t->failed)
        return hf_fail(reterr, HF_E_PROVIDER_FAULT, "the task failed, and the server does not say why");
    t->v->fault = t->fault;
    if (reterr)
        *reterr = t->error;
    return t->error.code;
}

/* Best effort, whatever the flag says: nobody waits for this task any more. */
static void cancel_task(hf_vsphere *v, const hf_moref *ref) {
    hf_soap_answer answer = {0};
    const atomic_bool *flag = v->cancel;
    const char *fault = v->fault;
    hf_buf *body = hf_vsphere_request(v);
    v->cancel = NULL;
    hf_soap_begin(body, "CancelTask", ref);
    hf_soap_end(body, "CancelTask");
    hf_vsphere_call_within(v, HF_SOAP_ANSWER_MAX, HF_LOGOUT_MS, &answer, NULL);
    hf_soap_answer_done(&answer);
    v->cancel = flag;
    v->fault = fault;
}

hf_code hf_task_wait(hf_vsphere *v, const hf_moref *ref, int64_t timeout_ms, hf_moref *ret_result, hf_err *reterr) {
    static const char *const paths[] = {"info.state", "info.result", "info.error"};
    task t = {.v = v};
    hf_wait wait = {.type = "Task",
                    .paths = paths,
                    .path_count = HF_ARRAY_LEN(paths),
                    .timeout_ms = timeout_ms,
                    .change = task_change,
                    .judge = task_judge,
                    .ctx = &t};
    hf_code code = hf_wait_for(v, ref, &wait, reterr);
    if (code == HF_E_CANCELLED || code == HF_E_TIMEOUT)
        cancel_task(v, ref);
    if (!code && ret_result)
        *ret_result = t.result;
    return code;
}

/* Sends the request that was written, and waits for the task it starts. */
static hf_code run_task(hf_vsphere *v, hf_moref *ret_result, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_moref ref;
    hf_code code = hf_vsphere_call(v, &answer, reterr);
    if (code)
        return code;
    bool good = hf_xml_ref(hf_xml_child(answer.response, "returnval"), &ref);
    hf_soap_answer_done(&answer);
    if (!good)
        return hf_fail(reterr, HF_E_PROTOCOL, "endpoint %s gives no task", v->session->endpoint.name);
    return hf_task_wait(v, &ref, v->session->endpoint.task_wait_ms, ret_result, reterr);
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */
hf_code hf_snapshot_create(hf_vsphere *v, const hf_moref *vm, const hf_snapshot_options *options, hf_moref *ret,
                           hf_err *reterr) {
    hf_moref made = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "CreateSnapshot_Task", vm);
    hf_soap_text(body, "name", options->name);
    hf_soap_text(body, "description", options->description);
    hf_soap_bool(body, "memory", false);
    hf_soap_bool(body, "quiesce", options->quiesce);
    hf_soap_end(body, "CreateSnapshot_Task");
    hf_code code = run_task(v, &made, reterr);
    if (!code && strcmp(made.type, "VirtualMachineSnapshot") != 0)
        code = hf_fail(reterr, HF_E_PROTOCOL, "the task ended well, and names no snapshot");
    if (code)
        return hf_context(reterr, "snapshot of VM %s", vm->value);
    *ret = made;
    return HF_OK;
}

hf_code hf_snapshot_remove(hf_vsphere *v, const hf_moref *snapshot, hf_err *reterr) {
    hf_err err = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "RemoveSnapshot_Task", snapshot);
    hf_soap_bool(body, "removeChildren", false);
    hf_soap_bool(body, "consolidate", true);
    hf_soap_end(body, "RemoveSnapshot_Task");
    hf_code code = run_task(v, NULL, &err);
    if (!code || strcmp(v->fault, "ManagedObjectNotFound") == 0)
        return HF_OK;
    hf_context(&err, "removing snapshot %s", snapshot->value);
    if (reterr)
        *reterr = err;
    return code;
}

/* ---- looking for them --------------------------------------------------------------------------------------------- */
typedef struct search {
    hf_str prefix;
    hf_vsphere_snapshot *to;
    uint32_t max, count;
} search;

static void look(search *s, const xmlNode *node, int32_t depth) {
    hf_vsphere_snapshot found = {.depth = depth};
    hf_str name = hf_xml_text(hf_xml_child(node, "name"));
    if (hf_str_starts(name, s->prefix) && hf_xml_ref(hf_xml_child(node, "snapshot"), &found.ref)) {
        hf_xml_copy(hf_xml_child(node, "name"), found.name, sizeof found.name);
        found.quiesced = hf_xml_bool(hf_xml_child(node, "quiesced"), false);
        if (s->count < s->max)
            s->to[s->count] = found;
        s->count++;
    }
    if (depth < TREE_DEPTH_MAX)
        for (xmlNode *c = hf_xml_child(node, "childSnapshotList"); c; c = hf_xml_next(node, "childSnapshotList", c))
            look(s, c, depth + 1);
}

static hf_code take_tree(void *ctx, const xmlNode *object, hf_err *reterr) {
    const xmlNode *tree = hf_property(object, "snapshot");
    (void)reterr;
    for (xmlNode *n = hf_xml_child(tree, "rootSnapshotList"); n; n = hf_xml_next(tree, "rootSnapshotList", n))
        look(ctx, n, 0);
    return HF_OK;
}

hf_code hf_snapshot_find(hf_vsphere *v, const hf_moref *vm, hf_str prefix, hf_vsphere_snapshot *ret, uint32_t max,
                         uint32_t *ret_count, hf_err *reterr) {
    static const char *const path[] = {"snapshot"};
    const hf_property_query query = {"VirtualMachine", path, 1};
    search s = {.prefix = prefix, .to = ret, .max = max};
    hf_code code = hf_properties_of(v, &query, vm, 1, take_tree, &s, reterr);
    if (code)
        return hf_context(reterr, "snapshots of VM %s", vm->value);
    *ret_count = s.count;
    return HF_OK;
}
