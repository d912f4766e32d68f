/* vsphere_faults.def: what a fault means. */
#include <stdio.h>

#include "consumer/provider/vsphere/fault.h"
#include "consumer/provider/vsphere/soap.h"
#include "schemas/base/mem.h"

static const hf_vsphere_fault_row rows[] = {
#define HF_VSPHERE_FAULT(name, code, remedy) {name, HF_E_##code, remedy},
#include "consumer/provider/vsphere/vsphere_faults.def"
#undef HF_VSPHERE_FAULT
};

const hf_vsphere_fault_row *hf_vsphere_fault_find(const char *name) {
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* "InvalidLoginFault" is the element, "InvalidLogin" the type: either may be all there is. */
static void type_of_element(const xmlNode *node, char *to, size_t size) {
    size_t n = strlen((const char *)node->name);
    if (n > 5 && strcmp((const char *)node->name + n - 5, "Fault") == 0)
        n -= 5;
    snprintf(to, size, "%.*s", (int)n, (const char *)node->name);
}

static void put_extra(const xmlNode *fault, char *to, size_t size) {
    static const char *const members[] = {"privilegeId", "invalidProperty", "existingState", "name", "obj"};
    size_t n = 0;
    to[0] = 0;
    for (size_t i = 0; i < HF_ARRAY_LEN(members); i++) {
        hf_str text = hf_xml_text(hf_xml_child(fault, members[i]));
        if (text.len == 0 || n + 40 > size)
            continue;
        int wrote = snprintf(to + n, size - n, "%s%s %.*s", n ? ", " : " (", members[i],
                             (int)(text.len < 60 ? text.len : 60), text.p);
        n += wrote > 0 ? (size_t)wrote : 0;
        n = n < size ? n : size - 1;
    }
    if (n > 0 && n + 1 < size)
        memcpy(to + n, ")", 2);
}

hf_code hf_vsphere_fault_fail(const xmlNode *fault, const char *type, hf_str message, const char **ret_name,
                              hf_err *reterr) {
    char extra[160], name[64];
    const hf_vsphere_fault_row *row = hf_vsphere_fault_find(type);
    snprintf(name, sizeof name, "%s", *type ? type : "fault without a type");
    put_extra(fault, extra, sizeof extra);
    *ret_name = row ? row->name : "";
    int shown = message.len > 160 ? 160 : (int)message.len;
    while (shown > 0 && shown < (int)message.len && ((unsigned char)message.p[shown] & 0xc0) == 0x80)
        shown--;
    return hf_fail(reterr, row ? row->code : HF_E_PROVIDER_FAULT, "vSphere fault %s%s%s%.*s: %s", name, extra,
                   shown ? ": " : "", shown, message.p ? message.p : "",
                   row ? row->remedy : "see the server's log of events");
}

hf_code hf_soap_fault(const hf_soap_answer *answer, const char **ret_name, hf_err *reterr) {
    const xmlNode *fault = hf_xml_child(hf_xml_child(answer->fault, "detail"), NULL);
    hf_str message = hf_xml_text(hf_xml_child(answer->fault, "faultstring"));
    char type[64];
    snprintf(type, sizeof type, "%s", fault ? hf_xml_type(fault) : "");
    if (fault && !*type)
        type_of_element(fault, type, sizeof type);
    return hf_vsphere_fault_fail(fault, type, message, ret_name, reterr);
}

hf_code hf_vsphere_localized_fault(const xmlNode *node, const char **ret_name, hf_err *reterr) {
    const xmlNode *fault = hf_xml_child(node, "fault");
    return hf_vsphere_fault_fail(fault, hf_xml_type(fault), hf_xml_text(hf_xml_child(node, "localizedMessage")),
                                 ret_name, reterr);
}
