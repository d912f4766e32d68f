/* VirtualSystem: name, operating system and virtual hardware. Items are CIM resource allocations (resource types of CIM 2.22):
 * 3 processor, 4 memory, 5 IDE, 6 SCSI, 10 network, 14 floppy, 15 and 16 CD and DVD, 17 disk, 20 another storage controller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "consumer/pipeline/ovf_read_inside.h"
#include "schemas/base/mem.h"

enum { CPU = 3, MEMORY = 4, IDE = 5, SCSI = 6, NETWORK = 10, FLOPPY = 14, CD = 15, DVD = 16, DISK = 17, STORAGE = 20 };
enum { INSTANCE_MAX = 64 };

/* Controllers by their InstanceID, since disks may stand before them. */
typedef struct hardware {
    hf_ovf_reading *reading;
    hf_machine *machine;
    char instance[HF_MACHINE_CONTROLLERS_MAX][INSTANCE_MAX];
} hardware;

static bool is_item(const xmlNode *n) {
    return hf_ovf_read_is(n, "Item") || hf_ovf_read_is(n, "StorageItem") || hf_ovf_read_is(n, "EthernetPortItem");
}

static int64_t item_number(const xmlNode *item, const char *name, int64_t otherwise) {
    char text[32];
    int64_t n;
    return hf_ovf_read_text(hf_ovf_read_child(item, name), text, sizeof text) && hf_ovf_read_number(text, &n)
               ? n
               : otherwise;
}

static int32_t small(int64_t n) { return n > 0 && n <= INT32_MAX ? (int32_t)n : 0; }

static hf_controller_kind controller_kind(int64_t type, const char *sub_type) {
    static const struct {
        const char *word;
        hf_controller_kind kind;
    } kinds[] = {{"lsilogicsas", HF_CTL_LSISAS},
                 {"lsisas", HF_CTL_LSISAS},
                 {"lsilogic", HF_CTL_LSILOGIC},
                 {"buslogic", HF_CTL_BUSLOGIC},
                 {"virtualscsi", HF_CTL_PVSCSI},
                 {"pvscsi", HF_CTL_PVSCSI},
                 {"virtio", HF_CTL_PVSCSI},
                 {"nvme", HF_CTL_NVME},
                 {"ahci", HF_CTL_SATA},
                 {"sata", HF_CTL_SATA},
                 {"ide", HF_CTL_IDE}};
    if (type == IDE)
        return HF_CTL_IDE;
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (strcasestr(sub_type, kinds[i].word))
            return kinds[i].kind;
    return type == SCSI ? HF_CTL_LSILOGIC : HF_CTL_NONE;
}

/* What the item says in Address, unless that is taken; else the lowest that is free. Controllers need not stand in order: VMware writes
 * IDE 1 before IDE 0. */
static int32_t bus_of(const hf_machine *m, hf_controller_kind kind, const xmlNode *item) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < m->controller_count; i++)
        if (hf_controller_family_of(m->controllers[i].kind) == hf_controller_family_of(kind))
            taken |= 1u << m->controllers[i].bus;
    int64_t said = item_number(item, "Address", -1);
    if (said >= 0 && said < HF_MACHINE_CONTROLLERS_MAX && !(taken >> said & 1))
        return (int32_t)said;
    int32_t bus = 0;
    while (taken >> bus & 1)
        bus++;
    return bus;
}

static void take_controller(hardware *h, const xmlNode *item, int64_t type) {
    hf_machine *m = h->machine;
    char sub_type[64];
    if (m->controller_count == HF_MACHINE_CONTROLLERS_MAX)
        return;
    hf_ovf_read_text(hf_ovf_read_child(item, "ResourceSubType"), sub_type, sizeof sub_type);
    hf_controller_kind kind = controller_kind(type, sub_type);
    if (kind == HF_CTL_NONE)
        return; /* 20 is also what USB controllers and others are */
    int32_t bus = bus_of(m, kind, item);
    hf_ovf_read_text(hf_ovf_read_child(item, "InstanceID"), h->instance[m->controller_count], INSTANCE_MAX);
    m->controllers[m->controller_count++] = (hf_machine_controller){.kind = kind, .bus = bus};
}

static void take_nic(hardware *h, const xmlNode *item) {
    hf_machine *m = h->machine;
    if (m->nic_count == HF_MACHINE_NICS_MAX)
        return;
    hf_machine_nic *nic = &m->nics[m->nic_count++];
    char address[32];
    hf_ovf_read_text(hf_ovf_read_child(item, "ResourceSubType"), nic->model, sizeof nic->model);
    hf_ovf_read_text(hf_ovf_read_child(item, "Connection"), nic->network, sizeof nic->network);
    if (hf_ovf_read_text(hf_ovf_read_child(item, "Address"), address, sizeof address) && strlen(address) == 17)
        memcpy(nic->mac, address, sizeof nic->mac);
}

/* "ovf:/disk/ID": which disk hangs where. */
static void take_disk(hardware *h, const xmlNode *item) {
    hf_ovf_document *d = h->reading->document;
    char resource[HF_OVF_ID_MAX + 16], parent[INSTANCE_MAX];
    hf_ovf_read_text(hf_ovf_read_child(item, "HostResource"), resource, sizeof resource);
    const char *id = strstr(resource, "/disk/");
    if (!id || !hf_ovf_read_text(hf_ovf_read_child(item, "Parent"), parent, sizeof parent))
        return;
    for (uint32_t i = 0; i < d->disk_count; i++) {
        if (strcmp(d->disks[i].id, id + 6) != 0)
            continue;
        for (uint32_t c = 0; c < h->machine->controller_count; c++)
            if (strcmp(h->instance[c], parent) == 0)
                d->disks[i].place = (hf_machine_place){.controller = (int32_t)c,
                                                       .unit = small(item_number(item, "AddressOnParent", 0))};
    }
}

static void take_memory(hf_machine *m, const xmlNode *item) {
    char units[64];
    if (!hf_ovf_read_text(hf_ovf_read_child(item, "AllocationUnits"), units, sizeof units))
        snprintf(units, sizeof units, "MB");
    int64_t n = item_number(item, "VirtualQuantity", 0), unit = hf_ovf_unit_bytes(units);
    if (m->memory_mb == 0 && !__builtin_mul_overflow(n, unit, &n))
        m->memory_mb = small(n >> 20);
}

static void take_item(hardware *h, const xmlNode *item, bool controllers) {
    hf_machine *m = h->machine;
    int64_t type = item_number(item, "ResourceType", hf_ovf_read_is(item, "EthernetPortItem") ? NETWORK : 0);
    bool is_controller = type == IDE || type == SCSI || type == STORAGE;
    if (is_controller != controllers)
        return;
    switch (type) {
    case CPU:
        if (m->cpus == 0) {
            m->cpus = small(item_number(item, "VirtualQuantity", 0));
            m->cores_per_socket = small(item_number(item, "CoresPerSocket", 0));
        }
        break;
    case MEMORY: take_memory(m, item); break;
    case IDE:
    case SCSI:
    case STORAGE: take_controller(h, item, type); break;
    case NETWORK: take_nic(h, item); break;
    case FLOPPY: m->floppy = true; break;
    case CD:
    case DVD: m->cdrom = true; break;
    case DISK: take_disk(h, item); break;
    default: break;
    }
}

static bool true_word(const char *text) { return strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0; }

/* VMware's Config and ExtraConfig elements: key and value as attributes. */
static void take_config(hf_machine *m, const xmlNode *node) {
    char key[64], value[64];
    if (!hf_ovf_read_attribute(node, "key", key, sizeof key) ||
        !hf_ovf_read_attribute(node, "value", value, sizeof value))
        return;
    if (strcmp(key, "firmware") == 0)
        m->firmware = strcasecmp(value, "efi") == 0    ? HF_FIRMWARE_EFI
                      : strcasecmp(value, "bios") == 0 ? HF_FIRMWARE_BIOS
                                                       : HF_FIRMWARE_UNKNOWN;
    else if (strcmp(key, "bootOptions.efiSecureBootEnabled") == 0 || strcmp(key, "uefi.secureBoot.enabled") == 0)
        m->secure_boot = true_word(value);
}

static void take_system_element(hf_machine *m, const xmlNode *system) {
    char type[64];
    const char *vmx;
    if (hf_ovf_read_text(hf_ovf_read_child(system, "VirtualSystemType"), type, sizeof type) &&
        (vmx = strstr(type, "vmx-")))
        m->hardware_version = (uint32_t)strtoul(vmx + 4, NULL, 10) % 1000;
}

static void read_hardware(hf_ovf_reading *r, const xmlNode *section) {
    hardware h = {.reading = r, .machine = &r->document->machine};
    take_system_element(h.machine, hf_ovf_read_child(section, "System"));
    for (int controllers = 1; controllers >= 0; controllers--)
        for (const xmlNode *n = section->children; n; n = n->next)
            if (is_item(n))
                take_item(&h, n, controllers);
    for (const xmlNode *n = section->children; n; n = n->next)
        if (hf_ovf_read_is(n, "Config") || hf_ovf_read_is(n, "ExtraConfig"))
            take_config(h.machine, n);
}

void hf_ovf_read_system(hf_ovf_reading *r, const xmlNode *system) {
    hf_machine *m = &r->document->machine;
    const xmlNode *os = hf_ovf_read_child(system, "OperatingSystemSection");
    const xmlNode *section = hf_ovf_read_child(system, "VirtualHardwareSection");
    if (!hf_ovf_read_text(hf_ovf_read_child(system, "Name"), m->name, sizeof m->name) && !m->name[0])
        hf_ovf_read_attribute(system, "id", m->name, sizeof m->name);
    hf_ovf_read_attribute(os, "osType", m->os_type, sizeof m->os_type);
    hf_ovf_read_text(hf_ovf_read_child(os, "Description"), m->os_name, sizeof m->os_name);
    if (section)
        read_hardware(r, section);
}
