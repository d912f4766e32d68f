/* Builds the descriptor as a libxml2 tree, so that names are escaped by the library. */
#include "consumer/pipeline/ovf.h"

#include <inttypes.h>
#include <libxml/chvalid.h>
#include <libxml/xmlstring.h>
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/ovf_xml.h"
#include "schemas/base/mem.h"

#define NS_OVF "http://schemas.dmtf.org/ovf/envelope/"
#define NS_CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define FORMAT_STREAM "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

#define X(text) ((const xmlChar *)(text))

/* ---- elements ----------------------------------------------------------------------------------------------------- */
/* Bytes of the UTF-8 character at c, 0 if there is none or XML does not allow it (XML 1.0, 2.2 Char). */
static int character(const unsigned char *c) {
    int len = 4;
    int code = xmlGetUTF8Char(c, &len);
    if (code < 0 || !xmlIsCharQ((unsigned)code) || code == 0x7f)
        return 0;
    return len;
}

/* A copy with what cannot be said as blanks (control characters) or question marks (broken UTF-8); NULL without memory. */
static char *clean(const char *text) {
    char *copy = hf_strndup(text, strlen(text));
    for (char *c = copy; c && *c;) {
        int len = character((const unsigned char *)c);
        if (len == 0) {
            *c = (unsigned char)*c < 0x80 ? ' ' : '?';
            len = 1;
        }
        c += len;
    }
    return copy;
}

xmlNodePtr hf_ovf_child(hf_ovf_builder *b, xmlNodePtr parent, xmlNsPtr ns, const char *name, const char *text) {
    hf_auto_free char *plain = text ? clean(text) : NULL;
    xmlNodePtr node = parent && (!text || plain) ? xmlNewTextChild(parent, ns, X(name), plain ? X(plain) : NULL) : NULL;
    b->failed |= !node;
    return node;
}

void hf_ovf_attribute(hf_ovf_builder *b, xmlNodePtr node, xmlNsPtr ns, const char *name, const char *value) {
    hf_auto_free char *plain = clean(value);
    b->failed |= !node || !plain || !xmlNewNsProp(node, ns, X(name), X(plain));
}

void hf_ovf_config(hf_ovf_builder *b, xmlNodePtr parent, const char *key, const char *value) {
    xmlNodePtr node = hf_ovf_child(b, parent, b->vmw, "Config", NULL);
    hf_ovf_attribute(b, node, b->ovf, "required", "false");
    hf_ovf_attribute(b, node, b->vmw, "key", key);
    hf_ovf_attribute(b, node, b->vmw, "value", value);
}

static void attribute_int(hf_ovf_builder *b, xmlNodePtr node, const char *name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    hf_ovf_attribute(b, node, b->ovf, name, text);
}

static xmlNodePtr section(hf_ovf_builder *b, xmlNodePtr parent, const char *name, const char *info) {
    xmlNodePtr node = hf_ovf_child(b, parent, b->plain, name, NULL);
    hf_ovf_child(b, node, b->plain, "Info", info);
    return node;
}

/* ---- the package --------------------------------------------------------------------------------------------------- */
static void put_references(hf_ovf_builder *b) {
    xmlNodePtr references = hf_ovf_child(b, b->root, b->plain, "References", NULL);
    for (uint32_t i = 0; i < b->it->disk_count; i++) {
        char id[24];
        snprintf(id, sizeof id, "file%" PRIu32, i + 1);
        xmlNodePtr file = hf_ovf_child(b, references, b->plain, "File", NULL);
        hf_ovf_attribute(b, file, b->ovf, "href", b->it->disks[i].file_name);
        hf_ovf_attribute(b, file, b->ovf, "id", id);
        attribute_int(b, file, "size", b->it->disks[i].file_bytes);
    }
}

static void put_disks(hf_ovf_builder *b) {
    xmlNodePtr disks = section(b, b->root, "DiskSection", "Virtual disk information");
    for (uint32_t i = 0; i < b->it->disk_count; i++) {
        char id[24], ref[24];
        snprintf(id, sizeof id, "vmdisk%" PRIu32, i + 1);
        snprintf(ref, sizeof ref, "file%" PRIu32, i + 1);
        xmlNodePtr disk = hf_ovf_child(b, disks, b->plain, "Disk", NULL);
        attribute_int(b, disk, "capacity", (b->it->disks[i].capacity_bytes + 511) / 512 * 512);
        hf_ovf_attribute(b, disk, b->ovf, "capacityAllocationUnits", "byte");
        hf_ovf_attribute(b, disk, b->ovf, "diskId", id);
        hf_ovf_attribute(b, disk, b->ovf, "fileRef", ref);
        hf_ovf_attribute(b, disk, b->ovf, "format", FORMAT_STREAM);
        attribute_int(b, disk, "populatedSize", b->it->disks[i].populated_bytes);
    }
}

/* Each network once, whatever number of adapters is on it. */
static void put_networks(hf_ovf_builder *b) {
    const hf_machine *m = b->it->machine;
    if (m->nic_count == 0)
        return;
    xmlNodePtr networks = section(b, b->root, "NetworkSection", "The list of logical networks");
    for (uint32_t i = 0; i < m->nic_count; i++) {
        bool again = false;
        for (uint32_t k = 0; k < i; k++)
            again |= strcmp(m->nics[k].network, m->nics[i].network) == 0;
        if (again)
            continue;
        char description[160];
        snprintf(description, sizeof description, "The %s network", m->nics[i].network);
        xmlNodePtr network = hf_ovf_child(b, networks, b->plain, "Network", NULL);
        hf_ovf_attribute(b, network, b->ovf, "name", m->nics[i].network);
        hf_ovf_child(b, network, b->plain, "Description", description);
    }
}

/* ---- the machine ----------------------------------------------------------------------------------------------------- */
static void put_operating_system(hf_ovf_builder *b, xmlNodePtr vm) {
    const hf_machine *m = b->it->machine;
    const hf_guest *guest = hf_guest_find(m->os_type);
    const char *name = m->os_name[0] ? m->os_name : guest ? guest->name : "";
    xmlNodePtr os = section(b, vm, "OperatingSystemSection", "The kind of installed guest operating system");
    attribute_int(b, os, "id", hf_guest_cim(m->os_type));
    hf_ovf_attribute(b, os, b->vmw, "osType", m->os_type);
    if (*name)
        hf_ovf_child(b, os, b->plain, "Description", name);
}

static void put_hardware(hf_ovf_builder *b, xmlNodePtr vm) {
    const hf_machine *m = b->it->machine;
    char type[24];
    snprintf(type, sizeof type, "vmx-%02" PRIu32, hf_machine_hardware(m));
    xmlNodePtr hardware = section(b, vm, "VirtualHardwareSection", "Virtual hardware requirements");
    xmlNodePtr system = hf_ovf_child(b, hardware, b->plain, "System", NULL);
    hf_ovf_child(b, system, b->vssd, "ElementName", "Virtual Hardware Family");
    hf_ovf_child(b, system, b->vssd, "InstanceID", "0");
    hf_ovf_child(b, system, b->vssd, "VirtualSystemIdentifier", b->it->name);
    hf_ovf_child(b, system, b->vssd, "VirtualSystemType", type);
    hf_ovf_items(b, hardware);
    if (m->firmware != HF_FIRMWARE_UNKNOWN)
        hf_ovf_config(b, hardware, "firmware", hf_firmware_name(m->firmware));
    if (m->firmware == HF_FIRMWARE_EFI)
        hf_ovf_config(b, hardware, "bootOptions.efiSecureBootEnabled", m->secure_boot ? "true" : "false");
}

static void put_system(hf_ovf_builder *b) {
    xmlNodePtr vm = hf_ovf_child(b, b->root, b->plain, "VirtualSystem", NULL);
    hf_ovf_attribute(b, vm, b->ovf, "id", b->it->name);
    hf_ovf_child(b, vm, b->plain, "Info", "A virtual machine");
    hf_ovf_child(b, vm, b->plain, "Name", b->it->name);
    put_operating_system(b, vm);
    put_hardware(b, vm);
    if (b->it->annotation && b->it->annotation[0]) {
        xmlNodePtr annotation = section(b, vm, "AnnotationSection", "A human-readable annotation");
        hf_ovf_child(b, annotation, b->plain, "Annotation", b->it->annotation);
    }
}

/* ---- the document ------------------------------------------------------------------------------------------------------ */
static xmlNsPtr name_space(hf_ovf_builder *b, const char *uri, const char *prefix) {
    xmlNsPtr ns = xmlNewNs(b->root, X(uri), prefix ? X(prefix) : NULL);
    b->failed |= !ns;
    return ns;
}

static void put_name_spaces(hf_ovf_builder *b) {
    bool two = b->it->version == HF_OVF_2_0;
    const char *uri = two ? NS_OVF "2" : NS_OVF "1";
    b->plain = name_space(b, uri, NULL);
    b->ovf = name_space(b, uri, "ovf");
    b->rasd = name_space(b, NS_CIM "CIM_ResourceAllocationSettingData", "rasd");
    b->vssd = name_space(b, NS_CIM "CIM_VirtualSystemSettingData", "vssd");
    b->vmw = name_space(b, "http://www.vmware.com/schema/ovf", "vmw");
    b->sasd = two ? name_space(b, NS_CIM "CIM_StorageAllocationSettingData.xsd", "sasd") : b->rasd;
    b->epasd = two ? name_space(b, NS_CIM "CIM_EthernetPortAllocationSettingData.xsd", "epasd") : b->rasd;
    xmlSetNs(b->root, b->plain);
}

static void build(hf_ovf_builder *b, xmlDocPtr doc) {
    b->root = xmlNewDocNode(doc, NULL, X("Envelope"), NULL);
    if (!b->root) {
        b->failed = true;
        return;
    }
    xmlDocSetRootElement(doc, b->root);
    put_name_spaces(b);
    put_references(b);
    put_disks(b);
    put_networks(b);
    put_system(b);
}

hf_code hf_ovf_write(const hf_ovf *ovf, hf_buf *ret_text, hf_err *reterr) {
    hf_ovf_builder b = {.it = ovf};
    xmlDocPtr doc = xmlNewDoc(X("1.0"));
    xmlChar *text = NULL;
    int len = 0;
    if (doc) {
        build(&b, doc);
        if (!b.failed)
            xmlDocDumpFormatMemoryEnc(doc, &text, &len, "UTF-8", 1);
    }
    xmlFreeDoc(doc);
    bool put = text && len > 0 && hf_buf_put(ret_text, text, (size_t)len);
    xmlFree(text);
    return put ? HF_OK : hf_fail(reterr, HF_E_NO_MEMORY, "the OVF descriptor of %s", ovf->name);
}
