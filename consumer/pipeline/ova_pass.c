/* The one pass over an appliance's payloads. A member's bytes go to its hashes, to whoever wants them, and, as part of a file of
 * References, through gunzip where it is compressed, into the walker of its VMDK. Chunks of a file are taken one after another where
 * the first of them stands, so that the file's stream is whole. */
#include <inttypes.h>
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "consumer/pipeline/bytes.h"
#include "consumer/pipeline/ova_read_inside.h"
#include "consumer/pipeline/vmdk.h"
#include "schemas/base/mem.h"

enum { BLOCK = 1 << 20, INFLATED_BLOCK = 256 * 1024, GRAIN_MAX = 64 * 1024, GRAIN_FINDINGS_MAX = 8, KINDS = 4 };

/* A file of References as a stream. */
typedef struct stream {
    const char *name;
    int32_t disk; /* the first that uses it; -1 */
    hf_vmdk_walk *walk;
    z_stream gz;
    bool gzip, gzip_over, broken; /* broken: what is wrong was found; the rest passes by */
    int64_t bytes;                /* after gunzip */
    uint32_t grain_findings;
} stream;

typedef struct passing {
    hf_appliance *a;
    const hf_pass *pass;
    uint8_t *block, *inflated, *grain;
    struct libdeflate_decompressor *decompressor;
    stream stream;
} passing;

/* ---- grains ------------------------------------------------------------------------------------------------- */
static void grain_fault(passing *p, hf_finding_id id, int64_t offset, const char *what, size_t is, size_t should) {
    stream *s = &p->stream;
    if (s->grain_findings++ < GRAIN_FINDINGS_MAX)
        hf_finding_add(p->a->findings, id, s->name, "the grain at byte %" PRId64 " of the disk: %s (%zu, not %zu)",
                       offset, what, is, should);
}

static hf_code on_grain(void *ctx, int64_t offset, const uint8_t *data, uint32_t len, hf_err *reterr) {
    passing *p = ctx;
    size_t used = 0, got = 0, want = (size_t)hf_vmdk_walk_grain_bytes(p->stream.walk);
    (void)reterr;
    switch (libdeflate_zlib_decompress_ex(p->decompressor, data, len, p->grain, want, &used, &got)) {
    case LIBDEFLATE_SUCCESS:
        if (got != want)
            grain_fault(p, HF_FIND_VMDK_GRAIN_SIZE, offset, "bytes it inflates to", got, want);
        else if (used != len)
            grain_fault(p, HF_FIND_VMDK_GRAIN_SIZE, offset, "compressed bytes it has", used, len);
        break;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        grain_fault(p, HF_FIND_VMDK_GRAIN_SIZE, offset, "it inflates to more bytes", want + 1, want);
        break;
    case LIBDEFLATE_BAD_DATA:
    case LIBDEFLATE_SHORT_OUTPUT:
    default: grain_fault(p, HF_FIND_VMDK_GRAIN, offset, "its compressed bytes are damaged", len, want); break;
    }
    return HF_OK;
}

/* ---- a file's stream ------------------------------------------------------------------------------------------ */
static hf_code begin_stream(passing *p, const hf_member *m, hf_err *reterr) {
    const hf_ovf_document *ovf = p->a->ovf;
    stream *s = &p->stream;
    *s = (stream){.name = m->name, .disk = -1};
    if (m->file < 0)
        return HF_OK;
    s->name = ovf->files[m->file].href;
    s->gzip = ovf->files[m->file].gzip;
    for (uint32_t i = 0; i < ovf->disk_count && s->disk < 0; i++)
        if (ovf->disks[i].file == m->file)
            s->disk = (int32_t)i;
    if (s->gzip && inflateInit2(&s->gz, 15 + 16) != Z_OK)
        return hf_fail(reterr, HF_E_NO_MEMORY, "decompressing %s", s->name);
    if (s->disk < 0 || !ovf->disks[s->disk].stream_vmdk)
        return HF_OK;
    return hf_vmdk_walk_new(p->decompressor ? on_grain : NULL, p, &s->walk, reterr);
}

static void end_walk(stream *s) {
    hf_vmdk_walk_free(s->walk);
    s->walk = NULL;
}

/* What the walker says is a finding, except where it only lacked memory. */
static hf_code walk_fault(passing *p, hf_finding_id id, const hf_err *error, hf_err *reterr) {
    if (error->code == HF_E_NO_MEMORY || error->code == HF_E_CANCELLED) {
        if (reterr)
            *reterr = *error;
        return error->code;
    }
    if (error->code == HF_E_LIMIT || error->code == HF_E_UNSUPPORTED)
        id = HF_FIND_VMDK_UNREAD;
    hf_finding_add(p->a->findings, id, p->stream.name, "%s", error->detail);
    end_walk(&p->stream);
    return HF_OK;
}

static hf_code walk_bytes(passing *p, const uint8_t *bytes, size_t len, hf_err *reterr) {
    stream *s = &p->stream;
    hf_err error = {0};
    if (s->walk && s->bytes == 0 && len >= 4 && hf_le32(bytes) != HF_VMDK_MAGIC) {
        hf_finding_add(p->a->findings, HF_FIND_VMDK_KIND, s->name, "it does not begin with \"KDMV\"");
        end_walk(s);
    }
    s->bytes += (int64_t)len;
    if (s->walk && hf_vmdk_walk_feed(s->walk, bytes, len, &error) != HF_OK)
        return walk_fault(p, HF_FIND_VMDK_STRUCTURE, &error, reterr);
    return HF_OK;
}

static void gzip_fault(passing *p, const char *what) {
    hf_finding_add(p->a->findings, HF_FIND_GZIP_DAMAGED, p->stream.name, "%s, after %" PRId64 " bytes", what,
                   p->stream.bytes);
    p->stream.broken = true;
}

static hf_code inflate_some(passing *p, hf_err *reterr) {
    stream *s = &p->stream;
    s->gz.next_out = p->inflated;
    s->gz.avail_out = INFLATED_BLOCK;
    int status = inflate(&s->gz, Z_NO_FLUSH);
    size_t got = INFLATED_BLOCK - s->gz.avail_out;
    if (status == Z_STREAM_END) { /* another one may follow */
        s->gzip_over = true;
        inflateReset(&s->gz);
    } else if (status == Z_OK)
        s->gzip_over = false;
    else if (status != Z_BUF_ERROR || s->gz.avail_in > 0)
        gzip_fault(p, s->gz.msg ? s->gz.msg : "not gzip");
    return got ? walk_bytes(p, p->inflated, got, reterr) : HF_OK;
}

static hf_code stream_bytes(passing *p, const uint8_t *bytes, size_t len, hf_err *reterr) {
    stream *s = &p->stream;
    if (!s->gzip)
        return walk_bytes(p, bytes, len, reterr);
    hf_code rc = HF_OK;
    union {
        const uint8_t *given;
        uint8_t *only_read; /* zlib's interface has no const */
    } in = {.given = bytes};
    s->gz.next_in = in.only_read;
    s->gz.avail_in = (uInt)len;
    do
        if ((rc = hf_flow_check(p->pass->flow, reterr)) == HF_OK)
            rc = inflate_some(p, reterr);
    while (rc == HF_OK && !s->broken && (s->gz.avail_in > 0 || s->gz.avail_out == 0));
    return rc;
}

static void judge_summary(passing *p, const hf_vmdk_summary *sum) {
    stream *s = &p->stream;
    const hf_ovf_document *ovf = p->a->ovf;
    p->a->summaries[s->disk] = *sum;
    for (uint32_t i = 0; i < ovf->disk_count; i++)
        if (ovf->disks[i].file == ovf->disks[s->disk].file && ovf->disks[i].capacity_bytes >= 0 &&
            ovf->disks[i].capacity_bytes != sum->capacity_bytes)
            hf_finding_add(p->a->findings, HF_FIND_VMDK_CAPACITY, s->name,
                           "%" PRId64 " bytes, and disk %s of the descriptor has %" PRId64, sum->capacity_bytes,
                           ovf->disks[i].id, ovf->disks[i].capacity_bytes);
    if (sum->layout == HF_VMDK_TABLES_FIRST)
        hf_finding_add(p->a->findings, HF_FIND_VMDK_TABLES_FIRST, s->name, "as qemu-img writes it");
    if (sum->padding_bytes > 0)
        hf_finding_add(p->a->findings, HF_FIND_VMDK_PADDING, s->name, "%" PRId64 " bytes", sum->padding_bytes);
}

static hf_code end_stream(passing *p, const hf_member *last, int64_t stored, hf_err *reterr) {
    stream *s = &p->stream;
    hf_vmdk_summary sum = {0};
    hf_err error = {0};
    hf_code rc = HF_OK;
    if (s->gzip) {
        if (!s->broken && !s->gzip_over)
            gzip_fault(p, "the compressed stream ends early");
        int64_t said = p->a->ovf->files[last->file].size_bytes;
        if (said >= 0 && said != stored && said != s->bytes)
            hf_finding_add(p->a->findings, HF_FIND_MEMBER_SIZE, s->name,
                           "%" PRId64 " bytes, %" PRId64 " inflated, and ovf:size says %" PRId64, stored, s->bytes,
                           said);
    }
    if (s->walk && s->bytes < 4 && !s->broken)
        hf_finding_add(p->a->findings, HF_FIND_VMDK_KIND, s->name, "it has %" PRId64 " bytes", s->bytes);
    else if (s->walk && !s->broken) {
        if (hf_vmdk_walk_end(s->walk, &sum, &error) == HF_OK)
            judge_summary(p, &sum);
        else
            rc = walk_fault(p, HF_FIND_VMDK_TRUNCATED, &error, reterr);
    }
    return rc;
}

static void close_stream(passing *p) {
    if (p->stream.gzip)
        inflateEnd(&p->stream.gz);
    end_walk(&p->stream);
    p->stream.gzip = false;
}

/* ---- a member ---------------------------------------------------------------------------------------------------- */
typedef struct hashes {
    hf_digest digests[KINDS]; /* by hf_digest_kind; those not wanted have no context */
} hashes;

static hf_code begin_hashes(const passing *p, const hf_member *m, hashes *h, hf_err *reterr) {
    hf_code rc = HF_OK;
    memset(h, 0, sizeof *h);
    if (p->pass->flags & HF_PASS_SHA256)
        rc = hf_digest_init(&h->digests[HF_DIGEST_SHA256], HF_DIGEST_SHA256, reterr);
    for (int32_t l = m->line; rc == HF_OK && l >= 0; l = p->a->next_line[l]) {
        hf_digest_kind kind = p->a->manifest->lines[l].kind;
        if (!h->digests[kind].ctx)
            rc = hf_digest_init(&h->digests[kind], kind, reterr);
    }
    return rc;
}

static void drop_hashes(hashes *h) {
    for (int i = 0; i < KINDS; i++)
        hf_digest_done(&h->digests[i]);
}

static hf_code end_hashes(const passing *p, hf_member *m, hashes *h, hf_err *reterr) {
    char hex[KINDS][HF_DIGEST_HEX_MAX] = {{0}};
    for (int i = 0; i < KINDS; i++) {
        hf_code rc = h->digests[i].ctx ? hf_digest_end(&h->digests[i], hex[i], reterr) : HF_OK;
        if (rc != HF_OK)
            return rc;
    }
    snprintf(m->sha256, sizeof m->sha256, "%s", hex[HF_DIGEST_SHA256]);
    m->hashed = true;
    m->verified = m->line >= 0;
    for (int32_t l = m->line; l >= 0; l = p->a->next_line[l]) {
        const hf_manifest_line *line = &p->a->manifest->lines[l];
        if (strcmp(line->hex, hex[line->kind]) == 0)
            continue;
        m->verified = false;
        hf_finding_add(p->a->findings, HF_FIND_MANIFEST_DIGEST, m->name, "%s is %.24s…, and line %u says %.24s…",
                       hf_digest_label(line->kind), hex[line->kind], line->number, line->hex);
    }
    return HF_OK;
}

static hf_code pass_block(passing *p, const hf_member *m, hashes *h, int fd, int64_t at, size_t n, hf_err *reterr) {
    hf_code rc = hf_flow_charge(p->pass->flow, (int64_t)n, reterr);
    if (rc != HF_OK || (rc = hf_read_fully(fd, p->block, n, m->base + at, reterr)) != HF_OK)
        return rc;
    atomic_fetch_add_explicit(&p->pass->flow->bytes_read, (long long)n, memory_order_relaxed);
    for (int i = 0; rc == HF_OK && i < KINDS; i++)
        rc = hf_digest_add(&h->digests[i], p->block, n, reterr);
    if (rc == HF_OK && p->pass->bytes)
        rc = p->pass->bytes(p->pass->ctx, m, p->block, n, reterr);
    if (rc == HF_OK && !p->stream.broken)
        rc = stream_bytes(p, p->block, n, reterr);
    hf_flow_advance(p->pass->flow, (int64_t)n);
    return rc;
}

static hf_code pass_open_member(passing *p, hf_member *m, hashes *h, int fd, hf_err *reterr) {
    hf_code rc = begin_hashes(p, m, h, reterr);
    if (rc == HF_OK && p->pass->begin)
        rc = p->pass->begin(p->pass->ctx, m, reterr);
    for (int64_t at = 0; rc == HF_OK && at < m->size_bytes; at += BLOCK) {
        int64_t left = m->size_bytes - at;
        rc = pass_block(p, m, h, fd, at, left < BLOCK ? (size_t)left : BLOCK, reterr);
    }
    if (rc == HF_OK)
        rc = end_hashes(p, m, h, reterr);
    if (rc == HF_OK && p->pass->end)
        rc = p->pass->end(p->pass->ctx, m, reterr);
    return rc;
}

static hf_code pass_member(passing *p, hf_member *m, hf_err *reterr) {
    hashes h = {0};
    hf_auto_fd int fd = -1;
    hf_source_id id = {0}, after = {0};
    hf_code rc = hf_member_open(p->a, m, &fd, reterr);
    if (rc == HF_OK && !p->a->archive && (rc = hf_source_identify(fd, &id, reterr)) == HF_OK &&
        id.size_bytes != m->size_bytes)
        rc = hf_fail(reterr, HF_E_SOURCE_CHANGED, "its size changed since the descriptor was read");
    if (rc == HF_OK)
        rc = pass_open_member(p, m, &h, fd, reterr);
    drop_hashes(&h);
    if (rc == HF_OK && !p->a->archive && (rc = hf_source_identify(fd, &after, reterr)) == HF_OK &&
        (after.mtime_ns != id.mtime_ns || after.size_bytes != id.size_bytes))
        rc = hf_fail(reterr, HF_E_SOURCE_CHANGED,
                     "it was written to while it was read: stop what writes it, then retry");
    return rc == HF_OK ? HF_OK : hf_context(reterr, "%s", m->name);
}

/* The file that begins with m: m alone, or all its chunks. */
static hf_code pass_file(passing *p, hf_member *m, hf_err *reterr) {
    int64_t stored = 0;
    char name[HF_OVF_ID_MAX + 32];
    hf_member *last = m;
    hf_code rc = begin_stream(p, m, reterr);
    for (hf_member *next = m; rc == HF_OK && next;) {
        rc = pass_member(p, next, reterr);
        stored += next->size_bytes;
        last = next;
        if (next->chunk < 0)
            break;
        hf_chunk_name(&p->a->ovf->files[m->file], next->chunk + 1, name, sizeof name);
        next = next->chunk + 1 < HF_APPLIANCE_MEMBERS_MAX ? hf_appliance_find(p->a, name) : NULL;
        if (next && (next->file != m->file || next->chunk != last->chunk + 1))
            next = NULL;
    }
    if (rc == HF_OK)
        rc = end_stream(p, last, stored, reterr);
    close_stream(p);
    return rc;
}

static hf_code prepare(passing *p, hf_err *reterr) {
    p->block = hf_alloc(BLOCK);
    p->inflated = hf_alloc(INFLATED_BLOCK);
    p->grain = hf_alloc(GRAIN_MAX);
    if (p->pass->flags & HF_PASS_DEEP)
        p->decompressor = libdeflate_alloc_decompressor();
    if (!p->block || !p->inflated || !p->grain || (p->pass->flags & HF_PASS_DEEP && !p->decompressor))
        return hf_fail(reterr, HF_E_NO_MEMORY, "reading an appliance");
    return HF_OK;
}

hf_code hf_appliance_pass(hf_appliance *a, const hf_pass *pass, hf_err *reterr) {
    passing p = {.a = a, .pass = pass};
    hf_code rc = prepare(&p, reterr);
    for (uint32_t i = 0; rc == HF_OK && i < a->member_count; i++)
        if (!a->members[i].refused && a->members[i].chunk <= 0)
            rc = pass_file(&p, &a->members[i], reterr);
    if (rc == HF_OK && a->archive) {
        hf_source archive = {.fd = a->fd, .id = a->id};
        rc = hf_source_unchanged(&archive, reterr);
    }
    libdeflate_free_decompressor(p.decompressor);
    free(p.block);
    free(p.inflated);
    free(p.grain);
    return rc;
}
