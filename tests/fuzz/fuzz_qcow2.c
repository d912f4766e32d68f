// LIBS: hf_pipeline
/* Whatever a qcow2 image's header, extensions and snapshot table say: they are read inside the image only, what is told is bounded, and
 * an image that the probe lets through names no other file in them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/qcow2_read.h"

#define MUST(condition_)                                                                                               \
    do {                                                                                                               \
        if (!(condition_))                                                                                             \
            abort();                                                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const uint8_t *data;
    size_t size;
    int64_t read_bytes;
} input;

static hf_code read_input(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    input *in = ctx;
    (void)reterr;
    MUST(offset >= 0 && (size_t)offset <= in->size && len <= in->size - (size_t)offset);
    memcpy(to, in->data + offset, len);
    in->read_bytes += (int64_t)len;
    return HF_OK;
}

static void check_info(const input *in, const hf_qcow2_info *info) {
    MUST(info->version == 2 || info->version == 3);
    MUST(info->cluster_bytes >= 512 && info->cluster_bytes <= 2 << 20);
    MUST(info->virtual_bytes >= 0 && info->compression);
    MUST(info->snapshot_count <= info->snapshot_total && info->snapshot_count <= HF_QCOW2_SNAPSHOTS_LISTED);
    MUST(strlen(info->backing_file) <= HF_QCOW2_NAME_MAX && strlen(info->backing_format) < sizeof info->backing_format);
    for (uint32_t i = 0; i < info->snapshot_count; i++) {
        const hf_qcow2_snapshot *s = &info->snapshots[i];
        MUST(strnlen(s->id, sizeof s->id) < sizeof s->id && strnlen(s->name, sizeof s->name) < sizeof s->name);
        MUST(s->vm_state_bytes >= 0 && s->disk_bytes >= -1 && s->vm_clock_ns >= 0);
    }
    MUST(in->read_bytes < 256 * 1024); /* of an image of any size */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static hf_qcow2_info info;
    static uint8_t image[64 * 1024];
    if (size > sizeof image)
        return 0;
    memcpy(image, data, size);
    if (size >= 4)
        memcpy(image, "QFI\xfb", 4); /* the rest is for the fuzzer to find */
    input in = {image, size, 0};
    hf_err err = {0};
    hf_code rc = hf_qcow2_read_info(read_input, &in, (int64_t)size, &info, &err);
    MUST(rc == HF_OK || (rc == err.code && err.detail[0]));
    if (rc == HF_OK)
        check_info(&in, &info);
    hf_probe probe;
    hf_err refused = {0};
    hf_code probed = hf_probe_with(read_input, &in, (int64_t)size, &probe, &refused);
    MUST(probed == HF_OK || (probed == refused.code && refused.detail[0]));
    if (probed != HF_OK || size < 4)
        return 0;
    MUST(probe.format == HF_F_QCOW2 && probe.virtual_bytes >= 0);
    if (rc == HF_OK)
        MUST(!info.backing_file[0] && !info.external_data && !info.encrypted &&
             probe.snapshots == info.snapshot_total && probe.virtual_bytes == info.virtual_bytes);
    return 0;
}
