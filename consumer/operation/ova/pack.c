/* Packing a descriptor and its files as an OVA in one pass: USTAR in the canonical order (descriptor, manifest, files in the order of
 * References). The files' sizes are known beforehand and so is the manifest's length, so its place is kept free and filled at the
 * end. The descriptor's bytes stay as they are. A manifest beside it is verified on the way and replaced; a certificate is
 * left out, since it speaks of the replaced one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/operation/ova/ova.h"
#include "consumer/pipeline/manifest.h"
#include "consumer/pipeline/out.h"
#include "schemas/base/mem.h"

enum { TAR_END = 2 * HF_TAR_BLOCK };

typedef struct piece { /* a member of the new archive */
    const hf_member *from;
    int64_t at; /* of its header */
    char hex[HF_DIGEST_HEX_MAX];
} piece;

typedef struct packing {
    hf_ova_work *work;
    int fd;
    hf_digest_kind kind;
    char mf_name[HF_TAR_NAME_ROOM];
    piece *pieces; /* the descriptor first, then the files in their order */
    uint32_t count;
    int64_t mf_at, end;
    size_t mf_len;
    hf_out out;
    piece *current;
} packing;

/* ---- the plan ------------------------------------------------------------------------------------------------ */
static hf_code choose_kind(packing *p, hf_err *reterr) {
    hf_str wanted = p->work->run->spec->options.manifest;
    static const hf_digest_kind kinds[] = {HF_DIGEST_SHA256, HF_DIGEST_SHA1, HF_DIGEST_SHA512};
    p->kind = wanted.len ? HF_DIGEST_NONE : HF_DIGEST_SHA256;
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++)
        if (wanted.len == strlen(hf_digest_label(kinds[i])) &&
            strncasecmp(wanted.p, hf_digest_label(kinds[i]), wanted.len) == 0)
            p->kind = kinds[i];
    return p->kind != HF_DIGEST_NONE
               ? HF_OK
               : hf_fail(reterr, HF_E_INVALID, "manifest %.*s: use one of sha256, sha1, sha512", HF_STR_ARG(wanted));
}

static hf_code add_piece(packing *p, const hf_member *m, hf_err *reterr) {
    if (strlen(m->name) > HF_TAR_NAME_MAX)
        return hf_fail(reterr, HF_E_LIMIT,
                       "%s: a name in an OVA has at most %d bytes; rename the file, in References too", m->name,
                       HF_TAR_NAME_MAX);
    p->pieces[p->count++].from = m;
    p->mf_len += hf_manifest_line_len(p->kind, m->name);
    return HF_OK;
}

/* Files in the order of References, chunks in theirs. */
static int by_order(const void *left, const void *right) {
    const hf_member *l = ((const piece *)left)->from, *r = ((const piece *)right)->from;
    if (l->file != r->file)
        return l->file < r->file ? -1 : 1;
    return (l->chunk > r->chunk) - (l->chunk < r->chunk);
}

static hf_code list_pieces(packing *p, hf_err *reterr) {
    const hf_appliance *a = p->work->appliance;
    p->pieces = hf_alloc((a->member_count + 1) * sizeof *p->pieces);
    if (!p->pieces)
        return hf_fail(reterr, HF_E_NO_MEMORY, "the list of files");
    hf_code rc = add_piece(p, &a->members[a->ovf_at], reterr);
    for (uint32_t i = 0; rc == HF_OK && i < a->member_count; i++)
        if (a->members[i].role == HF_ROLE_FILE && a->members[i].file >= 0 && !a->members[i].refused)
            rc = add_piece(p, &a->members[i], reterr);
    if (rc == HF_OK)
        qsort(p->pieces + 1, p->count - 1, sizeof *p->pieces, by_order);
    return rc;
}

static hf_code plan(packing *p, hf_err *reterr) {
    const hf_appliance *a = p->work->appliance;
    hf_code rc = choose_kind(p, reterr);
    if (rc != HF_OK || (rc = list_pieces(p, reterr)) != HF_OK)
        return rc;
    const char *ovf_name = a->members[a->ovf_at].name;
    snprintf(p->mf_name, sizeof p->mf_name, "%.*s.mf", (int)strlen(ovf_name) - 4, ovf_name);
    p->mf_at = HF_TAR_BLOCK + hf_tar_padded(p->pieces[0].from->size_bytes);
    int64_t at = p->mf_at + HF_TAR_BLOCK + hf_tar_padded((int64_t)p->mf_len);
    for (uint32_t i = 1; i < p->count; i++) {
        p->pieces[i].at = at;
        at += HF_TAR_BLOCK + hf_tar_padded(p->pieces[i].from->size_bytes);
    }
    p->end = at + TAR_END;
    return HF_OK;
}

/* ---- the pass --------------------------------------------------------------------------------------------------- */
static hf_code begin_member(void *ctx, const hf_member *m, hf_err *reterr) {
    packing *p = ctx;
    uint8_t block[HF_TAR_BLOCK];
    p->current = NULL;
    for (uint32_t i = 0; i < p->count && !p->current; i++)
        if (p->pieces[i].from == m)
            p->current = &p->pieces[i];
    if (!p->current)
        return HF_OK;
    p->work->reporter.current = m->name;
    hf_code rc = hf_tar_header(m->name, m->size_bytes, block, reterr);
    if (rc == HF_OK && (rc = hf_write_fully(p->fd, block, sizeof block, p->current->at, reterr)) == HF_OK)
        rc = hf_out_init(&p->out, p->fd, p->current->at + HF_TAR_BLOCK, p->kind, &p->work->flow, reterr);
    return rc;
}

static hf_code member_bytes(void *ctx, const hf_member *m, const void *bytes, size_t len, hf_err *reterr) {
    packing *p = ctx;
    (void)m;
    return p->current ? hf_out_append(&p->out, bytes, len, reterr) : HF_OK;
}

static hf_code end_member(void *ctx, const hf_member *m, hf_err *reterr) {
    packing *p = ctx;
    char sha256[HF_DIGEST_HEX_MAX], other[HF_DIGEST_HEX_MAX];
    (void)m;
    if (!p->current)
        return HF_OK;
    hf_code rc = hf_out_end(&p->out, sha256, other, reterr);
    memcpy(p->current->hex, p->kind == HF_DIGEST_SHA256 ? sha256 : other, sizeof p->current->hex);
    p->work->reporter.files_done++;
    return rc;
}

static hf_code put_manifest(packing *p, hf_err *reterr) {
    uint8_t block[HF_TAR_BLOCK];
    hf_buf text;
    hf_buf_init(&text, HF_MANIFEST_READ_MAX);
    hf_code rc = hf_tar_header(p->mf_name, (int64_t)p->mf_len, block, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < p->count; i++)
        rc = hf_manifest_add(&text, p->kind, p->pieces[i].from->name, p->pieces[i].hex, reterr);
    if (rc == HF_OK && text.len != p->mf_len)
        rc = hf_fail(reterr, HF_E_INTERNAL, "the manifest has %zu bytes and its place %zu", text.len, p->mf_len);
    if (rc == HF_OK && (rc = hf_write_fully(p->fd, block, sizeof block, p->mf_at, reterr)) == HF_OK)
        rc = hf_write_fully(p->fd, text.data, text.len, p->mf_at + HF_TAR_BLOCK, reterr);
    hf_buf_done(&text);
    return rc;
}

static hf_code write_archive(packing *p, hf_err *reterr) {
    hf_ova_work *w = p->work;
    hf_pass pass = {.flow = &w->flow, .begin = begin_member, .bytes = member_bytes, .end = end_member, .ctx = p};
    hf_report_phase(&w->reporter, "pack");
    w->flow.bytes_total = hf_appliance_bytes(w->appliance);
    hf_code rc = hf_appliance_pass(w->appliance, &pass, reterr);
    hf_out_done(&p->out);
    if (rc != HF_OK || (rc = hf_findings_verdict(&w->findings, reterr)) != HF_OK ||
        (rc = put_manifest(p, reterr)) != HF_OK)
        return rc;
    return ftruncate(p->fd, p->end) == 0 ? HF_OK : hf_fail_errno(reterr, errno, "the archive's end");
}

static hf_code pack_into(packing *p, const char *file_name, hf_err *reterr) {
    hf_ova_work *w = p->work;
    char sha256[HF_DIGEST_HEX_MAX];
    hf_auto_fd int fd = -1;
    hf_code rc = hf_stage_create(w->stage.dir_fd, file_name, &fd, reterr);
    p->fd = fd;
    if (rc != HF_OK || (rc = write_archive(p, reterr)) != HF_OK)
        return rc;
    hf_report_phase(&w->reporter, "finalize");
    if (fsync(fd) != 0)
        return hf_fail_errno(reterr, errno, "%s", file_name);
    if ((rc = hf_hash_file(fd, p->end, &w->flow, sha256, reterr)) != HF_OK ||
        (rc = hf_ova_add_artifact(w, file_name, "ova", p->end, sha256, reterr)) != HF_OK)
        return rc;
    return hf_ova_publish(w, reterr);
}

hf_code hf_ova_pack(hf_ova_work *w, hf_str name, hf_err *reterr) {
    packing p = {.work = w, .fd = -1};
    char plain[81], file_name[HF_TAR_NAME_ROOM];
    hf_file_name(name.len ? name : hf_str_of(w->appliance->ovf ? w->appliance->ovf->machine.name : ""), plain);
    snprintf(file_name, sizeof file_name, "%s.ova", plain);
    hf_code rc = hf_findings_verdict(&w->findings, reterr);
    if (rc == HF_OK && (rc = plan(&p, reterr)) == HF_OK && (rc = hf_stage_open(w->run, &w->stage, reterr)) == HF_OK &&
        (rc = hf_stage_check_free(&w->stage, file_name, reterr)) == HF_OK) {
        bool check = !json_is_false(json_object_get(w->parameters, "space_check"));
        rc = check ? hf_stage_check_space(&w->stage, p.end, reterr) : HF_OK;
    }
    if (rc == HF_OK)
        rc = pack_into(&p, file_name, reterr);
    free(p.pieces);
    return rc;
}
