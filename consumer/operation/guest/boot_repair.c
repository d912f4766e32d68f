/* Operation boot_repair: a guest whose disks come to another bus, or to a firmware that has forgotten it, boots again. Tables and command lines name
 * devices by what is on them; the boot loader is where the firmware looks, its configuration names what is there. Only what is wrong is
 * touched, so that a second run changes nothing. */
#include <string.h>

#include "consumer/operation/guest/boot.h"
#include "schemas/base/mem.h"

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    const json_t *kernel = json_object_get(parameters, "kernel");
    const char *version = json_string_value(kernel);
    if (kernel && (!version || !*version || strlen(version) > 100 || strpbrk(version, " \t\n\"'`$\\/>")))
        return hf_fail(reterr, HF_E_INVALID,
                       "parameters.kernel must be the version of an installed kernel, such as \"6.1.0-9-amd64\"");
    hf_boot *boot = hf_alloc(sizeof *boot);
    if (!boot)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    *hf_guest_own(x, HF_GUEST_BOOT) = boot;
    if (version)
        memcpy(boot->kernel, version, strlen(version));
    hf_code rc = hf_guest_flag(parameters, "force", &boot->force, reterr);
    return rc == HF_OK ? hf_guest_flag(parameters, "nofail", &boot->nofail, reterr) : rc;
}

static const hf_guest_step steps[] = {
    {"fstab", "names the file systems in /etc/fstab by UUID", hf_boot_fstab},
    {"crypttab", "names the volumes in /etc/crypttab by UUID", hf_boot_crypttab},
    {"kernel_command_line", "names root and resume devices by what lasts", hf_boot_command_line},
    {"boot_loader", "looks at the boot loader, and puts back what is gone", hf_boot_loader},
    {"default_entry", "looks whether the default entry is there", hf_boot_default},
    {NULL, NULL, NULL}};
const hf_guest_plan hf_boot_repair_plan = {
    .operation = "boot_repair", .steps = steps, .needs_os = true, .prepare = prepare};

hf_code hf_op_boot_repair(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_boot_repair_plan, ret_result, ret_phase, reterr);
}
