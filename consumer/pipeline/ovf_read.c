/* Envelope: References, DiskSection and the first virtual system (ovf_read_hardware.c). */
#include "consumer/pipeline/ovf_read.h"

#include <inttypes.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <strings.h>

#include "consumer/pipeline/ovf_read_inside.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"

/* ---- the tree ----------------------------------------------------------------------------------------- */
bool hf_ovf_read_is(const xmlNode *node, const char *name) {
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

const xmlNode *hf_ovf_read_child(const xmlNode *parent, const char *name) {
    for (const xmlNode *n = parent ? parent->children : NULL; n; n = n->next)
        if (hf_ovf_read_is(n, name))
            return n;
    return NULL;
}

/* Text nodes only, so that nothing is expanded; cut at the bound, between characters. */
static bool gather(const xmlNode *first, char *to, size_t size) {
    size_t at = 0;
    for (const xmlNode *n = first; n; n = n->next) {
        if ((n->type != XML_TEXT_NODE && n->type != XML_CDATA_SECTION_NODE) || !n->content)
            continue;
        size_t len = strlen((const char *)n->content), take = len < size - 1 - at ? len : size - 1 - at;
        while (take < len && take > 0 && (n->content[take] & 0xc0) == 0x80)
            take--;
        memcpy(to + at, n->content, take);
        at += take;
        to[at] = 0;
        if (take < len)
            return false;
    }
    return true;
}

static void trim(char *text) {
    size_t from = strspn(text, " \t\r\n"), len = strlen(text);
    while (len > from && strchr(" \t\r\n", text[len - 1]))
        len--;
    memmove(text, text + from, len - from);
    text[len - from] = 0;
}

bool hf_ovf_read_text(const xmlNode *node, char *to, size_t size) {
    to[0] = 0;
    bool whole = node && gather(node->children, to, size);
    trim(to);
    return whole && to[0];
}

bool hf_ovf_read_attribute(const xmlNode *node, const char *name, char *to, size_t size) {
    to[0] = 0;
    for (const xmlAttr *a = node ? node->properties : NULL; a; a = a->next)
        if (strcmp((const char *)a->name, name) == 0)
            return gather(a->children, to, size);
    return false;
}

bool hf_ovf_read_number(const char *text, int64_t *ret) {
    int64_t value = 0;
    if (!*text || strlen(text) > 18)
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return false;
        value = value * 10 + (*c - '0');
    }
    *ret = value;
    return true;
}

/* ---- units ------------------------------------------------------------------------------------------------ */
/* "byte * 2^20", "byte * 10^6", "2^20 * byte" … : factors after each other. */
static int64_t programmatic_unit(const char *units) {
    int64_t product = 1;
    bool bytes = false;
    for (const char *p = units; *p;) {
        unsigned long long base;
        unsigned exponent = 1;
        int used = 0;
        p += strspn(p, " \t*");
        if (!*p)
            break;
        if (strncasecmp(p, "byte", 4) == 0) {
            bytes = true;
            p += 4;
            p += *p == 's';
            continue;
        }
        if (*p < '0' || *p > '9' ||
            (sscanf(p, "%4llu ^ %2u%n", &base, &exponent, &used) != 2 && sscanf(p, "%4llu%n", &base, &used) != 1))
            return 0;
        for (unsigned i = 0; i < exponent; i++)
            if (__builtin_mul_overflow(product, (int64_t)base, &product) || product > (int64_t)1 << 50)
                return 0;
        p += used;
    }
    return bytes && product > 0 ? product : 0;
}

int64_t hf_ovf_unit_bytes(const char *units) {
    static const struct {
        const char *name;
        int64_t bytes;
    } words[] = {{"", 1},
                 {"byte", 1},
                 {"bytes", 1},
                 {"KiloBytes", 1 << 10},
                 {"KB", 1 << 10},
                 {"KiB", 1 << 10},
                 {"MegaBytes", 1 << 20},
                 {"MB", 1 << 20},
                 {"MiB", 1 << 20},
                 {"GigaBytes", 1 << 30},
                 {"GB", 1 << 30},
                 {"GiB", 1 << 30},
                 {"TeraBytes", (int64_t)1 << 40},
                 {"TB", (int64_t)1 << 40},
                 {"TiB", (int64_t)1 << 40}};
    for (size_t i = 0; i < HF_ARRAY_LEN(words); i++)
        if (strcasecmp(units, words[i].name) == 0)
            return words[i].bytes;
    return programmatic_unit(units);
}

/* ---- References -------------------------------------------------------------------------------------------- */
static bool plain_name(const char *href) {
    if (!*href || strcmp(href, ".") == 0 || strcmp(href, "..") == 0)
        return false;
    for (const char *c = href; *c; c++)
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static void optional_number(hf_ovf_reading *r, const xmlNode *node, const char *name, const char *subject,
                            int64_t *ret) {
    char text[32];
    if (!hf_ovf_read_attribute(node, name, text, sizeof text))
        return;
    if (!hf_ovf_read_number(text, ret))
        hf_finding_add(r->findings, HF_FIND_FILE_ATTRIBUTE, subject, "%s=\"%s\"", name, text);
}

static void check_file(hf_ovf_reading *r, hf_ovf_file *file, const char *compression) {
    hf_ovf_document *d = r->document;
    if (!file->id[0])
        hf_finding_add(r->findings, HF_FIND_FILE_ID, file->href, "a File without id");
    if (!file->plain_name)
        hf_finding_add(r->findings, HF_FIND_FILE_HREF, r->shown, "href \"%s\"", file->href);
    for (hf_ovf_file *f = d->files; f < file; f++) {
        if (file->id[0] && strcmp(f->id, file->id) == 0)
            hf_finding_add(r->findings, HF_FIND_FILE_ID, file->href, "id \"%s\" is also that of %s", file->id, f->href);
        if (strcasecmp(f->href, file->href) == 0)
            hf_finding_add(r->findings, HF_FIND_FILE_HREF_TWICE, file->href, "ids \"%s\" and \"%s\"", f->id, file->id);
    }
    file->gzip = strcmp(compression, "gzip") == 0;
    if (file->gzip)
        hf_finding_add(r->findings, HF_FIND_FILE_GZIP, file->href, "compression=\"gzip\"");
    else if (*compression && strcmp(compression, "identity") != 0)
        hf_finding_add(r->findings, HF_FIND_FILE_ATTRIBUTE, file->href, "compression=\"%s\"", compression);
    if (file->size_bytes < 0)
        hf_finding_add(r->findings, HF_FIND_FILE_SIZE_UNKNOWN, file->href, "no ovf:size");
    if (file->chunk_bytes > 0)
        hf_finding_add(r->findings, HF_FIND_FILE_CHUNKED, file->href, "chunkSize %" PRId64, file->chunk_bytes);
}

static void read_file(hf_ovf_reading *r, const xmlNode *node) {
    hf_ovf_document *d = r->document;
    char compression[32];
    if (d->file_count == HF_OVF_FILES_MAX) {
        hf_finding_add(r->findings, HF_FIND_OVF_LIMIT, r->shown, "more than %d files", HF_OVF_FILES_MAX);
        return;
    }
    hf_ovf_file *file = &d->files[d->file_count];
    *file = (hf_ovf_file){.size_bytes = -1};
    bool whole = hf_ovf_read_attribute(node, "href", file->href, sizeof file->href);
    hf_ovf_read_attribute(node, "id", file->id, sizeof file->id);
    hf_ovf_read_attribute(node, "compression", compression, sizeof compression);
    file->plain_name = whole && plain_name(file->href);
    optional_number(r, node, "size", file->href, &file->size_bytes);
    optional_number(r, node, "chunkSize", file->href, &file->chunk_bytes);
    check_file(r, file, compression);
    d->file_count++;
}

/* ---- DiskSection --------------------------------------------------------------------------------------------- */
static int32_t file_of(const hf_ovf_document *d, const char *id) {
    for (uint32_t i = 0; i < d->file_count; i++)
        if (strcmp(d->files[i].id, id) == 0)
            return (int32_t)i;
    return -1;
}

static void read_capacity(hf_ovf_reading *r, const xmlNode *node, hf_ovf_read_disk *disk) {
    char text[64], units[64];
    int64_t number;
    hf_ovf_read_attribute(node, "capacityAllocationUnits", units, sizeof units);
    if (!hf_ovf_read_attribute(node, "capacity", text, sizeof text) || strncmp(text, "${", 2) == 0) {
        hf_finding_add(r->findings, *text ? HF_FIND_DISK_PROPERTY : HF_FIND_DISK_CAPACITY, r->shown,
                       "disk %s: capacity \"%s\"", disk->id, text);
        return;
    }
    int64_t unit = hf_ovf_unit_bytes(units);
    if (!hf_ovf_read_number(text, &number) || unit == 0 ||
        __builtin_mul_overflow(number, unit, &disk->capacity_bytes) || disk->capacity_bytes > HF_VMDK_CAPACITY_MAX) {
        disk->capacity_bytes = -1;
        hf_finding_add(r->findings, HF_FIND_DISK_CAPACITY, r->shown, "disk %s: capacity \"%s\" of \"%s\"", disk->id,
                       text, units);
    }
}

static void read_disk(hf_ovf_reading *r, const xmlNode *node) {
    hf_ovf_document *d = r->document;
    char text[HF_OVF_ID_MAX + 1];
    if (d->disk_count == HF_OVF_DISKS_MAX) {
        hf_finding_add(r->findings, HF_FIND_OVF_LIMIT, r->shown, "more than %d disks", HF_OVF_DISKS_MAX);
        return;
    }
    hf_ovf_read_disk *disk = &d->disks[d->disk_count++];
    *disk = (hf_ovf_read_disk){.capacity_bytes = -1, .populated_bytes = -1, .file = -1, .place.controller = -1};
    hf_ovf_read_attribute(node, "diskId", disk->id, sizeof disk->id);
    hf_ovf_read_attribute(node, "format", disk->format, sizeof disk->format);
    hf_ovf_read_attribute(node, "parentRef", disk->parent, sizeof disk->parent);
    disk->stream_vmdk = strcasestr(disk->format, "vmdk") && strcasestr(disk->format, "streamOptimized");
    read_capacity(r, node, disk);
    if (hf_ovf_read_attribute(node, "populatedSize", text, sizeof text))
        hf_ovf_read_number(text, &disk->populated_bytes);
    if (disk->parent[0])
        hf_finding_add(r->findings, HF_FIND_DISK_PARENT, r->shown, "disk %s: parentRef \"%s\"", disk->id, disk->parent);
    if (!hf_ovf_read_attribute(node, "fileRef", text, sizeof text))
        return; /* an empty disk */
    disk->file = file_of(d, text);
    if (disk->file < 0)
        hf_finding_add(r->findings, HF_FIND_DISK_FILE, r->shown, "disk %s: fileRef \"%s\"", disk->id, text);
    else {
        d->files[disk->file].used = true;
        if (!disk->stream_vmdk)
            hf_finding_add(r->findings, HF_FIND_DISK_FORMAT, d->files[disk->file].href, "format \"%s\"", disk->format);
    }
}

/* ---- the envelope ---------------------------------------------------------------------------------------------- */
static bool section_known(const char *name) {
    static const char *const known[] = {"DiskSection",           "NetworkSection",          "ResourceAllocationSection",
                                        "AnnotationSection",     "ProductSection",          "EulaSection",
                                        "StartupSection",        "DeploymentOptionSection", "OperatingSystemSection",
                                        "InstallSection",        "VirtualHardwareSection",  "EnvironmentFilesSection",
                                        "BootDeviceSection",     "SharedDiskSection",       "ScaleOutSection",
                                        "PlacementGroupSection", "PlacementSection",        "EncryptionSection"};
    for (size_t i = 0; i < HF_ARRAY_LEN(known); i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return false;
}

static void note_section(hf_ovf_reading *r, const xmlNode *node) {
    char name[64], required[8], needle[68];
    size_t had = strlen(r->document->sections);
    hf_printable(name, sizeof name, (const char *)node->name, strlen((const char *)node->name));
    if (strlen(name) < 8 || strcmp(name + strlen(name) - 7, "Section") != 0)
        return;
    if (!section_known(name) &&
        !(hf_ovf_read_attribute(node, "required", required, sizeof required) && strcmp(required, "false") == 0))
        hf_finding_add(r->findings, HF_FIND_OVF_SECTION, r->shown, "section %s", name);
    snprintf(needle, sizeof needle, "%s ", name);
    if (!strstr(r->document->sections, needle) && had + strlen(needle) < sizeof r->document->sections)
        memcpy(r->document->sections + had, needle, strlen(needle) + 1);
}

/* Systems may stand inside collections inside each other: bounded depth. */
static void read_systems(hf_ovf_reading *r, const xmlNode *parent, int depth) {
    for (const xmlNode *n = parent->children; n; n = n->next) {
        if (n->type != XML_ELEMENT_NODE)
            continue;
        note_section(r, n);
        if (hf_ovf_read_is(n, "VirtualSystem")) {
            for (const xmlNode *s = n->children; s; s = s->next)
                if (s->type == XML_ELEMENT_NODE)
                    note_section(r, s);
            if (r->document->systems++ == 0)
                hf_ovf_read_system(r, n);
        } else if (hf_ovf_read_is(n, "VirtualSystemCollection")) {
            hf_finding_add(r->findings, HF_FIND_OVF_COLLECTION, r->shown, "a VirtualSystemCollection");
            if (depth > 0)
                read_systems(r, n, depth - 1);
        }
    }
}

static void read_envelope(hf_ovf_reading *r, const xmlNode *root) {
    hf_ovf_document *d = r->document;
    const xmlNode *references = hf_ovf_read_child(root, "References"), *disks = hf_ovf_read_child(root, "DiskSection");
    if (!hf_ovf_read_attribute(root, "version", d->version, sizeof d->version) || !d->version[0])
        snprintf(d->version, sizeof d->version, "%s",
                 root->ns && root->ns->href && strstr((const char *)root->ns->href, "envelope/2") ? "2.0" : "1.x");
    for (const xmlNode *n = references ? references->children : NULL; n; n = n->next)
        if (hf_ovf_read_is(n, "File"))
            read_file(r, n);
    for (const xmlNode *n = disks ? disks->children : NULL; n; n = n->next)
        if (hf_ovf_read_is(n, "Disk"))
            read_disk(r, n);
    read_systems(r, root, 4);
    if (d->systems == 0)
        hf_finding_add(r->findings, HF_FIND_OVF_SYSTEM, r->shown, "no VirtualSystem");
    for (uint32_t i = 0; i < d->file_count; i++)
        if (!d->files[i].used)
            hf_finding_add(r->findings, HF_FIND_FILE_UNUSED, d->files[i].href, "id \"%s\"", d->files[i].id);
}

static hf_code document_new(hf_ovf_document **ret, hf_err *reterr) {
    hf_ovf_document *d = hf_alloc(sizeof *d);
    if (d) {
        d->files = hf_alloc(HF_OVF_FILES_MAX * sizeof *d->files);
        d->disks = hf_alloc(HF_OVF_DISKS_MAX * sizeof *d->disks);
    }
    if (!d || !d->files || !d->disks) {
        hf_ovf_document_free(d);
        return hf_fail(reterr, HF_E_NO_MEMORY, "an OVF descriptor");
    }
    *ret = d;
    return HF_OK;
}

void hf_ovf_document_free(hf_ovf_document *document) {
    if (!document)
        return;
    free(document->files);
    free(document->disks);
    free(document);
}

/* A document type declaration ends the parse at once: nothing it declares is looked at. */
static void on_doctype(void *ctx, const xmlChar *name, const xmlChar *external, const xmlChar *system) {
    xmlParserCtxtPtr parser = ctx;
    (void)name, (void)external, (void)system;
    *(bool *)parser->_private = true;
    xmlStopParser(parser);
}

/* Whether the parser's tree is one to read; what keeps it from that is a finding. */
static bool acceptable(xmlDocPtr doc, xmlParserCtxtPtr parser, bool doctype, hf_ovf_reading *r) {
    if (doctype) {
        hf_finding_add(r->findings, HF_FIND_OVF_DOCTYPE, r->shown, "a <!DOCTYPE …>");
        return false;
    }
    if (!doc || !parser->wellFormed) {
        const xmlError *e = xmlCtxtGetLastError(parser);
        hf_finding_add(r->findings, HF_FIND_OVF_PARSE, r->shown, "line %d: %.*s", e ? e->line : 0,
                       e && e->message ? (int)strcspn(e->message, "\n") : 0, e && e->message ? e->message : "");
        return false;
    }
    const xmlNode *root = xmlDocGetRootElement(doc);
    if (root && hf_ovf_read_is(root, "Envelope"))
        return true;
    hf_finding_add(r->findings, HF_FIND_OVF_ROOT, r->shown, "the root element is %s",
                   root ? (const char *)root->name : "none");
    return false;
}

hf_code hf_ovf_read(hf_str text, const char *shown, hf_findings *findings, hf_ovf_document **ret, hf_err *reterr) {
    hf_ovf_reading r = {.shown = shown, .findings = findings};
    bool doctype = false;
    *ret = NULL;
    if (text.len > HF_OVF_READ_MAX) {
        hf_finding_add(findings, HF_FIND_OVF_SIZE, shown, "%u bytes; at most %d are read", text.len, HF_OVF_READ_MAX);
        return HF_OK;
    }
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    if (!parser)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an XML parser");
    parser->_private = &doctype;
    parser->sax->internalSubset = on_doctype;
    xmlDocPtr doc = xmlCtxtReadMemory(parser, text.p ? text.p : "", (int)text.len, NULL, NULL,
                                      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    hf_code rc = HF_OK;
    if (acceptable(doc, parser, doctype, &r) && (rc = document_new(&r.document, reterr)) == HF_OK) {
        read_envelope(&r, xmlDocGetRootElement(doc));
        *ret = r.document;
    }
    xmlFreeDoc(doc);
    xmlFreeParserCtxt(parser);
    return rc;
}
