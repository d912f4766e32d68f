#include "consumer/pipeline/vmdk_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/pipeline/digest.h"

/* 0xffffffff and 0xfffffffe would mean something else. */
static hf_code content_id(const char *name, int64_t capacity_sectors, uint32_t *ret, hf_err *reterr) {
    char seed[512], hex[HF_DIGEST_HEX_MAX];
    int n = snprintf(seed, sizeof seed, "%s/%" PRId64, name, capacity_sectors);
    hf_code rc =
        hf_digest_bytes(HF_DIGEST_SHA256, seed, (size_t)n < sizeof seed ? (size_t)n : sizeof seed - 1, hex, reterr);
    if (rc == HF_OK)
        *ret = (uint32_t)strtoul((hex[8] = 0, hex), NULL, 16) & 0x7fffffff;
    return rc;
}

hf_code hf_vmdk_descriptor_text(const char *create_type, const char *access, const char *extent_name,
                                int64_t capacity_sectors, char text[HF_VMDK_DESCRIPTOR_SECTORS * HF_VMDK_SECTOR],
                                hf_err *reterr) {
    const size_t room = (size_t)HF_VMDK_DESCRIPTOR_SECTORS * HF_VMDK_SECTOR;
    uint32_t cid = 0;
    hf_code rc = content_id(extent_name, capacity_sectors, &cid, reterr);
    if (rc != HF_OK)
        return rc;
    int64_t cylinders = capacity_sectors / (255 * 63);
    memset(text, 0, room);
    int n = snprintf(
        text, room,
        "# Disk DescriptorFile\nversion=1\nCID=%08" PRIx32 "\nparentCID=ffffffff\ncreateType=\"%s\"\n\n"
        "# Extent description\n%s %" PRId64 " SPARSE \"%s\"\n\n"
        "# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"%" PRId64 "\"\n"
        "ddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.virtualHWVersion = \"10\"\n",
        cid, create_type, access, capacity_sectors, extent_name, cylinders > 65535 ? (int64_t)65535 : cylinders);
    if (n < 0 || (size_t)n >= room)
        return hf_fail(reterr, HF_E_LIMIT, "the VMDK's file name is too long for its descriptor");
    return HF_OK;
}
