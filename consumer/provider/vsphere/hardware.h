/* A VM's properties as an hf_vsphere_vm. Pure: what must be asked for besides (names of hosts and port groups, the path) is left as
 * references. */
#pragma once
#include "consumer/provider/vsphere/inventory.h"
#include "consumer/provider/vsphere/properties.h"

extern const hf_property_query HF_VM_QUERY;

/* References to port groups of distributed switches: machine.nics[i].network is to be their name; value "" where it is known. */
typedef struct hf_nic_groups {
    hf_moref group[HF_MACHINE_NICS_MAX];
} hf_nic_groups;

/* What does not fit a bound (disks past HF_MAX_DISKS) is LIMIT; everything else that is missing stays empty. */
hf_code hf_hardware_read(const xmlNode *object, hf_vsphere_vm *ret, hf_nic_groups *ret_groups, hf_err *reterr);
/* "VirtualLsiLogicController" -> HF_CTL_LSILOGIC; HF_CTL_NONE for a type that is none. */
hf_controller_kind hf_hardware_controller(hf_str type);
