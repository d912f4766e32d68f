// LIBS: hf_pipeline
/* Whatever stands in a descriptor: what is told is within its bounds, indexes point to what is there, and names that may be looked for are
 * plain. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/ovf_read.h"
#include "consumer/pipeline/vmdk.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const hf_ovf_document *d) {
    MUST(d->file_count <= HF_OVF_FILES_MAX && d->disk_count <= HF_OVF_DISKS_MAX);
    for (uint32_t i = 0; i < d->file_count; i++) {
        const hf_ovf_file *f = &d->files[i];
        MUST(f->size_bytes >= -1 && f->chunk_bytes >= 0);
        MUST(!f->plain_name || (f->href[0] && !strpbrk(f->href, "/\\\n") && strcmp(f->href, "..") != 0));
    }
    for (uint32_t i = 0; i < d->disk_count; i++) {
        const hf_ovf_read_disk *k = &d->disks[i];
        MUST(k->file >= -1 && k->file < (int32_t)d->file_count);
        MUST(k->capacity_bytes >= -1 && k->capacity_bytes <= HF_VMDK_CAPACITY_MAX && k->populated_bytes >= -1);
        MUST(k->place.controller >= -1 && k->place.controller < (int32_t)d->machine.controller_count);
    }
    MUST(d->machine.cpus >= 0 && d->machine.memory_mb >= 0 && d->machine.nic_count <= HF_MACHINE_NICS_MAX);
    MUST(d->machine.controller_count <= HF_MACHINE_CONTROLLERS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_findings findings;
    hf_ovf_document *d = NULL;
    hf_findings_init(&findings);
    MUST(hf_ovf_read((hf_str){(const char *)data, (uint32_t)size}, "x.ovf", &findings, &d, NULL) == HF_OK);
    MUST(d || hf_findings_errors(&findings) > 0);
    if (d)
        check(d);
    hf_ovf_document_free(d);
    hf_findings_done(&findings);
    return 0;
}
