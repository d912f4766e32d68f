/* Builds the descriptor as a libxml2 tree, so that names are escaped by the library. The children of an Item are in the order of
 * the CIM schema (alphabetical), which strict readers want. */
#include "consumer/pipeline/ovf.h"

#include <inttypes.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "schemas/base/mem.h"

#define NS_OVF "http://schemas.dmtf.org/ovf/envelope/1"
#define NS_CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define FORMAT_STREAM "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

enum { DISKS_PER_CONTROLLER = 15, CONTROLLER_UNIT = 7 /* the controller's own SCSI id */ };
enum { TYPE_CPU = 3, TYPE_MEMORY = 4, TYPE_SCSI = 6, TYPE_DISK = 17 };

typedef struct builder {
    xmlNodePtr root;
    xmlNsPtr plain, ovf, rasd, vssd, vmw; /* plain and ovf are the same name space: elements, attributes */
    bool failed;                          /* sticky: checked once at the end */
} builder;

#define X(text) ((const xmlChar *)(text))

static xmlNodePtr child(builder *b, xmlNodePtr parent, xmlNsPtr ns, const char *name, const char *text) {
    xmlNodePtr node = parent ? xmlNewTextChild(parent, ns, X(name), text ? X(text) : NULL) : NULL;
    b->failed |= !node;
    return node;
}

static void attribute(builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, const char *value) {
    b->failed |= !node || !xmlNewNsProp(node, ns, X(name), X(value));
}

static void attribute_int(builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    attribute(b, node, ns, name, text);
}

static xmlNodePtr section(builder *b, xmlNodePtr parent, const char *name, const char *info) {
    xmlNodePtr node = child(b, parent, b->plain, name, NULL);
    child(b, node, b->plain, "Info", info);
    return node;
}

static void put_references(builder *b, const hf_ovf *ovf) {
    xmlNodePtr references = child(b, b->root, b->plain, "References", NULL);
    for (uint32_t i = 0; i < ovf->disk_count; i++) {
        char id[24];
        snprintf(id, sizeof id, "file%" PRIu32, i + 1);
        xmlNodePtr file = child(b, references, b->plain, "File", NULL);
        attribute(b, file, b->ovf, "href", ovf->disks[i].file_name);
        attribute(b, file, b->ovf, "id", id);
        attribute_int(b, file, b->ovf, "size", ovf->disks[i].file_bytes);
    }
}

static void put_disks(builder *b, const hf_ovf *ovf) {
    xmlNodePtr disks = section(b, b->root, "DiskSection", "Virtual disk information");
    for (uint32_t i = 0; i < ovf->disk_count; i++) {
        char id[24], ref[24];
        snprintf(id, sizeof id, "vmdisk%" PRIu32, i + 1);
        snprintf(ref, sizeof ref, "file%" PRIu32, i + 1);
        xmlNodePtr disk = child(b, disks, b->plain, "Disk", NULL);
        attribute_int(b, disk, b->ovf, "capacity", (ovf->disks[i].capacity_bytes + 511) / 512 * 512);
        attribute(b, disk, b->ovf, "capacityAllocationUnits", "byte");
        attribute(b, disk, b->ovf, "diskId", id);
        attribute(b, disk, b->ovf, "fileRef", ref);
        attribute(b, disk, b->ovf, "format", FORMAT_STREAM);
        attribute_int(b, disk, b->ovf, "populatedSize", ovf->disks[i].populated_bytes);
    }
}

/* One rasd:Item; NULL members and negative numbers are left out. */
typedef struct item {
    int type;
    const char *units, *description, *name, *sub_type, *host_resource;
    int64_t address, address_on_parent, instance, parent, quantity;
} item;

static void item_int(builder *b, xmlNodePtr node, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    if (value >= 0)
        child(b, node, b->rasd, name, text);
}

static void item_text(builder *b, xmlNodePtr node, const char *name, const char *text) {
    if (text)
        child(b, node, b->rasd, name, text);
}

static void put_item(builder *b, xmlNodePtr hardware, const item *it) {
    xmlNodePtr node = child(b, hardware, b->plain, "Item", NULL);
    item_int(b, node, "Address", it->address);
    item_int(b, node, "AddressOnParent", it->address_on_parent);
    item_text(b, node, "AllocationUnits", it->units);
    item_text(b, node, "Description", it->description);
    item_text(b, node, "ElementName", it->name);
    item_text(b, node, "HostResource", it->host_resource);
    item_int(b, node, "InstanceID", it->instance);
    item_int(b, node, "Parent", it->parent);
    item_text(b, node, "ResourceSubType", it->sub_type);
    item_int(b, node, "ResourceType", it->type);
    item_int(b, node, "VirtualQuantity", it->quantity);
}

static void put_processor_and_memory(builder *b, xmlNodePtr hardware, const hf_ovf *ovf) {
    char cpus[48], memory[48];
    snprintf(cpus, sizeof cpus, "%" PRId32 " virtual CPU(s)", ovf->cpus);
    snprintf(memory, sizeof memory, "%" PRId32 "MB of memory", ovf->memory_mb);
    put_item(b, hardware,
             &(item){.type = TYPE_CPU,
                     .units = "hertz * 10^6",
                     .description = "Number of Virtual CPUs",
                     .name = cpus,
                     .address = -1,
                     .address_on_parent = -1,
                     .instance = 1,
                     .parent = -1,
                     .quantity = ovf->cpus});
    put_item(b, hardware,
             &(item){.type = TYPE_MEMORY,
                     .units = "byte * 2^20",
                     .description = "Memory Size",
                     .name = memory,
                     .address = -1,
                     .address_on_parent = -1,
                     .instance = 2,
                     .parent = -1,
                     .quantity = ovf->memory_mb});
}

static void put_storage(builder *b, xmlNodePtr hardware, const hf_ovf *ovf) {
    uint32_t controllers = (ovf->disk_count + DISKS_PER_CONTROLLER - 1) / DISKS_PER_CONTROLLER;
    char name[48], resource[48];
    for (uint32_t c = 0; c < controllers; c++) {
        snprintf(name, sizeof name, "SCSI Controller %" PRIu32, c);
        put_item(b, hardware,
                 &(item){.type = TYPE_SCSI,
                         .description = "SCSI Controller",
                         .name = name,
                         .sub_type = "lsilogic",
                         .address = c,
                         .address_on_parent = -1,
                         .instance = 3 + c,
                         .parent = -1,
                         .quantity = -1});
    }
    for (uint32_t i = 0; i < ovf->disk_count; i++) {
        uint32_t unit = i % DISKS_PER_CONTROLLER;
        snprintf(name, sizeof name, "Hard Disk %" PRIu32, i + 1);
        snprintf(resource, sizeof resource, "ovf:/disk/vmdisk%" PRIu32, i + 1);
        put_item(b, hardware,
                 &(item){.type = TYPE_DISK,
                         .name = name,
                         .host_resource = resource,
                         .address = -1,
                         .address_on_parent = unit < CONTROLLER_UNIT ? unit : unit + 1,
                         .instance = 3 + controllers + i,
                         .parent = 3 + i / DISKS_PER_CONTROLLER,
                         .quantity = -1});
    }
}

static void put_system(builder *b, const hf_ovf *ovf) {
    xmlNodePtr vm = child(b, b->root, b->plain, "VirtualSystem", NULL);
    attribute(b, vm, b->ovf, "id", ovf->name);
    child(b, vm, b->plain, "Info", "A virtual machine");
    child(b, vm, b->plain, "Name", ovf->name);
    xmlNodePtr os = section(b, vm, "OperatingSystemSection", "The kind of installed guest operating system");
    attribute(b, os, b->ovf, "id", "1"); /* CIM: other */
    attribute(b, os, b->vmw, "osType", ovf->os_type);
    xmlNodePtr hardware = section(b, vm, "VirtualHardwareSection", "Virtual hardware requirements");
    xmlNodePtr system = child(b, hardware, b->plain, "System", NULL);
    child(b, system, b->vssd, "ElementName", "Virtual Hardware Family");
    child(b, system, b->vssd, "InstanceID", "0");
    child(b, system, b->vssd, "VirtualSystemIdentifier", ovf->name);
    child(b, system, b->vssd, "VirtualSystemType", "vmx-10");
    put_processor_and_memory(b, hardware, ovf);
    put_storage(b, hardware, ovf);
}

static void build(builder *b, xmlDocPtr doc, const hf_ovf *ovf) {
    b->root = xmlNewDocNode(doc, NULL, X("Envelope"), NULL);
    if (!b->root) {
        b->failed = true;
        return;
    }
    xmlDocSetRootElement(doc, b->root);
    /* The default name space for elements and the same one as a prefix, which attributes need. */
    b->plain = xmlNewNs(b->root, X(NS_OVF), NULL);
    b->ovf = xmlNewNs(b->root, X(NS_OVF), X("ovf"));
    b->rasd = xmlNewNs(b->root, X(NS_CIM "CIM_ResourceAllocationSettingData"), X("rasd"));
    b->vssd = xmlNewNs(b->root, X(NS_CIM "CIM_VirtualSystemSettingData"), X("vssd"));
    b->vmw = xmlNewNs(b->root, X("http://www.vmware.com/schema/ovf"), X("vmw"));
    b->failed |= !b->plain || !b->ovf || !b->rasd || !b->vssd || !b->vmw;
    xmlSetNs(b->root, b->plain);
    put_references(b, ovf);
    put_disks(b, ovf);
    put_system(b, ovf);
}

hf_code hf_ovf_write(const hf_ovf *ovf, hf_buf *ret_text, hf_err *reterr) {
    builder b = {0};
    xmlDocPtr doc = xmlNewDoc(X("1.0"));
    xmlChar *text = NULL;
    int len = 0;
    if (doc) {
        build(&b, doc, ovf);
        if (!b.failed)
            xmlDocDumpFormatMemoryEnc(doc, &text, &len, "UTF-8", 1);
    }
    xmlFreeDoc(doc);
    bool put = text && len > 0 && hf_buf_put(ret_text, text, (size_t)len);
    xmlFree(text);
    return put ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the OVF descriptor of %s", ovf->name);
}
