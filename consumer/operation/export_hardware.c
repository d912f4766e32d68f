/* The machine an export describes: what the provider knows of it, and what the job's parameters say instead. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/export.h"
#include "schemas/base/mem.h"

static hf_code int_parameter(const json_t *parameters, const char *name, int32_t otherwise, int32_t max, int32_t *ret,
                             hf_err *reterr) {
    const json_t *value = json_object_get(parameters, name);
    json_int_t n = value ? json_integer_value(value) : otherwise;
    if (n < 1 || n > max)
        return hf_fail(reterr, HF_E_INVALID, "parameters.%s must be a whole number from 1 to %" PRId32, name, max);
    *ret = (int32_t)n;
    return HF_OK;
}

hf_code hf_export_choose_hardware(hf_export *x, const json_t *parameters, hf_err *reterr) {
    hf_machine *m = &x->machine;
    *m = x->vm.machine;
    const char *os = json_string_value(json_object_get(parameters, "os_type"));
    if (os || !m->os_type[0])
        snprintf(m->os_type, sizeof m->os_type, "%s", os ? os : "otherGuest64");
    hf_code rc = int_parameter(parameters, "cpus", m->cpus ? m->cpus : 1, 1024, &m->cpus, reterr);
    return rc == HF_OK ? int_parameter(parameters, "memory_mb", m->memory_mb ? m->memory_mb : 1024, 64 << 20,
                                       &m->memory_mb, reterr)
                       : rc;
}

void hf_export_ovf(const hf_export *x, hf_ovf_disk *disks, hf_ovf *ret) {
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        disks[i] = (hf_ovf_disk){.file_name = x->disks[i].file_name,
                                 .file_bytes = x->disks[i].file_bytes,
                                 .capacity_bytes = x->vm.disks[i].source->size_bytes,
                                 .populated_bytes = x->disks[i].populated_bytes};
    *ret = (hf_ovf){.name = x->vm_name,
                    .os_type = x->machine.os_type,
                    .cpus = x->machine.cpus,
                    .memory_mb = x->machine.memory_mb,
                    .disks = disks,
                    .disk_count = x->vm.disk_count};
}
