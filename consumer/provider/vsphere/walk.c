#include "consumer/provider/vsphere/walk.h"

#include <stdio.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "schemas/base/arena.h"
#include "schemas/base/mem.h"

/* ---- the view's list ------------------------------------------------------------------------------------------ */
typedef struct vm_list {
    hf_arena arena;
    char **values; /* of the morefs */
    size_t count, room;
    const char *endpoint;
} vm_list;

static hf_code add(vm_list *list, const hf_moref *ref, hf_err *reterr) {
    if (list->count == HF_VSPHERE_VMS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "endpoint %s shows more than %d VMs: name a folder as vm_path",
                       list->endpoint, HF_VSPHERE_VMS_MAX);
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 256;
        char **more = hf_realloc(list->values, room * sizeof *more);
        if (!more)
            return hf_fail(reterr, HF_E_NO_MEMORY, "the list of VMs");
        list->values = more;
        list->room = room;
    }
    hf_str value = hf_arena_str(&list->arena, hf_str_of(ref->value));
    if (!value.p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of VMs");
    union {
        const char *given;
        char *kept; /* the arena's own copy */
    } text = {.given = value.p};
    list->values[list->count++] = text.kept;
    return HF_OK;
}

static hf_code take_list(void *ctx, const xmlNode *object, hf_err *reterr) {
    const xmlNode *list = hf_property(object, "view");
    hf_code code = HF_OK;
    hf_moref ref;
    for (xmlNode *n = hf_xml_child(list, NULL); n && !code; n = hf_xml_next(list, NULL, n))
        if (hf_xml_ref(n, &ref) && strcmp(ref.type, "VirtualMachine") == 0)
            code = add(ctx, &ref, reterr);
    return code;
}

static hf_code create_view(hf_vsphere *v, const hf_moref *container, hf_moref *ret, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "CreateContainerView", &v->session->content.views);
    hf_soap_ref(body, "container", container);
    hf_soap_text(body, "type", HF_STR("VirtualMachine"));
    hf_soap_bool(body, "recursive", true);
    hf_soap_end(body, "CreateContainerView");
    hf_code code = hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr);
    if (code)
        return code;
    bool good = hf_xml_ref(hf_xml_child(answer.response, "returnval"), ret);
    hf_soap_answer_done(&answer);
    return good ? HF_OK : hf_fail(reterr, HF_E_PROTOCOL, "endpoint %s gives no view", v->session->endpoint.name);
}

/* What is left to the session's end if this fails. */
static void destroy_view(hf_vsphere *v, const hf_moref *view) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "DestroyView", view);
    hf_soap_end(body, "DestroyView");
    hf_vsphere_call(v, &answer, NULL);
    hf_soap_answer_done(&answer);
}

static hf_code list_once(hf_vsphere *v, const hf_moref *container, vm_list *list, hf_err *reterr) {
    static const char *const path[] = {"view"};
    const hf_property_query query = {"ContainerView", path, 1};
    hf_moref view;
    hf_code code = create_view(v, container, &view, reterr);
    if (code)
        return code;
    list->count = 0;
    code = hf_properties_of(v, &query, &view, 1, take_list, list, reterr);
    destroy_view(v, &view);
    return code;
}

/* A view goes with its session: where that ended between the calls, once more. */
static hf_code list_vms(hf_vsphere *v, const hf_moref *container, vm_list *list, hf_err *reterr) {
    uint32_t generation = v->generation;
    hf_code code = list_once(v, container, list, reterr);
    return code == HF_E_NOT_FOUND && v->generation != generation ? list_once(v, container, list, reterr) : code;
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */
typedef struct batch {
    hf_object_fn each;
    void *ctx;
    size_t delivered;
    bool refused; /* by each */
} batch;

static hf_code deliver(void *ctx, const xmlNode *object, hf_err *reterr) {
    batch *b = ctx;
    b->delivered++;
    hf_code code = b->each(b->ctx, object, reterr);
    b->refused |= code != HF_OK;
    return code;
}

/* One of them is gone, and the server refuses them all for it: one by one. */
static hf_code singly(hf_vsphere *v, const hf_property_query *query, const hf_moref *refs, size_t count, batch *b,
                      hf_err *reterr) {
    for (size_t i = 0; i < count; i++) {
        hf_code code = hf_properties_of(v, query, &refs[i], 1, deliver, b, reterr);
        if (code && (b->refused || code != HF_E_NOT_FOUND))
            return code;
    }
    return HF_OK;
}

static hf_code walk_list(hf_vsphere *v, const vm_list *list, const hf_property_query *query, batch *b, hf_moref *refs,
                         hf_err *reterr) {
    size_t step = (size_t)v->session->endpoint.page_size;
    for (size_t at = 0; at < list->count; at += step) {
        size_t n = list->count - at < step ? list->count - at : step, before = b->delivered;
        for (size_t i = 0; i < n; i++) {
            refs[i] = (hf_moref){.type = "VirtualMachine"};
            snprintf(refs[i].value, sizeof refs[i].value, "%s", list->values[at + i]);
        }
        hf_code code = hf_properties_of(v, query, refs, n, deliver, b, reterr);
        if (code == HF_E_NOT_FOUND && !b->refused && b->delivered == before)
            code = singly(v, query, refs, n, b, reterr);
        if (code)
            return code;
    }
    return HF_OK;
}

hf_code hf_walk(hf_vsphere *v, const hf_moref *container, const hf_property_query *query, hf_object_fn each, void *ctx,
                uint32_t *ret_unreadable, hf_err *reterr) {
    vm_list list = {.endpoint = v->session->endpoint.name};
    batch b = {.each = each, .ctx = ctx};
    hf_auto_free hf_moref *refs = hf_alloc((size_t)v->session->endpoint.page_size * sizeof *refs);
    if (!refs)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a page of VMs");
    hf_arena_init(&list.arena, (size_t)HF_VSPHERE_VMS_MAX * 256);
    hf_code code = list_vms(v, container, &list, reterr);
    if (!code)
        code = walk_list(v, &list, query, &b, refs, reterr);
    if (!code && ret_unreadable)
        *ret_unreadable = (uint32_t)(list.count - (b.delivered < list.count ? b.delivered : list.count));
    free(list.values);
    hf_arena_done(&list.arena);
    return code;
}

hf_code hf_walk_count(hf_vsphere *v, const hf_moref *container, size_t *ret_count, hf_moref *ret_first,
                      hf_err *reterr) {
    vm_list list = {.endpoint = v->session->endpoint.name};
    hf_arena_init(&list.arena, (size_t)HF_VSPHERE_VMS_MAX * 256);
    hf_code code = list_vms(v, container, &list, reterr);
    if (!code) {
        *ret_count = list.count;
        *ret_first = (hf_moref){.type = "VirtualMachine"};
        snprintf(ret_first->value, sizeof ret_first->value, "%s", list.count ? list.values[0] : "");
    }
    free(list.values);
    hf_arena_done(&list.arena);
    return code;
}
