// LIBS: hf_provider hf_event
/* Whatever a server answers: it is refused, or read into values that keep their bounds and are UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "consumer/provider/vsphere/fault.h"
#include "consumer/provider/vsphere/hardware.h"
#include "consumer/provider/vsphere/lease_inside.h"
#include "schemas/base/mem.h"
#include "schemas/event/utf8.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)
#define TEXT(array_)                                                                                                   \
    MUST(memchr(array_, 0, sizeof(array_)) && hf_utf8_valid((const unsigned char *)(array_), strlen(array_)))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static hf_vsphere_vm vm;

static void read_machine(const xmlNode *object) {
    hf_nic_groups groups;
    hf_err err = {0};
    hf_code code = hf_hardware_read(object, &vm, &groups, &err);
    const hf_machine *m = &vm.machine;
    MUST(code == HF_OK || (code == HF_E_LIMIT && err.code == code));
    MUST(vm.disk_count <= HF_MAX_DISKS && vm.snapshot_count <= HF_VSPHERE_SNAPSHOTS_MAX &&
         vm.snapshots_total >= vm.snapshot_count);
    MUST(m->nic_count <= HF_MACHINE_NICS_MAX && m->controller_count <= HF_MACHINE_CONTROLLERS_MAX);
    TEXT(m->name);
    TEXT(m->os_name);
    TEXT(vm.ref.value);
    for (uint32_t i = 0; i < vm.disk_count; i++) {
        MUST(vm.disks[i].place.controller < (int32_t)m->controller_count && vm.disks[i].place.controller >= -1);
        MUST(vm.disks[i].capacity_bytes >= 0);
        TEXT(vm.disks[i].backing);
    }
    for (uint32_t i = 0; i < vm.snapshot_count; i++)
        TEXT(vm.snapshots[i].name);
    for (uint32_t i = 0; i < m->nic_count; i++)
        TEXT(m->nics[i].network);
}

static void read_lease(const xmlNode *info) {
    static const hf_endpoint endpoint = {.name = "e", .host = "h", .authority = "h:1", .port = 1};
    hf_lease lease = {.files = hf_alloc(HF_LEASE_FILES_MAX * sizeof *lease.files)};
    hf_err err = {0};
    hf_code code = lease.files ? hf_lease_read_info(&endpoint, &vm, info, &lease, &err) : HF_OK;
    MUST(code == HF_OK || (code == err.code && err.detail[0]));
    for (uint32_t i = 0; code == HF_OK && i < lease.file_count; i++) {
        const hf_lease_file *f = &lease.files[i];
        MUST(f->device >= -1 && f->device < (int32_t)vm.disk_count && f->size_bytes >= 0);
        MUST(strncasecmp(f->url, "https://", 8) == 0 && f->url[8] != '*');
        TEXT(f->key);
    }
    MUST(lease.timeout_ms >= 0 && lease.file_count <= HF_LEASE_FILES_MAX);
    hf_lease_done(&lease);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_soap_answer answer = {0};
    hf_err err = {0};
    const char *name = NULL;
    if (size > 1 << 20)
        return 0;
    hf_code code = hf_soap_parse((hf_str){(const char *)data, (uint32_t)size}, 1 << 20, &answer, &err);
    MUST(code == HF_OK ? !answer.fault != !answer.response : code == err.code && err.detail[0] && !answer.doc);
    if (answer.fault) {
        code = hf_soap_fault(&answer, &name, &err);
        MUST(code != HF_OK && name && code == err.code);
    }
    const xmlNode *page = hf_xml_child(answer.response, "returnval");
    for (xmlNode *o = hf_xml_child(page, "objects"); o; o = hf_xml_next(page, "objects", o))
        read_machine(o);
    if (page)
        read_lease(page);
    hf_soap_answer_done(&answer);
    return 0;
}
