#include "consumer/pipeline/vmdk_inflate.h"

#include <inttypes.h>
#include <libdeflate.h>
#include <string.h>

#include "schemas/base/mem.h"

void hf_vmdk_lanes_init(hf_vmdk_lanes *lanes, size_t window_bytes) {
    *lanes = (hf_vmdk_lanes){.window_bytes = window_bytes};
    pthread_mutex_init(&lanes->lock, NULL);
}

void hf_vmdk_lanes_done(hf_vmdk_lanes *lanes) {
    for (hf_vmdk_lane *lane; (lane = lanes->free) != NULL;) {
        lanes->free = lane->next;
        libdeflate_free_decompressor(lane->inflater);
        free(lane);
    }
    pthread_mutex_destroy(&lanes->lock);
}

hf_vmdk_lane *hf_vmdk_lane_take(hf_vmdk_lanes *lanes, hf_err *reterr) {
    pthread_mutex_lock(&lanes->lock);
    hf_vmdk_lane *lane = lanes->free;
    if (lane)
        lanes->free = lane->next;
    pthread_mutex_unlock(&lanes->lock);
    if (!lane && (lane = hf_alloc(sizeof *lane + lanes->window_bytes)) != NULL &&
        !(lane->inflater = libdeflate_alloc_decompressor())) {
        free(lane);
        lane = NULL;
    }
    if (!lane)
        hf_fail(reterr, HF_E_NO_MEMORY, "inflating a VMDK's grains");
    else
        lane->have = 0;
    return lane;
}

void hf_vmdk_lane_give(hf_vmdk_lanes *lanes, hf_vmdk_lane *lane) {
    pthread_mutex_lock(&lanes->lock);
    lane->next = lanes->free;
    lanes->free = lane;
    pthread_mutex_unlock(&lanes->lock);
}

static const char *reason(enum libdeflate_result result) {
    switch (result) {
    case LIBDEFLATE_BAD_DATA: return "its data is damaged, or its Adler-32 is another";
    case LIBDEFLATE_INSUFFICIENT_SPACE: return "it is longer than a grain";
    case LIBDEFLATE_SHORT_OUTPUT:
    case LIBDEFLATE_SUCCESS: break;
    }
    return "it is shorter than a grain";
}

hf_code hf_vmdk_inflate(hf_vmdk_lane *lane, const hf_vmdk_packed *p, void *to, size_t from, size_t len,
                        hf_err *reterr) {
    uint8_t *whole = from == 0 && len == p->grain_bytes ? to : lane->grain;
    size_t got = 0;
    enum libdeflate_result result =
        libdeflate_zlib_decompress(lane->inflater, p->data, p->len, whole, p->grain_bytes, &got);
    if (result != LIBDEFLATE_SUCCESS || got < p->need_bytes)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK's grain at disk offset %" PRId64 " does not inflate: %s",
                       p->disk_offset, reason(result));
    memset(whole + got, 0, p->grain_bytes - got);
    if (whole != to)
        memcpy(to, whole + from, len);
    return HF_OK;
}
