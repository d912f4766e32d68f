/* The machine an export describes: what the provider knows of it, and what the job's parameters say instead. Nothing here touches
 * the source: a drive that is left out is left out of the descriptor. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/operation/export.h"
#include "schemas/base/mem.h"

enum {
    CPUS_MAX = 768, /* vSphere 8's largest machine */
    MEMORY_MB_MIN = 4,
    MEMORY_MB_MAX = 24 << 20,
    NETWORK_MAX = 80, /* a port group's name in vSphere */
};

static hf_code invalid(hf_err *reterr, const char *name, const char *remedy) {
    return hf_fail(reterr, HF_E_INVALID, "parameters.%s must be %s", name, remedy);
}

/* ---- values: each leaves *ret as it is where the parameter is not given --------------------------------------------- */
static hf_code int_parameter(const json_t *parameters, const char *name, int32_t min, int32_t max, int32_t *ret,
                             hf_err *reterr) {
    const json_t *value = json_object_get(parameters, name);
    json_int_t n = json_integer_value(value);
    if (!value)
        return HF_OK;
    if (!json_is_integer(value) || n < min || n > max)
        return hf_fail(reterr, HF_E_INVALID, "parameters.%s must be a whole number from %" PRId32 " to %" PRId32, name,
                       min, max);
    *ret = (int32_t)n;
    return HF_OK;
}

static hf_code bool_parameter(const json_t *parameters, const char *name, bool *ret, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, name);
    if (value && !json_is_boolean(value))
        return invalid(reterr, name, "true or false");
    if (value)
        *ret = json_is_true(value);
    return HF_OK;
}

/* A text of at most size - 1 bytes without NUL or control characters other than a new line; NULL where it is not one. */
static const char *text_value(const json_t *value, size_t size) {
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) >= size || strlen(text) != json_string_length(value))
        return NULL;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t')
            return NULL;
    return text;
}

static hf_code os_parameter(const json_t *parameters, hf_machine *m, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "os_type");
    const char *id = text_value(value, sizeof m->os_type);
    if (!value)
        return HF_OK;
    if (!id || !*id || strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(id))
        return hf_fail(reterr, HF_E_INVALID,
                       "parameters.os_type must be a guest id of VMware: 1 to %zu letters, digits and _, such as "
                       "debian12_64Guest, rhel9_64Guest, windows2019srv_64Guest or otherGuest64",
                       sizeof m->os_type - 1);
    if (strcmp(id, m->os_type) != 0)
        m->os_name[0] = 0; /* in words, of another system */
    snprintf(m->os_type, sizeof m->os_type, "%s", id);
    return HF_OK;
}

static hf_code firmware_parameters(const json_t *parameters, hf_machine *m, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "firmware");
    if (value && !hf_firmware_parse(hf_str_of(json_string_value(value)), &m->firmware))
        return invalid(reterr, "firmware", "bios or efi");
    if (m->firmware == HF_FIRMWARE_BIOS)
        m->secure_boot = false;
    hf_code rc = bool_parameter(parameters, "secure_boot", &m->secure_boot, reterr);
    if (rc != HF_OK || !m->secure_boot)
        return rc;
    if (m->firmware == HF_FIRMWARE_BIOS)
        return hf_fail(reterr, HF_E_INVALID, "parameters.secure_boot needs firmware efi, and the machine's is bios");
    m->firmware = HF_FIRMWARE_EFI;
    return HF_OK;
}

/* ---- nics -------------------------------------------------------------------------------------------------------------- */
static const char *const models[] = {"E1000", "E1000e", "VmxNet3", "VmxNet2", "VmxNet", "PCNet32"};

static bool is_mac(const char *text) {
    if (!text || strlen(text) != 17)
        return false;
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    return true;
}

static hf_code read_nic(const json_t *value, size_t index, hf_machine_nic *ret, hf_err *reterr) {
    const json_t *model = json_object_get(value, "model"), *network = json_object_get(value, "network"),
                 *mac = json_object_get(value, "mac");
    const char *name = network ? text_value(network, NETWORK_MAX + 1) : "VM Network";
    const char *kind = model ? NULL : "VmxNet3", *asked = json_string_value(model);
    for (size_t i = 0; asked && i < HF_ARRAY_LEN(models); i++)
        if (strcasecmp(asked, models[i]) == 0)
            kind = models[i];
    if (!json_is_object(value) || !kind)
        return hf_fail(reterr, HF_E_INVALID,
                       "parameters.nics[%zu].model: use one of E1000, E1000e, VmxNet3, VmxNet2, VmxNet, PCNet32",
                       index);
    if (!name || !*name)
        return hf_fail(reterr, HF_E_INVALID, "parameters.nics[%zu].network must be a name of 1 to %d bytes", index,
                       NETWORK_MAX);
    if (mac && !is_mac(json_string_value(mac)))
        return hf_fail(reterr, HF_E_INVALID, "parameters.nics[%zu].mac must be like 00:50:56:12:34:56", index);
    *ret = (hf_machine_nic){0};
    snprintf(ret->model, sizeof ret->model, "%s", kind);
    snprintf(ret->network, sizeof ret->network, "%s", name);
    snprintf(ret->mac, sizeof ret->mac, "%s", mac ? json_string_value(mac) : "");
    return HF_OK;
}

static hf_code nics_parameter(const json_t *parameters, hf_machine *m, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "nics");
    if (!value)
        return HF_OK;
    if (!json_is_array(value) || json_array_size(value) > HF_MACHINE_NICS_MAX)
        return hf_fail(reterr, HF_E_INVALID, "parameters.nics must be a list of at most %d {model, network, mac}",
                       HF_MACHINE_NICS_MAX);
    m->nic_count = 0;
    for (size_t i = 0; i < json_array_size(value); i++) {
        hf_code rc = read_nic(json_array_get(value, i), i, &m->nics[i], reterr);
        if (rc != HF_OK)
            return rc;
        m->nic_count++;
    }
    return HF_OK;
}

/* ---- the descriptor ------------------------------------------------------------------------------------------------------ */
static hf_code version_parameter(const json_t *parameters, hf_ovf_version *ret, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "ovf_version");
    hf_str text = hf_str_of(json_string_value(value));
    if (value && !hf_str_eqz(text, "1.1") && !hf_str_eqz(text, "2.0"))
        return invalid(reterr, "ovf_version", "\"1.1\" or \"2.0\"");
    *ret = hf_str_eqz(text, "2.0") ? HF_OVF_2_0 : HF_OVF_1_1;
    return HF_OK;
}

static hf_code annotation_parameter(const json_t *parameters, char *to, size_t size, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "annotation");
    const char *text = text_value(value, size);
    if (value && !text)
        return hf_fail(reterr, HF_E_INVALID, "parameters.annotation must be a text of at most %zu bytes", size - 1);
    snprintf(to, size, "%s", text ? text : "");
    return HF_OK;
}

static hf_code cpu_parameters(const json_t *parameters, hf_machine *m, hf_err *reterr) {
    int32_t cores = 0;
    hf_code rc = int_parameter(parameters, "cpus", 1, CPUS_MAX, &m->cpus, reterr);
    if (rc != HF_OK || (rc = int_parameter(parameters, "cores_per_socket", 1, CPUS_MAX, &cores, reterr)) != HF_OK)
        return rc;
    int32_t cpus = m->cpus > 0 ? m->cpus : 1;
    if (cores > 0 && cpus % cores != 0)
        return hf_fail(reterr, HF_E_INVALID,
                       "parameters.cores_per_socket is %" PRId32 ", which does not divide the machine's %" PRId32
                       " CPUs",
                       cores, cpus);
    if (cores > 0)
        m->cores_per_socket = cores;
    return HF_OK;
}

static hf_code memory_parameter(const json_t *parameters, hf_machine *m, hf_err *reterr) {
    hf_code rc = int_parameter(parameters, "memory_mb", MEMORY_MB_MIN, MEMORY_MB_MAX, &m->memory_mb, reterr);
    if (rc == HF_OK && json_object_get(parameters, "memory_mb") && m->memory_mb % 4 != 0)
        return invalid(reterr, "memory_mb", "a multiple of 4, as VMware's machines want it");
    return rc;
}

static hf_code drive_parameters(const hf_export *x, const json_t *parameters, hf_machine *m, hf_err *reterr) {
    hf_code rc = bool_parameter(parameters, "cdrom", &m->cdrom, reterr);
    if (x->run->spec->options.remove_cdrom)
        m->cdrom = false;
    return rc == HF_OK ? bool_parameter(parameters, "floppy", &m->floppy, reterr) : rc;
}

static hf_code complete(hf_export *x, const json_t *parameters, hf_err *reterr) {
    const json_t *value = json_object_get(parameters, "controller");
    hf_controller_kind kind = HF_CTL_NONE;
    if (value && !hf_controller_parse(hf_str_of(json_string_value(value)), &kind))
        return invalid(reterr, "controller", "one of ide, sata, lsilogic, lsisas, buslogic, pvscsi, nvme");
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        x->places[i] = x->vm.disks[i].place;
    hf_code rc = hf_machine_complete(&x->machine, x->places, x->vm.disk_count, kind, reterr);
    return rc == HF_OK ? rc : hf_context(reterr, "the machine's hardware");
}

hf_code hf_export_choose_hardware(hf_export *x, const json_t *parameters, hf_err *reterr) {
    hf_machine *m = &x->machine;
    *m = x->vm.machine;
    hf_code rc;
    if ((rc = os_parameter(parameters, m, reterr)) != HF_OK || (rc = cpu_parameters(parameters, m, reterr)) != HF_OK ||
        (rc = memory_parameter(parameters, m, reterr)) != HF_OK ||
        (rc = firmware_parameters(parameters, m, reterr)) != HF_OK ||
        (rc = nics_parameter(parameters, m, reterr)) != HF_OK ||
        (rc = drive_parameters(x, parameters, m, reterr)) != HF_OK ||
        (rc = version_parameter(parameters, &x->ovf_version, reterr)) != HF_OK ||
        (rc = annotation_parameter(parameters, x->annotation, sizeof x->annotation, reterr)) != HF_OK)
        return rc;
    return complete(x, parameters, reterr);
}

void hf_export_ovf(const hf_export *x, hf_ovf_disk *disks, hf_ovf *ret) {
    for (uint32_t i = 0; i < x->vm.disk_count; i++)
        disks[i] = (hf_ovf_disk){.file_name = x->disks[i].file_name,
                                 .file_bytes = x->disks[i].file_bytes,
                                 .capacity_bytes = x->vm.disks[i].source ? x->vm.disks[i].source->size_bytes
                                                                         : x->vm.disks[i].capacity_bytes,
                                 .populated_bytes = x->disks[i].populated_bytes,
                                 .place = x->places[i]};
    *ret = (hf_ovf){.name = x->vm_name,
                    .machine = &x->machine,
                    .annotation = x->annotation,
                    .version = x->ovf_version,
                    .disks = disks,
                    .disk_count = x->vm.disk_count};
}
