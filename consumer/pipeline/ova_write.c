#include "consumer/pipeline/ova_write.h"

#include <inttypes.h>
#include <string.h>

#include "consumer/pipeline/tar.h"
#include "schemas/base/mem.h"

enum { PAYLOAD_ALIGN = 4096 };

typedef struct member {
    int64_t base, len;           /* of the payload */
    char hex[HF_DIGEST_HEX_MAX]; /* of the manifest's kind */
    char sha256[HF_DIGEST_HEX_MAX];
} member;

struct hf_ova {
    int fd;
    const char *ovf_name, *mf_name;
    const hf_ovf *plan;
    hf_digest_kind kind;
    hf_flow *flow;
    size_t ovf_room, mf_len;
    int64_t end; /* of what is written or reserved */
    uint32_t ended;
    hf_out out; /* of the disk being written */
    member *members;
};

static hf_code put_header(hf_ova *ova, const char *name, int64_t size, int64_t at, hf_err *reterr) {
    uint8_t block[HF_TAR_BLOCK];
    hf_code rc = hf_tar_header(name, size, block, reterr);
    return rc == HF_OK ? hf_write_fully(ova->fd, block, sizeof block, at, reterr) : rc;
}

/* [header][OVF][header][manifest][header of disk 1] must end at a multiple of PAYLOAD_ALIGN. */
static hf_code lay_out(hf_ova *ova, hf_err *reterr) {
    hf_buf text;
    hf_buf_init(&text, HF_OVF_MAX_BYTES);
    hf_code rc = hf_ovf_write(ova->plan, &text, reterr);
    int64_t ovf_min = hf_tar_padded((int64_t)text.len);
    hf_buf_done(&text);
    if (rc != HF_OK)
        return rc;
    ova->mf_len = hf_manifest_line_len(ova->kind, ova->ovf_name);
    for (uint32_t i = 0; i < ova->plan->disk_count; i++)
        ova->mf_len += hf_manifest_line_len(ova->kind, ova->plan->disks[i].file_name);
    int64_t fixed = 3 * HF_TAR_BLOCK + hf_tar_padded((int64_t)ova->mf_len);
    int64_t total = (fixed + ovf_min + PAYLOAD_ALIGN - 1) / PAYLOAD_ALIGN * PAYLOAD_ALIGN;
    ova->ovf_room = (size_t)(total - fixed);
    ova->end = total - HF_TAR_BLOCK;
    return HF_OK;
}

hf_code hf_ova_new(int fd, const char *ovf_name, const char *mf_name, const hf_ovf *plan, hf_digest_kind manifest,
                   hf_flow *flow, hf_ova **ret, hf_err *reterr) {
    hf_ova *ova = hf_alloc(sizeof *ova);
    if (!ova)
        return hf_fail(reterr, HF_E_NO_MEMORY, "an OVA writer");
    *ova = (hf_ova){.fd = fd, .ovf_name = ovf_name, .mf_name = mf_name, .plan = plan, .kind = manifest, .flow = flow};
    ova->members = hf_alloc((plan->disk_count + 1) * sizeof *ova->members);
    hf_code rc = ova->members ? lay_out(ova, reterr) : hf_fail(reterr, HF_E_NO_MEMORY, "an OVA writer");
    if (rc != HF_OK) {
        hf_ova_free(ova);
        return rc;
    }
    *ret = ova;
    return HF_OK;
}

hf_code hf_ova_disk_begin(hf_ova *ova, hf_out **ret_out, hf_err *reterr) {
    hf_code rc = hf_out_init(&ova->out, ova->fd, ova->end + HF_TAR_BLOCK, ova->kind, ova->flow, reterr);
    if (rc == HF_OK) {
        ova->out.behind.keep_bytes = HF_CACHE_READ_BACK;
        *ret_out = &ova->out;
    }
    return rc;
}

hf_code hf_ova_disk_end(hf_ova *ova, hf_err *reterr) {
    member *m = &ova->members[ova->ended];
    char other[HF_DIGEST_HEX_MAX];
    hf_code rc = hf_out_end(&ova->out, m->sha256, other, reterr);
    if (rc != HF_OK)
        return rc;
    m->base = ova->out.base;
    m->len = ova->out.len;
    memcpy(m->hex, ova->kind == HF_DIGEST_SHA256 ? m->sha256 : other, sizeof m->hex);
    if ((rc = put_header(ova, ova->plan->disks[ova->ended].file_name, m->len, ova->end, reterr)) != HF_OK)
        return rc;
    ova->end = m->base + hf_tar_padded(m->len);
    ova->ended++;
    return HF_OK;
}

int64_t hf_ova_disk_bytes(const hf_ova *ova, uint32_t index) { return ova->members[index].len; }
const char *hf_ova_disk_sha256(const hf_ova *ova, uint32_t index) { return ova->members[index].sha256; }
int64_t hf_ova_disk_base(const hf_ova *ova, uint32_t index) { return ova->members[index].base; }

/* The OVF, padded to its room by white space, which XML allows behind the root element. */
static hf_code put_ovf(hf_ova *ova, const hf_ovf *ovf, char hex[HF_DIGEST_HEX_MAX], hf_err *reterr) {
    hf_buf text;
    hf_buf_init(&text, HF_OVF_MAX_BYTES);
    hf_code rc = hf_ovf_write(ovf, &text, reterr);
    if (rc == HF_OK && text.len > ova->ovf_room)
        rc = hf_fail(reterr, HF_E_INTERNAL, "the OVF has %zu bytes and its place only %zu", text.len, ova->ovf_room);
    size_t pad = rc == HF_OK ? ova->ovf_room - text.len : 0;
    if (pad > 0) {
        uint8_t *to = hf_buf_reserve(&text, pad);
        if (to) {
            memset(to, ' ', pad - 1);
            to[pad - 1] = '\n';
            text.len += pad;
        } else
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "the OVF's padding");
    }
    if (rc == HF_OK && (rc = put_header(ova, ova->ovf_name, (int64_t)text.len, 0, reterr)) == HF_OK &&
        (rc = hf_write_fully(ova->fd, text.data, text.len, HF_TAR_BLOCK, reterr)) == HF_OK)
        rc = hf_digest_bytes(ova->kind, text.data, text.len, hex, reterr);
    hf_buf_done(&text);
    return rc;
}

static hf_code put_manifest(hf_ova *ova, const char *ovf_hex, hf_err *reterr) {
    hf_buf text;
    hf_buf_init(&text, HF_OVF_MAX_BYTES);
    int64_t at = HF_TAR_BLOCK + (int64_t)ova->ovf_room;
    hf_code rc = hf_manifest_add(&text, ova->kind, ova->ovf_name, ovf_hex, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < ova->ended; i++)
        rc = hf_manifest_add(&text, ova->kind, ova->plan->disks[i].file_name, ova->members[i].hex, reterr);
    if (rc == HF_OK && text.len != ova->mf_len)
        rc = hf_fail(reterr, HF_E_INTERNAL, "the manifest has %zu bytes and its place %zu", text.len, ova->mf_len);
    if (rc == HF_OK && (rc = put_header(ova, ova->mf_name, (int64_t)text.len, at, reterr)) == HF_OK)
        rc = hf_write_fully(ova->fd, text.data, text.len, at + HF_TAR_BLOCK, reterr);
    hf_buf_done(&text);
    return rc;
}

hf_code hf_ova_finish(hf_ova *ova, const hf_ovf *ovf, int64_t *ret_bytes, hf_err *reterr) {
    char hex[HF_DIGEST_HEX_MAX];
    static const uint8_t end_of_archive[2 * HF_TAR_BLOCK];
    if (ova->ended != ova->plan->disk_count)
        return hf_fail(reterr, HF_E_INTERNAL, "%" PRIu32 " of %" PRIu32 " disks are in the archive", ova->ended,
                       ova->plan->disk_count);
    hf_code rc = put_ovf(ova, ovf, hex, reterr);
    if (rc != HF_OK || (rc = put_manifest(ova, hex, reterr)) != HF_OK ||
        (rc = hf_write_fully(ova->fd, end_of_archive, sizeof end_of_archive, ova->end, reterr)) != HF_OK)
        return rc;
    *ret_bytes = ova->end + (int64_t)sizeof end_of_archive;
    return HF_OK;
}

void hf_ova_free(hf_ova *ova) {
    if (!ova)
        return;
    hf_out_done(&ova->out);
    free(ova->members);
    free(ova);
}
