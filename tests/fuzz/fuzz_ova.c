// LIBS: hf_pipeline
/* Whatever bytes stand in an archive: members lie inside it, those that may be written have plain names, no two of them the same, and the
 * pass reads each of them once. The input is tried as it is, and with the sums of its headers mended, so that what lies behind
 * them is reached. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/pipeline/ova_read.h"
#include "consumer/pipeline/tar.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 256 * 1024 };

static void mend_sums(uint8_t *p, size_t size) {
    for (size_t at = 0; at + HF_TAR_BLOCK <= size;) {
        uint8_t *block = p + at;
        unsigned sum = 0;
        char text[16];
        memset(block + 148, ' ', 8);
        for (int i = 0; i < HF_TAR_BLOCK; i++)
            sum += block[i];
        if (sum == 8 * ' ') {
            memset(block + 148, 0, 8);
            return;
        }
        snprintf(text, sizeof text, "%06o", sum & 0777777);
        memcpy(block + 148, text, 7);
        memcpy(text, block + 124, 12);
        text[12] = 0;
        long long len = strtoll(text, NULL, 8);
        at += HF_TAR_BLOCK + (len > 0 && len < INPUT_MAX ? (size_t)hf_tar_padded(len) : 0);
    }
}

typedef struct seen {
    const hf_member *current;
    int64_t bytes;
} seen;

static hf_code begin(void *ctx, const hf_member *m, hf_err *reterr) {
    seen *s = ctx;
    (void)reterr;
    MUST(!m->refused && m->name[0] && !strpbrk(m->name, "/\\") && strcmp(m->name, "..") != 0 &&
         strcmp(m->name, ".") != 0);
    *s = (seen){m, 0};
    return HF_OK;
}

static hf_code take(void *ctx, const hf_member *m, const void *bytes, size_t len, hf_err *reterr) {
    seen *s = ctx;
    (void)reterr;
    MUST(s->current == m && bytes && len > 0);
    s->bytes += (int64_t)len;
    return HF_OK;
}

static hf_code end(void *ctx, const hf_member *m, hf_err *reterr) {
    seen *s = ctx;
    (void)reterr;
    MUST(s->current == m && s->bytes == m->size_bytes && m->hashed);
    return HF_OK;
}

static void check(const hf_appliance *a, int64_t size) {
    for (uint32_t i = 0; i < a->member_count; i++) {
        const hf_member *m = &a->members[i];
        MUST(m->size_bytes >= 0 && m->base >= HF_TAR_BLOCK && m->base <= size && m->size_bytes <= size - m->base);
        MUST(m->file < 0 || (a->ovf && m->file < (int32_t)a->ovf->file_count));
        MUST(m->line < 0 || (a->manifest && m->line < (int32_t)a->manifest->count));
        for (uint32_t j = 0; j < i && hf_findings_errors(a->findings) == 0; j++)
            MUST(strcasecmp(a->members[j].name, m->name) != 0);
    }
}

static void try_one(const uint8_t *data, size_t size) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    hf_findings findings;
    hf_appliance *a = NULL;
    hf_flow flow;
    seen s = {0};
    hf_err err = {0};
    hf_flow_init(&flow);
    hf_findings_init(&findings);
    MUST(hf_appliance_open_archive(fd, &findings, &a, &err) == HF_OK);
    check(a, (int64_t)size);
    hf_pass pass = {
        .flags = HF_PASS_DEEP | HF_PASS_SHA256, .flow = &flow, .begin = begin, .bytes = take, .end = end, .ctx = &s};
    hf_code rc = hf_appliance_pass(a, &pass, &err);
    MUST(rc == HF_OK || err.detail[0]);
    hf_appliance_free(a);
    hf_findings_done(&findings);
    hf_flow_done(&flow);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t mended[INPUT_MAX];
    if (size > INPUT_MAX)
        return 0;
    try_one(data, size);
    memcpy(mended, data, size);
    mend_sums(mended, size);
    try_one(mended, size);
    return 0;
}
