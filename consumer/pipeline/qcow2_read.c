#include "consumer/pipeline/qcow2_read.h"

#include <inttypes.h>
#include <string.h>

#include "consumer/pipeline/bytes.h"

enum {
    HEADER = 112,
    EXTENSIONS_MAX = 64, /* in the header; there are five kinds */
    EXT_END = 0,
    SNAPSHOT_HEAD = 40,
    SNAPSHOT_EXTRA = 16, /* of the extra data what is read here */
};
#define EXT_FORMAT 0xe2792acau /* name of the backing file's format */
/* Incompatible features. */
enum { DIRTY = 1, CORRUPT = 2, EXTERNAL_DATA = 4, COMPRESSION = 8, EXTENDED_L2 = 16 };

typedef struct image {
    hf_probe_read read;
    void *ctx;
    int64_t size;
} image;

/* Whether [at, at + len) lies in the file; then it is read. */
static bool lies_within(const image *m, uint64_t at, uint64_t len) {
    return at <= (uint64_t)m->size && len <= (uint64_t)m->size - at;
}

static hf_code fetch(const image *m, void *to, size_t len, uint64_t at, bool *ret_there, hf_err *reterr) {
    *ret_there = lies_within(m, at, len);
    return *ret_there && len ? m->read(m->ctx, to, len, (int64_t)at, reterr) : HF_OK;
}

static hf_code invalid(hf_err *reterr, const char *what, uint64_t value) {
    return hf_fail(reterr, HF_E_SOURCE_INVALID, "the qcow2 header says %s %" PRIu64, what, value);
}

/* ---- the header --------------------------------------------------------------------------------------------- */
static void read_features(const uint8_t *h, size_t len, hf_qcow2_info *ret) {
    ret->refcount_bits = 16;
    ret->compression = "zlib";
    if (ret->version < 3)
        return;
    uint64_t incompatible = hf_be64(h + 72);
    uint32_t order = hf_be32(h + 96), header_len = hf_be32(h + 100);
    ret->dirty = incompatible & DIRTY;
    ret->corrupt = incompatible & CORRUPT;
    ret->external_data = incompatible & EXTERNAL_DATA;
    ret->extended_l2 = incompatible & EXTENDED_L2;
    ret->lazy_refcounts = hf_be64(h + 80) & 1;
    ret->refcount_bits = order <= 6 ? 1u << order : 0;
    if (incompatible & COMPRESSION && header_len > 104 && len > 104)
        ret->compression = h[104] == 0 ? "zlib" : h[104] == 1 ? "zstd" : "unknown";
}

static hf_code read_backing(const image *m, const uint8_t *h, hf_qcow2_info *ret, hf_err *reterr) {
    uint64_t at = hf_be64(h + 8);
    uint32_t len = hf_be32(h + 16);
    bool there = false;
    if (at == 0 || len == 0)
        return HF_OK;
    if (len > HF_QCOW2_NAME_MAX)
        return invalid(reterr, "the backing file's name has a length of", len);
    hf_code rc = fetch(m, ret->backing_file, len, at, &there, reterr);
    if (rc == HF_OK && (!there || strlen(ret->backing_file) != len))
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "the qcow2 image's backing file has no readable name");
    return rc;
}

static hf_code read_extensions(const image *m, uint64_t at, hf_qcow2_info *ret, hf_err *reterr) {
    for (int i = 0; i < EXTENSIONS_MAX; i++) {
        uint8_t head[8];
        bool there;
        hf_code rc = fetch(m, head, sizeof head, at, &there, reterr);
        if (rc != HF_OK || !there || hf_be32(head) == EXT_END)
            return rc;
        uint32_t len = hf_be32(head + 4);
        if (hf_be32(head) == EXT_FORMAT && len < sizeof ret->backing_format &&
            (rc = fetch(m, ret->backing_format, len, at + 8, &there, reterr)) != HF_OK)
            return rc;
        at += 8 + ((uint64_t)len + 7) / 8 * 8;
    }
    return HF_OK;
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */
/* One text of the table, cut to the room. */
static hf_code read_text(const image *m, uint64_t at, uint32_t len, char *to, size_t room, bool *ret_there,
                         hf_err *reterr) {
    if (!lies_within(m, at, len)) {
        *ret_there = false;
        return HF_OK;
    }
    return fetch(m, to, len < room - 1 ? len : room - 1, at, ret_there, reterr);
}

/* *at goes on to the next entry; *ret_there false at the table's end before its time. */
static hf_code read_snapshot(const image *m, uint64_t *at, hf_qcow2_snapshot *ret, bool *ret_there, hf_err *reterr) {
    uint8_t h[SNAPSHOT_HEAD], extra[SNAPSHOT_EXTRA] = {0};
    hf_code rc = fetch(m, h, sizeof h, *at, ret_there, reterr);
    if (rc != HF_OK || !*ret_there)
        return rc;
    uint32_t id_len = hf_be16(h + 12), name_len = hf_be16(h + 14), extra_len = hf_be32(h + 36);
    uint64_t texts = *at + SNAPSHOT_HEAD + extra_len;
    if ((rc = fetch(m, extra, extra_len < SNAPSHOT_EXTRA ? extra_len : SNAPSHOT_EXTRA, *at + SNAPSHOT_HEAD, ret_there,
                    reterr)) != HF_OK ||
        !*ret_there || (rc = read_text(m, texts, id_len, ret->id, sizeof ret->id, ret_there, reterr)) != HF_OK ||
        !*ret_there ||
        (rc = read_text(m, texts + id_len, name_len, ret->name, sizeof ret->name, ret_there, reterr)) != HF_OK ||
        !*ret_there)
        return rc;
    uint64_t state = extra_len >= 8 ? hf_be64(extra) : hf_be32(h + 32), disk = hf_be64(extra + 8);
    ret->date_s = hf_be32(h + 16);
    ret->vm_clock_ns = (int64_t)(hf_be64(h + 24) & INT64_MAX);
    ret->vm_state_bytes = (int64_t)(state & INT64_MAX);
    ret->disk_bytes = extra_len >= 16 ? (int64_t)(disk & INT64_MAX) : -1;
    *at = texts + id_len + name_len;
    *at = (*at + 7) / 8 * 8;
    return HF_OK;
}

static hf_code read_snapshots(const image *m, uint64_t at, hf_qcow2_info *ret, hf_err *reterr) {
    while (ret->snapshot_count < ret->snapshot_total && ret->snapshot_count < HF_QCOW2_SNAPSHOTS_LISTED) {
        bool there = false;
        hf_qcow2_snapshot *snapshot = &ret->snapshots[ret->snapshot_count];
        *snapshot = (hf_qcow2_snapshot){0};
        hf_code rc = read_snapshot(m, &at, snapshot, &there, reterr);
        if (rc != HF_OK)
            return rc;
        if (!there) {
            ret->snapshots_unreadable = true;
            return HF_OK;
        }
        ret->snapshot_count++;
    }
    return HF_OK;
}

hf_code hf_qcow2_read_info(hf_probe_read read, void *ctx, int64_t size_bytes, hf_qcow2_info *ret, hf_err *reterr) {
    const image m = {read, ctx, size_bytes};
    uint8_t h[HEADER] = {0};
    size_t len = size_bytes < HEADER ? (size_t)size_bytes : HEADER;
    hf_code rc = len ? read(ctx, h, len, 0, reterr) : HF_OK;
    if (rc != HF_OK)
        return rc;
    memset(ret, 0, sizeof *ret);
    ret->version = hf_be32(h + 4);
    uint32_t bits = hf_be32(h + 20);
    if (len < 72 || memcmp(h, "QFI\xfb", 4) != 0 || ret->version < 2 || ret->version > 3)
        return hf_fail(reterr, HF_E_SOURCE_INVALID, "not a qcow2 image of version 2 or 3");
    if (bits < 9 || bits > 21)
        return invalid(reterr, "the clusters' bits are", bits);
    if (hf_be64(h + 24) > INT64_MAX)
        return invalid(reterr, "the disk's bytes are", hf_be64(h + 24));
    ret->cluster_bytes = 1u << bits;
    ret->virtual_bytes = (int64_t)hf_be64(h + 24);
    ret->encrypted = hf_be32(h + 32) != 0;
    ret->snapshot_total = hf_be32(h + 60);
    uint32_t header_len = ret->version == 3 ? hf_be32(h + 100) : 72;
    read_features(h, len, ret);
    if ((rc = read_backing(&m, h, ret, reterr)) != HF_OK ||
        (rc = read_extensions(&m, header_len, ret, reterr)) != HF_OK)
        return rc;
    return read_snapshots(&m, hf_be64(h + 64), ret, reterr);
}
