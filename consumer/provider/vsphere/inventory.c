/* One VM: found, and read. */
#include "consumer/provider/vsphere/inventory.h"

#include <inttypes.h>
#include <stdio.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/hardware.h"
#include "consumer/provider/vsphere/names.h"
#include "consumer/provider/vsphere/walk.h"
#include "schemas/base/mem.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */
hf_code hf_vm_of_object(hf_vsphere *v, const xmlNode *object, hf_vsphere_vm *ret, hf_err *reterr) {
    hf_nic_groups groups;
    hf_machine *m = &ret->machine;
    hf_code code = hf_hardware_read(object, ret, &groups, reterr);
    for (uint32_t i = 0; i < m->nic_count && !code; i++) {
        char name[sizeof m->nics->network] = "";
        code = groups.group[i].value[0] ? hf_names_of(v, &groups.group[i], name, sizeof name, reterr) : HF_OK;
        if (*name)
            memcpy(m->nics[i].network, name, sizeof name);
    }
    if (!code && ret->host_ref.value[0])
        code = hf_names_of(v, &ret->host_ref, ret->host, sizeof ret->host, reterr);
    return code ? code : hf_names_path(v, &ret->parent, m->name, ret->path, sizeof ret->path, reterr);
}

typedef struct one_vm {
    hf_vsphere *v;
    hf_vsphere_vm *vm;
    bool found;
} one_vm;

static hf_code take_vm(void *ctx, const xmlNode *object, hf_err *reterr) {
    one_vm *one = ctx;
    one->found = true;
    return hf_vm_of_object(one->v, object, one->vm, reterr);
}

hf_code hf_vsphere_read_vm(hf_vsphere *v, const hf_moref *ref, hf_vsphere_vm *ret, hf_err *reterr) {
    one_vm one = {.v = v, .vm = ret};
    hf_code code = hf_properties_of(v, &HF_VM_QUERY, ref, 1, take_vm, &one, reterr);
    if (!code && !one.found)
        code =
            hf_fail(reterr, HF_E_NOT_FOUND, "endpoint %s: it is gone, or may not be read", v->session->endpoint.name);
    return code ? hf_context(reterr, "VM %s", ref->value) : HF_OK;
}

/* ---- finding ------------------------------------------------------------------------------------------------ */
hf_code hf_find_by_path(hf_vsphere *v, hf_str path, hf_moref *ret, hf_err *reterr) {
    hf_soap_answer answer = {0};
    hf_buf *body = hf_vsphere_request(v);
    while (path.len > 0 && path.p[0] == '/')
        path = (hf_str){path.p + 1, path.len - 1};
    while (path.len > 0 && path.p[path.len - 1] == '/')
        path.len--;
    hf_soap_begin(body, "FindByInventoryPath", &v->session->content.search);
    hf_soap_text(body, "inventoryPath", path);
    hf_soap_end(body, "FindByInventoryPath");
    hf_code code = hf_vsphere_ask(v, HF_SOAP_ANSWER_MAX, &answer, reterr);
    if (code)
        return hf_context(reterr, "inventory path /%.*s", HF_STR_ARG(path));
    bool found = hf_xml_ref(hf_xml_child(answer.response, "returnval"), ret);
    hf_soap_answer_done(&answer);
    return found ? HF_OK
                 : hf_fail(reterr, HF_E_NOT_FOUND,
                           "endpoint %s has no inventory object /%.*s that its user may see; paths look like "
                           "/DATACENTER/vm/FOLDER/NAME",
                           v->session->endpoint.name, HF_STR_ARG(path));
}

static hf_code find_path(hf_vsphere *v, hf_str path, hf_moref *ret, hf_err *reterr) {
    hf_moref ref;
    hf_code code = hf_find_by_path(v, path, &ref, reterr);
    if (!code && strcmp(ref.type, "VirtualMachine") != 0)
        code =
            hf_fail(reterr, HF_E_INVALID, "%.*s is a %s, not a VM: name one VM below it", HF_STR_ARG(path), ref.type);
    if (!code)
        *ret = ref;
    return code;
}

static bool is_moref(hf_str what) {
    if (!hf_str_starts(what, HF_STR("vm-")) || what.len < 4)
        return false;
    for (uint32_t i = 3; i < what.len; i++)
        if (what.p[i] < '0' || what.p[i] > '9')
            return false;
    return true;
}

static hf_code nothing(void *ctx, const xmlNode *object, hf_err *reterr) {
    (void)ctx, (void)object, (void)reterr;
    return HF_OK;
}

static hf_code find_moref(hf_vsphere *v, hf_str value, hf_moref *ret, hf_err *reterr) {
    static const char *const name[] = {"name"};
    const hf_property_query query = {"VirtualMachine", name, 1};
    hf_moref ref = {.type = "VirtualMachine"};
    if (value.len == 0 || value.len >= sizeof ref.value)
        return hf_fail(reterr, HF_E_INVALID, "a moref has 1 to %zu bytes", sizeof ref.value - 1);
    memcpy(ref.value, value.p, value.len);
    hf_code code = hf_properties_of(v, &query, &ref, 1, nothing, NULL, reterr);
    if (code)
        return hf_context(reterr, "VM %.*s", HF_STR_ARG(value));
    *ret = ref;
    return HF_OK;
}

typedef struct search {
    hf_str name;
    uint32_t count;
    hf_moref found[HF_VSPHERE_NAMES_MAX], parents[HF_VSPHERE_NAMES_MAX];
} search;

static hf_code compare_name(void *ctx, const xmlNode *object, hf_err *reterr) {
    search *s = ctx;
    (void)reterr;
    if (!hf_str_eq(hf_xml_text(hf_property(object, "name")), s->name))
        return HF_OK;
    if (s->count < HF_VSPHERE_NAMES_MAX && hf_xml_ref(hf_xml_child(object, "obj"), &s->found[s->count]))
        hf_xml_ref(hf_property(object, "parent"), &s->parents[s->count]);
    s->count++;
    return HF_OK;
}

static hf_code ambiguous(hf_vsphere *v, const search *s, hf_err *reterr) {
    char text[320] = "", name[256], path[512];
    size_t n = 0;
    snprintf(name, sizeof name, "%.*s", HF_STR_ARG(s->name));
    for (uint32_t i = 0; i < s->count && i < HF_VSPHERE_NAMES_MAX; i++) {
        hf_code code = hf_names_path(v, &s->parents[i], name, path, sizeof path, reterr);
        if (code)
            return code;
        const char *shown = *path ? path : s->found[i].value;
        if (n + strlen(shown) + 3 >= sizeof text)
            break;
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", shown);
    }
    return hf_fail(reterr, HF_E_INVALID, "%" PRIu32 " VMs are called %.64s; give the path of one: %s%s", s->count, name,
                   text, s->count > HF_VSPHERE_NAMES_MAX ? ", ..." : "");
}

static hf_code find_name(hf_vsphere *v, hf_str name, hf_moref *ret, hf_err *reterr) {
    static const char *const name_and_parent[] = {"name", "parent"};
    const hf_property_query query = {"VirtualMachine", name_and_parent, 2};
    search *s = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "looking for VM %.*s", HF_STR_ARG(name));
    s->name = name;
    hf_code code = hf_walk(v, &v->session->content.root, &query, compare_name, s, NULL, reterr);
    if (!code && s->count > 1)
        code = ambiguous(v, s, reterr);
    else if (!code && s->count == 0)
        code = hf_fail(reterr, HF_E_NOT_FOUND, "endpoint %s has no VM called \"%.*s\" that its user may see",
                       v->session->endpoint.name, HF_STR_ARG(name));
    if (!code)
        *ret = s->found[0];
    free(s);
    return code;
}

hf_code hf_vsphere_find_vm(hf_vsphere *v, hf_str what, hf_moref *ret, hf_err *reterr) {
    if (what.len == 0)
        return hf_fail(reterr, HF_E_INVALID, "no VM is named: give its inventory path, moref or name as vm_path");
    if (hf_str_starts(what, HF_STR("moref:")))
        return find_moref(v, (hf_str){what.p + 6, what.len - 6}, ret, reterr);
    if (memchr(what.p, '/', what.len))
        return find_path(v, what, ret, reterr);
    return is_moref(what) ? find_moref(v, what, ret, reterr) : find_name(v, what, ret, reterr);
}
