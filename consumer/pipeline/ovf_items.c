/* The virtual hardware, an item each. The children of an item are in the order of the CIM schema (alphabetical), which strict readers
 * want; extensions stand behind them. */
#include <inttypes.h>
#include <stdio.h>

#include "consumer/pipeline/ovf_xml.h"

/* CIM_ResourceAllocationSettingData.ResourceType */
enum {
    TYPE_CPU = 3,
    TYPE_MEMORY = 4,
    TYPE_IDE = 5,
    TYPE_SCSI = 6,
    TYPE_ETHERNET = 10,
    TYPE_FLOPPY = 14,
    TYPE_CD = 15,
    TYPE_DISK = 17,
    TYPE_OTHER_STORAGE = 20,
};

static const struct {
    const char *sub_type, *description, *name;
    int type;
} controllers[] = {
    [HF_CTL_NONE] = {"lsilogic", "SCSI Controller", "SCSI Controller", TYPE_SCSI},
    [HF_CTL_IDE] = {NULL, "IDE Controller", "VirtualIDEController", TYPE_IDE},
    [HF_CTL_SATA] = {"vmware.sata.ahci", "SATA Controller", "SATA Controller", TYPE_OTHER_STORAGE},
    [HF_CTL_LSILOGIC] = {"lsilogic", "SCSI Controller", "SCSI Controller", TYPE_SCSI},
    [HF_CTL_LSISAS] = {"lsilogicsas", "SCSI Controller", "SCSI Controller", TYPE_SCSI},
    [HF_CTL_BUSLOGIC] = {"buslogic", "SCSI Controller", "SCSI Controller", TYPE_SCSI},
    [HF_CTL_PVSCSI] = {"VirtualSCSI", "SCSI Controller", "SCSI Controller", TYPE_SCSI},
    [HF_CTL_NVME] = {"vmware.nvme.controller", "NVME Controller", "NVME Controller", TYPE_OTHER_STORAGE},
};

enum { NONE = -1 }; /* a number that is not said */

/* One item; NULL members and NONE are left out. */
typedef struct item {
    int type;
    enum { PLAIN, AUTOMATIC, OPTIONAL } allocation; /* not said; AutomaticAllocation; neither that nor required */
    const char *address, *units, *connection, *description, *name, *sub_type, *host_resource;
    int64_t address_on_parent, parent, quantity;
} item;

static void put_int(hf_ovf_builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    if (value != NONE)
        hf_ovf_child(b, node, ns, name, text);
}

static void put_text(hf_ovf_builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, const char *text) {
    if (text)
        hf_ovf_child(b, node, ns, name, text);
}

/* OVF 2.0 has elements of their own for storage and network ports, with classes of their own. */
static const char *element_of(const hf_ovf_builder *b, int type, xmlNsPtr *ret_ns) {
    bool two = b->it->version == HF_OVF_2_0;
    *ret_ns = b->rasd;
    if (two && (type == TYPE_DISK || type == TYPE_CD || type == TYPE_FLOPPY)) {
        *ret_ns = b->sasd;
        return "StorageItem";
    }
    if (two && type == TYPE_ETHERNET) {
        *ret_ns = b->epasd;
        return "EthernetPortItem";
    }
    return "Item";
}

/* Its InstanceID. */
static int64_t put_item(hf_ovf_builder *b, xmlNodePtr hardware, const item *it, xmlNodePtr *ret_node) {
    xmlNsPtr ns;
    const char *element = element_of(b, it->type, &ns);
    xmlNodePtr node = hf_ovf_child(b, hardware, b->plain, element, NULL);
    if (it->allocation == OPTIONAL)
        hf_ovf_attribute(b, node, b->ovf, "required", "false");
    put_text(b, node, ns, "Address", it->address);
    put_int(b, node, ns, "AddressOnParent", it->address_on_parent);
    put_text(b, node, ns, "AllocationUnits", it->units);
    if (it->allocation != PLAIN)
        put_text(b, node, ns, "AutomaticAllocation", it->allocation == AUTOMATIC ? "true" : "false");
    put_text(b, node, ns, "Connection", it->connection);
    put_text(b, node, ns, "Description", it->description);
    put_text(b, node, ns, "ElementName", it->name);
    put_text(b, node, ns, "HostResource", it->host_resource);
    put_int(b, node, ns, "InstanceID", ++b->instance);
    put_int(b, node, ns, "Parent", it->parent);
    put_text(b, node, ns, "ResourceSubType", it->sub_type);
    put_int(b, node, ns, "ResourceType", it->type);
    put_int(b, node, ns, "VirtualQuantity", it->quantity);
    if (ret_node)
        *ret_node = node;
    return b->instance;
}

static void put_processor(hf_ovf_builder *b, xmlNodePtr hardware) {
    const hf_machine *m = b->it->machine;
    char name[48], cores[16];
    snprintf(name, sizeof name, "%" PRId32 " virtual CPU(s)", m->cpus);
    xmlNodePtr node = NULL;
    put_item(b, hardware,
             &(item){.type = TYPE_CPU,
                     .units = "hertz * 10^6",
                     .description = "Number of Virtual CPUs",
                     .name = name,
                     .address_on_parent = NONE,
                     .parent = NONE,
                     .quantity = m->cpus},
             &node);
    if (m->cores_per_socket < 1)
        return;
    snprintf(cores, sizeof cores, "%" PRId32, m->cores_per_socket);
    xmlNodePtr extension = hf_ovf_child(b, node, b->vmw, "CoresPerSocket", cores);
    hf_ovf_attribute(b, extension, b->ovf, "required", "false");
}

static void put_memory(hf_ovf_builder *b, xmlNodePtr hardware) {
    char name[48];
    snprintf(name, sizeof name, "%" PRId32 "MB of memory", b->it->machine->memory_mb);
    put_item(b, hardware,
             &(item){.type = TYPE_MEMORY,
                     .units = "byte * 2^20",
                     .description = "Memory Size",
                     .name = name,
                     .address_on_parent = NONE,
                     .parent = NONE,
                     .quantity = b->it->machine->memory_mb},
             NULL);
}

/* ids: of each controller's item. */
static void put_controllers(hf_ovf_builder *b, xmlNodePtr hardware, int64_t ids[HF_MACHINE_CONTROLLERS_MAX]) {
    const hf_machine *m = b->it->machine;
    for (uint32_t i = 0; i < m->controller_count; i++) {
        const hf_machine_controller *c = &m->controllers[i];
        char name[48], bus[16];
        snprintf(name, sizeof name, "%s %" PRId32, controllers[c->kind].name, c->bus);
        snprintf(bus, sizeof bus, "%" PRId32, c->bus);
        ids[i] = put_item(b, hardware,
                          &(item){.type = controllers[c->kind].type,
                                  .address = bus,
                                  .description = controllers[c->kind].description,
                                  .name = name,
                                  .sub_type = controllers[c->kind].sub_type,
                                  .address_on_parent = NONE,
                                  .parent = NONE,
                                  .quantity = NONE},
                          NULL);
    }
}

static void put_disks(hf_ovf_builder *b, xmlNodePtr hardware, const int64_t ids[HF_MACHINE_CONTROLLERS_MAX]) {
    for (uint32_t i = 0; i < b->it->disk_count; i++) {
        hf_machine_place place = b->it->disks[i].place;
        char name[48], resource[48];
        snprintf(name, sizeof name, "Hard Disk %" PRIu32, i + 1);
        snprintf(resource, sizeof resource, "ovf:/disk/vmdisk%" PRIu32, i + 1);
        bool placed = place.controller >= 0 && (uint32_t)place.controller < b->it->machine->controller_count;
        put_item(b, hardware,
                 &(item){.type = TYPE_DISK,
                         .name = name,
                         .host_resource = resource,
                         .address_on_parent = placed ? place.unit : (int64_t)i,
                         .parent = placed ? ids[place.controller] : NONE,
                         .quantity = NONE},
                 NULL);
    }
}

static void put_removable(hf_ovf_builder *b, xmlNodePtr hardware, const int64_t ids[HF_MACHINE_CONTROLLERS_MAX]) {
    const hf_machine *m = b->it->machine;
    hf_machine_place places[64];
    uint32_t count = b->it->disk_count < 64 ? b->it->disk_count : 64;
    for (uint32_t i = 0; i < count; i++)
        places[i] = b->it->disks[i].place;
    hf_machine_place at = hf_machine_cdrom_place(m, places, count);
    if (m->cdrom && at.controller >= 0)
        put_item(b, hardware,
                 &(item){.type = TYPE_CD,
                         .allocation = OPTIONAL,
                         .name = "CD-ROM 1",
                         .sub_type = "vmware.cdrom.remotepassthrough",
                         .address_on_parent = at.unit,
                         .parent = ids[at.controller],
                         .quantity = NONE},
                 NULL);
    if (m->floppy)
        put_item(b, hardware,
                 &(item){.type = TYPE_FLOPPY,
                         .allocation = OPTIONAL,
                         .description = "Floppy Drive",
                         .name = "Floppy 1",
                         .sub_type = "vmware.floppy.remotedevice",
                         .address_on_parent = 0,
                         .parent = NONE,
                         .quantity = NONE},
                 NULL);
}

static void put_nics(hf_ovf_builder *b, xmlNodePtr hardware) {
    enum { FIRST_SLOT = 7 }; /* as VMware numbers them: what orders them for a reader */
    for (uint32_t i = 0; i < b->it->machine->nic_count; i++) {
        const hf_machine_nic *nic = &b->it->machine->nics[i];
        char name[32], description[256];
        snprintf(name, sizeof name, "Ethernet %" PRIu32, i + 1);
        snprintf(description, sizeof description, "%s ethernet adapter on \"%s\"", nic->model, nic->network);
        put_item(b, hardware,
                 &(item){.type = TYPE_ETHERNET,
                         .allocation = AUTOMATIC,
                         .address = nic->mac[0] ? nic->mac : NULL,
                         .connection = nic->network,
                         .description = description,
                         .name = name,
                         .sub_type = nic->model,
                         .address_on_parent = FIRST_SLOT + (int64_t)i,
                         .parent = NONE,
                         .quantity = NONE},
                 NULL);
    }
}

void hf_ovf_items(hf_ovf_builder *b, xmlNodePtr hardware) {
    int64_t ids[HF_MACHINE_CONTROLLERS_MAX];
    put_processor(b, hardware);
    put_memory(b, hardware);
    put_controllers(b, hardware, ids);
    put_disks(b, hardware, ids);
    put_removable(b, hardware, ids);
    put_nics(b, hardware);
}
