// LIBS: hf_pipeline
/* Whatever bytes stand in an image: the probe reads inside it only, and what it lets through names no other file, except
 * for one flat extent by a plain name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/probe.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static hf_code read_input(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    const input *in = ctx;
    (void)reterr;
    MUST(offset >= 0 && (size_t)offset <= in->size && len <= in->size - (size_t)offset);
    memcpy(to, in->data + offset, len);
    return HF_OK;
}

/* The first half of the input stands at the image's front, the second at a place far in, so that tables at fixed offsets
 * (VHDX: 192 KiB) are reached by short inputs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { FAR = 192 * 1024, IMAGE = 1 << 20 };
    static uint8_t image[IMAGE];
    if (size > 256 * 1024)
        return 0;
    memset(image, 0, sizeof image);
    input plain = {data, size}, spread = {image, sizeof image};
    memcpy(image, data, size / 2 < FAR ? size / 2 : FAR);
    memcpy(image + FAR, data + size / 2, size - size / 2);
    input *const inputs[] = {&plain, &spread};
    for (int i = 0; i < 2; i++) {
        hf_probe probe;
        hf_err err = {0};
        hf_code rc = hf_probe_with(read_input, inputs[i], (int64_t)inputs[i]->size, &probe, &err);
        MUST(rc == HF_OK || (rc == err.code && err.detail[0]));
        if (rc != HF_OK)
            continue;
        MUST(probe.virtual_bytes >= -1 && probe.detail);
        MUST(!probe.flat ||
             (probe.flat_name[0] && !strchr(probe.flat_name, '/') && strcmp(probe.flat_name, "..") != 0));
        if (probe.format == HF_F_QCOW2)
            MUST(memcmp(inputs[i]->data + 8, "\0\0\0\0\0\0\0\0\0\0\0", 12) == 0); /* no backing file */
    }
    return 0;
}
