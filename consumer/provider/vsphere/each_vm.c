/* All VMs at or below an inventory path. */
#include <stdio.h>

#include "consumer/provider/vsphere/client_inside.h"
#include "consumer/provider/vsphere/hardware.h"
#include "consumer/provider/vsphere/walk.h"
#include "schemas/base/mem.h"

typedef struct walk {
    hf_vsphere *v;
    hf_code (*each)(void *ctx, const hf_vsphere_vm *vm, hf_err *reterr);
    void *ctx;
    hf_str prefix; /* of the path without its first slash; "" all */
    hf_vsphere_vm *vm;
    uint32_t matched;
} walk;

static hf_code take(void *ctx, const xmlNode *object, hf_err *reterr) {
    walk *w = ctx;
    hf_code code = hf_vm_of_object(w->v, object, w->vm, reterr);
    if (code || !hf_str_starts(hf_str_of(w->vm->path + (w->vm->path[0] == '/')), w->prefix))
        return code;
    w->matched++;
    return w->each(w->ctx, w->vm, reterr);
}

/* What stands at the path; where nothing does, its last part is the beginning of names in the folder above. */
static hf_code find_container(walk *w, hf_str below, hf_moref *ret, hf_err *reterr) {
    hf_err err = {0};
    while (below.len > 0 && below.p[0] == '/')
        below = (hf_str){below.p + 1, below.len - 1};
    while (below.len > 0 && below.p[below.len - 1] == '/')
        below.len--;
    if (below.len == 0) {
        *ret = w->v->session->content.root;
        return HF_OK;
    }
    hf_code code = hf_find_by_path(w->v, below, ret, &err);
    hf_str folder = below;
    while (folder.len > 0 && folder.p[folder.len - 1] != '/')
        folder.len--;
    if (code == HF_E_NOT_FOUND && folder.len > 0 && hf_find_by_path(w->v, folder, ret, NULL) == HF_OK) {
        w->prefix = below;
        return HF_OK;
    }
    if (code && reterr)
        *reterr = err;
    return code;
}

hf_code hf_vsphere_each_vm(hf_vsphere *v, hf_str below, hf_code (*each)(void *, const hf_vsphere_vm *, hf_err *),
                           void *ctx, uint32_t *ret_unreadable, hf_err *reterr) {
    hf_auto_free hf_vsphere_vm *vm = hf_alloc(sizeof *vm);
    walk w = {.v = v, .each = each, .ctx = ctx, .vm = vm};
    hf_moref container;
    uint32_t unreadable = 0;
    if (!vm)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VM");
    hf_code code = find_container(&w, below, &container, reterr);
    if (code)
        return code;
    if (strcmp(container.type, "VirtualMachine") == 0) {
        code = hf_vsphere_read_vm(v, &container, vm, reterr);
        w.matched = 1;
        code = code ? code : each(ctx, vm, reterr);
    } else
        code = hf_walk(v, &container, &HF_VM_QUERY, take, &w, &unreadable, reterr);
    if (!code && w.prefix.len && w.matched == 0)
        code = hf_fail(reterr, HF_E_NOT_FOUND, "endpoint %s has nothing at, and no VM whose path begins with, %.*s",
                       v->session->endpoint.name, HF_STR_ARG(below));
    if (!code && ret_unreadable)
        *ret_unreadable = unreadable;
    return code;
}
