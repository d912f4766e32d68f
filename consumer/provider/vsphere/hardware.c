#include "consumer/provider/vsphere/hardware.h"

#include <inttypes.h>
#include <stdio.h>

#include "schemas/base/mem.h"

enum { SNAPSHOT_DEPTH_MAX = 64 };

static const char *const paths[] = {"name",
                                    "parent",
                                    "parentVApp",
                                    "runtime.powerState",
                                    "runtime.host",
                                    "config.template",
                                    "config.instanceUuid",
                                    "config.guestId",
                                    "config.guestFullName",
                                    "config.version",
                                    "config.firmware",
                                    "config.bootOptions",
                                    "config.hardware.numCPU",
                                    "config.hardware.numCoresPerSocket",
                                    "config.hardware.memoryMB",
                                    "config.hardware.device",
                                    "snapshot"};
const hf_property_query HF_VM_QUERY = {"VirtualMachine", paths, HF_ARRAY_LEN(paths)};

const char *hf_power_name(hf_power power) {
    static const char *const names[] = {"unknown", "poweredOff", "poweredOn", "suspended"};
    return names[power];
}

static hf_power power_of(const xmlNode *node) {
    for (int p = HF_POWER_OFF; p <= HF_POWER_SUSPENDED; p++)
        if (hf_str_eqz(hf_xml_text(node), hf_power_name((hf_power)p)))
            return (hf_power)p;
    return HF_POWER_UNKNOWN;
}

/* ---- devices ------------------------------------------------------------------------------------------------ */
typedef struct kind {
    const char *type;
    int32_t what;
    const char *model;
} kind;

static const kind controllers[] = {{"VirtualIDEController", HF_CTL_IDE, ""},
                                   {"VirtualAHCIController", HF_CTL_SATA, ""},
                                   {"VirtualSATAController", HF_CTL_SATA, ""},
                                   {"VirtualLsiLogicController", HF_CTL_LSILOGIC, ""},
                                   {"VirtualLsiLogicSASController", HF_CTL_LSISAS, ""},
                                   {"VirtualBusLogicController", HF_CTL_BUSLOGIC, ""},
                                   {"ParaVirtualSCSIController", HF_CTL_PVSCSI, ""},
                                   {"VirtualNVMEController", HF_CTL_NVME, ""},
                                   {NULL, 0, NULL}};
static const kind nics[] = {{"VirtualVmxnet3", 0, "VmxNet3"},
                            {"VirtualVmxnet3Vrdma", 0, "VmxNet3"},
                            {"VirtualVmxnet2", 0, "VmxNet2"},
                            {"VirtualVmxnet", 0, "VmxNet"},
                            {"VirtualE1000", 0, "E1000"},
                            {"VirtualE1000e", 0, "E1000e"},
                            {"VirtualPCNet32", 0, "PCNet32"},
                            {"VirtualSriovEthernetCard", 0, "VmxNet3"},
                            {NULL, 0, NULL}};

static const kind *kind_of(const kind *kinds, const xmlNode *device) {
    const char *type = hf_xml_type(device);
    for (; kinds->type; kinds++)
        if (strcmp(kinds->type, type) == 0)
            return kinds;
    return NULL;
}

hf_controller_kind hf_hardware_controller(hf_str type) {
    for (const kind *k = controllers; k->type; k++)
        if (hf_str_eqz(type, k->type))
            return (hf_controller_kind)k->what;
    return HF_CTL_NONE;
}

static int32_t int32_of(const xmlNode *node, int32_t otherwise) {
    int64_t n = hf_xml_int(node, otherwise);
    return n < INT32_MIN || n > INT32_MAX ? otherwise : (int32_t)n;
}

typedef struct reading {
    hf_vsphere_vm *vm;
    hf_nic_groups *groups;
    int32_t controller_keys[HF_MACHINE_CONTROLLERS_MAX];
    hf_err *err;
} reading;

static void take_controller(reading *r, const xmlNode *device, const kind *k) {
    hf_machine *m = &r->vm->machine;
    if (m->controller_count == HF_MACHINE_CONTROLLERS_MAX)
        return;
    r->controller_keys[m->controller_count] = int32_of(hf_xml_child(device, "key"), -1);
    m->controllers[m->controller_count++] =
        (hf_machine_controller){(hf_controller_kind)k->what, int32_of(hf_xml_child(device, "busNumber"), 0)};
}

static void take_nic(reading *r, const xmlNode *device, const kind *k) {
    hf_machine *m = &r->vm->machine;
    if (m->nic_count == HF_MACHINE_NICS_MAX)
        return;
    hf_machine_nic *nic = &m->nics[m->nic_count];
    const xmlNode *backing = hf_xml_child(device, "backing");
    hf_str group = hf_xml_text(hf_xml_child(hf_xml_child(backing, "port"), "portgroupKey"));
    snprintf(nic->model, sizeof nic->model, "%s", k->model);
    hf_xml_copy(hf_xml_child(device, "macAddress"), nic->mac, sizeof nic->mac);
    const xmlNode *name = hf_xml_child(backing, "deviceName");
    hf_xml_copy(name ? name : hf_xml_child(hf_xml_child(device, "deviceInfo"), "summary"), nic->network,
                sizeof nic->network);
    hf_moref *ref = &r->groups->group[m->nic_count++];
    if (group.len > 0 && group.len < sizeof ref->value)
        snprintf(ref->value, sizeof ref->value, "%.*s", HF_STR_ARG(group));
    if (ref->value[0])
        snprintf(ref->type, sizeof ref->type, "DistributedVirtualPortgroup");
}

/* Independent disks and physical mappings are in no snapshot, so ExportSnapshot has not got them. */
static bool is_left_out(const xmlNode *backing) {
    return hf_str_starts(hf_xml_text(hf_xml_child(backing, "diskMode")), HF_STR("independent")) ||
           hf_str_eqz(hf_xml_text(hf_xml_child(backing, "compatibilityMode")), "physicalMode");
}

static hf_code take_disk(reading *r, const xmlNode *device) {
    hf_vsphere_vm *vm = r->vm;
    if (vm->disk_count == HF_MAX_DISKS)
        return hf_fail(r->err, HF_E_LIMIT, "VM %s has more than %d disks", vm->machine.name, HF_MAX_DISKS);
    hf_vsphere_disk *d = &vm->disks[vm->disk_count++];
    const xmlNode *backing = hf_xml_child(device, "backing");
    int64_t kib = hf_xml_int(hf_xml_child(device, "capacityInKB"), 0);
    hf_xml_copy(hf_xml_child(hf_xml_child(device, "deviceInfo"), "label"), d->label, sizeof d->label);
    hf_xml_copy(hf_xml_child(backing, "fileName"), d->backing, sizeof d->backing);
    d->capacity_bytes = hf_xml_int(hf_xml_child(device, "capacityInBytes"), 0);
    if (d->capacity_bytes <= 0)
        d->capacity_bytes = kib > 0 && kib < INT64_MAX / 1024 ? kib * 1024 : 0;
    d->key = int32_of(hf_xml_child(device, "key"), -1);
    d->controller_key = int32_of(hf_xml_child(device, "controllerKey"), -1);
    d->place = (hf_machine_place){-1, int32_of(hf_xml_child(device, "unitNumber"), 0)};
    d->left_out = is_left_out(backing);
    return HF_OK;
}

static hf_code take_device(reading *r, const xmlNode *device) {
    const kind *controller = kind_of(controllers, device), *nic = kind_of(nics, device);
    hf_machine *m = &r->vm->machine;
    if (controller)
        take_controller(r, device, controller);
    else if (nic)
        take_nic(r, device, nic);
    else if (strcmp(hf_xml_type(device), "VirtualDisk") == 0)
        return take_disk(r, device);
    m->cdrom |= strcmp(hf_xml_type(device), "VirtualCdrom") == 0;
    m->floppy |= strcmp(hf_xml_type(device), "VirtualFloppy") == 0;
    return HF_OK;
}

/* Controllers may stand behind their disks. */
static void place_disks(reading *r) {
    for (uint32_t i = 0; i < r->vm->disk_count; i++)
        for (uint32_t c = 0; c < r->vm->machine.controller_count; c++)
            if (r->controller_keys[c] == r->vm->disks[i].controller_key)
                r->vm->disks[i].place.controller = (int32_t)c;
}

/* ---- snapshots ------------------------------------------------------------------------------------------------ */
/* `node` is a <rootSnapshotList> or <childSnapshotList>. */
static void take_snapshot(hf_vsphere_vm *vm, const xmlNode *node, int32_t depth) {
    if (vm->snapshot_count < HF_VSPHERE_SNAPSHOTS_MAX) {
        hf_vsphere_snapshot *s = &vm->snapshots[vm->snapshot_count];
        s->depth = depth;
        s->quiesced = hf_xml_bool(hf_xml_child(node, "quiesced"), false);
        hf_xml_copy(hf_xml_child(node, "name"), s->name, sizeof s->name);
        vm->snapshot_count += hf_xml_ref(hf_xml_child(node, "snapshot"), &s->ref);
    }
    vm->snapshots_total++;
    if (depth < SNAPSHOT_DEPTH_MAX)
        for (xmlNode *c = hf_xml_child(node, "childSnapshotList"); c; c = hf_xml_next(node, "childSnapshotList", c))
            take_snapshot(vm, c, depth + 1);
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */
static void take_identity(const xmlNode *o, hf_vsphere_vm *vm) {
    hf_machine *m = &vm->machine;
    hf_xml_ref(hf_xml_child(o, "obj"), &vm->ref);
    hf_xml_copy(hf_property(o, "name"), m->name, sizeof m->name);
    if (!hf_xml_ref(hf_property(o, "parent"), &vm->parent))
        hf_xml_ref(hf_property(o, "parentVApp"), &vm->parent);
    hf_xml_ref(hf_property(o, "runtime.host"), &vm->host_ref);
    vm->power = power_of(hf_property(o, "runtime.powerState"));
    vm->is_template = hf_xml_bool(hf_property(o, "config.template"), false);
    hf_xml_copy(hf_property(o, "config.instanceUuid"), vm->uuid, sizeof vm->uuid);
    hf_xml_copy(hf_property(o, "config.guestId"), m->os_type, sizeof m->os_type);
    hf_xml_copy(hf_property(o, "config.guestFullName"), m->os_name, sizeof m->os_name);
}

static void take_basics(const xmlNode *o, hf_machine *m) {
    hf_str firmware = hf_xml_text(hf_property(o, "config.firmware")),
           version = hf_xml_text(hf_property(o, "config.version"));
    m->cpus = int32_of(hf_property(o, "config.hardware.numCPU"), 0);
    m->cores_per_socket = int32_of(hf_property(o, "config.hardware.numCoresPerSocket"), 0);
    m->memory_mb = int32_of(hf_property(o, "config.hardware.memoryMB"), 0);
    m->firmware = hf_str_eqz(firmware, "efi")    ? HF_FIRMWARE_EFI
                  : hf_str_eqz(firmware, "bios") ? HF_FIRMWARE_BIOS
                                                 : HF_FIRMWARE_UNKNOWN;
    m->secure_boot = hf_xml_bool(hf_xml_child(hf_property(o, "config.bootOptions"), "efiSecureBootEnabled"), false);
    if (hf_str_starts(version, HF_STR("vmx-")) && version.len < 12)
        m->hardware_version = (uint32_t)strtoul(version.p + 4, NULL, 10);
}

hf_code hf_hardware_read(const xmlNode *o, hf_vsphere_vm *ret, hf_nic_groups *ret_groups, hf_err *reterr) {
    memset(ret, 0, sizeof *ret);
    *ret_groups = (hf_nic_groups){0};
    reading r = {.vm = ret, .groups = ret_groups, .err = reterr};
    take_identity(o, ret);
    take_basics(o, &ret->machine);
    const xmlNode *devices = hf_property(o, "config.hardware.device"), *snapshot = hf_property(o, "snapshot");
    hf_code code = HF_OK;
    for (xmlNode *d = hf_xml_child(devices, NULL); d && !code; d = hf_xml_next(devices, NULL, d))
        code = take_device(&r, d);
    place_disks(&r);
    for (xmlNode *s = hf_xml_child(snapshot, "rootSnapshotList"); s; s = hf_xml_next(snapshot, "rootSnapshotList", s))
        take_snapshot(ret, s, 0);
    return code;
}
