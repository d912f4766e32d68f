/* A descriptor is what strict readers want, for any machine: ids unique, parents there, elements in the schema's order, no place
 * taken twice; and completing a machine changes nothing that was whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <stdio.h>
#include <string.h>

#include "consumer/pipeline/ovf.h"
#include "consumer/pipeline/ovf_read.h"

enum { DISKS_MAX = 64 };

/* ---- machines by chance ------------------------------------------------------------------------------------------- */
static uint64_t chance_state;

static uint32_t chance(uint32_t below) {
    chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chance_state >> 33) % below;
}

static const char *const guests[] = {"debian12_64Guest", "windows2019srv_64Guest", "otherGuest64", "newOs99_64Guest",
                                     ""};
static const char *const models[] = {"VmxNet3", "E1000", "E1000e", "PCNet32", ""};
static const char *const names[] = {"VM Network", "dmz <a> & \"b\"", "Größe", ""};

static hf_machine some_machine(hf_machine_place *places, uint32_t disks) {
    hf_machine m = {.cpus = (int32_t)chance(9), .memory_mb = (int32_t)chance(9) * 512};
    m.cores_per_socket = (int32_t)chance(4);
    m.firmware = (hf_firmware)chance(3);
    m.secure_boot = m.firmware == HF_FIRMWARE_EFI && chance(2);
    m.cdrom = chance(2);
    m.floppy = chance(2);
    m.hardware_version = chance(22);
    snprintf(m.name, sizeof m.name, "%s", names[chance(4)]);
    snprintf(m.os_type, sizeof m.os_type, "%s", guests[chance(5)]);
    m.controller_count = chance(6);
    for (uint32_t i = 0; i < m.controller_count; i++)
        m.controllers[i] = (hf_machine_controller){(hf_controller_kind)chance(8), (int32_t)chance(5) - 1};
    m.nic_count = chance(4);
    for (uint32_t i = 0; i < m.nic_count; i++) {
        snprintf(m.nics[i].model, sizeof m.nics[i].model, "%s", models[chance(5)]);
        snprintf(m.nics[i].network, sizeof m.nics[i].network, "%s", names[chance(4)]);
        if (chance(2))
            snprintf(m.nics[i].mac, sizeof m.nics[i].mac, "00:50:56:00:00:%02x", chance(256));
    }
    for (uint32_t i = 0; i < disks; i++)
        places[i] = (hf_machine_place){(int32_t)chance(7) - 1, (int32_t)chance(20) - 1};
    return m;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */
typedef struct reading {
    xmlDocPtr doc;
    xmlXPathContextPtr context;
} reading;

static void open_text(reading *r, const hf_buf *text, hf_ovf_version version) {
    r->doc = xmlReadMemory((const char *)text->data, (int)text->len, "x.ovf", NULL, XML_PARSE_NONET);
    assert_non_null(r->doc);
    r->context = xmlXPathNewContext(r->doc);
    const char *uri =
        version == HF_OVF_2_0 ? "http://schemas.dmtf.org/ovf/envelope/2" : "http://schemas.dmtf.org/ovf/envelope/1";
    xmlXPathRegisterNs(r->context, (const xmlChar *)"o", (const xmlChar *)uri);
    xmlXPathRegisterNs(r->context, (const xmlChar *)"v", (const xmlChar *)"http://www.vmware.com/schema/ovf");
}

static void close_text(reading *r) {
    xmlXPathFreeContext(r->context);
    xmlFreeDoc(r->doc);
}

/* The string value of an expression; the last eight stay valid. */
static const char *ask(reading *r, const char *format, ...) {
    static char kept[8][512];
    static unsigned turn;
    char expression[512], *to = kept[turn++ % 8];
    va_list args;
    va_start(args, format);
    vsnprintf(expression, sizeof expression, format, args);
    va_end(args);
    xmlXPathObjectPtr object = xmlXPathEvalExpression((const xmlChar *)expression, r->context);
    if (!object)
        fail_msg("%s", expression);
    xmlChar *text = xmlXPathCastToString(object);
    snprintf(to, 512, "%s", (const char *)text);
    xmlFree(text);
    xmlXPathFreeObject(object);
    return to;
}

static int number(reading *r, const char *expression) { return atoi(ask(r, "%s", expression)); }

static hf_buf written(const hf_ovf *ovf) {
    hf_buf text;
    hf_err err;
    hf_buf_init(&text, HF_OVF_MAX_BYTES);
    if (hf_ovf_write(ovf, &text, &err) != HF_OK)
        fail_msg("%s", err.detail);
    return text;
}

/* ---- what must hold ----------------------------------------------------------------------------------------------------- */
/* An item as it is read back: a few of its children. */
typedef struct seen {
    int type, id, parent;
    char host_resource[32], connection[64];
} seen;
typedef struct items {
    seen list[160];
    int count;
} items;

static xmlNodePtr next_element(xmlNodePtr node) {
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

static void take(seen *to, const char *name, const char *text) {
    if (!strcmp(name, "ResourceType"))
        to->type = atoi(text);
    else if (!strcmp(name, "InstanceID"))
        to->id = atoi(text);
    else if (!strcmp(name, "Parent"))
        to->parent = atoi(text);
    else if (!strcmp(name, "HostResource"))
        snprintf(to->host_resource, sizeof to->host_resource, "%s", text);
    else if (!strcmp(name, "Connection"))
        snprintf(to->connection, sizeof to->connection, "%s", text);
}

/* Children are in alphabetical order, extensions last; InstanceIDs are 1, 2, 3 … */
static void read_items(reading *r, items *ret) {
    xmlXPathObjectPtr found =
        xmlXPathEvalExpression((const xmlChar *)"/*/o:VirtualSystem/o:VirtualHardwareSection", r->context);
    assert_int_equal(found->nodesetval->nodeNr, 1);
    xmlNodePtr item = next_element(found->nodesetval->nodeTab[0]->children);
    *ret = (items){0};
    for (; item; item = next_element(item->next)) {
        const char *last = "";
        if (!strstr((const char *)item->name, "Item"))
            continue;
        seen *to = &ret->list[ret->count++];
        for (xmlNodePtr child = next_element(item->children); child; child = next_element(child->next)) {
            const char *name = (const char *)child->name;
            if (strcmp(name, "CoresPerSocket") != 0 && strcmp(last, name) >= 0)
                fail_msg("%s stands before %s", last, name);
            take(to, name, (const char *)child->children->content);
            last = name;
        }
        assert_int_equal(to->id, ret->count);
    }
    xmlXPathFreeObject(found);
}

static int count_of(const items *all, int type) {
    int n = 0;
    for (int i = 0; i < all->count; i++)
        n += all->list[i].type == type;
    return n;
}

static void check_items(reading *r, const hf_ovf *ovf) {
    static items all;
    read_items(r, &all);
    assert_int_equal(count_of(&all, 17), ovf->disk_count);
    assert_int_equal(count_of(&all, 15), ovf->machine->cdrom);
    assert_int_equal(count_of(&all, 14), ovf->machine->floppy);
    assert_int_equal(count_of(&all, 10), ovf->machine->nic_count);
    uint32_t disk = 0;
    for (int i = 0; i < all.count; i++) {
        const seen *it = &all.list[i];
        char want[32];
        if (it->type != 17)
            continue;
        assert_in_range(it->parent, 1, i);
        const hf_machine_controller *c = &ovf->machine->controllers[ovf->disks[disk].place.controller];
        hf_controller_family family = hf_controller_family_of(c->kind);
        assert_int_equal(all.list[it->parent - 1].type, family == HF_BUS_IDE ? 5 : family == HF_BUS_SCSI ? 6 : 20);
        snprintf(want, sizeof want, "ovf:/disk/vmdisk%u", ++disk);
        assert_string_equal(it->host_resource, want);
    }
    /* every network that is named is listed, every disk has its file */
    assert_string_equal(ask(r, "count(//*[local-name()='Connection'][not(. = /*/o:NetworkSection/o:Network/@o:name)])"),
                        "0");
    assert_string_equal(ask(r, "count(/*/o:DiskSection/o:Disk[not(@o:fileRef = /*/o:References/o:File/@o:id)])"), "0");
}

static void check_places(const hf_ovf *ovf) {
    for (uint32_t i = 0; i < ovf->disk_count; i++) {
        hf_machine_place p = ovf->disks[i].place;
        assert_in_range(p.controller, 0, ovf->machine->controller_count - 1);
        assert_true(p.unit >= 0);
        assert_false(hf_controller_family_of(ovf->machine->controllers[p.controller].kind) == HF_BUS_SCSI &&
                     p.unit == 7);
        for (uint32_t k = 0; k < i; k++)
            assert_false(ovf->disks[k].place.controller == p.controller && ovf->disks[k].place.unit == p.unit);
    }
    for (uint32_t i = 0; i < ovf->machine->controller_count; i++)
        for (uint32_t k = 0; k < i; k++)
            assert_false(ovf->machine->controllers[i].bus == ovf->machine->controllers[k].bus &&
                         hf_controller_family_of(ovf->machine->controllers[i].kind) ==
                             hf_controller_family_of(ovf->machine->controllers[k].kind));
}

static void any_machine_is_said_well(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        chance_state = seed;
        uint32_t count = 1 + chance(seed % 25 == 0 ? DISKS_MAX : 5);
        hf_machine_place places[DISKS_MAX], again[DISKS_MAX];
        hf_ovf_disk disks[DISKS_MAX];
        hf_machine m = some_machine(places, count);
        assert_int_equal(hf_machine_complete(&m, places, count, HF_CTL_NONE, NULL), HF_OK);
        hf_machine twice = m;
        memcpy(again, places, sizeof again);
        assert_int_equal(hf_machine_complete(&twice, again, count, HF_CTL_NONE, NULL), HF_OK);
        assert_memory_equal(&m, &twice, sizeof m);
        assert_memory_equal(places, again, count * sizeof *places);
        for (uint32_t i = 0; i < count; i++)
            disks[i] = (hf_ovf_disk){"d.vmdk", 1000, 4096, 512, places[i]};
        hf_ovf ovf = {.name = "x", .machine = &m, .disks = disks, .disk_count = count};
        ovf.version = chance(2) ? HF_OVF_2_0 : HF_OVF_1_1;
        check_places(&ovf);
        hf_buf text = written(&ovf);
        reading r;
        open_text(&r, &text, ovf.version);
        check_items(&r, &ovf);
        close_text(&r);
        hf_buf_done(&text);
    }
}

/* ---- there and back ----------------------------------------------------------------------------------------------------- */
static void same_controllers(const hf_machine *a, const hf_machine *b) {
    assert_int_equal(a->controller_count, b->controller_count);
    for (uint32_t i = 0; i < a->controller_count; i++) {
        assert_int_equal(a->controllers[i].kind, b->controllers[i].kind);
        assert_int_equal(a->controllers[i].bus, b->controllers[i].bus);
    }
}

static void same_machine(const hf_machine *a, const hf_machine *b) {
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->os_type, b->os_type);
    assert_string_equal(a->os_name, b->os_name);
    assert_int_equal(a->cpus, b->cpus);
    assert_int_equal(a->cores_per_socket, b->cores_per_socket);
    assert_int_equal(a->memory_mb, b->memory_mb);
    assert_int_equal(a->firmware, b->firmware);
    assert_int_equal(a->secure_boot, b->secure_boot);
    assert_int_equal(a->cdrom, b->cdrom);
    assert_int_equal(a->floppy, b->floppy);
    assert_int_equal(a->hardware_version, b->hardware_version);
    assert_int_equal(a->nic_count, b->nic_count);
    for (uint32_t i = 0; i < a->nic_count; i++) {
        assert_string_equal(a->nics[i].model, b->nics[i].model);
        assert_string_equal(a->nics[i].network, b->nics[i].network);
        assert_string_equal(a->nics[i].mac, b->nics[i].mac);
    }
    same_controllers(a, b);
}

static void same_disks(const hf_ovf *wrote, const hf_ovf_document *read) {
    assert_int_equal(read->disk_count, wrote->disk_count);
    for (uint32_t i = 0; i < wrote->disk_count; i++) {
        const hf_ovf_read_disk *d = &read->disks[i];
        assert_int_equal(d->capacity_bytes, wrote->disks[i].capacity_bytes);
        assert_int_equal(d->populated_bytes, wrote->disks[i].populated_bytes);
        assert_true(d->stream_vmdk);
        assert_int_equal(d->file, i);
        assert_string_equal(read->files[i].href, wrote->disks[i].file_name);
        assert_int_equal(read->files[i].size_bytes, wrote->disks[i].file_bytes);
        assert_int_equal(d->place.controller, wrote->disks[i].place.controller);
        assert_int_equal(d->place.unit, wrote->disks[i].place.unit);
    }
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        chance_state = seed * 77;
        uint32_t count = 1 + chance(seed % 25 == 0 ? DISKS_MAX : 6);
        hf_machine_place places[DISKS_MAX];
        hf_ovf_disk disks[DISKS_MAX];
        char files[DISKS_MAX][32];
        hf_machine m = some_machine(places, count);
        if (!m.name[0])
            snprintf(m.name, sizeof m.name, "vm");
        assert_int_equal(hf_machine_complete(&m, places, count, HF_CTL_NONE, NULL), HF_OK);
        for (uint32_t i = 0; i < count; i++) {
            snprintf(files[i], sizeof files[i], "disk%u.vmdk", i);
            disks[i] = (hf_ovf_disk){files[i], 1000 + i, 4096 * (i + 1), 512 * i, places[i]};
        }
        hf_ovf ovf = {.name = m.name, .machine = &m, .disks = disks, .disk_count = count};
        ovf.version = chance(2) ? HF_OVF_2_0 : HF_OVF_1_1;
        hf_buf text = written(&ovf);
        hf_findings findings;
        hf_ovf_document *document = NULL;
        hf_findings_init(&findings);
        assert_int_equal(hf_ovf_read(hf_buf_str(&text), "x.ovf", &findings, &document, NULL), HF_OK);
        if (findings.count > 0)
            fail_msg("%s %s", hf_finding_name(findings.items[0].id), findings.items[0].detail);
        same_machine(&m, &document->machine);
        same_disks(&ovf, document);
        hf_ovf_document_free(document);
        hf_findings_done(&findings);
        hf_buf_done(&text);
    }
}

/* ---- single things ------------------------------------------------------------------------------------------------------ */
static hf_machine plain_machine(hf_machine_place *place) {
    hf_machine m = {.cpus = 4, .cores_per_socket = 2, .memory_mb = 2048, .firmware = HF_FIRMWARE_EFI};
    m.secure_boot = true;
    snprintf(m.os_type, sizeof m.os_type, "rhel9_64Guest");
    *place = (hf_machine_place){-1, 0};
    assert_int_equal(hf_machine_complete(&m, place, 1, HF_CTL_PVSCSI, NULL), HF_OK);
    return m;
}

static void what_a_machine_is_stands_there(void **state) {
    (void)state;
    hf_machine_place place;
    hf_machine m = plain_machine(&place);
    hf_ovf_disk disk = {"d.vmdk", 1000, 1001, 512, place};
    hf_ovf ovf = {.name = "v\x01m <1>\xff", .machine = &m, .disks = &disk, .disk_count = 1, .annotation = "one\ntwo"};
    for (int v = 0; v < 2; v++) {
        reading r;
        ovf.version = (hf_ovf_version)v;
        hf_buf text = written(&ovf);
        open_text(&r, &text, ovf.version);
        assert_string_equal(ask(&r, "string(//o:OperatingSystemSection/@o:id)"), "80");
        assert_string_equal(ask(&r, "string(//o:OperatingSystemSection/@v:osType)"), "rhel9_64Guest");
        assert_string_equal(ask(&r, "string(//o:OperatingSystemSection/o:Description)"),
                            "Red Hat Enterprise Linux 9 (64-bit)");
        assert_string_equal(ask(&r, "string(//v:Config[@v:key='firmware']/@v:value)"), "efi");
        assert_string_equal(ask(&r, "string(//v:Config[@v:key='bootOptions.efiSecureBootEnabled']/@v:value)"), "true");
        assert_string_equal(ask(&r, "string(//v:CoresPerSocket)"), "2");
        assert_string_equal(ask(&r, "string(//o:VirtualSystem/o:Name)"), "v m <1>?");
        assert_string_equal(ask(&r, "string(//o:Annotation)"), "one\ntwo");
        assert_string_equal(ask(&r, "string(//o:Disk/@o:capacity)"), "1024");
        assert_string_equal(ask(&r, "string(//*[local-name()='VirtualSystemType'])"), "vmx-13");
        assert_string_equal(
            ask(&r, "string(//*[local-name()='ResourceType'][.=6]/../*[local-name()='ResourceSubType'])"),
            "VirtualSCSI");
        assert_int_equal(number(&r, "count(//o:StorageItem)"), v == HF_OVF_2_0);
        close_text(&r);
        hf_buf_done(&text);
    }
}

static void a_kind_that_is_full_is_refused(void **state) {
    (void)state;
    hf_machine_place places[DISKS_MAX] = {{0}};
    hf_machine m = {0};
    hf_err err;
    assert_int_equal(hf_machine_complete(&m, places, 5, HF_CTL_IDE, &err), HF_E_LIMIT);
    assert_non_null(strstr(err.detail, "IDE"));
    m = (hf_machine){0};
    assert_int_equal(hf_machine_complete(&m, places, 61, HF_CTL_LSISAS, &err), HF_E_LIMIT);
    m = (hf_machine){0};
    assert_int_equal(hf_machine_complete(&m, places, 60, HF_CTL_LSISAS, &err), HF_OK);
    m = (hf_machine){0};
    for (int i = 0; i < DISKS_MAX; i++)
        places[i].controller = -1;
    assert_int_equal(hf_machine_complete(&m, places, DISKS_MAX, HF_CTL_NONE, &err), HF_OK); /* the rest on SATA */
    assert_int_equal(m.controllers[places[63].controller].kind, HF_CTL_SATA);
}

static void what_was_inspected_has_an_id(void **state) {
    (void)state;
    static const struct {
        hf_guest_facts facts;
        const char *id; /* NULL: none */
    } cases[] = {
        {{"linux", "debian", "Debian GNU/Linux 12", "x86_64", 12, 5}, "debian12_64Guest"},
        {{"linux", "debian", "", "i386", 11, 0}, "debian11Guest"},
        {{"linux", "debian", "", "x86_64", 40, 0}, "debian13_64Guest"},
        {{"linux", "debian", "", "x86_64", 2000000000, 0}, "debian13_64Guest"},
        {{"linux", "ubuntu", "", "x86_64", 24, 4}, "ubuntu64Guest"},
        {{"linux", "rhel", "", "x86_64", 9, 4}, "rhel9_64Guest"},
        {{"linux", "centos", "", "x86_64", 5, 0}, "centos64Guest"},
        {{"linux", "rocky", "", "x86_64", 9, 0}, "rockylinux_64Guest"},
        {{"linux", "sles", "", "x86_64", 15, 0}, "sles15_64Guest"},
        {{"linux", "slackware", "", "x86_64", 15, 0}, "otherLinux64Guest"},
        {{"linux", "", "", "i386", -1, 0}, "otherLinuxGuest"},
        {{"windows", "windows", "Windows Server 2019 Standard", "x86_64", 10, 0}, "windows9Server64Guest"},
        {{"windows", "windows", "Windows Server 2012 R2 Standard", "x86_64", 6, 3}, "windows8Server64Guest"},
        {{"windows", "windows", "Windows 11 Pro", "x86_64", 10, 0}, "windows11_64Guest"},
        {{"windows", "windows", "Windows 10 Pro", "i386", 10, 0}, "windows9Guest"},
        {{"windows", "windows", "Windows 7 Professional", "x86_64", 6, 1}, "windows7_64Guest"},
        {{"windows", "windows", "Windows 95", "i386", 4, 0}, NULL},
        {{"linux", "debian", "", "aarch64", 12, 0}, NULL},
        {{"freebsd", "freebsd", "", "x86_64", 14, 0}, NULL},
        {{"", "", "", "", 0, 0}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[64] = "";
        assert_int_equal(hf_guest_id(&cases[i].facts, id), cases[i].id != NULL);
        assert_string_equal(id, cases[i].id ? cases[i].id : "");
    }
}

static void guests_have_their_numbers(void **state) {
    (void)state;
    assert_int_equal(hf_guest_cim("debian12_64Guest"), 96);
    assert_int_equal(hf_guest_cim("windows9Server64Guest"), 118);
    assert_int_equal(hf_guest_cim("otherGuest"), 1);
    assert_int_equal(hf_guest_cim("somethingLinux64Guest"), 101);
    assert_int_equal(hf_guest_cim("something64Guest"), 102);
    assert_int_equal(hf_guest_cim(""), 1);
    assert_null(hf_guest_find("no"));
    static const char *const ids[] = {
#define HF_GUEST(id, cim, name) id,
#include "consumer/pipeline/guest_os.def"
#undef HF_GUEST
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_machine_is_said_well),       cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(what_a_machine_is_stands_there), cmocka_unit_test(a_kind_that_is_full_is_refused),
        cmocka_unit_test(what_was_inspected_has_an_id),   cmocka_unit_test(guests_have_their_numbers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    xmlCleanupParser();
    return failed;
}
