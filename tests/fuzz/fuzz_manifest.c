// LIBS: hf_pipeline
/* Whatever stands in a manifest: lines that are kept are whole, and what is not understood is said. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/manifest_read.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hf_findings findings;
    hf_manifest *m = NULL;
    hf_findings_init(&findings);
    MUST(hf_manifest_read((hf_str){(const char *)data, (uint32_t)size}, "x.mf", &findings, &m, NULL) == HF_OK);
    MUST(m && m->count <= HF_MANIFEST_LINES_MAX);
    for (uint32_t i = 0; i < m->count; i++) {
        const hf_manifest_line *l = &m->lines[i];
        MUST(l->kind != HF_DIGEST_NONE && strlen(l->hex) == hf_digest_hex_len(l->kind));
        MUST(strspn(l->hex, "0123456789abcdef") == strlen(l->hex));
        MUST(l->name[0] && strlen(l->name) <= HF_MANIFEST_NAME_MAX && (i == 0 || l->number > m->lines[i - 1].number));
    }
    for (uint32_t i = 0; i < findings.count; i++)
        MUST(findings.items[i].detail[0] && !strchr(findings.items[i].detail, '\n'));
    hf_manifest_free(m);
    hf_findings_done(&findings);
    return 0;
}
