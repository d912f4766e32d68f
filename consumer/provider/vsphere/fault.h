/* The table of vSphere faults (vsphere_faults.def), and errors made from faults wherever they stand: in a SOAP fault, a task's or a
 * lease's `error`. */
#pragma once
#include <libxml/tree.h>

#include "schemas/base/err.h"
#include "schemas/base/str.h"

typedef struct hf_vsphere_fault_row {
    const char *name;
    hf_code code;
    const char *remedy;
} hf_vsphere_fault_row;

/* NULL for a fault that is not in the table. */
const hf_vsphere_fault_row *hf_vsphere_fault_find(const char *name);
/* The error of a fault of that type; its members that say more (a privilege, a state) are read from node (may be NULL). */
hf_code hf_vsphere_fault_fail(const xmlNode *fault, const char *type, hf_str message, const char **ret_name,
                              hf_err *reterr);
/* Of a LocalizedMethodFault: {fault xsi:type, localizedMessage}. */
hf_code hf_vsphere_localized_fault(const xmlNode *node, const char **ret_name, hf_err *reterr);
