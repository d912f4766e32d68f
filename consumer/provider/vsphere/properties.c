#include "consumer/provider/vsphere/properties.h"

xmlNode *hf_property(const xmlNode *object, const char *path) {
    for (xmlNode *set = hf_xml_child(object, "propSet"); set; set = hf_xml_next(object, "propSet", set))
        if (hf_str_eqz(hf_xml_text(hf_xml_child(set, "name")), path))
            return hf_xml_child(set, "val");
    return NULL;
}

static void write_query(hf_vsphere *v, const hf_property_query *q, const hf_moref *objects, size_t count) {
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "RetrievePropertiesEx", &hf_vsphere_about(v)->collector);
    hf_soap_open(body, "specSet", NULL);
    hf_soap_open(body, "propSet", NULL);
    hf_soap_text(body, "type", hf_str_of(q->type));
    for (size_t i = 0; i < q->path_count; i++)
        hf_soap_text(body, "pathSet", hf_str_of(q->paths[i]));
    hf_soap_close(body, "propSet");
    for (size_t i = 0; i < count; i++) {
        hf_soap_open(body, "objectSet", NULL);
        hf_soap_ref(body, "obj", &objects[i]);
        hf_soap_close(body, "objectSet");
    }
    hf_soap_close(body, "specSet");
    hf_soap_open(body, "options", NULL);
    hf_soap_int(body, "maxObjects", hf_vsphere_endpoint(v)->page_size);
    hf_soap_close(body, "options");
    hf_soap_end(body, "RetrievePropertiesEx");
}

static void write_continue(hf_vsphere *v, const char *token) {
    hf_buf *body = hf_vsphere_request(v);
    hf_soap_begin(body, "ContinueRetrievePropertiesEx", &hf_vsphere_about(v)->collector);
    hf_soap_text(body, "token", hf_str_of(token));
    hf_soap_end(body, "ContinueRetrievePropertiesEx");
}

/* One answer's objects; token is "" behind the last page. */
static hf_code take_page(const hf_soap_answer *answer, hf_object_fn each, void *ctx, char *token, size_t token_size,
                         hf_err *reterr) {
    const xmlNode *page = hf_xml_child(answer->response, "returnval");
    hf_code code = HF_OK;
    for (xmlNode *o = hf_xml_child(page, "objects"); o && !code; o = hf_xml_next(page, "objects", o))
        code = each(ctx, o, reterr);
    if (!code && !hf_xml_copy(hf_xml_child(page, "token"), token, token_size))
        code = hf_fail(reterr, HF_E_PROTOCOL, "a page's token has more than %zu bytes", token_size);
    return code;
}

hf_code hf_properties_of(hf_vsphere *v, const hf_property_query *query, const hf_moref *objects, size_t count,
                         hf_object_fn each, void *ctx, hf_err *reterr) {
    char token[256] = "";
    size_t pages = 0;
    do {
        hf_soap_answer answer = {0};
        if (*token)
            write_continue(v, token);
        else
            write_query(v, query, objects, count);
        /* a continuation takes its token with it: it cannot be asked for twice */
        hf_code code = *token ? hf_vsphere_call_within(v, HF_SOAP_PAGE_MAX, 0, &answer, reterr)
                              : hf_vsphere_ask(v, HF_SOAP_PAGE_MAX, &answer, reterr);
        if (code)
            return code;
        code = take_page(&answer, each, ctx, token, sizeof token, reterr);
        hf_soap_answer_done(&answer);
        if (code)
            return code;
        if (++pages > count + 1)
            return hf_fail(reterr, HF_E_PROTOCOL, "the server sends more pages than there are objects");
    } while (*token);
    return HF_OK;
}
