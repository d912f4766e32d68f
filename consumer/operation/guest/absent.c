/* A build without libguestfs: guest operations are not offered, and say so by name. */
#include "consumer/operation/guest/inspect.h"
#include "consumer/operation/guest/possible.h"

static const char why_not[] = "this build has no libguestfs: build it again where libguestfs-dev is installed";

bool hf_guest_possible(const char **ret_why) {
    if (ret_why)
        *ret_why = why_not;
    return false;
}

static hf_code absent(const char *operation, hf_str *ret_phase, hf_err *reterr) {
    *ret_phase = HF_STR("prepare");
    return hf_fail(reterr, HF_E_CAPABILITY, "%s needs libguestfs's appliance: %s", operation, why_not);
}

#define ABSENT(function, name)                                                                                         \
    hf_code function(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {                          \
        (void)run;                                                                                                     \
        (void)ret_result;                                                                                              \
        return absent(name, ret_phase, reterr);                                                                        \
    }
ABSENT(hf_op_fs_repair, "fs_repair")
ABSENT(hf_op_lvm_repair, "lvm_repair")
ABSENT(hf_op_boot_repair, "boot_repair")
ABSENT(hf_op_initramfs_regenerate, "initramfs_regenerate")
ABSENT(hf_op_selinux_prep, "selinux_prep")
ABSENT(hf_op_offline_fix, "offline_fix")
ABSENT(hf_guest_inspect, "inspect with parameters.guest")
