/* Many VMs: those below a container, by a container view, their properties in batches of endpoint.page_size. The view's list is kept
 * (a few bytes a VM), properties of one batch at a time. A VM that goes away meanwhile is left out. */
#pragma once
#include "consumer/provider/vsphere/inventory.h"
#include "consumer/provider/vsphere/properties.h"

/* Properties of every VM below container. ret_unreadable (may be NULL): how many were gone or may not be read. */
hf_code hf_walk(hf_vsphere *v, const hf_moref *container, const hf_property_query *query, hf_object_fn each, void *ctx,
                uint32_t *ret_unreadable, hf_err *reterr);
/* Fills *ret from an <ObjectContent> of HF_VM_QUERY; asks for names with v's handle. */
hf_code hf_vm_of_object(hf_vsphere *v, const xmlNode *object, hf_vsphere_vm *ret, hf_err *reterr);
/* Whatever stands at an inventory path. */
hf_code hf_find_by_path(hf_vsphere *v, hf_str path, hf_moref *ret, hf_err *reterr);
/* How many VMs there are below container; *ret_first is one of them, empty where there is none. */
hf_code hf_walk_count(hf_vsphere *v, const hf_moref *container, size_t *ret_count, hf_moref *ret_first, hf_err *reterr);
