#include "consumer/pipeline/probe.h"

#include <inttypes.h>
#include <strings.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/probe_vmdk.h"
#include "consumer/pipeline/source.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"

enum { HEAD_BYTES = 64 * 1024, SECTOR = 512 };

static const struct {
    const char *name, *qemu, *other;
} formats[HF_F_COUNT] = {
    [HF_F_RAW] = {"raw", "raw", "img"}, [HF_F_QCOW2] = {"qcow2", "qcow2", "qcow"}, [HF_F_VMDK] = {"vmdk", "vmdk", ""},
    [HF_F_VDI] = {"vdi", "vdi", ""},    [HF_F_VHD] = {"vhd", "vpc", "vpc"},        [HF_F_VHDX] = {"vhdx", "vhdx", ""},
};

const char *hf_format_name(hf_format format) { return formats[format].name; }
const char *hf_format_qemu(hf_format format) { return formats[format].qemu; }

bool hf_format_parse(hf_str name, hf_format *ret) {
    for (int f = 0; name.len > 0 && f < HF_F_COUNT; f++)
        if ((name.len == strlen(formats[f].name) && strncasecmp(name.p, formats[f].name, name.len) == 0) ||
            (name.len == strlen(formats[f].other) && strncasecmp(name.p, formats[f].other, name.len) == 0)) {
            *ret = (hf_format)f;
            return true;
        }
    return false;
}

typedef struct image {
    hf_probe_read read;
    void *ctx;
    int64_t size;
    uint8_t *head; /* HEAD_BYTES, zero behind head_len */
    size_t head_len;
    uint8_t tail[SECTOR];
} image;

static hf_code refuse(hf_err *reterr, const char *what) {
    return hf_fail(
        reterr, HF_E_SOURCE_INVALID,
        "%s: such an image is not opened, because its header would choose which files of this host are read; "
        "flatten it first (qemu-img convert)",
        what);
}

/* ---- qcow2 ------------------------------------------------------------------------------------- */
enum { QCOW2_DATA_FILE_BIT = 4, QCOW2_EXT_DATA_FILE = 0x44415441, QCOW2_EXT_END = 0 };

static hf_code check_qcow2_extensions(const image *m, uint32_t at, hf_err *reterr) {
    while (at + 8 <= m->head_len) {
        uint32_t type = hf_be32(m->head + at), len = hf_be32(m->head + at + 4);
        if (type == QCOW2_EXT_END)
            return HF_OK;
        if (type == QCOW2_EXT_DATA_FILE)
            return refuse(reterr, "the qcow2 image names an external data file");
        if (len > m->head_len)
            break;
        at += 8 + (len + 7) / 8 * 8;
    }
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "the qcow2 header's extensions have no end in its first %zu bytes",
                   m->head_len);
}

static hf_code probe_qcow2(const image *m, hf_probe *ret, hf_err *reterr) {
    const uint8_t *h = m->head;
    uint32_t version = hf_be32(h + 4);
    ret->format = HF_F_QCOW2;
    if (m->head_len < 112 || version < 2 || version > 3)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "a qcow image of version %" PRIu32 ": versions 2 and 3 are read",
                       version);
    if (hf_be64(h + 8) != 0 || hf_be32(h + 16) != 0)
        return refuse(reterr, "the qcow2 image has a backing file");
    if (hf_be32(h + 32) != 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "the qcow2 image is encrypted: decrypt it first (qemu-img convert)");
    uint64_t size = hf_be64(h + 24);
    if (size > INT64_MAX)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the qcow2 header says %" PRIu64 " bytes", size);
    ret->virtual_bytes = (int64_t)size;
    ret->snapshots = hf_be32(h + 60);
    ret->cluster_bytes = hf_be32(h + 20) <= 21 ? 1u << hf_be32(h + 20) : 0;
    ret->detail = version == 3 ? "version 3" : "version 2";
    uint32_t header_len = version == 3 ? hf_be32(h + 100) : 72;
    if (version == 3 && hf_be64(h + 72) & QCOW2_DATA_FILE_BIT)
        return refuse(reterr, "the qcow2 image keeps its data in an external file");
    if (header_len < 72 || header_len > m->head_len)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the qcow2 header says it is %" PRIu32 " bytes long", header_len);
    return check_qcow2_extensions(m, header_len, reterr);
}

/* ---- VMDK ---------------------------------------------------------------------------------------- */
static hf_code probe_vmdk_sparse(const image *m, hf_probe *ret, hf_err *reterr) {
    const uint8_t *h = m->head;
    uint64_t capacity = hf_le64(h + HF_VMDK_AT_CAPACITY), at = hf_le64(h + HF_VMDK_AT_DESCRIPTOR),
             sectors = hf_le64(h + HF_VMDK_AT_DESCRIPTOR_SIZE);
    ret->format = HF_F_VMDK;
    if (m->head_len < SECTOR || capacity > INT64_MAX / SECTOR)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK header says %" PRIu64 " sectors", capacity);
    if (capacity == 0) /* QEMU then follows the descriptor's extents instead */
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VMDK header says the disk has no sectors");
    ret->virtual_bytes = (int64_t)capacity * SECTOR;
    ret->detail = hf_le32(h + HF_VMDK_AT_FLAGS) & 0x20000 ? "streamOptimized" : "sparse";
    ret->compression = hf_le16(h + HF_VMDK_AT_COMPRESS) == 1 ? "deflate" : "";
    uint64_t grain = hf_le64(h + HF_VMDK_AT_GRAIN_SIZE);
    ret->cluster_bytes = grain <= UINT32_MAX / SECTOR ? (uint32_t)grain * SECTOR : 0;
    if (at == 0)
        return HF_OK;
    if (sectors > HF_VMDK_DESCRIPTOR_MAX / SECTOR || at > (uint64_t)m->size / SECTOR ||
        sectors > (uint64_t)m->size / SECTOR - at)
        return hf_fail(reterr, HF_E_SOURCE_INVALID,
                       "the VMDK's descriptor (sector %" PRIu64 ", %" PRIu64
                       " sectors) does not lie in the file or is over %d KiB",
                       at, sectors, HF_VMDK_DESCRIPTOR_MAX / 1024);
    /* QEMU reads up to 20 KiB from there, whatever the size says: look at all it may see. */
    int64_t offset = (int64_t)at * SECTOR, room = m->size - offset;
    size_t len = room < HF_VMDK_DESCRIPTOR_MAX ? (size_t)room : HF_VMDK_DESCRIPTOR_MAX;
    hf_auto_free char *text = hf_alloc(len + 1);
    if (!text)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VMDK descriptor");
    hf_code rc = m->read(m->ctx, text, len, offset, reterr);
    return rc == HF_OK ? hf_vmdk_check_embedded((hf_str){text, (uint32_t)len}, ret, reterr) : rc;
}

static hf_code probe_vmdk_descriptor(const image *m, hf_probe *ret, hf_err *reterr) {
    ret->format = HF_F_VMDK;
    if (m->size > HF_VMDK_DESCRIPTOR_MAX)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "a VMDK descriptor of %" PRId64 " bytes: at most %d KiB are read",
                       m->size, HF_VMDK_DESCRIPTOR_MAX / 1024);
    return hf_vmdk_check_descriptor_file((hf_str){(const char *)m->head, (uint32_t)m->head_len}, ret, reterr);
}

/* ---- VDI, VHD ---------------------------------------------------------------------------------------- */
static hf_code probe_vdi(const image *m, hf_probe *ret, hf_err *reterr) {
    static const uint8_t none[16];
    uint32_t type = hf_le32(m->head + 76);
    uint64_t size = hf_le64(m->head + 368);
    ret->format = HF_F_VDI;
    if (type != 1 && type != 2)
        return type == 4 ? refuse(reterr, "the VDI image is a difference to another one")
                         : hf_fail(reterr, HF_E_SOURCE_INVALID,
                                   "a VDI image of type %" PRIu32 ": 1 (dynamic) and 2 (fixed) are read", type);
    if (memcmp(m->head + 424, none, sizeof none) != 0 || memcmp(m->head + 440, none, sizeof none) != 0)
        return refuse(reterr, "the VDI image is linked to a parent");
    if (m->head_len < SECTOR || size > INT64_MAX)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VDI header says %" PRIu64 " bytes", size);
    ret->detail = type == 1 ? "dynamic" : "fixed";
    ret->cluster_bytes = hf_le32(m->head + 376);
    ret->virtual_bytes = (int64_t)size;
    return HF_OK;
}

/* The block's size stands in the dynamic header, which may be missing without harm here. */
static hf_code read_vhd_block(const image *m, uint64_t at, hf_probe *ret, hf_err *reterr) {
    uint8_t header[64];
    if (at > (uint64_t)m->size || (uint64_t)m->size - at < sizeof header)
        return HF_OK;
    hf_code rc = m->read(m->ctx, header, sizeof header, (int64_t)at, reterr);
    if (rc == HF_OK && memcmp(header, "cxsparse", 8) == 0)
        ret->cluster_bytes = hf_be32(header + 32);
    return rc;
}

static hf_code probe_vhd(const image *m, const uint8_t *footer, hf_probe *ret, hf_err *reterr) {
    uint32_t type = hf_be32(footer + 60);
    uint64_t size = hf_be64(footer + 48);
    ret->format = HF_F_VHD;
    if (type == 4)
        return refuse(reterr, "the VHD image is a difference to another one");
    if ((type != 2 && type != 3) || size > INT64_MAX)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "a VHD image of type %" PRIu32 " and %" PRIu64 " bytes", type,
                       size);
    ret->detail = type == 2 ? "fixed" : "dynamic";
    ret->virtual_bytes = -1; /* QEMU takes it from the size or the geometry, by who wrote the image */
    return type == 3 ? read_vhd_block(m, hf_be64(footer + 16), ret, reterr) : HF_OK;
}

/* ---- VHDX ------------------------------------------------------------------------------------------- */
static const uint8_t guid_metadata_region[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                                 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t guid_file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t guid_disk_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                           0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
enum { VHDX_REGION_AT = 192 * 1024, VHDX_TABLE = 64 * 1024, VHDX_REGIONS_MAX = 2047 };

/* Reads len bytes into to, or says that the image is too short for what its tables say. */
static hf_code read_within(const image *m, void *to, size_t len, uint64_t at, hf_err *reterr) {
    if (at > (uint64_t)m->size || len > (uint64_t)m->size - at)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the image ends before what its header names (offset %" PRIu64 ")",
                       at);
    return m->read(m->ctx, to, len, (int64_t)at, reterr);
}

/* Offset of the item in the metadata table's region, 0 if it has none. */
static uint32_t metadata_item(const uint8_t *table, const uint8_t guid[16]) {
    uint32_t count = hf_le16(table + 10);
    for (uint32_t i = 0; i < count && i < VHDX_REGIONS_MAX - 1; i++) {
        const uint8_t *entry = table + 32 + (size_t)32 * i;
        if (memcmp(entry, guid, 16) == 0)
            return hf_le32(entry + 16);
    }
    return 0;
}

static hf_code check_vhdx_metadata(const image *m, uint64_t region, uint8_t *table, hf_probe *ret, hf_err *reterr) {
    uint8_t item[8];
    hf_code rc = read_within(m, table, VHDX_TABLE, region, reterr);
    if (rc != HF_OK)
        return rc;
    uint32_t parameters = metadata_item(table, guid_file_parameters), size_at = metadata_item(table, guid_disk_size);
    if (memcmp(table, "metadata", 8) != 0 || !parameters || !size_at)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VHDX image has no whole metadata table");
    if ((rc = read_within(m, item, sizeof item, region + parameters, reterr)) != HF_OK)
        return rc;
    uint32_t flags = hf_le32(item + 4);
    ret->cluster_bytes = hf_le32(item);
    if (flags & 2)
        return refuse(reterr, "the VHDX image is a difference to another one");
    if ((rc = read_within(m, item, sizeof item, region + size_at, reterr)) != HF_OK)
        return rc;
    if (hf_le64(item) > INT64_MAX)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VHDX header says %" PRIu64 " bytes", hf_le64(item));
    ret->virtual_bytes = (int64_t)hf_le64(item);
    ret->detail = flags & 1 ? "fixed" : "dynamic";
    return HF_OK;
}

static hf_code probe_vhdx(const image *m, hf_probe *ret, hf_err *reterr) {
    ret->format = HF_F_VHDX;
    hf_auto_free uint8_t *table = hf_alloc(VHDX_TABLE);
    if (!table)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a VHDX table");
    hf_code rc = read_within(m, table, VHDX_TABLE, VHDX_REGION_AT, reterr);
    if (rc != HF_OK)
        return rc;
    uint32_t count = hf_le32(table + 8);
    for (uint32_t i = 0; memcmp(table, "regi", 4) == 0 && i < count && i < VHDX_REGIONS_MAX; i++) {
        const uint8_t *entry = table + 16 + (size_t)32 * i;
        if (memcmp(entry, guid_metadata_region, 16) == 0)
            return check_vhdx_metadata(m, hf_le64(entry + 16), table, ret, reterr);
    }
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "the VHDX image's region table names no metadata");
}

/* ---- which one it is ------------------------------------------------------------------------------------ */
static hf_code probe_image(const image *m, hf_probe *ret, hf_err *reterr) {
    const uint8_t *h = m->head;
    if (memcmp(h, "QFI\xfb", 4) == 0)
        return probe_qcow2(m, ret, reterr);
    if (memcmp(h, "KDMV", 4) == 0)
        return probe_vmdk_sparse(m, ret, reterr);
    if (memcmp(h, "COWD", 4) == 0)
        return hf_fail(reterr, HF_E_UNSUPPORTED, "a COWD extent of an old ESX disk: convert it first (vmkfstools -i)");
    if (memcmp(h, "vhdxfile", 8) == 0)
        return probe_vhdx(m, ret, reterr);
    if (hf_le32(h + 64) == 0xbeda107f)
        return probe_vdi(m, ret, reterr);
    if (memcmp(h, "conectix", 8) == 0)
        return probe_vhd(m, h, ret, reterr);
    if (m->size >= SECTOR && memcmp(m->tail, "conectix", 8) == 0)
        return probe_vhd(m, m->tail, ret, reterr);
    if (hf_vmdk_is_descriptor((hf_str){(const char *)h, (uint32_t)(m->head_len < 4096 ? m->head_len : 4096)}))
        return probe_vmdk_descriptor(m, ret, reterr);
    ret->virtual_bytes = m->size;
    return HF_OK;
}

hf_code hf_probe_with(hf_probe_read read, void *ctx, int64_t size_bytes, hf_probe *ret, hf_err *reterr) {
    hf_auto_free uint8_t *head = hf_alloc(HEAD_BYTES);
    if (!head)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the head of an image");
    image m = {.read = read,
               .ctx = ctx,
               .size = size_bytes,
               .head = head,
               .head_len = size_bytes < HEAD_BYTES ? (size_t)size_bytes : HEAD_BYTES};
    hf_probe found = {.format = HF_F_RAW, .detail = "", .compression = "", .virtual_bytes = -1};
    hf_code rc = m.head_len ? read(ctx, head, m.head_len, 0, reterr) : HF_OK;
    if (rc == HF_OK && size_bytes >= SECTOR)
        rc = read(ctx, m.tail, SECTOR, size_bytes - SECTOR, reterr);
    if (rc == HF_OK)
        rc = probe_image(&m, &found, reterr);
    if (rc == HF_OK)
        *ret = found;
    return rc;
}

static hf_code read_fd(void *ctx, void *to, size_t len, int64_t offset, hf_err *reterr) {
    return hf_read_fully(*(int *)ctx, to, len, offset, reterr);
}

hf_code hf_probe_fd(int fd, int64_t size_bytes, hf_probe *ret, hf_err *reterr) {
    return hf_probe_with(read_fd, &fd, size_bytes, ret, reterr);
}
